"""The page of `spikey telemetry report --html`: tables and pictures in one file, which a browser shows offline."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spikey.recording.output import report_output
from spikey.report.bench.pictures import Picture
from spikey.report.telemetry.table import table

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
p.answer { font-size: 1.25rem; border-left: .4rem solid #00798c; padding-left: 1rem; }
p.lossy { color: #b00020; font-weight: 600; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .95rem; }
th, td { padding: .15rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: pre; }
tr.aimed td { font-weight: 600; } td.met { color: #00798c; } td.missed { color: #b00020; }
img { max-width: 100%; height: auto; }
"""
METHOD = (
    "Ratio: times less than samples of 10 bits take. Every stream was encoded from frames pushed as they arrive, "
    "a third of a packet at a time, and decoded again. Events kept: those that the same encoder finds when it has bits "
    "for everything, sent within 0.1 ms on their channel. Offline detector: crossings of 4.5 standard deviations, from "
    "the median of the whole channel, found within 0.2 ms. Known spikes: found if their channel has a crossing within "
    "0.5 ms of the trough; crossings are right if there is such a spike. Waveform error: squared difference from the "
    "original's spike band, filtered in floating point, at the decoded troughs, over the original's energy. Clusters: "
    "three principal components and Gaussian mixtures chosen by the Bayesian information criterion, of channels with "
    "30 or more waveforms; clustering the original again with another seed, or with 2 % of noise, shows how stable the "
    "clusters are. Accuracy: of tridesclous2, through SpikeInterface, on 40 generated units that 32 electrodes see, "
    "sorted from the original and from what telemetry contains with noise of its level between the waveforms; "
    "without a budget, the loss is the cost of sending only crossings. Power: "
    "correlation of each channel's bins with the original's mean squares. LFP band: signal over error, brick-walled, "
    "under a Hann window, where blocks were sent; what was left out between counts as the mean. Latency: "
    "from the end of a trough's frame to the bytes of the packet that contains it, by a real-time clock "
    "and adds the measured time of encoding; encoding and decoding: seconds of one thread for a second of signal."
)


def write_page(path: Path, results: dict[str, Any], pictures: list[Picture]) -> None:
    """Write the page. results: of the report, by set."""
    with report_output(path) as (file, _):
        file.write("".join(_page(results, pictures)).encode())


def sentence(about: dict[str, Any]) -> str:
    """The result of a set, in one sentence."""
    lines = table(about["ratios"])
    verdicts = [line[-1] for line in lines[1:] if line[-1]]
    missed = [line[0].strip() for line in lines[1:] if line[-1] == "missed"]
    text = f"{about['what']}: {verdicts.count('met')} of {len(verdicts)} targets are met {lines[0][-1]}"
    return text + (f"; missed: {'; '.join(missed)}." if missed else ".")


def _page(results: dict[str, Any], pictures: list[Picture]) -> Iterator[str]:
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>How faithful is telemetry?</title>'
    yield f"<style>{_STYLE}</style></head><body>\n<h1>How faithful is telemetry?</h1>\n"
    yield '<p class="lossy">Telemetry is lossy: it describes a recording and does not restore it.</p>\n'
    for about in results.values():
        yield f'<p class="answer">{html.escape(sentence(about))}</p>\n'
    for name, about in results.items():
        yield f"<h2>{html.escape(name.capitalize())}</h2>\n<p>{html.escape(about['what'])}; {about['channels']:,} "
        yield f"channels, {about['seconds']:.4g} s, {about['rate']:,.0f} Hz.</p>\n"
        yield from _table(table(about["ratios"]))
    for heading, caption, data in pictures:
        yield f"<h2>{html.escape(heading)}</h2>\n<p>{html.escape(caption)}</p>\n"
        yield f'<img alt="{html.escape(heading)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">\n'
    yield f"<h2>How it was measured</h2>\n<p>{html.escape(METHOD)}</p>\n</body></html>\n"


def _table(lines: list[list[str]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in lines[0]) + "</tr>\n"
    for line in lines[1:]:
        yield '<tr class="aimed">' if line[-1] else "<tr>"
        yield "".join(f"<td>{html.escape(cell)}</td>" for cell in line[:-1])
        yield f'<td class="{line[-1]}">{line[-1]}</td></tr>\n'
    yield "</table>\n"

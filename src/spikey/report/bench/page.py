"""The report of `spikey bench --html`: one file with its pictures inside, which a browser shows without a network."""

from __future__ import annotations

import base64
import html
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spikey.base.errors import UsageError, install
from spikey.recording.output import report_output
from spikey.report.bench import recommendation
from spikey.report.bench.interpolation import words
from spikey.report.bench.measure import Result
from spikey.report.bench.ranking import counted, notes, ranked, sentence

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
p.answer { font-size: 1.25rem; border-left: .4rem solid #00798c; padding-left: 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:nth-child(2), td:nth-child(2), td:last-child { text-align: left; }
td:last-child { white-space: normal; font-size: .85rem; }
tr.ours { font-weight: 600; } tr.failed { color: #b00020; }
img { max-width: 100%; height: auto; }
"""
_METHOD = (
    "Every codec ran in one thread of a separate process, on recordings in memory, after a warm-up. All output was "
    "decoded and compared; a codec that lost a sample is reported as failed. Ratio: bytes of the recordings' files "
    "divided by compressed bytes. Speeds: the best of {repeats} for each recording; for programs, starting them is "
    "included. Memory: the maximum, minus the memory before; for programs, the total. Input of the codecs: "
    "file, its bytes; samples, integers; codes, the ADC codes without the gaps between "
    "values; delta8, one byte for each difference of codes. For the other codecs, layout and number of frames are not "
    "counted; for Spikey every byte of the file counts."
)


def check_report(path: Path) -> None:
    """UsageError where a report cannot be drawn here, before anything is measured for it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            f"{path}: a report needs matplotlib, which is missing: {install('plot')}", code="missing-package"
        )


def write_report(
    path: Path,
    facts: dict[str, Any],
    results: list[Result],
    files: list[Path],
    raw: tuple[int, float, str] | None = None,
    seconds: float | None = None,
) -> None:
    """Write the report. facts: of `spikey bench --json`; files: the recordings, which pictures are drawn of."""
    from spikey.report.bench.pictures import draw_all

    pictures = draw_all(ranked(results), facts, files, raw, seconds)
    with report_output(path) as (file, _):
        file.write("".join(_page(facts, results, pictures)).encode())


def _page(facts: dict[str, Any], results: list[Result], pictures: list[tuple[str, str, bytes]]) -> Iterator[str]:
    """The file, piece by piece. pictures: heading, caption and PNG."""
    kinds = "; ".join(f"{k['channels']} x {k['rate']:,g} Hz, {k['dtype']}" for k in facts["kinds"][:4])
    more = f" and {len(facts['kinds']) - 4} other kinds" if len(facts["kinds"]) > 4 else ""
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Which codec?</title>'
    yield f"<style>{_STYLE}</style></head><body>\n"
    yield f'<p class="answer">{html.escape(recommendation.sentence(recommendation.recommended(results, facts)))}</p>\n'
    if text := sentence(results, facts):
        yield f"<p>{html.escape(text)}</p>\n"
    yield f"<p>{counted(facts['recordings'])}, {facts['original']:,} bytes, {facts['samples']:,} samples"
    yield f" ({html.escape(kinds + more)}).</p>\n"
    if facts["left_out"] or facts["cut"]:
        yield f"<p>{facts['left_out']:,} files are not recordings of integers and were skipped; of {facts['cut']:,} "
        yield "recordings only the beginning was measured.</p>\n"
    if facts.get("interpolated"):
        yield f"<p>{html.escape(words(facts['interpolated']))}</p>\n"
    heads = ("", "codec, given", "ratio", "bits/sample", "encode, million samples/s", "decode", "memory, MB", "")
    yield "<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>\n"
    if floor := facts.get("floor"):
        ratio = "" if floor["ratio"] is None else f"{floor['ratio']:.4f}"
        cells = ["", "estimate of the noise floor", ratio, f"{floor['bits_per_sample']:.4f}", "", "", "", ""]
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
    for number, result in enumerate(ranked(results), 1):
        yield _line(number, result)
    yield "</table>\n"
    for heading, caption, data in pictures:
        yield f"<h2>{html.escape(heading)}</h2>\n<p>{html.escape(caption)}</p>\n"
        yield f'<img alt="{html.escape(heading)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">\n'
    yield f"<h2>How it was measured</h2>\n<p>{html.escape(_METHOD.format(repeats=facts['repeats']))}</p>\n"
    if floor:
        text = (
            f"The noise floor: {floor['method']}; from {floor['looked_at']:,} of {floor['samples']:,} samples. It is "
        )
        text += "an estimate, not a bound: non-Gaussian noise can be coded in fewer bits."
        yield f"<p>{html.escape(text)}</p>\n"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    yield f"<p><code>{html.escape(facts['command'])}</code><br>{html.escape(facts['processor'])}; "
    yield f"{html.escape(versions)}</p>\n</body></html>\n"


def _line(number: int, result: Result) -> str:
    """A row of the table."""
    kind = "failed" if result.failed else "" if result.given else "ours"
    cells = [""] * 5
    if result.recordings:
        row = result.row()
        memory = "" if result.memory is None else f"{result.memory / 1e6:.1f}"
        cells = [f"{row['ratio']:.4f}", f"{row['bits_per_sample']:.4f}"]
        cells += [f"{row['encode_ms_s']:.2f}", f"{row['decode_ms_s']:.2f}", memory]
    cells = [str(number), result.codec, *cells, notes(result)]
    return f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>\n"

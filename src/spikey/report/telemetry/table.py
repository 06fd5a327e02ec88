"""The rows of a telemetry report: what is measured, what it should be, and whether it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from spikey.report.telemetry.fidelity import Tally

TARGET = 200.0  # the ratio that targets are for


class Row(NamedTuple):
    """What is measured, how to write it, what it should be in words, and whether it is; these two are None if open."""

    name: str
    written: str
    target: str | None = None
    met: Callable[[dict[str, Any]], bool | None] | None = None


def _least(key: str, limit: float) -> Callable[[dict[str, Any]], bool | None]:
    return lambda facts: None if facts.get(key) is None else facts[key] >= limit


def _most(key: str, limit: float) -> Callable[[dict[str, Any]], bool | None]:
    return lambda facts: None if facts.get(key) is None else facts[key] <= limit


SORTERS = ("tridesclous2", "spykingcircus2", "mountainsort5")  # that may be asked for; the first two by default
ROWS: dict[str, Row] = {
    "budget_megabits": Row("budget, Mbit/s", "{:.4g}"),
    "megabits": Row("rate, Mbit/s", "{:.4g}", "the budget", _most("of_budget", 1.0)),
    "packet_ms": Row("packets of, ms", "{:.4g}"),
    "kept": Row("threshold crossings of the encoder kept, to 0.1 ms", "{:.2%}", "99 %", _least("kept", 0.99)),
    "kept_quiet": Row("  outside packets that leave some out", "{:.2%}", "100 %", _least("kept_quiet", 1.0)),
    "weak": Row("weak spikes, of all events", "{:.2%}"),
    "offline_recall": Row("crossings of an offline detector found", "{:.2%}"),
    "offline_precision": Row("crossings that it finds too", "{:.2%}"),
    "recall": Row("known spikes found by crossings: recall", "{:.2%}"),
    "recall_lost": Row("  recall lost against the original", "{:+.2%}", "1 %", _most("recall_lost", 0.01)),
    "recall_all": Row("  known spikes found, weak ones included", "{:.2%}"),
    "precision": Row("crossings that are known spikes: precision", "{:.2%}"),
    "precision_lost": Row("  precision lost against the original", "{:+.2%}", "1 %", _most("precision_lost", 0.01)),
    "precision_weak": Row("  weak spikes that are", "{:.2%}"),
    "with_waveform": Row("events with a waveform", "{:.2%}"),
    "wave_error": Row("waveform error, of all energy", "{:.2%}", "10 %", _most("wave_error", 0.10)),
    "wave_error_mean": Row("  of each waveform's energy, mean", "{:.2%}"),
    "wave_error_median": Row("  median", "{:.2%}"),
    "rand": Row("clusters, adjusted Rand index, by events", "{:.3f}", "0.92", _least("rand", 0.92)),
    "rand_mean": Row("  mean of channels", "{:.3f}"),
    "rand_same": Row("  with the original's number of clusters", "{:.3f}"),
    "rand_again": Row("  original waveforms, clustered again", "{:.3f}"),
    "rand_noisy": Row("  original waveforms with 2 % of noise", "{:.3f}"),
    "several": Row("  channels of more than one cluster", "{:.1%}"),
    "accuracy_lost": Row("sorters' accuracy lost, mean", "{:+.2%}", "3 %", _most("accuracy_lost", 0.03)),
    "lost_tridesclous2": Row("  tridesclous2", "{:+.2%}"),
    "lost_spykingcircus2": Row("  spykingcircus2", "{:+.2%}"),
    "lost_mountainsort5": Row("  mountainsort5", "{:+.2%}"),
    "accuracy": Row("  accuracy on known units, telemetry", "{:.2%}"),
    "accuracy_original": Row("  original", "{:.2%}"),
    "clear": Row("  clear units, of 6 standard deviations, telemetry", "{:.2%}"),
    "clear_original": Row("  clear units, original", "{:.2%}"),
    "power_mean": Row("spike-band power, correlation, mean", "{:.4f}", "0.98", _least("power_mean", 0.98)),
    "power_median": Row("  median", "{:.4f}"),
    "power_tenth": Row("  10th percentile", "{:.4f}"),
    "power_high": Row("  channels of 0.98 or more", "{:.1%}"),
    "power_told": Row("  values sent", "{:.2%}"),
    "low_100_mean": Row("LFP below 100 Hz, dB, mean", "{:.2f}", "10", _least("low_100_mean", 10.0)),
    "low_100_median": Row("  median", "{:.2f}"),
    "low_100_tenth": Row("  10th percentile", "{:.2f}"),
    "low_250_mean": Row("LFP below 250 Hz, dB, mean", "{:.2f}"),
    "low_250_median": Row("  median", "{:.2f}"),
    "low_250_tenth": Row("  10th percentile", "{:.2f}"),
    "low_told": Row("  samples sent", "{:.2%}"),
    "event_ms_p99": Row("trough to crossing's bytes, ms, 99 %", "{:.3f}", "1 ms", _most("event_ms_p99", 1.0)),
    "event_ms_p50": Row("  median", "{:.3f}"),
    "event_ms_max": Row("  worst", "{:.3f}"),
    "wave_ms_p99": Row("trough to waveform's bytes, ms, 99 %", "{:.3f}", "2 ms", _most("wave_ms_p99", 2.0)),
    "wave_ms_p50": Row("  median", "{:.3f}"),
    "wave_ms_max": Row("  worst", "{:.3f}"),
    "weak_ms_p99": Row("trough to weak spike's bytes, ms, 99 %", "{:.3f}", "2 ms", _most("weak_ms_p99", 2.0)),
    "weak_ms_p50": Row("  median", "{:.3f}"),
    "weak_ms_max": Row("  worst", "{:.3f}"),
    "encode_s": Row("encoding, s for a second", "{:.3f}", "1", _most("encode_s", 1.0)),
    "decode_s": Row("decoding, s for a second", "{:.3f}", "1", _most("decode_s", 1.0)),
}


def from_target(ratio: float) -> float:
    """How far a ratio is from the one that targets are for; targets count at the nearest of several.

    >>> from_target(200), from_target(400) == from_target(100)
    (0.0, True)
    """
    return abs(math.log2(ratio / TARGET))


def facts_of(tally: Tally) -> dict[str, Any]:
    """Everything measured at one ratio, for programs; None where there was nothing to measure."""
    total = sum(tally.bits.values())
    seconds = tally.seconds or 1.0
    error, energy = tally.all("wave_error"), tally.all("wave_energy")
    each = error / np.maximum(energy, 1e-12)
    facts: dict[str, Any] = {
        "ratio": tally.ratio,
        "bits": tally.bits,
        "budget_megabits": tally.budget_bits / seconds / 1e6,
        "megabits": total / seconds / 1e6,
        "of_budget": total / tally.budget_bits if tally.budget_bits else None,
        "packet_ms": tally.packet_ms,
        "kept": tally.share("kept", "own"),
        "kept_quiet": tally.share("kept_quiet", "own_quiet"),
        "offline_recall": tally.share("offline_found", "offline"),
        "offline_precision": tally.share("settled_offline", "settled"),
        "recall": tally.share("spikes_told", "spikes"),
        "recall_original": tally.share("spikes_original", "spikes"),
        "precision": tally.share("right_told", "crossings_told"),
        "precision_original": tally.share("right_original", "crossings_original"),
        "recall_all": tally.share("spikes_all", "spikes"),
        "precision_weak": tally.share("right_weak", "crossings_weak"),
        "weak": tally.share("events_weak", "events_told"),
        "with_waveform": len(error) / tally.counts["events_told"] if tally.counts.get("events_told") else None,
        "wave_error": float(error.sum() / energy.sum()) if energy.sum() else None,
        "wave_error_mean": _mean(each),
        "wave_error_median": _at(each, 50),
        "power_mean": _mean(tally.all("power")),
        "power_median": _at(tally.all("power"), 50),
        "power_tenth": _at(tally.all("power"), 10),
        "power_high": _mean(tally.all("power") >= 0.98),
        "power_told": tally.share("power_told", "power_bins"),
        "low_told": tally.share("low_told", "low_samples"),
        "encode_s": tally.encode_seconds / seconds,
        "decode_s": tally.decode_seconds / seconds,
        "counts": tally.counts,
    }
    for name in ("recall", "precision"):
        ours, original = facts[name], facts[f"{name}_original"]
        facts[f"{name}_lost"] = None if ours is None or original is None else original - ours
    for edge in ("100", "250"):
        values = tally.all(f"low_{edge}")
        facts |= {f"low_{edge}_mean": _mean(values), f"low_{edge}_median": _at(values, 50)}
        facts[f"low_{edge}_tenth"] = _at(values, 10)
    for kind in ("event", "wave", "weak"):
        values = 1000 * tally.all(f"{kind}_latency")
        facts |= {f"{kind}_ms_p{at}": _at(values, at) for at in (50, 99)} | {f"{kind}_ms_max": _at(values, 100)}
    rand, events = tally.all("rand"), tally.all("rand_events")
    facts["rand"] = float(rand @ events / events.sum()) if len(rand) else None
    facts |= {"rand_mean": _mean(rand), "rand_channels": len(rand), "several": _mean(tally.all("clusters") > 1)}
    for kind in ("same", "again", "noisy"):
        values = tally.all(f"rand_{kind}")
        facts[f"rand_{kind}"] = float(values @ events / events.sum()) if len(values) else None
    for kind in ("accuracy", "accuracy_original", "clear", "clear_original"):
        facts[kind] = _mean(tally.all(kind))
    for sorter in SORTERS:
        ours, original = (_mean(tally.all(f"{kind}_{sorter}")) for kind in ("accuracy", "accuracy_original"))
        facts[f"lost_{sorter}"] = None if ours is None or original is None else original - ours
    lost = None if facts["accuracy"] is None else facts["accuracy_original"] - facts["accuracy"]
    facts["accuracy_lost"] = lost
    return facts


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _at(values: np.ndarray, percentile: float) -> float | None:
    return float(np.percentile(values, percentile)) if len(values) else None


def table(results: list[dict[str, Any]]) -> list[list[str]]:
    """Lines of cells: names, one column a ratio, the target, and whether it is met at 200x; first the heads."""
    aimed = min(results, key=lambda facts: from_target(facts["ratio"]))
    lines = [["", *(f"{facts['ratio']:g}x" for facts in results), "target", f"at {aimed['ratio']:g}x"]]
    for key, row in ROWS.items():
        values = [facts.get(key) for facts in results]
        if all(value is None for value in values):
            continue
        cells = ["-" if value is None else row.written.format(value) for value in values]
        met = row.met(aimed) if row.met else None
        verdict = "" if met is None else "met" if met else "missed"
        lines.append([row.name, *cells, row.target or "", verdict])
    for purpose in results[0]["bits"]:
        totals = [max(sum(facts["bits"].values()), 1) for facts in results]
        cells = [f"{facts['bits'][purpose] / total:.1%}" for facts, total in zip(results, totals, strict=True)]
        lines.append([f"bits for {purpose}", *cells, "", ""])
    return lines

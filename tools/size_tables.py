"""Sizes and speeds of presets, and what code widths save, as tables of README.md and docs/results.md."""

from __future__ import annotations

import math
from typing import Any

from spikey.codec.registry import ranked


def fast(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Speeds of preset fast beside others', and sizes beside those of predictor lpc."""
    measured = runs["speed"]
    lines = ["| recording | codec | ratio | encode, million samples/s | decode |", "|---|---|---:|---:|---:|"]
    for recording, rows in measured["rows"].items():
        for codec, row in rows.items():
            lines.append(f"| {recording} | {codec} | {row['ratio']:.4f} | {row['encode']:.1f} | {row['decode']:.1f} |")
    return lines


def fast_sizes(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Bytes of files and of chunks of 1,000 frames, and how much smaller they are than those of predictor lpc were."""
    before, after = runs["sizes"]["recordings"], runs["speed"]["sizes"]
    lines = [
        "| recording | file, bytes | beside `lpc` | chunks of 1,000 frames | beside `lpc` |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (whole, chunks) in after.items():
        old = before[name]
        one, other = (100 * (new / past - 1) for new, past in ((whole, old[1]), (chunks, old[4])))
        lines.append(f"| {name} | {whole:,} | {one:+.1f} % | {chunks:,} | {other:+.1f} % |")
    return lines


def preset_sizes(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """Bytes of each recording's file by preset, those beside the preset `archive` of before, and the mean of these."""
    before, rows = runs["sizes"]["recordings"], runs["preset_sizes"]["recordings"]
    names = ranked()
    lines = [
        f"| recording | {' | '.join(f'`{name}`, bytes' for name in names)} | before | `{names[-1]}` beside it |",
        "|---|" + "---:|" * (len(names) + 2),
    ]
    logarithms = []
    for recording, row in rows.items():
        sizes, old = [row[name]["bytes"] for name in names], before.get(recording, [0, 0, 0, 0])[3]
        change = f"{100 * (sizes[-1] / old - 1):+.1f} %" if old else ""
        if old:
            logarithms.append(math.log(sizes[-1] / old))
        cells = [f"{size:,}" for size in [*sizes, old] if size] + ([] if old else [""])
        lines.append(f"| {recording} | {' | '.join(cells)} | {change} |")
    mean = 100 * (math.exp(sum(logarithms) / len(logarithms)) - 1)
    lines.append(f"| geometric mean | {' | ' * len(names)} | {mean:+.1f} % |")
    return lines


def preset_speeds(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """How fast each preset is on one core, and hours for a terabyte of 16-bit samples."""
    lines = [
        "| recording | preset | encode, million samples/s | decode | encode, hours per TB | decode |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for recording in ("generated", "N1, every fifth file"):
        for name, row in runs["preset_sizes"]["recordings"][recording].items():
            speeds = [row["samples"] / row[way] for way in ("encode", "decode")]
            cells = [f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in (speed / 1e6 for speed in speeds)]
            cells += [f"{5e11 / speed / 3600:.{0 if speed < 1e7 else 1}f}" for speed in speeds]
            lines.append(f"| {recording} | `{name}` | {' | '.join(cells)} |")
    return lines


def code_widths(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """What code widths save of each recording's file."""
    measured = runs["code_widths"]
    lines = [
        "| recording | even widths | with a table | saved | whose table | its bytes | time, s |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for name, row in measured["rows"].items():
        plain, auto = row["none"], row["auto"]
        ratios = [f"{row['original'] / one['bytes']:.4f}" for one in (plain, auto)]
        saved = f"{100 * (1 - auto['bytes'] / plain['bytes']):.1f} %" if auto["words"] else ""
        table = [auto["words"] or "none", f"{auto['table']:,}" if auto["table"] else ""]
        seconds = f"{plain['seconds']:.1f}, {auto['seconds']:.1f}"
        lines.append(f"| {name} | {' | '.join([*ratios, saved, *table, seconds])} |")
    return lines


def code_widths_crossed(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """The same with shipped tables that were fitted without the recording."""
    measured = runs["code_widths"]
    lines = ["| recording | with a table of the chip type, fitted on the other recording alone |", "|---|---:|"]
    for name, size in measured["crossed"].items():
        lines.append(f"| {name} | {measured['rows'][name]['original'] / size:.4f} |")
    return lines

"""Sizes and speeds of preset fast, and what code widths save, as tables of docs/results.md and docs/calibration.md."""

from __future__ import annotations

from typing import Any


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
        "| recording | file, bytes | relative to `lpc` | chunks of 1,000 frames | relative to `lpc` |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (whole, chunks) in after.items():
        old = before[name]
        one, other = (100 * (new / past - 1) for new, past in ((whole, old[1]), (chunks, old[4])))
        lines.append(f"| {name} | {whole:,} | {one:+.1f} % | {chunks:,} | {other:+.1f} % |")
    return lines


def code_widths(runs: dict[str, Any], published: dict[str, Any]) -> list[str]:
    """What code widths save of each recording's file."""
    measured = runs["code_widths"]
    lines = [
        "| recording | equal widths | with a table | saved | table | its bytes | time, s |",
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

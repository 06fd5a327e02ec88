"""A picture of the latencies that `spikey stream bench` measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import UsageError, install
from spikey.recording.output import report_output


def draw(row: dict[str, Any], path: Path) -> None:
    """A picture of the latency percentiles, as PNG, SVG or PDF by its name; UsageError where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(f"a picture needs matplotlib: {install('plot')}", code="missing-package") from None
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    kinds = [name for name in row if name.endswith("_ms") and "work" not in name]
    labels = ["p50", "p99", "p999", "max"]
    width = 0.8 / len(kinds)
    for index, name in enumerate(kinds):
        places = np.arange(len(labels)) + (index - (len(kinds) - 1) / 2) * width
        bars = axes.bar(places, [row[name][label] for label in labels], width, label=name[:-3].replace("_", " "))
        axes.bar_label(bars, fmt="%.2f", fontsize=7)
    axes.set_xticks(range(len(labels)), ["50 %", "99 %", "99.9 %", "all"])
    axes.set_xlabel("share of packets")
    axes.set_ylabel("at most, ms")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.axhline(row["packet_frames"] / row["rate"] * 1e3, color="grey", linewidth=0.8, linestyle="--", zorder=0)
    axes.margins(y=0.12)
    axes.set_title(f"{row['channels']:,} channels at {row['rate']:,g} Hz for {row['seconds']:g} s (dashed: a packet)")
    axes.legend()
    try:
        with report_output(path) as (out, _):
            figure.savefig(out, format=Path(path).suffix[1:].lower() or "png")
    except ValueError as error:
        raise UsageError(f"{path}: cannot be drawn to ({error})") from None

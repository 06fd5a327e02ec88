"""A picture of the budget: power against compression ratio, with what the implant would need."""

from __future__ import annotations

import io
import os
from math import prod
from typing import Any

from spikey.base.errors import UsageError, install
from spikey.recording.output import write_report
from spikey.report.budget import TELEMETRY, Row, constants, samples_a_second, telemetry

_COLOURS = ("#00798c", "#3a9d5d", "#edae49", "#d1495b", "#8f5db7", "#222222")
_TELEMETRY = "#1f5fd0"
_LIMIT = "#b00020"


def draw_budget(path: str | os.PathLike[str], table: list[Row]) -> None:
    """Write a PNG of 1500 x 1200 pixels to `path`.

    A line of panels for each process node: left, power against ratio and what the radio needs, with telemetry there;
    right, the predictors side by side. A bar reaches from the operations alone to the state of all channels in one
    memory; the mark on it is a bank for each channel with registers. Rows of an unknown ratio are hollow and at the
    best known one.

    Raises UsageError when matplotlib is missing, no ratio is known, or the file cannot be written.
    """
    ratios = [row.ratio for row in table if row.ratio]
    if not ratios:
        raise UsageError(f"{path}: a picture needs at least one measured ratio")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            f"{path}: a picture needs matplotlib, which is missing: {install('plot')}", code="missing-package"
        ) from None
    device, nodes = constants()["device"], list(constants()["nodes"])
    colours = dict(zip([row.predictor for row in table], _COLOURS * len(table), strict=False))
    figure = Figure(figsize=(15, 12), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)  # no window, no global state, whatever backend the caller uses
    figure.suptitle(
        f"{device['name']}, {device['electrodes']:,} channels at {device['rate'] / 1000:g} kHz: power of compressing",
        fontsize=17,
    )
    grid = figure.subplots(len(nodes), 2, sharey=True, squeeze=False, width_ratios=[1, 1.3])
    for (whole, near), node in zip(grid, nodes, strict=True):
        for index, row in enumerate(table):
            colour = colours[row.predictor]
            _draw_row(whole, row.ratio or max(ratios), row, node, colour)
            _draw_row(near, index, row, node, colour)
        _draw_whole(whole, node, max(ratios))
        _draw_telemetry(whole, node)
        _name_marks(whole, table, node, max(ratios))
        near.set_xticks(range(len(table)), [_named(row) for row in table])
        near.set_title(f"{node}: every predictor", fontsize=13)
        near.grid(axis="x", visible=False)
        for axes in (whole, near):
            axes.axhline(device["power"], color=_LIMIT, lw=1.6, zorder=1)
            axes.grid(alpha=0.25, axis="y")
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=11)
    _legend(figure, colours | {f"{TELEMETRY}, lossy": _TELEMETRY})
    rendered = io.BytesIO()
    figure.savefig(rendered, format="png")
    write_report(path, rendered.getvalue())


def _named(row: Row) -> str:
    """A predictor's name with its ratio."""
    return f"{row.predictor}\n" + (f"ratio {row.ratio:.3f}" if row.ratio else "ratio unknown")


def _draw_row(axes: Any, at: float, row: Row, node: str, colour: str) -> None:
    power = row.power[node]
    alone = power.arithmetic * samples_a_second() * 1e-9
    axes.plot([at, at], [alone, power.milliwatts["memory"]], color=colour, lw=1.6, alpha=0.6, marker="_", ms=9)
    filled = colour if row.ratio else "white"
    axes.plot([at], [power.milliwatts["registers"]], marker="o", color=colour, mfc=filled, ms=8, mew=1.6)


def _draw_telemetry(axes: Any, node: str) -> None:
    """Telemetry, at the ratio that the radio needs."""
    row = telemetry()
    _draw_row(axes, row.ratio or 1.0, row, node, _TELEMETRY)
    at = row.ratio or 1.0, row.power[node].milliwatts["registers"]
    axes.annotate(
        f"{TELEMETRY},\nlossy",
        at,
        xytext=(9, 0),
        textcoords="offset points",
        va="center",
        fontsize=10.5,
        color=_TELEMETRY,
    )


def _name_marks(axes: Any, table: list[Row], node: str, best: float) -> None:
    """Names beside the marks; those that lie close share a line."""
    marks = sorted((row.power[node].milliwatts["registers"], row.predictor) for row in table)
    groups = [[marks[0]]]
    for mark in marks[1:]:
        if mark[0] < 2 * groups[-1][0][0]:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    for group in groups:
        middle = prod(power for power, _ in group) ** (1 / len(group))
        text = ", ".join(name for _, name in group)
        # On the line of the limit a name could not be read.
        above = middle / constants()["device"]["power"]
        up = 0 if above < 0.5 or above > 2 else 9 if above > 1 else -9
        axes.annotate(
            text, (best, middle), xytext=(9, up), textcoords="offset points", va="center", fontsize=10.5, color="0.2"
        )


def _draw_whole(axes: Any, node: str, best: float) -> None:
    """The left panel's scales, and what would be needed."""
    device = constants()["device"]
    needed = samples_a_second() * device["bits"] / device["radio"]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, 1000)
    axes.set_ylim(0.5, 5e5)
    powers = [1, 10, 100, 1e3, 1e4, 1e5]
    axes.set_yticks(powers, ["1 mW", "10 mW", "100 mW", "1 W", "10 W", "100 W"])
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
    axes.minorticks_off()
    axes.axvline(needed, color=_LIMIT, lw=1.6)
    axes.fill_between([needed, 1000], 0.5, device["power"], color=_LIMIT, alpha=0.12)
    axes.annotate(
        f"{device['radio'] / 1e6:g} Mbit/s:\nratio {needed:.0f}",
        (needed, 2e5), xytext=(-6, 0), textcoords="offset points", ha="right", va="top", color=_LIMIT, fontsize=11,
    )  # fmt: skip
    axes.annotate(
        f"{device['power']:g} mW, radio included", (12, device["power"]), xytext=(0, 4), textcoords="offset points",
        color=_LIMIT, fontsize=11,
    )  # fmt: skip
    axes.annotate("", (needed, 2), xytext=(best * 1.15, 2), arrowprops={"arrowstyle": "<->", "color": "0.45"})
    axes.annotate(
        f"lossless: still {needed / best:.0f} times too much", (5, 2), xytext=(0, 5),
        textcoords="offset points", ha="left", color="0.35", fontsize=11,
    )  # fmt: skip
    axes.set_xlabel(f"compression ratio, of {device['bits']}-bit samples", fontsize=12)
    axes.set_title(f"{node}: what the radio would need", fontsize=13)


def _legend(figure: Any, colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=colour, lw=5, label=name) for name, colour in colours.items()]
    entries += [
        Line2D([], [], color="0.3", marker="o", mfc="white", mew=1.6, ls="", ms=8, label="ratio not measured"),
        Line2D([], [], color="0.3", lw=1.6, label="from operations alone to one memory; mark: banks, registers"),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=5, frameon=False, fontsize=11)

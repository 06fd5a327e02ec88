"""A picture of what belongs together: the correlations as a matrix, and the links as a graph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from spikey.analysis.calibration_picture import check_picture
from spikey.analysis.topology import Topology

MOST_NAMED = 40  # nodes whose names fit beside a matrix
MOST_SHOWN = 1000  # nodes in a matrix
MANY, SMALL = 100, 8  # nodes from which on a matrix of groups as small as that is but a thin line
MOST_GROUPS = 400
RADIUS = 0.22  # of a group in its cell
LONGEST = 18  # letters of a name
_COLOURS = "RdBu_r"
_NODE, _LINK, _COPY = "#00798c", "#d1495b", "#edae49"


def draw_topology(path: str | os.PathLike[str], found: Topology, title: str) -> None:
    """Write a PNG, SVG or PDF, by the name of `path`.

    Left the correlations of everything that is in a group (of many small groups, in order of size), right each group
    with its links, or the probe with them.
    Raises UsageError when matplotlib is missing or the file cannot be written.
    """
    check_picture(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from spikey.recording.output import report_output

    groups = found.groups()
    shown = list(range(len(found.names))) if found.of == "channels" else [node for group in groups for node in group]
    figure = Figure(figsize=(15, 7), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    figure.suptitle(title, fontsize=16)
    if len(shown) > MANY and len(groups[0]) <= SMALL:
        _strengths(left, found)
    else:
        _matrix(figure, left, found, shown[:MOST_SHOWN])
    if found.positions is not None:
        _probe(right, found)
    else:
        _graph(right, found, groups[:MOST_GROUPS])
    with report_output(path) as (out, _):
        figure.savefig(out, format=Path(path).suffix[1:].lower())


def _matrix(figure: Any, axes: Any, found: Topology, shown: list[int]) -> None:
    axes.set_title(f"Correlation of the first differences, {found.of} by group" if shown else "Nothing goes together")
    if not shown:
        axes.set_axis_off()
        return
    values = found.correlations[np.ix_(shown, shown)].copy()
    np.fill_diagonal(values, np.nan)
    most = max(float(np.nanmax(np.abs(values), initial=0.0)), 0.05)
    image = axes.imshow(values, cmap=_COLOURS, vmin=-most, vmax=most, interpolation="nearest")
    axes.set_facecolor("#dddddd")
    figure.colorbar(image, ax=axes, shrink=0.8)
    if len(shown) <= MOST_NAMED:
        names = [_short(found.names[node]) for node in shown]
        axes.set_xticks(range(len(shown)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(shown)), names, fontsize=8)
    else:
        axes.set_xlabel(f"{len(shown):,} {found.of}")


def _strengths(axes: Any, found: Topology) -> None:
    """The correlation of every link, the largest first."""
    sizes = np.sort([abs(link.correlation) for link in found.links])[::-1]
    axes.plot(np.arange(1, len(sizes) + 1), sizes, color=_LINK, lw=2)
    axes.set_title("Correlation of the first differences of each two that are coded together")
    axes.set_xlabel(f"{len(sizes):,} links, in order")
    axes.set_ylabel("correlation, magnitude")
    axes.set_ylim(0, None)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _short(name: str) -> str:
    stem = Path(name).stem
    return stem if len(stem) <= LONGEST else stem[: LONGEST - 1] + "…"


def _graph(axes: Any, found: Topology, groups: list[list[int]]) -> None:
    """Every group in a cell of its own, its nodes on a circle."""
    axes.set_axis_off()
    what = "Which channel refers to which" if found.of == "channels" else "What is coded with what"
    axes.set_title(f"{what} ({len(groups):,} group{'s' * (len(groups) != 1)})")
    if not groups:
        return
    across = int(np.ceil(np.sqrt(len(groups))))
    places: dict[int, tuple[float, float]] = {}
    for cell, group in enumerate(groups):
        angles = 2 * np.pi * np.arange(len(group)) / len(group)
        row, column = divmod(cell, across)
        for node, angle in zip(group, angles, strict=True):
            places[node] = column + RADIUS * float(np.cos(angle)), -row + RADIUS * float(np.sin(angle))
    _links(axes, found, places)
    total = sum(map(len, groups))
    x, y = zip(*places.values(), strict=True)
    axes.scatter(x, y, s=max(6.0, 90 / across), color=_NODE, zorder=3)
    if total <= MOST_NAMED:
        for node, (at, height) in places.items():
            axes.annotate(_short(found.names[node]), (at, height), (5, 5), textcoords="offset points", fontsize=8)
    axes.set_aspect("equal")
    axes.margins(0.12)


def _probe(axes: Any, found: Topology) -> None:
    """The channels where the probe has them."""
    assert found.positions is not None
    places = {node: (float(x), float(y)) for node, (x, y) in enumerate(found.positions)}
    _links(axes, found, places)
    axes.scatter(found.positions[:, 0], found.positions[:, 1], s=14, color=_NODE, zorder=3)
    if len(places) <= MOST_NAMED:
        for node, place in places.items():
            axes.annotate(found.names[node], place, (5, 5), textcoords="offset points", fontsize=8)
    axes.set_title("Channels on the probe, and those that each refers to")
    axes.set_xlabel("x, µm")
    axes.set_ylabel("y, µm")
    axes.margins(0.12)


def _links(axes: Any, found: Topology, places: dict[int, tuple[float, float]]) -> None:
    most = max((abs(link.correlation) for link in found.links), default=1.0) or 1.0
    for link in found.links:
        if link.node in places and link.other in places:
            (x0, y0), (x1, y1) = places[link.other], places[link.node]
            strength = abs(link.correlation) / most
            colour = _COPY if link.channel is None else _LINK
            axes.plot([x0, x1], [y0, y1], color=colour, lw=0.5 + 2.5 * strength, alpha=0.3 + 0.7 * strength)

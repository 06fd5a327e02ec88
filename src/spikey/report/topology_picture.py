"""A picture of what belongs together: the correlations as a matrix, and the links as a graph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from spikey.report.calibration_picture import check_picture
from spikey.report.topology import Link, Topology

MOST_NAMED = 40  # nodes whose names fit beside a matrix
MOST_NUMBERED = 12  # nodes of a matrix whose cells have room for a number
MOST_SHOWN = 1000  # nodes in a matrix
MANY, SMALL = 100, 8  # nodes from which on a matrix of groups as small as that is but a thin line
MOST_GROUPS = 400
MOST_LINKS = 3  # a node: more are a disk of one colour, so that only the strongest of each node is drawn
CROWDED = 60  # links in a cell from which on they are drawn thinner
ALIKE = 0.05  # correlations that differ by less have one colour, and the title their range
RADIUS = 0.22  # of a group in its cell
LONGEST = 18  # letters of a name
_COLOURS = "RdBu_r"
_NODE, _LINK, _COPY = "#00798c", "#d1495b", "#edae49"


def draw_topology(path: str | os.PathLike[str], found: Topology, title: str) -> None:
    """Write a PNG, SVG or PDF, by the name of `path`.

    Left the correlations of everything that is in a group (of many small groups, in order of size), right each group
    with its links, or the probe with them. Where nothing is linked, a sentence, and every node by itself.
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
    if groups and len(shown) > MANY and len(groups[0]) <= SMALL:
        _strengths(left, found)
    elif len(shown) > 1:
        _matrix(figure, left, found, shown[:MOST_SHOWN])
    else:
        _sentence(left, found)
    if found.positions is not None:
        _probe(right, found)
    elif groups:
        _graph(right, found, groups[:MOST_GROUPS])
    else:
        _alone(right, found)
    with report_output(path) as (out, _):
        figure.savefig(out, format=Path(path).suffix[1:].lower())


def _sentence(axes: Any, found: Topology) -> None:
    """What was found where there is nothing to draw."""
    text = f"None of the {len(found.names):,} {found.of}\nis simultaneous with another"
    if len(found.names) == 1:
        text = "A single recording has no companion"
    axes.text(0.5, 0.5, text, ha="center", fontsize=16)
    axes.set_axis_off()


def _matrix(figure: Any, axes: Any, found: Topology, shown: list[int]) -> None:
    title = f"Correlation of the first differences, {found.of}{' by group' * (found.of != 'channels')}"
    values = found.correlations[np.ix_(shown, shown)].copy()
    np.fill_diagonal(values, np.nan)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    most = max(high, -low, ALIKE)
    alike = high - low < ALIKE < abs(low + high) / 2
    if alike:
        most *= 2  # half of the scale: a page in its deepest colour is unreadable
        title += f": all {low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f": all from {low:.2f} to {high:.2f}"
    axes.set_title(title)
    image = axes.imshow(values, cmap=_COLOURS, vmin=-most, vmax=most, interpolation="nearest")
    axes.set_facecolor("#dddddd")
    if not alike:
        figure.colorbar(image, ax=axes, shrink=0.8)
    if len(shown) <= MOST_NUMBERED:
        for (row, column), value in np.ndenumerate(values):
            if row != column:
                colour = "white" if abs(value) > 0.6 * most else "black"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9)
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
    axes.set_title("Correlation of the first differences of each pair that is coded together")
    axes.set_xlabel(f"{len(sizes):,} links, in order")
    axes.set_ylabel("correlation, magnitude")
    axes.set_ylim(0, None)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _short(name: str) -> str:
    stem = Path(name).stem
    return stem if len(stem) <= LONGEST else stem[: LONGEST - 1] + "…"


def _alone(axes: Any, found: Topology) -> None:
    """Every node by itself, as none is linked to another."""
    refers = "No channel refers to another" if found.of == "channels" else "No recording is coded with another"
    axes.set_title(f"{refers} ({len(found.names):,} alone)")
    across = int(np.ceil(np.sqrt(max(1, len(found.names)))))
    places = {node: (float(node % across), -float(node // across)) for node in range(len(found.names))}
    _nodes(axes, found, places, across)


def _graph(axes: Any, found: Topology, groups: list[list[int]]) -> None:
    """Every group in a cell of its own, its nodes on a circle."""
    across = int(np.ceil(np.sqrt(len(groups))))
    places: dict[int, tuple[float, float]] = {}
    for cell, group in enumerate(groups):
        angles = 2 * np.pi * np.arange(len(group)) / len(group)
        row, column = divmod(cell, across)
        for node, angle in zip(group, angles, strict=True):
            places[node] = column + RADIUS * float(np.cos(angle)), -row + RADIUS * float(np.sin(angle))
    what = "Which channel refers to which" if found.of == "channels" else "What is coded with what"
    alone = len(found.names) - sum(map(len, found.groups()))
    counts = f"{len(groups):,} group{'s' * (len(groups) != 1)}" + (f", {alone:,} alone" if alone else "")
    axes.set_title(f"{what} ({counts}){_links(axes, found, places, len(groups))}")
    _nodes(axes, found, places, across)


def _nodes(axes: Any, found: Topology, places: dict[int, tuple[float, float]], across: int) -> None:
    """Nodes with their names, in a square of cells so that one pair alone has room too."""
    x, y = zip(*places.values(), strict=True)
    size = max(2.0, min(9.5 / np.sqrt(across), 600 / len(places)))
    axes.plot(x, y, "o", markersize=size, color=_NODE, zorder=3)
    if len(places) <= MOST_NAMED:
        for node, place in places.items():
            axes.annotate(_short(found.names[node]), place, (5, 5), textcoords="offset points", fontsize=8)
    axes.set_xlim(-1.5 * RADIUS, across - 1 + 1.5 * RADIUS)
    axes.set_ylim(1 - across - 1.5 * RADIUS, 1.5 * RADIUS)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _probe(axes: Any, found: Topology) -> None:
    """The channels where the probe has them."""
    assert found.positions is not None
    places = {node: (float(x), float(y)) for node, (x, y) in enumerate(found.positions)}
    note = _links(axes, found, places) if found.links else ": to none"
    axes.scatter(found.positions[:, 0], found.positions[:, 1], s=14, color=_NODE, zorder=3)
    if len(places) <= MOST_NAMED:
        for node, place in places.items():
            axes.annotate(found.names[node], place, (5, 5), textcoords="offset points", fontsize=8)
    axes.set_title(f"Channels on the probe, and those that each refers to{note}")
    axes.set_xlabel("x, µm")
    axes.set_ylabel("y, µm")
    axes.margins(0.12)


def _links(axes: Any, found: Topology, places: dict[int, tuple[float, float]], cells: int = 1) -> str:
    """Draw the links between nodes that are shown, and return what the title has to add."""
    links = [link for link in found.links if link.node in places and link.other in places]
    most = max((abs(link.correlation) for link in links), default=1.0) or 1.0
    total, note = len(links), ""
    if total > MOST_LINKS * len(places):
        strongest: dict[int, Link] = {}
        for link in sorted(links, key=lambda link: abs(link.correlation)):
            strongest[link.node] = link
        links = list(strongest.values())
        note = f"\nof {total:,} links, the strongest of each"
    thin = min(1.0, CROWDED * cells / max(1, len(links)))
    for link in links:
        (x0, y0), (x1, y1) = places[link.other], places[link.node]
        strength = abs(link.correlation) / most
        colour = _COPY if link.channel is None else _LINK
        width = 0.5 + 2.5 * strength * thin
        axes.plot([x0, x1], [y0, y1], color=colour, lw=width, alpha=(0.3 + 0.7 * strength) * max(thin, 0.4))
    return note

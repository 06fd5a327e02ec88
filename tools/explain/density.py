"""The picture of one sample's density, and of how densities become bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spikey.model.table_definitions import COMPONENTS
from tools.explain.probe import Followed
from tools.explain.recording import SETTLED, Explained, Floats, normal
from tools.explain.style import INK, PALE, RED, TEAL, picture


def draw_density(this: Explained) -> Any:
    """One sample's density under even and under known widths; below, three samples narrow an interval."""
    figure = picture(f"{this.name}: from a density to bits", (12, 8.4))
    grid = figure.add_gridspec(2, 2, height_ratios=[1, 1.05])
    left, right = (figure.add_subplot(grid[0, column]) for column in (0, 1))
    below = figure.add_subplot(grid[1, :])
    at = telling_sample(this)
    tops = []
    for axes, model, title in (
        (left, this.even, "all codes equally wide"),
        (right, this.known, "widths as calibrated"),
    ):
        bell = _bell(model.deviations[at])
        reach = 2.6 * model.deviations[at]
        edges = model.edges
        near = np.flatnonzero((edges[1:] > model.locations[at] - reach) & (edges[:-1] < model.locations[at] + reach))
        for code in near:
            x = np.linspace(edges[code], edges[code + 1], 12)
            shade = RED if code == model.codes[at] else (TEAL if code % 2 else PALE)
            axes.fill_between(x, 0, bell(x - model.locations[at]), color=shade, lw=0)
        across = np.linspace(edges[near[0]], edges[near[-1] + 1], 300)
        axes.plot(across, bell(across - model.locations[at]), color=INK, lw=1.6)
        tops.append(float(bell(np.zeros(1))[0]))
        axes.set(title=f"{title}: code {model.codes[at]} has {100 * model.mass[at]:.1f} %, {model.bits[at]:.2f} bits")
        axes.set(xlabel="position (LSB)", ylabel="density (1/LSB)")
        axes.axvline(model.locations[at], color=INK, lw=1, ls="--")
    for axes in (left, right):
        axes.set_ylim(0, 1.12 * max(tops))
        axes.set_xlim(left.get_xlim())
    _draw_intervals(below, this.known, at)
    return figure


def _draw_intervals(axes: Any, model: Followed, at: int, samples: int = 3) -> None:
    """What the range coder does with `samples` samples from `at` on: each part is the whole of the next row."""
    axes.set(xlim=(0, 1), ylim=(-0.12, samples - 0.15), xlabel="share of the interval in hand, all codes in order")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    total = 0.0
    for row in range(samples):
        here, bottom = at + row, samples - 1 - row
        low, mass = model.low[here], model.mass[here]
        shares = _shares(model, here)
        starts = np.concatenate([[0.0], np.cumsum(shares)[:-1]])
        colours = np.where(np.arange(len(shares)) % 2, TEAL, PALE)
        axes.barh(np.full(len(shares), bottom), shares, left=starts, height=0.34, color=colours, align="edge")
        axes.barh(bottom, mass, left=low, height=0.34, color=RED, align="edge")
        total += model.bits[here]
        text = f"code {model.codes[here]}: {model.bits[here]:.2f} bits, {total:.2f} in all"
        centre = low + mass / 2
        side = "left" if centre < 0.3 else "right" if centre > 0.7 else "center"
        anchor = {"left": low, "right": low + mass, "center": centre}[side]
        axes.text(anchor, bottom + 0.37, text, ha=side, va="bottom", fontsize=11.5, color=RED)
        if row + 1 < samples:
            axes.fill([low, low + mass, 1, 0], [bottom, bottom, bottom - 0.66, bottom - 0.66], color=RED, alpha=0.1)
    named = int(np.ceil(total))
    axes.set_title(f"three samples: each part in red is the whole of the next row; {named} bits name the last one")


def telling_sample(this: Explained) -> int:
    """A well predicted sample where knowing the widths matters, the same for figures and pictures."""
    model = this.known
    at = np.arange(min(SETTLED, len(model.codes) // 2), len(model.codes) - 3)
    well = at[np.abs(model.residuals[at]) < 0.8 * model.deviations[at]]
    gain = this.even.bits[well] - model.bits[well]
    return int(well[np.argsort(gain, kind="stable")[round(0.9 * (len(well) - 1))]])


def _bell(deviation: float) -> Callable[[Floats], Floats]:
    """The density's shape: a mixture of two Gaussians."""

    def density(distance: Floats) -> Floats:
        total = np.zeros_like(distance)
        for weight, share in COMPONENTS:
            width = float(share) * deviation
            total += float(weight) * np.exp(-0.5 * (distance / width) ** 2) / (width * np.sqrt(2 * np.pi))
        return total

    return density


def _shares(model: Followed, at: int) -> Floats:
    """The probability of every code at a sample, as the bell gives it; float64 (codes,)."""
    z = (model.edges - model.locations[at]) / model.deviations[at]
    z[0], z[-1] = -99, 99  # beyond its last code a converter has nothing to say
    return np.diff(sum(float(weight) * normal(z / float(share)) for weight, share in COMPONENTS))

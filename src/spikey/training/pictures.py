"""The pictures of a training: its curves, the gain on each recording, and the distribution of the errors."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spikey.model.table_definitions import COMPONENTS
from spikey.recording.output import write_report

_NETWORK, _BASE, _MODEL = "#00798c", "#8d8d8d", "#d1495b"
_REACH = 6  # deviations


@contextmanager
def _picture(path: Path, title: str, columns: int = 1) -> Iterator[Any]:
    """Axes side by side, to be filled; then a PNG of 1200 x 600 pixels is written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)  # no window, no global state, whatever backend the caller uses
    figure.suptitle(title, fontsize=16, parse_math=False)
    every = figure.subplots(1, columns, squeeze=False)[0]
    yield every if columns > 1 else every[0]
    for axes in every:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.label.set_fontsize(13)
        axes.yaxis.label.set_fontsize(13)
        axes.tick_params(labelsize=11)
    rendered = io.BytesIO()
    figure.savefig(rendered, format="png")
    write_report(path, rendered.getvalue())


def draw_curves(path: Path, title: str, steps: list[tuple[int, float]], history: list[dict[str, Any]]) -> None:
    """Loss of the training's steps (step, loss), and test loss and base of each evaluation, in bits per sample."""
    with _picture(path, title) as axes:
        if steps:
            at, losses = np.array(steps).T
            axes.plot(at, losses, color=_NETWORK, lw=0.8, alpha=0.45, label="training, single steps")
        evaluated = [entry["step"] for entry in history]
        tested = [entry["test_loss"] for entry in history]
        axes.plot(evaluated, tested, color=_NETWORK, lw=2, marker="o", label="test recordings, network")
        base = history[0]["base_loss"]
        axes.axhline(base, color=_BASE, lw=2, ls="--", label="test recordings, without network")
        near = [base, *tested, *np.percentile([loss for _, loss in steps] or [base], (10, 90))]
        room = 0.05 * (max(near) - min(near)) + 1e-3
        axes.set_ylim(min(near) - room, max(near) + room)
        axes.set_xlabel("steps of the optimiser")
        axes.set_ylabel("bits per sample")
        axes.legend(framealpha=0.9, edgecolor="none", fontsize=11)


def draw_recordings(path: Path, title: str, base: np.ndarray, network: np.ndarray) -> None:
    """Each test channel's bits per sample without and with the network, float (channels,), and the gains in order."""
    with _picture(path, title, columns=2) as (left, right):
        low, high = min(base.min(), network.min()), max(base.max(), network.max())
        room = 0.05 * (high - low) + 0.01
        left.plot([low - room, high + room], [low - room, high + room], color=_BASE, lw=1.2, ls="--", label="no gain")
        left.scatter(base, network, s=26, color=_NETWORK, alpha=0.75, edgecolors="none", label="a test recording")
        left.set_xlabel("without network (bits per sample)")
        left.set_ylabel("with network (bits per sample)")
        left.legend(frameon=False, fontsize=11)
        gain = np.sort(100 * (1 - network / base))
        right.bar(np.arange(1, len(gain) + 1), gain, width=0.85, color=np.where(gain > 0, _NETWORK, _MODEL).tolist())
        right.axhline(np.median(gain), color="#222222", lw=1, ls=":", label=f"median {np.median(gain):.2f} %")
        right.axhline(0, color="0.4", lw=0.8)
        right.xaxis.get_major_locator().set_params(integer=True)
        right.set_xlabel("test recordings, sorted")
        right.set_ylabel("fewer bits (%)")
        right.legend(frameon=False, fontsize=11)


def draw_errors(path: Path, title: str, errors: np.ndarray) -> None:
    """The standardised errors, float (frames,), beside the shape that the codec assumes."""
    inside = errors[np.abs(errors) < _REACH]
    across = np.linspace(-_REACH, _REACH, 601)
    shape = sum(
        float(weight / width) / math.sqrt(2 * math.pi) * np.exp(-0.5 * (across / float(width)) ** 2)
        for weight, width in COMPONENTS
    )
    with _picture(path, title, columns=2) as both:
        for axes, scale in zip(both, ("linear", "log"), strict=True):
            axes.hist(
                inside,
                bins=np.linspace(-_REACH, _REACH, 97).tolist(),
                weights=np.full(len(inside), 8 / max(len(errors), 1)),
                color=_NETWORK,
                alpha=0.6,
                label=f"{len(errors):,} errors, deviation {errors.std():.3f}",
            )
            axes.plot(across, shape, color=_MODEL, lw=2, label="the codec's shape")
            axes.set_yscale(scale)
            axes.set_xlabel("error (predicted deviations)")
            axes.set_ylabel("density" if scale == "linear" else "density, logarithmic")
        both[1].set_ylim(1e-6, 1)
        both[0].set_ylim(0, 0.62)
        both[0].legend(frameon=False, fontsize=11, loc="upper left")

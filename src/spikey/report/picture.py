"""A picture of what a predictor does: signal and prediction, what is left, and how that is distributed."""

from __future__ import annotations

import io
import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikey.base.errors import UsageError, install
from spikey.recording.output import write_report

_SIGNAL, _PREDICTION, _RESIDUAL, _FIT = "#222222", "#d1495b", "#00798c", "#edae49"


def draw_prediction(
    path: str | os.PathLike[str],
    positions: ArrayLike,
    predictions: ArrayLike,
    residuals: ArrayLike,
    rate: float,
    title: str = "Prediction",
    *,
    num_points: int = 200,
) -> None:
    """Write a PNG of 1400 x 800 pixels to `path`.

    Above, the first `num_points` samples and their predictions; below, their residuals; to the right, the histogram of
    all residuals with the Gaussian of the same mean and standard deviation.

    positions, predictions, residuals: real and finite, of shape (frames,), in ADC codes; `residuals` is usually
        positions - predictions, but may be what is really coded.
    rate: Hz.

    Raises UsageError when matplotlib is missing, the arguments cannot be drawn, or the file cannot be written.

    >>> import pathlib, tempfile
    >>> signal = np.sin(np.arange(300.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     picture = pathlib.Path(folder, "sine.png")
    ...     draw_prediction(picture, signal, 0.9 * signal, 0.1 * signal, rate=19_531, title="A sine")
    ...     picture.read_bytes()[1:4]
    b'PNG'
    """
    signal, predicted, left = (np.asarray(values, dtype=np.float64) for values in (positions, predictions, residuals))
    if signal.ndim != 1 or signal.size == 0 or not signal.shape == predicted.shape == left.shape:
        shapes = ", ".join(str(values.shape) for values in (signal, predicted, left))
        raise UsageError(f"{path}: a picture needs three arrays of one shape (frames,), not {shapes}")
    if not all(np.isfinite(values).all() for values in (signal, predicted, left)):
        raise UsageError(f"{path}: a picture needs finite numbers, and some are infinite or missing")
    if not (0 < rate < np.inf and num_points >= 1):
        raise UsageError(f"{path}: a picture needs a positive rate and number of points, not {rate} and {num_points}")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            f"{path}: a picture needs matplotlib, which is missing: {install('plot')}", code="missing-package"
        ) from None

    figure = Figure(figsize=(14, 8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)  # no window, no global state, whatever backend the caller uses
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)  # type: ignore[union-attr, call-arg]
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 1.15], height_ratios=[1.6, 1])
    upper, lower, right = (figure.add_subplot(cell) for cell in (grid[0, 0], grid[1, 0], grid[:, 1]))
    figure.suptitle(title, fontsize=17, parse_math=False)

    shown = slice(0, num_points)
    time = np.arange(signal[shown].size) / rate * 1e3
    marker = "." if time.size <= 400 else ""
    upper.plot(time, signal[shown], color=_SIGNAL, lw=1.6, marker=marker, label="signal")
    upper.plot(time, predicted[shown], color=_PREDICTION, lw=1.3, marker=marker, ms=4, label="prediction")
    upper.set_ylabel("ADC codes")
    upper.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)
    upper.sharex(lower)
    upper.tick_params(labelbottom=False)

    lower.axhline(0, color="0.6", lw=0.8)
    lower.plot(time, left[shown], color=_RESIDUAL, lw=1.1, marker=marker, ms=4)
    lower.set_xlabel("time (ms)")
    lower.set_ylabel("residual (ADC codes)")
    lower.margins(x=0.01)

    mean, sd = float(left.mean()), float(left.std())
    edges = _bins(left, mean, sd)
    right.hist(left, bins=edges.tolist(), density=True, color=_RESIDUAL, alpha=0.6, label=f"{left.size:,} residuals")
    if sd > 0:
        across = np.linspace(edges[0], edges[-1], 400)
        gaussian = np.exp(-0.5 * ((across - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
        right.plot(across, gaussian, color=_FIT, lw=2.4, label=f"Gaussian, sd {sd:.2f}")
    right.set_xlabel("residual (ADC codes)")
    right.set_ylabel("density")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, borderaxespad=0.2)

    for axes in (upper, lower, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        for text in (axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(13)
        axes.tick_params(labelsize=11)

    figure.align_ylabels([upper, lower])
    rendered = io.BytesIO()
    figure.savefig(rendered, format="png")
    write_report(path, rendered.getvalue())


def _bins(residuals: NDArray[np.float64], mean: float, sd: float) -> NDArray[np.float64]:
    """Edges of about 60 bins over five standard deviations, whole codes wide where the residuals are whole."""
    # A single artifact must not squeeze the rest into one bar: what lies further out is not drawn.
    half = max(5 * sd, 0.5)
    if not np.array_equal(residuals, np.rint(residuals)):
        return np.linspace(mean - half, mean + half, 61)
    width = max(1.0, np.rint(half / 30))
    edges: NDArray[np.float64] = np.floor(mean - half) - 0.5 + width * np.arange(np.ceil(2 * (half + 1) / width) + 1)
    return edges

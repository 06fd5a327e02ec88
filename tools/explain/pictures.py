"""The pictures of `tools.explain`: signal, converter, prediction, density, learning, limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tools.explain.density import draw_density
from tools.explain.figures import steps_of
from tools.explain.recording import (
    PIECE,
    SETTLED,
    Explained,
    Floats,
    gaussian_bits,
    spectrum,
    usual_deviation,
)
from tools.explain.style import GOLD, GREY, INK, RED, TEAL, picture

RESULTS = 4.5202  # bits per sample of `balanced` on the validation set: docs/results.md
LEAST_SHOWN = 64  # samples
NOISE_OF_FILES = (4.0, 7.5)  # codes, of most files: docs/results.md


def draw_signal(this: Explained) -> Any:
    """A second of the signal, ten milliseconds of it, and its spectrum."""
    figure = picture(f"{this.name}: the signal")
    grid = figure.add_gridspec(2, 2)
    above, close, power = (figure.add_subplot(cell) for cell in (grid[0, :], grid[1, 0], grid[1, 1]))
    codes, rate = this.known.codes, this.rate
    spike, second = _deepest(this), int(np.clip(round(rate), LEAST_SHOWN, len(codes) // 2))
    first = int(np.clip(spike - second // 2, 0, len(codes) - second))
    time = np.arange(second) / rate
    above.plot(time, codes[first : first + second], color=INK, lw=0.6)
    shown = _around(spike, round(0.01 * rate), len(codes))
    above.axvspan((shown.start - first) / rate, (shown.stop - first) / rate, color=RED, alpha=0.3, lw=0)
    above.set(xlabel="time (s)", ylabel="ADC code", title="a second; the stripe in red is shown close up")
    above.margins(x=0.01)
    time = np.arange(shown.stop - shown.start) / rate * 1e3
    close.plot(time, codes[shown], color=INK, lw=1, marker="o", ms=3)
    close.set(xlabel="time (ms)", ylabel="ADC code", title="10 ms, every dot a sample")
    frequency, density = spectrum(this.known.positions, rate)
    power.loglog(frequency, density, color=INK, lw=1.4)
    power.set(xlabel="frequency (Hz)", ylabel="power (codes²/Hz)", title="its spectrum falls towards high frequencies")
    for axes in (above, close, power):
        axes.grid(alpha=0.25)
    return figure


def draw_converter(this: Explained) -> Any:
    """The widths of the codes that the recording visits most, and how often it visits them."""
    figure = picture(f"{this.name}: the converter")
    widths_axes, often = figure.subplots(2, 1, sharex=True)
    counts = np.bincount(this.known.codes, minlength=this.levels.alphabet)
    length = min(72, this.levels.alphabet)
    first = int(np.argmax(np.convolve(counts, np.ones(length), mode="valid")))
    codes = np.arange(first, first + length)
    widths_axes.bar(codes, np.diff(this.known.edges)[codes], width=0.85, color=TEAL, label=this.source)
    if this.true_widths is not None:
        widths_axes.plot(codes, this.true_widths[codes], "_", ms=9, mew=2.2, color=RED, label="true width")
    widths_axes.axhline(1, color=INK, lw=1, ls=":", label="an ideal converter")
    widths_axes.set(ylabel="width (LSB)", title="how wide each code is")
    top = float(np.diff(this.known.edges)[codes].max())
    widths_axes.set_ylim(0, 1.35 * top)
    widths_axes.legend(frameon=False, fontsize=11, ncols=3, loc="upper right")
    often.bar(codes, counts[codes], width=0.85, color=GREY, label="samples of this recording")
    expected = _smooth(counts)
    often.plot(codes, expected[codes], color=GOLD, lw=2.4, label="if all codes were equally wide")
    often.set(xlabel="ADC code", ylabel="samples", title="how often each code occurs")
    often.set_ylim(0, 1.25 * float(max(counts[codes].max(), expected[codes].max())))
    often.legend(frameon=False, fontsize=11, ncols=2, loc="upper right")
    often.margins(x=0.01)
    return figure


def draw_prediction(this: Explained) -> Any:
    """Signal, prediction and residual on one scale; their spectra; the residual's distribution."""
    figure = picture(f"{this.name}: prediction", (12, 7))
    grid = figure.add_gridspec(2, 2, width_ratios=[1.5, 1])
    upper = figure.add_subplot(grid[0, 0])
    lower = figure.add_subplot(grid[1, 0], sharex=upper)
    spectra, spread = (figure.add_subplot(grid[row, 1]) for row in (0, 1))
    model, rate = this.known, this.rate
    shown = _around(_deepest(this), round(0.009 * rate), len(model.codes))
    time = np.arange(shown.stop - shown.start) / rate * 1e3
    upper.plot(time, model.positions[shown], color=INK, lw=1.5, marker=".", label="signal")
    upper.plot(time, model.locations[shown], color=RED, lw=1.2, marker=".", ms=4, label="prediction")
    upper.set(ylabel="ADC codes", title="each sample is predicted from those before it")
    upper.legend(frameon=False, fontsize=11, ncols=2)
    lower.axhline(0, color="0.6", lw=0.8)
    lower.plot(time, model.residuals[shown], color=TEAL, lw=1.2, marker=".")
    lower.set(xlabel="time (ms)", ylabel="ADC codes", title="the residual, on the same scale")
    middle = float(np.mean(upper.get_ylim()))
    half = 1.1 * max(upper.get_ylim()[1] - middle, float(np.abs(model.residuals[shown]).max()))
    upper.set_ylim(middle - half, middle + half)
    lower.set_ylim(-half, half)

    settled = slice(min(SETTLED, len(model.codes) // 2), None)
    for values, colour, label in ((model.positions, INK, "signal"), (model.residuals, TEAL, "residual")):
        frequency, density = spectrum(values[settled], rate)
        spectra.loglog(frequency, density, color=colour, lw=1.5, label=label)
    spectra.set(xlabel="frequency (Hz)", ylabel="power (codes²/Hz)", title="the residual's spectrum is nearly flat")
    spectra.legend(frameon=False, fontsize=11)
    left = model.residuals[settled]
    deviation = usual_deviation(left)
    across = np.linspace(-4.5 * deviation, 4.5 * deviation, 300)
    spread.hist(left, bins=np.arange(-4.5, 4.51, 0.15) * deviation, density=True, color=TEAL, alpha=0.55)
    gaussian = np.exp(-0.5 * (across / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    spread.plot(across, gaussian, color=GOLD, lw=2.4, label=f"Gaussian, sd {deviation:.2f} codes")
    spread.set(xlabel="residual (ADC codes)", ylabel="density (1/code)", title="and it is spread like Gaussian noise")
    spread.set_ylim(0, 1.3 * gaussian.max())
    spread.legend(frameon=False, fontsize=11)
    for axes in (upper, lower, spectra, spread):
        axes.grid(alpha=0.25)
    return figure


def draw_learning(this: Explained) -> Any:
    """The cost of a recording's first samples, and the running scale around an artifact."""
    figure = picture(f"{this.name}: learning while coding", (12, 5.2))
    start, jolt = figure.subplots(1, 2)
    groups = np.unique(np.concatenate([np.arange(1, 5), np.geomspace(5, PIECE, 18).round().astype(int)]))
    centre = np.sqrt(groups[:-1] * (groups[1:] - 1.0))
    for costs, colour, label in (
        (this.start, RED, "starting from nothing"),
        (this.start_prior, TEAL, "starting from the device's usual signal"),
    ):
        means = np.add.reduceat(costs, groups[:-1]) / np.diff(groups)
        start.semilogx(centre, means, color=colour, lw=1.8, marker="o", ms=4, label=label)
    settled = float(this.known.bits[min(SETTLED, len(this.known.codes) // 2) :].mean())
    start.axhline(settled, color=INK, lw=1.2, ls=":", label="after a second")
    start.set(xlabel="samples since the start", ylabel="bits per sample", title="the first samples cost more")
    low, high = start.get_ylim()
    start.set_ylim(low, high + 0.35 * (high - low))
    start.legend(frameon=False, fontsize=11, loc="upper right")

    model = this.jolt
    later = min(SETTLED // 4, len(model.codes) // 4)
    worst = later + int(np.argmax(np.abs(model.residuals[later:])))
    shown = _around(worst, round(0.03 * this.rate), len(model.codes))
    time = (np.arange(shown.start, shown.stop) - worst) / this.rate * 1e3
    scale = model.deviations[shown]
    jolt.fill_between(time, -2 * scale, 2 * scale, color=GOLD, alpha=0.45, lw=0, label="twice the running scale")
    jolt.plot(time, model.residuals[shown], ".", ms=4, color=TEAL, label="residual")
    seen = float(max(6 * np.median(scale), 2.4 * scale.max()))
    jolt.set_ylim(-seen, seen)
    error = float(model.residuals[worst])
    height = float(np.clip(error, -0.94 * seen, 0.94 * seen))
    jolt.plot(0, height, "o" if height == error else "^" if error > 0 else "v", color=RED)
    jolt.text(0.8, height, f"{error:+.0f} codes", color=RED, va="center", fontsize=11)
    jolt.set(xlabel="time (ms)", ylabel="ADC codes", title="the largest error, and how the scale follows")
    jolt.legend(frameon=False, fontsize=11, loc="lower left")
    for axes in (start, jolt):
        axes.grid(alpha=0.25, which="both")
    return figure


def draw_limit(this: Explained) -> Any:
    """What each stage leaves of a sample, and what noise alone takes."""
    figure = picture("What is left, and what noise takes", (12, 6.2))
    bars, curve = figure.subplots(1, 2, width_ratios=[1.15, 1])
    steps = steps_of(this)
    names, bits = [step.name for step in steps], np.array([step.bits for step in steps])
    places = np.arange(len(steps))[::-1]
    colours = [GREY if "file" in name or "bits" in name else GOLD if "noise" in name else TEAL for name in names]
    bars.barh(places, bits, color=colours, height=0.68)
    for place, value in zip(places, bits, strict=True):
        bars.text(value + 0.2, place, f"{value:.2f}", va="center", fontsize=11)
    bars.set_yticks(places, names)
    bars.set_xlim(0, 1.12 * bits.max())
    bars.set(xlabel="bits per sample", title=this.name)
    deviations = np.geomspace(0.15, 14, 60)
    curve.plot(
        deviations, [gaussian_bits(one) for one in deviations], color=INK, lw=2, label="entropy of Gaussian noise"
    )
    curve.plot(*np.array(this.limits).T, "o", color=TEAL, ms=7, label="simulated recordings, lpc")
    curve.axvspan(*NOISE_OF_FILES, color=GOLD, alpha=0.3, lw=0, label="what is left of most N1 recordings")
    curve.axhline(RESULTS, color=RED, lw=1.4, ls="--", label=f"119 N1 recordings, balanced: {RESULTS:.2f}")
    curve.axhline(16 / 200, color=RED, lw=2, label=f"200 to 1: {16 / 200:.2f}")
    curve.set(xlabel="noise after prediction: standard deviation (codes)", ylabel="bits per sample")
    curve.set(xlim=(0, 14), ylim=(0, 9), title="no code is shorter than the entropy")
    curve.legend(frameon=False, fontsize=11, loc="upper left")
    curve.grid(alpha=0.25)
    return figure


PICTURES: dict[str, Callable[[Explained], Any]] = {
    "signal.png": draw_signal,
    "converter.png": draw_converter,
    "prediction.png": draw_prediction,
    "density.png": draw_density,
    "learning.png": draw_learning,
    "limit.png": draw_limit,
}


def _deepest(this: Explained) -> int:
    """The sample that lies farthest below its prediction, once the predictor has settled."""
    first = min(SETTLED, len(this.known.codes) // 2)
    return first + int(np.argmin(this.known.residuals[first:]))


def _around(centre: int, length: int, frames: int) -> slice:
    length = max(length, LEAST_SHOWN)
    first = int(np.clip(centre - length // 2, 0, max(frames - length, 0)))
    return slice(first, min(first + length, frames))


def _smooth(counts: np.ndarray, reach: int = 16) -> Floats:
    """The counts without what changes from code to code."""
    window = np.hanning(2 * min(reach, (len(counts) - 1) // 2) + 1)
    inside = np.convolve(np.ones(len(counts)), window, mode="same")
    return np.asarray(np.convolve(counts, window, mode="same") / inside)

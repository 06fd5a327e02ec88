"""The pictures of a bench's report: ratio against speed, each recording, code widths, spectra, residuals."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikey.codec.calibration_policy import AUTO, choose_calibration
from spikey.codec.method import LPC
from spikey.levels.registry import find_levels
from spikey.model.fixed_point import UNIT
from spikey.report.bench.floor import aligned
from spikey.report.bench.measure import Result
from spikey.report.bench.ranking import counted, frontier
from spikey.report.bench.recordings import Loaded, load
from spikey.report.probe import trace

OURS, OTHERS, FLOOR, FIT = "#00798c", "#8d8d8d", "#d1495b", "#edae49"
_COLOURS = (OURS, "#edae49", "#30638e", "#5b8c5a", "#8d5a97", "#222222")
Picture = tuple[str, str, bytes]  # heading, caption, PNG
FRAMES = 1 << 17  # of a recording's first channel that are looked at
LOOKED_AT = 12  # recordings whose spectra are averaged
SEGMENT = 1024  # frames of a spectrum


def draw_all(
    results: list[Result],
    facts: dict[str, Any],
    files: list[Path],
    raw: tuple[int, float, str] | None,
    seconds: float | None,
) -> list[Picture]:
    """All pictures; results: ranked."""
    complete = [result for result in results if result.complete]
    pictures = []
    if complete:
        pictures.append(_speeds(complete, [results.index(each) + 1 for each in complete], facts))
        if len(files) > 1:
            pictures.append(_recordings(complete, facts))
    order = np.argsort([size or 0 for size in complete[0].sizes]) if complete else np.arange(len(files))
    spread = [int(order[at]) for at in np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).astype(int))]
    looked = [load(files[index], raw, seconds) for index in spread]
    return [*pictures, _widths(looked), *_residuals(looked)]


def new_figure(columns: int, height: float = 5.5, rows: int = 1, top: int | None = None) -> tuple[Any, list[Any]]:
    """A figure and its panels, row by row; the first row has `top` panels where that is given."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    if top is None:
        axes = list(np.ravel(figure.subplots(rows, columns)))
    else:
        grid = figure.add_gridspec(rows, columns * top)
        axes = [figure.add_subplot(grid[0, at * columns : (at + 1) * columns]) for at in range(top)]
        axes += [
            figure.add_subplot(grid[row, at * top : (at + 1) * top]) for row in range(1, rows) for at in range(columns)
        ]
    for one in axes:
        one.grid(alpha=0.25)
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=11)
    return figure, axes


def png(figure: Any) -> bytes:
    """The figure as a file."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _speeds(results: list[Result], numbers: list[int], facts: dict[str, Any]) -> Picture:
    """Ratio against speed, both ways."""
    figure, axes = new_figure(2, 7)
    ratios = [result.original / result.compressed for result in results]
    for one, which in zip(axes, ("encode_seconds", "decode_seconds"), strict=True):
        speeds = [result.samples / max(getattr(result, which), 1e-9) / 1e6 for result in results]
        best = frontier(results, which)
        edge = sorted((s, r) for s, r, result in zip(speeds, ratios, results, strict=True) if result in best)
        one.plot(*zip(*edge, strict=True), color=FIT, lw=2, label="nothing is smaller and faster", zorder=1)
        for speed, ratio, result, number in zip(speeds, ratios, results, numbers, strict=True):
            colour = OTHERS if result.given else OURS
            one.plot(speed, ratio, "o", ms=17, color=colour, alpha=0.85, zorder=2)
            one.annotate(str(number), (speed, ratio), ha="center", va="center", color="w", fontsize=10, zorder=3)
        if facts.get("floor") and facts["floor"]["ratio"]:
            one.axhline(facts["floor"]["ratio"], color=FLOOR, ls="--", lw=1.5, label="estimate of the noise floor")
        one.set_xscale("log")
        one.set_xlabel(f"{which.split('_')[0]}, million samples/s", fontsize=13)
        one.set_ylabel("compression ratio", fontsize=13)
        one.legend(frameon=False, fontsize=11, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    caption = "Numbers are those of the table's rows; Spikey in teal, other codecs in grey. Up and right is better."
    return "Ratio against speed", caption, png(figure)


def _recordings(results: list[Result], facts: dict[str, Any]) -> Picture:
    """Bits per sample of every recording, and how codecs compare on each."""
    figure, (left, right) = new_figure(2)
    shown = _spread_out(results)
    samples = np.array(facts["samples_each"], dtype=np.float64)
    bits = {result.codec: 8 * np.array(result.sizes, dtype=np.float64) / samples for result in shown}
    best = bits[shown[0].codec]
    order = np.argsort(best)
    for (name, each), colour in zip(bits.items(), _COLOURS, strict=False):
        left.plot(np.arange(1, len(order) + 1), each[order], color=colour, lw=1.8, label=name)
    if facts.get("floor"):
        floor = np.array(facts["floor"]["each"])[order]
        left.plot(
            np.arange(1, len(order) + 1), floor, color=FLOOR, ls="--", lw=1.5, label="estimate of the noise floor"
        )
    left.set_xlabel(f"recordings, in the order of {shown[0].codec}", fontsize=13)
    left.set_ylabel("bits per sample", fontsize=13)
    left.legend(frameon=False, fontsize=10)
    names = [name for name in bits if name != shown[0].codec]
    if names:
        losses = [100 * (bits[name] / best - 1) for name in names]
        right.boxplot(losses, orientation="horizontal", tick_labels=names, whis=(5, 95), sym=".")
        right.axvline(0, color=OURS, lw=1.5)
        right.set_xlabel(f"% more bits than {shown[0].codec}", fontsize=13)
    caption = (
        "The smallest codec, and others from the table, on every single recording. Boxes hold the middle half of the "
    )
    return "Each recording", caption + "recordings, lines the middle 90 %.", png(figure)


def _spread_out(results: list[Result]) -> list[Result]:
    """At most six: the smallest, Spikey's others, and the best of each kind of other codec."""
    kinds: dict[str, Result] = {}
    for result in results:
        kinds.setdefault(result.codec.split(",")[0] if not result.given else result.codec.split()[0], result)
    return list(kinds.values())[: len(_COLOURS)]


def _widths(recordings: list[Loaded]) -> Picture:
    """Code widths of the ADC, where known, and how often each code occurs."""
    calibration, its = None, recordings[0]
    for its in recordings:
        calibration, _ = choose_calibration(AUTO, its, LPC)
        if calibration is not None:
            break
    values = its.samples[:FRAMES, 0]
    levels = find_levels(values)
    codes = levels.to_codes(values)[0]
    known = None if calibration is None else aligned(codes, levels, calibration)
    if known is None:
        calibration = None
    else:
        codes = known
    first, last = (int(end) for end in np.percentile(codes, [0.5, 99.5]))
    figure, panels = new_figure(1 if calibration is None else 2)
    if calibration is not None:
        left = panels[0]
        widths = np.diff(calibration.edges) / UNIT
        shown = np.arange(max(first, 0), min(last + 1, len(widths)))
        left.bar(shown, widths[shown], width=1.0, color=OURS)
        left.set_ylim(0, max(2.0, float(widths[shown].max(initial=0)) * 1.05))
        caption = f"Code widths of the ADC (calibration {calibration.id.hex()}), and how often codes occur."
        left.axhline(1, color="#222222", lw=1)
        left.set_xlabel("code", fontsize=13)
        left.set_ylabel("width, LSB", fontsize=13)
    else:
        caption = "The code widths are unknown, or storing them saves no space, so all codes are assumed to "
        caption += "be equally wide. How often they occur:"
    found, counts = np.unique(codes[(codes >= first) & (codes <= last)], return_counts=True)
    right = panels[-1]
    right.bar(found, counts, width=1.0, color=OTHERS)
    right.set_xlabel(f"code; {levels.words()}", fontsize=13)
    right.set_ylabel("samples of one recording", fontsize=13)
    return "Code widths", f"{caption} Drawn: {Path(its.name).name}, its first channel.", png(figure)


def _residuals(recordings: list[Loaded]) -> Iterator[Picture]:
    """Spectra before and after prediction, and the distribution of what is left."""
    signal, left_over, traced = [], [], []
    for recording in (each for each in recordings if each.layout.rate == recordings[0].layout.rate):
        positions, _, residuals = trace(np.ascontiguousarray(recording.samples[:FRAMES, 0]))
        if len(positions) >= SEGMENT and residuals.any():
            signal.append(_spectrum(positions))
            left_over.append(_spectrum(residuals))
            traced.append((recording, residuals[len(residuals) // 10 :]))
    if not traced:
        return
    figure, (axes,) = new_figure(1)
    rate = recordings[0].layout.rate or 1.0
    frequencies = np.fft.rfftfreq(SEGMENT, 1 / rate)
    for spectra, colour, label in ((signal, "#222222", "signal"), (left_over, OURS, "residual of lpc")):
        low, middle, high = np.percentile(10 * np.log10(np.array(spectra) / rate + 1e-12), [10, 50, 90], axis=0)
        axes.plot(frequencies[1:], middle[1:], color=colour, lw=2, label=label)
        axes.fill_between(frequencies[1:], low[1:], high[1:], color=colour, alpha=0.15)
    axes.set_xlabel("frequency, Hz", fontsize=13)
    axes.set_ylabel("dB of codes squared per Hz", fontsize=13)
    axes.legend(frameon=False, fontsize=12)
    caption = f"Median and middle 80 % of {counted(len(traced))}, first channels. A flat line holds nothing to predict."
    yield "Spectra", caption, png(figure)
    chosen = [traced[at] for at in sorted({0, len(traced) // 2, len(traced) - 1})]
    figure, each = new_figure(len(chosen), 4.5)
    for axes, (recording, residuals) in zip(each, chosen, strict=True):
        deviation = float(residuals.std())
        reach = 6 * deviation
        bins = np.linspace(-reach, reach, 121)
        axes.hist(residuals, bins=bins.tolist(), density=True, color=OURS, alpha=0.6)
        curve = np.exp(-0.5 * (bins / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        axes.plot(bins, curve, color=FIT, lw=2, label=f"Gaussian, deviation {deviation:.1f}")
        axes.set_yscale("log")
        axes.set_ylim(curve.max() * 1e-5, curve.max() * 3)
        axes.set_title(Path(recording.name).name[:40], fontsize=11, parse_math=False)
        axes.set_xlabel("residual, codes", fontsize=12)
        axes.legend(frameon=False, fontsize=10, loc="upper right")
    caption = (
        "Residuals of the recordings with the best, the average and the worst ratio. Gaussian noise is incompressible."
    )
    yield "Residuals", caption, png(figure)


def _spectrum(values: np.ndarray) -> np.ndarray:
    """Mean power of windowed segments, float64 (SEGMENT // 2 + 1,)."""
    count = len(values) // SEGMENT
    segments = values[: count * SEGMENT].reshape(count, SEGMENT)
    window = np.hanning(SEGMENT)
    parts = np.fft.rfft((segments - segments.mean(axis=1, keepdims=True)) * window, axis=1)
    return 2 * (np.abs(parts) ** 2).mean(axis=0) / (window @ window)

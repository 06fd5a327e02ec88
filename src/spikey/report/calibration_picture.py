"""A picture of a converter: the width of every code, the pattern close up, its spectrum, the integral nonlinearity, how
often codes occur before and after widths are taken into account, and what knowing them saves.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.base.errors import UsageError, install
from spikey.recording.output import write_report
from spikey.report.calibration_report import ENOUGH

if TYPE_CHECKING:
    from spikey.report.calibration_report import Report

FORMATS = (".png", ".svg", ".pdf")
PERIODS = 3  # in the close-up
CLOSE = 96  # codes in it where there is no period
MOST_BARS = 40
FEWEST_IN_SPECTRUM = 32  # codes
AROUND = 64  # codes whose mean count is looked at
_WIDTH, _PATTERN, _SAVING, _ROUND = "#00798c", "#d1495b", "#00798c", "#edae49"


def check_picture(path: str | os.PathLike[str]) -> None:
    """Raise UsageError where no picture could be written under that name, before there is one to write."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: a picture's name must end in {', '.join(FORMATS)}")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist")
    _matplotlib(path)


def _matplotlib(path: str | os.PathLike[str]) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            f"{path}: a picture needs matplotlib, which is missing: {install('plot')}", code="missing-package"
        ) from None
    return Figure, FigureCanvasAgg


def draw_calibration(path: str | os.PathLike[str], report: Report, title: str = "Code widths") -> None:
    """Write a PNG, SVG or PDF, by the name of `path`: the widths over the codes, a close-up, saving and convergence,
    integral nonlinearity, spectrum of the widths, and counts of codes.

    Raises UsageError when matplotlib is missing or the file cannot be written.
    """
    check_picture(path)
    make_figure, make_canvas = _matplotlib(path)
    figure = make_figure(figsize=(14, 13), dpi=100, layout="constrained")
    make_canvas(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    grid = figure.add_gridspec(3, 6, height_ratios=[1.1, 1, 1])
    above = figure.add_subplot(grid[0, :])
    close, saved, rounds = (figure.add_subplot(grid[1, cell]) for cell in (slice(0, 3), slice(3, 5), 5))
    integral, spectrum, counted = (figure.add_subplot(grid[2, cell : cell + 2]) for cell in (0, 2, 4))
    figure.suptitle(title, fontsize=17, parse_math=False)
    _draw_widths(above, report)
    _draw_pattern(close, report)
    _draw_savings(saved, report)
    _draw_rounds(rounds, report)
    _draw_integral(integral, report)
    _draw_spectrum(spectrum, report)
    _draw_counts(counted, report)
    for axes in (above, close, saved, rounds, integral, spectrum, counted):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=11)
        axes.title.set_fontsize(13)
        for text in (axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(13)
    rendered = io.BytesIO()
    figure.savefig(rendered, format=Path(path).suffix[1:].lower())
    write_report(path, rendered.getvalue())


def _draw_widths(axes: Any, report: Report) -> None:
    known, widths = report.known, report.widths
    axes.axhline(1, color="0.5", lw=1)
    axes.plot(known, widths[known], ".", ms=4, color=_WIDTH)
    if len(report.missing):
        axes.plot(report.missing, widths[report.missing], "x", ms=8, mew=2, color=_PATTERN, label="missing codes")
        axes.legend(loc="upper right", frameon=False)
    axes.set_title(f"the widths of {len(known):,} of {len(widths):,} codes, from {report.samples:,} samples")
    axes.set_xlabel("code")
    axes.set_ylabel("width (LSB)")
    top = float(np.percentile(widths[known], 99.8)) if len(known) else 2.0
    axes.set_ylim(0, max(1.2 * top, 1.6))
    if not len(known):
        axes.text(0.5, 0.5, "no code occurs often enough", ha="center", transform=axes.transAxes, fontsize=13)
    else:
        axes.margins(x=0.01)


def _draw_pattern(axes: Any, report: Report) -> None:
    """The codes that occur most, a few periods of them."""
    period = report.period
    length = min(PERIODS * period[0] if period else CLOSE, len(report.widths))
    seen = np.convolve(report.counts, np.ones(length), mode="valid")
    first = int(np.argmax(seen))
    if period:
        first = min(-(-first // period[0]) * period[0], len(report.widths) - length)
    codes = np.arange(first, first + length)
    axes.axhline(1, color="0.5", lw=1)
    sure = np.isin(codes, np.concatenate([report.known, report.missing]))
    axes.bar(codes, report.widths[codes], width=0.85, color=np.where(sure, _WIDTH, "0.8"))
    if period:
        for border in codes[codes % period[0] == 0]:
            axes.axvline(border - 0.5, color=_PATTERN, lw=1.6)
        axes.set_title(f"a pattern of {period[0]} codes (correlation {period[1]:.2f})")
    else:
        axes.set_title("close up; no period found")
    axes.set_xlabel("code")
    axes.set_ylabel("width (LSB)")
    axes.margins(x=0.01)


def _draw_savings(axes: Any, report: Report) -> None:
    each = np.array([one.even - one.calibrated for one in report.measured])
    if not len(each):
        axes.text(0.5, 0.5, "nothing held out", ha="center", transform=axes.transAxes, fontsize=13)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    if len(each) <= MOST_BARS:
        axes.bar(np.arange(1, len(each) + 1), each, color=_SAVING)
        axes.set_xlim(0.3, max(len(each), 4) + 0.7)
        axes.set_xlabel("held-out recording")
        axes.set_ylabel("saving (bits per sample)")
        axes.axhline(report.of_widths, color=_PATTERN, lw=1.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
    else:
        axes.hist(each, bins=30, color=_SAVING)
        axes.axvline(report.of_widths, color=_PATTERN, lw=1.6)
        axes.set_xlabel("saving (bits per sample)")
        axes.set_ylabel("held-out recordings")
    percent = 100 * report.of_widths / report.plain if report.plain else 0.0
    axes.set_title(f"widths save {report.of_widths:.4f} of {report.plain:.3f} bits ({percent:.2f} %)")


def _draw_rounds(axes: Any, report: Report) -> None:
    axes.plot(np.arange(1, len(report.rounds) + 1), report.rounds, "o-", color=_ROUND, lw=1.8)
    axes.set_title("convergence")
    axes.set_xlabel("round")
    axes.set_ylabel("ideal bits per sample")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.ticklabel_format(useOffset=False)


def _stretch(report: Report) -> np.ndarray:
    """The codes around the most frequent ones of which enough occur on average, narrow ones among them."""
    window = min(AROUND, len(report.counts))
    mean = np.convolve(report.counts, np.ones(window) / window, mode="same")
    most = int(np.argmax(mean))
    rare = np.flatnonzero(mean < ENOUGH)
    first, last = rare[rare < most].max(initial=0), rare[rare > most].min(initial=len(report.counts) - 1)
    return np.arange(first + 1, last)


def _draw_integral(axes: Any, report: Report) -> None:
    """The sum of the differences of widths from one LSB, from the first code on."""
    codes = _stretch(report)
    axes.axhline(0, color="0.5", lw=1)
    axes.plot(codes, np.cumsum(report.widths[codes] - 1), color=_WIDTH, lw=1.2)
    axes.set_title("integral nonlinearity")
    axes.set_xlabel("code")
    axes.set_ylabel("sum of width - 1 (LSB)")


def _draw_spectrum(axes: Any, report: Report) -> None:
    """The share of the widths' variance at each period."""
    codes = _stretch(report)
    if len(codes) < FEWEST_IN_SPECTRUM:
        axes.text(0.5, 0.5, "too few neighbouring codes", ha="center", transform=axes.transAxes, fontsize=13)
    else:
        differences = report.widths[codes] - report.widths[codes].mean()
        power = np.abs(np.fft.rfft(differences * np.hanning(len(codes))))[1:] ** 2
        axes.semilogx(
            len(codes) / np.arange(1, len(power) + 1), power / max(power.sum(), 1e-12), color=_PATTERN, lw=1.2
        )
        axes.set_xlim(2, min(len(codes), 1024))
        axes.set_xticks([at for at in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if at <= len(codes)])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_title("spectrum of the widths")
    axes.set_xlabel("period (codes)")
    axes.set_ylabel("share of the variance")


def _draw_counts(axes: Any, report: Report) -> None:
    """How often the codes that occur most did, and the same for a code of one LSB."""
    length = min(CLOSE, len(report.counts))
    first = int(np.argmax(np.convolve(report.counts, np.ones(length), mode="valid")))
    codes = np.arange(first, first + length)
    counts = report.counts[codes]
    axes.step(codes, counts, where="mid", color="0.6", lw=1.2, label="counts")
    axes.step(
        codes, counts / np.maximum(report.widths[codes], 0.05), where="mid", color=_WIDTH, lw=1.6, label="by width"
    )
    axes.set_ylim(0)
    axes.legend(loc="upper right", frameon=False)
    axes.set_title("how often codes occur")
    axes.set_xlabel("code")
    axes.set_ylabel("samples")
    axes.margins(x=0.01)

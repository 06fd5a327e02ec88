"""A picture of what each codec gains over another on every recording."""

from __future__ import annotations

import os

import numpy as np

from spikey.base.errors import UsageError, install
from spikey.recording.output import report_output
from spikey.report.bench.measure import Result

_COLOURS = ("#00798c", "#d1495b", "#edae49", "#30638e", "#5b8c5a", "#8d5a97", "#8d8d8d")


def draw_gains(path: str | os.PathLike[str], results: list[Result], base: str) -> None:
    """Write a PNG: for each codec but `base`, by how much smaller than with `base` each recording becomes, in order.

    Raises UsageError when matplotlib is missing, `base` was not measured, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            f"{path}: a picture needs matplotlib, which is missing: {install('plot')}", code="missing-package"
        ) from None
    whole = [result for result in results if None not in result.sizes]  # others are not comparable
    sizes = {result.codec: np.array(result.sizes, dtype=np.float64) for result in whole}
    if base not in sizes or len(sizes) < 2:
        raise UsageError(f"{path}: gains are drawn over {base}, which was not measured beside another codec")
    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = [name for name in sizes if name != base]
    for name, colour in zip(names, _COLOURS * len(names), strict=False):
        gains = np.sort(100 * (1 - sizes[name] / sizes[base]))[::-1]
        total = 100 * (1 - sizes[name].sum() / sizes[base].sum())
        axes.plot(np.arange(1, len(gains) + 1), gains, color=colour, lw=2, label=f"{name}: {total:+.2f} % in all")
    axes.axhline(0, color="#222222", lw=1)
    axes.set_title(f"What each recording gains over {base}", fontsize=16)
    axes.set_xlabel("recordings, each codec's in its own order of gain", fontsize=13)
    axes.set_ylabel("bytes saved, %", fontsize=13)
    axes.tick_params(labelsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=12)
    with report_output(path) as (out, _):
        figure.savefig(out, format="png")

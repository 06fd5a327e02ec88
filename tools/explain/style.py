"""How the pictures of `tools.explain` look, and their bytes."""

from __future__ import annotations

import io
from typing import Any

from spikey.base.errors import UsageError, install

INK, RED, TEAL, PALE, GOLD, GREY = "#222222", "#d1495b", "#00798c", "#7fbcc5", "#edae49", "#8d8d8d"
WIDE = (12, 6.4)
COLOURS = 96  # of a palette, which makes a picture a third of the size


def picture(title: str, size: tuple[float, float] = WIDE) -> Any:
    """An empty figure; UsageError where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(f"pictures need matplotlib, which is missing: {install('plot')}") from None
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)  # no window, no global state, whatever backend the caller uses
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr, call-arg]
    figure.suptitle(title, fontsize=15, parse_math=False)
    return figure


def png(figure: Any) -> bytes:
    """The figure in the house's style, as a PNG."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=11)
        for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
            text.set_fontsize(12)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return small(drawn.getvalue())


def small(drawn: bytes) -> bytes:
    """A PNG with a palette."""
    from PIL import Image  # which matplotlib needs itself

    image = Image.open(io.BytesIO(drawn)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    image.save(packed, "PNG", optimize=True)
    return packed.getvalue()

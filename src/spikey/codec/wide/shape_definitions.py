"""Definitions of the tables in `data/tables/wide.npz`, which `python -m tools.make_tables` writes: shapes of residuals.

A shape is a mixture of normal distributions with a mean absolute value of 1. Everything is computed with `decimal`, so
that the tables can be made again anywhere; the tests compare. The engine only loads them.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import NamedTuple

import numpy as np

from spikey.model.table_definitions import normal_distribution

PI = Decimal("3.14159265358979323846264338327950288419716939937510582")
CELLS = 256  # of the counts, for each mean absolute error
REACH = 16  # mean absolute errors
MASS_BITS = 14
QUANTILE_BITS = 12
COST_CELLS = 16  # for each mean absolute error
COST_UNIT = 256  # of a bit
MOST_COST = 22  # bits
CERTAIN = Decimal(8)  # deviations beyond which a normal variable lies with less than 10^-15, which no count shows


class Shape(NamedTuple):
    """Weights and relative deviations of the components, and how many counts are for escapes."""

    weights: tuple[str, ...]
    deviations: tuple[str, ...]
    escapes: int


SHAPES = (
    Shape(("0.98", "0.02"), ("1", "1.6"), 2),
    Shape(("0.897", "0.1", "0.003"), ("0.97", "1.4", "4"), 2),
    Shape(("0.8", "0.17", "0.03"), ("0.9", "1.4", "3"), 2),
    Shape(("0.6", "0.3", "0.08", "0.02"), ("0.7", "1.2", "2.5", "6"), 4),
)


def components(shape: Shape) -> list[tuple[Decimal, Decimal]]:
    """Weight and standard deviation of each component; the mixture's mean absolute value is 1."""
    weights = [Decimal(weight) for weight in shape.weights]
    deviations = [Decimal(deviation) for deviation in shape.deviations]
    mean = sum((w * d for w, d in zip(weights, deviations, strict=True)), Decimal(0)) * (2 / PI).sqrt()
    return [(w, d / mean) for w, d in zip(weights, deviations, strict=True)]


def count_table(shape: Shape) -> np.ndarray:
    """Counts below every 1/256 mean absolute error from -16 to 16, the ends counted as infinite."""
    half = REACH * CELLS
    mass = (1 << MASS_BITS) - shape.escapes
    parts = components(shape)
    counts = [0] * (2 * half + 1)
    counts[2 * half] = mass
    for i in range(half):
        z = Decimal(i) / CELLS
        upper = sum((w * normal_distribution(min(z / d, CERTAIN)) for w, d in parts), Decimal(0))
        counts[half + i] = int((upper * mass).to_integral_value())
        if i:
            counts[half - i] = int(((1 - upper) * mass).to_integral_value())
    return np.array(counts, dtype=np.uint16)


def quantile_table(counts: np.ndarray) -> np.ndarray:
    """The position of the middle of every 4 of 2^14 slots, interpolated in its cell; of those for escapes, the end."""
    width = 1 << (MASS_BITS - QUANTILE_BITS)
    slots = np.arange(1 << QUANTILE_BITS) * width + width // 2
    slots = np.minimum(slots, int(counts[-1]) - 1)
    cells = np.searchsorted(counts, slots, side="right") - 1
    below, above = counts[cells].astype(np.int64), counts[cells + 1].astype(np.int64)
    inside = (slots - below) / (above - below)
    return ((cells - REACH * CELLS + inside) / CELLS).astype(np.float32)


def cost_table(shape: Shape) -> np.ndarray:
    """-log2 of the density in 1/256 bits, at the middle of each 1/16 mean absolute error from 0 to 16."""
    ln2 = Decimal(2).ln()
    parts = components(shape)
    costs = []
    for i in range(REACH * COST_CELLS + 1):
        u = (Decimal(i) + Decimal("0.5")) / COST_CELLS
        density = sum((w / d * (-((u / d) ** 2) / 2).exp() for w, d in parts), Decimal(0)) / (2 * PI).sqrt()
        bits = min(-density.ln() / ln2, Decimal(MOST_COST))
        costs.append(int((bits * COST_UNIT).to_integral_value()))
    return np.array(costs, dtype=np.int32)


def make() -> dict[str, np.ndarray]:
    """All tables by name, a row for each shape."""
    with localcontext() as context:
        context.prec = 50
        counts = [count_table(shape) for shape in SHAPES]
        return {
            "counts": np.stack(counts),
            "quantiles": np.stack([quantile_table(row) for row in counts]),
            "costs": np.stack([cost_table(shape) for shape in SHAPES]),
        }

"""Definitions of the integer tables in `data/tables/density.npz`, which `python -m tools.make_tables` writes.

Everything is computed with `decimal`, whose exp and ln are correctly rounded on every platform, so that the tables can
be made again anywhere; the tests compare. The codec itself only loads them.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np

CELLS_PER_SIGMA = 128
SIGMAS = 8
MASS_BITS = 24
STEPS_PER_OCTAVE = 32
OCTAVES = (2, 26)  # of the scale, in 1/64 LSB: from 1/16 LSB to 2^20 LSB
# The half-width mixture that fits the residuals of real recordings best: weight and relative scale.
COMPONENTS = ((Decimal("0.9"), Decimal("0.97")), (Decimal("0.1"), Decimal("1.4")))
NORMAL = ((Decimal(1), Decimal(1)),)
RATES = tuple(Decimal(rate) for rate in ("0.03", "0.01", "0.004", "0.001", "0.1"))
UPDATE_STEPS_PER_SIGMA = 32
UPDATE_SIGMAS = 3
GATE_CELLS = 256  # of the networks' gates, per unit of their argument
GATE_REACH = 8
GATE_BITS = 14


def normal_distribution(z: Decimal) -> Decimal:
    """Phi(z), by the series of Marsaglia (Journal of Statistical Software 11(4), 2004)."""
    term = total = z
    k = 1
    while abs(term) > Decimal("1e-40"):
        k += 2
        term = term * z * z / k
        total += term
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582")
    return Decimal("0.5") + total * (-z * z / 2).exp() / (2 * pi).sqrt()


def cumulative_table(components: tuple[tuple[Decimal, Decimal], ...] = COMPONENTS) -> np.ndarray:
    """F at every 1/128 sigma from -8 to 8 sigma, with F(8 sigma) = 2^24."""
    cells = CELLS_PER_SIGMA * SIGMAS
    upper = []
    for i in range(cells + 1):
        z = Decimal(i) / CELLS_PER_SIGMA
        upper.append(sum((w * normal_distribution(z / s) for w, s in components), Decimal(0)))
    top = upper[-1]
    half = [
        int(((u - Decimal("0.5")) / (top - Decimal("0.5")) * 2 ** (MASS_BITS - 1)).to_integral_value()) for u in upper
    ]
    middle = 2 ** (MASS_BITS - 1)
    return np.array([middle - h for h in half[:0:-1]] + [middle + h for h in half], dtype=np.int32)


def reciprocal_table() -> np.ndarray:
    """2^32 / scale for each step of the scale, a 32nd of an octave each."""
    ln2 = Decimal(2).ln()
    steps = (OCTAVES[1] - OCTAVES[0]) * STEPS_PER_OCTAVE
    # A step's value stands for its middle.
    exponents = [Decimal(2 * i + 1) / (2 * STEPS_PER_OCTAVE) + OCTAVES[0] for i in range(steps)]
    return np.array([int(((32 - e) * ln2).exp().to_integral_value()) for e in exponents], dtype=np.int64)


def update_table(rate: Decimal) -> np.ndarray:
    """Change of log2(scale) in 1/65536 octave for |z| in steps of 1/32 sigma: half of log2(1 + rate (z^2 - 1))."""
    ln2 = Decimal(2).ln()
    values = []
    for i in range(UPDATE_STEPS_PER_SIGMA * UPDATE_SIGMAS + 1):
        z = (Decimal(i) + Decimal("0.5")) / UPDATE_STEPS_PER_SIGMA
        z2 = min(z * z, Decimal(UPDATE_SIGMAS**2))
        values.append(int(((1 + rate * (z2 - 1)).ln() / ln2 * 32768).to_integral_value()))
    return np.array(values, dtype=np.int32)


def gate_tables() -> tuple[np.ndarray, np.ndarray]:
    """Logistic function and hyperbolic tangent in 1/16384, at the middle of each 1/256 from -8 to 8."""
    sigmoid, tangent = [], []
    for i in range(-GATE_REACH * GATE_CELLS, GATE_REACH * GATE_CELLS):
        z = (Decimal(i) + Decimal("0.5")) / GATE_CELLS
        sigmoid.append(int((2**GATE_BITS / (1 + (-z).exp())).to_integral_value()))
        tangent.append(int((2**GATE_BITS * (1 - 2 / (1 + (2 * z).exp()))).to_integral_value()))
    return np.array(sigmoid, dtype=np.int16), np.array(tangent, dtype=np.int16)


def make() -> dict[str, np.ndarray]:
    """All tables by name."""
    with localcontext() as context:
        context.prec = 50
        sigmoid, tangent = gate_tables()
        return {
            "cumulative": cumulative_table(),
            "normal": cumulative_table(NORMAL),
            "reciprocal": reciprocal_table(),
            "update": np.stack([update_table(rate) for rate in RATES]),
            "sigmoid": sigmoid,
            "tangent": tangent,
        }

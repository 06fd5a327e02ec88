"""A density that knows the converter better: each code's probability is also weighed by the code before it.

A converter's decision leans on its last one. Two tables say by how much: one for the low 6 bits of the previous code,
one for which 64th of the alphabet it lay in. The factors multiply the probabilities of all codes within 5.5 sigma of
the location, which are then shared out anew; a code farther off is sent after an escape. Scales too large for
that, where codes are fine beside the noise and nothing is to be gained, fall back to the plain density.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.kernels import entry, inlined
from spikey.model.density import LOCATION_BITS, cumulative, narrow, position, standardise
from spikey.model.fixed import POSITION_BITS, UNIT

LOW_BITS = 6
LOWS = 1 << LOW_BITS
HIGHS = 64
FACTOR_BITS = 7  # a factor of 1 is 128
WINDOW = 256  # codes at most
COARSEST = 20 * UNIT << POSITION_BITS  # 1/4096 LSB: the largest scale whose window has room
ESCAPE = 1 << 10  # weight of a code outside the window, in about 2^24


class Conditioned(NamedTuple):
    """The fields of `Narrow`, and

    low, high uint8 (64, n): factors by the previous code's low bits, and by its 64th of the alphabet; 1/128.
    previous int64 (lanes,): the previous code; the middle of the alphabet at first.
    masses int64 (WINDOW + 2,): F at the window's edges, then the sum of the weights below each of its codes.
    """

    edges: np.ndarray
    middles: np.ndarray
    table: np.ndarray
    reciprocal: np.ndarray
    spread: np.ndarray
    quantiles: np.ndarray
    located: np.ndarray
    low: np.ndarray
    high: np.ndarray
    previous: np.ndarray
    masses: np.ndarray


def conditioned(edges: np.ndarray, factors: np.ndarray, lanes: int) -> Conditioned:
    """Build the density of an alphabet from its n + 1 edges and uint8 factors (128, n), see `Calibration`."""
    n = len(edges) - 1
    if factors.shape != (LOWS + HIGHS, n) or factors.dtype != np.uint8:
        raise ValueError(f"factors must be uint8 {(LOWS + HIGHS, n)}, not {factors.dtype} {factors.shape}")
    factors = np.ascontiguousarray(factors)
    return Conditioned(
        *narrow(edges),
        factors[:LOWS],
        factors[LOWS:],
        np.full(lanes, n // 2, dtype=np.int64),
        np.zeros(WINDOW + 2, dtype=np.int64),
    )


@position.register(Conditioned)
def _position_conditioned(density, code):
    return entry(density.middles, code)


@inlined
def high_context(density, code):
    """Which 64th of the alphabet a code lies in."""
    return code * HIGHS // density.middles.shape[0]


@inlined
def weigh(density, lane, location, step):
    """Lay the window: its first code and its size, 0 where the plain density is to be used.

    Afterwards masses[i] is the weight of the window's codes before its i-th, masses[size] that of all.
    """
    spread = entry(density.spread, step)
    if spread > COARSEST:
        return 0, 0
    half = (spread * 11) >> (POSITION_BITS + 1)
    cells = len(density.located) - 1
    first = entry(density.located, min(max((location - half + UNIT // 2) >> LOCATION_BITS, 0), cells))
    last = entry(density.located, min(max((location + half + UNIT // 2) >> LOCATION_BITS, 0), cells))
    size = min(last - first + 1, WINDOW)
    masses = density.masses
    edges = density.edges[first : first + size + 1]
    reciprocal = entry(density.reciprocal, step)
    for i in range(size + 1):
        masses[i] = cumulative(density.table, standardise(np.int64(edges[i]) - location, reciprocal))
    previous = density.previous[lane]
    low = density.low[previous & (LOWS - 1), first : first + size]
    high = density.high[high_context(density, previous), first : first + size]
    total = np.int64(0)
    mass = masses[0]
    for i in range(size):
        above = masses[i + 1]
        masses[i] = total
        total += (((above - mass) * (np.int64(low[i]) * np.int64(high[i]))) >> (2 * FACTOR_BITS)) + 1
        mass = above
    masses[size] = total
    return first, size

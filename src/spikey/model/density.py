"""How sure the model is: cumulative counts over the codes from a location and a scale, and back.

The probability of code c is the mass of a fixed bell shape between the two edges of c (the converter's code widths
are the largest gain of all), plus a floor of one count in 2^24, so that nothing is impossible. Both directions use the
same `counts_below`; decoding guesses from the inverse tables and bisects when the guess is off.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.jit import entry, generic, inlined, kernel
from spikey.model.fixed_point import (
    CUMULATIVE,
    MASS,
    MASS_BITS,
    NARROW,
    POSITION_BITS,
    RECIPROCAL,
    SCALE_STEP_BITS,
    SPREAD,
    UNIT,
    Z_BITS,
    Z_CELL_BITS,
    Z_MAX,
)
from spikey.model.fixed_point import SCALE_MIN as _SCALE_MIN

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

QUANTILE_BITS = 12  # resolution of the inverse of F
LOCATION_BITS = 4  # resolution of the inverse of the edges: 1/4 LSB
ESCAPE = 256  # counts for a code outside the window of a wide alphabet


class Narrow(NamedTuple):
    """Density over an alphabet of at most 4,096 codes whose edges are listed.

    edges int32 (n + 1,): in 1/64 LSB, the outermost at minus and plus infinity (2^30).
    middles int32 (n,): the position that stands for each code, in 1/64 LSB.
    table int32 (2049,): F scaled so that F and one count a code fill 2^24.
    quantiles int32 (4096,): 1/65536 sigma at each 4096th of the mass.
    located int32: the code whose bin covers each quarter LSB.
    """

    edges: np.ndarray
    middles: np.ndarray
    table: np.ndarray
    reciprocal: np.ndarray
    spread: np.ndarray
    quantiles: np.ndarray
    located: np.ndarray


class Wide(NamedTuple):
    """Density over a large alphabet of evenly spaced codes: a window of 4,096 around the location, and an escape.

    Where the scale is large the window's codes are coarse and the low bits are coded evenly. Fields as in `Narrow`;
    `size` int64 (1,) is the number of codes.
    """

    size: np.ndarray
    table: np.ndarray
    reciprocal: np.ndarray
    spread: np.ndarray
    quantiles: np.ndarray


def _tables(alphabet: int, spare: int) -> tuple[np.ndarray, np.ndarray]:
    """F scaled to leave one count for each of `alphabet` codes and `spare` more, and its inverse."""
    room = MASS - alphabet - spare
    table = ((CUMULATIVE.astype(np.int64) * room) >> MASS_BITS).astype(np.int32)
    mass = (np.arange(1 << QUANTILE_BITS, dtype=np.int64) * 2 + 1) << (MASS_BITS - QUANTILE_BITS - 1)
    cell = np.clip(np.searchsorted(table, mass, side="right") - 1, 0, len(table) - 2)
    inside = np.clip(mass - table[cell], 0, None) << Z_CELL_BITS
    step = np.maximum(table[cell + 1].astype(np.int64) - table[cell], 1)
    z = (cell.astype(np.int64) << Z_CELL_BITS) + np.minimum(inside // step, (1 << Z_CELL_BITS) - 1) - Z_MAX
    return table, z.astype(np.int32)


def narrow(edges: np.ndarray) -> Narrow:
    """Build the density of an alphabet from its n + 1 edges, int64 in 1/64 LSB, strictly increasing, n <= 4096."""
    edges = np.asarray(edges, dtype=np.int64)
    n = len(edges) - 1
    table, quantiles = _tables(n, 0)
    middles = (edges[:-1] + edges[1:]) >> 1
    grid = (np.arange(n << (POSITION_BITS - LOCATION_BITS)) << LOCATION_BITS) + (1 << LOCATION_BITS - 1) - UNIT // 2
    located = np.clip(np.searchsorted(edges, grid, side="right") - 1, 0, n - 1)
    bounded = edges.copy()
    bounded[0], bounded[-1] = -(1 << 30), 1 << 30
    return Narrow(
        bounded.astype(np.int32),
        middles.astype(np.int32),
        table,
        RECIPROCAL,
        SPREAD,
        quantiles,
        located.astype(np.int32),
    )


def wide(alphabet: int) -> Wide:
    """Build the density of an alphabet of more than 4,096 evenly spaced codes."""
    table, quantiles = _tables(NARROW, ESCAPE)
    return Wide(np.array([alphabet], dtype=np.int64), table, RECIPROCAL, SPREAD, quantiles)


def uniform_edges(alphabet: int) -> np.ndarray:
    """Edges of an ideal converter: code c covers 64 c - 32 to 64 c + 32.

    >>> uniform_edges(2)
    array([-32,  32,  96])
    """
    return np.arange(alphabet + 1, dtype=np.int64) * UNIT - UNIT // 2


def density_of(alphabet: int, calibration: Calibration | None) -> Any:
    """The density over an alphabet of that size. Raises DataError for a calibration of several converters."""
    if calibration is not None and calibration.converters > 1:
        raise DataError(f"a calibration of {calibration.converters} converters is for the predictor wide alone")
    if alphabet > NARROW:
        return wide(alphabet)
    return _uniform(alphabet) if calibration is None else _calibrated(calibration)


@lru_cache(maxsize=256)
def _uniform(alphabet: int) -> Any:
    return narrow(uniform_edges(alphabet))


@lru_cache(maxsize=8)
def _calibrated(calibration: Calibration) -> Any:
    return narrow(calibration.edges)


@inlined
def step_of(scale):
    """The table index of a log2 scale."""
    return (scale - _SCALE_MIN) >> SCALE_STEP_BITS


@inlined
def standardise(distance, reciprocal):
    """Distance in 1/64 LSB over the scale, in 1/65536 sigma, within 8 sigma."""
    z = (distance * reciprocal) >> (32 - Z_BITS)
    return min(max(z, -Z_MAX), Z_MAX - 1)


@inlined
def cumulative(table, z):
    """F at z, between two table entries."""
    offset = z + Z_MAX
    cell = offset >> Z_CELL_BITS
    low = entry(table, cell)
    return low + (((entry(table, cell + 1) - low) * (offset & ((1 << Z_CELL_BITS) - 1))) >> Z_CELL_BITS)


@generic
def position(density, code):
    """The position that stands for a code, in 1/64 LSB."""


@position.register(Narrow)
def _position_narrow(density, code):
    return entry(density.middles, code)


@position.register(Wide)
def _position_wide(density, code):
    return code << POSITION_BITS


@inlined
def counts_below(edges, table, location, reciprocal, code):
    """Counts of all codes below `code` of a narrow alphabet."""
    return cumulative(table, standardise(entry(edges, code) - location, reciprocal)) + code


@inlined
def below(density, location, reciprocal, code):
    """`counts_below` of a density."""
    return counts_below(density.edges, density.table, location, reciprocal, code)


@inlined
def guess(density, location, step, target):
    """The code of a narrow alphabet that probably holds `target`: nearly always it, or one beside it."""
    z = entry(density.quantiles, target >> (MASS_BITS - QUANTILE_BITS))
    near = location + ((z * entry(density.spread, step)) >> (Z_BITS + POSITION_BITS))
    cell = min(max((near + UNIT // 2) >> LOCATION_BITS, 0), len(density.located) - 1)
    return entry(density.located, cell)


@inlined
def locate(density, location, step, target, code):
    """The code whose counts hold `target`, starting from a guess, with the counts below it and its own."""
    last = len(density.edges) - 2
    reciprocal = entry(density.reciprocal, step)
    low = below(density, location, reciprocal, code)
    high = below(density, location, reciprocal, code + 1)
    if low <= target < high:
        return code, low, high - low
    if target < low:
        code = max(code - 1, 0)
        near = below(density, location, reciprocal, code)
        if near <= target:
            return code, near, low - near
        return bisect(density.edges, density.table, location, reciprocal, target, 0, max(code - 1, 0))
    code = min(code + 1, last)
    near = below(density, location, reciprocal, code + 1)
    if target < near:
        return code, high, near - high
    return bisect(density.edges, density.table, location, reciprocal, target, min(code + 1, last), last)


@kernel
def bisect(edges, table, location, reciprocal, target, first, last):
    """`locate` among the codes from `first` to `last`, starting beside the end that the guess was at."""
    reach = 1
    if first > 0:
        while first + reach <= last and counts_below(edges, table, location, reciprocal, first + reach) <= target:
            first += reach
            reach *= 2
        last = min(last, first + reach - 1)
    else:
        while last - reach >= 0 and counts_below(edges, table, location, reciprocal, last - reach + 1) > target:
            last -= reach
            reach *= 2
        first = max(last - reach + 1, 0)
    while first < last:
        middle = (first + last + 1) >> 1
        if counts_below(edges, table, location, reciprocal, middle) <= target:
            first = middle
        else:
            last = middle - 1
    low = counts_below(edges, table, location, reciprocal, first)
    return first, low, counts_below(edges, table, location, reciprocal, first + 1) - low

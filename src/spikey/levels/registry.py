"""The level maps there are: which of them fits a channel, and which one a file contains."""

from __future__ import annotations

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.levels import advancing, affine, n1, rescaled, scaled, table
from spikey.levels.contract import LEVEL_MAPS, Levels, Values

BUILT_IN = (n1, affine, table, scaled, advancing, rescaled)  # each registers its own record


def find_levels(array: np.ndarray) -> Levels:
    """The map that fits all of `array`, integers (frames,), frames at least 1.

    >>> find_levels(np.array([30, 3, 9])).step
    3
    >>> find_levels(n1.N1_VALUES[500:600]).words()
    'N1 codes'
    """
    values = Values(array)
    for record in sorted(LEVEL_MAPS, key=lambda record: record.rank):
        found = record.find(values)
        if found is not None:
            return found
    raise AssertionError("the affine map fits everything")


def read_levels(number: int, cursor: Cursor) -> Levels:
    """Read what `Levels.write` wrote after its number; DataError when it cannot be."""
    record = LEVEL_MAPS.numbered(number)
    if record is None:
        raise DataError(f"{cursor.what}: uses levels of kind {number}, which this version does not support")
    return record.read(cursor)


def read_integer_levels(number: int, cursor: Cursor) -> Levels:
    """`read_levels` where samples are integers that come one by one; DataError for maps that are not for these."""
    levels = read_levels(number, cursor)
    if isinstance(levels, scaled.Scaled):
        raise DataError(f"{cursor.what}: uses levels of floats, where samples are integers")
    if levels.placed:
        raise DataError(f"{cursor.what}: uses levels of a whole block, where samples come one by one")
    return levels


def levels_at_once(first: np.ndarray) -> Levels:
    """The map for a stream of which only the first values are known: the N1's, or every value of their type."""
    return n1.N1Levels() if n1.fits_n1(first) else affine.all_values(first.dtype)

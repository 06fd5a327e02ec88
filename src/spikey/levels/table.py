"""Listed levels: the values that occur, where these are few of an even grid's, or a coarser grid with exceptions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.levels.contract import LEVEL_MAPS, LevelMap, Levels, Values

LARGEST = 4096  # values
LOOKED_UP = 1 << 17  # values between the ends of a table of which every one is listed, which is faster
FIRST = 4096  # values that nearly always suffice to find that a table does not pay
GLANCE = 1 << 14  # values from which the number of different ones is estimated
FEWEST_APART = 16  # values
PIECE = 256  # values that suffice to find a step
FARTHEST_GAP = 2  # steps
MOST_VALUE = 1 << 32


@dataclass(frozen=True)
class Table(Levels):
    """Values in ascending order."""

    number: ClassVar[int] = 2
    values: tuple[int, ...]

    @property
    def alphabet(self) -> int:  # type: ignore[override]
        """Size of the alphabet."""
        return len(self.values)

    @cached_property
    def _array(self) -> np.ndarray:
        return np.array(self.values, dtype=np.int64)

    def holds(self, values: np.ndarray) -> bool:
        return not len(values) or (int(values.min()) >= self.values[0] and int(values.max()) <= self.values[-1])

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        table = self._array
        span = int(table[-1] - table[0]) + 1
        if span > LOOKED_UP:
            return np.searchsorted(table, values).astype(np.int32), None
        codes_at = np.zeros(span, dtype=np.int32)
        codes_at[table - table[0]] = np.arange(len(table), dtype=np.int32)
        return codes_at[values.astype(np.int64) - table[0]], None

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        return self._array[codes].astype(dtype)

    def write(self) -> bytes:
        steps = np.diff(np.array(self.values, dtype=np.int64)) - 1
        head = varint(zigzag(self.values[0])) + varint(len(self.values) - 1)
        return head + b"".join(varint(int(step)) for step in steps)

    def words(self) -> str:
        return f"{self.alphabet} listed values"


def _find(values: Values) -> Levels | None:
    """A table where it pays, or the line that its values are on."""
    if values.low == values.high:
        return None
    levels = (values.high - values.low) // values.step + 1
    table = _worthwhile(values.array, levels, values.step)
    if table is None and not _apart(values.array[:FIRST], values.step):
        return None
    from spikey.levels.rescaled_search import find_rescaled  # few recordings need it

    line = find_rescaled(_distinct(values.array).astype(np.int64))
    if line is not None:
        return line
    return None if table is None else Table(tuple(int(value) for value in table))


def _apart(values: np.ndarray, step: int) -> bool:
    """Whether no two values are neighbours, as on a line, which pays for far fewer samples than a table does."""
    found = _distinct(values)
    return len(found) >= FEWEST_APART and int(np.diff(found).min()) >= 2 * step


def _worthwhile(values: np.ndarray, levels: int, step: int) -> np.ndarray | None:
    """The values to list: those that occur, if they are few of `levels`, or a coarser grid and what lies off it.

    What lies off it is an artifact among multiples of 12, for example.
    """
    if levels < 4:
        return None
    grid = _grid(values, step)
    if grid is not None:
        saved = len(values) * np.log2(levels / len(grid)) / 8
        entry = 1 if np.diff(grid).max() <= 128 else 2  # bytes, but for the longest steps
        return grid if 2 * entry * len(grid) < saved else None
    if 4 * len(_distinct(values[:FIRST])) > levels or len(_distinct(values[:GLANCE])) > LARGEST:
        return None
    table = _distinct(values)
    saved = len(values) * np.log2(levels / len(table)) / 8
    if len(table) > LARGEST or 2 * len(table) > levels or 3 * len(table) > saved:
        return None
    return table


def _distinct(values: np.ndarray) -> np.ndarray:
    """The values that occur, ascending."""
    low = int(values.min())
    span = int(values.max()) - low + 1
    if span <= 4 * len(values):
        seen = np.zeros(span, dtype=bool)
        seen[values.astype(np.int64) - low] = True
        return (np.flatnonzero(seen) + low).astype(values.dtype)
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]


def _grid(values: np.ndarray, step: int) -> np.ndarray | None:
    """A table of an even grid, coarser than `step`, that holds nearly all values, and of the others; or None.

    The grid is whole, whichever of its values occur, so that codes stay even where the signal is; but a stretch of it
    that nothing comes near is left out, as every entry costs a byte.
    """
    pieces = [values[at : at + PIECE].astype(np.int64) for at in range(0, len(values), max(len(values) // 4, PIECE))]
    coarse, rest = max((int(np.gcd.reduce(piece - piece[0])), int(piece[0])) for piece in pieces)
    if coarse < 2 * step or coarse == step:
        return None
    found = _distinct(values).astype(np.int64)
    on = found[(found - rest) % coarse == 0]
    if len(found) - len(on) > len(on) // 8:
        return None
    gaps = np.diff(on) // coarse
    near = gaps <= FARTHEST_GAP
    if gaps[near].sum() + len(found) > LARGEST:
        return None
    filled = [np.arange(one, one + gap * coarse, coarse) for one, gap in zip(on[:-1][near], gaps[near], strict=True)]
    return np.unique(np.concatenate([found, *filled]))


def _read(cursor: Cursor) -> Levels:
    value = cursor.signed()
    table = [value]
    for _ in range(cursor.varint(LARGEST - 1)):
        value += cursor.varint(MOST_VALUE) + 1
        table.append(value)
    if abs(table[0]) > MOST_VALUE or abs(value) > MOST_VALUE:
        raise DataError(f"{cursor.what}: describes a channel of impossible values")
    return Table(tuple(table))


LEVEL_MAPS.register(LevelMap(name="table", number=2, rank=1, read=_read, find=_find))

"""Levels that advance evenly, as timestamps do: codes are of what is off a line, mostly of nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikey.base.wire import Cursor
from spikey.levels.affine import Affine, fitted, read_affine
from spikey.levels.contract import LEVEL_MAPS, LevelMap, Levels, Values
from spikey.levels.line import Line, read_line, to_numbers, to_values
from spikey.levels.line_search import find_line

LEAST_SPAN = 1 << 14  # values; what advances by less costs a predictor almost nothing
NEAR = 8  # from the line, that no scale of floats is likely to beat


@dataclass(frozen=True)
class Advancing(Levels):
    """A line for all frames of a block, and the levels of what its numbers are off it."""

    number: ClassVar[int] = 4
    placed: ClassVar[bool] = True
    line: Line
    inner: Affine

    @property
    def alphabet(self) -> int:  # type: ignore[override]
        """Size of the alphabet."""
        return self.inner.alphabet

    @property
    def low_bits(self) -> int:  # type: ignore[override]
        """Bits of each sample that are stored beside its code."""
        return self.inner.low_bits

    @property
    def near(self) -> bool:
        """Whether nothing is far off the line."""
        return self.inner.alphabet <= NEAR and not self.low_bits and abs(self.inner.offset) <= NEAR

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return self.inner.to_codes(to_numbers(values) - self.line.numbers(len(values), values.dtype))

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        """The values (frames,) of codes within the alphabet; DataError for a line of other frames or types."""
        off = self.inner.to_values(codes, low, np.dtype(np.int64))
        return to_values(self.line.numbers(len(codes), dtype) + off, dtype)

    def write(self) -> bytes:
        return self.line.write() + self.inner.write()

    def words(self) -> str:
        off = "" if self.alphabet == 1 else f", {self.inner.words()} off that"
        return self.line.words() + off


def find_advancing(values: np.ndarray) -> Advancing | None:
    """The map for all of `values`, integers or floats (frames,), where these advance evenly; else None.

    >>> found = find_advancing(np.arange(10**12, 10**12 + 40_000))
    >>> found.alphabet, len(found.write())
    (1, 16)
    """
    found = find_line(values, LEAST_SPAN)
    return None if found is None else Advancing(found.line, fitted(Values(found.off)))


def _read(cursor: Cursor) -> Levels:
    return Advancing(read_line(cursor), read_affine(cursor))


def _find(values: Values) -> Levels | None:
    return None  # codes of the same value differ from frame to frame; `find_advancing` is for whole blocks


LEVEL_MAPS.register(LevelMap(name="advancing", number=4, rank=4, read=_read, find=_find))

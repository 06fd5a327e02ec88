"""Converter codes that software multiplied by a fraction and rounded: steps of 12.02 or 24.04, for example.

value = offset + (numerator * (code - zero) + phase) / denominator, the quotient rounded toward zero, as C divides
integers. Where it has no negative values, that rounds down, or with another phase to the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.levels.contract import LEVEL_MAPS, LevelMap, Levels, Values

MOST_CODES = 1 << 16
MOST_DENOMINATOR = 1 << 12
MOST_NUMERATOR = 1 << 28  # above the denominator; products stay below 2^53, which every language has
MOST_VALUE = 1 << 32


@dataclass(frozen=True)
class Rescaled(Levels):
    """A line through whole numbers. The numerator is at least the denominator, so that values ascend."""

    number: ClassVar[int] = 5
    denominator: int
    numerator: int
    alphabet: int
    zero: int = 0
    phase: int = 0
    offset: int = 0

    def holds(self, values: np.ndarray) -> bool:
        ends = self.values(np.array([0, self.alphabet - 1]))
        return not len(values) or bool(ends[0] <= values.min() and values.max() <= ends[1])

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return np.searchsorted(self.values(np.arange(self.alphabet)), values).astype(np.int32), None

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        # A damaged file may give values that its type cannot hold; the checksum detects this.
        return self.values(np.arange(self.alphabet))[codes].astype(dtype)

    def values(self, codes: np.ndarray) -> np.ndarray:
        """The values, int64, of codes within the alphabet.

        >>> Rescaled(26, 625, 4, zero=2, offset=7).values(np.arange(4)).tolist()
        [-41, -17, 7, 31]
        """
        product = self.numerator * (codes.astype(np.int64) - self.zero) + self.phase
        return self.offset + np.sign(product) * (np.abs(product) // self.denominator)

    def write(self) -> bytes:
        # What channels have in common comes first.
        common = varint(self.denominator - 1) + varint(self.numerator - self.denominator) + varint(self.alphabet - 1)
        return common + varint(self.zero) + varint(self.phase) + varint(zigzag(self.offset))

    def words(self) -> str:
        return f"{self.alphabet} codes in rounded steps of {self.numerator / self.denominator:.6g}"


def _read(cursor: Cursor) -> Levels:
    denominator = cursor.varint(MOST_DENOMINATOR - 1) + 1
    numerator = cursor.varint(MOST_NUMERATOR) + denominator
    alphabet = cursor.varint(MOST_CODES - 1) + 1
    zero, phase, offset = cursor.varint(alphabet - 1), cursor.varint(denominator - 1), cursor.signed()
    if abs(offset) > MOST_VALUE:
        raise DataError(f"{cursor.what}: describes a channel of impossible values")
    return Rescaled(denominator, numerator, alphabet, zero, phase, offset)


def _find(values: Values) -> Levels | None:
    return None  # the map of listed values looks for one where it would list some


LEVEL_MAPS.register(LevelMap(name="rescaled", number=5, rank=5, read=_read, find=_find))

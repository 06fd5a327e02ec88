"""Evenly spaced levels: value = offset + step * code; of more than 2^20 levels the low bits are stored as they are."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import ClassVar

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.levels.contract import LEVEL_MAPS, LevelMap, Levels, Values

MODELLED_BITS = 20  # of an alphabet, at most
MOST_LOW_BITS = 12
MOST_VALUE = 1 << 32


@dataclass(frozen=True)
class Affine(Levels):
    """Evenly spaced levels. `low_bits` are dropped from the code and stored beside it."""

    number: ClassVar[int] = 1
    alphabet: int
    offset: int = 0
    step: int = 1
    low_bits: int = 0

    def fits(self, values: np.ndarray) -> bool:
        """Whether this map, without low bits, holds all of `values` (frames,)."""
        distance = values.astype(np.int64) - self.offset
        inside = len(values) == 0 or (distance.min() >= 0 and distance.max() < self.alphabet * self.step)
        return bool(inside and (self.step == 1 or not (distance % self.step).any()))

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        codes = values.astype(np.int64) - self.offset
        if self.step > 1:
            codes //= self.step
        if not self.low_bits:
            return codes.astype(np.int32), None
        return (codes >> self.low_bits).astype(np.int32), codes & ((1 << self.low_bits) - 1)

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        wide = codes.astype(np.int64)
        if low is not None:
            wide = (wide << self.low_bits) | low
        # A damaged file may give values that its type cannot hold; the checksum detects this.
        return (wide * self.step + self.offset).astype(dtype)

    def write(self) -> bytes:
        top = (self.alphabet << self.low_bits) - 1 if self.low_bits else self.alphabet - 1
        return varint(zigzag(self.offset)) + varint(self.step - 1) + varint(top) + varint(self.low_bits)

    def words(self) -> str:
        if self.alphabet == 1:
            return "one value"
        low = f" and {self.low_bits} low bits" if self.low_bits else ""
        return f"{self.alphabet} codes in steps of {self.step}{low}"

    def describe(self) -> dict[str, object]:
        return {"levels": "affine", "offset": self.offset, "step": self.step}


def all_values(dtype: np.dtype) -> Affine:
    """The map that holds every value of a type of integers.

    >>> all_values(np.dtype("int8")).alphabet, all_values(np.dtype("int8")).offset
    (256, -128)
    """
    info = np.iinfo(dtype)
    return Affine(int(info.max) - int(info.min) + 1, int(info.min))


def spanning(found: list[Affine]) -> Affine:
    """The narrowest affine map that holds the values of several, none of which has low bits.

    >>> spanning([Affine(3, 0, 6), Affine(2, 3, 12)]).alphabet
    6
    """
    lowest = min(levels.offset for levels in found)
    highest = max(levels.offset + levels.step * (levels.alphabet - 1) for levels in found)
    step = gcd(*(number for levels in found for number in (levels.step, levels.offset - lowest)))
    return Affine((highest - lowest) // step + 1, lowest, step)


def fitted(values: Values) -> Affine:
    """The map from the least to the greatest value in steps of their greatest common divisor."""
    if values.low == values.high:
        return Affine(1, values.low)
    levels = (values.high - values.low) // values.step + 1
    low_bits = max((levels - 1).bit_length() - MODELLED_BITS, 0)
    return Affine(((levels - 1) >> low_bits) + 1, values.low, values.step, low_bits)


def read_affine(cursor: Cursor) -> Affine:
    """Read what `Affine.write` wrote; DataError for impossible values."""
    offset, step = cursor.signed(), cursor.varint(MOST_VALUE) + 1
    top, low_bits = cursor.varint(MOST_VALUE), cursor.varint(MOST_LOW_BITS)
    if abs(offset) > MOST_VALUE or top >> low_bits >= 1 << MODELLED_BITS:
        raise DataError(f"{cursor.what}: describes a channel of impossible values")
    return Affine((top >> low_bits) + 1, offset, step, low_bits)


LEVEL_MAPS.register(LevelMap(name="affine", number=1, rank=2, read=read_affine, find=fitted))

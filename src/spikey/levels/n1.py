"""The N1's levels: 10-bit codes stretched to 16 bits, value = trunc(code / 1023 * 65535 - 32768)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikey.base.wire import Cursor
from spikey.levels.contract import LEVEL_MAPS, LevelMap, Levels, Values

N1_CODES = 1024
# Exact in integers, rounding toward zero.
_stretch = np.arange(N1_CODES, dtype=np.int64) * 65535 - 32768 * 1023
N1_VALUES = (np.sign(_stretch) * (np.abs(_stretch) // 1023)).astype(np.int16)
SHIFT = 6  # bits by which a value is a code too large
FEWEST = 17  # samples that suffice to recognise an N1
FIRST = 64  # samples that nearly always suffice to rule out an N1


@dataclass(frozen=True)
class N1Levels(Levels):
    """All 1,024 levels."""

    number: ClassVar[int] = 0
    alphabet: ClassVar[int] = N1_CODES  # type: ignore[misc]

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return n1_codes(values).astype(np.int32, copy=False), None

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        return N1_VALUES.take(codes).astype(dtype, copy=False)

    def write(self) -> bytes:
        return b""

    def words(self) -> str:
        return "N1 codes"

    def describe(self) -> dict[str, object]:
        return {"levels": "n1"}


def n1_codes(values: np.ndarray) -> np.ndarray:
    """Codes int32 of values; a value between two levels has the code of the lower one."""
    return (values >> SHIFT).astype(np.int32) + N1_CODES // 2


def fits_n1(values: np.ndarray) -> bool:
    """Whether all values, of any shape, are int16 and among the N1's.

    >>> fits_n1(N1_VALUES[500:600]), fits_n1(np.arange(3, dtype=np.int16))
    (True, False)
    """
    return values.dtype == np.int16 and bool((N1_VALUES.take((values >> SHIFT) + N1_CODES // 2) == values).all())


def _find(values: Values) -> Levels | None:
    array = values.array
    return N1Levels() if fits_n1(array[:FIRST]) and len(array) >= FEWEST and fits_n1(array) else None


def _read(cursor: Cursor) -> Levels:
    return N1Levels()


LEVEL_MAPS.register(LevelMap(name="n1", number=0, rank=0, read=_read, find=_find))

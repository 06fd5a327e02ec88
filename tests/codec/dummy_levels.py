"""A level map in one file, as a contributor would add it: even values halved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikey.base.wire import Cursor, varint
from spikey.levels.contract import LevelMap, Levels, Values

ALPHABET = 257


@dataclass(frozen=True)
class Halved(Levels):
    """Values of 0 to 512 in steps of 2, if 512 itself occurs."""

    number: ClassVar[int] = 6
    alphabet: int = ALPHABET

    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        return (values // 2).astype(np.int32), None

    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        return (codes.astype(np.int64) * 2).astype(dtype)

    def write(self) -> bytes:
        return varint(self.alphabet)

    def words(self) -> str:
        return "halved values"


def _find(values: Values) -> Levels | None:
    return Halved() if (values.low, values.high) == (0, 512) and not (values.array % 2).any() else None


def _read(cursor: Cursor) -> Levels:
    cursor.varint(ALPHABET)
    return Halved()


RECORD = LevelMap(name="halved", number=6, rank=-1, read=_read, find=_find)

"""What a level map is: the values that one channel can take, numbered from 0 without gaps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from spikey.base.registry import Registry
from spikey.base.wire import Cursor

STEP_SAMPLES = 1000  # values that nearly always settle the step at 1


class Levels(ABC):
    """The map of one channel. `alphabet`: how many codes there are. `low_bits`: of a sample, beside its code. `placed`:
    whether a code's value depends on its frame, so that all frames of a block go through the map at once.
    """

    number: ClassVar[int]
    alphabet: int
    low_bits: int = 0
    placed: ClassVar[bool] = False

    @abstractmethod
    def to_codes(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Codes int32 (frames,) of values (frames,), and their low bits int64 (frames,) or None."""

    @abstractmethod
    def to_values(self, codes: np.ndarray, low: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
        """The values (frames,) of codes within the alphabet."""

    @abstractmethod
    def write(self) -> bytes:
        """The map as bytes, after its number."""

    @abstractmethod
    def words(self) -> str:
        """The map, for a person."""

    def holds(self, values: np.ndarray) -> bool:
        """Whether `to_codes` can be asked about these values (frames,), which may not come from an encoder."""
        return True

    def describe(self) -> dict[str, object]:
        """The metadata of a calibration for such channels; empty where there can be none."""
        return {}


class Values:
    """The integers (frames,) of one channel, at least one, with what several maps look at computed once."""

    def __init__(self, array: np.ndarray):
        self.array = array

    @cached_property
    def low(self) -> int:
        """The smallest value."""
        return int(self.array.min())

    @cached_property
    def high(self) -> int:
        """The largest value."""
        return int(self.array.max())

    @cached_property
    def step(self) -> int:
        """The greatest common divisor of all differences from `low`; 0 where there are none."""
        step = int(np.gcd.reduce(self.array[:STEP_SAMPLES].astype(np.int64) - self.low))
        if step == 1:
            return 1
        distances = self.array.astype(np.int64) - self.low
        rests = distances % step if step else distances
        return int(np.gcd.reduce(rests, initial=step)) if rests.any() else step


@dataclass(frozen=True, kw_only=True)
class LevelMap:
    """The record of a kind of level map.

    name: for people and metadata. number: 0 to 7, in the file. rank: maps of lower rank are tried first. read: reads
    what `Levels.write` wrote; raises DataError. find: the map for a channel's values; None where it does not fit or
    does not pay.
    """

    name: str
    number: int
    rank: int
    read: Callable[[Cursor], Levels]
    find: Callable[[Values], Levels | None]


LEVEL_MAPS: Registry[LevelMap] = Registry("level map", most=7)

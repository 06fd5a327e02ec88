"""Evenly advancing numbers, such as timestamps and sample numbers: a straight line, a new one after every jump.

A line gives a number for each frame, as 64 bits: of integers the value, of floats the bits that represent it. Of floats
the bits may advance by whole numbers themselves, as those of accumulated times do, or the value is a count of frames
times or over a scale. Deviations from the line are codes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag

STEPS, PRODUCT, QUOTIENT = range(3)  # forms: whole numbers and a fraction; counts times a scale; counts over a scale
ONE = 1 << 32  # of a step's fraction
MOST_RUNS = 1 << 12
MOST_STEP = 1 << 61
LONGEST = 1 << 30  # frames, so that products with a fraction fit


class Run(NamedTuple):
    """A stretch without jumps: its first frame, the number or count there, the step, what is added to each product."""

    first: int
    start: int
    step: int = 1
    offset: float = 0.0


@dataclass(frozen=True)
class Line:
    """Runs of numbers.

    form: `STEPS` uses fraction, by which steps are larger than those of the runs, in 1 / `ONE`; the others use scale.
    """

    runs: tuple[Run, ...]
    form: int = STEPS
    fraction: int = 0
    scale: float = 1.0

    def numbers(self, frames: int, dtype: np.dtype) -> np.ndarray:
        """The number of each frame, int64 (frames,), for values of this type.

        Raises DataError for runs beyond the frames, and for a line that is of floats where the type is not.


        >>> Line((Run(0, 7, 2), Run(2, 90, 2)), fraction=ONE // 2).numbers(4, np.dtype("int64")).tolist()
        [7, 10, 90, 93]
        """
        if frames > LONGEST or (self.runs[-1].first >= frames and len(self.runs) > 1):
            raise DataError("a channel has jumps in frames that it does not have")
        out = np.empty(frames, np.int64)
        for run, end in zip(self.runs, [*(run.first for run in self.runs[1:]), frames], strict=True):
            out[run.first : end] = self._run(run, np.arange(end - run.first), dtype)
        return out

    def _run(self, run: Run, place: np.ndarray, dtype: np.dtype) -> np.ndarray:
        start = np.array(run.start & (1 << 64) - 1, np.uint64).view(np.int64)
        if self.form == STEPS:
            return start + place * np.int64(run.step) + ((place * self.fraction + ONE // 2) >> 32)
        if dtype.kind != "f":
            raise DataError("a channel of integers advances as only floats do")
        counts = (start + place).astype(np.float64)
        with np.errstate(all="ignore"):
            values = counts * self.scale if self.form == PRODUCT else counts / self.scale
            if run.offset:
                values += run.offset
            return to_numbers(values.astype(dtype))

    def write(self) -> bytes:
        """As bytes."""
        if self.form == STEPS:
            out = bytes([self.form]) + varint(self.fraction)
        else:
            out = bytes([self.form]) + struct.pack("<d", self.scale)
        out += varint(len(self.runs) - 1)
        before = Run(0, 0, 0)
        for index, run in enumerate(self.runs):
            out += varint(run.first - before.first - 1) if index else b""
            out += struct.pack("<Q", run.start & (1 << 64) - 1)
            out += varint(zigzag(run.step - before.step)) if self.form == STEPS else struct.pack("<d", run.offset)
            before = run
        return out

    def words(self) -> str:
        """The line, for a person."""
        jumps = f" but for {len(self.runs) - 1} jumps" if len(self.runs) > 1 else ""
        if self.form == STEPS:
            return f"advancing by {self.runs[-1].step + self.fraction / ONE:.9g} a frame{jumps}"
        return f"advancing by {'1 / ' if self.form == QUOTIENT else ''}{self.scale:.9g} a frame{jumps}"


def read_line(cursor: Cursor) -> Line:
    """Read what `Line.write` wrote; DataError for what it cannot have written."""
    form = cursor.byte()
    if form > QUOTIENT:
        raise DataError(f"{cursor.what}: has a channel that advances in a way that this version does not support")
    fraction = cursor.varint(ONE - 1) if form == STEPS else 0
    scale = 1.0 if form == STEPS else struct.unpack("<d", cursor.take(8))[0]
    runs: list[Run] = []
    for index in range(cursor.varint(MOST_RUNS - 1) + 1):
        first = runs[-1].first + 1 + cursor.varint(LONGEST) if index else 0
        (start,) = struct.unpack("<q", cursor.take(8))
        if form == STEPS:
            runs.append(Run(first, start, cursor.signed() + (runs[-1].step if index else 0)))
        else:
            runs.append(Run(first, start, offset=struct.unpack("<d", cursor.take(8))[0]))
    finite = np.isfinite([scale, *(run.offset for run in runs)]).all()
    if max(abs(run.step) for run in runs) > MOST_STEP or not finite or not scale:
        raise DataError(f"{cursor.what}: has a channel that advances in an impossible way")
    return Line(tuple(runs), form, fraction, scale)


def to_numbers(values: np.ndarray) -> np.ndarray:
    """Values (frames,) of integers or floats as int64: those of uint64 modulo 2^64, floats by their bits.

    >>> to_numbers(np.array([1.0], np.float32)).tolist()
    [1065353216]
    """
    if values.dtype.kind == "f":
        values = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")
    return values.astype(np.int64)


def to_values(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The inverse of `to_numbers`; of numbers that the type cannot hold the lowest bits.

    >>> to_values(np.array([1065353216]), np.dtype("float32")).tolist()
    [1.0]
    """
    if dtype.kind == "f":
        return numbers.astype(f"u{dtype.itemsize}").view(dtype)
    return numbers.astype(dtype)

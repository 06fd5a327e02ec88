"""Bins of converter codes: what a lossy recording keeps instead of its samples, and both ways between.

Codes c of a channel fall into bins of `step` codes, and a bin is restored as its middle code, so no sample is off by
more than step // 2 codes. Uniform quantisation ahead of a lossless coder is the method of near-lossless JPEG-LS
(ITU-T T.87); all of it is in integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from spikey.base.errors import DataError, UsageError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.levels.n1 import N1_CODES, N1_VALUES, SHIFT, fits_n1, n1_codes
from spikey.recording.layout import Layout

MODES = {1: "near-lossless", 2: "hybrid"}
NUMBERS = {name: number for number, name in MODES.items()}
GIVEN = 1000  # parts of a bit per sample that a hybrid file states
FEW = 8  # codes of a channel that stays lossless: a digital line is not a signal, and takes almost no space
MOST_STEP = 1 << 30
MOST_RUNS = 1 << 10
SMALLEST_AXIS = 1  # bytes that a channel's description takes at least
N1, AFFINE, EXACT = 0, 1, 2  # of the byte that describes a channel: its kind, and that it is kept as it is
READ = 1 << 22  # samples looked at together

Column = Callable[["Axis", np.ndarray, int], np.ndarray]


class Readable(Protocol):
    """What is looked at of a recording."""

    layout: Layout
    frames: int

    def read(self, first_frame: int, count: int) -> np.ndarray: ...


@dataclass(frozen=True)
class Axis:
    """The codes of one channel: value = offset + step * code, or the N1's stretch; exact: kept as it is.

    shift: the code that the middle of bin 0 lies at, so that bins fit into the samples' type.
    """

    codes: int
    shift: int
    offset: int = 0
    step: int = 1
    n1: bool = False
    exact: bool = False

    def to_codes(self, values: np.ndarray) -> np.ndarray:
        """Codes int64 of values (frames,)."""
        if self.n1:
            return n1_codes(values).astype(np.int64)
        return (values.astype(np.int64) - self.offset) // self.step

    def to_values(self, codes: np.ndarray) -> np.ndarray:
        """Values int64 of codes (frames,); those beyond an end become that end, which is never farther off."""
        codes = np.clip(codes, 0, self.codes - 1)
        return N1_VALUES.take(codes).astype(np.int64) if self.n1 else codes * self.step + self.offset

    def moved(self, values: np.ndarray, step: int) -> np.ndarray:
        """Codes counted from the lower edge of bin 0."""
        return self.to_codes(values) - (self.shift - step // 2)


@dataclass(frozen=True)
class Bins:
    """How a recording was made coarser.

    mode: a name in `MODES`. given: the largest error in codes, or bits per sample, that was asked for.
    runs: (first frame, codes in a bin), from frame 0 on. axes: one for each channel. Arrays are (frames, channels) of
    the recording's type; first_frame, first_channel: where they lie in the recording.
    """

    mode: str
    given: float
    runs: tuple[tuple[int, int], ...]
    axes: tuple[Axis, ...]

    @property
    def largest_error(self) -> int:
        """The largest error in codes that any sample can have."""
        return 0 if all(axis.exact for axis in self.axes) else max(step for _, step in self.runs) // 2

    def words(self) -> str:
        """What the recording is, for a person."""
        error = self.largest_error
        return f"{self.mode}, largest error {error:,} code{'s' * (error != 1)}"

    def facts(self) -> dict[str, object]:
        """The same for a program."""
        asked = {"error": int(self.given)} if self.mode == MODES[1] else {"bits_per_sample": self.given}
        return {
            "mode": self.mode,
            "largest_error": self.largest_error,
            "asked": asked,
            "steps": [step for _, step in self.runs],
            "steps_from_frame": [first for first, _ in self.runs],
            "channels_kept_exactly": sum(axis.exact for axis in self.axes),
        }

    def bins(self, values: np.ndarray, first_frame: int = 0, first_channel: int = 0) -> np.ndarray:
        """The bins that values lie in."""
        return self._each(values, first_frame, first_channel, lambda axis, v, step: axis.moved(v, step) // step)

    def rests(self, values: np.ndarray, first_frame: int = 0, first_channel: int = 0) -> np.ndarray:
        """Where in their bins values lie, from 0 on: what a correction file keeps. Steps must fit into the type."""
        return self._each(values, first_frame, first_channel, lambda axis, v, step: axis.moved(v, step) % step)

    def values(self, bins: np.ndarray, first_frame: int = 0, first_channel: int = 0) -> np.ndarray:
        """The values that bins are restored as; their bins are the same again."""

        def middle(axis: Axis, column: np.ndarray, step: int) -> np.ndarray:
            return axis.to_values(column.astype(np.int64) * step + axis.shift)

        return self._each(bins, first_frame, first_channel, middle)

    def corrected(
        self, values: np.ndarray, rests: np.ndarray, first_frame: int = 0, first_channel: int = 0
    ) -> np.ndarray:
        """The original values, of restored ones and rests."""

        def lower(axis: Axis, column: np.ndarray, step: int) -> np.ndarray:
            return axis.moved(column, step) // step * step + axis.shift - step // 2

        codes = self._each(values.astype(np.int64), first_frame, first_channel, lower) + rests
        return self._each(codes, first_frame, first_channel, lambda axis, c, _: axis.to_values(c)).astype(values.dtype)

    def errors(
        self, values: np.ndarray, others: np.ndarray, first_frame: int = 0, first_channel: int = 0
    ) -> np.ndarray:
        """By how many codes `others` differ from values: int64 (frames, channels), not negative."""
        wide = np.empty(values.shape, dtype=np.int64)
        for column in range(values.shape[1]):
            axis = self.axes[first_channel + column]
            wide[:, column] = np.abs(axis.to_codes(values[:, column]) - axis.to_codes(others[:, column]))
        return wide

    def bounds(self, shape: tuple[int, int], first_frame: int = 0, first_channel: int = 0) -> np.ndarray:
        """The largest errors that are promised, int64 (frames, channels)."""
        return self._each(
            np.zeros(shape, dtype=np.int64), first_frame, first_channel, lambda _, v, step: np.full_like(v, step // 2)
        )

    def _each(self, array: np.ndarray, first_frame: int, first_channel: int, do: Column) -> np.ndarray:
        """`do` each channel in each of its stretches of one step."""
        out = np.zeros(array.shape, dtype=array.dtype, order="F" if array.flags.f_contiguous else "C")
        pieces = list(self._pieces(first_frame, len(array)))
        for column in range(array.shape[1]):
            axis = self.axes[first_channel + column]
            for piece, step in pieces:
                out[piece, column] = do(axis, array[piece, column], 1 if axis.exact else step)
        return out

    def _pieces(self, first: int, count: int) -> Iterator[tuple[slice, int]]:
        """The frames of each run within a range of frames, from its first on."""
        ends = [start for start, _ in self.runs[1:]] + [first + count]
        for (start, step), end in zip(self.runs, ends, strict=True):
            low, high = max(start, first), min(end, first + count)
            if low < high:
                yield slice(low - first, high - first), step

    def write(self) -> bytes:
        """The record of a lossy file's header, before it is packed."""
        given = round(self.given * (1 if self.mode == MODES[1] else GIVEN))
        out = bytes([NUMBERS[self.mode]]) + varint(self.largest_error) + varint(given) + varint(len(self.runs))
        before = 0
        for first, step in self.runs:
            out += varint(first - before) + varint(step - 1)
            before = first
        return out + b"".join(map(_written, self.axes))


def _written(axis: Axis) -> bytes:
    if axis.n1:
        return bytes([N1 | EXACT * axis.exact])
    fields = varint(zigzag(axis.offset)) + varint(axis.step - 1) + varint(axis.codes - 1)
    return bytes([AFFINE | EXACT * axis.exact]) + fields


def read_bins(data: bytes, layout: Layout, what: str) -> Bins:
    """Read what `Bins.write` wrote of a recording in `layout`; DataError where it cannot be."""
    cursor = Cursor(data, what)
    number, error = cursor.byte(), cursor.varint()
    if number not in MODES:
        raise DataError(f"{what}: is lossy in a way ({number}) that this version does not support; update Spikey")
    given = cursor.varint()
    runs: list[tuple[int, int]] = []
    for _ in range(cursor.varint(MOST_RUNS)):
        gap, step = cursor.varint(), cursor.varint(MOST_STEP - 1) + 1
        if (gap == 0) != (not runs):
            raise DataError(f"{what}: has bins in an invalid order")
        runs.append((runs[-1][0] + gap if runs else 0, step))
    if not runs or len(data) - cursor.at < layout.channels * SMALLEST_AXIS:
        raise DataError(f"{what}: lacks the bins of some channels")
    known: dict[Axis, Axis] = {}  # one object for all channels that are alike, of which a file can state very many
    axes = tuple(known.setdefault(axis, axis) for axis in (_read_axis(cursor, layout) for _ in range(layout.channels)))
    bins = Bins(MODES[number], given / (1 if number == 1 else GIVEN), tuple(runs), axes)
    if cursor.rest() or bins.largest_error != error:
        raise DataError(f"{what}: contradicts itself about its largest error")
    return bins


def _read_axis(cursor: Cursor, layout: Layout) -> Axis:
    kind = cursor.byte()
    exact = bool(kind & EXACT)
    if kind & ~EXACT == N1 and layout.dtype == "int16":
        return _axis(layout, N1_CODES, exact, n1=True)
    if kind & ~EXACT != AFFINE:
        raise DataError(f"{cursor.what}: has a kind of codes that this version does not support; update Spikey")
    offset, step, codes = cursor.signed(), cursor.varint(1 << 32) + 1, cursor.varint(1 << 32) + 1
    lowest, highest = limits(layout)
    if offset < lowest or offset + step * (codes - 1) > highest:
        raise DataError(f"{cursor.what}: has a channel with values outside its sample type")
    return _axis(layout, codes, exact, offset=offset, step=step)


def limits(layout: Layout) -> tuple[int, int]:
    """The least and the largest sample of a type of integers.

    >>> limits(Layout(1, 30000, "int24"))
    (-8388608, 8388607)
    """
    bits, signed = 8 * layout.itemsize, layout.dtype.startswith("int")
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _axis(layout: Layout, codes: int, exact: bool, *, offset: int = 0, step: int = 1, n1: bool = False) -> Axis:
    signed = layout.dtype.startswith("int")
    return Axis(codes, codes // 2 if signed else 0, offset, step, n1, exact)


def find_axes(source: Readable) -> tuple[Axis, ...]:
    """The codes of each channel of a recording of integers, found by going through it once.

    A channel that takes a handful of codes is to be kept as it is. Raises UsageError for floats.

    >>> from spikey.recording.readable import ArraySource
    >>> found = find_axes(ArraySource(np.arange(0, 300, 3, dtype="int16"), 20000))[0]
    >>> found.step, found.codes, found.exact
    (3, 100, False)
    """
    layout = source.layout
    if layout.memory_dtype.kind == "f":
        raise UsageError("an error in codes needs integer samples; convert the recording to integers first")
    channels = layout.channels
    if not source.frames:
        return (_axis(layout, 1, True),) * channels
    start = source.read(0, 1)[0].astype(np.int64)
    lowest, highest = start.copy(), start.copy()
    steps, stretched = [0] * channels, [layout.dtype == "int16"] * channels
    rows = max(READ // channels, 1)
    for first in range(0, source.frames, rows):
        chunk = source.read(first, min(rows, source.frames - first))
        lowest = np.minimum(lowest, chunk.min(axis=0))
        highest = np.maximum(highest, chunk.max(axis=0))
        for channel in range(channels):
            values = chunk[:, channel]
            if stretched[channel]:
                stretched[channel] = fits_n1(values)
            if steps[channel] != 1:
                distances = values.astype(np.int64) - start[channel]
                steps[channel] = int(np.gcd.reduce(distances, initial=steps[channel]))
    return tuple(
        _found(layout, int(low), int(high), step, n1)
        for low, high, step, n1 in zip(lowest, highest, steps, stretched, strict=True)
    )


def _found(layout: Layout, low: int, high: int, step: int, n1: bool) -> Axis:
    codes = (high - low) // max(step, 1) + 1
    if n1 and codes > FEW:
        return _axis(layout, N1_CODES, (high >> SHIFT) - (low >> SHIFT) < FEW, n1=True)
    return _axis(layout, codes, codes <= FEW, offset=low, step=max(step, 1))

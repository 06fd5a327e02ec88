"""A whole telemetry stream, from its decoded parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from spikey.base.errors import DataError
from spikey.telemetry.contents import Missing, PacketContents
from spikey.telemetry.decoded import Telemetry, frames_of_low, rows_before
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.pieces import LEFT_OUT, Assembler, missing_spans, parts
from spikey.telemetry.settings import Shape

__all__ = ["LEFT_OUT", "Telemetry", "collect", "joined", "refuse_false_length", "whole_of"]

SECONDS = 1.0  # of the parts
GROWTH = 1 / 32  # of an array, beyond its contents
# Values of power and LFP band that a stream of so many bytes may have, more than any valid one has: a false number of
# frames must not use all memory.
LEAST_VALUES, VALUES_PER_BYTE = 1 << 24, 1 << 12


def collect(packets: Iterable[bytes], what: str = "the stream", key: bytes | None = None) -> Telemetry:
    """Decode all packets of a stream; DataError without a key packet. key: of authenticated packets."""
    packets = list(packets)
    return whole_of(parts(packets, SECONDS, what, key=key), sum(map(len, packets)), what)


def joined(decoder: TelemetryDecoder, items: list[PacketContents | Missing]) -> Telemetry:
    """The contents of packets as arrays, from a decoder that has read a key packet."""
    assembler = Assembler(decoder)
    for item in items:
        assert not list(assembler.add(item))
    (part,) = assembler.close()
    return replace(part, around=None)


def refuse_false_length(shape: Shape, first: int, end: int, size: int, what: str) -> None:
    """DataError if so many frames are more than packets of so many bytes can encode."""
    (bin0, low0), (bin1, low1) = rows_before(shape, first), rows_before(shape, end)
    if (bin1 - bin0 + low1 - low0) * shape.channels > LEAST_VALUES + VALUES_PER_BYTE * size:
        raise DataError(f"{what}: its packets claim {end - first:,} frames, more than its {size:,} bytes can encode")


def whole_of(stream: Iterable[Telemetry], size: int, what: str) -> Telemetry:
    """Consecutive parts as one, in little more memory than the result.

    size: of the packets, in bytes; DataError if they claim more frames than they can encode.
    """
    join: _Join | None = None
    for part in stream:
        join = join or _Join(part)
        join.add(part)
        refuse_false_length(part.description.shape, 0, join.frames_with_data, size, what)
    assert join is not None
    refuse_false_length(part.description.shape, join.first, part.end_frame, size, what)
    return join.done()


class _Growing:
    """An array that grows at its end; the system may move pages of memory instead of copying."""

    def __init__(self, like: np.ndarray):
        self._array = np.zeros((0, *like.shape[1:]), dtype=like.dtype)
        self._length = 0
        self._gaps: list[tuple[int, int]] = []  # before which row, and of how many rows

    def add(self, more: np.ndarray) -> None:
        """Append rows."""
        end = self._length + len(more)
        if end > len(self._array):
            self._resize(end + int(end * GROWTH))
        self._array[self._length : end] = more
        self._length = end

    def skip(self, rows: int) -> None:
        """Append rows of NaN, which use memory only in the result."""
        self._gaps.append((self._length, rows))

    def done(self) -> np.ndarray:
        """All rows."""
        self._resize(self._length)
        if not self._gaps:
            return self._array
        total = self._length + sum(rows for _, rows in self._gaps)
        whole = np.full((total, *self._array.shape[1:]), np.nan, dtype=self._array.dtype)
        read = at = 0
        for row, rows in [*self._gaps, (self._length, 0)]:
            whole[at : at + row - read] = self._array[read:row]
            at, read = at + row - read + rows, row
        return whole

    def _resize(self, rows: int) -> None:
        self._array.resize((rows, *self._array.shape[1:]), refcheck=False)


class _Join:
    """Joins consecutive parts of a stream.

    first: frame with which the first part began. frames_with_data: those of parts that are not blank.
    """

    def __init__(self, part: Telemetry):
        self.first, self.frames_with_data = part.first_frame, 0
        self._events = [_Growing(each) for each in _events_of(part)]
        self._waves = [_Growing(each) for each in (part.waveform_of, part.waveforms, part.trough_frames)]
        self._power, self._low = _Growing(part.power), _Growing(part.low)
        self._waveforms = 0
        self._missing: list[tuple[int, int]] = []
        self._dropped = np.zeros(len(LEFT_OUT), dtype=np.int64)
        self._last = part

    def add(self, part: Telemetry) -> None:
        """Append a part."""
        self._last = part
        rows = np.where(part.waveform_of >= 0, part.waveform_of + self._waveforms, -1)
        self._waveforms += len(part.waveforms)
        more = (*_events_of(part), rows, part.waveforms, part.trough_frames)
        for column, each in zip([*self._events, *self._waves], more, strict=True):
            column.add(each)
        if part.blank:
            bins, low = rows_before(part.description.shape, part.end_frame)
            self._power.skip(bins - part.first_bin)
            self._low.skip(low - part.first_low)
        else:
            self.frames_with_data += part.frames
            self._power.add(part.power)
            self._low.add(part.low)
        self._missing += part.missing
        self._dropped += part.dropped

    def done(self) -> Telemetry:
        """All of them as one."""
        last = self._last
        frames, channels, weak, scaled = (column.done() for column in self._events)
        waveform_of, waveforms, troughs = (column.done() for column in self._waves)
        low0, low1 = (rows_before(last.description.shape, frame)[1] for frame in (self.first, last.end_frame))
        a, b, c, d = self._dropped.tolist()
        return Telemetry(
            last.description,
            last.end_frame - self.first,
            frames,
            channels,
            weak,
            scaled,
            waveform_of,
            waveforms,
            troughs,
            self._power.done(),
            self._low.done(),
            frames_of_low(last.description.shape, low0, low1),
            missing_spans(Missing(*span) for span in self._missing),
            last.counts,
            (a, b, c, d),
            last.noise,
            self.first,
        )


def _events_of(part: Telemetry) -> tuple[np.ndarray, ...]:
    return part.event_frames, part.event_channels, part.event_weak, part.event_scaled

"""Blackrock's `.nsX`: headers, then packets of interleaved int16; in specification 2.1, samples only.

A packet has a flag (1), a timestamp, a number of frames and these frames. A pause begins a packet. With PTP clocks each
frame is a packet. The last packet of a file that was not finished has a number of 0, or one beyond the file's end.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from spikey.base.errors import DataError
from spikey.recording.layout import Layout
from spikey.recording.sample_map import Mapped, MappedFile, Rest, Run, Samples, joined, rest
from spikey.vendors.bounded import Bounded
from spikey.vendors.parsed import flat_runs, layout_of, leftover, mapped

READER = "blackrock"
TICKS = 30_000  # of a second, in which periods are counted, whatever the resolution of timestamps is
MOST_FORMS = 1 << 16  # changes of the packets' length
SOON = 1 << 26  # ticks until the packet after an empty one, where its end does not show that it is one
LONG = 1 << 16  # bytes of a packet that are too many for it to be one of many
AT_ONCE = 1 << 22  # bytes of packets of one form that are compared at once


def parse_nsx(path: Path) -> Mapped:
    """The recording of a `.nsX`."""
    with Bounded(path) as file:
        mark = file.first(8)
        if mark == b"NEURALSG":
            period, channels = file.unpack("<II", 24)
            layout = layout_of(channels, TICKS / period if period else 0.0, "int16")
            head = 32 + 4 * channels
            runs, notes = flat_runs(file.size, layout, head=head)
            return mapped(READER, layout, [MappedFile(path, runs)], notes=notes)
        if mark not in (b"NEURALCD", b"BRSMPGRP"):
            raise DataError("does not begin with the mark of a Blackrock file")
        major, _, head = file.unpack("<BBI", 8)
        (period,) = file.unpack("<I", 286)
        (channels,) = file.unpack("<I", 310)
        layout = layout_of(channels, TICKS / period if period else 0.0, "int16")
        if not 314 <= head <= file.size:
            raise DataError("ends within its header")
        found, notes = _Packets(file, layout, 8 if major >= 3 else 4).runs(head)
        return mapped(READER, layout, [MappedFile(path, joined([rest(head), *found]))], notes=notes)


class _Packets:
    """The packets of a file; stamp: bytes of a timestamp."""

    def __init__(self, file: Bounded, layout: Layout, stamp: int) -> None:
        self._file = file
        self._layout = layout
        self._stamp = stamp
        self._head = 1 + stamp + 4

    def runs(self, at: int) -> tuple[list[Run], tuple[str, ...]]:
        """Runs from a packet to the file's end, and what to note of the bytes that are in no packet."""
        found: list[Run] = []
        forms = 0
        size, frame_bytes = self._file.size, self._layout.frame_bytes
        while (frames := self._frames(at)) is not None:
            forms += 1
            if forms > MOST_FORMS:
                raise DataError(f"changes the length of its packets more than {MOST_FORMS:,} times")
            data = at + self._head
            whole = (size - data) // frame_bytes
            unfinished = frames > whole or (not frames and not self._empty(at))
            if unfinished:
                frames = whole
            record = self._head + frames * frame_bytes
            count = 1 if unfinished or not frames else self._alike(at, record)
            found += self._run(count, frames)
            at += count * record
            if unfinished:
                break
        found.append(rest(size - at))
        return found, leftover(size - at, "after the last whole frame of the last packet")

    def _run(self, count: int, frames: int) -> list[Run]:
        fields = (Rest(1), Rest(self._stamp), Rest(4))
        if count > 1:
            return [Run(count, (*fields, Samples(frames, 0, self._layout.channels)))]
        # Of a packet that may be long, each frame is a record.
        return [Run(1, fields), Run(frames, (Samples(1, 0, self._layout.channels),))]

    def _frames(self, at: int) -> int | None:
        """The number of frames of a packet; None where there is no packet."""
        found = self._header(at)
        return found[1] if found else None

    def _header(self, at: int) -> tuple[int, int] | None:
        """Timestamp and number of frames of a packet; None where there is no packet."""
        if at + self._head > self._file.size:
            return None
        flag, stamp, frames = struct.unpack("<BQI" if self._stamp == 8 else "<BII", self._file.at(at, self._head))
        return (stamp, frames) if flag == 1 else None

    def _empty(self, at: int) -> bool:
        """Whether a packet with a number of 0 has no frames, as another follows; otherwise it was not finished."""
        this, after = self._header(at), self._header(at + self._head)
        if not this or not after:
            return False
        end = at + 2 * self._head + after[1] * self._layout.frame_bytes
        return (after[1] > 0 and end <= self._file.size) or this[0] <= after[0] < this[0] + SOON

    def _alike(self, at: int, record: int) -> int:
        """How many packets of one length follow each other; 1 if they are long."""
        number = self._file.at(at + 1 + self._stamp, 4)
        there, count, some = (self._file.size - at) // record, 1, 1
        while record <= LONG and count < there:
            some = min(there - count, max(AT_ONCE // record, 1), 2 * some)
            data = np.frombuffer(self._file.at(at + count * record, some * record), np.uint8).reshape(some, record)
            wrong = (data[:, 0] != 1) | (data[:, 1 + self._stamp : self._head] != tuple(number)).any(axis=1)
            if wrong.any():
                return count + int(wrong.argmax())
            count += some
        return count

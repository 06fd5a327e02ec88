"""The files that a compressed recording restores, read by position: any bytes, decoding only the blocks they are in."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import PurePath
from typing import Protocol

from spikey.base.errors import DataError, UsageError
from spikey.container.file_map import FileMap
from spikey.container.layout import BLOCK_BYTES, BLOCK_FILES, BLOCK_HEAD, BLOCK_TAIL, BYTES
from spikey.container.reader import Reader
from spikey.files.names import restored_name
from spikey.files.restored_contents import Contents, Stream
from spikey.files.restored_records import Records
from spikey.recording.layout import packed


class Segment(Protocol):
    """A part of a restored file."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, count: int) -> bytes: ...

    def frame(self, offset: int) -> int | None:
        """The frame of a byte, None where the segment has no samples."""

    @property
    def columns(self) -> tuple[int, int]: ...


class RestoredFile:
    """A file as it would be restored.

    name: relative, with slashes. size: in bytes. Safe for threads, as long as its reader is open.

    Examples
    --------
    >>> import numpy, spikey
    >>> data = spikey.compress(numpy.arange(6, dtype="int16").reshape(3, 2), rate=20000)
    >>> (file,) = open_restored(spikey.open(data), "a.dat.spky")
    >>> file.name, file.size, file.read(3, 4).hex()
    ('a.dat', 12, '00020003')
    """

    def __init__(self, name: str, contents: Contents, segments: Sequence[Segment]):
        self.name = name
        self._contents = contents
        self._segments = [segment for segment in segments if segment.size]
        self._ends = list(accumulate(segment.size for segment in self._segments))
        self.size = self._ends[-1] if self._ends else 0

    def read(self, offset: int, count: int) -> bytes:
        """Bytes from `offset` on: `count`, or as many as there are.

        Raises DamagedError where a block that contains any of them is damaged, DataError where it cannot be read.
        """
        if offset < 0 or count < 0:
            raise UsageError(f"{self.name}: has no bytes from {offset} to {offset + count}")
        end = min(offset + count, self.size)
        parts = []
        number = bisect_right(self._ends, offset)
        while offset < end:
            begin = self._ends[number - 1] if number else 0
            some = min(end, self._ends[number]) - offset
            parts.append(self._segments[number].read(offset - begin, some))
            offset, number = offset + some, number + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def block(self, offset: int) -> int | None:
        """A number for the blocks of samples that contain a byte; None for other bytes, and from the end on."""
        frame = self._frame(offset)[0]
        return None if frame is None else self._contents.number(frame)

    def ahead(self, offset: int, most: int) -> None:
        """Decode the samples after the block of a byte, of at most `most` bytes, to have them for the next reading."""
        frame, low, high = self._frame(offset)
        if frame is not None:
            self._contents.ahead(frame, low, high, most)

    def _frame(self, offset: int) -> tuple[int | None, int, int]:
        """The frame of a byte and the columns that lie there."""
        number = bisect_right(self._ends, offset)
        if number == len(self._ends):
            return None, 0, 0
        segment = self._segments[number]
        return segment.frame(offset - (self._ends[number - 1] if number else 0)), *segment.columns


def open_restored(reader: Reader, path: str | os.PathLike[str]) -> list[RestoredFile]:
    """The files that an opened recording restores, the recording's own ones first, then its side files.

    Nothing is decoded but the first bytes of a plain file, which its name may depend on. Raises DataError where the
    recording contradicts itself.

    Parameters
    ----------
    reader : Reader
        The opened recording; it must stay open while the files are read.
    path : path
        The compressed file's, from which the name follows where the file contains none.
    """
    contents = Contents(reader)
    if reader.file_map is not None:
        files = _mapped(contents, reader.file_map)
    else:
        name = restored_name(reader, PurePath(path).name)
        if reader.header.wrapper == BYTES:
            segments: list[Segment] = [Bytes(Stream(contents, BLOCK_BYTES))]
        else:
            head, tail = Stream(contents, BLOCK_HEAD), Stream(contents, BLOCK_TAIL)
            segments = [Bytes(head), Frames(contents), Bytes(tail)]
        files = [RestoredFile(name, contents, segments)]
    return files + _side_files(contents)


def _side_files(contents: Contents) -> list[RestoredFile]:
    """Side files, which lie one after another in one stream."""
    if not contents.reader.files:
        return []
    stream = Stream(contents, BLOCK_FILES)
    found, at = [], 0
    for name, size in contents.reader.files.items():
        found.append(RestoredFile(name, contents, [Bytes(stream, at, size)]))
        at += size
    if at > stream.size:
        raise DataError(f"{contents.reader.name}: lacks {at - stream.size:,} bytes of its side files")
    return found


def _mapped(contents: Contents, file_map: FileMap) -> list[RestoredFile]:
    """Files of which samples lie between other bytes, or that a recording's channels are spread over."""
    rest = Stream(contents, BLOCK_HEAD)
    if sum(file_map.rest()) != rest.size:
        raise DataError(f"{contents.reader.name}: contradicts itself about the bytes between its samples")
    files, at = [], 0
    for name, runs in zip(file_map.names, file_map.runs, strict=True):
        segments, frame = [], 0
        for run in runs:
            segments.append(Records(contents, rest, runs, run, file_map.big_endian, frame, at))
            frame += run.count * run.frames
            at += run.count * run.rest
        files.append(RestoredFile(name, contents, segments))
    return files


class Bytes:
    """Bytes of a stream."""

    columns = (0, 0)

    def __init__(self, stream: Stream, first: int = 0, size: int | None = None):
        self._stream, self._first = stream, first
        self.size = stream.size if size is None else size

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on."""
        return self._stream.read(self._first + offset, count)

    def frame(self, offset: int) -> None:
        """No samples are here."""


class Frames:
    """All samples, frame after frame."""

    def __init__(self, contents: Contents):
        self._contents, self._layout = contents, contents.reader.layout
        self.size = contents.reader.frames * self._layout.frame_bytes
        self.columns = (0, self._layout.channels)

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on."""
        size = self._layout.frame_bytes
        first, end = offset // size, -(-(offset + count) // size)
        samples = self._contents.samples(first, end - first, *self.columns)
        return bytes(packed(samples, self._layout)[offset - first * size :][:count])

    def frame(self, offset: int) -> int:
        """The frame of a byte."""
        return offset // self._layout.frame_bytes

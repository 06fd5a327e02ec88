"""What every kind of recording file shares: the layout of its samples, and reading and writing them.

A file is seen as three ranges of bytes, `head`, whole frames of samples, `tail`; together they are the file,
byte for byte. A frame is one sample of every channel, interleaved and little-endian in the file.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from typing import BinaryIO, Self

from spikey.base.errors import DataError, UsageError
from spikey.recording.layout import Buffer, Layout, Samples, pack, unpack
from spikey.recording.opened import PathLike as PathLike
from spikey.recording.opened import Positioned, Seekable, read_at
from spikey.recording.opened import open_file as open_file

PIECE_BYTES = 1 << 20


class NotPCM(DataError):
    """The file is a proper WAV, but its samples are none that can be modelled (A-law, ADPCM, ...; float for many)."""


class Source:
    """An opened recording: `frames` frames of samples in `layout`, and the bytes around them.

    Made by `open_wav` and `open_raw`; a context manager. Reads are by position, so threads can share a source.
    What `payload_size` holds beyond whole frames counts as tail. `canonical`: the head follows from layout
    and frames (see `wav.canonical_head`) and the tail is empty, so that neither need be stored.
    """

    def __init__(
        self,
        file: Positioned | Seekable,
        name: str,
        layout: Layout,
        head_size: int,
        payload_size: int,
        file_size: int,
    ) -> None:
        self._file = file
        self.name = name
        self.layout = layout
        self.frames = payload_size // layout.frame_bytes
        self.head_size = head_size
        self._tail_start = head_size + self.frames * layout.frame_bytes
        self.tail_size = file_size - self._tail_start
        self.canonical = False

    def read(self, first_frame: int, count: int) -> Samples:
        """Read frames `first_frame` to `first_frame + count`.

        Returns shape `(count, channels)`, dtype `layout.memory_dtype`, C-contiguous, writable.
        Raises `UsageError` outside `0..frames`, `DataError` if the file has shrunk or fails.
        """
        first_frame, count = operator.index(first_frame), operator.index(count)
        if first_frame < 0 or count < 0 or first_frame + count > self.frames:
            raise UsageError(f"{self.name} has {self.frames} frames; asked for {count} from frame {first_frame} on")
        size = self.layout.frame_bytes
        return unpack(read_at(self._file, self.name, self.head_size + first_frame * size, count * size), self.layout)

    def size_now(self) -> int:
        """The file's size in bytes at this moment, which differs from when it was opened if it is still written."""
        try:
            return os.stat(self.name).st_size
        except (OSError, ValueError):  # a remote file
            return self._tail_start + self.tail_size

    def head(self) -> bytes:
        """All bytes before the samples. Use `head_chunks` where they may be many."""
        return bytes(read_at(self._file, self.name, 0, self.head_size))

    def head_chunks(self, size: int = PIECE_BYTES) -> Iterator[bytes]:
        """The bytes before the samples, at most `size` at a time."""
        return self._chunks(0, self.head_size, size)

    def tail(self) -> bytes:
        """All bytes after the last whole frame. Use `tail_chunks` where they may be many."""
        return bytes(read_at(self._file, self.name, self._tail_start, self.tail_size))

    def tail_chunks(self, size: int = PIECE_BYTES) -> Iterator[bytes]:
        """The bytes after the last whole frame, at most `size` at a time."""
        return self._chunks(self._tail_start, self._tail_start + self.tail_size, size)

    def _chunks(self, start: int, end: int, size: int) -> Iterator[bytes]:
        for offset in range(start, end, size):
            yield bytes(read_at(self._file, self.name, offset, min(size, end - offset)))

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Sink:
    """Writes a recording to a binary file opened by the caller: head, then frames, then tail, each in any pieces.

    Raises `UsageError` for samples that do not fit the layout and for pieces out of order. An `OSError` of the file
    passes through, because only the caller has the file's name.

    >>> import io, numpy as np
    >>> file = io.BytesIO()
    >>> sink = Sink(file, Layout(1, 30000, "int16"))
    >>> sink.write_head(b"head")
    >>> sink.write(np.array([[1], [2]], np.int16))
    >>> sink.write_tail(b"tail")
    >>> file.getvalue(), sink.frames
    (b'head\\x01\\x00\\x02\\x00tail', 2)
    """

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self._file = file
        self._part = 0
        self.layout = layout
        self.frames = 0

    def write_head(self, data: Buffer) -> None:
        """Append bytes of the head."""
        self._append(0, data)

    def write(self, samples: Samples) -> None:
        """Append frames: shape `(frames, channels)`, dtype `layout.memory_dtype`."""
        self._append(1, pack(samples, self.layout))
        self.frames += len(samples)

    def write_tail(self, data: Buffer) -> None:
        """Append bytes of the tail."""
        self._append(2, data)

    def _append(self, part: int, data: Buffer) -> None:
        if part < self._part:
            raise UsageError("a recording is written in the order head, samples, tail")
        self._part = part
        # An unbuffered file may take less than it is given.
        with memoryview(data).cast("B") as view:
            done = 0
            while done < len(view):
                done += self._file.write(view[done:])

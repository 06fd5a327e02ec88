"""What every kind of recording file shares: the layout of its samples, and reading and writing them.

A file is seen as three ranges of bytes, `head`, whole frames of samples, `tail`; together they are the file,
byte for byte. A frame is one sample of every channel, interleaved and little-endian in the file.
"""

from __future__ import annotations

import math
import operator
import os
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from spikey.base.errors import DataError, UsageError
from spikey.recording.opened import PathLike as PathLike
from spikey.recording.opened import Positioned, Seekable, read_at
from spikey.recording.opened import open_file as open_file

Samples = npt.NDArray[Any]
Buffer = bytes | bytearray | memoryview

# Name of the type in the file -> bytes per sample there, NumPy type in memory. NumPy has no 24-bit integer.
DTYPES: dict[str, tuple[int, str]] = {
    "int8": (1, "int8"),
    "uint8": (1, "uint8"),
    "int16": (2, "int16"),
    "uint16": (2, "uint16"),
    "int24": (3, "int32"),
    "int32": (4, "int32"),
    "uint32": (4, "uint32"),
    "float32": (4, "float32"),
    "float64": (8, "float64"),
}
MOST_CHANNELS = 1 << 24
PIECE_BYTES = 1 << 20


class NotPCM(DataError):
    """The file is a proper WAV, but its samples are none that can be modelled (A-law, ADPCM, ...; float for many)."""


@dataclass(frozen=True)
class Layout:
    """How samples lie in a file: `channels` per frame, `rate` in Hz, and `dtype`, one of the names in `DTYPES`.

    Raises `UsageError` for fewer than one channel, a negative or non-finite rate, or an unknown type.
    A rate of 0 is allowed: there are WAV files that state it.

    >>> layout = Layout(channels=4, rate=30000, dtype="int24")
    >>> layout.itemsize, layout.frame_bytes, layout.memory_dtype
    (3, 12, dtype('int32'))
    """

    channels: int
    rate: float
    dtype: str

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise UsageError(f"a recording has 1 to {MOST_CHANNELS:,} channels, not {self.channels:,}")
        try:
            possible = math.isfinite(self.rate) and self.rate >= 0
        except (OverflowError, TypeError):  # an integer beyond all floats, or not a number
            possible = False
        if not possible:
            raise UsageError(f"a sampling rate is a finite number of Hz, not {reprlib.repr(self.rate)}")
        if self.dtype not in DTYPES:
            raise UsageError(f"{self.dtype!r} is no sample type; the types are {', '.join(DTYPES)}")

    @property
    def itemsize(self) -> int:
        """Bytes per sample in the file: 3 for int24."""
        return DTYPES[self.dtype][0]

    @property
    def frame_bytes(self) -> int:
        """Bytes per frame in the file."""
        return self.channels * self.itemsize

    @property
    def memory_dtype(self) -> np.dtype[Any]:
        """Native-endian NumPy type of the samples in memory: int32 for int24."""
        return np.dtype(DTYPES[self.dtype][1])


def unpack(buffer: Buffer, layout: Layout) -> Samples:
    """Turn the file's bytes of whole frames into samples.

    Returns shape `(frames, channels)`, dtype `layout.memory_dtype`, C-contiguous. Except for int24, on little-endian
    hosts, the result shares the memory of `buffer` and is writable only if `buffer` is.
    Raises `UsageError` if the bytes are no whole number of frames.

    >>> unpack(bytes([255, 255, 255, 0, 0, 128]), Layout(2, 30000, "int24"))
    array([[      -1, -8388608]], dtype=int32)
    """
    size = memoryview(buffer).nbytes
    if size % layout.frame_bytes:
        raise UsageError(f"{size} bytes are no whole number of frames of {layout.frame_bytes} bytes")
    if layout.dtype == "int24":
        # The three bytes go to the top of a word, so that shifting it down extends the sign.
        words = np.zeros((size // 3, 4), np.uint8)
        words[:, 1:] = np.frombuffer(buffer, np.uint8).reshape(-1, 3)
        flat: Samples = words.view("<i4")
        flat >>= 8
    else:
        flat = np.frombuffer(buffer, layout.memory_dtype.newbyteorder("<"))
    return flat.astype(layout.memory_dtype, copy=False).reshape(-1, layout.channels)


def pack(samples: Samples, layout: Layout) -> bytes:
    """Turn samples into the file's bytes: the inverse of `unpack`.

    `samples` has shape `(frames, channels)` and dtype `layout.memory_dtype`, in any memory order.
    Raises `UsageError` if it has not, or if a value does not fit into 24 bits where the file's type is int24.

    >>> pack(np.array([[-1, 1]], np.int16), Layout(2, 30000, "int16")).hex()
    'ffff0100'
    """
    if samples.ndim != 2 or samples.shape[1] != layout.channels or samples.dtype != layout.memory_dtype:
        raise UsageError(
            f"samples must have shape (frames, {layout.channels}) and dtype {layout.memory_dtype}, "
            f"not {samples.shape} and {samples.dtype}"
        )
    if layout.dtype != "int24":
        return samples.astype(layout.memory_dtype.newbyteorder("<"), copy=False).tobytes()
    if samples.size and (samples.min() < -(1 << 23) or samples.max() >= 1 << 23):
        raise UsageError(f"a sample does not fit into 24 bits: they span {samples.min()} to {samples.max()}")
    words = np.ascontiguousarray(samples, "<i4").view(np.uint8).reshape(-1, 4)
    return words[:, :3].tobytes()


class Source:
    """An opened recording: `frames` frames of samples in `layout`, and the bytes around them.

    Made by `open_wav` and `open_raw`; a context manager. Reads are by position, so threads can share a source.
    What `payload_size` holds beyond whole frames counts as tail. `canonical` says that the head follows from layout
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
    passes through, because only the caller knows the file's name.

    >>> import io
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

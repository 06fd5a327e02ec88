"""Recordings in memory, for what is measured on them: nothing is read from a disk while time counts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from spikey.base.errors import DataError
from spikey.container.layout import BLOCK_HEAD, BLOCK_TAIL, BYTES, CANONICAL
from spikey.container.reader import Reader
from spikey.files.devices import opener
from spikey.recording.layout import Layout, pack
from spikey.recording.source import NotPCM

MOST_SAMPLES = 1 << 26  # of one recording; what is longer is measured on its beginning


class Loaded:
    """A recording of integers: samples (frames, channels), the bytes around them, and all that a writer asks for."""

    def __init__(self, name: str, layout: Layout, samples: np.ndarray, head: bytes, tail: bytes, canonical: bool):
        self.name, self.layout, self.samples, self.canonical = name, layout, samples, canonical
        self.frames = len(samples)
        self._head, self._tail = head, tail
        self.head_size, self.tail_size = len(head), len(tail)
        self.share = 1.0  # that this is of the recording

    @property
    def cut(self) -> bool:
        """Whether there is more of it."""
        return self.share < 1

    @cached_property
    def payload(self) -> bytes:
        """The samples as they lie in the file."""
        return pack(self.samples, self.layout)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.head_size + self.frames * self.layout.frame_bytes + self.tail_size

    def file_bytes(self) -> bytes:
        """The file."""
        return self._head + self.payload + self._tail

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Frames of samples, as every source gives them."""
        return self.samples[first_frame : first_frame + count]

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        """The bytes before the samples."""
        return iter((self._head,) if self._head else ())

    def tail_chunks(self, size: int = 0) -> Iterator[bytes]:
        """The bytes after them."""
        return iter((self._tail,) if self._tail else ())

    def beginning(self, frames: int) -> Self:
        """The first frames alone, without what is around; itself where there are no more."""
        if frames >= self.frames:
            return self
        return type(self)(self.name, self.layout, self.samples[:frames].copy(), b"", b"", False)


def load(path: Path, raw: tuple[int, float, str] | None = None, seconds: float | None = None) -> Loaded:
    """Read a WAV, raw (with `raw`: channels, rate in Hz, type) or `.spky` file; at most its first 2^26 samples.

    seconds: only so much of it. Raises DataError for anything but a recording of integers, and for an empty one.
    """
    with opener(raw)(path) as source:
        layout: Layout = source.layout
        spky = isinstance(source, Reader)
        if spky and source.header.wrapper == BYTES:
            raise NotPCM(f"{path}: holds a file as plain bytes, without known samples")
        if layout.memory_dtype.kind == "f":
            raise NotPCM(f"{path}: holds floats, and codecs are compared on integers")
        if not source.frames:
            raise DataError(f"{path}: holds no samples")
        frames = min(source.frames, max(MOST_SAMPLES // layout.channels, 1))
        if seconds is not None and layout.rate > 0:
            frames = min(frames, max(round(seconds * layout.rate), 1))
        samples = source.read(0, frames)
        if frames < source.frames:
            beginning = Loaded(str(path), layout, samples, b"", b"", False)
            beginning.share = frames / source.frames
            return beginning
        if spky:
            head, tail = (b"".join(source.around(kind)) for kind in (BLOCK_HEAD, BLOCK_TAIL))
            return Loaded(str(path), layout, samples, head, tail, source.header.wrapper == CANONICAL)
        return Loaded(str(path), layout, samples, source.head(), source.tail(), source.canonical)

"""What the codec needs of a recording, and samples in memory as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from spikey.base.errors import UsageError
from spikey.recording.layout import Layout


class Readable(Protocol):
    """A recording: `spikey.recording.source.Source` and `ArraySource` have these."""

    layout: Layout
    frames: int
    canonical: bool
    head_size: int
    tail_size: int

    def read(self, first_frame: int, count: int) -> np.ndarray: ...
    def head_chunks(self, size: int = ...) -> Iterator[bytes]: ...
    def tail_chunks(self, size: int = ...) -> Iterator[bytes]: ...


class Named(Readable, Protocol):
    """An opened recording with a name for messages."""

    name: str


class ArraySource:
    """Samples (frames, channels) in memory as a source, with nothing around them."""

    canonical = False
    head_size = tail_size = 0

    def __init__(self, samples: np.ndarray, rate: float):
        if samples.ndim == 1:
            samples = samples[:, None]
        if samples.ndim != 2:
            raise UsageError(f"samples have the shape (frames, channels), not {samples.shape}")
        native = samples.dtype.newbyteorder("=")
        self.layout = Layout(samples.shape[1], rate, str(native))
        self.frames = samples.shape[0]
        self._samples = samples

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Frames [first_frame, first_frame + count), native-endian."""
        return self._samples[first_frame : first_frame + count].astype(self.layout.memory_dtype, copy=False)

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    tail_chunks = head_chunks

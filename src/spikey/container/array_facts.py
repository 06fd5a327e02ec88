"""What an opened recording has in common with a NumPy array: shape, type, size."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikey.recording.layout import Layout


class ArrayFacts:
    """The attributes of an array of samples (frames, channels); its length is the number of frames."""

    layout: Layout
    frames: int

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, channels)"""
        return self.frames, self.layout.channels

    @property
    def ndim(self) -> int:
        """2: frames and channels."""
        return 2

    @property
    def size(self) -> int:
        """The number of samples; the file's bytes are `file_size`."""
        return self.frames * self.layout.channels

    @property
    def nbytes(self) -> int:
        """Bytes that all samples take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type of the samples."""
        return self.layout.memory_dtype

    @property
    def rate(self) -> float:
        """Sampling rate in Hz."""
        return self.layout.rate

    @property
    def duration(self) -> float:
        """Seconds that the recording lasts; NaN where the file contains no rate."""
        return self.frames / self.rate if self.rate else float("nan")

    def __len__(self) -> int:
        return self.frames

"""A SpikeInterface recording as something to compress."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Self

import numpy as np
from spikeinterface.core import BaseRecording

from spikey.base.errors import DataError
from spikey.recording.hints import CHANNELS_FIRST, warn_of_shape
from spikey.recording.layout import DTYPES, Layout


class RecordingSource:
    """One segment of a SpikeInterface recording as something to compress. Raises DataError for types that cannot be."""

    canonical = False
    head_size = tail_size = 0
    _one_at_a_time = threading.Lock()  # Neo's readers seek in files that they share

    def __init__(self, recording: BaseRecording, segment: int, name: str):
        dtype = recording.get_dtype()
        if str(dtype.newbyteorder("=")) not in DTYPES:
            raise DataError(
                f"{name}: holds samples of type {dtype}; those that can be compressed are {', '.join(DTYPES)}"
            )
        self.name = name
        self.layout = Layout(recording.get_num_channels(), recording.sampling_frequency, str(dtype.newbyteorder("=")))
        self.frames = recording.get_num_samples(segment)
        warn_of_shape(self.frames, self.layout.channels, CHANNELS_FIRST, 2)
        self._recording, self._segment = recording, segment

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, channels); DataError where SpikeInterface cannot give them."""
        end = first_frame + count
        try:
            with self._one_at_a_time:
                traces = self._recording.get_traces(self._segment, first_frame, end)
        except Exception as error:  # each format has its own kinds
            raise DataError(f"{self.name}: frames {first_frame} to {end} cannot be read: {error}") from error
        if traces.shape != (count, self.layout.channels):
            raise DataError(
                f"{self.name}: its header describes {self.layout.channels:,} channels, and frames {first_frame:,} to "
                f"{end:,} were read as {' x '.join(map(str, traces.shape))} samples"
            )
        return np.ascontiguousarray(traces, dtype=self.layout.memory_dtype)

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    tail_chunks = head_chunks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open that is this object's to close."""

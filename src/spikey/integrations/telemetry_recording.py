"""The recording class of `spikey.integrations.telemetry`, in a module of its own so that it can be pickled."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from spikey.base.errors import UsageError, install

try:
    from spikeinterface.core import BaseRecording, BaseRecordingSegment
except ImportError:
    raise ImportError(f"this needs SpikeInterface: {install('spikeinterface')}") from None

from spikey.recording.remote import full
from spikey.stream.key_file import read_key
from spikey.telemetry.check import NOTE
from spikey.telemetry.decoded import Telemetry
from spikey.telemetry.file import read_telemetry

KINDS = ("samples", "codes", "waveforms")


class TelemetryRecordingExtractor(BaseRecording):
    """A telemetry file's reconstructed signal, as a recording of one segment; see `read_telemetry_recording`.

    `telemetry`: what was decoded.
    """

    def __init__(
        self,
        file_path: str | os.PathLike[str],
        kind: str = KINDS[0],
        noise: int | None = None,
        key_file: str | os.PathLike[str] | None = None,
    ):
        if kind not in KINDS:
            raise UsageError(f"a telemetry recording is of {', '.join(KINDS)}, not of {kind!r}")
        name = full(file_path)
        self.telemetry = telemetry = read_telemetry(name, key=None if key_file is None else read_key(key_file))
        dtype = telemetry.description.dtype if kind == KINDS[0] else "float32"
        BaseRecording.__init__(self, telemetry.rate, np.arange(telemetry.channels), dtype)
        self.annotate(note=NOTE)
        self.add_recording_segment(TelemetryRecordingSegment(telemetry, kind, noise))
        # The key's file, not the key: SpikeInterface writes these arguments into files of its own.
        self._kwargs = {
            "file_path": name,
            "kind": kind,
            "noise": noise,
            "key_file": None if key_file is None else os.path.abspath(key_file),
        }


class TelemetryRecordingSegment(BaseRecordingSegment):
    """All frames of a telemetry file."""

    def __init__(self, telemetry: Telemetry, kind: str, noise: int | None):
        BaseRecordingSegment.__init__(self, sampling_frequency=telemetry.rate)
        self._telemetry, self._kind, self._noise = telemetry, kind, noise

    def get_num_samples(self) -> int:
        """Frames."""
        return self._telemetry.frames

    def get_traces(
        self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None
    ) -> np.ndarray:
        """Samples (frames, channels)."""
        first = 0 if start_frame is None else int(start_frame)
        end = self._telemetry.frames if end_frame is None else int(end_frame)
        if self._kind == KINDS[0]:
            traces = self._telemetry.samples(first, end, self._noise)
        else:
            traces = self._telemetry.signal(first, end, low=self._kind == "codes", noise=self._noise)
        return traces if channel_indices is None else traces[:, channel_indices]

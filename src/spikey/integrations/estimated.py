"""The calibration of a recording, estimated once, for the codec of the array that the recording goes into."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from spikey.base.errors import UsageError
from spikey.codec.calibration_policy import choose_calibration
from spikey.codec.registry import preset_method
from spikey.integrations.calibrations import NONE, portable
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.readable import ArraySource, Readable


class SlicedSource(ArraySource):
    """An array (frames, channels) of any library that gives arrays for slices of frames."""

    def __init__(self, array: Any):
        self.layout = Layout(array.shape[1], 0, str(np.dtype(array.dtype).newbyteorder("=")))
        self.frames = array.shape[0]
        self._array = array

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Frames [first_frame, first_frame + count), native-endian."""
        part = np.asarray(self._array[first_frame : first_frame + count])
        return part.astype(self.layout.memory_dtype, copy=False)


def calibration_for(recording: Any, preset: str) -> str:
    """The calibration that pays for a recording, as `spikey.integrations.calibrations.portable` gives it.

    recording: of SpikeInterface, of which the longest segment is looked at, an array (frames, channels) of NumPy, Dask,
    Zarr or h5py, or an opened source. A few million samples of it are read. Raises UsageError for anything else.
    """
    chosen = choose_calibration("auto", _source_of(recording), preset_method(preset)).calibration
    return NONE if chosen is None else portable(chosen.to_bytes())


def _source_of(recording: Any) -> Readable:
    if hasattr(recording, "layout"):
        return cast(Readable, recording)
    if hasattr(recording, "get_traces"):
        from spikey.integrations.recording_source import RecordingSource

        lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
        return RecordingSource(recording, int(np.argmax(lengths)), type(recording).__name__)
    shape, dtype = getattr(recording, "shape", ()), getattr(recording, "dtype", None)
    if dtype is None or len(shape) not in (1, 2) or str(np.dtype(dtype).newbyteorder("=")) not in DTYPES:
        raise UsageError(
            "a calibration is estimated from a SpikeInterface recording or an array (frames, channels) of integers or "
            f"floats, not from {type(recording).__name__}"
        )
    return SlicedSource(recording if len(shape) == 2 else np.asarray(recording)[:, None])

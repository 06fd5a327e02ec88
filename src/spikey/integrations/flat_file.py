"""Vendors' files that are flat: a head, interleaved samples, a tail. They come back byte for byte, side files as well.

Neo and SpikeInterface report where the samples lie; this is used only where the file's own bytes give the same samples.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording

from spikey.base.errors import DataError, SpikeyError
from spikey.recording.hints import CHANNELS_FIRST, warn_of_shape
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.source import Source, open_file

COMPARED = 256  # frames at either end


@dataclass(frozen=True)
class FlatFile:
    """A flat file, its layout, where its samples begin and how many frames it has; `columns` are the recording's."""

    path: str
    layout: Layout
    offset: int
    frames: int
    columns: tuple[int, ...]

    def open(self) -> Source:
        """The whole file as something to compress."""
        file, name, size = open_file(self.path)
        payload = self.frames * self.layout.frame_bytes
        if self.offset + payload > size:
            file.close()
            raise DataError(f"{name}: ends {self.offset + payload - size} bytes too early")
        return Source(file, name, self.layout, self.offset, payload, size)

    def remainder(self, name: str) -> str:
        """A note on bytes after the last whole frame; empty for the end that some formats have on purpose."""
        rest = os.path.getsize(self.path) - self.offset - self.frames * self.layout.frame_bytes
        if not rest or (self.offset and rest >= self.layout.frame_bytes):
            return ""
        return f"{name}: {rest:,} byte{'s' * (rest > 1)} after the last whole frame, which are stored as they are"


def flat_file(recording: BaseRecording, segment: int) -> FlatFile | None:
    """The flat file that a segment's samples lie in; None where they lie otherwise."""
    found = _described(recording, segment)
    if found is None:
        return None
    path, offset, dtype, shape, columns = found
    if dtype.newbyteorder("<") != dtype or str(dtype) not in DTYPES:
        return None
    layout = Layout(int(shape[1]), float(recording.sampling_frequency), str(dtype))
    flat = FlatFile(os.path.realpath(path), layout, int(offset), int(shape[0]), tuple(columns))
    if not _same(flat, recording, segment):
        return None
    warn_of_shape(flat.frames, layout.channels, CHANNELS_FIRST)
    return flat


def _described(recording: BaseRecording, segment: int) -> tuple[str, int, np.dtype, tuple[int, int], list[int]] | None:
    """Path, offset in bytes, type, shape and columns as the reader describes them."""
    neo = getattr(recording, "neo_reader", None)
    if neo is None:
        if not recording.is_binary_compatible():
            return None
        described = recording.get_binary_description()
        if described["time_axis"] != 0:
            return None
        channels = described["num_channels"]
        shape = recording.get_num_samples(segment), channels
        path = described["file_paths"][segment]
        return str(path), described["file_offset"], np.dtype(described["dtype"]), shape, list(range(channels))
    stream = neo.header["signal_streams"][recording.stream_index]
    channels = neo.header["signal_channels"]
    if neo.has_buffer_description_api():
        described = neo.get_analogsignal_buffer_description(recording.block_index, segment, stream["buffer_id"])
        if (described["type"], described.get("order"), described.get("time_axis", 0)) != ("raw", "C", 0):
            return None
        inside = channels[channels["buffer_id"] == stream["buffer_id"]]
        columns = np.flatnonzero(inside["stream_id"] == stream["id"]).tolist()
        return (
            described["file_path"],
            described["file_offset"],
            np.dtype(described["dtype"]),
            described["shape"],
            columns,
        )
    raw = getattr(neo, "_raw_data", None)  # Intan's files of one kind of signal each
    if isinstance(raw, dict):
        mapped, count = raw.get(stream["name"]), recording.get_num_channels()
        if not isinstance(mapped, np.memmap) or mapped.ndim != 2 or mapped.shape[1] != count:
            return None
        return str(mapped.filename), mapped.offset, mapped.dtype, mapped.shape, list(range(count))
    return _blackrock(neo, str(stream["id"]), segment)


def _blackrock(neo: Any, stream: str, segment: int) -> tuple[str, int, np.dtype, tuple[int, int], list[int]] | None:
    """An nsx file of one packet; Neo has no public function that returns where it lies."""
    try:
        packets = neo._nsx_data_header[int(stream)]
        described = packets[segment]["memmap_kwargs"]
        channels = int(neo._nsx_basic_header[int(stream)]["channel_count"])
        if len(packets) > 1 or described.get("packet_size"):
            return None
        path = f"{neo._filenames['nsx']}.ns{stream}"
        shape = int(described["num_samples"]), channels
        return path, int(described["offset"]), np.dtype(described["dtype"]), shape, list(range(channels))
    except (AttributeError, KeyError, ValueError, TypeError, IndexError):
        return None


def _same(flat: FlatFile, recording: BaseRecording, segment: int) -> bool:
    """Whether the file's first and last frames are the recording's."""
    if flat.frames != recording.get_num_samples(segment) or len(flat.columns) != recording.get_num_channels():
        return False
    if max(flat.columns, default=-1) >= flat.layout.channels:
        return False
    try:
        with flat.open() as source:
            for first in (0, max(flat.frames - COMPARED, 0)):
                end = min(first + COMPARED, flat.frames)
                wanted = recording.get_traces(segment, first, end)
                if not np.array_equal(source.read(first, end - first)[:, list(flat.columns)], wanted):
                    return False
    except SpikeyError:
        return False
    return True

"""Vendors' files that are flat: a head, interleaved samples, a tail. They come back byte for byte, side files as well.

Neo and SpikeInterface say where the samples lie; it is believed only where the file's own bytes give the same samples.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording

from spikey.base.errors import DataError, SpikeyError
from spikey.recording.hints import CHANNELS_FIRST, warn_of_shape
from spikey.recording.source import DTYPES, Layout, Source, open_file

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
        """What to say of bytes after the last whole frame; nothing of the end that some formats have on purpose."""
        rest = os.path.getsize(self.path) - self.offset - self.frames * self.layout.frame_bytes
        if not rest or (self.offset and rest >= self.layout.frame_bytes):
            return ""
        return f"{name}: {rest:,} byte{'s' * (rest > 1)} after the last whole frame, which are kept as they are"


def flat_file(recording: BaseRecording, segment: int) -> FlatFile | None:
    """The flat file that a segment's samples lie in; None where they lie otherwise."""
    found = _stated(recording, segment)
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


def _stated(recording: BaseRecording, segment: int) -> tuple[str, int, np.dtype, tuple[int, int], list[int]] | None:
    """Path, offset in bytes, type, shape and columns as the reader states them."""
    neo = getattr(recording, "neo_reader", None)
    if neo is None:
        if not recording.is_binary_compatible():
            return None
        stated = recording.get_binary_description()
        if stated["time_axis"] != 0:
            return None
        channels = stated["num_channels"]
        shape = recording.get_num_samples(segment), channels
        path = stated["file_paths"][segment]
        return str(path), stated["file_offset"], np.dtype(stated["dtype"]), shape, list(range(channels))
    stream = neo.header["signal_streams"][recording.stream_index]
    channels = neo.header["signal_channels"]
    if neo.has_buffer_description_api():
        stated = neo.get_analogsignal_buffer_description(recording.block_index, segment, stream["buffer_id"])
        if (stated["type"], stated.get("order"), stated.get("time_axis", 0)) != ("raw", "C", 0):
            return None
        inside = channels[channels["buffer_id"] == stream["buffer_id"]]
        columns = np.flatnonzero(inside["stream_id"] == stream["id"]).tolist()
        return stated["file_path"], stated["file_offset"], np.dtype(stated["dtype"]), stated["shape"], columns
    raw = getattr(neo, "_raw_data", None)  # Intan's files of one kind of signal each
    if isinstance(raw, dict):
        mapped, count = raw.get(stream["name"]), recording.get_num_channels()
        if not isinstance(mapped, np.memmap) or mapped.ndim != 2 or mapped.shape[1] != count:
            return None
        return str(mapped.filename), mapped.offset, mapped.dtype, mapped.shape, list(range(count))
    return _blackrock(neo, str(stream["id"]), segment)


def _blackrock(neo: Any, stream: str, segment: int) -> tuple[str, int, np.dtype, tuple[int, int], list[int]] | None:
    """An nsx file of one packet; Neo has no public word for where it lies."""
    try:
        packets = neo._nsx_data_header[int(stream)]
        stated = packets[segment]["memmap_kwargs"]
        channels = int(neo._nsx_basic_header[int(stream)]["channel_count"])
        if len(packets) > 1 or stated.get("packet_size"):
            return None
        path = f"{neo._filenames['nsx']}.ns{stream}"
        shape = int(stated["num_samples"]), channels
        return path, int(stated["offset"]), np.dtype(stated["dtype"]), shape, list(range(channels))
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

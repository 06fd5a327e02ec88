"""Flat files that SpikeInterface reads: a head, interleaved samples, a tail. They are restored byte for byte.

Neo and SpikeInterface report where the samples lie; this is used only where the file's own bytes give the same samples.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from spikeinterface.core import BaseRecording

from spikey.base.errors import SpikeyError
from spikey.recording.hints import CHANNELS_FIRST, warn_of_shape
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.sample_map import Mapped, MappedFile, flat
from spikey.recording.source import Source, open_file
from spikey.vendors.parsed import leftover

COMPARED = 256  # frames at either end


class Described(NamedTuple):
    """Where a reader finds samples: path, offset in bytes, type, shape, and the columns that are the recording's."""

    path: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, int]
    columns: tuple[int, ...]


def flat_file(recording: BaseRecording, segment: int, reader: str) -> tuple[Mapped, tuple[int, ...]] | None:
    """The flat file that a segment's samples lie in, and its columns; None where they lie otherwise."""
    found = described(recording, segment)
    if found is None or found.dtype.newbyteorder("<") != found.dtype or str(found.dtype) not in DTYPES:
        return None
    layout = Layout(found.shape[1], float(recording.sampling_frequency), str(found.dtype))
    if not _same(found, layout, recording, segment):
        return None
    frames, size = found.shape[0], os.path.getsize(found.path)
    rest = size - found.offset - frames * layout.frame_bytes
    warn_of_shape(frames, layout.channels, CHANNELS_FIRST)
    file = MappedFile(Path(os.path.realpath(found.path)), flat(frames, layout.channels, head=found.offset, tail=rest))
    wanted = found.offset and rest >= layout.frame_bytes  # the end that some formats have on purpose
    notes = () if wanted else leftover(rest, "after the last whole frame")
    return Mapped(reader, layout, (file,), notes=notes), found.columns


def described(recording: BaseRecording, segment: int) -> Described | None:
    """Where a segment's samples lie, as the reader describes it; None of what is not one block of bytes."""
    neo = getattr(recording, "neo_reader", None)
    if neo is None:
        if not recording.is_binary_compatible():
            return None
        found = recording.get_binary_description()
        if found["time_axis"] != 0:
            return None
        shape = recording.get_num_samples(segment), int(found["num_channels"])
        path = str(found["file_paths"][segment])
        return Described(path, int(found["file_offset"]), np.dtype(found["dtype"]), shape, tuple(range(shape[1])))
    if not neo.has_buffer_description_api():
        return None
    stream = neo.header["signal_streams"][recording.stream_index]
    channels = neo.header["signal_channels"]
    found = neo.get_analogsignal_buffer_description(recording.block_index, segment, stream["buffer_id"])
    if (found["type"], found.get("order"), found.get("time_axis", 0)) != ("raw", "C", 0):
        return None
    inside = channels[channels["buffer_id"] == stream["buffer_id"]]
    columns = tuple(np.flatnonzero(inside["stream_id"] == stream["id"]).tolist())
    shape = int(found["shape"][0]), int(found["shape"][1])
    return Described(str(found["file_path"]), int(found["file_offset"]), np.dtype(found["dtype"]), shape, columns)


def _same(found: Described, layout: Layout, recording: BaseRecording, segment: int) -> bool:
    """Whether the file's first and last frames are the recording's."""
    frames = found.shape[0]
    if frames != recording.get_num_samples(segment) or len(found.columns) != recording.get_num_channels():
        return False
    if max(found.columns, default=-1) >= layout.channels:
        return False
    try:
        file, name, size = open_file(found.path)
        with Source(file, name, layout, found.offset, frames * layout.frame_bytes, size) as source:
            for first in (0, max(frames - COMPARED, 0)):
                end = min(first + COMPARED, frames)
                wanted = recording.get_traces(segment, first, end)
                if not np.array_equal(source.read(first, end - first)[:, list(found.columns)], wanted):
                    return False
    except SpikeyError:
        return False
    return source.tail_size >= 0

"""Reads some channels of an HDF5 dataset without decoding the others, which h5py's own reading cannot."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from spikey.base.errors import DataError
from spikey.base.workers import spread
from spikey.container.indexing import as_slice, chosen, is_index, split_index
from spikey.integrations.chunk import Options, decode_chunk
from spikey.integrations.chunk_part import decode_part


def read_selection(dataset: h5py.Dataset, selection: Any, options: Options, jobs: int) -> np.ndarray:
    """`dataset[selection]` of a dataset (time, channel) whose only filter is Spikey's, chunk by chunk."""
    rows, columns = split_index(selection)
    frames, channels = (chosen(part, length) for part, length in zip((rows, columns), dataset.shape, strict=True))
    if not isinstance(frames, range) or frames.step < 1:
        listed = np.arange(dataset.shape[0])[frames if not isinstance(frames, range) else list(frames)]
        if len(listed) == 0 or not isinstance(channels, range):
            raise DataError("a list of frames goes with a slice of channels: read the channels first")
        block = read_selection(dataset, (slice(int(listed.min()), int(listed.max()) + 1), columns), options, jobs)
        return block[listed - listed.min()]
    wanted, back = np.unique(np.asarray(channels, np.int64), return_inverse=True)
    out = np.full((len(range(frames.start, frames.stop)), len(wanted)), dataset.fillvalue, dataset.dtype)
    tall, wide = dataset.chunks

    def put(place: tuple[int, int]) -> None:
        inside = np.flatnonzero((wanted >= place[1]) & (wanted < place[1] + wide))
        first, end = max(frames.start - place[0], 0), min(frames.stop - place[0], tall)
        samples = _part(dataset, place, (first, end), wanted[inside] - place[1], options)
        start = place[0] + first - frames.start
        out[start : start + end - first, as_slice(inside)] = samples

    places = [
        (row, column)
        for row in range(frames.start // tall * tall, frames.stop, tall)
        for column in range(0, dataset.shape[1], wide)
        if ((wanted >= column) & (wanted < column + wide)).any()
    ]
    there = len(frames) and dataset.id.get_num_chunks()  # of a dataset without chunks HDF5 has no information on any
    spread(put, places if there else [], jobs)
    samples = out[:: frames.step][:, back]
    return samples[tuple(0 if is_index(part) else slice(None) for part in (rows, columns))]


def _part(
    dataset: h5py.Dataset, place: tuple[int, int], frames: tuple[int, int], channels: np.ndarray, options: Options
) -> np.ndarray:
    """Frames [first, end) of some channels of the chunk that begins at `place`."""
    shape, wanted = dataset.chunks, dataset.dtype

    def fits(dtype: np.dtype[Any], found: tuple[int, ...]) -> None:
        if found != shape or dtype != wanted:
            raise DataError(f"a chunk contains {dtype} {found}, where its dataset has chunks of {wanted} {shape}")

    if dataset.id.get_chunk_info_by_coord(place).byte_offset is None:
        return np.full((frames[1] - frames[0], len(channels)), dataset.fillvalue, wanted)
    mask, data = dataset.id.read_direct_chunk(place)
    if mask:  # the filter failed, and HDF5 stored the elements as they are
        return np.frombuffer(data, wanted).reshape(shape)[slice(*frames), channels]
    parts = decode_part(frames, channels, fits, options.calibration)
    ranges = next(parts)
    try:
        while True:
            ranges = parts.send([memoryview(data)[start:end] for start, end in ranges])
    except StopIteration as end:
        samples = end.value
    if samples is None:
        samples = decode_chunk(data, 1, fits, options.calibration)[:, channels]
    return samples[slice(*frames)]

"""The bytes of records taken apart, into samples and fields of other bytes, and put together again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikey.recording.layout import Layout, pack, unpack
from spikey.recording.sample_map import Rest, Run, Samples

Records = np.ndarray  # bytes, uint8 (records, bytes of one)


def take_samples(records: Records, run: Run, layout: Layout, big_endian: bool, first: int) -> np.ndarray:
    """The samples (frames, channels) of records.

    layout: of the samples, with as many channels as the file has. first: which column of the recording the first is.
    """
    out = np.empty((len(records), run.frames, layout.channels), layout.memory_dtype)
    for part, data in _parts(records, run, layout.itemsize):
        if isinstance(part, Samples):
            shape = (part.channels, part.frames) if part.planar else (part.frames, part.channels)
            single = data.reshape(-1, layout.itemsize)
            flat = unpack(np.ascontiguousarray(single[:, ::-1] if big_endian else single).data, _one(layout))
            samples = flat.reshape(len(records), *shape)
            out[:, :, part.first - first :][:, :, : part.channels] = (
                samples.transpose(0, 2, 1) if part.planar else samples
            )
    return out.reshape(-1, layout.channels)


def put_samples(samples: np.ndarray, records: Records, run: Run, layout: Layout, big_endian: bool, first: int) -> None:
    """Write samples (frames, channels) to where they lie in records; the inverse of `take_samples`."""
    inside = samples.reshape(len(records), run.frames, layout.channels)
    for part, data in _parts(records, run, layout.itemsize):
        if isinstance(part, Samples):
            chosen = inside[:, :, part.first - first :][:, :, : part.channels]
            chosen = chosen.transpose(0, 2, 1) if part.planar else chosen
            single = np.frombuffer(pack(chosen.reshape(-1, 1), _one(layout)), np.uint8).reshape(-1, layout.itemsize)
            data[:] = (single[:, ::-1] if big_endian else single).reshape(data.shape)


def take_rest(records: Records, run: Run, itemsize: int) -> Iterator[bytes]:
    """The other bytes of records: for each field those of all records."""
    for part, data in _parts(records, run, itemsize):
        if isinstance(part, Rest):
            yield data.tobytes()


def put_rest(fields: list[np.ndarray], records: Records, run: Run, itemsize: int) -> None:
    """Write fields, uint8 (records, bytes of one) each, to where they lie in records."""
    left = iter(fields)
    for part, data in _parts(records, run, itemsize):
        if isinstance(part, Rest):
            data[:] = next(left)


def _parts(records: Records, run: Run, itemsize: int) -> Iterator[tuple[Rest | Samples, np.ndarray]]:
    """The parts of records with their bytes."""
    at = 0
    for part in run.parts:
        size = part.size if isinstance(part, Rest) else part.frames * part.channels * itemsize
        yield part, records[:, at : at + size]
        at += size


def _one(layout: Layout) -> Layout:
    return Layout(1, layout.rate, layout.dtype)

"""mtscomp: a `.cbin` of chunks that zlib compressed, and a `.ch` that describes them; read as the `.bin` they replace.

The format: https://github.com/int-brain-lab/mtscomp.
"""

from __future__ import annotations

import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from spikey.base.errors import DataError, UsageError
from spikey.recording.layout import DTYPES, Layout
from spikey.vendors.bounded import file_size, integer, json_of, rate_of

READER = "mtscomp"
LARGEST_CHUNK = 1 << 30  # bytes of samples
MOST_RATIO = 1032  # that zlib's format allows
MOST_CHUNKS = 1 << 24
CACHED = 2  # chunks, as reads seldom end where chunks do
UUID = re.compile(r"\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=\.c(h|bin)$)")  # in names of the IBL's data sets


@dataclass(frozen=True)
class Chunks:
    """What a `.ch` specifies. bounds: frames at which chunks begin and end; offsets: likewise bytes of the `.cbin`."""

    layout: Layout
    bounds: tuple[int, ...]
    offsets: tuple[int, ...]
    time_diff: bool
    spatial_diff: bool
    order: str


@dataclass(frozen=True)
class Converted:
    """A recording that is stored as the file it was before another compressor.

    path: the `.cbin`; beside: the `.ch`; restored: the name of the `.bin` that they replace.
    """

    reader: str
    path: Path
    beside: Path
    restored: str
    chunks: Chunks

    @property
    def layout(self) -> Layout:
        """Of the `.bin`."""
        return self.chunks.layout

    @property
    def frames(self) -> int:
        """Of the `.bin`."""
        return self.chunks.bounds[-1]

    def open(self) -> ChunkSource:
        """The samples, as a source."""
        return ChunkSource(self.path, self.chunks)


def parse_cbin(path: Path, members: Sequence[Path]) -> Converted:
    """The recording of a `.cbin` with its `.ch` among the members."""
    beside = path.with_suffix(".ch")
    if beside not in members:
        plain = UUID.sub("", beside.name)
        same = [p for p in members if p.suffix == ".ch" and p.parent == path.parent and UUID.sub("", p.name) == plain]
        if len(same) != 1:
            raise DataError("its .ch file, which describes it, is missing")
        beside = same[0]
    return Converted(READER, path, beside, UUID.sub("", path.name)[: -len("cbin")] + "bin", _described(beside, path))


def _described(beside: Path, path: Path) -> Chunks:
    """What the `.ch` specifies, if it can be true of the `.cbin`."""
    values = json_of(beside)
    dtype = values.get("dtype")
    if values.get("algorithm", "zlib") != "zlib":
        raise DataError("its .ch specifies a compression other than zlib")
    if not isinstance(dtype, str) or dtype not in DTYPES or dtype == "int24":
        raise DataError("its .ch specifies no type of samples that is supported")
    time_diff, spatial_diff = bool(values.get("do_time_diff")), bool(values.get("do_spatial_diff"))
    if dtype.startswith("float") and (time_diff or spatial_diff):
        raise DataError("its .ch specifies differences of floats, which cannot be undone exactly")
    order = values.get("chunk_order", "C")
    if order not in ("C", "F"):
        raise DataError("its .ch specifies no order of samples that is supported")
    try:
        layout = Layout(
            integer(values.get("n_channels"), "n_channels in its .ch"),
            rate_of(values.get("sample_rate"), "sample_rate in its .ch"),
            dtype,
        )
    except UsageError as error:
        raise DataError(str(error)) from None
    bounds, offsets = _rising(values, "chunk_bounds"), _rising(values, "chunk_offsets")
    if len(bounds) != len(offsets):
        raise DataError("its .ch lists chunks of which the bounds or the offsets are missing")
    size = file_size(path)
    if offsets[-1] > size:
        raise DataError(f"has {size:,} bytes, but its .ch lists chunks up to byte {offsets[-1]:,}")
    for (first, end), (start, stop) in zip(pairwise(bounds), pairwise(offsets), strict=True):
        expected = (end - first) * layout.frame_bytes
        if expected > min(LARGEST_CHUNK, (stop - start) * MOST_RATIO):
            raise DataError("its .ch lists a chunk that is larger than it can be")
    return Chunks(layout, bounds, offsets, time_diff, spatial_diff, order)


def _rising(values: dict[str, Any], name: str) -> tuple[int, ...]:
    """A list of integers from 0 on, each greater than the one before."""
    listed = values.get(name)
    if not isinstance(listed, list) or not 2 <= len(listed) <= MOST_CHUNKS:
        raise DataError(f"{name} in its .ch lists no chunks")
    found = tuple(integer(value, f"an entry of {name} in its .ch", 0) for value in listed)
    if found[0] or any(a >= b for a, b in pairwise(found)):
        raise DataError(f"{name} in its .ch is not in ascending order from 0")
    return found


class ChunkSource:
    """An opened `.cbin`: the samples of the `.bin`, with no bytes around them. Threads can share it."""

    canonical = False
    head_size = tail_size = 0

    def __init__(self, path: Path, chunks: Chunks) -> None:
        self.name = str(path)
        self.layout = chunks.layout
        self.frames = chunks.bounds[-1]
        self._chunks = chunks
        self._bounds = np.array(chunks.bounds)
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, npt.NDArray[Any]] = OrderedDict()

    def read(self, first_frame: int, count: int) -> npt.NDArray[Any]:
        """Frames [first_frame, first_frame + count), native-endian, C-contiguous, writable.

        Raises `UsageError` outside `0..frames`, `DataError` if a chunk is damaged.
        """
        if first_frame < 0 or count < 0 or first_frame + count > self.frames:
            raise UsageError(f"{self.name} has {self.frames} frames; asked for {count} from frame {first_frame} on")
        out = np.empty((count, self.layout.channels), self.layout.memory_dtype)
        end = first_frame + count
        index = int(np.searchsorted(self._bounds, first_frame, side="right")) - 1
        at = first_frame
        while at < end:
            begin, stop = self._chunks.bounds[index : index + 2]
            part = self._chunk(index)[at - begin : min(end, stop) - begin]
            out[at - first_frame : at - first_frame + len(part)] = part
            at += len(part)
            index += 1
        return out

    def _chunk(self, index: int) -> npt.NDArray[Any]:
        with self._lock:
            if index not in self._cache:
                while len(self._cache) >= CACHED:
                    self._cache.popitem(last=False)
                self._cache[index] = self._decompressed(index)
            self._cache.move_to_end(index)
            return self._cache[index]

    def _decompressed(self, index: int) -> npt.NDArray[Any]:
        chunks, layout = self._chunks, self.layout
        start, stop = chunks.offsets[index : index + 2]
        frames = chunks.bounds[index + 1] - chunks.bounds[index]
        expected = frames * layout.frame_bytes
        try:
            self._file.seek(start)
            decompressor = zlib.decompressobj()
            data = decompressor.decompress(self._file.read(stop - start), expected + 1)
        except zlib.error:
            raise DataError(f"{self.name}: chunk {index} is damaged and cannot be decompressed") from None
        except OSError as error:
            raise DataError(f"{self.name}: cannot be read ({error.strerror or error})") from error
        if len(data) != expected or not decompressor.eof:
            raise DataError(f"{self.name}: chunk {index} does not contain the {expected:,} bytes that the .ch lists")
        stored = np.frombuffer(data, layout.memory_dtype.newbyteorder("<"))
        samples = stored.astype(layout.memory_dtype, copy=False).reshape((frames, layout.channels), order=chunks.order)  # type: ignore[call-overload]
        if chunks.spatial_diff:
            samples = np.cumsum(samples, axis=1, dtype=layout.memory_dtype)
        if chunks.time_diff:
            samples = np.cumsum(samples, axis=0, dtype=layout.memory_dtype)
        return samples

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    tail_chunks = head_chunks

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""Reads a `.spky` file: any frames of any channels, decoding only the blocks that contain them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.base.workers import each, spread
from spikey.codec.payload import Facts
from spikey.container.around import bytes_around
from spikey.container.array_facts import ArrayFacts
from spikey.container.block_map import BlockMap
from spikey.container.blocks import BlockDecoder, decode_together
from spikey.container.cache import BlockCache, room_for
from spikey.container.dependencies import Dependencies
from spikey.container.extra import read_metadata
from spikey.container.file_map import FileMap, read_file_map
from spikey.container.indexing import as_slice, chosen, count_below, is_index, split_index
from spikey.container.input import Input
from spikey.container.layout import BYTES, Block
from spikey.container.records import FILE_MAP, METADATA
from spikey.container.restoration import check_correction, corrected_digest, restoration_of
from spikey.container.salvage import Extent
from spikey.container.structure import read_structure, unpack_record
from spikey.container.window import Companions, Window, check_companions
from spikey.levels.quantised import Bins
from spikey.model.calibration import Calibration
from spikey.model.trained import Model
from spikey.model.trained import find as find_model
from spikey.recording.opened import Opened, open_data

ENOUGH = 1 << 19  # samples to decode for which another thread is worthwhile


class Reader(ArrayFacts):
    """An opened compressed recording, sliced like a NumPy array: `reader[a:b, c]`.

    Threads and forked processes can share a reader; each process has its own cache and its own `lost`. It can be
    pickled: the copy opens the same path again, and raises DataError if the file has changed.

    Parameters
    ----------
    path : path, bytes or opened file
        A file's path, an address that fsspec opens (`https://...`, `s3://...`: only the bytes that are needed are
        fetched), a file's bytes, or a part of an opened file.
    salvage : bool
        Whether damaged blocks read as zeros and are listed in `lost`, and blocks are searched for if the index is
        missing; otherwise either raises DamagedError or DataError.
    companions : Companions, optional
        Provides the samples of companions; without it a file with companions is refused.
    lossy : bool
        Whether to accept a lossy recording, whose samples are not the original; otherwise it is refused.
    correction : bool
        Whether to open a correction file, whose samples are not a recording.
    models : callable
        Finds a trained network by its id, if the file does not contain it.
    jobs : int
        Threads for decoding a large slice.

    Attributes
    ----------
    layout, frames : Layout, int
        Channels, rate and type of the samples; number of frames.
    lost : list of (first frame, end frame, first channel, end channel)
        Lost extents that salvaging has found so far.

    Examples
    --------
    >>> import numpy, spikey
    >>> data = spikey.compress(numpy.arange(6, dtype="int16").reshape(3, 2), rate=20000)
    >>> reader = spikey.open(data)
    >>> reader.shape, reader.dtype, reader.rate
    ((3, 2), dtype('int16'), 20000.0)
    >>> reader[1:, 1]
    array([3, 5], dtype=int16)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | bytes | Opened | Window,
        *,
        salvage: bool = False,
        companions: Companions | None = None,
        lossy: bool = False,
        correction: bool = False,
        models: Callable[[bytes], Model] = find_model,
        jobs: int = 1,
    ):
        self.jobs = jobs
        self.input = Input(path if isinstance(path, Window) else open_data(path))
        self.companions = companions
        self.salvage = self._rescued = salvage
        self._metadata: dict[str, Any] | None = None
        try:
            self.structure = read_structure(self.input, salvage)
            self.header = self.structure.header
            self.layout, self.frames = self.header.layout, self.header.frames
            self.lost: list[Extent] = list(self.structure.lost)
            check_companions(self.header, companions, self.name)
            self.restoration = restoration_of(self.header, self.name, lossy, correction)
            self._dependencies = Dependencies(self.input, self.header, models)
            self.decoder = BlockDecoder(self.input, self.structure, self._dependencies, companions, not salvage)
            self._map = BlockMap(self.structure.blocks, self.frames, self.layout.channels)
            self.cache = BlockCache(room_for(self._map.largest_stretch))
            if self.header.single and self.frames == 0:
                self.decoder.content(self.structure.blocks[0])  # no other step would compare its checksum
        except BaseException:
            self.close()
            raise

    def __reduce__(self) -> Any:
        options = {
            "salvage": self._rescued,
            "companions": self.companions,
            "lossy": self.lossy is not None,
            "correction": bool(self.corrects),
            "jobs": self.jobs,
        }
        rests = None if self.restoration is None else self.restoration.correction
        state = _State(self.name, self.salvage, self.cache.room, rests, self.input.ending())
        return _reopened, (self.input.opened, options, state)

    @property
    def name(self) -> str:
        """The file's name in messages."""
        return self.input.name

    @property
    def file_size(self) -> int:
        """Bytes of the file."""
        return self.input.size

    @property
    def complete(self) -> bool:
        """Whether the file has its index. Otherwise it is being written, or its program ended before closing it: the
        reader has the blocks that were there when it was opened, and `spikey repair` completes the file.
        """
        return self.structure.complete

    @property
    def lossy(self) -> Bins | None:
        """The bins of a lossy recording; None for a lossless one."""
        return None if self.restoration is None else self.restoration.bins

    @property
    def corrects(self) -> bytes:
        """The beginning of the SHA-256 of the lossy file that this one corrects; empty if it is not a correction."""
        return corrected_digest(self.header)

    @property
    def digest(self) -> bytes:
        """The name that a correction file uses for this file: the beginning of its SHA-256."""
        return self.input.digest()

    def correct(self, rests: Reader) -> None:
        """Read the original's samples from now on, with the correction file of this lossy one.

        Raises DataError if `rests` is the correction of another file.
        """
        check_correction(self, rests)
        assert self.restoration is not None
        self.restoration.correction = rests
        self.cache.clear()

    def calibration(self) -> Calibration | None:
        """The file's calibration, if any; DataError if it cannot be found."""
        return self._dependencies.calibration()

    @property
    def model_id(self) -> bytes:
        """The id of the file's model; empty without one."""
        return self._dependencies.model_id

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file contains beside the samples (`docs/format.md`, section 27); empty without any.

        Raises DataError if it is malformed.
        """
        if self._metadata is None:
            record = self.header.record(METADATA)
            self._metadata = {} if record is None else read_metadata(record, self.name)
        return self._metadata

    @property
    def files(self) -> dict[str, int]:
        """Names and sizes in bytes of the side files; `spikey.files.side_files` writes them."""
        return {entry["name"]: entry["size"] for entry in self.metadata.get("files", [])}

    @cached_property
    def file_map(self) -> FileMap | None:
        """How restored files consist of samples and other bytes; None for one file in the usual form.

        Raises DataError if it is malformed.
        """
        record = unpack_record(self.header, FILE_MAP, self.name)
        return None if record is None else read_file_map(record, self.layout, self.frames, self.name)

    @property
    def chunks(self) -> tuple[int, int]:
        """Largest frames and channels of a block: read in these steps, as with the chunks of a Zarr array."""
        return self._map.largest_block

    def __repr__(self) -> str:
        lasting = f"{self.rate:.10g} Hz, {self.duration:.6g} s"
        return f"<spikey.Reader {self.name!r}: shape {self.shape}, {self.dtype}, {lasting}>"

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, columns = split_index(key)
        frames, channels = chosen(rows, self.frames), chosen(columns, self.layout.channels)
        if isinstance(frames, range):
            samples = self._gather(frames if frames.step > 0 else frames[::-1], channels)
            if frames.step < 0:
                samples = samples[::-1]
        elif isinstance(channels, range):
            ascending, back = np.unique(frames, return_inverse=True)
            samples = self._gather(ascending, channels)[back]
        else:
            return self._pointwise(frames, channels)
        return samples[tuple(0 if is_index(part) else slice(None) for part in (rows, columns))]

    def _pointwise(self, frames: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """One sample for each pair of a frame and a channel, as NumPy does with two lists."""
        frames, channels = np.asarray(frames), np.asarray(channels)
        if len(frames) != len(channels) and 1 not in (len(frames), len(channels)):
            raise IndexError(f"lists of {len(frames)} frames and {len(channels)} channels do not make pairs")
        rows, row = np.unique(frames, return_inverse=True)
        columns, column = np.unique(channels, return_inverse=True)
        return self._gather(rows, columns)[row, column]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self.name}: is decoded as it is read, so an array of it is always a copy")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def read(
        self,
        first_frame: int,
        count: int,
        channels: Sequence[int] | np.ndarray | None = None,
        jobs: int | None = None,
    ) -> np.ndarray:
        """Samples (count, channels) of a range of frames, of all channels or the given ones.

        jobs: threads; those of the reader if None.
        """
        wanted = range(self.layout.channels) if channels is None else channels
        end = first_frame + count
        if not 0 <= first_frame <= end <= self.frames or (
            len(wanted) and not 0 <= min(wanted) <= max(wanted) < self.layout.channels
        ):
            raise IndexError(f"frames {first_frame} to {end} of channels {wanted} are not all in {self.shape}")
        return self._gather(range(first_frame, end), wanted, jobs)

    def blocks(self, jobs: int | None = None) -> Iterator[np.ndarray]:
        """All samples in order, as arrays (some frames, channels) of whole blocks, in bounded memory.

        >>> import numpy, spikey
        >>> reader = spikey.open(spikey.compress(numpy.ones((500, 2), "int16"), rate=20000))
        >>> sum(int(block.sum()) for block in reader.blocks())
        1000
        """
        for first, end in self.stretches():
            yield self.read(first, end - first, jobs=jobs)

    def stretches(self) -> Iterator[tuple[int, int]]:
        """First and end frame of the blocks of all channels, in order."""
        return self._map.stretches()

    def _gather(
        self, rows: range | np.ndarray, columns: Sequence[int] | np.ndarray, jobs: int | None = None
    ) -> np.ndarray:
        """Samples (rows, columns) within the shape, the rows ascending."""
        if self.header.wrapper == BYTES:
            raise UsageError(f"{self.name}: holds plain bytes, not samples; decompress it")
        try:
            out = np.zeros((len(rows), len(columns)), dtype=self.dtype)
        except (MemoryError, ValueError):
            raise DataError(
                f"{self.name}: {len(rows)} frames of {len(columns)} channels are too many for the memory at once"
            ) from None
        inside = np.array(columns, dtype=np.int64)

        def place(block: Block) -> None:
            start, stop = count_below(rows, block.first_frame), count_below(rows, block.extent[1])
            hit = np.flatnonzero((inside >= block.first_channel) & (inside < block.extent[3]))
            if start < stop and len(hit):
                for here, columns, samples in self._pieces(block, inside[hit] - block.first_channel):
                    if isinstance(rows, range):
                        samples = samples[rows[start] - block.first_frame :: rows.step][: stop - start]
                    else:
                        samples = samples[rows[start:stop] - block.first_frame]
                    out[start:stop, as_slice(hit[here])] = samples[:, as_slice(columns)]

        for batch in self.decoder.batches(self._map.touching(rows, inside)):
            missing = [block for block in batch if block.offset not in self.cache]
            self.decoder.fetch(missing, None if self.restoration is not None else inside)
            if self.model_id:
                decode_ahead([(self, block) for block in batch])
            spread(place, batch, self._threads(missing, len(inside), self.jobs if jobs is None else jobs))
        return out

    @staticmethod
    def _threads(missing: list[Block], channels: int, jobs: int) -> int:
        """As many threads as pay for decoding some channels of blocks."""
        samples = sum(block.frames * min(block.channels, channels) for block in missing)
        return min(jobs, samples // ENOUGH + 1)

    def _pieces(self, block: Block, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The parts of a block with requested channels, counted in the block: channels, output columns and samples.

        These are groups of channels, or the whole block if all its channels are needed.
        """
        every = np.arange(len(wanted))
        if self.restoration is None and block.offset not in self.cache:
            groups = self.decoder.groups(block).channels if len(wanted) < block.channels else []
            hits = [np.flatnonzero(np.isin(wanted, channels)) for channels in groups]
            if not all(map(len, hits)):

                def part(place: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
                    here = hits[place]
                    channels, samples = self._group(block, place, wanted[here])
                    return here, np.searchsorted(channels, wanted[here]), samples

                yield from each(part, [place for place, here in enumerate(hits) if len(here)])
                return
        yield every, wanted, self._samples(block)

    def _samples(self, block: Block) -> np.ndarray:
        """A sample block's content, from the cache if possible; zeros if it is lost when salvaging."""
        samples = self.cache.get(block.offset)
        if samples is not None:
            return samples
        try:
            content = self.decoder.content(block)
            assert isinstance(content, np.ndarray)
            samples = content if self.restoration is None else self.restoration.restore(content, block)
        except DamagedError as error:
            samples = self._saved(block, error)
        self.cache.put(block.offset, samples)
        return samples

    def _group(self, block: Block, place: int, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Channels of a group of a block, ascending, including the requested ones, and their samples, see `_samples`.

        Decodes no more of the group than needed at first, and the whole group when more is requested.
        """
        inside = self.decoder.groups(block).channels[place]
        samples = self.cache.get((block.offset, place))
        needed = int(np.flatnonzero(np.isin(inside, wanted))[-1]) + 1
        if samples is None or samples.shape[1] < needed:
            channels = np.sort(inside[:needed] if samples is None else inside)
            try:
                samples = self.decoder.some(block, channels)
            except DamagedError as error:
                self.lose(error)
                samples = np.zeros((block.frames, len(channels)), dtype=self.dtype)
            self.cache.put((block.offset, place), samples)
        return np.sort(inside[: samples.shape[1]]), samples

    def _saved(self, block: Block, error: DamagedError) -> np.ndarray:
        """The rest of a damaged block: its undamaged groups, and zeros for the others."""
        samples = np.zeros((block.frames, block.channels), dtype=self.dtype)
        groups = self.decoder.groups(block).channels if self.salvage and self.restoration is None else []
        errors = []
        for inside in groups:
            channels = np.sort(inside)
            try:
                samples[:, channels] = self.decoder.some(block, channels)
            except DamagedError as lost:
                errors.append(lost)
        if not errors:  # of no group: then the damage is outside the groups
            self.lose(error)
            return np.zeros_like(samples)
        for one in errors:
            self.lose(one)
        return samples

    def lose(self, error: DamagedError) -> None:
        """List what a damaged block loses when salvaging; otherwise raise the error."""
        if not self.salvage or self.header.single:
            raise error
        self.lost += error.ranges

    def around(self, kind: int, first: int = 0) -> Iterator[bytes]:
        """The file's bytes before (BLOCK_HEAD) or after (BLOCK_TAIL) the samples, or all of them (BLOCK_BYTES).

        Or the bytes of all side files, one after another (BLOCK_FILES). first: how many of those in blocks to skip.
        """
        return bytes_around(self, kind, first)

    def size_of(self, kind: int) -> int:
        """How many bytes the blocks of a kind other than samples contain."""
        return sum(block.frames for block in self.structure.blocks if block.kind == kind)

    def method_byte(self, block: Block) -> bytes:
        """The first byte of a block's payload, which contains the number of its predictor."""
        return self.decoder.method_byte(block)

    def payload(self, block: Block) -> memoryview:
        """A block's payload as it lies in the file, unchecked."""
        return self.decoder.payload(block)

    def levels(self, block: Block) -> list[str]:
        """The levels of each channel of a block of samples, in words; nothing if samples are stored raw."""
        return self.decoder.facts(block).levels

    def facts(self, block: Block) -> Facts:
        """How a block of samples is coded, unchecked; DataError if it is visibly damaged."""
        return self.decoder.facts(block)

    def close(self) -> None:
        """Close the file."""
        self.input.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def decode_ahead(wanted: list[tuple[Reader, Block]]) -> None:
    """Decode blocks of one or several files together if a trained network is faster then, for later reads."""
    decode_together([(reader.decoder, block) for reader, block in wanted if block.offset not in reader.cache])


@dataclass(frozen=True)
class _State:
    """The pickled state of a reader, besides its file and its options."""

    name: str
    salvage: bool
    room: int
    correction: Reader | None
    ending: bytes


def _reopened(opened: Opened | Window, options: dict[str, Any], state: _State) -> Reader:
    """A pickled reader, opened again."""
    reader = Reader(opened, **options)
    if reader.input.ending() != state.ending:
        reader.close()
        raise DataError(f"{state.name}: has changed since its reader was pickled; open it again")
    reader.input.name, reader.salvage, reader.cache.room = state.name, state.salvage, state.room
    if reader.restoration is not None:
        reader.restoration.correction = state.correction
    return reader

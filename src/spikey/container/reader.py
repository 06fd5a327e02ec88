"""Reads a `.spky` file: any frames of any channels, decoding only the blocks that hold them."""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from spikey.base import forks
from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.base.wire import Cursor
from spikey.codec.decode import decode_block, decode_blocks
from spikey.codec.method import LARGEST, MOST_TOGETHER, SAMPLES_TOGETHER
from spikey.codec.syntax import Lookup, Payload, channels_in, needs_model
from spikey.coding.packed_bytes import PIECE, unpack_bytes
from spikey.container.embedding import unpack_model
from spikey.container.extra import read_metadata
from spikey.container.indexing import as_slice, chosen, count_below, is_index
from spikey.container.layout import (
    BLOCK_BYTES,
    BLOCK_FILES,
    BLOCK_HEAD,
    BLOCK_SAMPLES,
    BLOCK_TAIL,
    BYTES,
    CANONICAL,
    COPIED_BYTE,
    FOOTER,
    FOOTER_MAGIC,
    HEADER_BYTES,
    LARGEST_RECORD,
    MAX_BLOCK_HEADER,
    PACKED_BYTE,
    STORED_BYTE,
    WRAPPED,
    Block,
    index_copy,
    read_header,
    read_index,
)
from spikey.container.records import BINS, CALIBRATION, COMPANIONS, CORRECTION, HEAD, METADATA, MODEL, TAIL
from spikey.container.salvage import Extent, describe, find_blocks, in_order, read_around, uncovered
from spikey.container.window import Companions, Window
from spikey.levels.quantised import Bins, read_bins
from spikey.model.calibration import Calibration, find, load
from spikey.model.trained import Model
from spikey.model.trained import find as find_model
from spikey.recording.opened import Opened, open_data, read_at
from spikey.recording.remote import Remote
from spikey.recording.source import Layout, pack, unpack
from spikey.recording.wav import canonical_head

GLANCE = 1 << 16  # bytes at either end of a remote file that are fetched first: most often all of its structure
CACHED_SAMPLES = 1 << 23  # decoded samples kept for the next slice, or
MOST_CACHED = 1 << 26  # up to this, where the blocks of all channels at one time are more
AHEAD = 1 << 25  # bytes of blocks fetched from a remote file before they are decoded
DIGEST = 16  # bytes of a file's SHA-256 by which a correction file names it
ENDING = 16  # bytes at a file's end, of which the checksums of its contents or of its index are part


class _Missing(DataError):
    """A calibration or model is missing or unusable: no block is to blame."""


class Reader:
    """An opened compressed recording, sliced like a NumPy array: `reader[a:b, c]`.

    path: a file's path, an address that fsspec opens (`https://...`, `s3://...`: only the bytes that are needed are
    fetched), a file's bytes, or a part of an opened file. With `salvage`, damaged blocks read as zeros and are listed
    in `lost`, and a missing index is made up for by looking for blocks; else either raises DamagedError or DataError.
    companions: gives the samples of the recordings that this one was coded with; without them such a file is refused.
    lossy: whether a lossy recording will do; otherwise it is refused, as what it restores is not the original.
    correction: whether to open a file that corrects a lossy one, of which the samples are no recording.
    models: finds a trained network that the file names but does not hold.

    A reader serves threads and forked processes; each process has its own decoded samples and its own `lost`. It can be
    pickled: the copy opens the same path again, and raises DataError where the file has changed since.

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
    ):
        self._file: Opened | Window = path if isinstance(path, Window) else open_data(path)
        self.name, self.file_size = self._file.title, self._file.size
        self._remote = isinstance(self._file, Remote) or (isinstance(self._file, Window) and self._file.remote)
        self.companions = companions
        self.lossy: Bins | None = None
        self._rests: Reader | None = None
        self.salvage = self._rescuing = salvage
        self.lost: list[Extent] = []
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._cached = 0
        self._calibration: Calibration | None = None
        self._metadata: dict[str, Any] | None = None
        self._model: Model | None = None
        self._models = models
        self._ahead: dict[int, np.ndarray] = {}  # samples of blocks that were decoded together, not yet checked
        forks.watch(self)
        try:
            self._read_structure()
            self._check_lossy(lossy, correction)
        except BaseException:
            self.close()
            raise

    def forked(self) -> None:
        """Nobody else in this process decodes."""
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        options = {
            "salvage": self._rescuing,
            "companions": self.companions,
            "lossy": self.lossy is not None,
            "correction": bool(self.corrects),
        }
        return _reopened, (self._file, options, _Kept(self.name, self.salvage, self._room, self._rests, self._ending()))

    def _ending(self) -> bytes:
        """The last bytes of the file, which change with its contents; empty where they cannot be read."""
        with suppress(DataError):
            return self._read_at(max(self.file_size - ENDING, 0), min(ENDING, self.file_size))
        return b""

    def _read_structure(self) -> None:
        if self.file_size == 0:
            raise DataError(f"{self.name}: is empty")
        self._fetch([(0, min(GLANCE, self.file_size)), (max(self.file_size - GLANCE, 0), self.file_size)])
        try:
            self._read_front()
            self.blocks = [self._only_block()] if self.header.single else self._indexed()
        except DataError:
            if not self.salvage:
                raise
            self._rescue_structure()
        self.layout: Layout = self.header.layout
        self._check_companions()
        if not self.header.single and not self.header.frames:
            ends = [b.extent[1] for b in self.blocks if b.kind in (BLOCK_SAMPLES, BLOCK_BYTES)]
            self.header.frames = max(ends, default=0)
        self.frames = self.header.frames
        if self.salvage and not self.header.single:
            self.blocks = [block for block in self.blocks if self._possible(block)]
            if self.header.wrapper != BYTES:
                self.lost += uncovered(self.blocks, self.frames, self.layout.channels)
        else:
            self._check_coverage()
        samples = [b.extent if b.kind == BLOCK_SAMPLES else (-1, -1, 0, 0) for b in self.blocks]
        self._firsts, self._ends = np.array(samples, dtype=np.int64).reshape(-1, 4)[:, :2].T.copy()
        stretch = int((self._ends - self._firsts).max(initial=0)) * self.layout.channels
        self._room = max(CACHED_SAMPLES, min(stretch + stretch // 4, MOST_CACHED))
        if self.header.single and self.frames == 0:
            self._content(self.blocks[0])  # nobody else would ever check its sum

    def _check_companions(self) -> None:
        """A file coded with others, or a copy of one, can be read only where those are."""
        record = self.header.record(COMPANIONS)
        if record is None:
            return
        if self.companions is None:
            raise DataError(
                f"{self.name}: was coded together with other recordings, and can be read only in the archive with them"
            )
        if Cursor(record, self.name).varint() != self.companions.count:
            raise DataError(f"{self.name}: was coded with other companions than the archive states")

    def _check_lossy(self, lossy: bool, correction: bool) -> None:
        """A file that does not hold the original's samples is read only by who asks for such a one."""
        if self.corrects and not correction:
            raise DataError(
                f"{self.name}: is no recording but corrects a lossy one; use it with: spikey telemetry restore"
            )
        record = self._record(BINS)
        if record is None:
            return
        self.lossy = read_bins(record, self.layout, self.name)
        if not lossy:
            raise DataError(
                f"{self.name}: is a lossy recording ({self.lossy.words()}), from which the original does not come "
                "back; spikey telemetry restore decodes it, in Python lossy=True"
            )

    @property
    def corrects(self) -> bytes:
        """The beginning of the SHA-256 of the lossy file that this one corrects; empty where it is no correction."""
        return self.header.record(CORRECTION) or b""

    @property
    def digest(self) -> bytes:
        """The name that a correction file uses for this file: the beginning of its SHA-256."""
        total = hashlib.sha256()
        for at in range(0, self.file_size, PIECE):
            total.update(self._read_at(at, min(PIECE, self.file_size - at)))
        return total.digest()[:DIGEST]

    def correct(self, rests: Reader) -> None:
        """Read the original's samples from now on, with the correction file of this lossy one.

        Raises DataError where `rests` is the correction of another file.
        """
        if (
            self.lossy is None
            or rests.corrects != self.digest
            or (rests.shape, rests.dtype) != (self.shape, self.dtype)
        ):
            raise DataError(f"{rests.name}: is not the correction of {self.name}; the two must be made together")
        self._rests = rests
        self._cache.clear()
        self._cached = 0

    def _read_front(self, read: Callable[[int, int], bytes] | None = None) -> None:
        """The header at the beginning."""
        read = read or self._read_at
        longest = min(self.file_size, HEADER_BYTES)
        first = min(longest, GLANCE)  # the few long headers are read again
        try:
            cursor = Cursor(read(0, first), self.name)
            self.header = read_header(cursor)
        except DataError:
            if first == longest:
                raise
            cursor = Cursor(read(0, longest), self.name)
            self.header = read_header(cursor)
        self._front = cursor.data[: cursor.at].tobytes()
        if not self.header.single and cursor.take(4) != struct.pack("<I", zlib.crc32(self._front)):
            raise DataError(f"{self.name}: its header is damaged")
        self._after_header = cursor.at

    def _only_block(self) -> Block:
        size = self.file_size - self._after_header - 4
        if size < 0:
            raise DataError(f"{self.name}: ends in the middle of its header")
        check = struct.unpack("<I", self._read_at(self.file_size - 4, 4))[0]
        plain = self.header.wrapper == BYTES
        kind, channels = (BLOCK_BYTES, 0) if plain else (BLOCK_SAMPLES, self.header.layout.channels)
        return Block(kind, 0, self.header.frames, 0, channels, size, check, self._after_header)

    def _read_index(self) -> tuple[bytes, list[Block]]:
        footer = self._read_at(max(self.file_size - FOOTER.size, 0), min(FOOTER.size, self.file_size))
        if len(footer) < FOOTER.size or not footer.endswith(FOOTER_MAGIC):
            raise DataError(
                f"{self.name}: has no index at its end: it is truncated, or something follows it; "
                "decompressing with --salvage recovers what is whole"
            )
        offset, check, _ = FOOTER.unpack(footer)
        if offset > self.file_size - FOOTER.size:
            raise DataError(f"{self.name}: its index is damaged; decompressing with --salvage recovers what is whole")
        return read_index(self._read_at(offset, self.file_size - FOOTER.size - offset), check, self.name)

    def _indexed(self) -> list[Block]:
        """The blocks that the index lists, where that is this file's own."""
        front, blocks = self._read_index()
        if front != index_copy(self._front, self.header.record(MODEL)):
            raise DataError(
                f"{self.name}: its beginning and its index are of two files; "
                "decompressing with --salvage recovers what is whole of the first"
            )
        return blocks

    def _rescue_structure(self) -> None:
        """Put the structure together from whichever of header, index and blocks are whole and can be read."""
        foreign: set[Block] = set()
        try:
            front, self.blocks = self._read_index()
        except DataError:
            front, self.blocks = b"", []
        try:
            self._read_front(self._read_around)
        except DataError:
            if not front:
                raise
            self.header = read_header(Cursor(front, self.name))
        else:
            if front != self._front:
                self.blocks, foreign = [], set(self.blocks)
        if self.header.single:
            raise DataError(f"{self.name}: is damaged, and a file in one piece, as short as this, cannot be salvaged")
        if not self.blocks:
            found = find_blocks(self._read_around, self.file_size, self.name)
            own = (block for block in found if block not in foreign)
            self.blocks = in_order(block for block in own if not self.header.frames or self._possible(block))

    def _check_coverage(self) -> None:
        """Every sample and byte must lie in exactly one block, so that sizes that lie cannot make anyone allocate."""
        wanted = BLOCK_BYTES if self.header.wrapper == BYTES else BLOCK_SAMPLES
        frame = end = channel = 0
        around = {BLOCK_HEAD: 0, BLOCK_TAIL: 0, BLOCK_FILES: 0}
        for block in self.blocks:
            if block.offset + block.size > self.file_size:
                raise DataError(f"{self.name}: ends {block.offset + block.size - self.file_size} bytes too early")
            if block.kind in around:
                if block.first_frame != around[block.kind] or not self._possible(block):
                    raise DataError(f"{self.name}: its blocks do not fit together at byte {block.first_frame}")
                around[block.kind] = block.extent[1]
            if block.kind != wanted:
                continue
            if channel == 0:
                end = block.extent[1]
            if block.extent[:3] != (frame, end, channel) or not self._possible(block):
                raise DataError(f"{self.name}: its blocks do not fit together at frame {frame}, channel {channel}")
            channel = 0 if wanted == BLOCK_BYTES else block.extent[3] % self.layout.channels
            frame = frame if channel else end
        if frame != self.frames or channel:
            raise DataError(f"{self.name}: its blocks hold {frame} of {self.frames} frames")

    def _possible(self, block: Block) -> bool:
        """Whether a block of a known kind has a place and a size that it can have."""
        if block.kind != BLOCK_SAMPLES:
            return block.kind <= BLOCK_FILES and block.frames <= PIECE and block.channels == 0
        inside = block.extent[1] <= self.header.frames and block.extent[3] <= self.header.layout.channels
        return inside and block.channels > 0 and block.frames * block.channels <= LARGEST

    def _fetch(self, ranges: list[tuple[int, int]]) -> None:
        """Have a remote file fetch byte ranges (start, end) in as few requests as it takes; for others do nothing."""
        if self._remote:
            assert isinstance(self._file, Remote | Window)
            self._file.ahead(ranges)

    def _read_at(self, offset: int, count: int) -> bytes:
        if offset + count > self.file_size:
            raise DataError(f"{self.name}: ends {offset + count - self.file_size} bytes too early")
        return bytes(read_at(self._file, self.name, offset, count))

    def _read_around(self, offset: int, count: int) -> bytes:
        """Bytes with zeros for those that the disk cannot read; what a server cannot give now, it may give later."""
        return self._read_at(offset, count) if self._remote else read_around(self._read_at, offset, count)

    def _record(self, kind: int) -> bytes | None:
        """The bytes packed into an extension record, or None where there is none of the kind."""
        record = self.header.record(kind)
        if record is None:
            return None
        cursor = Cursor(record, self.name)
        size = cursor.varint(LARGEST_RECORD)
        return unpack_bytes(cursor.rest(), size, self.name)

    def _find_calibration(self) -> Calibration | None:
        if self._calibration is None and self.header.calibration:
            try:
                embedded = self._record(CALIBRATION)
                found = load(embedded) if embedded is not None else find(self.header.calibration)
            except DataError as error:
                raise _Missing(f"{self.name}: {error}") from None
            if found.id != self.header.calibration:
                raise _Missing(
                    f"{self.name}: names calibration {self.header.calibration.hex()} but holds {found.id.hex()}"
                )
            self._calibration = found
        return self._calibration

    @property
    def model_id(self) -> bytes:
        """The id of the model that the file names; empty where it names none."""
        return (self.header.record(MODEL) or b"")[:4]

    def _find_model(self) -> Model | None:
        record = self.header.record(MODEL)
        if self._model is None and record is not None:
            try:
                cursor = Cursor(record, self.name)
                name = cursor.take(4)
                found = unpack_model(cursor) if len(record) > 4 else self._models(name)
            except DataError as error:
                raise _Missing(f"{self.name}: {error}") from None
            if found.id != name:
                raise _Missing(f"{self.name}: names model {name.hex()} but holds {found.id.hex()}")
            self._model = found
        return self._model

    def _content(self, block: Block) -> bytes | np.ndarray:
        """What a block holds, checked: samples (frames, channels), or bytes."""
        what = f"{self.name}, {describe(block.extent)}"
        self._fetch([_place(block)])
        try:
            payload = self._read_at(block.offset, block.size)
            if not self.header.single and not self._rescuing:
                head = block.write()
                if block.offset < len(head) or self._read_at(block.offset - len(head), len(head)) != head:
                    raise DataError(f"{what}: its block's header is damaged")
            content, data = self._unpacked(block, payload, what)
            if self.header.single:
                check = zlib.crc32(data, zlib.crc32(payload, zlib.crc32(self._front)))
            else:
                check = block.check_of(payload, data)
            if check != block.check:
                raise DataError(f"{what}: fails its checksum")
        except _Missing:
            raise
        except DataError as error:
            raise DamagedError(str(error), [block.extent]) from None
        return content

    def _unpacked(self, block: Block, payload: bytes, what: str) -> tuple[bytes | np.ndarray, bytes]:
        """A block's content, and the bytes that its checksum covers."""
        if block.kind != BLOCK_SAMPLES:
            data = unpack_bytes(payload, block.frames, what)
            return data, data
        layout = replace(self.layout, channels=block.channels)
        if payload[:1] == STORED_BYTE:
            data = payload[1:]
            if len(data) != block.frames * layout.frame_bytes:
                raise DataError(f"{what}: is stored with a wrong size")
            return unpack(data, layout), data
        if payload[:1] == PACKED_BYTE:
            data = unpack_bytes(payload[1:], block.frames * layout.frame_bytes, what)
            return unpack(data, layout), data
        if payload[:1] == COPIED_BYTE:
            if self.companions is None or len(payload) > 1:
                raise DataError(f"{what}: refers to another recording badly")
            copied = self.companions.copied(block.extent, self.layout)
            return copied, pack(copied, layout)
        wanted = Payload(payload, block.frames, block.channels, self.layout.memory_dtype, what, self._beside(block))
        samples = self._ahead.pop(block.offset, None)
        if samples is None:
            samples = decode_block(wanted, Lookup(self._find_calibration, self._find_model))
        try:
            return samples, pack(samples, layout)
        except UsageError:  # a damaged 24-bit block
            raise DataError(f"{what}: decodes to samples that its type cannot hold") from None

    def _beside(self, block: Block) -> Callable[[], np.ndarray] | None:
        """What gives the samples of companions in a block's frames, where there are any."""
        companions = self.companions
        return None if companions is None else lambda: companions.columns(block.first_frame, block.frames)

    def keep(self, samples: int) -> None:
        """Keep at most so many decoded samples for the next slice, and one block if that is more."""
        self._room = samples

    def give(self, block: Block, samples: np.ndarray) -> None:
        """Take what a block has been decoded to elsewhere; its checksum is still looked at."""
        self._ahead[block.offset] = samples

    def _samples(self, block: Block) -> np.ndarray:
        """A sample block's content, from the cache when it is there; zeros where it is lost and may be."""
        key = block.offset
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        try:
            samples = self._content(block)
            assert isinstance(samples, np.ndarray)
            samples = self._restored(samples, block)
        except DamagedError as error:
            if not self.salvage or self.header.single:
                raise
            self.lost += error.ranges
            samples = np.zeros((block.frames, block.channels), dtype=self.layout.memory_dtype)
        with self._lock:
            self._cached += samples.size - (self._cache[key].size if key in self._cache else 0)
            self._cache[key] = samples
            while self._cached > self._room and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].size
        return samples

    def _restored(self, samples: np.ndarray, block: Block) -> np.ndarray:
        """The recording's samples of what a block holds: of a lossy file, those its bins stand for."""
        if self.lossy is None:
            return samples
        samples = self.lossy.values(samples, block.first_frame, block.first_channel)
        if self._rests is None:
            return samples
        beside = range(block.first_channel, block.extent[3])
        rests = self._rests.read(block.first_frame, block.frames, beside)
        return self.lossy.corrected(samples, rests, block.first_frame, block.first_channel)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file states beside the samples (`docs/format.md`, section 27); empty where it states nothing.

        Raises DataError where it is malformed.
        """
        if self._metadata is None:
            record = self.header.record(METADATA)
            self._metadata = {} if record is None else read_metadata(record, self.name)
        return self._metadata

    @property
    def files(self) -> dict[str, int]:
        """Names and sizes in bytes of the side files; `spikey.files.side_files` writes them."""
        return {entry["name"]: entry["size"] for entry in self.metadata.get("files", [])}

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, channels)"""
        return self.frames, self.layout.channels

    @property
    def ndim(self) -> int:
        """2: frames and channels."""
        return 2

    @property
    def size(self) -> int:
        """The number of samples; the file's bytes are `file_size`."""
        return self.frames * self.layout.channels

    @property
    def nbytes(self) -> int:
        """Bytes that all samples take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type of the samples."""
        return self.layout.memory_dtype

    @property
    def chunks(self) -> tuple[int, int]:
        """Frames and channels that are decoded together, at most: the steps to read in, as of a Zarr array."""
        blocks = [block for block in self.blocks if block.kind == BLOCK_SAMPLES]
        frames = max((block.frames for block in blocks), default=self.frames)
        channels = max((block.channels for block in blocks), default=self.layout.channels)
        return max(frames, 1), channels

    @property
    def rate(self) -> float:
        """Sampling rate in Hz."""
        return self.layout.rate

    @property
    def duration(self) -> float:
        """Seconds that the recording lasts; NaN where its rate is not stated."""
        return self.frames / self.rate if self.rate else float("nan")

    def __repr__(self) -> str:
        lasting = f"{self.rate:.10g} Hz, {self.duration:.6g} s"
        return f"<spikey.Reader {self.name!r}: shape {self.shape}, {self.dtype}, {lasting}>"

    def __len__(self) -> int:
        return self.frames

    def read(
        self, first_frame: int, count: int, channels: Sequence[int] | np.ndarray | None = None, jobs: int = 1
    ) -> np.ndarray:
        """Samples (count, channels) of a range of frames, of all channels or those named, `jobs` blocks at a time."""
        wanted = range(self.layout.channels) if channels is None else channels
        end = first_frame + count
        if not 0 <= first_frame <= end <= self.frames or (
            len(wanted) and not 0 <= min(wanted) <= max(wanted) < self.layout.channels
        ):
            raise IndexError(f"frames {first_frame} to {end} of channels {wanted} are not all in {self.shape}")
        return self._gather(range(first_frame, end), wanted, jobs)

    def _gather(self, rows: range | np.ndarray, columns: Sequence[int] | np.ndarray, jobs: int = 1) -> np.ndarray:
        """Samples (rows, columns) within the shape, the rows ascending."""
        if self.header.wrapper == BYTES:
            raise UsageError(f"{self.name}: holds plain bytes, no samples; decompress it")
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
                samples = self._samples(block)
                if isinstance(rows, range):
                    samples = samples[rows[start] - block.first_frame :: rows.step][: stop - start]
                else:
                    samples = samples[rows[start:stop] - block.first_frame]
                out[start:stop, as_slice(hit)] = samples[:, as_slice(inside[hit] - block.first_channel)]

        for batch in self._batches(self._touched(rows, inside)):
            self._fetch([_place(block) for block in batch if block.offset not in self._cache])
            if self.model_id:
                decode_ahead([(self, block) for block in batch])
            _each(place, batch, jobs)
        return out

    def _touched(self, rows: range | np.ndarray, columns: np.ndarray) -> list[Block]:
        """The blocks of samples that hold any of the rows and columns."""
        if not len(rows) or not len(columns):
            return []
        low, high = columns.min(), columns.max()
        hits = np.flatnonzero((self._firsts <= rows[-1]) & (self._ends > rows[0]))
        near = [self.blocks[i] for i in hits]
        return [block for block in near if block.first_channel <= high and block.extent[3] > low]

    def _batches(self, blocks: list[Block]) -> Iterator[list[Block]]:
        """Blocks that are decoded, or fetched, together."""
        most = max(MOST_TOGETHER // min(self.layout.channels, 16), 1) if self.model_id else len(blocks)
        batch: list[Block] = []
        size = samples = 0
        for block in blocks:
            full = samples + block.frames * block.channels > SAMPLES_TOGETHER and bool(self.model_id)
            if batch and (full or len(batch) == most or (size + block.size > AHEAD and self._remote)):
                yield batch
                batch, size, samples = [], 0, 0
            batch.append(block)
            size += block.size
            samples += block.frames * block.channels
        if batch:
            yield batch

    def __getitem__(self, key: Any) -> np.ndarray:
        parts = key if isinstance(key, tuple) else (key,)
        at = next((i for i, part in enumerate(parts) if part is Ellipsis), None)
        if at is not None:
            parts = parts[:at] + (slice(None),) * (3 - len(parts)) + parts[at + 1 :]
        if len(parts) > 2:
            raise IndexError(f"a recording has two dimensions, frames and channels; {len(parts)} were indexed")
        rows, columns = (*parts, slice(None), slice(None))[:2]
        frames, channels = chosen(rows, self.frames), chosen(columns, self.layout.channels)
        if isinstance(frames, range):
            samples = self._gather(frames if frames.step > 0 else frames[::-1], channels)
            if frames.step < 0:
                samples = samples[::-1]
        elif isinstance(channels, range):
            ascending, back = np.unique(frames, return_inverse=True)
            samples = self._gather(ascending, channels)[back]
        else:
            raise IndexError("only one of frames and channels can be a list: use reader[frames][:, channels]")
        return samples[tuple(0 if is_index(part) else slice(None) for part in (rows, columns))]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(f"{self.name}: is decoded as it is read, so an array of it is always a copy")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def iterate_blocks(self, jobs: int = 1) -> Iterator[np.ndarray]:
        """All samples in order, as arrays (some frames, channels) of whole blocks and of bounded size."""
        cuts = np.unique(np.concatenate([self._firsts, self._ends, [0, self.frames]]))
        cuts = cuts[(cuts >= 0) & (cuts <= self.frames)]
        bound = max(LARGEST // self.layout.channels, 1)
        first = 0
        while first < self.frames:
            # As many whole blocks as the bound allows, or one, or, where none is left, as much as the bound allows.
            last = int(cuts[max(int(np.searchsorted(cuts, first + bound, side="right")) - 1, 0)])
            if last <= first:
                last = int(cuts[int(np.searchsorted(cuts, first, side="right"))])
                if not ((self._firsts <= first) & (self._ends > first)).any():
                    last = min(last, first + bound)
            yield self.read(first, last - first, jobs=jobs)
            first = last

    def around(self, kind: int) -> Iterator[bytes]:
        """The file's bytes before (BLOCK_HEAD) or after (BLOCK_TAIL) the samples, or all of them (BLOCK_BYTES).

        Or the bytes of all side files, one after another (BLOCK_FILES).
        """
        if kind == BLOCK_HEAD and self.header.wrapper == CANONICAL:
            try:
                yield canonical_head(self.layout, self.frames)
            except UsageError as error:
                raise DataError(f"{self.name}: is said to be a plain WAV, but {error}") from None
        record = self._record({BLOCK_HEAD: HEAD, BLOCK_TAIL: TAIL}.get(kind, 0))
        if record is not None and self.header.wrapper == WRAPPED:
            yield record
        done = 0
        for block in self.blocks:
            if block.kind == kind:
                yield from self._missing_bytes(done, block.first_frame)
                try:
                    content = self._content(block)
                except DamagedError as error:
                    if not self.salvage or self.header.single:
                        raise
                    self.lost += error.ranges
                    content = bytes(block.frames)
                assert isinstance(content, bytes)
                yield content
                done = block.extent[1]
        if kind == BLOCK_BYTES and self.header.wrapper == BYTES:
            yield from self._missing_bytes(done, self.frames)

    def _missing_bytes(self, first: int, end: int) -> Iterator[bytes]:
        """Zeros for bytes whose block is gone; only salvaging gets here with any."""
        if first < end:
            self.lost.append((first, end, 0, 0))
        for at in range(first, end, PIECE):
            yield bytes(min(PIECE, end - at))

    def method_bytes(self, block: Block) -> bytes:
        """The first two bytes of a block's payload, which state its method."""
        return self._read_at(block.offset, min(2, block.size))

    def payload(self, block: Block) -> bytes:
        """A block's payload as it lies in the file, unchecked."""
        return self._read_at(block.offset, block.size)

    def levels(self, block: Block) -> list[str]:
        """In words, what values each channel of a block of samples can take; nothing where they are kept as is."""
        return [channel.levels.words() for channel in channels_in(self.payload(block), block.channels, self.name)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class _Kept:
    """What a pickled reader has beside its file and the options that it was opened with."""

    name: str
    salvage: bool
    room: int
    rests: Reader | None
    ending: bytes


def _reopened(file: Opened | Window, options: dict[str, Any], kept: _Kept) -> Reader:
    """A pickled reader, opened again."""
    reader = Reader(file, **options)
    if reader._ending() != kept.ending:
        reader.close()
        raise DataError(f"{kept.name}: has changed since its reader was pickled; open it anew")
    reader.name, reader.salvage, reader._room, reader._rests = kept.name, kept.salvage, kept.room, kept.rests
    return reader


def _each(do: Callable[[Block], None], blocks: list[Block], jobs: int) -> None:
    """`do` every block, `jobs` at a time."""
    if jobs == 1 or len(blocks) == 1:
        for block in blocks:
            do(block)
        return
    with ThreadPoolExecutor(jobs) as pool:
        try:
            list(pool.map(do, blocks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def decode_ahead(wanted: list[tuple[Reader, Block]]) -> None:
    """Decode blocks of one or several files together where a trained network gains by that.

    What fails is left to be decoded alone, where the error belongs to its block.
    """
    groups: dict[tuple[bytes, int, bytes], list[tuple[Reader, Block, Payload]]] = {}
    for reader, block in wanted:
        if block.kind != BLOCK_SAMPLES or block.offset in reader._cache or block.offset in reader._ahead:
            continue
        if block.offset + block.size > reader.file_size:
            continue
        data = reader._read_at(block.offset, block.size)
        if needs_model(data):
            payload = Payload(data, block.frames, block.channels, reader.layout.memory_dtype)
            key = reader.model_id, data[0], reader.header.calibration
            groups.setdefault(key, []).append((reader, block, payload))
    for group in groups.values():
        first = group[0][0]
        with suppress(DataError):
            decoded = decode_blocks(
                [payload for *_, payload in group], Lookup(first._find_calibration, first._find_model)
            )
            for (reader, block, _), samples in zip(group, decoded, strict=True):
                reader.give(block, samples)


def _place(block: Block) -> tuple[int, int]:
    """Where a block lies in its file, header included: start and end."""
    return max(block.offset - MAX_BLOCK_HEADER, 0), block.offset + block.size

"""Writes a `.spky` file from a source of samples: one payload for a short recording, else blocks and an index."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import BinaryIO, Protocol

import numpy as np

from spikey.coding.block import Method, encode_block, uses_calibration
from spikey.container.layout import (
    BLOCK_BYTES,
    BLOCK_HEAD,
    BLOCK_SAMPLES,
    BLOCK_TAIL,
    BYTES,
    CALIBRATION,
    CANONICAL,
    HEAD,
    SAMPLES,
    STORED_BYTE,
    TAIL,
    WRAPPED,
    Block,
    Header,
    write_index,
)
from spikey.container.packed_bytes import PIECE, pack_bytes
from spikey.errors import UsageError
from spikey.model.calibration import Calibration
from spikey.recording.source import Layout, pack
from spikey.wire import varint

CHUNK_BYTES = 64 << 20  # of samples held at once
RECORD_BYTES = 1 << 16  # larger heads and tails go into blocks
_Part = tuple[tuple[int, int, int, int], np.ndarray]  # first frame, frames, first channel, channels; samples


class Readable(Protocol):
    """What the writer needs of a recording; `recording.source.Source` and `ArraySource` have it."""

    layout: Layout
    frames: int
    canonical: bool
    head_size: int
    tail_size: int

    def read(self, first_frame: int, count: int) -> np.ndarray: ...
    def head_chunks(self, size: int = ...) -> Iterator[bytes]: ...
    def tail_chunks(self, size: int = ...) -> Iterator[bytes]: ...


class ArraySource:
    """Samples (frames, channels) in memory as a source, with nothing around them."""

    canonical = False
    head_size = tail_size = 0

    def __init__(self, samples: np.ndarray, rate: float):
        if samples.ndim == 1:
            samples = samples[:, None]
        if samples.ndim != 2:
            raise UsageError(f"samples have the shape (frames, channels), not {samples.shape}")
        native = samples.dtype.newbyteorder("=")
        self.layout = Layout(samples.shape[1], rate, str(native))
        self.frames = samples.shape[0]
        self._samples = samples

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Frames [first_frame, first_frame + count), native-endian."""
        return self._samples[first_frame : first_frame + count].astype(self.layout.memory_dtype, copy=False)

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    tail_chunks = head_chunks


def block_shape(layout: Layout, frames: int = 1 << 20) -> tuple[int, int]:
    """Frames and channels of a full block: a few seconds of 16 channels, in bounded memory; more where they are short.

    >>> block_shape(Layout(1, 19531, "int16")), block_shape(Layout(384, 30000, "int16"))
    ((131072, 1), (65536, 16))
    >>> block_shape(Layout(384, 30000, "int16"), frames=1000)
    (1000, 65)
    """
    if layout.channels == 1:
        return 1 << 17, 1
    fitting = CHUNK_BYTES // (layout.channels * layout.memory_dtype.itemsize) // 256 * 256
    longest = min(1 << 16, max(fitting, 256), max(frames, 1))
    return longest, min(layout.channels, max(16, (1 << 16) // longest))


def encode_samples(samples: np.ndarray, layout: Layout, method: Method, calibration: Calibration | None) -> bytes:
    """The payload of a sample block: coded, or stored as the file has it where that is not larger."""
    payload = encode_block(samples, method, calibration) if samples.size else None
    if payload is not None and len(payload) <= samples.size * layout.itemsize:
        return payload
    return STORED_BYTE + _packed(samples, layout)


def _packed(samples: np.ndarray, layout: Layout) -> bytes:
    """Some channels of a recording as its file would have them."""
    return pack(samples, replace(layout, channels=samples.shape[1]))


def write_file(
    source: Readable,
    out: BinaryIO,
    method: Method,
    calibration: Calibration | None = None,
    *,
    embed: bytes | None = None,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Compress `source` into `out`, sequentially; return the bytes written.

    embed: the calibration's own bytes, to travel with the file. progress: called with the samples done since.
    """
    layout = source.layout
    frames_of, channels_of = block_shape(layout, source.frames)
    short = source.head_size + source.tail_size <= RECORD_BYTES
    wrapper = CANONICAL if source.canonical else SAMPLES if not source.head_size + source.tail_size else WRAPPED
    records = [(CALIBRATION, _packed_record(embed, 4))] if embed is not None else []
    if wrapper == WRAPPED and short:
        for kind, chunks in ((HEAD, source.head_chunks()), (TAIL, source.tail_chunks())):
            data = b"".join(chunks)
            records.append((kind, _packed_record(data)))
    single = short and source.frames <= frames_of and layout.channels <= channels_of
    header = Header(layout, source.frames, wrapper, single, b"" if calibration is None else calibration.id, records)
    if single:
        samples = source.read(0, source.frames)
        payload = encode_samples(samples, layout, method, calibration)
        if not uses_calibration(payload, layout.channels):
            header = replace(header, calibration=b"", records=[r for r in records if r[0] != CALIBRATION])
        if progress is not None:
            progress(samples.size)
        return _write_single(out, header, payload, pack(samples, layout))
    with _BlockWriter(out, header) as blocks:
        if wrapper == WRAPPED and not short:
            blocks.write_bytes(BLOCK_HEAD, source.head_chunks(PIECE))
        encode = partial(encode_samples, layout=layout, method=method, calibration=calibration)
        for (extent, part), payload in _in_order(_parts(source, frames_of, channels_of), encode, jobs):
            blocks.write(BLOCK_SAMPLES, extent, payload, _packed(part, layout))
            if progress is not None:
                progress(part.size)
        if wrapper == WRAPPED and not short:
            blocks.write_bytes(BLOCK_TAIL, source.tail_chunks(PIECE))
    return blocks.written


def _parts(source: Readable, frames_of: int, channels_of: int) -> Iterator[_Part]:
    """A recording cut into blocks: extents and samples."""
    for first in range(0, source.frames, frames_of):
        chunk = source.read(first, min(frames_of, source.frames - first))
        for channel in range(0, source.layout.channels, channels_of):
            # A copy with each channel in one stretch, so that a chunk can go before the next one is read.
            part = np.asfortranarray(chunk[:, channel : channel + channels_of])
            yield (first, len(part), channel, part.shape[1]), part
        del chunk, part


def _in_order(
    parts: Iterator[_Part], encode: Callable[[np.ndarray], bytes], jobs: int
) -> Iterator[tuple[_Part, bytes]]:
    """Parts with their payloads, encoded by `jobs` threads that run only a little ahead, to bound the memory."""
    waiting: deque[tuple[_Part, Future[bytes]]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for part in parts:
                waiting.append((part, pool.submit(encode, part[1])))
                if len(waiting) > jobs:
                    done, payload = waiting.popleft()
                    yield done, payload.result()
            while waiting:
                done, payload = waiting.popleft()
                yield done, payload.result()
        finally:
            pool.shutdown(cancel_futures=True)


def write_bytes_file(size: int, chunks: Iterator[bytes], itemsize: int, out: BinaryIO) -> int:
    """Compress a file that cannot be modelled, as bytes; chunks of at most 4 MiB. Return the bytes written."""
    header = Header(Layout(1, 0, "uint8"), size, BYTES, size <= PIECE)
    if header.single:
        data = b"".join(chunks)
        return _write_single(out, header, pack_bytes(data, itemsize), data)
    with _BlockWriter(out, header) as blocks:
        blocks.write_bytes(BLOCK_BYTES, chunks, itemsize)
    return blocks.written


def _packed_record(data: bytes, itemsize: int = 1) -> bytes:
    return varint(len(data)) + pack_bytes(data, itemsize)


def _write_single(out: BinaryIO, header: Header, payload: bytes, content: bytes) -> int:
    head = header.write()
    check = zlib.crc32(content, zlib.crc32(payload, zlib.crc32(head)))
    out.write(head + payload + struct.pack("<I", check))
    return len(head) + len(payload) + 4


class _BlockWriter:
    """Writes header, blocks and, on leaving without an error, the index."""

    def __init__(self, out: BinaryIO, header: Header):
        self._out = out
        self._head = header.write()
        self._blocks: list[Block] = []
        self.written = 0

    def __enter__(self) -> _BlockWriter:
        self._write(self._head + struct.pack("<I", zlib.crc32(self._head)))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write(write_index(self._head, self._blocks, self.written))

    def write(self, kind: int, extent: tuple[int, int, int, int], payload: bytes, content: bytes) -> None:
        """One block; `extent`: first frame, frames, first channel, channels."""
        block = Block(kind, *extent, size=len(payload), check=0)
        block = replace(block, check=block.check_of(payload, content))
        head = block.write()
        self._blocks.append(replace(block, offset=self.written + len(head)))
        self._write(head + payload)

    def write_bytes(self, kind: int, chunks: Iterator[bytes], itemsize: int = 1) -> None:
        """Blocks of plain bytes."""
        first = 0
        for chunk in chunks:
            self.write(kind, (first, len(chunk), 0, 0), pack_bytes(chunk, itemsize), chunk)
            first += len(chunk)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)

"""Salvage of a damaged file: blocks found by their marks, and the frames that no block covers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np

from spikey.base.errors import DataError
from spikey.coding.packed_bytes import PIECE
from spikey.container.layout import BLOCK_SAMPLES, MAX_BLOCK_HEADER, SYNC, Block, read_block

Extent = tuple[int, int, int, int]
SECTOR = 4096  # bytes that a disk reads or fails to read together


def describe(extent: Extent) -> str:
    """An extent in words; one without channels counts bytes.

    >>> describe((0, 256, 0, 2)), describe((0, 9, 0, 0))
    ('frames 0 to 256 of channels 0 to 1', 'bytes 0 to 9')
    """
    first, end, low, high = extent
    return f"frames {first} to {end} of channels {low} to {high - 1}" if high > low else f"bytes {first} to {end}"


def runs(numbers: Iterable[int] | np.ndarray) -> Iterator[tuple[int, int]]:
    """Different numbers as ranges (first, end), ascending.

    >>> list(runs([7, 3, 4]))
    [(3, 5), (7, 8)]
    """
    ordered = sorted(int(number) for number in numbers)
    for _, run in groupby(enumerate(ordered), key=lambda each: each[1] - each[0]):
        inside = [number for _, number in run]
        yield inside[0], inside[-1] + 1


def find_blocks(read_at: Callable[[int, int], bytes], size: int, what: str, first: int = 0) -> Iterator[Block]:
    """Blocks whose headers are whole, wherever they are in a file of `size` bytes, in the order of their places.

    first: where to begin. Of a block that follows another at once only the header is read.
    """
    at, base, window = first, 0, b""
    while at < size:
        try:
            block = read_block(read_at(at, min(MAX_BLOCK_HEADER, size - at)), at, what)
        except DataError:
            at += 1
            while at < size:
                if not base <= at <= base + len(window) - len(SYNC):
                    base, window = at, read_at(at, min(PIECE, size - at))
                hit = window.find(SYNC, at - base)
                if hit >= 0:
                    at = base + hit
                    break
                at = max(base + len(window) - len(SYNC) + 1, at + 1)
            continue
        yield block
        end = block.offset + block.size
        at = end if end <= size else at + 1


def in_order(found: Iterable[Block]) -> list[Block]:
    """Found blocks without those that lie before or over an earlier one of their kind, as no file's own do.

    They are another file's, which was appended to this one or is a side file of it.
    """
    own = []
    reached: dict[int, tuple[int, int]] = {}  # by kind: where the last block begins, and where its neighbour may
    ends: dict[int, int] = {}
    for block in found:
        first, end, low, high = block.extent
        start, beside = reached.get(block.kind, (0, 0))
        if first >= ends.get(block.kind, 0) or (first == start and low >= beside > 0 and end == ends[block.kind]):
            own.append(block)
            reached[block.kind], ends[block.kind] = (first, high), end
    return own


def read_around(read_at: Callable[[int, int], bytes], offset: int, count: int) -> bytes:
    """Bytes of a file, with zeros for those that cannot be read, as in a disk's bad sectors."""

    def fails(first: int, size: int) -> bool:
        try:
            read_at(first, size)
        except DataError:
            return True
        return False

    try:
        return read_at(offset, count)
    except DataError:
        pass
    end = offset + count
    cut = max((offset + count // 2) // SECTOR, offset // SECTOR + 1) * SECTOR
    if offset < cut < end:
        return read_around(read_at, offset, cut - offset) + read_around(read_at, cut, end - cut)
    sizes = range(1, count + 1)
    head = bisect_right(sizes, False, key=lambda size: fails(offset, size))
    tail = min(bisect_right(sizes, False, key=lambda size: fails(end - size, size)), count - head)
    return read_at(offset, head) + bytes(count - head - tail) + read_at(end - tail, tail)


def uncovered(blocks: list[Block], frames: int, channels: int) -> Iterator[Extent]:
    """The extents of `frames` frames of `channels` channels that lie in no block of samples."""
    extents = np.array([b.extent for b in blocks if b.kind == BLOCK_SAMPLES], dtype=np.int64).reshape(-1, 4)
    firsts, ends = extents[:, 0], extents[:, 1]
    cuts = np.unique(np.concatenate([firsts, ends, [0, frames]]))
    for first, end in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        channel = 0
        inside = extents[(firsts <= first) & (ends >= end)]
        for low, high in sorted(map(tuple, inside[:, 2:].tolist())):
            if low > channel:
                yield first, end, channel, low
            channel = max(channel, high)
        if channel < channels:
            yield first, end, channel, channels

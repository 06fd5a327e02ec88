"""Some frames of some channels of a chunk: only the bytes that they need are asked for, and only those are decoded.

The store of the chunk answers the requests, waiting for them or not: `decode_part` is a generator.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from spikey.base.errors import DamagedError, DataError
from spikey.base.workers import spread
from spikey.codec.cut import Extent
from spikey.codec.decode import NO_GROUPS, decode_some, groups_in
from spikey.codec.payload import Groups, Lookup, Payload
from spikey.integrations.chunk import FORTRAN, Fits, Head, check_size, read_head
from spikey.integrations.chunk_samples import SUM, extents_of, find_calibration, find_model, words_of

BEGINNING = 1 << 15  # bytes of a chunk, or of a later block in it, that contain what describes it, most often
Ranges = list[tuple[int, int]]  # bytes of a chunk: start, end; the latter may lie behind its end
Answers = Sequence[Any]  # the bytes of each, as buffers; fewer where the chunk ends


@dataclass
class _Block:
    """A block that contains frames and channels that are wanted. start: where its payload lies in the chunk.

    channels: those wanted, counted within it. columns: where they go. parts: of its payload, by where they start in it.
    """

    extent: Extent
    start: int
    channels: np.ndarray
    columns: np.ndarray
    groups: Groups = NO_GROUPS
    parts: dict[int, memoryview] = field(default_factory=dict)

    def needed(self) -> Ranges:
        """The ranges of the chunk that are not available yet."""
        return [(self.start + first, self.start + end) for first, end in self.groups.places_of(self.channels)]

    def payload(self, dtype: np.dtype[Any]) -> Payload:
        """The payload as far as it is available, with zeros elsewhere."""
        data = bytearray(max(first + len(part) for first, part in self.parts.items()))
        for first, part in self.parts.items():
            data[first : first + len(part)] = part
        return Payload(memoryview(data), self.extent.frames, self.extent.channels, dtype, words_of(self.extent))


def decode_part(
    frames: tuple[int, int], channels: np.ndarray, fits: Fits, calibration: str, jobs: int = 1
) -> Generator[Ranges, Answers, np.ndarray | None]:
    """Decode frames [first, end) of some channels of a chunk; yields ranges of bytes and is sent what is there.

    channels: int64, ascending. The result has all frames of the chunk, (frames, channels); those that were not asked
    for are zeros. It is None where decoding the whole chunk is as good, or necessary: of elements of other kinds, in
    one group, in another memory order, or where most of its groups are needed.
    Raises DamagedError and DataError as `decode_chunk`.
    """
    (answer,) = yield [(0, BEGINNING)]
    beginning = memoryview(answer)
    try:
        head = read_head(beginning)
    except DataError:  # too short, or damaged: decoding the whole chunk finds out
        return None
    fits(head.dtype, head.shape)
    check_size(head.dtype, head.shape)
    blocks = _blocks(head, frames, channels)
    if not blocks or len(beginning) < BEGINNING:
        return None
    answers = yield [(block.start, block.start + BEGINNING) for block in blocks if block.start >= BEGINNING // 2]
    left = iter(answers)
    native = head.dtype.newbyteorder("=")
    for block in blocks:
        block.parts[0] = memoryview(next(left) if block.start >= BEGINNING // 2 else beginning[block.start :])
        try:
            block.groups = groups_in(block.payload(native))
        except DataError:
            return None
        if block.groups.front > len(block.parts[0]):
            return None
    wanted = sum(len(block.needed()) for block in blocks)
    if not all(block.groups.channels for block in blocks) or 2 * wanted > sum(len(b.groups.channels) for b in blocks):
        return None
    answers = yield [place for block in blocks for place in block.needed()]
    left = iter(answers)
    for block in blocks:
        for first, _ in block.needed():
            block.parts[first - block.start] = memoryview(next(left))
    return _decode(head, blocks, len(channels), calibration, jobs)


def _blocks(head: Head, frames: tuple[int, int], channels: np.ndarray) -> list[_Block]:
    """The blocks that contain any of what is wanted; none where the chunk can only be decoded whole."""
    if head.coding is None or head.flags & FORTRAN or len(head.shape) != 2:
        return []
    count, width = head.shape
    full = head.coding.full or (count, width)
    starts = [head.size + start for start in accumulate((size + SUM.size for size in head.coding.sizes), initial=0)]
    found = []
    for extent, start in zip(extents_of(full, count, width), starts, strict=False):
        inside = np.flatnonzero(
            (channels >= extent.first_channel) & (channels < extent.first_channel + extent.channels)
        )
        if len(inside) and extent.first_frame < frames[1] and extent.first_frame + extent.frames > frames[0]:
            found.append(_Block(extent, start, channels[inside] - extent.first_channel, inside))
    return found


def _decode(head: Head, blocks: list[_Block], width: int, calibration: str, jobs: int) -> np.ndarray:
    assert head.coding is not None
    native = head.dtype.newbyteorder("=")
    found, model = find_calibration(head.coding, calibration), find_model(head.coding)
    lookup = Lookup(lambda: found, lambda: model)
    out = np.zeros((head.shape[0], width), native)

    def put(block: _Block) -> None:
        first, count, low, high = block.extent.first_frame, block.extent.frames, block.channels[0], block.channels[-1]
        lost = [
            (first, first + count, block.extent.first_channel + int(low), block.extent.first_channel + int(high) + 1)
        ]
        payload = block.payload(native)
        try:
            samples, damaged = decode_some(payload, lookup, block.channels.tolist())
        except DataError as error:
            raise DamagedError(f"a chunk is damaged ({error.text}); restore it from a copy", lost) from None
        if damaged:
            channel = block.extent.first_channel + damaged[0]
            text = f"a chunk is damaged ({payload.what}: the group of channel {channel}); restore it from a copy"
            raise DamagedError(text, lost)
        out[first : first + count, block.columns] = samples

    spread(put, blocks, jobs)
    return out.astype(head.dtype, copy=False)

"""The bytes of a block that the wide engine coded: lanes, descriptions of levels, a directory of groups, the groups.

A group is what one channel needs to be decoded. Where there are several each has a checksum of its own, which covers
all that comes before the directory too, so that an undamaged group can be trusted whatever happened to the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.codec.payload import Payload
from spikey.codec.registry import PREDICTORS
from spikey.codec.wide.descriptions import needs_numbers, read_descriptions, write_descriptions
from spikey.levels.contract import Levels
from spikey.recording.layout import MOST_CHANNELS

if TYPE_CHECKING:
    from spikey.codec.wide.describe import Described

LANES = (8, 64)  # by the bits of a payload's first byte above the predictor's number
SEVERAL = 128  # bit of a payload's first byte: descriptions that are calibrated contain which converter they have
GROUP = 32  # channels of a group, at most
CHECKSUM_BYTES = 4


@dataclass
class Directory:
    """A payload taken apart. descriptions: levels, and the number of their converter, from 1, or 0 for even widths.
    groups: the channels of each, in coding order. data: the bytes of each, None of those that are damaged. what: the
    block, for messages.
    """

    what: str
    lanes: int
    descriptions: list[tuple[Levels | None, int]]
    groups: list[np.ndarray]
    data: list[memoryview | None]

    def cursor(self, place: int) -> Cursor:
        """A group's bytes; DataError where they are damaged."""
        what = self.what if len(self.groups) == 1 else f"{self.what}, group {place}"
        data = self.data[place]
        if data is None:
            raise DataError(f"{what}: is damaged, its checksum does not match")
        return Cursor(data, what)


def write(lanes: int, described: Described, groups: Sequence[np.ndarray], packed: Sequence[bytes]) -> bytes:
    """A payload."""
    several = needs_numbers(described.descriptions)
    first = PREDICTORS["wide"].number | LANES.index(lanes) << 4 | SEVERAL * several
    out = [bytes([first]), *write_descriptions(described.descriptions, several)]
    out.append(_groups(groups))
    if len(packed) > 1:
        front = b"".join(out)
        out += [varint(len(data)) + _checksum(front, data) for data in packed]
    return b"".join([*out, *packed])


def _checksum(front: bytes | memoryview, data: bytes | memoryview) -> bytes:
    """Of a group and what comes before the directory."""
    return zlib.crc32(data, zlib.crc32(front)).to_bytes(CHECKSUM_BYTES, "little")


def _groups(groups: Sequence[np.ndarray]) -> bytes:
    """How many groups there are, and of several channels the order in which they are coded."""
    if sum(map(len, groups)) == 1:
        return b""
    out, expected = [varint(len(groups) - 1)], 0
    for channels in groups:
        out.append(varint(len(channels) - 1))
        for channel in channels:
            out.append(varint(zigzag(int(channel) - expected)))
            expected = int(channel) + 1
    return b"".join(out)


def _read_groups(cursor: Cursor, count: int) -> list[np.ndarray]:
    if count == 1:
        return [np.zeros(1, np.int64)]
    groups, expected = [], 0
    seen = np.zeros(count, bool)
    wrong = DataError(f"{cursor.what}: has groups that are not all of its channels")
    for _ in range(cursor.varint(count - 1) + 1):
        channels = []
        for _ in range(cursor.varint(GROUP - 1) + 1):
            channel = expected + cursor.signed()
            if not 0 <= channel < count or seen[channel]:
                raise wrong
            seen[channel] = True
            channels.append(channel)
            expected = channel + 1
        groups.append(np.array(channels, np.int64))
    if not seen.all():
        raise wrong
    return groups


def parse(payload: Payload, wanted: Container[int] = range(MOST_CHANNELS)) -> Directory:
    """Take a payload apart; DataError for what no encoder writes, but for groups that are damaged.

    wanted: channels; of several groups those without any of them are left out, as if they were damaged.
    """
    what = payload.what
    if len(payload.data) > payload.frames * payload.count * payload.dtype.itemsize:
        raise DataError(f"{what}: has a payload of {len(payload.data)} bytes, which is more than its samples have")
    cursor = Cursor(payload.data, what)
    flags = cursor.byte()
    lanes, several = (flags & ~SEVERAL) >> 4, bool(flags & SEVERAL)
    if lanes >= len(LANES):
        raise DataError(f"{what}: is coded by a method that this version does not know")
    descriptions = read_descriptions(cursor, payload, several)
    groups = _read_groups(cursor, payload.count)
    if len(groups) == 1:
        return Directory(what, LANES[lanes], descriptions, groups, [cursor.data[cursor.at :]])
    front = cursor.data[: cursor.at]
    sizes = [(cursor.varint(len(payload.data)), cursor.take(CHECKSUM_BYTES)) for _ in groups]
    rest = cursor.data[cursor.at :]
    left = len(rest) - sum(size for size, _ in sizes)
    data: list[memoryview | None] = []
    at = 0
    for channels, (size, checksum) in zip(groups, sizes, strict=True):
        # Where another group's size is damaged this one is as far from the end as it was.
        places = [rest[first : first + size] for first in (at, at + left) if first >= 0]
        if not any(channel in wanted for channel in channels.tolist()):
            places = []
        data.append(next((one for one in places if _checksum(front, one) == checksum), None))
        at += size
    if left and all(one is not None for one in data):
        raise DataError(f"{what}: has groups of {at} bytes in {len(rest)}")
    return Directory(what, LANES[lanes], descriptions, groups, data)


def pack_group(head: np.ndarray, lows: bytes, state: np.ndarray | None, words: np.ndarray | None) -> bytes:
    """A group: its numbers, low bits, and where a channel moves the lanes' states and their words."""
    parts: list[Any] = [varint(len(head)), head, lows]
    if state is not None and words is not None:
        parts += [state.astype("<u4", copy=False), words.astype("<u2", copy=False)]
    return b"".join(parts)


def read_head(cursor: Cursor) -> np.ndarray:
    """The numbers of a group, uint8."""
    return np.frombuffer(cursor.take(cursor.varint(len(cursor.data))), np.uint8)


def read_words(cursor: Cursor, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """States uint32 (lanes,), and words uint16."""
    state = np.frombuffer(cursor.take(4 * lanes), "<u4").astype(np.uint32)
    rest = cursor.rest()
    if len(rest) % 2:
        raise DataError(f"{cursor.what}: is damaged: half a word is left")
    return state, np.frombuffer(rest, "<u2").astype(np.uint16, copy=False)

"""The bytes of a block that the wide engine coded: lanes, descriptions of levels, a directory of groups, the groups.

A group is what one channel needs to be decoded. Where there are several each has a checksum of its own, which covers
all that comes before the directory too, so that an undamaged group can be trusted whatever happened to the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.codec.payload import Payload
from spikey.codec.registry import PREDICTORS
from spikey.codec.wide.descriptions import needs_numbers, read_descriptions, write_descriptions
from spikey.levels.contract import Levels

if TYPE_CHECKING:
    from spikey.codec.wide.describe import Described

LANES = (8, 64)  # by the bits of a payload's first byte above the predictor's number
SEVERAL = 128  # bit of a payload's first byte: descriptions that are calibrated contain which converter they have
GROUP = 32  # channels of a group, at most
CHECKSUM_BYTES = 4


@dataclass
class Directory:
    """A payload taken apart. descriptions: levels, and the number of their converter, from 1, or 0 for even widths.
    groups: the channels of each, in coding order. data: the payload. places: where each group lies in it, as ranges
    (start, end). checksums: of the groups, where there are several. check: CRC-32 of what comes before the directory.
    front: bytes before the groups. what: the block, for messages.
    """

    what: str
    lanes: int
    descriptions: list[tuple[Levels | None, int]]
    groups: list[np.ndarray]
    data: bytes | memoryview
    places: list[tuple[int, int]]
    checksums: list[bytes]
    check: int
    front: int

    def cursor(self, place: int) -> Cursor:
        """A group's bytes; DataError where they are damaged."""
        start, end = self.places[place]
        data = memoryview(self.data)
        if len(self.groups) == 1:
            return Cursor(data[start:end], self.what)
        # Where another group's size is damaged this one is as far from the end as it was.
        left = len(data) - self.places[-1][1]
        for first in (start, start + left) if left else (start,):
            one = data[first : end - start + first] if first >= 0 else data[:0]
            if _checksum(self.check, one) == self.checksums[place]:
                return Cursor(one, f"{self.what}, group {place}")
        raise DataError(f"{self.what}, group {place}: is damaged, its checksum does not match")

    @property
    def fits(self) -> bool:
        """Whether the groups take up all of the payload."""
        return self.places[-1][1] == len(self.data)


def write(lanes: int, described: Described, groups: Sequence[np.ndarray], packed: Sequence[bytes]) -> bytes:
    """A payload."""
    several = needs_numbers(described.descriptions)
    first = PREDICTORS["wide"].number | LANES.index(lanes) << 4 | SEVERAL * several
    out = [bytes([first]), *write_descriptions(described.descriptions, several)]
    out.append(_groups(groups))
    if len(packed) > 1:
        check = zlib.crc32(b"".join(out))
        out += [varint(len(data)) + _checksum(check, data) for data in packed]
    return b"".join([*out, *packed])


def _checksum(check: int, data: bytes | memoryview) -> bytes:
    """Of a group and what comes before the directory, of which `check` is the CRC-32."""
    return zlib.crc32(data, check).to_bytes(CHECKSUM_BYTES, "little")


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
    wrong = DataError(f"{cursor.what}: has groups that do not cover its channels")
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


def parse(payload: Payload) -> Directory:
    """Take a payload apart, of which only the beginning is looked at; DataError for what no encoder writes there."""
    what = payload.what
    most = payload.frames * payload.count * payload.dtype.itemsize
    if len(payload.data) > most:
        raise DataError(f"{what}: has a payload of {len(payload.data)} bytes, which is more than its samples have")
    cursor = Cursor(payload.data, what)
    flags = cursor.byte()
    lanes, several = (flags & ~SEVERAL) >> 4, bool(flags & SEVERAL)
    if lanes >= len(LANES):
        raise DataError(f"{what}: is coded by a method that this version does not support")
    descriptions = read_descriptions(cursor, payload, several)
    groups = _read_groups(cursor, payload.count)
    if len(groups) == 1:
        places = [(cursor.at, len(cursor.data))]
        return Directory(what, LANES[lanes], descriptions, groups, payload.data, places, [], 0, cursor.at)
    check = zlib.crc32(cursor.data[: cursor.at])
    entries = [(cursor.varint(most), cursor.take(CHECKSUM_BYTES)) for _ in groups]
    ends = [cursor.at + end for end in accumulate(size for size, _ in entries)]
    places = list(pairwise([cursor.at, *ends]))
    checksums = [checksum for _, checksum in entries]
    return Directory(what, LANES[lanes], descriptions, groups, payload.data, places, checksums, check, cursor.at)


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
        raise DataError(f"{cursor.what}: is damaged: its last word is incomplete")
    return state, np.frombuffer(rest, "<u2").astype(np.uint16, copy=False)

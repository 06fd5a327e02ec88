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
from spikey.levels.advancing import Advancing
from spikey.levels.contract import Levels
from spikey.levels.registry import read_levels
from spikey.levels.scaled import MOST_PATCHED, PATCH_BYTES, Scaled
from spikey.model.calibration import MOST_CONVERTERS

if TYPE_CHECKING:
    from spikey.codec.wide.describe import Described

CALIBRATED = 8  # bit of a description's first byte, above the number of its level map
PACKED = 15  # the first byte of a description of channels that have no levels
REPEATED = 4  # bits below those that count the bytes which the levels begin with as those before do
MOST_REPEATED = 15
LANES = (8, 64)  # by the bits of a payload's first byte above the predictor's number
SEVERAL = 128  # bit of a payload's first byte: descriptions that are calibrated contain which converter they have
GROUP = 32  # channels of a group, at most
CHECKSUM_BYTES = 4
FRAMES_A_RUN, FEW_RUNS = 128, 18  # of a line of levels: an encoder writes no more, so that many channels can share one


def pack_channel(values: np.ndarray) -> bytes:
    """Floats (frames,) that have no levels, with their size in front."""
    from spikey.coding.packed_bytes import pack_bytes

    packed = pack_bytes(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(), values.dtype.itemsize)
    return varint(len(packed)) + packed


def read_channel(cursor: Cursor, frames: int, dtype: np.dtype) -> np.ndarray:
    """What `pack_channel` wrote."""
    from spikey.coding.packed_bytes import unpack_bytes

    packed = cursor.take(cursor.varint(len(cursor.data)))
    data = unpack_bytes(packed, frames * dtype.itemsize, cursor.what)
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)


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
    several = any(converter > 1 for _, converter in described.descriptions)
    first = PREDICTORS["wide"].number | LANES.index(lanes) << 4 | SEVERAL * several
    out = [bytes([first]), varint(len(described.descriptions) - 1)]
    before = b""
    for levels, converter in described.descriptions:
        if levels is None:
            out.append(bytes([PACKED]))
            continue
        fields = levels.write()
        repeated = _repeated(fields, before)
        out.append(bytes([levels.number | CALIBRATED * bool(converter) | repeated << REPEATED]))
        if converter and several:
            out.append(varint(converter - 1))
        out.append(fields[repeated:])
        before = fields
    out.append(_groups(groups))
    if len(packed) > 1:
        check = zlib.crc32(b"".join(out))
        out += [varint(len(data)) + _checksum(check, data) for data in packed]
    return b"".join([*out, *packed])


def _checksum(check: int, data: bytes | memoryview) -> bytes:
    """Of a group and what comes before the directory, of which `check` is the CRC-32."""
    return zlib.crc32(data, check).to_bytes(CHECKSUM_BYTES, "little")


def _repeated(fields: bytes, before: bytes) -> int:
    """How many bytes levels begin with that those before them begin with, as far as that can be written."""
    same = [one == other for one, other in zip(fields[:MOST_REPEATED], before, strict=False)]
    return [*same, False].index(False)


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


class _Fields(Cursor):
    """Reads levels of which the first bytes are those of the levels before."""

    def __init__(self, before: bytes, repeated: int, cursor: Cursor):
        super().__init__(before[:repeated], cursor.what)
        self._cursor, self._start = cursor, cursor.at
        if repeated > len(before):
            raise DataError(f"{cursor.what}: repeats more of a description than there is")

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        repeated = super().take(min(count, len(self.data) - self.at))
        return repeated + self._cursor.take(count - len(repeated))

    def all(self) -> bytes:
        """The bytes of the levels, once these have been read."""
        if self.at < len(self.data):
            raise DataError(f"{self.what}: repeats more of a description than it needs")
        return bytes(self.data) + bytes(self._cursor.data[self._start : self._cursor.at])


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
        raise DataError(f"{what}: is coded by a method that this version does not know")
    descriptions: list[tuple[Levels | None, int]] = []
    before = b""
    for _ in range(cursor.varint(payload.count - 1) + 1):
        flags = cursor.byte()
        if flags == PACKED and payload.dtype.kind == "f":
            descriptions.append((None, 0))
            continue
        calibrated = bool(flags & CALIBRATED)
        converter = cursor.varint(MOST_CONVERTERS - 1) + 1 if calibrated and several else int(calibrated)
        fields = _Fields(before, flags >> REPEATED, cursor)
        levels = read_levels(flags & 7, fields)
        if isinstance(levels, Scaled) and payload.dtype.kind != "f":
            raise DataError(f"{what}: describes a channel of samples of another type")
        _check_work(levels, payload)
        descriptions.append((levels, converter))
        before = fields.all()
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


def _check_work(levels: Levels, payload: Payload) -> None:
    """DataError for levels that take more time for each channel than an encoder's, as many channels can share them."""
    size = payload.frames * payload.dtype.itemsize
    patches = len(levels.patches) if isinstance(levels, Scaled) else 0
    inner = levels.inner if isinstance(levels, Scaled) else levels
    runs = len(inner.line.runs) if isinstance(inner, Advancing) else 0
    if patches * PATCH_BYTES * MOST_PATCHED > size or runs > max(payload.frames // FRAMES_A_RUN, FEW_RUNS):
        raise DataError(f"{payload.what}: describes a channel of more exceptions than its samples can have")


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

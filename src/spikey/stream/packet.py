"""The bytes of a packet: a header of 11 bytes, for a key packet a description, the payload, and a CRC-32.

Everything a receiver must know to begin is in every key packet, so that it may join late.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint
from spikey.levels.contract import Levels
from spikey.levels.registry import read_integer_levels
from spikey.recording.layout import DTYPES

MARK = 0xB0  # upper half of the first byte; flags in the lower
KEY, RAW, PARITY, LAST = 1, 2, 4, 8
HEAD = struct.Struct("<BIBIB")  # mark and flags, stream, group, number, frames
CHECK = struct.Struct("<I")
OVERHEAD = HEAD.size + CHECK.size
MOST_CHANNELS = 4096  # of a group
MOST_FRAMES = 255
STREAMED = {list(DTYPES).index(name): name for name in ("int8", "uint8", "int16", "uint16")}  # types of samples


@dataclass(frozen=True)
class Description:
    """The description of a group in a key packet.

    channels: of the whole stream. rate in Hz. dtype: of the samples. first_channel, count: the group's.
    calibration: its id, or empty. first_frame: of this packet, since the stream began.
    """

    channels: int
    rate: float
    dtype: str
    first_channel: int
    count: int
    levels: Levels
    calibration: bytes
    first_frame: int

    def write(self) -> bytes:
        """As bytes."""
        kinds = list(DTYPES).index(self.dtype) | self.levels.number << 4 | bool(self.calibration) << 7
        return b"".join(
            [
                bytes([kinds]),
                varint(self.channels),
                struct.pack("<d", self.rate),
                varint(self.first_channel),
                varint(self.count),
                varint(self.first_frame),
                self.levels.write(),
                self.calibration,
            ]
        )


class Packet(NamedTuple):
    """A packet taken apart. number: counts the group's packets. body: what follows header and description."""

    flags: int
    stream: int
    group: int
    number: int
    frames: int
    description: Description | None
    body: bytes


def write_packet(
    flags: int, stream: int, group: int, number: int, frames: int, body: bytes, description: bytes = b""
) -> bytes:
    """The bytes of a packet; `description` for key and raw packets."""
    data = HEAD.pack(MARK | flags, stream, group, number & 0xFFFFFFFF, frames) + description + body
    return data + CHECK.pack(zlib.crc32(data))


def read_packet(data: bytes | memoryview) -> Packet:
    """Take a packet apart; DataError for anything that is not one, or not whole."""
    if len(data) < OVERHEAD:
        raise DataError(f"a packet of {len(data)} bytes is too short")
    view = memoryview(data)
    if CHECK.unpack_from(view, len(view) - CHECK.size)[0] != zlib.crc32(view[: -CHECK.size]):
        raise DataError("a packet fails its checksum")
    mark, stream, group, number, frames = HEAD.unpack_from(view)
    if mark & 0xF0 != MARK:
        raise DataError("a packet is of another kind")
    flags, content = mark & 15, view[HEAD.size : -CHECK.size]
    if not flags & (KEY | RAW) or flags & PARITY:
        return Packet(flags, stream, group, number, frames, None, content.tobytes())
    cursor = Cursor(content, "a packet")
    return Packet(flags, stream, group, number, frames, _read_description(cursor), cursor.rest())


def _read_description(cursor: Cursor) -> Description:
    kinds = cursor.byte()
    channels = cursor.varint(1 << 24)
    (rate,) = struct.unpack("<d", cursor.take(8))
    first_channel, count, first_frame = cursor.varint(1 << 24), cursor.varint(MOST_CHANNELS), cursor.varint()
    levels = read_integer_levels(kinds >> 4 & 7, cursor)
    calibration = cursor.take(4) if kinds >> 7 else b""
    if kinds & 15 not in STREAMED or not 0 < count <= channels - first_channel or not 0 <= rate < float("inf"):
        raise DataError("a packet describes an impossible stream")
    return Description(channels, rate, STREAMED[kinds & 15], first_channel, count, levels, calibration, first_frame)

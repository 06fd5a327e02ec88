"""The bytes of a packet: a header of 11 bytes, for a key packet a description, the payload, and a CRC-32 or a tag.

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
from spikey.stream.authentication import Authenticator

MARK = 0xB0  # upper half of the first byte; flags in the lower
TAGGED = {0xC0: 4, 0xD0: 8, 0xE0: 16}  # the same of packets that end with a tag of so many bytes
MARKS = (MARK, *TAGGED)
TAG_MARKS = {size: mark for mark, size in TAGGED.items()}
KEY, RAW, PARITY, LAST = 1, 2, 4, 8
HEAD = struct.Struct("<BIBIB")  # mark and flags, stream, group, number, frames
CHECK = struct.Struct("<I")
OVERHEAD = HEAD.size + CHECK.size
MOST_CHANNELS = 4096  # of a group
MOST_FRAMES = 255
NUMBERS = 0xFFFFFFFF  # packets are numbered modulo 2^32
STREAMED = {list(DTYPES).index(name): name for name in ("int8", "uint8", "int16", "uint16")}  # types of samples


@dataclass(frozen=True)
class Description:
    """The description of a group in a key packet.

    channels: of the whole stream. rate in Hz. dtype: of the samples. first_channel, count: the group's.
    calibration: its id, or empty. first_frame: of this packet, since the stream began. wraps: how often the group's
    numbers wrapped around before, in packets with a tag.
    """

    channels: int
    rate: float
    dtype: str
    first_channel: int
    count: int
    levels: Levels
    calibration: bytes
    first_frame: int
    wraps: int = 0

    def write(self, tagged: bool = False) -> bytes:
        """As bytes; tagged: of a packet that ends with a tag."""
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
                varint(self.wraps) if tagged else b"",
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
    flags: int,
    stream: int,
    group: int,
    number: int,
    frames: int,
    body: bytes,
    description: bytes = b"",
    *,
    authenticator: Authenticator | None = None,
) -> bytes:
    """The bytes of a packet; `description` for key and raw packets. number: whole. authenticator: makes its tag."""
    mark = MARK if authenticator is None else TAG_MARKS[authenticator.size]
    data = HEAD.pack(mark | flags, stream, group, number & NUMBERS, frames) + description + body
    if authenticator is None:
        return data + CHECK.pack(zlib.crc32(data))
    return data + authenticator.tag(number & NUMBERS if flags & PARITY else number, data)


def tag_size(packet: bytes | memoryview) -> int:
    """Bytes of the tag that a packet ends with, by its first byte; 0 where it has none."""
    return TAGGED.get(packet[0] & 0xF0, 0) if len(packet) else 0


def read_packet(data: bytes | memoryview) -> Packet:
    """Take a packet apart; DataError for anything that is not one, or not whole. A tag is not verified here."""
    view, size = memoryview(data), tag_size(data)
    if len(data) < HEAD.size + (size or CHECK.size):
        raise DataError(f"a packet of {len(data)} bytes is too short")
    if not size and CHECK.unpack_from(view, len(view) - CHECK.size)[0] != zlib.crc32(view[: -CHECK.size]):
        raise DataError("a packet fails its checksum")
    mark, stream, group, number, frames = HEAD.unpack_from(view)
    if mark & 0xF0 not in MARKS:
        raise DataError("a packet is of another kind")
    flags, content = mark & 15, view[HEAD.size : -(size or CHECK.size)]
    if not flags & (KEY | RAW) or flags & PARITY:
        return Packet(flags, stream, group, number, frames, None, content.tobytes())
    cursor = Cursor(content, "a packet")
    return Packet(flags, stream, group, number, frames, _read_description(cursor, size > 0), cursor.rest())


def _read_description(cursor: Cursor, tagged: bool) -> Description:
    kinds = cursor.byte()
    channels = cursor.varint(1 << 24)
    (rate,) = struct.unpack("<d", cursor.take(8))
    first_channel, count, first_frame = cursor.varint(1 << 24), cursor.varint(MOST_CHANNELS), cursor.varint()
    levels = read_integer_levels(kinds >> 4 & 7, cursor)
    calibration = cursor.take(4) if kinds >> 7 else b""
    wraps = cursor.varint(NUMBERS) if tagged else 0
    if kinds & 15 not in STREAMED or not 0 < count <= channels - first_channel or not 0 <= rate < float("inf"):
        raise DataError("a packet describes an impossible stream")
    dtype = STREAMED[kinds & 15]
    return Description(channels, rate, dtype, first_channel, count, levels, calibration, first_frame, wraps)

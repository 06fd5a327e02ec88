"""The bytes of a telemetry packet: at most 8 beyond its payload; key packets also describe the stream.

u8   0x90 + flags: 1 key, 2 last, 4 some of its crossings were dropped; 0x98, 0xA0 or 0xA8 + flags: it ends with a tag
u16  number, modulo 2^16
     length of the rest without the check, varint
     in a key packet, the description, after its length, varint
     payload
u24  CRC-32 of everything before it, without its highest byte; or a tag of 4, 8 or 16 bytes
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from spikey.base.errors import DataError, UsageError
from spikey.base.wire import Cursor, varint
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import read_integer_levels
from spikey.recording.layout import DTYPES
from spikey.stream.authentication import Authenticator
from spikey.stream.packet import STREAMED
from spikey.telemetry.settings import (
    CHECK_BYTES,
    KEY_S,
    PACKET_MS,
    POLARITIES,
    Settings,
    Shape,
    shape_of,
    slot_frames,
)

MAGIC = b"SPKT"  # of a file
MARK = 0x90
TAGGED = {0x98: 4, 0xA0: 8, 0xA8: 16}  # marks of packets that end with a tag of so many bytes
TAG_MARKS = {0: MARK} | {size: mark for mark, size in TAGGED.items()}
MARKS = (0x90, 0xA0)  # upper halves of the first byte
KEY, LAST, DROPPED = 1, 2, 4
NUMBERS = 1 << 16
VERSION = 1
MOST_BYTES = 1 << 20  # of a packet
SHORTEST = 4 + CHECK_BYTES  # bytes of a packet
MOST_NOISE = 160
LATEST = 1 << 50  # frame at which a packet may begin


@dataclass(frozen=True)
class Description:
    """The description of the stream in a key packet: all that a receiver needs to begin, and what was left out so far.

    stream: random number of the stream. dtype, levels: of the samples. packet: whole number of this packet, without
    modulo. dropped: crossings, waveforms, values of power and blocks of the LFP band that were left out before this
    packet. noise: of the array at the start of the stream, in the units of a profile.
    """

    stream: int
    channels: int
    rate: float
    dtype: str
    levels: Levels
    settings: Settings
    packet: int
    dropped: tuple[int, int, int, int]
    noise: int = 49

    @property
    def shape(self) -> Shape:
        """In frames and counts."""
        return shape_of(self.settings, self.channels, self.rate)

    @property
    def middle(self) -> int:
        """The alphabet's middle code."""
        return self.levels.alphabet // 2

    def write(self) -> bytes:
        """As bytes."""
        shape, settings = self.shape, self.settings
        unusual = [(at, _value(settings, name)) for at, name in enumerate(NUMBERED)]
        unusual = [(at, value) for at, value in unusual if value != _value(Settings(), NUMBERED[at])]
        return b"".join(
            [
                bytes([VERSION]),
                struct.pack("<Iff", self.stream, self.rate, settings.budget),
                bytes([list(DTYPES).index(self.dtype) | self.levels.number << 4]),
                varint(self.channels),
                varint(self.packet),
                varint(shape.slots),
                varint(shape.epoch),
                varint(sum(1 << at for at, _ in unusual)),
                b"".join(struct.pack("<f", value) for _, value in unusual),
                b"".join(map(varint, self.dropped)),
                varint(self.noise),
                self.levels.write(),
            ]
        )


# Settings that a key packet contains if they differ from the default, each as a number, by its bit.
NUMBERED = (
    "threshold", "refractory_ms", "band_low", "band_high", "resolution_ms", "power_ms", "power_high", "low_high",
    "polarity", "waveforms", "match", "neighbours", "column",
)  # fmt: skip


def _value(settings: Settings, name: str) -> float:
    if name.startswith("band_"):
        return settings.band[name == "band_high"]
    value = getattr(settings, name)
    return float(POLARITIES.index(value) if name == "polarity" else value)


class Packet(NamedTuple):
    """A parsed packet."""

    flags: int
    number: int
    description: Description | None
    payload: bytes


def described(wanted: Description) -> Description:
    """A description as a receiver reads it, so that both ends compute with the same numbers."""
    return _read_description(Cursor(wanted.write(), "a telemetry key"), wanted.settings.tag_bytes)


def head_bytes(payload: int, tag_bytes: int = 0) -> int:
    """Bytes of a packet beyond a payload of so many bytes, which includes the description."""
    return 3 + len(varint(payload)) + (tag_bytes or CHECK_BYTES)


def write_packet(
    flags: int, number: int, payload: bytes, description: bytes = b"", authenticator: Authenticator | None = None
) -> bytes:
    """The bytes of a packet; number: whole, without modulo. authenticator: makes its tag."""
    rest = (varint(len(description)) + description if flags & KEY else b"") + payload
    mark = TAG_MARKS[0 if authenticator is None else authenticator.size]
    data = struct.pack("<BH", mark | flags, number % NUMBERS) + varint(len(rest)) + rest
    if authenticator is not None:
        return data + authenticator.tag(number, data)
    return data + zlib.crc32(data).to_bytes(4, "little")[:CHECK_BYTES]


def tag_size(packet: bytes | memoryview) -> int:
    """Size of a packet's tag in bytes, by its first byte; 0 without a tag."""
    return TAGGED.get(packet[0] & 0xF8, 0) if len(packet) else 0


def packet_length(data: bytes | memoryview) -> int:
    """Length in bytes of the packet that begins here, from its first 6 bytes; DataError if none begins."""
    cursor = Cursor(data[:6], "a packet")
    mark = cursor.byte() & 0xF8
    if mark != MARK and mark not in TAGGED:
        raise DataError("no telemetry packet begins here")
    cursor.take(2)
    length = cursor.varint(MOST_BYTES)
    return cursor.at + length + TAGGED.get(mark, CHECK_BYTES)


def read_packet(data: bytes | memoryview) -> Packet:
    """Parse a packet; DataError for anything that is not a complete, intact packet. A tag is not verified here."""
    view, size = memoryview(data), tag_size(data)
    if packet_length(view) != len(view):
        raise DataError("a telemetry packet's length differs from that in its header")
    check = zlib.crc32(view[:-CHECK_BYTES]).to_bytes(4, "little")[:CHECK_BYTES]
    if not size and check != view[-CHECK_BYTES:]:
        raise DataError("a telemetry packet fails its checksum")
    cursor = Cursor(view[: -(size or CHECK_BYTES)], "a telemetry packet")
    flags = cursor.byte() & 7
    (number,) = struct.unpack("<H", cursor.take(2))
    cursor.varint()
    description = None
    if flags & KEY:
        description = _read_description(Cursor(cursor.take(cursor.varint(1 << 16)), "a telemetry key"), size)
        if description.packet % NUMBERS != number:
            raise DataError("a telemetry key packet has two different numbers")
    return Packet(flags, number, description, cursor.rest())


def _within(ends: tuple[float, float], value: float) -> float:
    """A value clipped to its range: rounding to whole slots or packets may have moved it beyond the end."""
    return min(max(value, ends[0]), ends[1])


def _whole(value: float) -> int:
    """An integer that a key packet contains as a float; UsageError for others."""
    if value != int(value):
        raise UsageError(f"{value:g} is not a whole number")
    return int(value)


def _read_description(cursor: Cursor, tag_bytes: int) -> Description:
    version = cursor.byte()
    if version != VERSION:
        raise DataError(f"a telemetry stream is of version {version}, which this version cannot read")
    stream, rate, budget = struct.unpack("<Iff", cursor.take(12))
    kinds = cursor.byte()
    channels, packet = cursor.varint(1 << 16), cursor.varint(1 << 48)
    slots, epoch = cursor.varint(1 << 20), cursor.varint(1 << 32)
    mask = cursor.varint((1 << len(NUMBERED)) - 1)
    values = {name: _value(Settings(), name) for name in NUMBERED}
    for at, name in enumerate(NUMBERED):
        if mask >> at & 1:
            (values[name],) = struct.unpack("<f", cursor.take(4))
    dropped = (cursor.varint(), cursor.varint(), cursor.varint(), cursor.varint())
    noise = cursor.varint(MOST_NOISE)
    possible = kinds >> 4 in (N1Levels.number, Affine.number) and values["polarity"] in (0, 1, 2)
    if kinds & 15 not in STREAMED or not possible:
        raise DataError("a telemetry key packet describes an impossible stream")
    levels = read_integer_levels(kinds >> 4, cursor)
    try:
        neighbours, column = (_whole(values.pop(name)) for name in ("neighbours", "column"))
        slot = slot_frames(rate)
        settings = Settings(
            budget=budget,
            polarity=POLARITIES[int(values.pop("polarity"))],
            waveforms=bool(values.pop("waveforms")),
            band=(values.pop("band_low"), values.pop("band_high")),
            packet_ms=_within(PACKET_MS, slots * slot / rate * 1000),
            key_s=_within(KEY_S, epoch * slots * slot / rate),
            tag_bytes=tag_bytes,
            neighbours=neighbours,
            column=column,
            **values,
        )
        if packet * shape_of(settings, channels, rate).frames > LATEST:
            raise UsageError("it has lasted too long")
    except (UsageError, OverflowError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"a telemetry key packet describes an impossible stream: {error}") from None
    return Description(stream, channels, rate, STREAMED[kinds & 15], levels, settings, packet, dropped, noise)

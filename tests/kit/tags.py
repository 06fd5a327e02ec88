"""Tags of authenticated packets by the documents alone (docs/stream.md, docs/telemetry.md); nothing of the package."""

from __future__ import annotations

from hashlib import blake2s

STREAM_TAGS = {0xC: 4, 0xD: 8, 0xE: 16}  # bytes of the tag, by the upper half of a packet's first byte
TELEMETRY_TAGS = {0x98: 4, 0xA0: 8, 0xA8: 16}  # by the first byte without its flags


def tag(key: bytes, protocol: bytes, stream: int, direction: int, number: int, size: int, data: bytes) -> bytes:
    """The tag of a packet without it."""
    own = blake2s(stream.to_bytes(4, "little") + bytes([direction]), key=key, person=protocol).digest()
    return blake2s(number.to_bytes(8, "little") + data, key=own, digest_size=size, person=protocol).digest()


def is_of_stream(packet: bytes, key: bytes, turns: int = 0) -> bool:
    """Whether a packet of a stream has its tag; turns: how often the numbers of its group began anew."""
    size, stream = STREAM_TAGS[packet[0] >> 4], int.from_bytes(packet[1:5], "little")
    number = int.from_bytes(packet[6:10], "little") + (turns << 32)
    return packet[-size:] == tag(key, b"spkstrm", stream, 0, number, size, packet[:-size])


def is_of_telemetry(packet: bytes, key: bytes, stream: int, number: int) -> bool:
    """Whether packet `number` of a telemetry stream has its tag."""
    size = TELEMETRY_TAGS[packet[0] & 0xF8]
    same = int.from_bytes(packet[1:3], "little") == number % 65536
    return same and packet[-size:] == tag(key, b"spktlm", stream, 0, number, size, packet[:-size])

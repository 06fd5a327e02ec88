"""Authenticated streams, telemetry and requests: whatever is changed in them, only packets that were sent count."""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
from fuzzing import seeds

from spikey.base.errors import DataError
from spikey.stream.authentication import REQUESTS, STREAM, Authenticator

KEY = bytes(range(32))
SIZES = {7: 8, 8: 16}  # of tags, by stream


@cache
def _sent() -> dict[int, list[bytes]]:
    """Packets of two streams."""
    return {number: seeds.stream_of(stream=number, parity=1, key=KEY, tag_bytes=size) for number, size in SIZES.items()}


def streams() -> list[bytes]:
    """Packets of streams, a length before each; of both, and some lost."""
    one, two = _sent().values()
    mixed = [packet for pair in zip(one, two, strict=False) for packet in pair]
    return [seeds.frame(each) for each in (one, two, mixed, [p for at, p in enumerate(one) if at % 9])]


def run_stream(data: bytes, checked: bool) -> None:
    """What is taken was sent, and what is delivered is what was encoded."""
    from spikey.stream.decoder import Decoder
    from spikey.stream.segments import Segment

    decoder, honest = Decoder(key=KEY), {packet for packets in _sent().values() for packet in packets}
    samples = seeds.stream_signal()
    for packet in framed(data):
        items = decoder.push(packet) if decoder.stream is None else []
        if decoder.stream is not None and decoder.admit(packet):
            if packet not in honest:
                raise AssertionError("a packet that nobody sent is taken for one with a valid tag")
            items += decoder.push(packet)
        for item in items:
            if isinstance(item, Segment):
                rows = slice(item.first_frame, item.first_frame + len(item.samples))
                columns = slice(item.first_channel, item.first_channel + item.samples.shape[1])
                if not np.array_equal(samples[rows, columns], item.samples):
                    raise AssertionError("other samples are delivered than were sent")
    decoder.finish()
    if decoder.counts.taken == 0:
        raise DataError("nothing was taken")


@cache
def _telemetry() -> tuple[bytes, ...]:
    from spikey.telemetry.encoder import TelemetryEncoder
    from spikey.telemetry.settings import Settings

    samples = np.repeat(seeds.signal(6000), 2, axis=1)
    settings = Settings(budget=40_000.0, tag_bytes=8)
    encoder = TelemetryEncoder(4, 20_000, settings=settings, stream=7, key=KEY)
    return tuple(encoder.push(samples) + encoder.close())


def telemetries() -> list[bytes]:
    """Telemetry files: whole, and without some packets."""
    from spikey.telemetry.packet import MAGIC

    packets = _telemetry()
    return [MAGIC + b"".join(packets), MAGIC + b"".join(packet for at, packet in enumerate(packets) if at % 5 != 2)]


def run_telemetry(data: bytes, checked: bool) -> None:
    """What is read of a file was written."""
    from spikey.telemetry.file import packets_in
    from spikey.telemetry.record import collect

    packets = list(packets_in(data, "the input", key=KEY))
    if not set(packets) <= set(_telemetry()):
        raise AssertionError("a packet that nobody wrote is taken for one with a valid tag")
    collect(packets, "the input", KEY)


def _asking() -> Authenticator:
    return Authenticator(KEY, STREAM, 7, 8, REQUESTS)


@cache
def _requests() -> tuple[bytes, ...]:
    from spikey.stream.authentic_requests import Asker

    asker = Asker(7, _asking())
    return asker.write([(0, 1), (2, 3)]), asker.write([])


def requests() -> list[bytes]:
    """Requests for packets."""
    return list(_requests())


def run_request(data: bytes, checked: bool) -> None:
    """A request that is answered was made."""
    from spikey.stream.authentic_requests import read_authentic_request

    read_authentic_request(data, 7, _asking())
    if data not in _requests():
        raise AssertionError("a request that nobody made is taken for one with a valid tag")


def keys() -> list[bytes]:
    """Files with keys."""
    return [KEY.hex().encode() + b"\n", KEY[:16].hex().encode()]


def run_key(data: bytes, checked: bool) -> None:
    """A file with a key, or not."""
    from spikey.stream.key_file import read_key

    path = seeds.scratch() / "fuzz.key"
    path.write_bytes(data)
    path.chmod(0o600)
    if not 16 <= len(read_key(path)) <= 32:
        raise AssertionError("a key of a wrong length is taken")


def framed(data: bytes) -> list[bytes]:
    """Packets from bytes: two bytes of length before each."""
    packets, at = [], 0
    while at + 2 <= len(data) and len(packets) < 500:
        size = struct.unpack_from("<H", data, at)[0]
        packets.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return packets

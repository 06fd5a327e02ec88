"""Telemetry files: four bytes that say what it is, then the packets of a stream, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spikey.errors import DataError
from spikey.telemetry.packet import MAGIC, SHORTEST, packet_length, read_packet
from spikey.telemetry.record import Telemetry, collect


def packets_in(data: bytes, what: str) -> Iterator[bytes]:
    """The packets of a file's bytes; what is damaged is passed over. DataError where it is no telemetry file."""
    if data[: len(MAGIC)] != MAGIC:
        raise DataError(f"{what}: is no telemetry file")
    view, at = memoryview(data), len(MAGIC)
    while at <= len(view) - SHORTEST:
        try:
            end = at + packet_length(view[at : at + SHORTEST])
            read_packet(view[at:end])
        except DataError:
            at += 1  # until a whole packet begins
            continue
        yield bytes(view[at:end])
        at = end


def read_telemetry(path: str | Path) -> Telemetry:
    """Decode a telemetry file; DataError where it is none, or holds no key.

    What is damaged or missing is in `missing` and `counts`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return collect(packets_in(data, str(path)), str(path))

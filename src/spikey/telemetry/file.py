"""Telemetry files: a magic of four bytes, then the packets of a stream, one after the other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from spikey.base.errors import DataError, SpikeyError
from spikey.recording.opened import read_at
from spikey.recording.source import open_file
from spikey.telemetry.packet import MAGIC, SHORTEST, packet_length, read_packet
from spikey.telemetry.record import Telemetry, collect
from spikey.telemetry.verifier import FileVerifier, refuse_unreadable

MARKS = re.compile(b"[\x90-\xaf]")  # that a packet may begin with
MOST_SUMMED = 1 << 33  # bytes that are summed in vain while a whole packet is looked for


def is_telemetry(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a telemetry file, by its beginning; False if it cannot be read."""
    try:
        file, name, size = open_file(path)
        with file:
            return size >= len(MAGIC) and read_at(file, name, 0, len(MAGIC)) == MAGIC
    except SpikeyError:
        return False


def packets_in(data: bytes, what: str, key: bytes | None = None) -> Iterator[bytes]:
    """The packets of a file's bytes; what is damaged is passed over. DataError where it is not a telemetry file.

    key: with which the packets' tags are verified; UsageError where they have tags and there is none, or the reverse.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise DataError(f"{what}: is not a telemetry file")
    view, at, summed = memoryview(data), len(MAGIC), 0
    refuse_unreadable(data[at : at + 1], key, what)
    verifier = FileVerifier(key)
    while at <= len(view) - SHORTEST and summed < MOST_SUMMED:
        end = at
        try:
            end += packet_length(view[at : at + SHORTEST])
            verifier.check(read_packet(view[at:end]), view[at:end])
        except DataError:
            summed += min(end, len(view)) - at
            found = MARKS.search(data, at + 1)  # until a whole packet begins
            at = found.start() if found else len(view)
            continue
        yield bytes(view[at:end])
        at = end


def read_file(path: str | os.PathLike[str]) -> tuple[bytes, str]:
    """The bytes of a telemetry file, or of one at an address, and its name; DataError where it is none."""
    file, name, size = open_file(path)
    with file:
        if size < len(MAGIC) or read_at(file, name, 0, len(MAGIC)) != MAGIC:
            raise DataError(f"{name}: is not a telemetry file")
        return bytes(read_at(file, name, 0, size)), name


def read_telemetry(path: str | os.PathLike[str], key: bytes | None = None) -> Telemetry:
    """Decode a telemetry file, or one at an address; DataError where it is none, or contains no key.

    What is damaged or missing is in `missing` and `counts`. key: of an authenticated file.
    """
    data, name = read_file(path)
    return collect(packets_in(data, name, key), name, key)

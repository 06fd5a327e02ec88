"""Open Ephys' first format: `.continuous` files of one channel, 1,024 bytes of text, then records.

A record has a timestamp, a number of samples, the number of the recording, samples in big-endian order, and a marker.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path

from spikey.base.errors import DataError
from spikey.vendors.bounded import Bounded, decoded, integer, rate_of
from spikey.vendors.parsed import EMPTY, Parsed
from spikey.vendors.simultaneous import Records
from spikey.vendors.simultaneous import parse as parse_channels

READER = "openephyslegacy"
HEADER_BYTES = 1024
FIELDS = ((8, True), (2, True), (2, False))  # timestamp, samples, recording
FIRST_FIELDS = FIELDS[:2]  # in version 0.1
MARKER = bytes((0, 1, 2, 3, 4, 5, 6, 7, 8, 255))
# Processor, perhaps a stream, channel, perhaps the number of the experiment.
NAME = re.compile(r"(?:(?P<processor>[0-9]+)_)?(?:.*_)?[A-Za-z]+[0-9]+(?:_(?P<experiment>[0-9]+))?")


def parse(members: Sequence[Path]) -> Parsed:
    """The `.continuous` files; those of one processor that were recorded at the same times are one recording."""
    paths = [p for p in members if p.suffix.lower() == ".continuous"]
    return parse_channels(READER, paths, describe, _processor, big_endian=True)


def _processor(path: Path) -> Hashable:
    match = NAME.fullmatch(path.stem)
    return (path.parent, *match.groups()) if match else path


def describe(path: Path) -> Records:
    """The records of one file."""
    with Bounded(path) as file:
        if not file.size:
            raise DataError(EMPTY)
        text = decoded(file.at(0, HEADER_BYTES))
        head = integer(_value(text, "header_bytes") or HEADER_BYTES, "header_bytes in its header")
        frames = integer(_value(text, "blockLength") or HEADER_BYTES, "blockLength in its header")
        rate = rate_of(_value(text, "sampleRate"), "sampleRate in its header")
        if file.size < head + 10:
            raise DataError(EMPTY)
        (listed,) = file.unpack("<H", head + 8)
        likely = [Records(rate, head, f, n, len(MARKER)) for f in (FIELDS, FIRST_FIELDS) for n in (frames, listed)]
        marked = (records for records in likely if _marked(file, records))
        if (found := next(marked, None)) is None:
            if file.size >= head + likely[0].size:
                raise DataError("contains no record of an Open Ephys file after its header")
            found = likely[0]  # which is cut
        return found


def _marked(file: Bounded, records: Records) -> bool:
    end = records.head + records.before + 2 * records.frames
    return end + len(MARKER) <= file.size and file.at(end, len(MARKER)) == MARKER


def _value(text: str, key: str) -> str | None:
    found = re.search(rf"header\.{key}\s*=\s*'?([^;'\n]{{1,29}}?)'?\s*;", text)
    return found[1] if found else None

"""Neuralynx' `.ncs`: 16 KiB of text, then records of 512 samples with timestamp, channel, rate and valid samples."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from pathlib import Path

from spikey.base.errors import DataError
from spikey.vendors.bounded import Bounded, decoded
from spikey.vendors.parsed import EMPTY, Parsed
from spikey.vendors.simultaneous import Records
from spikey.vendors.simultaneous import parse as parse_channels

READER = "neuralynx"
HEADER_BYTES = 1 << 14
FRAMES = 512  # of a record
FIELDS = ((8, True), (4, False), (4, True), (4, True))  # timestamp, channel, rate, valid samples
FASTEST = 1e7  # Hz
NEITHER = "contains neither the header nor the records of a Neuralynx file"


def parse(members: Sequence[Path]) -> Parsed:
    """The `.ncs` files; those of one folder that were recorded at the same times are one recording."""
    return parse_channels(READER, [p for p in members if p.suffix.lower() == ".ncs"], describe, _folder)


def _folder(path: Path) -> Hashable:
    return path.parent


def describe(path: Path) -> Records:
    """The records of one file."""
    with Bounded(path) as file:
        if not file.size:
            raise DataError(EMPTY)
        first = file.first(HEADER_BYTES)
        text = decoded(first)
        head = HEADER_BYTES if text.startswith("####") or "-SamplingFrequency" in text else 0
        if head and file.size <= head:
            raise DataError(EMPTY)
        stated = re.search(r"-SamplingFrequency[ \t]+([0-9.eE+-]{1,30})", text) if head else None
        rate = _number(stated[1]) if stated else 0.0
        if not rate:
            if file.size < head + 20:
                raise DataError(EMPTY if head else NEITHER)
            _, _, rate, valid = file.unpack("<QIII", head)
            if not head and not (0 < rate < FASTEST and valid <= FRAMES):
                raise DataError(NEITHER)
        return Records(float(rate), head, FIELDS, FRAMES)


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 0 < found < FASTEST else 0.0

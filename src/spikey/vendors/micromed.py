"""Micromed's `.TRC`: a header with areas for annotations, then interleaved samples, unsigned, of one or two bytes."""

from __future__ import annotations

import struct
from pathlib import Path

from spikey.base.errors import DataError
from spikey.recording.sample_map import Channel, Mapped, MappedFile
from spikey.vendors.bounded import Bounded
from spikey.vendors.parsed import flat_runs, layout_of, mapped
from spikey.vendors.units import scaled

READER = "micromed"
FIELDS_AT, VERSION_AT, ORDER_AT, LABELS_AT = 138, 175, 184, 200
VERSIONS = (2, 3, 4)
UNITS = {-1: "nV", 0: "uV", 1: "mV", 2: "V"}
TYPES = {1: "uint8", 2: "uint16", 4: "uint32"}
LABEL_BYTES, FACTOR_AT = 128, 44  # of a channel's label, and where in it the factor of its rate is


def parse_trc(path: Path) -> Mapped:
    """The recording of a `.TRC`."""
    with Bounded(path) as file:
        head, channels, _, slowest, itemsize = file.unpack("<IHHHH", FIELDS_AT)
        (version,) = file.unpack("<B", VERSION_AT)
        if version not in VERSIONS:
            raise DataError("is not a Micromed file of the types 2 to 4")
        if itemsize not in TYPES:
            raise DataError(f"contains samples of {itemsize} bytes, which are not supported")
        if head < VERSION_AT:
            raise DataError("contains samples within its header")
        layout = layout_of(channels, float(slowest * _factor(file)), TYPES[itemsize])
        runs, notes = flat_runs(file.size, layout, head=head)
        found = _channels(file, channels)
    return mapped(READER, layout, [MappedFile(path, runs)], notes=notes, channels=found)


def _channels(file: Bounded, count: int) -> list[Channel]:
    """Name and scale of each channel; none where the header does not contain them all."""
    (order,) = file.unpack("<I", ORDER_AT)
    (labels,) = file.unpack("<I", LABELS_AT)
    try:
        numbers = file.unpack(f"<{count}H", order)
        entries = [file.at(labels + number * LABEL_BYTES, LABEL_BYTES) for number in numbers]
    except DataError:
        return []
    return list(map(_channel, entries))


def _channel(entry: bytes) -> Channel:
    name = entry[2:8].split(b"\0")[0].decode("latin-1").strip()
    low, high, ground, least, most, unit = struct.unpack_from("<iiiiih", entry, 14)
    gain = (most - least) / (high - low + 1) if high - low + 1 else 0.0
    return scaled(name, gain, -ground * gain, UNITS.get(unit, ""))


def _factor(file: Bounded) -> int:
    """How many times the slowest rate the first channel's is; 1 where the header does not contain it."""
    (order,) = file.unpack("<I", ORDER_AT)
    (labels,) = file.unpack("<I", LABELS_AT)
    try:
        (first,) = file.unpack("<H", order)
        (factor,) = file.unpack("<H", labels + first * LABEL_BYTES + FACTOR_AT)
    except DataError:  # the areas are beyond the file's end
        return 1
    return int(factor) or 1

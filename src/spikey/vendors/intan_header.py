"""The header of Intan's `.rhd` and `.rhs`, which is the same for all their ways to store samples.

Formats: "Intan RHD data file formats" and "Intan RHS data file formats" of Intan Technologies.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

from spikey.base.errors import DataError
from spikey.vendors.bounded import Bounded, rate_of

RHD, RHS = 0xC6912702, 0xD69127AC
MOST_BYTES = 1 << 22  # of a header; 2,048 channels take some 200 kB
AMPLIFIER, AUXILIARY, SUPPLY = "amplifier", "auxiliary", "supply"
IN, OUT, DIGITAL_IN, DIGITAL_OUT = "analogin", "analogout", "digitalin", "digitalout"
KINDS = {  # by the numbers of types of signals
    RHD: {0: AMPLIFIER, 1: AUXILIARY, 2: SUPPLY, 3: IN, 4: DIGITAL_IN, 5: DIGITAL_OUT},
    RHS: {0: AMPLIFIER, 3: IN, 4: OUT, 5: DIGITAL_IN, 6: DIGITAL_OUT},
}


@dataclass(frozen=True)
class Header:
    """What the header specifies. channels: enabled ones by kind; block: frames of a block of data; size: its bytes."""

    stim: bool
    rate: float
    block: int
    channels: dict[str, int]
    temperatures: int
    dc: bool
    size: int


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def take(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize("<" + form)
        if self.at + size > len(self._data):
            raise DataError("ends within its header")
        self.at += size
        return struct.unpack_from("<" + form, self._data, self.at - size)

    def skip_text(self) -> None:
        (size,) = self.take("I")
        if size != 0xFFFFFFFF:
            self.at += size


def read_header(file: Bounded) -> Header:
    """Parse the header at the beginning of a file."""
    cursor = _Cursor(file.first(MOST_BYTES))
    magic, major, minor = cursor.take("Ihh")
    if magic not in (RHD, RHS):
        raise DataError("does not begin with the mark of an Intan file")
    stim, version = magic == RHS, (major, minor)
    (rate,) = cursor.take("f")
    temperatures = dc = 0
    cursor.take("h8fhffhhfff" if stim else "h6fhff")  # filters, impedance test, stimulation
    for _ in range(3):  # notes
        cursor.skip_text()
    if stim:
        dc, _ = cursor.take("hh")
        cursor.skip_text()  # the reference channel
    else:
        if version >= (1, 1):
            (temperatures,) = cursor.take("h")
        if version >= (1, 3):
            cursor.take("h")  # the board's mode
        if version >= (2, 0):
            cursor.skip_text()
    channels = _channels(cursor, magic)
    block = 128 if stim or version >= (2, 0) else 60
    rate = rate_of(rate, "the sampling rate in its header")
    return Header(stim, rate, block, channels, max(temperatures, 0), bool(dc), cursor.at)


def _channels(cursor: _Cursor, magic: int) -> dict[str, int]:
    """Enabled channels of each kind."""
    kinds = KINDS[magic]
    found: Counter[str] = Counter()
    (groups,) = cursor.take("h")
    for _ in range(groups):
        cursor.skip_text()
        cursor.skip_text()
        enabled, count, _ = cursor.take("hhh")
        for _ in range(count if enabled else 0):
            cursor.skip_text()
            cursor.skip_text()
            fields = cursor.take("hhhhhhhhhhhff" if magic == RHS else "hhhhhhhhhhff")
            if fields[3]:
                if fields[2] not in kinds:
                    raise DataError(f"lists a signal of the unknown type {fields[2]} in its header")
                found[kinds[fields[2]]] += 1
    return dict(found)

"""The contents of a telemetry file and whether it is whole, for a person or a program."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from spikey.telemetry.file import packets_in, read_file
from spikey.telemetry.packet import LAST, MAGIC, NUMBERS, read_packet
from spikey.telemetry.record import Telemetry, collect

NOTE = "lossy telemetry: features of a recording, not the recording"


@dataclass(frozen=True)
class Census:
    """The packets of a file by their checksums.

    size: bytes of the file. packets: that are whole. missing: packets that are not there between these or before them.
    damaged: bytes that belong to no whole packet. ended: whether the stream's last packet is there.
    """

    size: int
    packets: int
    missing: int
    damaged: int
    ended: bool

    @property
    def whole(self) -> bool:
        """Whether nothing is missing or damaged."""
        return self.ended and not self.missing and not self.damaged

    def words(self) -> str:
        """The state of the file, for a person.

        >>> Census(900, 12, 1, 0, True).words()
        '12 packets are whole; 1 is missing'
        """
        parts = [f"{_counted(self.packets, 'packet')} whole"]
        if self.missing:
            parts.append(f"{self.missing:,} {_are(self.missing)} missing")
        if self.damaged:
            parts.append(f"{_counted(self.damaged, 'byte')} damaged")
        if not self.ended:
            parts.append("its end is missing")
        return "; ".join(parts)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)} {_are(count)}"


def census(data: bytes, what: str, key: bytes | None = None) -> tuple[Census, list[bytes]]:
    """Check every packet of a file's bytes; also the whole packets. DataError where it is not a telemetry file."""
    packets = list(packets_in(data, what, key))
    expected = missing = 0
    ended = False
    for packet in packets:
        flags, number, description, _ = read_packet(packet)
        number = expected + (number - expected + NUMBERS // 2) % NUMBERS - NUMBERS // 2
        if description is not None:
            number = description.packet  # in full
        missing += max(number - expected, 0)
        expected = max(number + 1, expected)
        ended = ended or bool(flags & LAST)
    damaged = len(data) - len(MAGIC) - sum(map(len, packets))
    return Census(len(data), len(packets), missing, damaged, ended), packets


def check(path: str | os.PathLike[str]) -> Census:
    """Check every packet of a telemetry file; DataError where it is none."""
    return census(*read_file(path))[0]


def inspect(path: str | os.PathLike[str], key: bytes | None = None) -> tuple[Telemetry, Census]:
    """Decode a telemetry file, and check whether it is whole; DataError where it is none, or contains no key."""
    data, name = read_file(path)
    counted, packets = census(data, name, key)
    return collect(packets, name, key), counted


def facts(name: str, telemetry: Telemetry, counted: Census) -> dict[str, Any]:
    """The contents of a file, by name; numbers, texts, lists and dictionaries only, so that JSON can hold them."""
    description = telemetry.description
    seconds = telemetry.frames / telemetry.rate
    events, waveforms, power, low = telemetry.dropped
    return {
        "file": name,
        "holds": NOTE,
        "lossless": False,
        "compressed_bytes": counted.size,
        "channels": telemetry.channels,
        "rate": telemetry.rate,
        "frames": telemetry.frames,
        "seconds": round(seconds, 6),
        "dtype": description.dtype,
        "levels": description.levels.words(),
        "bits_per_second": round(8 * counted.size / seconds, 1) if seconds else None,
        "settings": settings_of(telemetry),
        "packets": {
            "whole": counted.packets,
            "missing": counted.missing,
            "damaged_bytes": counted.damaged,
            "ended": counted.ended,
        },
        "events": len(telemetry.event_frames),
        "waveforms": len(telemetry.waveforms),
        "left_out": {"events": events, "waveforms": waveforms, "power": power, "low_blocks": low},
        "missing_frames": sum(end - first for first, end in telemetry.missing),
        "missing_spans": [list(span) for span in telemetry.missing],
    }


def settings_of(telemetry: Telemetry) -> dict[str, Any]:
    """The stream's settings, by name; numbers as they were before they were rounded to 32 bits."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(each) for each in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return {name: plain(value) for name, value in asdict(telemetry.description.settings).items()}

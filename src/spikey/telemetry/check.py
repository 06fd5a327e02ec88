"""The contents of a telemetry file and whether it is intact, as text or JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from spikey.recording.opened import open_file
from spikey.telemetry.file import Progress, packets_in
from spikey.telemetry.packet import LAST, MAGIC, NUMBERS, Description, read_packet
from spikey.telemetry.pieces import parts
from spikey.telemetry.record import SECONDS, refuse_false_length
from spikey.telemetry.survey import Survey, survey

NOTE = "lossy telemetry: features of a recording, not the recording"


@dataclass(frozen=True)
class Census:
    """The packets of a file by their checksums.

    size: bytes of the file. packets: number of intact packets. missing: packets missing between or before these.
    damaged: bytes that belong to no intact packet. ended: whether the stream's last packet is there.
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
        """The state of the file as text.

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


class Tally:
    """Counts the packets of a file as they pass."""

    def __init__(self) -> None:
        self._packets = self._bytes = self._expected = self._missing = 0
        self._ended = False

    def passing(self, packets: Iterable[bytes]) -> Iterator[bytes]:
        """The packets, each counted."""
        for packet in packets:
            self.add(packet)
            yield packet

    def add(self, packet: bytes) -> None:
        """Count an intact packet."""
        flags, number, description, _ = read_packet(packet)
        number = self._expected + (number - self._expected + NUMBERS // 2) % NUMBERS - NUMBERS // 2
        if description is not None:
            number = description.packet  # in full
        self._missing += max(number - self._expected, 0)
        self._expected = max(number + 1, self._expected)
        self._ended = self._ended or bool(flags & LAST)
        self._packets += 1
        self._bytes += len(packet)

    def census(self, size: int) -> Census:
        """The census of a file of so many bytes, once all of its packets were counted."""
        return Census(size, self._packets, self._missing, size - len(MAGIC) - self._bytes, self._ended)


def check(path: str | os.PathLike[str], progress: Progress | None = None) -> Census:
    """Check every packet of a telemetry file; DataError if it is not one. progress: called with bytes done since."""
    file, name, size = open_file(path)
    tally = Tally()
    with file:
        for packet in packets_in(file, name, progress=progress):
            tally.add(packet)
    return tally.census(size)


def inspect(
    path: str | os.PathLike[str], progress: Progress | None = None, key: bytes | None = None
) -> tuple[Survey, Census]:
    """Decode a telemetry file to count its contents, and check whether it is intact.

    DataError if it is not one, contains no key packet, or claims more frames than its bytes can encode. progress:
    called with bytes done since.
    """
    file, name, size = open_file(path)
    tally = Tally()
    with file:
        packets = tally.passing(packets_in(file, name, progress=progress, key=key))
        found = survey(parts(packets, SECONDS, name, key=key))
    counted = tally.census(size)
    refuse_false_length(found.description.shape, 0, found.frames, size - counted.damaged, name)
    return found, counted


def facts(name: str, found: Survey, counted: Census) -> dict[str, Any]:
    """The contents of a file, by name; only types that JSON can represent."""
    description = found.description
    seconds = found.frames / description.rate
    events, waveforms, power, low = found.dropped
    return {
        "file": name,
        "holds": NOTE,
        "lossless": False,
        "compressed_bytes": counted.size,
        "channels": description.channels,
        "rate": description.rate,
        "frames": found.frames,
        "seconds": round(seconds, 6),
        "dtype": description.dtype,
        "levels": description.levels.words(),
        "bits_per_second": round(8 * counted.size / seconds, 1) if seconds else None,
        "settings": settings_of(description),
        "packets": {
            "whole": counted.packets,
            "missing": counted.missing,
            "damaged_bytes": counted.damaged,
            "ended": counted.ended,
        },
        "events": found.events,
        "weak_events": found.weak,
        "waveforms": found.waveforms,
        "left_out": {"events": events, "waveforms": waveforms, "power": power, "low_blocks": low},
        "missing_frames": int((found.missing[:, 1] - found.missing[:, 0]).sum()),
        "missing_spans": found.missing.tolist(),
    }


def settings_of(description: Description) -> dict[str, Any]:
    """The stream's settings, by name; numbers as they were before rounding to 32 bits."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(each) for each in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    return {name: plain(value) for name, value in asdict(description.settings).items()}

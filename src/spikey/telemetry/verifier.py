"""Which packets of a telemetry stream a receiver accepts, by their tags or the absence of tags."""

from __future__ import annotations

from dataclasses import replace

from spikey.base.errors import DataError, UsageError
from spikey.stream.authentication import TELEMETRY, Authenticator, checked_size
from spikey.telemetry.packet import NUMBERS, Packet, tag_size
from spikey.telemetry.settings import Settings

USUAL_TAG = 4  # bytes; short, as each of over a thousand packets a second has one: forged once in 2^32 attempts


def tagged(settings: Settings, key: bytes | None) -> Settings:
    """Settings of an encoder with or without a key, with the size of its tags.

    >>> tagged(Settings(), bytes(32)).tag_bytes
    4
    """
    return replace(settings, tag_bytes=checked_size(key, settings.tag_bytes or None, USUAL_TAG))


def number_near(packet: Packet, near: int) -> int:
    """A packet's whole number: key packets contain it, for others it is the value nearest to `near`."""
    if packet.description is not None:
        return packet.description.packet
    return near + (packet.number - near + NUMBERS // 2) % NUMBERS - NUMBERS // 2


class Verifier:
    """With a key, verifies the tags of one stream; without one, accepts packets without tags.

    The stream and the size of its tags are those of the first verified key packet; before that, no other packet has a
    valid tag. key: the encoder's. shortest: size of the shortest accepted tag in bytes; None for 4.
    """

    def __init__(self, key: bytes | None, shortest: int | None = None):
        self.key, self._shortest = key, checked_size(key, shortest, USUAL_TAG)
        self._authenticator: Authenticator | None = None

    def takes(self, packet: Packet, data: bytes | memoryview, number: int) -> bool:
        """Whether a packet has the required tag; number: its whole number. data: its bytes."""
        size, described = tag_size(data), packet.description
        if self.key is None or size < self._shortest:
            return self.key is None and size == 0
        found = self._authenticator
        if found is None and described is not None:
            found = Authenticator(self.key, TELEMETRY, described.stream, size)
        if found is None or found.size != size or number < 0 or not found.verifies(number, data):
            return False
        self._authenticator = found
        return True

    def begin_anew(self) -> None:
        """Forget the stream, as it is not the wanted one."""
        self._authenticator = None


class FileVerifier:
    """Verifies the packets of a file, which are in order."""

    def __init__(self, key: bytes | None):
        self.key = key
        self._verifier, self._next = Verifier(key), 0

    def check(self, packet: Packet, data: bytes | memoryview) -> None:
        """DataError if a packet has no valid tag although there is a key, or has a tag although there is none."""
        number = number_near(packet, self._next)
        if not self._verifier.takes(packet, data, number):
            raise DataError("a telemetry packet has no valid tag")
        self._next = max(self._next, number + 1)


def refuse_unreadable(begins: bytes, key: bytes | None, what: str) -> None:
    """UsageError if a file needs a key and there is none, or the reverse.

    begins: the first bytes of its first packet.
    """
    if tag_size(begins) and key is None:
        remedy = "spikey telemetry decode --key-file (in Python: key=..., for SpikeInterface key_file=...)"
        raise UsageError(f"{what}: is authenticated, and read with its key only: {remedy}", code="wrong-key")
    if key is not None and not tag_size(begins):
        raise UsageError(f"{what}: is not authenticated, so that a key verifies nothing of it; read it without one")

"""Which packets of a telemetry stream a receiver takes by their tags, or as they have none."""

from __future__ import annotations

from dataclasses import replace

from spikey.base.errors import DataError, UsageError
from spikey.stream.authentication import TELEMETRY, Authenticator, checked_size
from spikey.telemetry.packet import NUMBERS, Packet, tag_size
from spikey.telemetry.settings import Settings

USUAL_TAG = 4  # bytes, as each of more than a thousand packets a second has one: forged once in 2^32 attempts


def tagged(settings: Settings, key: bytes | None) -> Settings:
    """Settings of an encoder with a key, or without one, with the size of its tags.

    >>> tagged(Settings(), bytes(32)).tag_bytes
    4
    """
    return replace(settings, tag_bytes=checked_size(key, settings.tag_bytes or None, USUAL_TAG))


def number_near(packet: Packet, near: int) -> int:
    """A packet's number, not modulo anything: keys contain it, others are taken to be near another one."""
    if packet.description is not None:
        return packet.description.packet
    return near + (packet.number - near + NUMBERS // 2) % NUMBERS - NUMBERS // 2


class Verifier:
    """With a key, verifies the tags of one stream; without one, takes what has none.

    The stream, and how long its tags are, is that of the first key packet that was verified; before that, other packets
    have no valid tag. key: the encoder's. shortest: bytes of the shortest tag that is taken; None for 4.
    """

    def __init__(self, key: bytes | None, shortest: int | None = None):
        self.key, self._shortest = key, checked_size(key, shortest, USUAL_TAG)
        self._authenticator: Authenticator | None = None

    def takes(self, packet: Packet, data: bytes | memoryview, number: int) -> bool:
        """Whether a packet has the tag that it must have; number: its own, whole. data: its bytes."""
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
        """Forget the stream: it is not the one that is wanted."""
        self._authenticator = None


class FileVerifier:
    """Verifies the packets of a file, which are in order."""

    def __init__(self, key: bytes | None):
        self.key = key
        self._verifier, self._next = Verifier(key), 0

    def check(self, packet: Packet, data: bytes | memoryview) -> None:
        """DataError where a packet has no valid tag, though there is a key, or has one, though there is none."""
        number = number_near(packet, self._next)
        if not self._verifier.takes(packet, data, number):
            raise DataError("a telemetry packet has no valid tag")
        self._next = max(self._next, number + 1)


def refuse_unreadable(begins: bytes, key: bytes | None, what: str) -> None:
    """Nothing where a file can be read with a key, or without one: in one sentence what is the matter where it cannot.

    begins: the first bytes of its first packet.
    """
    if tag_size(begins) and key is None:
        remedy = "spikey telemetry decode --key-file (in Python: key=..., for SpikeInterface key_file=...)"
        raise UsageError(f"{what}: is authenticated, and read with its key only: {remedy}", code="wrong-key")
    if key is not None and not tag_size(begins):
        raise UsageError(f"{what}: is not authenticated, so that a key verifies nothing of it; read it without one")

"""Which packets of streams a receiver takes by their tags, or as they have none."""

from __future__ import annotations

from spikey.stream.authentication import STREAM, Authenticator, checked_size
from spikey.stream.packet import Packet, tag_size

USUAL_TAG = 8  # bytes: forged once in 2^64 attempts
MOST_REMEMBERED = 64  # streams


def stated_number(packet: Packet) -> int:
    """The whole number of a packet, as far as it contains that: keys do, others of a stream's first 2^32."""
    return packet.number if packet.description is None else packet.description.wraps << 32 | packet.number


class Verifier:
    """With a key, verifies tags; without one, takes what has none.

    key: the encoder's. shortest: bytes of the shortest tag that is taken; None for 8.
    """

    def __init__(self, key: bytes | None, shortest: int | None = None):
        self.key, self._shortest = key, checked_size(key, shortest, USUAL_TAG)
        self._authenticators: dict[int, Authenticator] = {}  # by stream, of tags as long as the first one's

    def takes(self, packet: Packet, data: bytes, number: int) -> bool:
        """Whether a packet has the tag that it must have; number: its own, whole. data: its bytes."""
        size = tag_size(data)
        if self.key is None or size < self._shortest:
            return self.key is None and size == 0
        found = self._authenticators.get(packet.stream) or Authenticator(self.key, STREAM, packet.stream, size)
        if found.size != size or not found.verifies(number, data):
            return False
        if len(self._authenticators) < MOST_REMEMBERED:
            self._authenticators[packet.stream] = found
        return True

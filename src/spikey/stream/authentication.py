"""Tags that show that a packet was made by somebody who has the key, and by nobody else: keyed BLAKE2s, truncated.

A tag is of the stream, the direction, the packet's whole number and all bytes of the packet before the tag. What is
sent is readable by anyone: a tag hides nothing.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import blake2s

from spikey.base.errors import UsageError

TAG_BYTES = (4, 8, 16)  # how long a tag may be
SHORTEST_KEY, LONGEST_KEY = 16, 32  # bytes; BLAKE2s takes no longer one
STREAM, TELEMETRY = b"spkstrm", b"spktlm"  # protocols: a tag of one is none of the other
PACKETS, REQUESTS = 0, 1  # directions: from the sender, to the sender
_OWN = struct.Struct("<IB")  # stream, direction
_NUMBER = struct.Struct("<Q")


class Authenticator:
    """Makes and verifies the tags of one stream in one direction.

    key: 16 to 32 bytes that both ends share. protocol: `STREAM` or `TELEMETRY`. stream: its number. size: bytes of a
    tag. direction: `PACKETS` or `REQUESTS`.

    >>> authenticator = Authenticator(bytes(32), STREAM, 7, 8)
    >>> packet = b"samples" + authenticator.tag(5, b"samples")
    >>> authenticator.verifies(5, packet), authenticator.verifies(6, packet)
    (True, False)
    """

    def __init__(self, key: bytes, protocol: bytes, stream: int, size: int, direction: int = PACKETS):
        own = blake2s(_OWN.pack(stream, direction), key=checked_key(key), person=protocol).digest()
        self.size = size
        self._begun = blake2s(key=own, digest_size=size, person=protocol)

    def tag(self, number: int, data: bytes | memoryview) -> bytes:
        """The tag of a packet without it; number: the packet's, whole."""
        state = self._begun.copy()
        state.update(_NUMBER.pack(number))
        state.update(data)
        return state.digest()

    def verifies(self, number: int, packet: bytes | memoryview) -> bool:
        """Whether a packet ends with its tag; takes as long whatever the tag is."""
        return hmac.compare_digest(self.tag(number, packet[: -self.size]), bytes(packet[-self.size :]))


def checked_key(key: bytes) -> bytes:
    """The key, if it can be one; else UsageError."""
    if not isinstance(key, bytes) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise UsageError(f"a key must be {SHORTEST_KEY} to {LONGEST_KEY} bytes; spikey key new makes one")
    return key


def checked_size(key: bytes | None, size: int | None, usual: int) -> int:
    """Bytes of a tag: `usual` where none are given, 0 without a key; UsageError where that makes no sense.

    >>> checked_size(bytes(16), None, 8), checked_size(None, None, 8)
    (8, 0)
    """
    if key is None:
        if size:
            raise UsageError("tags need a key")
        return 0
    checked_key(key)
    if size is None:
        return usual
    if size not in TAG_BYTES:
        raise UsageError(f"a tag has {', '.join(map(str, TAG_BYTES[:-1]))} or {TAG_BYTES[-1]} bytes, not {size}")
    return size

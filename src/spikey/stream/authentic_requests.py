"""Requests of an authenticated stream's receiver for packets to be sent again: only who has the key is answered.

magic, u32 stream, u8 how many packets, u64 number of the request, u8 group and u32 number of each packet, tag.
"""

from __future__ import annotations

import struct
import time

from spikey.base.errors import DataError
from spikey.stream.authentication import Authenticator
from spikey.stream.transport import MOST_ASKED, NAME

MAGIC = b"SPKQ"
HEAD = struct.Struct("<4sIBQ")


class Asker:
    """Writes the requests of one receiver, each with a higher number than all before, also than those of a receiver
    that was there before it: microseconds of the clock, or one more than the last.
    """

    def __init__(self, stream: int, authenticator: Authenticator):
        self._stream, self._authenticator, self._last = stream, authenticator, 0

    def write(self, names: list[tuple[int, int]]) -> bytes:
        """A request for packets, by group and number."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        data = HEAD.pack(MAGIC, self._stream, len(names), self._last) + b"".join(NAME.pack(*name) for name in names)
        return data + self._authenticator.tag(self._last, data)


def read_authentic_request(data: bytes, stream: int, authenticator: Authenticator) -> tuple[int, list[tuple[int, int]]]:
    """Number of a request for packets of a stream, and these; DataError for anything that has no valid tag."""
    size = len(data) - HEAD.size - authenticator.size
    if size < 0:
        raise DataError("a request is too short")
    magic, asked, count, number = HEAD.unpack_from(data)
    if magic != MAGIC or asked != stream or count > MOST_ASKED or size != count * NAME.size:
        raise DataError("a request is malformed")
    if not authenticator.verifies(number, data):
        raise DataError("a request has no valid tag")
    return number, [NAME.unpack_from(data, HEAD.size + i * NAME.size) for i in range(count)]

"""Variable-length integers and a cursor that never reads past its end: how numbers lie in compressed files."""

from __future__ import annotations

from spikey.base.errors import DataError


def varint(value: int) -> bytes:
    """An unsigned integer, seven bits a byte, low bits first, the high bit set on all bytes but the last (LEB128).

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    """A signed integer as an unsigned one: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return 2 * value if value >= 0 else -2 * value - 1


class Cursor:
    """Reads fields from the front of `data`; every shortage is a `DataError`."""

    def __init__(self, data: bytes | memoryview, what: str = "the data"):
        self.data = memoryview(data)
        self.at = 0
        self.what = what

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self.data) - self.at:
            raise DataError(f"{self.what}: ends {count - (len(self.data) - self.at)} bytes too early", code="truncated")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def varint(self, limit: int = 1 << 62) -> int:
        """The next variable-length integer, at most `limit`."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 63:
                raise DataError(f"{self.what}: holds an unterminated number")
        if value > limit:
            raise DataError(f"{self.what}: holds {value} where at most {limit} is possible")
        return value

    def signed(self) -> int:
        """The next zig-zag integer."""
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.at)

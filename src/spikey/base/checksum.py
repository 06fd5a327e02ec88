"""CRC-32 of large buffers by several threads: pieces are summed apart, and their sums combined."""

from __future__ import annotations

import zlib
from functools import lru_cache

from spikey.base.workers import each, threads

POLYNOMIAL = 0xEDB88320  # of CRC-32, the coefficient of x^0 in the highest bit
ONE = 1 << 31
PIECE = 1 << 20  # bytes that are worth another thread, at least


def crc32(data: bytes | memoryview, before: int = 0) -> int:
    """`zlib.crc32`, with the help of idle threads of the pool that the calling thread belongs to.

    >>> crc32(b"spike", before=crc32(b"raw ")) == zlib.crc32(b"raw spike")
    True
    """
    view = memoryview(data).cast("B")
    count = min(threads(), len(view) // PIECE)
    if count < 2:
        return zlib.crc32(view, before)
    size = -(-len(view) // count)
    pieces = [view[start : start + size] for start in range(0, len(view), size)]
    sums = each(zlib.crc32, pieces)
    total = before
    for one, piece in zip(sums, pieces, strict=True):
        total = combined(total, one, len(piece))
    return total


def combined(first: int, second: int, size: int) -> int:
    """The CRC-32 of data whose end, `size` bytes long, has the CRC-32 `second`, and what precedes it `first`.

    >>> combined(zlib.crc32(b"raw "), zlib.crc32(b"spike"), 5) == zlib.crc32(b"raw spike")
    True
    """
    return _product(_power(size), first) ^ second


@lru_cache(maxsize=64)
def _power(size: int) -> int:
    """x^(8 * size) modulo the polynomial."""
    power, square = ONE, ONE >> 8  # 1, x^8
    while size:
        if size & 1:
            power = _product(power, square)
        square = _product(square, square)
        size >>= 1
    return power


def _product(one: int, other: int) -> int:
    """The product of two polynomials over the numbers 0 and 1, modulo the CRC's."""
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (POLYNOMIAL if other & 1 else 0)
    return product

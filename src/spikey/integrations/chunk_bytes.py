"""Elements of any type in a chunk: their first bytes, their second ones and so on, deflated where that is smaller."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from spikey.base.errors import DamagedError

STORED, DEFLATED = 0, 1  # methods
MOST_DEFLATED = 1100  # bytes that one byte inflates to, rounded up


def pack_elements(array: np.ndarray, order: Any) -> bytes:
    """The elements of an array in this memory order, as a chunk's body."""
    content = array.tobytes(order=order)
    size = max(array.dtype.itemsize, 1)
    grouped = np.frombuffer(content, np.uint8).reshape(-1, size).T.tobytes() if size > 1 else content
    packed = zlib.compress(grouped, 1)
    method, packed = (DEFLATED, packed) if len(packed) < len(content) else (STORED, content)
    body = bytes([method]) + packed
    return body + struct.pack("<I", zlib.crc32(content, zlib.crc32(body)))


def unpack_elements(body: memoryview, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """The elements (count,) of a body in memory order; DamagedError where it is not what was written."""
    if len(body) < 5 or body[0] not in (STORED, DEFLATED):
        raise DamagedError("its content cannot be unpacked")
    content: bytes | memoryview = body[1:-4]
    size = count * dtype.itemsize
    if body[0] == DEFLATED:
        if size > MOST_DEFLATED * len(content):
            raise DamagedError(f"it cannot contain {size:,} bytes")
        try:
            inflater = zlib.decompressobj()
            grouped = inflater.decompress(content, max(size, 1))
        except zlib.error:
            raise DamagedError("its content cannot be unpacked") from None
        if len(grouped) == size and dtype.itemsize > 1:
            grouped = np.frombuffer(grouped, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
        content = grouped
    if len(content) != size or zlib.crc32(content, zlib.crc32(body[:-4])) != struct.unpack("<I", body[-4:])[0]:
        raise DamagedError("its content fails its checksum")
    return np.frombuffer(content, dtype) if size else np.zeros(count, dtype)

"""Elements of any type in a chunk: their first bytes, their second ones and so on, deflated where that is smaller.

Numbers of 8 bytes that advance evenly, such as timestamps, are packed as lines, in pieces of 4 MiB.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from spikey.base.errors import DamagedError, DataError
from spikey.base.wire import Cursor, varint

STORED, DEFLATED, LINES = 0, 1, 2  # methods
MOST_DEFLATED = 1100  # bytes that one byte inflates to, rounded up


def pack_elements(array: np.ndarray, order: Any) -> bytes:
    """The elements of an array in this memory order, as a chunk's body."""
    content = array.tobytes(order=order)
    size = max(array.dtype.itemsize, 1)
    grouped = np.frombuffer(content, np.uint8).reshape(-1, size).T.tobytes() if size > 1 else content
    packed = zlib.compress(grouped, 1)
    lines = _pack_lines(content) if size == 8 else None
    candidates = [(STORED, content), (DEFLATED, packed), *([] if lines is None else [(LINES, lines)])]
    method, packed = min(candidates, key=lambda candidate: len(candidate[1]))
    body = bytes([method]) + packed
    return body + struct.pack("<I", zlib.crc32(content, zlib.crc32(body)))


def unpack_elements(body: memoryview, dtype: np.dtype[Any], count: int) -> np.ndarray:
    """The elements (count,) of a body in memory order; DamagedError where it is not what was written."""
    if len(body) < 5 or body[0] not in (STORED, DEFLATED, LINES):
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
    if body[0] == LINES:
        content = _unpack_lines(body[1:-4], size)
    if len(content) != size or zlib.crc32(content, zlib.crc32(body[:-4])) != struct.unpack("<I", body[-4:])[0]:
        raise DamagedError("its content fails its checksum")
    return np.frombuffer(content, dtype) if size else np.zeros(count, dtype)


def _pack_lines(content: bytes) -> bytes | None:
    """Pieces as plain bytes are packed, each with its size in front; None where the first is not on a line."""
    from spikey.coding.packed_bytes import LINE, PIECE, pack_bytes

    out = b""
    for at in range(0, len(content), PIECE):
        packed = pack_bytes(content[at : at + PIECE], 8)
        if not at and packed[:1] != LINE:
            return None
        out += varint(len(packed)) + packed
    return out or None


def _unpack_lines(packed: memoryview, size: int) -> bytes:
    from spikey.coding.packed_bytes import PIECE, unpack_bytes

    if size > PIECE * len(packed):
        raise DamagedError(f"it cannot contain {size:,} bytes")
    cursor = Cursor(packed, "its content")
    try:
        pieces = [
            unpack_bytes(cursor.take(cursor.varint(2 * PIECE)), min(PIECE, size - at), "its content")
            for at in range(0, size, PIECE)
        ]
    except DataError as error:
        raise DamagedError(f"its content cannot be unpacked: {error}") from None
    if cursor.rest():
        raise DamagedError("its content is too long")
    return b"".join(pieces)

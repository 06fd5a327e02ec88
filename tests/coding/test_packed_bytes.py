"""Packed bytes that nobody packed: cut, continued, too long and too short ones are refused in bounded memory."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from kit import reference
from spikey.base.errors import DataError
from spikey.coding.packed_bytes import MANY, PIECE, pack_bytes, unpack_bytes

GROUPED = np.arange(40_000, dtype="<f8").tobytes()  # many elements, of groups that shrink and others


def raw(data: bytes) -> bytes:
    """As a raw DEFLATE stream."""
    return zlib.compress(data, 9, -15)


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("data", [b"a" * 500, GROUPED, GROUPED[: MANY - 3]], ids=["short", "many", "odd"])
def test_cut_and_continued_streams_are_refused(data, itemsize):
    packed = pack_bytes(data, itemsize)
    assert packed[0] in (1, itemsize) and unpack_bytes(packed, len(data)) == data
    assert reference.unpack_bytes(packed, len(data)) == data
    for end in (1, 2, len(packed) // 2, len(packed) - 1):
        with pytest.raises(DataError, match="were packed"):
            unpack_bytes(packed[:end], len(data), "a.spky")
    for more in (b"\0", b"\3\0", packed[1:]):
        with pytest.raises(DataError, match="were packed, in a stream that ends elsewhere"):
            unpack_bytes(packed + more, len(data))


@pytest.mark.parametrize("method", [1, 2, 4, 8])
def test_bombs_are_refused_in_little_memory(method):
    bomb = bytes([method]) + raw(bytes(1 << 26))
    tracemalloc.start()
    try:
        for size in (0, 1, 1000, PIECE):
            with pytest.raises(DataError, match="more than"):
                unpack_bytes(bomb, size)
        for size in (1 << 30, 1 << 62):
            with pytest.raises(DataError, match="were packed"):
                unpack_bytes(bomb, size)
        assert tracemalloc.get_traced_memory()[1] < 5 * PIECE
    finally:
        tracemalloc.stop()


def test_no_bytes_are_packed_too():
    assert unpack_bytes(b"\1" + raw(b""), 0) == b"" == unpack_bytes(b"\0", 0)
    for wrong in (b"", b"\1", b"\1" + raw(b"a"), b"\0a"):
        with pytest.raises(DataError):
            unpack_bytes(wrong, 0)


@pytest.mark.parametrize("content", [b"\xff" * 9, b"\7", struct.pack("<BHH", 1, 9, 0), raw(b"abc" * 9)[:-1] + b"\xff"])
def test_what_is_no_deflate_is_refused(content):
    with pytest.raises(DataError, match="cannot be unpacked|were packed"):
        unpack_bytes(b"\1" + content, 27)

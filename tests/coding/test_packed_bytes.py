"""Packed bytes that nobody packed: cut, continued, too long and too short ones are refused in bounded memory."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import reference
from spikey.base.errors import DataError
from spikey.coding.deflated import MANY
from spikey.coding.packed_bytes import LINE, PIECE, pack_bytes, unpack_bytes

GROUPED = np.sqrt(np.arange(40_000, dtype="<f8")).tobytes()  # many elements, of groups that shrink and others


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


# ---------------------------------------------------------------- elements that advance evenly


def npy(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


FRAMES = np.arange(20_000)
TIMES = {
    "numbers": FRAMES + (1 << 40),
    "times": 1234.5 + FRAMES / 30_000,
    "jumps": FRAMES + 1000 * (FRAMES > 7000),
    "jitter": np.rint(FRAMES * 33.3 + np.random.default_rng(0).normal(0, 0.7, FRAMES.size)).astype(np.int64),
    "far off": 5 + FRAMES / 30_000 + np.random.default_rng(0).normal(0, 1e-9, FRAMES.size),
}


@pytest.mark.parametrize("after", [b"", b"more"])
@pytest.mark.parametrize("name", TIMES)
def test_times_in_bytes_take_next_to_nothing(name, after):
    for data in (npy(TIMES[name]) + after, TIMES[name].tobytes() + after):
        packed = pack_bytes(data, 8)
        assert packed[:1] == LINE and unpack_bytes(packed, len(data)) == data
        assert reference.unpack_bytes(packed, len(data)) == data
        most = {"jitter": 9000, "far off": 70_000}.get(name, 80)
        assert len(packed) < most + 128 + len(after)
        for wrong in (0, 1, len(data) - 8, len(data) - 1, len(data) + 1, len(data) + 8, PIECE + 1, 1 << 40):
            with contextlib.suppress(DataError):  # a line alone is as long as is asked for, within a piece
                assert len(unpack_bytes(packed, wrong)) == wrong <= PIECE
        for end in range(0, min(len(packed), 300), 7):
            with pytest.raises(DataError):
                unpack_bytes(packed[:end], len(data))
        with pytest.raises(DataError):
            unpack_bytes(packed + b"\0", len(data))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xff\1", "at most 4096 is possible"),
        (b"\x80\x02" + bytes(256), "bytes before elements"),
        (b"\0\0\0\0" + bytes(8) + b"\2\3", "cannot be unpacked"),
        (b"\0\0\0\0" + bytes(8) + b"\2\0x", "bytes too many"),
        (b"\0\0\0\1" + bytes(8) + b"\2\x63" + bytes(8) + b"\0\0", "jumps in frames"),
        (b"\0\0\0\0" + bytes(8) + b"\2\1\3" + bytes(9), "does not support"),
        (b"\0\0\0\0" + bytes(8) + b"\2\1\0" + bytes(9), "where 10 were packed"),
    ],
)
def test_lines_that_cannot_be_are_refused(content, says):
    with pytest.raises(DataError, match=says):
        unpack_bytes(LINE + content, 80)


@given(st.binary(max_size=80), st.integers(0, 4000))
def test_any_line_unpacks_or_is_refused(content, size):
    with contextlib.suppress(DataError):
        assert len(unpack_bytes(LINE + content, size)) == size

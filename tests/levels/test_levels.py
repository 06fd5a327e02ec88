"""Levels: whatever values a channel holds, its codes are dense, small and give the values back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.levels.affine import MODELLED_BITS, Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1_VALUES, N1Levels
from spikey.levels.registry import find_levels, read_levels
from spikey.levels.table import Table

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32"]


def round_trip(values: np.ndarray) -> Levels:
    """Find, write and read the levels of values, and check that nothing is lost by them."""
    levels = find_levels(values)
    written = levels.write()
    cursor = Cursor(written)
    assert read_levels(levels.number, cursor) == levels and cursor.at == len(written)
    codes, low = levels.to_codes(values)
    assert codes.dtype == np.int32 and codes.min() >= 0 and codes.max() < levels.alphabet <= 1 << MODELLED_BITS
    assert (low is None) == (levels.low_bits == 0)
    restored = levels.to_values(codes, low, values.dtype)
    assert restored.dtype == values.dtype
    np.testing.assert_array_equal(restored, values)
    return levels


def test_n1_values_are_the_published_stretch():
    plain = [int((c * 65535 - 32768 * 1023) / 1023) for c in range(1024)]  # Python's int() truncates toward zero
    assert N1_VALUES.tolist() == plain
    assert len(set(plain)) == 1024 and plain[0] == -32768 and plain[-1] == 32767


def test_n1_is_recognised():
    levels = round_trip(N1_VALUES[np.random.default_rng(0).integers(480, 540, 100)])
    assert isinstance(levels, N1Levels) and levels.alphabet == 1024 and levels.write() == b""
    assert isinstance(round_trip(N1_VALUES), N1Levels)
    wrong = N1_VALUES.copy()
    wrong[700] += 1
    assert isinstance(round_trip(wrong), Affine)
    assert not isinstance(round_trip(N1_VALUES.astype(np.int32)), N1Levels)  # another type, another device


@pytest.mark.parametrize("dtype", TYPES)
def test_extremes_of_every_type(dtype):
    info = np.iinfo(dtype)
    values = np.random.default_rng(0).integers(info.min, info.max, 1000, dtype, endpoint=True)
    values[:5] = info.min, info.max, 0, 1, info.max - 1
    assert round_trip(values).low_bits == max(info.bits - MODELLED_BITS, 0)
    round_trip(values[:5])
    for value in (info.min, 0, info.max):
        assert round_trip(np.full(5, value, dtype=dtype)).alphabet == 1


def test_step_and_offset():
    codes = np.random.default_rng(1).integers(0, 1000, 5000)
    for step, offset in [(3, -1500), (12, 7), (64, -32000), (1, -500)]:
        levels = round_trip((codes * step + offset).astype(np.int16))
        assert isinstance(levels, Affine) and (levels.step, levels.offset) == (step, offset)
    levels = round_trip(np.array([0, 1 << 31], dtype=np.uint32))
    assert (levels.alphabet, levels.step, levels.low_bits) == (2, 1 << 31, 0)


def test_a_late_exception_to_the_step_is_seen():
    values = np.arange(0, 30000, 3, dtype=np.int32)
    values[-1] += 1
    assert round_trip(values).step == 1


def test_a_few_odd_values_become_a_table():
    values = np.random.default_rng(2).choice([-30001, -5, 0, 17, 20000], 4000).astype(np.int16)
    levels = round_trip(values)
    assert isinstance(levels, Table) and levels.alphabet == 5
    # Too short to pay for the list.
    assert isinstance(round_trip(values[:6]), Affine)


def test_a_table_with_wide_gaps():
    random = np.random.default_rng(3)
    values = random.choice(np.unique(random.integers(0, 1 << 32, 3000)), 100_000).astype(np.uint32)
    assert isinstance(round_trip(values), Table)


def test_low_bits_of_large_alphabets():
    values = np.random.default_rng(4).integers(-(1 << 23), 1 << 23, 1000).astype(np.int32)
    levels = round_trip(values)
    assert isinstance(levels, Affine) and levels.low_bits == 4
    stepped = round_trip(values[values < 1 << 22] * 5)
    assert stepped.step == 5 and stepped.low_bits in (3, 4)


@given(st.sampled_from(TYPES), st.data())
def test_any_values(dtype, data):
    info = np.iinfo(dtype)
    kinds = st.one_of(st.integers(info.min, info.max), st.integers(0, 3), st.sampled_from([info.min, info.max]))
    values = np.array(data.draw(st.lists(kinds, min_size=1, max_size=200)), dtype=dtype)
    round_trip(values)


def test_fits():
    levels = Affine(100, offset=-10, step=3)
    assert levels.fits(np.array([-10, 287, 2])) and levels.fits(np.zeros(0, dtype=np.int16))
    for outside in (-13, 290, 3, -9):
        assert not levels.fits(np.array([2, outside]))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (3, b""),
        (7, b""),
        (Affine.number, b""),
        (Affine.number, varint(1) + varint(0)),
        (Affine.number, varint(0) + varint(0) + varint(1 << 20) + varint(0)),  # 2^20 + 1 codes
        (Affine.number, varint(0) + varint(0) + varint(5) + varint(13)),
        (Affine.number, varint(zigzag(1 << 33)) + varint(0) + varint(5) + varint(0)),
        (Affine.number, varint(0) + varint(1 << 33) + varint(5) + varint(0)),
        (Table.number, varint(0)),
        (Table.number, varint(0) + varint(4096)),
        (Table.number, varint(0) + varint(2) + varint(1 << 32) * 2),
        (Table.number, varint(0) + varint(5) + varint(1) * 4),
        (Affine.number, b"\xff" * 12),
    ],
)
def test_impossible_levels_are_refused(kind, data):
    with pytest.raises(DataError, match="^the file: "):
        read_levels(kind, Cursor(data, "the file"))


@given(st.integers(0, 2), st.binary(max_size=30))
def test_any_bytes_give_levels_or_an_error(kind, data):
    try:
        levels = read_levels(kind, Cursor(data))
    except DataError:
        return
    assert 1 <= levels.alphabet <= 1 << MODELLED_BITS
    codes = np.arange(min(levels.alphabet, 100), dtype=np.int32)
    low = np.zeros(len(codes), dtype=np.int64) if levels.low_bits else None
    assert len(levels.to_values(codes, low, np.dtype(np.int16))) == len(codes)

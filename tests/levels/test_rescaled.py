"""Codes that software multiplied by a fraction and rounded are found again, as a line of whole numbers."""

from __future__ import annotations

from fractions import Fraction
from math import floor, trunc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spikey
from kit.paths import DATA
from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.files.arrays import compress_with
from spikey.files.settings import Settings
from spikey.levels.contract import Levels
from spikey.levels.registry import find_levels, read_levels
from spikey.levels.rescaled import MOST_CODES, MOST_NUMERATOR, Rescaled
from spikey.levels.rescaled_search import find_rescaled
from spikey.levels.rescaled_sharing import unite
from spikey.levels.table import Table

LFP, AP = Fraction(625, 26), Fraction(625, 52)  # the converter's 4.6875 and 2.34375 uV in units of 0.195 uV
ROUNDINGS = {"down": floor, "nearest": lambda x: floor(x + Fraction(1, 2)), "toward zero": trunc}
CODES = np.rint(np.random.default_rng(3).normal(20, 22, 6000)).astype(int)


def rescaled(codes: np.ndarray, gain: Fraction, rounding: str, offset: int = 0) -> np.ndarray:
    """Values of codes as software computes them, in exact fractions."""
    distinct, places = np.unique(codes, return_inverse=True)
    return (np.array([ROUNDINGS[rounding](gain * int(code)) for code in distinct])[places] - offset).astype(np.int16)


def round_trip(values: np.ndarray) -> Levels:
    """Find, write and read the levels of values, and check that nothing is lost by them."""
    levels = find_levels(values)
    cursor = Cursor(levels.write())
    assert read_levels(levels.number, cursor) == levels and not cursor.rest()
    codes, low = levels.to_codes(values)
    assert codes.dtype == np.int32 and low is None and codes.min() >= 0 and codes.max() < levels.alphabet
    restored = levels.to_values(codes, low, values.dtype)
    assert restored.dtype == values.dtype
    np.testing.assert_array_equal(restored, values)
    assert levels.holds(values)
    return levels


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("gain", [LFP, AP, Fraction(25, 3), Fraction(1201, 100)])
def test_rescaled_codes_are_found(gain, rounding):
    levels = round_trip(rescaled(CODES, gain, rounding, offset=321))
    assert isinstance(levels, Rescaled)
    assert levels.alphabet == CODES.max() - CODES.min() + 1  # gaps are codes too
    assert abs(Fraction(levels.numerator, levels.denominator) - gain) < Fraction(4, levels.alphabet)
    assert len(levels.write()) <= 10


def test_codes_follow_each_other_as_those_of_the_converter():
    levels = find_levels(rescaled(CODES, LFP, "toward zero", offset=-77))
    codes, _ = levels.to_codes(rescaled(CODES, LFP, "toward zero", offset=-77))
    np.testing.assert_array_equal(codes, CODES - CODES.min())
    assert isinstance(levels, Rescaled)
    assert (levels.numerator, levels.denominator, levels.offset) == (625, 26, 77) and levels.zero == -CODES.min()


def test_a_far_code_is_reached():
    codes = np.append(CODES, CODES.max() + 150)
    levels = round_trip(rescaled(codes, AP, "down"))
    assert isinstance(levels, Rescaled) and levels.alphabet == codes.max() - codes.min() + 1


def test_what_is_on_no_line_stays_listed():
    values = rescaled(CODES, LFP, "down")
    odd = values.copy()
    odd[100] += 7
    assert isinstance(round_trip(odd), Table)
    # A gap that would take more codes than there are values to list.
    far = np.append(values, np.int16(30_000))
    assert isinstance(round_trip(far), Table)
    few = np.random.default_rng(0).choice([-30001, -5, 0, 17, 20000], 4000).astype(np.int16)
    assert isinstance(round_trip(few), Table)
    random = np.random.default_rng(3)
    irregular = random.choice(np.cumsum(random.integers(5, 40, 200)), 50_000).astype(np.int16)
    assert isinstance(round_trip(irregular), Table)


def test_even_grids_are_no_lines():
    assert not isinstance(round_trip((CODES * 12).astype(np.int16)), Rescaled)
    assert find_rescaled(np.arange(-300, 300, 12)) is None
    odd = (CODES * 12).astype(np.int16)
    odd[7] += 5
    assert isinstance(round_trip(odd), Table)


def test_steps_of_any_size_are_written_or_listed():
    for gain in (Fraction(9, 4), Fraction((1 << 20) - 2) + Fraction(1, 7), Fraction(1 << 22) + Fraction(1, 7)):
        values = np.array([floor(gain * code) for code in range(100)])
        found = find_rescaled(values)
        assert (found is None) == (gain > 1 << 20)
        if found is not None:
            cursor = Cursor(found.write())
            assert read_levels(Rescaled.number, cursor) == found
            np.testing.assert_array_equal(found.values(np.arange(100)), values)


@given(
    st.fractions(2, 300, max_denominator=60),
    st.sampled_from(list(ROUNDINGS)),
    st.lists(st.integers(-200, 200), min_size=16, max_size=200, unique=True),
    st.integers(-5000, 5000),
)
def test_any_line_gives_its_values_back(gain, rounding, codes, offset):
    values = np.unique([ROUNDINGS[rounding](gain * code) - offset for code in codes])
    found = find_rescaled(values)
    if found is not None:
        np.testing.assert_array_equal(found.values(found.to_codes(values)[0]), values)
        assert found.to_codes(values)[0].min() == 0 and found.to_codes(values)[0].max() == found.alphabet - 1


# ---------------------------------------------------------------- of several channels


def test_channels_have_the_fraction_and_the_alphabet_in_common():
    quiet = rescaled(CODES[np.abs(CODES - 20) < 25], AP, "down", offset=5)
    channels = [rescaled(CODES, AP, "down", offset=shift) for shift in (0, 300, 1201)] + [quiet]
    found = [find_levels(values) for values in channels]
    assert all(isinstance(one, Rescaled) for one in found)
    codes = [one.to_codes(values)[0] for one, values in zip(found, channels, strict=True)]
    united = unite(found, [np.unique(each) for each in codes])  # type: ignore[arg-type]
    assert len({(one.numerator, one.denominator, one.alphabet) for one, _ in united}) == 1
    for (one, add), each, values in zip(united, codes, channels, strict=True):
        assert add >= 0 and each.max() + add < one.alphabet
        np.testing.assert_array_equal(one.values(each + add), values)


def test_zeros_are_aligned():
    channels = [rescaled(CODES + shift, LFP, "toward zero", offset=100 * shift) for shift in (-9, 0, 14)]
    found = [find_levels(values) for values in channels]
    codes = [one.to_codes(values)[0] for one, values in zip(found, channels, strict=True)]
    united = unite(found, [np.unique(each) for each in codes])  # type: ignore[arg-type]
    assert len({(one.zero, one.alphabet) for one, _ in united}) == 1 and united[0][0].zero
    for (one, add), each, values in zip(united, codes, channels, strict=True):
        np.testing.assert_array_equal(one.values(each + add), values)


@pytest.mark.parametrize("predictor", ["wide", "lpc"])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_recordings_come_back(predictor, kind):
    random = np.random.default_rng(5)
    codes = np.cumsum(random.integers(-2, 3, (4000, 6)), axis=0) % 120 - 50
    samples = np.stack([rescaled(codes[:, c], LFP, "toward zero", offset=37 * c) for c in range(6)], axis=1)
    samples = samples.astype(kind) * kind(0.5) if kind is np.float32 else samples
    data = compress_with(samples, 2500, Settings(predictor=predictor, calibration=None))
    np.testing.assert_array_equal(spikey.decompress(data).samples, samples)
    with spikey.open(data) as reader:
        levels = reader.levels(reader.structure.blocks[0])
    assert all("rounded steps of 24.0385" in one for one in levels)


def test_a_channel_in_the_wide_engine_takes_few_bytes():
    def size(gain: Fraction) -> int:
        codes = np.random.default_rng(5).integers(-60, 60, (3000, 64))
        channels = [rescaled(codes[:, c], gain, "down", offset=37 * c) for c in range(64)]
        return len(compress_with(np.stack(channels, axis=1), 2500, Settings(predictor="wide", calibration=None)))

    assert size(LFP) - size(Fraction(24)) < 8 * 64


def test_a_line_pays_in_a_short_block_where_a_table_does_not():
    codes = np.cumsum(np.random.default_rng(5).integers(-6, 7, (200, 8), np.int32), axis=0, dtype=np.int32)
    lines = np.stack([rescaled(codes[:, c], LFP, "down", offset=37 * c) for c in range(8)], axis=1)
    assert all(isinstance(find_levels(np.ascontiguousarray(lines[:, c])), Rescaled) for c in range(8))

    def size(samples: np.ndarray) -> int:
        return len(compress_with(samples, 2500, Settings(predictor="wide", calibration=None)))

    assert size(lines) - size(codes) < 10 * 8


@pytest.mark.data("real/np1-oe-lfp/data.int16.raw")
def test_a_real_recording():
    samples = np.fromfile(DATA / "real" / "np1-oe-lfp" / "data.int16.raw", "<i2").reshape(-1, 384)
    assert all(not isinstance(round_trip(np.ascontiguousarray(channel)), Table) for channel in samples.T)


# ---------------------------------------------------------------- files


def fields(denominator=26, above=599, codes=100, zero=0, phase=3, offset=-7) -> bytes:
    numbers = (denominator - 1, above, codes - 1, zero, phase)
    return b"".join(map(varint, numbers)) + varint(zigzag(offset))


@pytest.mark.parametrize(
    "data",
    [
        fields(denominator=4097),
        fields(above=MOST_NUMERATOR + 1),
        fields(codes=MOST_CODES + 1),
        fields(zero=100),
        fields(phase=26),
        fields(offset=1 << 33),
        fields(offset=-(1 << 33)),
        fields()[:-1],
        b"",
        b"\xff" * 12,
    ],
)
def test_impossible_levels_are_refused(data):
    with pytest.raises(DataError, match="^the file: "):
        read_levels(Rescaled.number, Cursor(data, "the file"))


def test_the_largest_numbers_do_not_overflow():
    data = fields(4096, MOST_NUMERATOR, MOST_CODES, MOST_CODES - 1, 4095, 1 << 32)
    levels = read_levels(Rescaled.number, Cursor(data))
    assert isinstance(levels, Rescaled)
    ends = [0, MOST_CODES - 1]
    exact = [levels.offset + trunc(Fraction(levels.numerator * (c - levels.zero) + levels.phase, 4096)) for c in ends]
    assert levels.values(np.array(ends)).tolist() == exact
    assert levels.numerator * MOST_CODES < 1 << 53
    # Values beyond the type of samples: for the checksum to tell.
    assert levels.to_values(np.array(ends), None, np.dtype(np.int16)).dtype == np.int16


@given(st.binary(max_size=24))
def test_any_bytes_give_levels_or_an_error(data):
    try:
        levels = read_levels(Rescaled.number, Cursor(data))
    except DataError:
        return
    assert 1 <= levels.alphabet <= MOST_CODES
    values = levels.to_values(np.arange(min(levels.alphabet, 100)), None, np.dtype(np.int64))
    assert (np.diff(values) >= 0).all()

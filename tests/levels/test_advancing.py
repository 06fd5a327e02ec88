"""Levels that advance evenly: timestamps cost next to nothing, nothing else is taken for them, and all come back."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spikey
from kit import reference
from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.codec.encode import encode_block
from spikey.codec.method import Method
from spikey.codec.survey import survey
from spikey.levels.advancing import Advancing, find_advancing
from spikey.levels.affine import Affine
from spikey.levels.line import MOST_RUNS, MOST_STEP, ONE, PRODUCT, QUOTIENT, STEPS, Line, Run
from spikey.levels.line_search import find_line
from spikey.levels.registry import read_integer_levels, read_levels
from spikey.recording.simulate import simulate
from spikey.report.self_test import known_signal

FRAMES = 20_000
I = np.arange(FRAMES)  # noqa: E741
JUMPS = np.repeat([0, 512, 90_000], [7000, 1, FRAMES - 7001])
RANDOM = np.random.default_rng(0)

EXACT = {
    "sample numbers": I + 12_345,
    "beyond 32 bits": I + (1 << 40),
    "unsigned, around the end": np.arange(FRAMES, dtype=np.uint64) - np.uint64(100),
    "downward": -5 * I.astype(np.int32),
    "wrapping counter": (I * 9).astype(np.int16),
    "jumps": I + JUMPS,
    "a last frame after a jump": np.append(I, 10**9),
    "another step": np.concatenate([I, FRAMES + 3 * I]),
    "over a rate": I / 30_000,
    "over a rate, later": (I + 987_654_321) / 30_000,
    "times a period": I * 0.001,
    "after a start": 1234.567 + I / 30_000,
    "across zero": -0.25 + I / 30_000,
    "uneven rate": 62.1 + I / 29_999.914,
    "linspace": np.linspace(3, 13, FRAMES),
    "arange": np.arange(3, 3.5, 1 / 30_000),
    "interpolated": np.interp(I, [0, FRAMES], [100.1, 110.1003]),
    "accumulated": np.cumsum(np.full(FRAMES, 1 / 30_000)),
    "single precision": (I / 1000).astype(np.float32),
    "negative": -I / 30_000 - 7,
    "huge": 1e303 * (I - FRAMES / 2),
}
NEARLY = {
    "rounded microseconds": np.rint(I * (1e6 / 30_000)).astype(np.int64),
    "jitter": np.rint(I * 33.3 + RANDOM.normal(0, 0.7, FRAMES)).astype(np.int64),
    "pauses": I / 30_000 + 7.1 + np.repeat([0, 0.5123, 90_000.123, 3], FRAMES // 4),
}
OTHERS = {
    "noise": RANDOM.normal(size=FRAMES),
    "walk": np.cumsum(RANDOM.normal(size=FRAMES)),
    "integers": RANDOM.integers(-500, 500, FRAMES),
    "constant": np.full(FRAMES, 7),
    "digital line": (I // 64 % 2).astype(np.int16),
    "small ramp": (I % 4000).astype(np.int16)[:4000],
    "signal": known_signal(4000)[:, 0],
    "simulated": simulate(5000, 1)[:, 0],
    "sine": 1e4 * np.sin(I / 5000),
    "nothing finite": np.full(FRAMES, np.nan),
    "one NaN": np.where(I == 9999, np.nan, I / 30_000),
    "infinite": np.where(I > 0, np.inf, 0.0),
    "tiny": I % 2 * 5e-324,
    "extremes": np.where(I % 2 == 0, np.iinfo(np.int64).max, np.iinfo(np.int64).min),
    "few": I[:63],
}


def back(levels: Advancing, values: np.ndarray) -> Advancing:
    """The levels, written and read, after they gave the values back; the plain decoder does so too."""
    cursor = Cursor(levels.write())
    assert read_levels(4, cursor) == levels and not cursor.rest()
    codes, low = levels.to_codes(values)
    assert codes.dtype == np.int32 and codes.min() >= 0 and codes.max() < levels.alphabet
    restored = levels.to_values(codes, low, values.dtype)
    assert restored.dtype == values.dtype and restored.tobytes() == values.tobytes()
    line = reference.read_line(reference.Fields(levels.write()))
    kind = values.dtype.type if values.dtype.kind == "f" else None
    numbers = levels.line.numbers(len(values), values.dtype)
    for frame in (0, 1, 77, len(values) // 2, len(values) - 1):
        assert reference.number_on(line, frame, kind) == int(numbers[frame]) % 2**64
    return levels


@pytest.mark.parametrize("name", EXACT)
def test_what_advances_evenly_is_one_code(name, recwarn):
    values = EXACT[name]
    levels = find_advancing(values)
    assert not recwarn.list
    assert levels is not None and back(levels, values).alphabet == 1
    assert len(levels.write()) < 50 + 20 * (len(levels.line.runs) - 1) and "advancing by" in levels.words()


@pytest.mark.parametrize("name", NEARLY)
def test_what_advances_nearly_evenly_is_a_few_codes(name):
    values = NEARLY[name]
    levels = find_advancing(values)
    assert levels is not None and 1 < back(levels, values).alphabet <= 12 and "off that" in levels.words()


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_is_taken_for_it(name, recwarn):
    assert find_advancing(OTHERS[name]) is None
    assert not recwarn.list


def test_a_glance_at_a_recording_is_quick():
    """Less than a thousandth of what coding takes, as it happens for every channel of every block."""
    values = simulate(1 << 18, 1)[:, 0]
    start = time.perf_counter()
    for _ in range(100):
        find_line(values)
    assert time.perf_counter() - start < 0.2


@given(
    st.integers(-(1 << 62), 1 << 62),
    st.lists(st.tuples(st.integers(1, 900), st.integers(-(1 << 40), 1 << 40), st.integers(-99, 99)), max_size=4),
    st.sampled_from(["int64", "uint64", "int32", "uint32", "int16", "float64", "float32"]),
)
def test_any_runs_come_back(start, parts, dtype):
    steps = np.concatenate(
        [np.full(900, 41), *(np.append(np.full(length, step), jump) for length, jump, step in parts)]
    )
    numbers = np.cumsum(np.append(start, steps))
    values = numbers.astype(dtype) if dtype[0] != "f" else (numbers / 30_000).astype(dtype)
    found = find_advancing(values)
    if found is not None:
        back(found, values)
    assert found is not None or len(parts) or dtype[0] == "f"


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float64", "float32"])
def test_columns_of_a_recording_take_next_to_nothing(dtype):
    signal = RANDOM.integers(-500, 500, FRAMES)
    times = (I * 33 + JUMPS).astype(dtype) if dtype[0] != "f" else (5 + I / 30_000).astype(dtype)
    scale = np.dtype(dtype).type(0.195 if dtype[0] == "f" else 1)
    both = np.stack([times, signal.astype(dtype) * scale], axis=1)
    alone, together = (encode_block(samples, Method()) for samples in (both[:, 1:], both))
    assert alone is not None and together is not None
    assert len(together) < len(alone) + 90
    data = spikey.compress(both, 30_000, "fast")
    assert spikey.decompress(data).samples.tobytes() == both.tobytes()
    assert spikey.decompress(spikey.compress(both[:, 0], 30_000, "fast")).samples.tobytes() == both[:, 0].tobytes()


def test_integers_of_scaled_floats_may_advance():
    values = np.rint(I * (1e6 / 30_000)) * 0.5  # no rate gives these, but a gain does
    values[5000:5003] = np.nan
    found = survey(values[:, None], None)
    assert found is not None and found.channels[0].levels.alphabet < 9
    data = spikey.compress(values, 30_000, "fast")
    assert len(data) < FRAMES // 8 and spikey.decompress(data).samples.tobytes() == values.tobytes()


def test_channels_of_other_recordings_are_not_of_a_whole_block():
    times = (I * 33).astype(np.int32)[:, None]
    ours, theirs = survey(times, None), survey(times, None, placed=False)
    assert ours is not None and ours.channels[0].levels.placed
    assert theirs is not None and not theirs.channels[0].levels.placed


# ---------------------------------------------------------------- hostile


def fields(form: int, *rest: bytes) -> bytes:
    return bytes([form]) + b"".join(rest)


ZERO, INNER = bytes(8), Affine(1).write()
RUN = varint(0) + ZERO + varint(0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        fields(3, varint(0), RUN, INNER),
        fields(STEPS, varint(ONE), RUN, INNER),
        fields(STEPS, varint(0), varint(MOST_RUNS), INNER),
        fields(STEPS, varint(0), varint(0), ZERO, varint(zigzag(MOST_STEP + 1)), INNER),
        fields(STEPS, varint(0), varint(1), ZERO, varint(0), varint(1 << 31), ZERO, varint(0), INNER),
        fields(STEPS, varint(0), RUN),
        fields(STEPS, varint(0), RUN, varint(0) + varint(0) + varint(5) + varint(13)),
        *(
            fields(form, struct.pack("<d", scale), varint(0), ZERO, struct.pack("<d", offset), INNER)
            for form in (PRODUCT, QUOTIENT)
            for scale, offset in ((0.0, 0.0), (np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan), (1.0, -np.inf))
        ),
    ],
)
def test_impossible_lines_are_refused(data):
    with pytest.raises(DataError, match="^the file: "):
        read_levels(4, Cursor(data, "the file"))


@pytest.mark.parametrize("form", [PRODUCT, QUOTIENT])
def test_lines_for_other_frames_or_types_are_refused(form):
    codes = np.zeros(10, np.int32)
    for first in (10, 11, 1 << 30):
        with pytest.raises(DataError, match="jumps in frames that it does not have"):
            Advancing(Line((Run(0, 0), Run(first, 0))), Affine(1)).to_values(codes, None, np.dtype(np.int32))
    with pytest.raises(DataError, match="only floats do"):
        Advancing(Line((Run(0, 0),), form, scale=2.0), Affine(1)).to_values(codes, None, np.dtype(np.int64))


def test_packets_and_telemetry_refuse_them():
    with pytest.raises(DataError, match="a whole block"):
        read_integer_levels(4, Cursor(Advancing(Line((Run(0, 0),)), Affine(1)).write()))


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
)
def test_what_overflows_wraps_as_it_is_written(dtype, recwarn):
    dtype = np.dtype(dtype)
    extremes = [(1 << 63) - 1, -(1 << 63), 7]
    for start in extremes:
        line = Line((Run(0, start, MOST_STEP), Run(5, -start, -MOST_STEP)), fraction=ONE - 1)
        levels = Advancing(line, Affine(2, -(1 << 32), 1 << 32))
        values = levels.to_values(np.ones(10, np.int32), None, dtype)
        for frame in (0, 1, 4, 5, 9):
            first, begin, step = (0, start, MOST_STEP) if frame < 5 else (5, -start, -MOST_STEP)
            k = frame - first
            number = begin + step * k + (((ONE - 1) * k + ONE // 2) >> 32)
            assert int.from_bytes(values[frame].tobytes(), "little") == number % (1 << 8 * dtype.itemsize)
    if dtype.kind == "f":
        for form in (PRODUCT, QUOTIENT):
            for scale in (5e-324, 1e308, -1e-300):
                line = Line((Run(0, (1 << 63) - 3, offset=-1e308),), form, scale=scale)
                assert len(Advancing(line, Affine(1)).to_values(np.zeros(10, np.int32), None, dtype)) == 10
    assert not recwarn.list


@given(st.binary(max_size=60), st.sampled_from(["int16", "int32", "float32", "float64"]), st.integers(1, 300))
def test_any_bytes_give_levels_or_an_error(data, dtype, frames):
    try:
        levels = read_levels(4, Cursor(data))
        assert len(levels.to_values(np.zeros(frames, np.int32), np.zeros(frames, np.int64), np.dtype(dtype))) == frames
    except DataError:
        return

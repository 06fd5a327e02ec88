"""The coder gives back what it was given, survives what it was not, and writes the bytes of its plain reference."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.contract import (
    COMBINATIONS,
    DENSITIES,
    EDGE_LENGTHS,
    NARROW_CODES,
    SIGNALS,
    damage,
    decode,
    encode,
    lanes_for,
    signal,
    uneven_edges,
    witness,
)
from kit.paths import SOURCE, TESTS
from spikey.coding import range_coder
from spikey.coding.symbols import code_symbol
from spikey.model.density import narrow, uniform_edges, wide
from spikey.model.fixed_point import MASS, RECIPROCAL

STEPS = len(RECIPROCAL)
combinations = pytest.mark.parametrize("predictor, density", COMBINATIONS)


@combinations
@pytest.mark.parametrize("name", SIGNALS)
def test_round_trip(predictor, density, name):
    size = DENSITIES[density][0]
    for lanes, frames in [(1, 0), (1, 1), (2, 1), (3, 2), (3, 3), (1, 1000), (2, 1000), (3, 1001), (16, 20)]:
        lanes = lanes_for(predictor, lanes)
        codes = signal(name, frames, size)
        streams = encode(codes, predictor, density, lanes)
        assert len(streams) == lanes
        np.testing.assert_array_equal(decode(streams, frames, predictor, density, lanes), codes)


@combinations
def test_every_length_around_segments(predictor, density):
    for frames in EDGE_LENGTHS:
        for lanes in sorted({lanes_for(predictor, lanes) for lanes in (1, 2, 3)}):
            codes = signal("coloured", frames, DENSITIES[density][0], seed=frames)
            streams = encode(codes, predictor, density, lanes)
            np.testing.assert_array_equal(decode(streams, frames, predictor, density, lanes), codes)


@settings(max_examples=150, deadline=None)
@given(
    codes=st.lists(st.integers(0, NARROW_CODES - 1), max_size=300),
    combination=st.sampled_from([combination for combination in COMBINATIONS if combination[1] == "narrow"]),
    lanes=st.integers(1, 4),
)
def test_round_trip_of_anything(codes, combination, lanes):
    codes, lanes = np.array(codes, dtype=np.int32), lanes_for(combination[0], lanes)
    np.testing.assert_array_equal(decode(encode(codes, *combination, lanes), len(codes), *combination, lanes), codes)


@combinations
def test_damaged_streams_give_codes_all_the_same(predictor, density):
    size = DENSITIES[density][0]
    start = time.process_time()
    for seed in range(60):
        lanes = lanes_for(predictor, seed % 3 + 1)
        name = list(SIGNALS)[seed % len(SIGNALS)]
        streams = damage(encode(signal(name, 600, size), predictor, density, lanes), seed)
        codes = decode(streams, 600, predictor, density, lanes)
        assert codes.min() >= 0 and codes.max() < size
    assert time.process_time() - start < 60


def test_a_silent_channel_costs_next_to_nothing():
    size = {n: len(encode(signal("constant", n, NARROW_CODES), "lpc", "narrow")[0]) for n in (9000, 90_000)}
    assert size[9000] <= 200 and size[90_000] <= size[9000] + 4


@pytest.mark.parametrize("predictor, excess", [("lpc", 0.16), ("crossed", 0.09)])
def test_noise_costs_what_it_must(predictor, excess):
    """White noise is hardest on predictors of differences, with a prior for quite another signal at that."""
    edges = uneven_edges(NARROW_CODES)
    codes = np.searchsorted(edges[1:-1], (np.random.default_rng(1).normal(size=50_000) * 9 + 150) * 64).astype(np.int32)
    bits = sum(map(len, encode(codes, predictor, "narrow"))) * 8 / len(codes)
    ideal = np.log2(9 * np.sqrt(2 * np.pi * np.e)) - np.log2(np.diff(edges)[codes] / 64).mean()
    assert ideal - 0.01 < bits < ideal + excess


@pytest.mark.parametrize("lanes", [1, 3])
def test_any_bytes_are_the_code_word_of_some_codes(lanes):
    """The intervals of all codes fill the range without a gap or an overlap."""
    random = np.random.default_rng(lanes)
    streams = [random.integers(0, 256, 400, dtype=np.uint8).tobytes() for _ in range(lanes)]
    codes = decode(streams, lanes * 500, "lpc", "narrow", lanes)
    again = encode(codes, "lpc", "narrow", lanes)
    for stream, restored in zip(streams, again, strict=True):
        assert len(restored) > 100
        assert restored[:-10] == stream[: len(restored) - 10]


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_kernels_write_the_same_bytes_uncompiled(thorough):
    """Also with warnings as errors: NumPy's scalars warn where a compiled integer would silently overflow."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "kit.contract", *["thorough"] * thorough],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines() == witness(thorough)


# The range coder


def arithmetic_reference(intervals):
    """One stream of (low counts, counts) by exact arithmetic on one large number."""
    low, width, size = 0, 1 << 56, 7
    for low_counts, counts in intervals:
        unit = width >> 24
        low, width = low + unit * low_counts, unit * counts
        while width < 1 << 40:
            low, width, size = low << 16, width << 16, size + 2
    for keep in range(56, -1, -8):
        value = -(-low >> keep) << keep
        if value < low + width:
            break
    return value.to_bytes(size, "big").rstrip(b"\0")


@st.composite
def intervals(draw):
    """Intervals out of 2^24, with many at the very ends, where carries come from."""
    result = []
    for _ in range(draw(st.integers(0, 60))):
        counts = draw(st.sampled_from([1, 2, 255, 1 << 12, MASS // 3, MASS - 1]))
        low = draw(st.one_of(st.just(0), st.just(MASS - counts), st.integers(0, MASS - counts)))
        result.append((low, counts))
    return result


@settings(max_examples=100, deadline=None)
@given(intervals())
def test_range_coder_is_exact_arithmetic(symbols):
    encoder = range_coder.range_encoder(2, 1000)
    for low, counts in symbols:
        range_coder.put(encoder, 1, low, counts)
    streams = range_coder.finish(encoder)
    assert streams == [b"", arithmetic_reference(symbols)]
    decoder = range_coder.range_decoder(streams)
    for low, counts in symbols:
        assert low <= range_coder.target(decoder, 1) < low + counts
        range_coder.take(decoder, 1, low, counts)


def test_a_carry_runs_through_all_bytes():
    symbols = [(MASS // 2 - 1, 1)] + [(MASS - 1, 1)] * 50 + [(MASS - 3, 3)] * 10
    symbols += [(MASS - MASS // 3, MASS // 3)] * 40
    encoder = range_coder.range_encoder(1, 1000)
    for low, counts in symbols:
        range_coder.put(encoder, 0, low, counts)
    assert range_coder.finish(encoder) == [arithmetic_reference(symbols)]


def test_an_encoder_that_is_full_stays_within_its_room():
    encoder = range_coder.range_encoder(1, 8)
    density = wide(1 << 20)
    for code in range(0, 1 << 20, 1 << 13):
        code_symbol(encoder, density, 0, 64 * ((1 << 20) - 1 - code), 0, code)
    assert encoder.at[0] > 8


def places(size, seed):
    """Locations, steps and codes as awkward as can be: far outside, at the ends, at the finest and coarsest scale."""
    random = np.random.default_rng(seed)
    for _ in range(250):
        location = random.choice(
            [
                random.integers(0, size * 64),
                random.integers(-200, 200),
                size * 64 + random.integers(-200, 200),
                random.integers(-(1 << 28), 1 << 28),
            ]
        )
        step = random.choice([0, STEPS - 1, random.integers(0, 260), random.integers(0, STEPS)])
        near = (int(location) >> 6) + random.integers(-3, 4)
        code = random.choice([0, size - 1, random.integers(0, size), near])
        yield np.int64(location), np.int64(step), np.int64(min(max(int(code), 0), size - 1))


@pytest.mark.parametrize("size", [1, 2, 7, 300, 4096, 4097, 50_000, 1 << 20])
def test_awkward_locations_and_scales(size):
    density = narrow(uniform_edges(size)) if size <= 4096 else wide(size)
    encoder = range_coder.range_encoder(1, 8000)
    for location, step, code in places(size, size):
        code_symbol(encoder, density, 0, location, step, code)
    decoder = range_coder.range_decoder(range_coder.finish(encoder))
    for location, step, code in places(size, size):
        assert code_symbol(decoder, density, 0, location, step, np.int64(-1)) == code

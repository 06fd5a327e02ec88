"""Every type of integers, few or many channels, any length: the wide engine gives every sample back."""

from __future__ import annotations

import numpy as np
import pytest

from kit.wide import CONTENTS, INTEGERS, SHAPES, decoded, encoded, ends, made, round_trip
from spikey.integrations.chunk import decode_chunk, encode_chunk


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("content", CONTENTS)
def test_samples_come_back(content, dtype):
    for shape in SHAPES:
        round_trip(made(content, shape, dtype))


@pytest.mark.parametrize("frames", [*range(1, 20), 31, 32, 33, 63, 64, 65, 255, 256, 257])
def test_every_length(frames):
    for channels in (1, 3):
        round_trip(made("walks", (frames, channels), "int16"))


@pytest.mark.parametrize("content", ["noise", "outliers", "scales", "ramps"])
def test_wide_lanes(content):
    """Of 16,384 frames and more."""
    for frames in (16_384, 16_384 + 31):
        round_trip(made(content, (frames, 3), "int16"))
    round_trip(made(content, (16_385, 2), "int32"))


def test_one_long_channel():
    samples = made("walks", (200_000, 1), "int16")
    assert round_trip(samples) < 0.4 * samples.nbytes


@pytest.mark.parametrize("dtype", INTEGERS)
def test_constant_channels_cost_next_to_nothing(dtype):
    samples = made("constants", (5000, 600), dtype)
    assert round_trip(samples) < 6000


def test_one_moving_channel_among_dead_ones():
    samples = np.full((4000, 64), -7, np.int16)
    alone = round_trip(samples)
    samples[:, 20] = made("walks", (4000, 1), "int16")[:, 0]
    assert round_trip(samples) - alone < len(encoded(samples[:, 20:21])) + 16


def test_a_synchronisation_channel_costs_next_to_nothing():
    samples = made("walks", (20_000, 8), "int16")
    sync = np.full(20_000, 64, np.int16)
    sync[5000:5600] = sync[12_000:12_001] = 65
    with_sync = np.concatenate([samples, sync[:, None]], axis=1)
    assert round_trip(with_sync) - round_trip(samples) < 500


def test_alike_but_for_a_gain_or_a_sign():
    one = made("walks", (2000, 1), "int16")
    round_trip(np.concatenate([one, -one, one, 3 * one, one // 2], axis=1))


def test_a_channel_that_moves_only_at_the_end():
    samples = np.zeros((3000, 5), np.int32)
    samples[-1] = [1, -1, (1 << 31) - 1, -(1 << 31), 0]
    samples[0, 4] = 9
    round_trip(samples)


@pytest.mark.parametrize("step", [1, 3, 127, 128, 255, 256, 4096, 65_536, 1_000_003])
def test_even_grids_over_all_of_a_type(step):
    """Positions times steps that do not fit into 32 bits."""
    low, high = ends("int32")
    codes = np.random.default_rng(step).integers(0, min((high - low) // step + 1, 1 << 20), (300, 3))
    for start in (low, max(high - step * int(codes.max()), low)):
        samples = (codes * step + start).astype(np.int32)
        payload = encoded(samples)
        assert payload is None or decoded(payload, samples).tobytes() == samples.tobytes()
        round_trip(samples)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integers_of_64_bits_in_chunks(dtype):
    walk = np.cumsum(np.arange(3000) % 7 - 3).reshape(1000, 3)
    for samples in (walk + (1 << 40), walk, np.full((1000, 3), ends(dtype)[1]), made("noise", (300, 2), dtype)):
        samples = samples.astype(dtype)
        assert decode_chunk(encode_chunk(samples)).tobytes() == samples.tobytes()

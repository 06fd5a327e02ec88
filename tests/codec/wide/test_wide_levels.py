"""What the wide engine is given beside plain integers: scaled floats, tables, a converter's codes, lines."""

from __future__ import annotations

import numpy as np
import pytest

from kit.wide import decoded, encoded, made, round_trip
from spikey.codec.decode import decode_block
from spikey.codec.payload import Lookup, Payload
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import Calibration, n1


def stretched(frames: int, channels: int) -> np.ndarray:
    """N1 samples."""
    return N1_VALUES[np.clip(made("walks", (frames, channels), "int16") + 512, 0, 1023)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gain", [0.195, 1 / 32768, -2.5, 1e-9])
def test_scaled_integers(dtype, gain):
    for content in ("walks", "outliers", "constants", "offsets"):
        for shape in ((1, 1), (5, 3), (300, 40)):
            round_trip((made(content, shape, "int16") * gain).astype(dtype))


def test_floats_with_exceptions_and_without_levels():
    samples = made("walks", (1000, 40), "int16").astype(np.float32) * np.float32(0.195)
    samples[100:130, 3] = np.nan
    samples[7, 4] = np.inf
    samples[::3, 5] = -0.0
    samples[:, 6] = np.random.default_rng(3).normal(size=1000)
    assert round_trip(samples) < samples.nbytes / 2


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 40, 600, 16_400])
def test_codes_of_a_calibrated_converter(frames):
    for channels in (1, 2, 35):
        if frames * channels > 100_000:
            continue
        samples = stretched(frames, channels)
        round_trip(samples, n1())
        samples[frames // 2 :, :1] = N1_VALUES[0]
        samples[-1] = N1_VALUES[-1]
        round_trip(samples, n1())


def test_codes_at_the_ends_of_a_converter():
    rng = np.random.default_rng(1)
    for low, high in ((0, 3), (1020, 1024), (0, 1024)):
        round_trip(N1_VALUES[rng.integers(low, high, (500, 3))], n1())


def test_codes_of_a_converter_far_from_zero_with_large_steps():
    """Samples minus the converter's offset do not fit into 32 bits."""
    step, alphabet = 1 << 20, 4096
    edges = np.arange(alphabet + 1, dtype=np.int32) * 64
    edges[1::2] += 16
    metadata = {"levels": "affine", "offset": -(1 << 31), "step": step}
    calibration = Calibration(edges, np.array([65536, 100], np.int32), metadata)
    codes = np.cumsum(np.random.default_rng(5).integers(-2, 3, (4000, 2)) * 2, axis=0) + np.array([4000, 60])
    codes = np.clip(codes, 0, alphabet - 1) & ~1
    samples = (codes * step - (1 << 31)).astype(np.int32)
    payload = encoded(samples, calibration)
    assert payload is not None
    found = decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(lambda: calibration))
    assert (found == samples).all()


def test_tables_and_coarse_grids():
    rng = np.random.default_rng(2)
    values = np.unique(np.concatenate([rng.integers(-30_000, 30_000, 60), [-32_768, 32_767]])).astype(np.int16)
    places = np.clip(np.cumsum(rng.integers(-1, 2, (3000, 3)), axis=0) + 30, 0, len(values) - 1)
    round_trip(values[places])
    coarse = (made("walks", (3000, 4), "int16") * 12).astype(np.int16)
    round_trip(coarse)
    coarse[50] += 5
    round_trip(coarse)


def test_timestamps():
    times = np.arange(5000)[:, None] * [3, 1000] + 77 * (np.arange(5000)[:, None] > 4000)
    assert round_trip(times.astype(np.int32)) < 300
    seconds = np.arange(5000)[:, None] / 30_000 + [[1.5, 700.25]]
    assert encoded(seconds) is not None
    assert decoded(encoded(seconds), seconds).tobytes() == seconds.tobytes()


@pytest.mark.parametrize("order", ["F", "sliced", "read-only", "reversed"])
def test_arrays_however_they_lie_in_memory(order):
    plain = made("walks", (500, 5), "int16")
    samples = {
        "F": np.asfortranarray(plain),
        "sliced": plain.repeat(2, axis=1)[:, ::2],
        "reversed": plain[::-1][::-1],
        "read-only": plain.copy(),
    }[order]
    samples.flags.writeable = order != "read-only"
    assert encoded(samples) == encoded(plain)


def test_grids_of_another_step_or_remainder_stay_apart():
    """A line among them keeps the block from the fast search for grids."""
    codes = np.cumsum(np.random.default_rng(5).integers(-6, 7, (600, 9), np.int32), axis=0, dtype=np.int32)
    grids = codes * 24 + np.array([0, 12, 6, 0, 12, 6, 0, 12, 0], np.int32)
    grids[:, 7] = codes[:, 7] = 5
    grids[:, 8] = codes[:, 8] * 625 // 26
    assert round_trip(grids) < round_trip(codes) + 60

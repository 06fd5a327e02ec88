"""Interpolated recordings are found and cost what their sampled frames do; others cost a glance."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kit.interpolated import ROUNDINGS, half_band, interpolated, sampled, windowed_sinc
from kit.paths import DATA
from kit.wide import CONTENTS, made
from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block, encode_smallest
from spikey.codec.interpolated import detect as module
from spikey.codec.interpolated.detect import detect
from spikey.codec.interpolated.payload import Parts, parse
from spikey.codec.payload import Payload, predictor_in
from spikey.codec.registry import PRESETS, ranked
from spikey.recording.layout import Layout

FAST = PRESETS["fast"].method
FILTERS = {
    "half-band": half_band(),
    "sinc by 2": windowed_sinc(2, 8),
    "sinc by 3": windowed_sinc(3, 8),
    "long sinc by 3": windowed_sinc(3, 16),
    "sinc by 4": windowed_sinc(4, 6),
    "linear": np.array([[0.5, 0.5]]),
    "cubic": np.array([[-1, 9, 9, -1]]) / 16,
}


def smallest(samples: np.ndarray, preset: str = "fast") -> bytes:
    """The payload of a block, from which it comes back bit for bit."""
    layout = Layout(samples.shape[1], 30_000, samples.dtype.name)
    (block,) = encode_smallest([samples], [layout], PRESETS[preset].method)
    found = decode_block(Payload(block.payload, *samples.shape, samples.dtype))
    assert found.dtype == samples.dtype and found.tobytes() == samples.tobytes()
    return block.payload


def parts_of(samples: np.ndarray) -> Parts:
    """Of a block that is coded as interpolated, and smaller for it."""
    return taken_apart(samples)[0]


def taken_apart(samples: np.ndarray) -> tuple[Parts, int]:
    """The parts, and the bytes of the payload."""
    payload, plain = smallest(samples), encode_block(samples, FAST)
    assert predictor_in(payload) == "interpolated"
    assert plain is None or len(payload) < len(plain)
    return parse(Payload(payload, *samples.shape, samples.dtype)), len(payload)


def bits_between(samples: np.ndarray) -> float:
    """Bits for each frame that was not sampled, those of the filter included."""
    parts, size = taken_apart(samples)
    size -= len(parts.sampled.data) + (0 if parts.rest is None else len(parts.rest.data))
    return 8 * size / (len(parts.pattern.others) * len(parts.channels))


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", FILTERS)
def test_frames_between_cost_next_to_nothing(name, rounding):
    taps = FILTERS[name]
    samples = interpolated(sampled(9000, 8), taps, phase=1, rounding=rounding).astype(np.int16)
    assert bits_between(samples) < 0.1
    parts = parts_of(samples)
    assert parts.pattern.factor == len(taps) + 1 and parts.pattern.runs == ((0, 1),) and not len(parts.others)


def test_the_filter_of_a_headstage_is_found_and_halves_its_files():
    samples = interpolated(sampled(9000, 8, step=4), half_band()).astype(np.int16)
    parts, plain = parts_of(samples), encode_block(samples, FAST)
    assert np.abs(parts.filter.taps / 2.0**parts.filter.bits - half_band()).max() < 1e-3
    assert len(smallest(samples)) < 0.6 * len(plain)


@pytest.mark.parametrize("phase", range(3))
def test_every_phase_is_found(phase):
    samples = interpolated(sampled(2000, 4), windowed_sinc(3, 8), phase=phase).astype(np.int16)
    assert parts_of(samples).pattern.runs == ((0, phase),)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "uint32"])
def test_integers_of_every_type(dtype):
    samples = interpolated(sampled(12_000, 4, size=6 if dtype == "int8" else 40) - 60, windowed_sinc(2, 8))
    info = np.iinfo(dtype)
    samples += 0 if info.min else (info.max + 1) // 2
    assert info.min <= samples.min() and samples.max() <= info.max
    assert bits_between(samples.astype(dtype)) < 0.1


@pytest.mark.parametrize(("dtype", "gain"), [("float32", 0.195), ("float64", 1.95e-7)])
def test_floats_that_are_scaled_integers(dtype, gain):
    samples = interpolated(sampled(4000, 4), windowed_sinc(2, 8)).astype(dtype) * np.dtype(dtype).type(gain)
    assert bits_between(samples) < 0.15
    samples[100:140, 2] = np.nan
    assert parts_of(samples).others.tolist() == [2]
    samples[:, 2] = samples[:, 0]
    samples[::2][300:310, 1] = np.nan  # of sampled frames alone
    assert bits_between(samples) < 0.15


def test_samples_on_a_coarser_grid_and_24_bits():
    coarse = 12 * interpolated(sampled(6000, 4), half_band()) + 5
    assert bits_between(coarse.astype(np.int16)) < 0.1 and parts_of(coarse.astype(np.int16)).step == 12
    assert bits_between(interpolated(sampled(6000, 4, size=200_000), half_band()).astype(np.int32)) < 0.1


def test_gaps_of_zeros():
    samples = interpolated(sampled(15_000, 8), half_band())
    samples[7001:7500] = 0
    samples[20_000:20_011] = 0
    assert bits_between(samples.astype(np.int16)) < 0.1


def test_lost_frames_move_the_phase():
    samples = interpolated(sampled(15_000, 8), windowed_sinc(3, 8))
    samples = np.delete(samples, np.r_[9000:9020, 30_000:30_300], axis=0)
    assert bits_between(samples.astype(np.int16)) < 0.1
    (_, _), (first, phase) = parts_of(samples.astype(np.int16)).pattern.runs
    assert abs(first - 9000) < 12 and (first + phase) % 3 == 1


@pytest.mark.parametrize("taps", [half_band(), windowed_sinc(3, 8)], ids=["by 2", "by 3"])
@pytest.mark.parametrize("rails", [None, (-3000, 3000)], ids=["before", "before and after"])
def test_clipped_samples(taps, rails):
    analog = sampled(15_000, 8, size=300, seed=3)
    analog[6000:6300, :4] *= 30
    samples = interpolated(np.clip(analog * 3, -3000, 3000), taps, rails=rails)
    assert (np.abs(samples) >= 3000).sum() > 2000
    assert bits_between(samples.astype(np.int16)) < 0.1


def test_what_the_filter_does_not_predict_comes_back():
    samples = interpolated(sampled(8000, 4), half_band()).astype(np.int16)
    random = np.random.default_rng(1)
    samples[random.integers(0, len(samples), 40), random.integers(0, 4, 40)] = random.integers(-32768, 32768, 40)
    samples[:2], samples[-2:] = -32768, 32767
    parts_of(samples)


def test_channels_that_are_not_interpolated_are_coded_as_they_are():
    samples = interpolated(sampled(6000, 9), half_band())
    noise = np.random.default_rng(2).normal(0, 30, len(samples))
    samples[:, 1], samples[:, 5], samples[:, 6] = noise, np.arange(len(samples)) // 700 % 2 * 64, 17
    parts = parts_of(samples.astype(np.int16))
    assert {1, 5} <= set(parts.others.tolist()) <= {1, 5, 6}
    alone = encode_block(samples[:, parts.others].astype(np.int16), FAST)
    assert parts.rest is not None and bytes(parts.rest.data) == alone


@pytest.mark.parametrize("shape", [(1000, 1), (1000, 4), (1000, 64), (1500, 16)])
def test_chunks_of_a_thousand_frames(shape):
    frames, channels = shape
    samples = interpolated(sampled(frames // 2, channels), half_band()).astype(np.int16)
    parts_of(samples)


@pytest.mark.parametrize("preset", ranked())
def test_every_preset_makes_use_of_it(preset):
    samples = interpolated(sampled(400, 1), half_band()).astype(np.int16)
    assert predictor_in(smallest(samples, preset)) == "interpolated"


@pytest.mark.parametrize("content", CONTENTS)
def test_other_samples_are_coded_as_before(content):
    for dtype in ("int16", "int32", "uint8"):
        samples = made(content, (1500, 3), dtype)
        plain = encode_block(samples, FAST)
        if plain is not None and len(smallest(samples)) >= len(plain):
            assert smallest(samples) == plain
        found = detect(samples)
        assert found is None or content in ("ramps", "square waves", "alternating rails")


def test_noise_alone_and_smooth_signals_are_not_taken_for_it():
    random = np.random.default_rng(4)
    smooth = np.cumsum(np.cumsum(random.normal(size=(40_000, 6)), axis=0), axis=0)
    smooth = smooth[:-64] - 2 * smooth[32:-32] + smooth[64:]
    for samples in (random.normal(0, 50, (40_000, 6)), smooth / 4, smooth * 10 + random.normal(0, 20, smooth.shape)):
        assert detect(np.rint(samples).astype(np.int16)) is None


def test_a_glance_is_all_that_other_recordings_cost(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "_first_look", lambda *_: seen.append(1))
    samples = np.rint(np.random.default_rng(4).normal(0, 50, (30_000, 40))).astype(np.int16)
    assert detect(samples) is None and not seen
    assert module.glances(*samples.shape) == 3 and module.glances(1000, 4) == 1 and module.glances(100, 4000) == 0


def real() -> list[tuple[str, np.ndarray]]:
    """The first minute of each real recording of integers, none of which is interpolated."""
    found = []
    for path in sorted((DATA / "real").glob("*/meta.json")):
        meta = json.loads(path.read_text())
        if np.dtype(meta["dtype"]).kind in "iu":
            samples = np.fromfile(path.parent / meta["file"], meta["dtype"])
            found.append((path.parent.name, samples.reshape(-1, meta["channels"])))
    return found


@pytest.mark.data("real")
def test_no_real_recording_is_taken_for_it():
    recordings = real()
    assert len(recordings) > 10
    for name, samples in recordings:
        for length in (1000, 30_000):
            blocks = [samples[at : at + length] for at in range(0, len(samples), length)]
            assert not any(detect(block) for block in blocks), name

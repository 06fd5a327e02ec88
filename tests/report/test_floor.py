"""The estimate of the noise floor, on noise whose entropy is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from spikey.files.settings import Settings
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import n1
from spikey.model.fixed_point import UNIT
from spikey.recording.layout import Layout
from spikey.report.bench.floor import floor, floor_of_files
from spikey.report.bench.measure import spikey_codec
from spikey.report.bench.recordings import Loaded

FRAMES = 150_000


def loaded(samples: np.ndarray) -> Loaded:
    if samples.ndim == 1:
        samples = samples[:, None]
    return Loaded("a", Layout(samples.shape[1], 20_000, "int16"), samples.astype(np.int16), b"", b"", False)


def entropy(deviation: float) -> float:
    """Bits of a Gaussian in steps of one, where these are small beside its deviation."""
    return 0.5 * math.log2(2 * math.pi * math.e * deviation**2)


def autoregressive(innovations: np.ndarray) -> np.ndarray:
    signal = np.zeros(len(innovations))
    for at in range(2, len(innovations)):
        signal[at] = 1.3 * signal[at - 1] - 0.6 * signal[at - 2] + innovations[at]
    return signal


@pytest.mark.parametrize("deviation", [6.0, 40.0])
def test_gaussian_noise_of_known_entropy(deviation):
    innovations = np.random.default_rng(1).normal(0, deviation, FRAMES)
    bits, looked_at = floor(loaded(np.rint(autoregressive(innovations))))
    assert bits == pytest.approx(entropy(deviation), rel=0.005)
    assert looked_at == FRAMES


def test_scale_that_changes():
    deviations = np.repeat([4.0, 12.0, 7.0, 30.0, 5.0], FRAMES // 5)
    innovations = np.random.default_rng(2).normal(0, 1, FRAMES) * deviations
    bits, _ = floor(loaded(np.rint(autoregressive(innovations))))
    assert bits == pytest.approx(np.mean([entropy(each) for each in deviations]), rel=0.005)


def test_what_channels_share_counts_once():
    chance = np.random.default_rng(3)
    shared, one, other = chance.normal(0, 1, (3, FRAMES))
    pair = np.rint(10 * np.stack([shared + 0.5 * one, np.roll(shared, 5) + 0.5 * other], axis=1))
    bits, _ = floor(loaded(pair))
    joint = 0.5 * math.log2(np.linalg.det(100 * np.array([[1.25, 1], [1, 1.25]]))) + math.log2(2 * math.pi * math.e)
    assert bits == pytest.approx(joint / 2, rel=0.005)


def joint(covariance: np.ndarray) -> float:
    """Bits a sample of Gaussian channels with such a covariance, in steps of one."""
    return entropy(1) + 0.5 * np.linalg.slogdet(covariance)[1] / math.log(2) / len(covariance)


def test_every_channel_is_predicted_from_all_before_it():
    """A part that all channels share, of which four others would tell little: the floor is the determinant's."""
    channels, frames = 32, 20_000
    covariance = 36 * np.ones((channels, channels)) + 64 * np.eye(channels)
    noise = np.random.default_rng(6).normal(0, 1, (frames, channels)) @ np.linalg.cholesky(covariance).T
    bits, _ = floor(loaded(np.rint(noise)))
    assert bits == pytest.approx(joint(covariance), rel=0.003)
    four = covariance[:5, :5]  # a channel and four others
    with_four = entropy(1) + 0.5 * math.log2(np.linalg.det(four) / np.linalg.det(four[:4, :4]))
    assert bits < (joint(covariance) + with_four) / 2


def test_channels_before_are_seen_before_and_after_now():
    """What all channels share arrives in some of them a frame later, which does not change the floor."""
    channels, frames = 24, 12_000
    chance = np.random.default_rng(7)
    shared, own = chance.normal(0, 9, frames), chance.normal(0, 7, (frames, channels))
    late = np.stack([np.roll(shared, chance.integers(0, 2)) for _ in range(channels)], axis=1)
    bits, _ = floor(loaded(np.rint(late + own)))
    assert bits == pytest.approx(joint(81 * np.ones((channels, channels)) + 49 * np.eye(channels)), rel=0.003)


def test_noise_of_a_dense_probe():
    """The noise of the generated recording of docs/results.md: two columns, correlation falling to 1/e in 40 um."""
    rows, frames = 24, 8000
    places = np.array([(20 * column, 20 * row) for column in range(2) for row in range(rows)])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    covariance = (8 / 0.585) ** 2 * np.exp(-apart / 40)
    noise = np.random.default_rng(8).normal(0, 1, (frames, 2 * rows)) @ np.linalg.cholesky(covariance).T
    bits, looked_at = floor(loaded(3 * np.rint(noise)))
    assert looked_at == frames * 2 * rows
    assert bits == pytest.approx(joint(covariance), rel=0.003)


def test_few_artifacts_do_not_hide_the_noise():
    signal = autoregressive(np.random.default_rng(9).normal(0, 6, FRAMES))
    signal[100::500] += 3000  # of one frame each, which make least squares forget the noise's colour
    bits, _ = floor(loaded(np.rint(signal)))
    assert entropy(6) < bits < entropy(6) + 0.13


def test_widths_of_codes_count():
    edges = n1().edges / UNIT
    analog = np.random.default_rng(4).normal(520, 5, FRAMES)
    codes = np.searchsorted(edges[1:-1], analog, side="right")
    share = np.bincount(codes) / FRAMES
    bits, _ = floor(loaded(N1_VALUES[codes]))
    empirical = -np.sum(share[share > 0] * np.log2(share[share > 0]))
    assert bits == pytest.approx(empirical, rel=0.005)
    assert bits < entropy(5) - 0.02  # which it would be if all codes were equally wide


def test_of_large_recordings_a_part_is_looked_at(monkeypatch):
    monkeypatch.setattr("spikey.report.bench.floor.STRETCH", 8192)
    monkeypatch.setattr("spikey.report.bench.floor.MOST_SAMPLES", 1 << 16)
    noise = np.random.default_rng(5).normal(0, 7, (5 * 8192, 12)).round()
    bits, looked_at = floor(loaded(noise))
    assert looked_at == 6 * 8192  # half of the channels in a stretch
    assert bits == pytest.approx(entropy(7), rel=0.01)
    bits, looked_at = floor(loaded(noise[:, :2]))
    assert looked_at == 2 * 3 * 8192 and bits == pytest.approx(entropy(7), rel=0.01)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(1),
        np.array([5, -7]),
        np.full(1000, 3),
        np.tile([-32768, 32767], 500),
        np.arange(-500, 500),
        np.concatenate([np.zeros(500), [30000], np.zeros(500)]),
    ],
    ids=["one", "two", "constant", "square", "ramp", "artifact"],
)
def test_odd_recordings_have_a_finite_floor(samples):
    bits, looked_at = floor(loaded(np.asarray(samples)))
    assert 0 <= bits < 17 and looked_at == len(samples)


@pytest.mark.data("neuralink")
def test_real_recordings_lie_close_above_it(real_recordings):
    files = real_recordings[:2]
    found = floor_of_files(files)
    assert found.bits_per_sample == pytest.approx(np.average(found.each), rel=0.01)
    from spikey.report.bench.recordings import load

    recordings = [load(file) for file in files]
    codec = spikey_codec(Settings(preset="fast"))
    bits = 8 * sum(len(codec.encode(each)) for each in recordings) / sum(each.frames for each in recordings)
    assert 0.99 * bits < found.bits_per_sample < bits

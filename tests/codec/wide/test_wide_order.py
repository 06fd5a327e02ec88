"""Which channels are coded together, and after which others."""

from __future__ import annotations

import numpy as np
import pytest

from spikey.codec.wide.order import correlations, groups_of, whiten

FRAMES = 3000


def sources(count: int, seed: int = 0) -> np.ndarray:
    """Independent signals (frames, count), each with a past that predicts it."""
    noise = np.random.default_rng(seed).normal(0, 40, (FRAMES + 8, count))
    return sum(noise[lag : lag + FRAMES] * weight for lag, weight in enumerate((0.3, 0.8, 1.0, 0.5)))


def quantised(signals: np.ndarray) -> np.ndarray:
    return np.rint(signals).astype(np.int16)


def probe(channels: int) -> np.ndarray:
    """Neighbours by number hear the same sources, the less the farther they are apart."""
    around = sources(channels + 6)
    near = sum(around[:, at : at + channels] * weight for at, weight in enumerate((0.2, 0.5, 0.9, 1, 0.9, 0.5, 0.2)))
    return quantised(near + np.random.default_rng(1).normal(0, 10, (FRAMES, channels)))


def test_neighbours_by_number_stay_together():
    groups = [np.sort(channels) for channels, _ in groups_of(probe(96))]
    assert [group.tolist() for group in groups] == [list(range(at, at + 32)) for at in (0, 32, 64)]


def test_channels_that_are_alike_come_together_whatever_their_numbers_are():
    kinds = np.random.default_rng(2).permutation(np.repeat(np.arange(4), 16))
    signals = sources(4)[:, kinds] + np.random.default_rng(3).normal(0, 20, (FRAMES, 64))
    for channels, _ in groups_of(quantised(signals)):
        found = np.bincount(kinds[channels], minlength=4)
        assert sorted(found) == [0, 0, 16, 16]


@pytest.mark.parametrize(("frames", "channels"), [(1, 2), (2, 40), (5, 3), (9, 33), (300, 64), (1100, 70), (1200, 600)])
def test_every_channel_comes_once_and_after_those_it_refers_to(frames, channels):
    codes = np.random.default_rng(4).integers(-50, 50, (frames, channels)).astype(np.int32)
    codes[:, 0] = 7
    codes[:, -1] = np.where(np.arange(frames) % 2, np.iinfo(np.int32).min, np.iinfo(np.int32).max)
    groups = groups_of(codes)
    assert sorted(np.concatenate([group for group, _ in groups]).tolist()) == list(range(channels))
    for group, near in groups:
        assert len(group) <= 32 and near.shape == (len(group), 4)
        for place, others in enumerate(near):
            used = others[others >= 0]
            assert (used < place).all() and len(set(used.tolist())) == len(used) == min(place, 4)


def test_the_own_past_explains_nothing_of_a_correlation():
    shared = sources(1)
    alike = correlations(quantised(np.concatenate([shared, shared + sources(1, seed=5), sources(1, seed=6)], axis=1)))
    np.testing.assert_allclose(alike, alike.T)
    assert alike[0, 1] > 0.6 and abs(alike[0, 2]) < 0.1


def test_errors_are_those_of_least_squares():
    differences = sources(2)[None, :1000].copy()
    out = np.zeros((1000, 2))
    whiten(differences, out)
    x = differences[0, :, 0]
    past = np.stack([x[4 - lag : -lag] for lag in range(1, 5)], axis=1)
    weights = np.linalg.lstsq(past, x[4:], rcond=None)[0]
    assert abs(out[4:, 0].std() / (x[4:] - past @ weights).std() - 1) < 0.01

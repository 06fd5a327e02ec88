"""The calibration that a recording is coded with is found by looking at it."""

from __future__ import annotations

import numpy as np

import spikey
from spikey.analysis.self_test import known_signal
from spikey.analysis.simulate import simulate
from spikey.container.estimate import choose_calibration
from spikey.container.writer import ArraySource
from spikey.files import PRESETS
from spikey.model.calibration import n1

REALTIME = PRESETS["realtime"]


def chosen(samples: np.ndarray) -> tuple:
    return choose_calibration(ArraySource(samples, 20_000), REALTIME)


def test_an_n1_is_recognised():
    assert chosen(known_signal()) == (n1(), None)


def test_a_short_recording_of_another_converter_goes_without():
    assert chosen(simulate(100_000, seed=1)) == (None, None)


def test_widths_of_another_converter_are_estimated_once_and_stored():
    samples = simulate(600_000, seed=2)
    calibration, data = chosen(samples)
    assert calibration is not None and data == calibration.to_bytes()
    packed = spikey.compress(samples, 19_531, "realtime")
    assert calibration.id in packed[:64]
    assert len(packed) < 0.99 * len(spikey.compress(samples, 19_531, "realtime", calibration=None))
    np.testing.assert_array_equal(spikey.decompress(packed).samples, samples)


def test_an_even_converter_goes_without():
    noise = np.random.default_rng(0).normal(0, 20, (600_000, 1))
    assert chosen(np.rint(noise).astype(np.int16)) == (None, None)


def test_too_many_levels_and_digital_lines_go_without():
    noise = np.random.default_rng(0).normal(0, 5000, (300_000, 2))
    assert chosen(np.rint(noise).astype(np.int16)) == (None, None)
    assert chosen((noise > 0).astype(np.int16)) == (None, None)
    assert chosen(np.zeros((600_000, 1), np.int16)) == (None, None)
    assert chosen(np.zeros((1, 1), np.int16)) == (n1(), None)

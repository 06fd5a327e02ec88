"""The calibration that a recording is coded with is found by looking at it."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit.paths import DATA
from spikey.cli import app
from spikey.codec import code_widths
from spikey.codec.calibration_policy import AUTO, choose_calibration
from spikey.codec.method import LPC
from spikey.model.calibration import n1
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate
from spikey.report.self_test import known_signal


def chosen(samples: np.ndarray) -> tuple:
    return choose_calibration(AUTO, ArraySource(samples, 20_000), LPC)


def test_an_n1_is_recognised():
    assert chosen(known_signal()) == (n1(), None)


def test_a_short_recording_of_another_converter_goes_without():
    assert chosen(simulate(100_000, seed=1)) == (None, None)


def test_widths_of_another_converter_are_estimated_once_and_stored():
    samples = simulate(600_000, seed=2)
    calibration, data = chosen(samples)
    assert calibration is not None and data == calibration.to_bytes()
    packed = spikey.compress(samples, 19_531, "fast")
    assert calibration.id in packed[:64]
    assert len(packed) < 0.99 * len(spikey.compress(samples, 19_531, "fast", calibration=None))
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


@pytest.mark.parametrize(
    ("dtype", "middle", "dead"), [("int16", 2000, 0), ("uint16", 32_768, 0), ("int32", 0, 1 << 30)]
)
def test_a_dead_channel_outside_the_range_of_the_others(dtype, middle, dead):
    noise = np.rint(np.random.default_rng(1).normal(middle, 40, 300_000)).astype(dtype)
    samples = np.stack([noise, np.full_like(noise, dead)], axis=1)
    packed = spikey.compress(samples, 30_000, "fast")
    np.testing.assert_array_equal(spikey.decompress(packed).samples, samples)


def test_dead_channels_teach_nothing():
    live = simulate(600_000, seed=2)
    beside = np.concatenate([live[:, :1], np.full_like(live[:, :1], -32_000)], axis=1)
    alone, _ = chosen(live)
    calibration, data = chosen(beside)
    assert calibration is not None and data is not None and calibration.alphabet == alone.alphabet
    packed = spikey.compress(beside, 20_000, "fast")
    assert len(packed) < 0.99 * len(spikey.compress(beside, 20_000, "fast", calibration=None))
    np.testing.assert_array_equal(spikey.decompress(packed).samples, beside)


@pytest.mark.parametrize("error", [spikey.UsageError("no"), spikey.DataError("no"), np.linalg.LinAlgError("singular")])
def test_an_estimate_that_fails_does_not_fail_the_compression(monkeypatch, error):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(code_widths, "calibrate", fail)
    samples = np.rint(np.random.default_rng(0).normal(0, 20, (600_000, 1))).astype(np.int16)
    assert chosen(samples) == (None, None)


def test_an_unreadable_recording_still_fails():
    class Gone(ArraySource):
        def read(self, first_frame: int, count: int) -> np.ndarray:
            raise spikey.DataError("gone")

    with pytest.raises(spikey.DataError, match="gone"):
        choose_calibration(AUTO, Gone(np.zeros((600_000, 1), np.int16), 1), LPC)


@pytest.mark.data("vendors/axon")
def test_real_files_with_dead_channels(tmp_path):
    folder = DATA / "vendors" / "axon"
    pytest.importorskip("neo")
    pytest.importorskip("spikeinterface")
    for path in sorted(folder.rglob("*.abf")):
        done = CliRunner().invoke(app, ["compress", str(path), str(tmp_path / f"{path.stem}.spky")])
        assert done.exit_code == 0, done.output

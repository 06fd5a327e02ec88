"""Simulated recordings behave like real ones where it matters to a codec; and pictures are made of them."""

from __future__ import annotations

import builtins
import time

import numpy as np
import pytest

from spikey.base.errors import UsageError
from spikey.recording.simulate import adc_edges, simulate
from spikey.report.picture import draw_prediction


def codes_of(samples):
    return (samples.astype(np.int64) >> 6) + 512


def predict(signal, order=16):
    """Predictions of a least-squares linear predictor, for all but the first `order` samples of a 1-D signal."""
    past = np.lib.stride_tricks.sliding_window_view(signal, order)[:-1]
    return past @ np.linalg.lstsq(past, signal[order:], rcond=None)[0]


def test_shape_type_and_determinism():
    samples = simulate(5000, 3, seed=1)
    assert samples.shape == (5000, 3) and samples.dtype == np.int16 and samples.flags.c_contiguous
    np.testing.assert_array_equal(samples, simulate(5000, 3, seed=1))
    assert (samples != simulate(5000, 3, seed=2)).any()
    np.testing.assert_array_equal(samples[:, :2], simulate(5000, 2, seed=1))


@pytest.mark.parametrize("frames", [0, 1, 2, 31, 1000])
@pytest.mark.parametrize("profile", ["n1", "neuropixels"])
def test_any_length(frames, profile):
    assert simulate(frames, 2, profile=profile, artifacts=True, rails=True).shape == (frames, 2)


def test_n1_values_are_stretched_codes():
    samples = simulate(rails=True)
    codes = codes_of(samples)
    assert codes.min() == 0 and codes.max() == 1023
    np.testing.assert_array_equal(samples, np.trunc(codes / 1023 * 65535 - 32768))


def test_n1_statistics():
    codes = codes_of(simulate(seed=3)[:, 0]).astype(float)
    residual = codes[16:] - predict(codes - codes.mean()) - codes.mean()
    assert 12 < codes.std() < 25
    assert 5 < residual.std() < 7.5
    assert 2.9 < (residual**4).mean() / residual.var() ** 2 < 5
    spectrum = np.abs(np.fft.rfft(residual)) ** 2
    bands = spectrum[1:-1][: len(spectrum[1:-1]) // 8 * 8].reshape(8, -1).mean(axis=1)
    assert bands.max() / bands.min() < 1.15  # white


def test_noise_sd_is_what_prediction_leaves_of_the_background():
    quiet = simulate(profile="neuropixels", spikes_per_second=0, field_sd=0, noise_sd=5.5)[:, 0] / 3
    assert (quiet[16:] - predict(quiet)).std() == pytest.approx(5.5, rel=0.02)


def test_converter_has_uneven_codes():
    widths = np.diff(adc_edges())
    ordinary = np.delete(widths, [510, 511])
    assert ordinary.min() >= 0.6 and ordinary.max() <= 1.9 and ordinary.max() / ordinary.min() > 2
    counts = np.bincount(codes_of(simulate(rails=True, channels=4)).ravel(), minlength=1024)
    assert counts[511] < counts[510] < 0.3 * counts[512]
    # The drift crosses all codes, about equally often within a few periods: counts show the pattern of the widths.
    folded = counts[544:832].reshape(-1, 32).sum(axis=0)
    assert np.corrcoef(folded, widths[:32])[0, 1] > 0.9


def test_neuropixels_values_are_multiples_of_the_step():
    for step in (3, 12, 64):
        samples = simulate(2000, 4, profile="neuropixels", step=step)
        assert np.gcd.reduce(samples.astype(np.int64), axis=None) == step
    assert simulate(20_000, profile="neuropixels", step=64, rails=True).min() == -32768


def test_spikes_and_artifacts():
    silent = simulate(spikes_per_second=0, noise_sd=1, field_sd=0)
    spiking = simulate(spikes_per_second=50, noise_sd=1, field_sd=0)
    assert codes_of(silent).min() > codes_of(spiking).min()
    plain, struck = codes_of(simulate()), codes_of(simulate(artifacts=True))
    assert np.ptp(struck) > np.ptp(plain) + 100


def test_correlation_falls_with_distance():
    samples = simulate(50_000, 4, spikes_per_second=0, field_sd=0, correlation=0.5)
    with_first = np.corrcoef(np.diff(samples.astype(float), axis=0).T)[0]
    np.testing.assert_allclose(with_first, [1, 0.5, 0.25, 0.125], atol=0.04)
    alone = simulate(50_000, 2, spikes_per_second=0, field_sd=0, correlation=0, mains_amplitude=0)
    assert abs(np.corrcoef(np.diff(alone.astype(float), axis=0).T)[0, 1]) < 0.03


def test_speed():
    simulate(100)
    start = time.process_time()
    simulate()
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"profile": "n2"},
        {"frames": -1},
        {"channels": 0},
        {"rate": 0},
        {"seed": -1},
        {"correlation": 1.0},
        {"spikes_per_second": 1e6},
        {"noise_sd": float("nan")},
        {"step": 65},
    ],
    ids=str,
)
def test_impossible_arguments(wrong):
    with pytest.raises(UsageError, match="simulation"):
        simulate(**{"frames": 10, **wrong})


@pytest.mark.parametrize("residual", ["fractions", "whole", "constant", "artifact"])
def test_picture(tmp_path, residual):
    pytest.importorskip("matplotlib")
    codes = codes_of(simulate(3000)[:, 0]).astype(float)
    predictions = np.concatenate([codes[:16], predict(codes)])
    left = {
        "fractions": codes - predictions,
        "whole": np.rint(codes - predictions),
        "constant": np.zeros(3000),
        "artifact": np.eye(1, 3000, 7)[0] * 1e6,
    }[residual]
    path = tmp_path / "picture.png"
    draw_prediction(path, codes, predictions, left, 19_531.0, "costs $5 and $6")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG") and content[16:24] == (1400).to_bytes(4, "big") + (800).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("arrays", "rate", "cause"),
    [
        (([], [], []), 1.0, "shape"),
        (([1, 2], [1, 2], [1]), 1.0, "shape"),
        (([1.0], [np.nan], [1.0]), 1.0, "finite"),
        (([1], [1], [0]), 0.0, "positive rate"),
    ],
)
def test_pictures_that_cannot_be_drawn(tmp_path, arrays, rate, cause):
    with pytest.raises(UsageError, match=cause):
        draw_prediction(tmp_path / "p.png", *arrays, rate)
    assert not list(tmp_path.iterdir())


def test_picture_into_a_missing_folder(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match="cannot be written"):
        draw_prediction(tmp_path / "missing" / "p.png", [1], [1], [0], 1.0)


def test_picture_without_matplotlib(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r'pip install -e "\.\[plot\]"'):
        draw_prediction(tmp_path / "p.png", [1], [1], [0], 1.0)

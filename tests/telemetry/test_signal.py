"""Telemetry's signal: waveforms where events were, of two that overlap the nearer, and artificial noise."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

import spikey
from spikey.levels.n1 import N1_VALUES
from spikey.recording.wav import open_wav
from spikey.telemetry.decoded import Telemetry
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.packet import MAGIC
from spikey.telemetry.record import collect
from spikey.telemetry.settings import Settings

RATE, NOISE, CHANNELS = 20_000.0, 6.0, 3


def packets() -> list[bytes]:
    """Noise, and spikes of which pairs follow each other by 24 frames, less than a waveform lasts."""
    rng = np.random.default_rng(2)
    codes = 512 + NOISE * rng.normal(size=(30_000, CHANNELS))
    for channel in range(CHANNELS):
        for at in range(4000 + 71 * channel, 29_000, 900):
            for start in (at, at + 24):
                codes[start : start + 6, channel] -= np.array([20, 60, 90, 60, 30, 10])
    samples = N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)]
    settings = Settings(budget=1e6, low_high=0.0, packet_ms=3.0)
    encoder = TelemetryEncoder(CHANNELS, RATE, settings=settings, stream=3)
    return encoder.push(samples) + encoder.close()


@pytest.fixture(scope="module")
def decoded() -> Telemetry:
    return collect(packets())


def test_where_two_waveforms_overlap_the_nearer_counts(decoded):
    signal = decoded.signal(low=False)
    overlapping = 0
    for channel in range(CHANNELS):
        own = np.flatnonzero(decoded.waveform_channels == channel)
        own = own[np.argsort(decoded.trough_frames[own])]
        troughs = decoded.trough_frames[own]
        assert np.array_equal(signal[troughs, channel], decoded.waveforms[own, decoded.pre])
        for one, other in pairwise(own):
            first, second = decoded.trough_frames[one], decoded.trough_frames[other]
            if second - first < decoded.waveforms.shape[1]:
                overlapping += 1
                assert (signal[first:second, channel] != 0).all()  # no frame between is of neither
                assert signal[second - 1, channel] == decoded.waveforms[other, decoded.pre - 1]
                assert signal[first + 1, channel] == decoded.waveforms[one, decoded.pre + 1]
    assert overlapping > 50


def test_noise_lies_between_waveforms_and_has_their_channels_level(decoded):
    plain, noisy = decoded.signal(low=False), decoded.signal(low=False, noise=4)
    waves = plain != 0
    assert np.array_equal(plain[waves], noisy[waves])
    between = np.where(waves, np.nan, noisy)
    # White noise of this level has the noise's deviation in the band; the recording's own is white as well.
    assert np.nanstd(between, axis=0) == pytest.approx([NOISE] * CHANNELS, rel=0.15)
    assert decoded.noise == pytest.approx(np.full(CHANNELS, NOISE * (4700 / 10_000) ** 0.5), rel=0.15)
    assert not np.array_equal(noisy, decoded.signal(low=False, noise=5))


def test_noise_does_not_depend_on_how_the_signal_is_read(decoded):
    whole = decoded.signal(noise=1)
    parts = [decoded.signal(at, min(at + 4999, decoded.frames), noise=1) for at in range(0, decoded.frames, 4999)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_a_wav_with_noise(tmp_path, decoded):
    (tmp_path / "a.spkt").write_bytes(MAGIC + b"".join(packets()))
    command = [sys.executable, "-m", "spikey", "telemetry", "decode", str(tmp_path / "a.spkt")]
    done = subprocess.run(
        [*command, str(tmp_path / "a.csv"), "--noise", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "--noise is for a WAV" in done.stderr and not (tmp_path / "a.csv").exists()
    for name, more in (("plain.wav", []), ("noisy.wav", ["--noise", "1"])):
        subprocess.run([*command, str(tmp_path / name), *more], check=True, capture_output=True)
    with open_wav(tmp_path / "noisy.wav") as noisy, open_wav(tmp_path / "plain.wav") as plain:
        deviation = [source.read(0, source.frames).astype(float).std() for source in (noisy, plain)]
    assert deviation[0] > 1.2 * deviation[1]
    assert spikey.read_telemetry(tmp_path / "a.spkt").frames == decoded.frames

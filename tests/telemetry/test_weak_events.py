"""Weak events: crossings below the threshold that match their channel's spikes, sent while there are bits for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikey.levels.n1 import N1_VALUES
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.record import Telemetry, collect
from spikey.telemetry.settings import Settings

RATE, NOISE = 20_000.0, 6.0
SHAPE = -np.exp(-((np.arange(-10, 30) / 2.5) ** 2)) + 0.45 * np.exp(-(((np.arange(-10, 30) - 9) / 6.0) ** 2))
SETTINGS = Settings(budget=1e7, packet_ms=1.5)


def made(seconds: float, channels: int, depth: float, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Noise with a large spike and a small one of a depth (in deviations of the spike band's noise) in turns: codes,
    and the frames of the small ones' troughs.
    """
    rng = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    codes, small = 512 + NOISE * rng.normal(size=(frames, channels)), []
    for channel in range(channels):
        at = np.arange(3000 + 97 * channel, frames - 100, 2000)
        for i, start in enumerate(at):
            codes[start - 10 : start + 30, channel] += SHAPE * NOISE * (14 if i % 2 else depth)
        small.append(at[::2])
    return codes, small


def sent(codes: np.ndarray, settings: Settings = SETTINGS) -> tuple[TelemetryEncoder, Telemetry]:
    samples = N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)]
    encoder = TelemetryEncoder(codes.shape[1], RATE, settings=settings, stream=1)
    return encoder, collect(encoder.push(samples) + encoder.close())


def recall(telemetry: Telemetry, small: list[np.ndarray]) -> float:
    found = total = 0
    for channel, troughs in enumerate(small):
        frames = telemetry.event_frames[telemetry.event_channels == channel]
        found += (np.abs(frames[:, None] - troughs[4:]).min(axis=0, initial=99) <= 4).sum()
        total += len(troughs) - 4
    return found / total


def test_small_spikes_are_found_that_the_threshold_leaves_out():
    codes, small = made(6, 8, 3.4)
    _, with_weak = sent(codes)
    _, without = sent(codes, replace(SETTINGS, match=0.0))
    assert recall(without, small) < 0.4
    assert recall(with_weak, small) > 0.7
    # Noise alone gives few: less than two a second of a channel.
    assert len(with_weak.event_frames) - len(without.event_frames) < sum(map(len, small)) + 2 * 6 * 8


def test_a_weak_event_comes_with_its_waveform_and_the_frame_of_its_trough():
    codes, _ = made(3, 4, 3.6)
    encoder, telemetry = sent(codes)
    _, without = sent(codes, replace(SETTINGS, match=0.0))
    known = set(zip(without.event_frames.tolist(), without.event_channels.tolist(), strict=True))
    both = zip(telemetry.event_frames.tolist(), telemetry.event_channels.tolist(), strict=True)
    weak = np.array([each not in known for each in both])
    assert weak.sum() > 20 and encoder.events == len(telemetry.event_frames)
    assert (telemetry.waveform_of[weak] >= 0).all()
    rows = telemetry.waveform_of[weak]
    np.testing.assert_array_equal(telemetry.trough_frames[rows], telemetry.event_frames[weak])
    assert (np.abs(telemetry.waveforms[rows].argmin(axis=1) - telemetry.pre) <= 1).mean() > 0.9
    # All crossings of the threshold are there as well.
    np.testing.assert_array_equal(telemetry.event_frames[~weak], without.event_frames)


def test_where_bits_are_short_crossings_stay_and_weak_events_go():
    codes, _small = made(6, 8, 3.4)
    crossings = len(sent(codes, replace(SETTINGS, match=0.0))[1].event_frames)
    plenty, _ = sent(codes, Settings(budget=16_000))
    tight, _ = sent(codes, Settings(budget=4000))
    assert tight.dropped[0] == plenty.dropped[0] == 0
    assert crossings <= tight.events < plenty.events - 20


@pytest.mark.parametrize("polarity", ["negative", "positive", "both"])
def test_the_polarity_is_that_of_the_crossings(polarity):
    codes, small = made(5, 4, 3.5)
    upside_down = codes if polarity == "negative" else 1023 - codes
    assert recall(sent(upside_down, replace(SETTINGS, polarity=polarity))[1], small) > 0.55


def test_artifacts_do_not_become_a_template():
    codes, _small = made(6, 4, 3.5)
    rng = np.random.default_rng(5)
    for at in range(
        2500, len(codes) - 100, 400
    ):  # steps of random sizes and lengths in all channels, five times as many
        codes[at : at + int(rng.integers(5, 60))] -= rng.integers(50, 300)
    encoder, telemetry = sent(codes)
    templates = encoder._pending._templates / 2**14
    np.testing.assert_allclose((templates**2).sum(axis=1), 1, atol=0.01)
    weak = len(telemetry.event_frames) - len(sent(codes, replace(SETTINGS, match=0.0))[1].event_frames)
    assert weak < 60 * 6 * 4


@pytest.mark.parametrize("kind", ["dead", "saturated", "switching"])
def test_channels_without_a_signal_send_no_weak_events(kind):
    codes, small = made(4, 4, 3.5)
    if kind == "dead":
        codes[:, 1] = 512
    elif kind == "saturated":
        codes[:, 1] = 1023
    else:
        codes[:, 1] = np.where(np.arange(len(codes)) // 7000 % 2, 0, 1023)
    _, telemetry = sent(codes)
    assert (telemetry.event_channels == 1).sum() < 20
    others = [each for c, each in enumerate(small) if c != 1]
    relabelled = np.select([telemetry.event_channels == c for c in (0, 2, 3)], [0, 1, 2], 3)
    assert recall(replace(telemetry, event_channels=relabelled), others) > 0.6

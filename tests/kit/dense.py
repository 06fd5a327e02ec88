"""A small dense probe: cells that several neighbouring channels see, with the gains and delays of their distances."""

from __future__ import annotations

import numpy as np

from spikey.levels.n1 import N1_VALUES

NOISE = 6.0
PITCH = 1.6  # channels over which a spike falls to 1/e


def spike(width: float = 2.5) -> np.ndarray:
    """A waveform (40,), whose trough of -1 is sample 10."""
    t = np.arange(-10, 30)
    return -np.exp(-((t / width) ** 2)) + 0.4 * np.exp(-(((t - 9) / 6.0) ** 2))


def dense(seconds: float, channels: int, seed: int = 0, each: float = 40.0, rate: float = 20_000.0) -> np.ndarray:
    """Samples int16 (frames, channels) of the N1's values: cells every three channels, `each` spikes a second."""
    codes, _ = dense_codes(seconds, channels, seed, each, rate)
    return N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)]


def dense_codes(
    seconds: float, channels: int, seed: int = 0, each: float = 40.0, rate: float = 20_000.0
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The same as codes float64 (frames, channels), and the spikes: frame of the trough and nearest channel."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * rate)
    codes, spikes = 512 + NOISE * rng.normal(size=(frames, channels)), []
    for cell, centre in enumerate(range(1, channels, 3)):
        shape = NOISE * (16 + 2 * (cell % 4)) * spike(2.0 + 0.3 * (cell % 3))
        at = 400 + 37 * cell
        while at < frames - 60:
            for c in range(channels):
                gain, late = np.exp(-abs(c - centre) / PITCH), abs(c - centre) // 2
                codes[at - 10 + late : at + 30 + late, c] += gain * shape
            spikes.append((at, centre))
            at += 80 + int(rng.exponential(rate / each))
    return codes, sorted(spikes)

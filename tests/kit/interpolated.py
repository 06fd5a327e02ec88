"""Recordings that a device or a receiver interpolated, generated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

HALF_BAND = (0.6235, -0.1863, 0.0889, -0.0437, 0.0196, -0.0077, 0.0039)  # of a 64-channel headstage, on both sides
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "even": np.rint,
    "up": lambda sums: np.floor(sums + 0.5),
    "away": lambda sums: np.copysign(np.floor(np.abs(sums) + 0.5), sums),
    "zero": np.trunc,
    "down": np.floor,
}


def half_band() -> np.ndarray:
    """The taps of a filter that doubles the rate, float64 (1, 14)."""
    return np.array([[*HALF_BAND[::-1], *HALF_BAND]])


def windowed_sinc(factor: int, side: int) -> np.ndarray:
    """The taps of a filter (factor - 1, 2 side) with Kaiser's window."""
    behind = np.arange(1, factor)[:, None] / factor
    away = np.arange(1 - side, side + 1) - behind
    taps = np.sinc(away) * np.i0(8 * np.sqrt(np.maximum(1 - (away / side) ** 2, 0)))
    return taps / taps.sum(axis=1, keepdims=True)


def sampled(frames: int, channels: int, *, size: float = 40, step: int = 1, seed: int = 0) -> np.ndarray:
    """What a converter gives, int64 (frames, channels): noise that neighbours share in part, spikes, offsets."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(frames + 4, channels)) + 0.7 * rng.normal(size=(frames + 4, 1))
    signal = size * (noise[4:] + noise[3:-1] / 2 + noise[2:-2] / 4 + noise[:-4] / 8)
    for channel in range(channels):
        for at in rng.integers(0, max(frames - 9, 1), frames // 250):
            signal[at : at + 8, channel] -= 6 * size * np.hanning(10)[1:9][: frames - at]
    return np.rint((signal + np.arange(channels) * 37 % 200) / step).astype(np.int64) * step


def interpolated(
    samples: np.ndarray,
    taps: np.ndarray,
    *,
    phase: int = 0,
    rounding: str = "even",
    rails: tuple[int, int] | None = None,
) -> np.ndarray:
    """Sampled frames (frames, channels) with what a filter makes of them in between; the first `phase` frames are
    computed ones. rails: what all is clipped to.
    """
    frames, channels = samples.shape
    factor, side = len(taps) + 1, taps.shape[1] // 2
    padded = np.pad(samples, ((side, side), (0, 0)), mode="edge").astype(np.float64)
    out = np.empty((frames * factor, channels))
    out[::factor] = samples
    for behind, row in enumerate(taps, 1):
        sums = np.zeros(samples.shape)
        for k, tap in enumerate(row):
            sums += tap * padded[k + 1 : k + 1 + frames]
        out[behind::factor] = ROUNDINGS[rounding](sums)
    out = out[(factor - phase) % factor :]
    return (out if rails is None else np.clip(out, *rails)).astype(np.int64)

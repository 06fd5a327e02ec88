"""What telemetry is measured against: spike band, crossings, power and LFP band, computed offline in floating point.

Written apart from the encoder: it works channel by channel, uses the whole recording, and rounds nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from spikey.base.jit import kernel
from spikey.levels.registry import levels_at_once
from spikey.telemetry.settings import Settings

SETTLED = 0.06  # s from the start in which nothing is compared: filters and thresholds settle
NORMAL = 0.6744897501960817  # median of the absolute value of a standard normal variable


class Events(NamedTuple):
    """Threshold crossings in order of channels, then frames: frames int64 (n,), channels int64 (n,)."""

    frames: np.ndarray
    channels: np.ndarray


class Reference(NamedTuple):
    """Contents of the original.

    codes int32 (channels, frames). band float32 (channels, frames): the spike band, in codes. events: crossings of the
    threshold. noise float64 (channels,): standard deviation in the spike band, in codes. power float64 (bins,
    channels): mean squares in the spike band's lower part.
    """

    codes: np.ndarray
    band: np.ndarray
    events: Events
    noise: np.ndarray
    power: np.ndarray


def codes_of(samples: np.ndarray) -> np.ndarray:
    """Codes int32 (channels, frames) of int16 or other integer samples (frames, channels), as telemetry numbers them.

    >>> codes_of(np.array([[-32768, 32767]], dtype="int16")).tolist()
    [[0], [1023]]
    """
    codes, _ = levels_at_once(samples).to_codes(samples.T)
    return np.ascontiguousarray(codes)


def butterworth(kind: str, corner: float, rate: float) -> np.ndarray:
    """A Butterworth section of second order, float64 (5,): b0, b1, b2, a1, a2. kind: "high" or "low"; Hz.

    >>> butterworth("low", 5000, 20_000).round(4).tolist()
    [0.2929, 0.5858, 0.2929, -0.0, 0.1716]
    """
    k = math.tan(math.pi * corner / rate)
    norm = 1 + math.sqrt(2) * k + k * k
    gain = (k * k if kind == "low" else 1.0) / norm
    middle = 2 * gain if kind == "low" else -2 * gain
    return np.array([gain, middle, gain, 2 * (k * k - 1) / norm, (1 - math.sqrt(2) * k + k * k) / norm])


def refer(samples: np.ndarray, rate: float, settings: Settings) -> Reference:
    """Everything of a recording, integers (frames, channels) at a rate in Hz."""
    codes = codes_of(samples)
    high, low = (butterworth(*each, rate) for each in (("high", settings.band[0]), ("low", settings.band[1])))
    power = butterworth("low", settings.power_high, rate)
    band = np.empty(codes.shape, dtype=np.float32)
    size = round(settings.power_ms * rate / 1000)
    bins = codes.shape[1] // size if size else 0
    squares = np.empty((bins, len(codes)))
    noise = np.empty(len(codes))
    frames, channels = [], []
    for channel, code in enumerate(codes):
        signal = (code - code[:1]).astype(np.float64)
        biquad(high, signal)
        biquad(low, signal)
        band[channel] = signal
        noise[channel] = np.median(np.abs(signal)) / NORMAL if len(signal) else 0.0
        found = crossings(signal, noise[channel], rate, settings)
        frames.append(found)
        channels.append(np.full(len(found), channel))
        biquad(power, signal)
        squares[:, channel] = (signal[: bins * size] ** 2).reshape(bins, size).mean(axis=1) if bins else 0.0
    none = np.zeros(0, dtype=np.int64)
    events = Events(np.concatenate([none, *frames]), np.concatenate([none, *channels]))
    return Reference(codes, band, events, noise, squares)


@kernel
def biquad(section, signal):
    """Filter float64 (n,) in place, from rest: direct form 2, transposed."""
    s1 = s2 = 0.0
    for t in range(signal.shape[0]):
        x = signal[t]
        y = section[0] * x + s1
        s1 = section[1] * x - section[3] * y + s2
        s2 = section[2] * x - section[4] * y
        signal[t] = y


def crossings(band: np.ndarray, noise: float, rate: float, settings: Settings) -> np.ndarray:
    """Frames int64 (n,) in which a channel's spike band (frames,) first lies beyond the threshold.

    The threshold is `settings.threshold` times the noise; after an event none follows within the refractory time.
    """
    signs = {"negative": (-1,), "positive": (1,), "both": (-1, 1)}[settings.polarity]
    beyond = np.zeros(len(band), dtype=bool)
    for sign in signs:
        beyond |= sign * band > settings.threshold * max(noise, 0.25)
    starts = np.flatnonzero(beyond[1:] & ~beyond[:-1]) + 1
    starts = starts[starts >= SETTLED * rate]
    dead = max(round(settings.refractory_ms * rate / 1000), 1)
    kept, last = [], -dead
    for start in starts.tolist():
        if start - last >= dead:
            kept.append(start)
            last = start
    return np.array(kept, dtype=np.int64)


def matched(events: Events, others: Events, tolerance: float) -> np.ndarray:
    """Of each event, whether the same channel has another within `tolerance` frames: bool (n,).

    >>> ones = Events(np.array([10, 50]), np.array([0, 0]))
    >>> matched(ones, Events(np.array([12, 50]), np.array([0, 1])), 2).tolist()
    [True, False]
    """
    if not len(others.frames):
        return np.zeros(len(events.frames), dtype=bool)
    reach = 4 * (max(events.frames.max(initial=0), others.frames.max()) + tolerance + 1)
    keys = np.sort(others.channels * reach + others.frames)
    wanted = events.channels * reach + events.frames
    at = np.searchsorted(keys, wanted)
    before, after = keys[np.maximum(at - 1, 0)], keys[np.minimum(at, len(keys) - 1)]
    result: np.ndarray = np.minimum(np.abs(wanted - before), np.abs(wanted - after)) <= tolerance
    return result


def cut(band: np.ndarray, frames: np.ndarray, channels: np.ndarray, pre: int, length: int) -> np.ndarray:
    """Waveforms float32 (n, length) of a band (channels, frames), from `pre` frames before each of `frames` on.

    What lies outside the recording is 0.
    """
    at = frames[:, None] + np.arange(-pre, length - pre)
    inside = (at >= 0) & (at < band.shape[1])
    return np.where(inside, band[channels[:, None], np.clip(at, 0, band.shape[1] - 1)], 0).astype(np.float32)


def low_errors(
    code: np.ndarray, low: np.ndarray, first: float, step: int, rate: float, edges: tuple[float, ...]
) -> np.ndarray:
    """Signal over error below each edge in Hz, in dB: float64 (edges,), of one channel.

    code (frames,): the original. low (n,): samples of the LFP band, finite; sample i belongs to frame first + i * step.
    Both are compared in the frequency domain, brick-walled at each edge, without the mean, under a Hann window.
    """
    length = len(low) * step
    start = math.ceil(first - step / 2)
    if start < 0 or start + length > len(code) or len(low) < 8:
        raise ValueError("the LFP band must lie within the recording")
    offset = first - start
    place = np.arange(length) / length
    window = np.sin(np.pi * place) ** 2
    original = code[start : start + length].astype(np.float64)
    wanted = np.fft.rfft((original - original.mean()) * window)
    window = np.sin(np.pi * (np.arange(len(low)) * step + offset) / length) ** 2
    told = np.fft.rfft((low - low.mean()) * window) * step
    order = np.arange(len(told))
    told *= np.exp(-2j * np.pi * order * offset / length)
    result = []
    for edge in edges:
        last = min(int(edge * length / rate), len(told) - 1) + 1
        error = np.abs(wanted[1:last] - told[1:last]) ** 2
        energy = float((np.abs(wanted[1:last]) ** 2).sum())
        result.append(10 * math.log10(max(energy, 1e-9) / max(float(error.sum()), 1e-9)))
    return np.array(result)

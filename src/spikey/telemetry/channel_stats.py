"""Channel statistics: rate of crossings, noise, power and LFP band, measured by the encoder and sent as profiles.

A profile is the quantised statistics of channels, int32 (channels, 7); its fields are those of `syntax`.
"""

from __future__ import annotations

import numpy as np

from spikey.telemetry.filters import LOW_FRACTION
from spikey.telemetry.frontend import LEAST_NOISE, MEDIAN_BITS, Frontend
from spikey.telemetry.logarithm import exp2, log2, logarithms
from spikey.telemetry.symbols import FLAG_CLASSES
from spikey.telemetry.syntax import (
    EIGHTHS,
    FIELDS,
    NOISE,
    OFFSET,
    POWER,
    POWER_LEVEL,
    RATE,
    SCALE,
    SPREAD,
    SPREADS,
    WEAK,
)

# The default profile: medians over the N1's recordings; with other noise the LFP band is scaled by the same factor.
USUAL = {RATE: 9, NOISE: 49, SPREAD: 1, SCALE: 39, OFFSET: 0, WEAK: 9}
LEAST = (0, 0, -512, 0, 0, -(1 << 16), 0)  # of each field
MOST = (FLAG_CLASSES - 1, 160, 352, SPREADS - 1, 120, 1 << 16, FLAG_CLASSES - 1)
PRIOR_SLOTS = 4096  # added to those measured, with a third of a crossing
WIDE = (2, 4, 8)  # mean distances of power from its level, in 1/8 octaves, between the classes


def default_profile(channels: int, noise: int = USUAL[NOISE]) -> np.ndarray:
    """The profile int32 (channels, 7) before any measurement but the array's noise, in the units of a profile."""
    profile = np.zeros((channels, FIELDS), dtype=np.int32)
    for field, value in USUAL.items():
        profile[:, field] = value
    profile[:, NOISE] = noise
    profile[:, SCALE] = max(USUAL[SCALE] + noise - USUAL[NOISE], 0)
    profile[:, POWER] = EIGHTHS // 2 * profile[:, NOISE] - POWER_LEVEL
    return profile


def clipped(profile: np.ndarray) -> np.ndarray:
    """A profile clipped to its fields' ranges, so that a forged one is harmless."""
    return np.clip(profile, LEAST, MOST).astype(np.int32)


def array_noise(band: np.ndarray) -> int:
    """The noise of an array, in the units of a profile, from the first frames int32 (n, channels) of the spike band."""
    median = int(np.sort(np.abs(band), axis=None)[band.size // 2]) if band.size else 0
    return min(int(log2(max(median, LEAST_NOISE), 2)), MOST[NOISE])


class ChannelStats:
    """Running sums of the channels' crossings, power and LFP band; they are halved in each epoch."""

    def __init__(self, channels: int):
        self.channels = channels
        self._slots = 0
        self._bins = 0
        self._samples = 0
        self._events, self._weak, self._power, self._spread, self._low, self._squares = np.zeros(
            (6, channels), dtype=np.int64
        )

    def add_events(self, counts: np.ndarray, slots: int) -> None:
        """Add the crossings of a packet, int64 (channels,), which has so many slots."""
        self._events += counts
        self._slots += slots

    def add_weak(self, channels: np.ndarray) -> None:
        """Add a packet's weak spikes."""
        self._weak += np.bincount(channels, minlength=self.channels)

    def add_power(self, logarithm: np.ndarray, level: np.ndarray) -> None:
        """Add a bin of power of all channels, and its level in the profile, both in 1/8 octaves."""
        self._power += logarithm
        self._spread += np.abs(logarithm - level)
        self._bins += 1

    def add_low(self, samples: np.ndarray) -> None:
        """Add samples (channels, n) of the LFP band in 1/64 codes."""
        wide = samples.astype(np.int64)
        self._low += wide.sum(axis=1)
        self._squares += (wide * wide).sum(axis=1)
        self._samples += samples.shape[1]

    def profile(self, frontend: Frontend, middle: int) -> np.ndarray:
        """The profile int32 (channels, 7) from the sums, then halve these; middle: the alphabet's middle code."""
        made = default_profile(self.channels)
        for field, events in ((RATE, self._events), (WEAK, self._weak)):
            slots_between = (self._slots + PRIOR_SLOTS) * 3 // (3 * events + 1)
            made[:, field] = np.clip(_logarithm(slots_between * 45 >> 5, 0) - 1, 0, FLAG_CLASSES - 1)
        made[:, NOISE] = _logarithm(frontend.median >> MEDIAN_BITS, 2)
        made[:, POWER] = EIGHTHS // 2 * made[:, NOISE] - POWER_LEVEL
        if self._bins:
            made[:, POWER] = self._power // self._bins
            made[:, SPREAD] = np.searchsorted(WIDE, self._spread // self._bins, side="right")
        if self._samples:
            mean = self._low // self._samples
            made[:, SCALE] = _logarithm(np.maximum(self._squares // self._samples - mean * mean, 1), 3) // 4
            deviation = _powers(made[:, SCALE])
            mean += (frontend.first.astype(np.int64) - middle) << LOW_FRACTION
            made[:, OFFSET] = (4 * mean + deviation // 2) // deviation  # quarters of the deviation
        for name in ("_slots", "_bins", "_samples"):
            setattr(self, name, getattr(self, name) // 2)
        for sums in (self._events, self._weak, self._power, self._spread, self._low, self._squares):
            sums >>= 1
        return clipped(made)


def _logarithm(values: np.ndarray, bits: int) -> np.ndarray:
    results = np.empty(len(values), dtype=np.int32)
    logarithms(values.astype(np.int64), bits, results)
    return results


def _powers(quarters: np.ndarray) -> np.ndarray:
    return np.array([exp2(2 * int(each)) for each in quarters], dtype=np.int64)

"""Which channels share a converter: devices' wirings, of which the one is taken that saves most of other samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikey.codec.wide.census import Counts
from spikey.codec.wide.widths import CODE_BITS, smoothed, strength_of
from spikey.model.calibration import MOST_CONVERTERS

CHIP = 32  # channels of an Intan chip's converter
NEAREST = 64  # channels from which a probe's wiring is tried
PROBE_1, PROBE_2 = 12, 16  # channels of a converter of Neuropixels 1.0 and 2.0, interleaved with those of the next


def wirings(channels: np.ndarray) -> Iterator[np.ndarray]:
    """For each wiring the converter of each of some channels, int64 (channels,) from 0 on; channels: their places in
    the recording.
    """
    yield np.zeros(len(channels), np.int64)
    tried = [channels // CHIP]
    if len(channels) >= NEAREST:
        tried += [channels // (2 * each) * 2 + channels % 2 for each in (PROBE_1, PROBE_2)]
    for converters in tried:
        found, numbers = np.unique(converters, return_inverse=True)
        if 1 < len(found) <= MOST_CONVERTERS:
            yield numbers.astype(np.int64)


def best_wiring(channels: np.ndarray, classes: np.ndarray, counts: Counts, factor: float) -> np.ndarray:
    """The wiring whose tables, learnt from one half of the counts, save most of the recording, by the other half.

    classes int64 (channels,): the counts of each channel. factor: the recording has so many times the samples of the
    other half.
    """
    best, most = np.zeros(len(channels), np.int64), 0.0
    for converters in wirings(channels):
        of_class = np.full(counts.observed.shape[1], -1)
        of_class[classes] = converters
        if (of_class[classes] != converters).any() or converters.max() == 0:
            continue  # channels of two converters are counted together
        saved = _saved(of_class, counts, factor)
        if saved > most:
            best, most = converters, saved
    return best


def promising(channels: np.ndarray, classes: np.ndarray, counts: Counts, factor: float) -> bool:
    """Whether any wiring's tables would save more of the recording than they take."""
    if _saved(np.zeros(counts.observed.shape[1], np.int64), counts, factor) > 0:
        return True
    return bool(best_wiring(channels, classes, counts, factor).any())


def by_converter(counts: np.ndarray, of_class: np.ndarray) -> np.ndarray:
    """Counts (classes, codes) added up for each converter."""
    converters = int(of_class.max()) + 1
    if converters == 1 and of_class.min() == 0:
        return counts.sum(axis=0, keepdims=True)
    out = np.zeros((converters, counts.shape[1]))
    for row, converter in zip(counts, of_class, strict=True):
        if converter >= 0:
            out[converter] += row
    return out


def _saved(of_class: np.ndarray, counts: Counts, factor: float) -> float:
    """Bits that tables of these converters save of the recording over a common one, less what they take."""
    observed, other = (by_converter(half, of_class) for half in counts.observed)
    expected, expected_other = (by_converter(half, of_class) for half in counts.expected)
    strength = strength_of(observed, expected)
    quotients = (observed + strength) / (expected + strength)
    quotients /= np.stack([smoothed(row, weights) for row, weights in zip(quotients, expected, strict=True)])
    logs = np.log2(quotients)
    gain = observed * logs - expected * (quotients - 1) / np.log(2)
    used = gain * 2 * factor > CODE_BITS
    saved = (other * logs - expected_other * (quotients - 1) / np.log(2))[used].sum()
    return float(saved) * factor - CODE_BITS * int(used.sum())

"""An estimate of the noise floor: how few bits a sample codecs of this kind can come down to on a recording.

A recording is taken to be what linear prediction can tell, plus Gaussian noise, cut by the converter into codes of
known widths. Prediction and the noise's scale are fitted to the recording itself, in hindsight, which no decoder could
do, and what they would take to store is not counted:

- each stretch of 65,536 frames has its own least-squares predictor from 32 past frames of the channel, and 16 frames
  before, at and after of up to 4 channels that are coded earlier (the chain rule allows all of their frames);
- the scale is that of the errors around each sample, the sample included, over the window of 64 to 4,096 frames, or all
  of the stretch, that fits the stretch best;
- a sample costs -log2 of the mass of the fitted Gaussian between the edges of its code.

It is an estimate and no bound: noise that is not Gaussian, predictors that are not linear or change faster than a
stretch, and widths that are known better can each go below it. Fitting in hindsight makes it too low by about
parameters / (2 ln 2 * frames) bits, 0.0004 for one channel, and by 0.72 / window for the scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikey.codec.calibration_policy import AUTO, choose_calibration
from spikey.codec.method import LPC
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.model.calibration import Calibration
from spikey.model.fixed_point import UNIT
from spikey.report.bench.recordings import Loaded, load

STRETCH = 1 << 16  # frames
ORDER = 32  # past frames of the channel itself
REFERENCES, REACH = 4, 16  # channels coded earlier, and frames on either side of now
WINDOWS = (64, 256, 1024, 4096)
MOST_SAMPLES = 1 << 22  # that are looked at in one recording: stretches and channels spread over it
RIDGE = 1e-9  # of the mean power, so that silence can be solved for
RARE = 1e-6  # share of samples that may be anything, so that an artifact costs no more than its bits
_REACH, _CELLS = 9.0, 1 << 15
_GRID = np.linspace(-_REACH, _REACH, _CELLS + 1)
_MASS = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in _GRID])
METHOD = (
    "linear prediction fitted to each stretch of 65,536 frames of the recording itself (32 past frames, and 4 channels "
    "coded earlier), Gaussian errors of the locally best scale in hindsight, and the entropy between the edges of codes"
)


@dataclass(frozen=True)
class Floor:
    """What was estimated: bits per sample over all recordings, and of each; how many samples were looked at of all."""

    bits_per_sample: float
    each: list[float]
    looked_at: int
    samples: int

    def row(self, original: int) -> dict[str, Any]:
        """For tables: original: the bytes of the recordings' files."""
        ratio = 8 * original / (self.bits_per_sample * self.samples) if self.bits_per_sample * self.samples else None
        return {
            "bits_per_sample": self.bits_per_sample,
            "ratio": ratio,
            "each": self.each,
            "samples": self.samples,
            "looked_at": self.looked_at,
            "method": METHOD,
        }


def floor_of_files(
    paths: list[Path],
    raw: tuple[int, float, str] | None = None,
    seconds: float | None = None,
    progress: Callable[..., None] | None = None,
) -> Floor:
    """The estimate for recordings, each of which counts by its samples; raw, seconds: as in `load`."""
    each, samples, looked_at, bits = [], 0, 0, 0.0
    for path in paths:
        recording = load(path, raw, seconds)
        found, looked = floor(recording)
        each.append(found)
        looked_at += looked
        size = recording.frames * recording.layout.channels
        samples += size
        bits += found * size
        if progress is not None:
            progress(1, "noise floor")
    return Floor(bits / max(samples, 1), each, looked_at, samples)


def floor(recording: Loaded) -> tuple[float, int]:
    """Bits per sample of one recording, and the number of samples that this is estimated from."""
    calibration, _ = choose_calibration(AUTO, recording, LPC)
    levels = [find_levels(channel) for channel in np.ascontiguousarray(recording.samples.T)]
    chosen = range(0, len(levels), -(-len(levels) * STRETCH // MOST_SAMPLES))
    stretches = range(0, recording.frames, STRETCH)
    kept = max(MOST_SAMPLES // (STRETCH * len(chosen)), 1)
    total, looked = 0.0, 0
    for first in stretches[:: -(-len(stretches) // kept)]:
        part = recording.samples[first : first + STRETCH]
        total += _stretch(part, levels, calibration, chosen)
        looked += len(part) * len(chosen)
    return total / looked, looked


def _stretch(part: np.ndarray, levels: list[Levels], calibration: Calibration | None, chosen: range) -> float:
    """Bits of the chosen channels in a stretch of samples (frames, channels)."""
    bits, earlier = 0.0, list[np.ndarray]()
    for index, (channel, its) in enumerate(zip(np.ascontiguousarray(part.T), levels, strict=True)):
        codes, low = its.to_codes(channel)
        if its.alphabet == 1:
            continue
        lower, upper = edges(codes, its, calibration)
        positions = (lower + upper) / 2
        if index in chosen:
            errors = residual(positions, _nearest(positions, earlier))
            below = np.where(codes == 0, -np.inf, lower - positions + errors)
            above = np.where(codes == its.alphabet - 1, np.inf, upper - positions + errors)
            bits += _entropy(errors, below, above, its.alphabet)
            if low is not None:
                bits += its.low_bits * len(codes)  # which are noise
        earlier.append(positions)
    return bits


def edges(codes: np.ndarray, levels: Levels, calibration: Calibration | None) -> tuple[np.ndarray, np.ndarray]:
    """Where each sample's code begins and ends, in codes: float64 (frames,) twice."""
    known = None if calibration is None else aligned(codes, levels, calibration)
    if calibration is None or known is None:
        return codes - 0.5, codes + 0.5
    ends = calibration.edges.astype(np.float64) / UNIT
    return ends[known], ends[known + 1]


def aligned(codes: np.ndarray, levels: Levels, calibration: Calibration) -> np.ndarray | None:
    """A channel's codes in the alphabet of a calibration; None where it is for other levels."""
    if isinstance(levels, N1Levels):
        return codes if calibration.alphabet == levels.alphabet else None
    about = calibration.metadata
    if not isinstance(levels, Affine) or levels.low_bits or about.get("levels") != "affine":
        return None
    step, apart = int(about["step"]), levels.offset - int(about["offset"])
    first, times = apart // step, levels.step // step
    if apart % step or levels.step % step or first < 0 or first + times * (levels.alphabet - 1) >= calibration.alphabet:
        return None
    return codes * times + first


def _nearest(positions: np.ndarray, earlier: list[np.ndarray]) -> list[np.ndarray]:
    """The channels whose changes are most like this one's."""
    if len(earlier) <= REFERENCES:
        return earlier
    change = np.diff(positions)
    alike = []
    for other in earlier:
        its = np.diff(other)
        size = math.sqrt(float(change @ change) * float(its @ its))
        alike.append(abs(float(change @ its)) / size if size else 0.0)
    return [earlier[index] for index in np.argsort(alike)[::-1][:REFERENCES]]


def residual(positions: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """What the least-squares predictor leaves of one channel, float64 (frames,)."""
    wanted = positions - positions.mean()
    columns = [_shifted(wanted, lag) for lag in range(1, ORDER + 1)]
    columns += [_shifted(other - other.mean(), lag) for other in others for lag in range(-REACH, REACH + 1)]
    matrix = np.stack(columns, axis=1)
    products = matrix.T @ matrix
    products[np.diag_indices_from(products)] += RIDGE * np.trace(products) / len(products) + RIDGE
    return wanted - matrix @ np.linalg.solve(products, matrix.T @ wanted)


def _shifted(values: np.ndarray, lag: int) -> np.ndarray:
    """The values of `lag` frames before, 0 where there are none."""
    shifted = np.zeros(len(values))
    if abs(lag) < len(values):
        shifted[max(lag, 0) : len(values) + min(lag, 0)] = values[max(-lag, 0) : len(values) - max(lag, 0)]
    return shifted


def _entropy(errors: np.ndarray, lower: np.ndarray, upper: np.ndarray, codes: int) -> float:
    """Bits of samples whose errors are Gaussian, between their codes' edges, with the scale that fits best."""
    squares = errors * errors
    best = math.inf
    for window in (*WINDOWS, len(errors)):
        if window > len(errors):
            continue
        variance = np.maximum(_smoothed(squares, window), 1e-4)
        best = min(best, float(_cost(lower, upper, np.sqrt(variance), codes).sum()))
    return best


def _smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Means over `window` values around each, of fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - window // 2, 0), np.minimum(at + (window + 1) // 2, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _cost(lower: np.ndarray, upper: np.ndarray, scale: np.ndarray, codes: int) -> np.ndarray:
    """Bits of each sample."""
    mass = np.interp(upper / scale, _GRID, _MASS) - np.interp(lower / scale, _GRID, _MASS)
    return -np.log2((1 - RARE) * np.maximum(mass, 0) + RARE / codes)

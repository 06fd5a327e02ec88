"""An estimate of the noise floor: how few bits a sample codecs of this kind can come down to on a recording.

A recording is modelled as a linear prediction plus Gaussian noise, quantised by the ADC into codes of
known widths. Prediction and the noise's scale are fitted to the recording itself, in hindsight, which no decoder could
do, and what they would take to store is not counted:

- each stretch of up to 65,536 frames has its own least-squares predictor of every channel, from 32 past frames of the
  channel, the frames before, at and after now of all channels that are coded earlier, and 16 frames on either side of
  the 4 of these that are most like it (see `hindsight`);
- the scale is that of the errors around each sample, the sample included, over the window of 16 to 4,096 frames, or all
  of the stretch, that fits the stretch best;
- a sample costs -log2 of the mass of the fitted Gaussian between the edges of its code.

It is an estimate and no bound: noise that is not Gaussian, predictors that are not linear or change faster than a
stretch, and widths that are known better can each go below it. What fitting in hindsight takes away is given back, as
much as that is of Gaussian noise: of the predictor in `hindsight`, of the scale 0.72 / window bits a sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
from spikey.report.bench.hindsight import residual, smoothed
from spikey.report.bench.recordings import Loaded, load

STRETCH, SHORT = 1 << 16, 1 << 13  # frames; as few with many channels
WINDOWS = (16, 32, 64, 256, 1024, 4096)
HINDSIGHT = 0.5 / math.log(2)  # bits by which a window makes its samples too short altogether
MOST_SAMPLES = 1 << 21  # that are looked at in one recording: stretches and channels spread over it
RARE = 1e-6  # share of samples that may be anything, so that an artifact costs no more than its bits
_REACH, _CELLS = 9.0, 1 << 15
_GRID = np.linspace(-_REACH, _REACH, _CELLS + 1)
_MASS = np.array([0.5 * math.erfc(-z / math.sqrt(2)) for z in _GRID])
METHOD = (
    "linear prediction fitted to each stretch of up to 65,536 frames of the recording itself (32 past frames, and the "
    "past, present and future of all channels coded earlier), Gaussian errors of the locally best scale in hindsight, "
    "and the entropy between the edges of codes"
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
    length = min(max(MOST_SAMPLES // len(levels), SHORT), STRETCH)
    every = -(-len(levels) * length // MOST_SAMPLES)
    chosen = range(every // 2, len(levels), every)  # the first has none before it: no share that is larger than its own
    stretches = range(0, recording.frames, length)
    kept = max(MOST_SAMPLES // (length * len(chosen)), 1)
    total, looked = 0.0, 0
    with _one_thread():
        for first in stretches[:: -(-len(stretches) // kept)]:
            part = recording.samples[first : first + length]
            total += _stretch(part, levels, calibration, chosen)
            looked += len(part) * len(chosen)
    return total / looked, looked


def _one_thread() -> AbstractContextManager[object]:
    """Linear algebra in one thread: where other programs run, its threads wait for each other ten times as long."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with `[bench]`
        return nullcontext()
    return threadpool_limits(1, user_api="blas")


def _stretch(part: np.ndarray, levels: list[Levels], calibration: Calibration | None, chosen: range) -> float:
    """Bits of the chosen channels in a stretch of samples (frames, channels)."""
    bits, count = 0.0, 0
    held = np.empty((len(levels), len(part)))  # of channels that vary, where codes lie: what later ones may look at
    for index, (channel, its) in enumerate(zip(np.ascontiguousarray(part.T), levels, strict=True)):
        if its.alphabet == 1:
            continue
        codes, low = its.to_codes(channel)
        lower, upper = edges(codes, its, calibration)
        held[count] = positions = (lower + upper) / 2
        if index in chosen:
            errors, rows = residual(positions, held[:count])
            below = np.where(codes == 0, -np.inf, lower - positions)[rows] + errors
            above = np.where(codes == its.alphabet - 1, np.inf, upper - positions)[rows] + errors
            bits += _entropy(errors, below, above, its.alphabet) * len(codes) / len(errors)
            if low is not None:
                bits += its.low_bits * len(codes)  # which are noise
        count += 1
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


def _entropy(errors: np.ndarray, lower: np.ndarray, upper: np.ndarray, codes: int) -> float:
    """Bits of samples whose errors are Gaussian, between their codes' edges, with the scale that fits best."""
    squares = errors * errors
    best = math.inf
    for window in (*WINDOWS, len(errors)):
        if window > len(errors):
            continue
        variance = np.maximum(smoothed(squares, window), 1e-4)
        cost = float(_cost(lower, upper, np.sqrt(variance), codes).sum())
        best = min(best, cost + HINDSIGHT * len(errors) / window)
    return best


def _cost(lower: np.ndarray, upper: np.ndarray, scale: np.ndarray, codes: int) -> np.ndarray:
    """Bits of each sample."""
    mass = np.interp(upper / scale, _GRID, _MASS) - np.interp(lower / scale, _GRID, _MASS)
    return -np.log2((1 - RARE) * np.maximum(mass, 0) + RARE / codes)

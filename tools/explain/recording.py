"""What `tools.explain` draws and prints: one recording, followed through every stage of the codec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import erf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikey.base.errors import DataError
from spikey.codec.code_widths import calibrate, edges_of
from spikey.codec.encode import encode_block
from spikey.codec.method import LPC
from spikey.codec.registry import preset_method
from spikey.codec.survey import suits
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.model.calibration import MOST_CODES, Calibration, n1
from spikey.model.fixed_point import UNIT
from spikey.recording.simulate import adc_edges, rate_of, simulate
from spikey.recording.wav import open_wav
from tools.explain.probe import Followed, follow

Floats = NDArray[np.float64]
Progress = Callable[[int, str], None]

FRAMES = 98_304  # of the simulated recording
MOST_FRAMES = 262_144  # of a real one
LEAST_FRAMES = 20_000
NOISE = 5.5  # codes; what drives the background of a simulated recording
LEARNED_FROM = (1, 2, 3, 4)  # seeds of the recordings that tell the simulated converter's widths
ROUNDS = 5
PIECE, PIECE_EVERY = 2048, 512  # frames that a learning curve covers, and between the starts of two pieces
SETTLED = 19_531  # frames after which a predictor knows the signal: a second
TRIED_NOISE = (1.0, 2.0, 3.0, 4.0, 5.5, 7.5, 10.0, 13.0)  # codes
TRIED_FRAMES = 40_000
SHOWN = {"lpc": LPC, "balanced": preset_method("balanced")}
WORK = 4 + len(SHOWN) + len(TRIED_NOISE)  # steps that `explain` reports


@dataclass(frozen=True, eq=False)
class Explained:
    """One channel of a recording and what the codec makes of it.

    name, rate (Hz), samples (frames,), levels, calibration; source: where the calibration is from.
    true_widths (codes,): of the simulated converter, in LSB; None for a real one.
    even, known: the model with evenly wide codes, and with the calibration.
    payloads: bytes by predictor, of the samples alone. start, start_prior (PIECE,): mean bits of a recording's first
    samples, with prediction starting from nothing and from the calibration's usual correlations.
    jolt: a stretch with an artifact, as followed. limits: noise (codes) and bits per sample of simulated recordings.
    """

    name: str
    rate: float
    samples: np.ndarray
    levels: Levels
    calibration: Calibration
    source: str
    true_widths: Floats | None
    even: Followed
    known: Followed
    payloads: dict[str, int]
    start: Floats
    start_prior: Floats
    jolt: Followed
    limits: list[tuple[float, float]]


def explain(recording: Path | None = None, progress: Progress = lambda amount, note: None) -> Explained:
    """Follow the first channel of a WAV file, at most its first 262,144 frames; of a simulated N1 where there is none.

    `progress` is called `WORK` times, with 1 and a note. Raises DataError for recordings that cannot be drawn: of less
    than 20,000 frames, of floats, or of a converter of fewer than 16 or more than 4,096 codes.
    """
    device = [_codes(simulate(FRAMES, seed=seed)[:, 0])[0] for seed in LEARNED_FROM]
    simulated = calibrate(device, 1024, ROUNDS, metadata={"device": "simulated", "levels": "n1"})
    progress(1, "the simulated converter")
    true_widths = None
    if recording is None:
        name, rate = "Simulated N1 recording", rate_of("n1")
        samples = simulate(FRAMES, noise_sd=NOISE)[:, 0]
        codes, levels = _codes(samples)
        calibration, true_widths = simulated, np.diff(adc_edges())
        source = f"found from {len(LEARNED_FROM)} other recordings of the converter"
    else:
        name, (samples, rate) = recording.name, _read(recording)
        codes, levels = _codes(samples)
        calibration, source = _calibration(recording, codes, levels)
    progress(1, "the converter")
    even, known = follow(codes, levels.alphabet), follow(codes, levels.alphabet, calibration)
    progress(1, "prediction")
    payloads = {}
    for preset, method in SHOWN.items():
        coded = encode_block(samples[:, None], method, calibration)
        payloads[preset] = samples.nbytes if coded is None else len(coded)
        progress(1, preset)
    start, start_prior = (_mean_start(codes, levels.alphabet, calibration, prior) for prior in (False, True))
    progress(1, "learning")
    if recording is None:
        jolted, _ = _codes(simulate(FRAMES, seed=3, artifacts=True)[:, 0])
        jolt = follow(jolted, levels.alphabet, calibration)
    else:
        jolt = known
    limits = []
    for noise in TRIED_NOISE:
        limits.append(_limit(noise, simulated.prior))
        progress(1, f"noise of {noise:g} codes")
    return Explained(
        name,
        rate,
        samples,
        levels,
        calibration,
        source,
        true_widths,
        even,
        known,
        payloads,
        start,
        start_prior,
        jolt,
        limits,
    )


def _codes(samples: np.ndarray) -> tuple[np.ndarray, Levels]:
    levels = find_levels(samples)
    return levels.to_codes(samples)[0], levels


def _read(path: Path) -> tuple[np.ndarray, float]:
    """The samples (frames,) of the first channel, and the rate in Hz."""
    with open_wav(path) as source:
        frames = min(source.frames, MOST_FRAMES)
        if frames < LEAST_FRAMES:
            raise DataError(f"{path}: has {frames:,} frames; at least {LEAST_FRAMES:,} are needed to explain anything")
        samples = np.ascontiguousarray(source.read(0, frames)[:, 0])
        rate = source.layout.rate
    if samples.dtype.kind != "i" or rate <= 0:
        raise DataError(f"{path}: what can be explained are signed integer samples at a known rate; see `spikey info`")
    return samples, rate


def _calibration(path: Path, codes: np.ndarray, levels: Levels) -> tuple[Calibration, str]:
    if isinstance(levels, N1Levels) and suits(codes, n1()):
        return n1(), "as calibrated from 412 recordings"
    if not isinstance(levels, N1Levels | Affine) or levels.low_bits or not 16 <= levels.alphabet <= MOST_CODES:
        raise DataError(
            f"{path}: its first channel has {levels.words()}; what can be explained are converters of 16 to "
            f"{MOST_CODES:,} evenly spaced codes"
        )
    return calibrate([codes], levels.alphabet, 3, metadata=levels.describe()), "found from this very recording"


def _mean_start(codes: np.ndarray, size: int, calibration: Calibration, prior: bool) -> Floats:
    """Mean bits of each of the first samples, over pieces of the recording that are each coded anew."""
    total = np.zeros(PIECE)
    starts = range(0, len(codes) - PIECE + 1, PIECE_EVERY)
    for start in starts:
        total += follow(codes[start : start + PIECE], size, calibration, prior=prior).bits
    return total / len(starts)


def _limit(noise: float, prior: np.ndarray) -> tuple[float, float]:
    """Deviation of what prediction leaves and bits per sample, as coded by `lpc`, for noise of `noise` codes."""
    samples = simulate(TRIED_FRAMES, seed=5, noise_sd=noise)
    edges = edges_of(np.diff(adc_edges())).astype(np.int32)
    calibration = Calibration(edges, prior, {"levels": "n1"})
    codes, levels = _codes(samples[:, 0])
    payload = encode_block(samples, replace(LPC, lanes=1), calibration)
    left = follow(codes, levels.alphabet, calibration).residuals[TRIED_FRAMES // 4 :]
    return usual_deviation(left), 8 * len(payload or samples.tobytes()) / TRIED_FRAMES


def usual_deviation(residuals: Floats) -> float:
    """The standard deviation of the Gaussian of the same median size: spikes and artifacts hardly move it."""
    usual = float(1.4826 * np.median(np.abs(residuals - np.median(residuals))))
    return usual or max(float(residuals.std()), 1 / UNIT)  # most residuals may be the same


def gaussian_bits(deviation: float) -> float:
    """Entropy in bits of Gaussian noise of a deviation in codes, rounded to evenly wide codes.

    The mean of lying at 16 places between two codes.

    >>> round(gaussian_bits(4.0), 2), round(gaussian_bits(7.5), 2)
    (4.05, 4.96)
    """
    reach = int(np.ceil(9 * deviation)) + 2
    edges = np.arange(-reach, reach + 1)
    places = (np.arange(16) + 0.5) / 16
    return float(np.mean([entropy(np.diff(normal((edges - place) / deviation))) for place in places]))


def normal(z: Floats) -> Floats:
    """The distribution function of the normal distribution."""
    return np.array([0.5 + 0.5 * erf(one / 2**0.5) for one in z])


def entropy(weights: np.ndarray) -> float:
    """Entropy in bits of what occurs with these weights (values,), of any sum.

    >>> entropy(np.array([1, 1, 0, 2]))
    1.5
    """
    shares = weights[weights > 0] / weights.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def spectrum(signal: Floats, rate: float, length: int = 1024) -> tuple[Floats, Floats]:
    """Frequencies in Hz and power densities in squares per Hz, each (length / 2 - 1,), after Welch (1967)."""
    window = np.hanning(length)
    starts = range(0, len(signal) - length + 1, length // 2)
    pieces = np.stack([signal[start : start + length] for start in starts])
    pieces = (pieces - pieces.mean(axis=1, keepdims=True)) * window
    power: Floats = (np.abs(np.fft.rfft(pieces, axis=1)) ** 2).mean(axis=0)
    density: Floats = np.asarray(power[1:-1] * (2 / (rate * (window**2).sum())), dtype=np.float64)
    frequencies: Floats = np.arange(1.0, length // 2) * (rate / length)
    return frequencies, density


def colour(signal: Floats) -> float:
    """Bits per sample that a signal's spectrum would let the best linear prediction save; 0 for white noise."""
    _, power = spectrum(signal, 1.0)
    return float(0.5 * np.log2(power.mean() / np.exp(np.log(power).mean())))

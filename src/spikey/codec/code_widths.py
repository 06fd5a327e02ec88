"""Estimates a converter's calibration from recordings made with it, without any reference signal.

Expectation-maximisation on the codec's own model: run it over the recordings, count how often each code occurs and how
much probability it was given, multiply its bin's width by the quotient, and repeat. Widths are kept at one LSB on
average over each stretch of 64 codes: what changes more slowly is the signal's business, not the converter's.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from spikey.base.errors import UsageError
from spikey.base.jit import entry
from spikey.codec.adaptive.loop import run
from spikey.coding.symbols import code_symbol
from spikey.model.calibration import MOST_CODES, Calibration
from spikey.model.density import LOCATION_BITS, below, narrow, uniform_edges
from spikey.model.fixed_point import MASS_BITS, POSITION_BITS, SCALE_BITS, SCALE_MIN, SCALE_STEP_BITS, UNIT
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.scale import BYTE_BITS, deviation, scale

ORDER = 32
LARGEST_PRIOR = 1 << 26  # 1/65536
WINDOW = 64  # codes over which widths average one LSB
DAMPING = 0.75  # exponent of the quotient
SHRINK = 20.0  # samples that each code is taken to have behaved ideally for
COARSEST = 32  # LSB; a sample with a larger scale contains no information on widths
REACH = 5  # sigma; a sample farther off is an artifact


@dataclass(frozen=True)
class Round:
    """What one round found with the edges it started from: the model's ideal code length, in bits per sample."""

    number: int
    rounds: int
    bits_per_sample: float


class Census(NamedTuple):
    """A coder that writes nothing: it counts codes and the probability that the density gave them.

    at int64 (1,): as in every coder. observed, expected int64 (alphabet,): samples, and their probability sums, 1/2^24.
    cost float64 (2,): bits and samples altogether. limit int64 (1,): the largest step of the scale that counts.
    """

    at: np.ndarray
    observed: np.ndarray
    expected: np.ndarray
    cost: np.ndarray
    limit: np.ndarray


def census(alphabet: int, coarsest: int = COARSEST) -> Census:
    """Start counting."""
    limit = (int(math.log2(coarsest * UNIT) * (1 << SCALE_BITS)) - SCALE_MIN) >> SCALE_STEP_BITS
    at, observed, expected = (np.zeros(size, dtype=np.int64) for size in (1, alphabet, alphabet))
    return Census(at, observed, expected, np.zeros(2), np.array([limit], dtype=np.int64))


@code_symbol.register(Census)
def _code_symbol_census(coder, density, lane, location, step, code):
    reciprocal = entry(density.reciprocal, step)
    here = below(density, location, reciprocal, code)
    coder.cost[0] += MASS_BITS - math.log2(below(density, location, reciprocal, code + 1) - here)
    coder.cost[1] += 1
    if step <= coder.limit[0]:
        spread = (entry(density.spread, step) * REACH) >> POSITION_BITS
        cells = len(density.located) - 1
        first = density.located[min(max((location - spread + UNIT // 2) >> LOCATION_BITS, 0), cells)]
        last = density.located[min(max((location + spread + UNIT // 2) >> LOCATION_BITS, 0), cells)]
        if first <= code <= last:
            coder.observed[code] += 1
            low = below(density, location, reciprocal, first)
            for other in range(first, last + 1):
                high = below(density, location, reciprocal, other + 1)
                coder.expected[other] += high - low
                low = high
    return code


def calibrate(
    channels: Iterable[np.ndarray],
    alphabet: int,
    rounds: int = 6,
    *,
    metadata: dict[str, Any] | None = None,
    progress: Callable[[Round], None] | None = None,
    coarsest: int = COARSEST,
) -> Calibration:
    """Estimate the calibration of a converter of `alphabet` codes from channels int (frames,) recorded with it.

    `channels` is gone through 2 + `rounds` times; an iterator, which cannot be, is read into memory. `progress` is
    called after each round, and the round that took the fewest bits is the one that counts. Samples of a scale over
    `coarsest` LSB do not count; time goes with it. Raises UsageError where there is nothing to learn from.
    """
    if not 2 <= alphabet <= MOST_CODES:
        raise UsageError(f"a calibration can be estimated for 2 to {MOST_CODES} codes, not {alphabet}")
    if iter(channels) is channels:
        channels = list(channels)
    listing, count, samples = hashlib.sha256(), 0, 0
    for channel in _checked(channels, alphabet):
        listing.update(hashlib.sha256(channel.astype("<i4").tobytes()).digest())
        count, samples = count + 1, samples + len(channel)
    if samples == 0:
        raise UsageError("there are no samples to estimate a calibration from")

    widths = best = np.ones(alphabet)
    fewest = math.inf
    prior = estimate_prior(channels, alphabet, coarsest)
    for number in range(1, rounds + 1):
        counter = census(alphabet, coarsest)
        for channel in _checked(channels, alphabet):
            count_channel(channel, edges_of(widths), prior, counter)
        bits = float(counter.cost[0] / counter.cost[1])
        if bits < fewest:
            fewest, best = bits, widths
        widths = reestimate(widths, counter)
        if progress is not None:
            progress(Round(number, rounds, bits))
    provenance = {"recordings": count, "samples": samples, "data_sha256": listing.hexdigest(), "rounds": rounds}
    return Calibration(edges_of(best).astype(np.int32), prior, metadata={**(metadata or {}), **provenance})


def _checked(channels: Iterable[np.ndarray], alphabet: int) -> Iterable[np.ndarray]:
    for channel in channels:
        if channel.ndim != 1 or channel.dtype.kind not in "iu":
            raise UsageError(f"a channel must be an array of integers (frames,), not {channel.dtype} {channel.shape}")
        if len(channel) and not (channel.min() >= 0 and channel.max() < alphabet):
            raise UsageError(f"a channel holds codes {channel.min()} to {channel.max()}, outside 0 to {alphabet - 1}")
        yield np.ascontiguousarray(channel, dtype=np.int32)


def count_channel(channel: np.ndarray, edges: np.ndarray, prior: np.ndarray, counter: Census) -> None:
    """Run the codec's model over one channel, int32 (frames,), and count."""
    alphabet = len(edges) - 1
    start = starting_scale(channel)
    predictor = lpc(ORDER, 1, len(channel), alphabet, prior=prior, scale=deviation(start))
    run(counter, predictor, narrow(edges), scale(1, alphabet, start), channel, SEGMENT)


def starting_scale(channel: np.ndarray) -> int:
    """A scale to start from, as a header's byte: that of the first differences."""
    typical = float(np.abs(np.diff(channel[:4096])).mean()) if len(channel) > 1 else 0.0
    return min(
        max(round((math.log2(typical * UNIT + 1) - (SCALE_MIN >> SCALE_BITS)) * (1 << SCALE_BITS - BYTE_BITS)), 0), 255
    )


def reestimate(widths: np.ndarray, counter: Census) -> np.ndarray:
    """Better widths, in LSB, float64 (alphabet,). The outermost codes, which the rails fill, stay one LSB wide."""
    expected = counter.expected / (1 << MASS_BITS)
    widths = widths * ((counter.observed + SHRINK) / (expected + SHRINK)) ** DAMPING
    widths[[0, -1]] = 1.0
    return np.maximum(widths / _average(widths), 1 / UNIT)


def _average(widths: np.ndarray) -> np.ndarray:
    """The mean width around each code."""
    around = np.pad(widths, WINDOW, mode="reflect" if len(widths) > WINDOW else "wrap")
    kernel = np.ones(WINDOW + 1)
    kernel[[0, -1]] = 0.5  # exactly WINDOW codes, and symmetric
    return np.convolve(around, kernel / WINDOW, mode="same")[WINDOW:-WINDOW]


def edges_of(widths: np.ndarray) -> np.ndarray:
    """Edges int64 (alphabet + 1,) in 1/64 LSB of bins of these widths in LSB, the middle one where it ideally lies."""
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    middle = len(widths) // 2
    edges += middle - 0.5 - edges[middle]
    # Rounded, they must still increase: push up what coincides.
    rounded = np.rint(edges * UNIT).astype(np.int64)
    ramp = np.arange(len(rounded))
    return np.maximum.accumulate(rounded - ramp) + ramp


def estimate_prior(channels: Iterable[np.ndarray], alphabet: int, coarsest: int = COARSEST) -> np.ndarray:
    """Correlations of position differences for a residual of deviation one, averaged over channels; int32, 1/65536."""
    middles = uniform_edges(alphabet)[:-1] + UNIT // 2
    total, count = np.zeros(ORDER + 1), 0
    for channel in channels:
        if len(channel) > 100 * ORDER:
            steps = np.diff(middles[channel] / UNIT)
            found = np.array([steps[lag:] @ steps[: len(steps) - lag] for lag in range(ORDER + 1)]) / len(steps)
            residual = _residual_variance(found)
            # Neither silence nor a channel that something else than the electrode drives.
            if 0.01 < residual < coarsest**2 and found[0] < residual * (LARGEST_PRIOR >> 16):
                total += found / residual
                count += 1
    if count == 0:
        total[0] = count = 1
    prior = np.rint(total / count * 65536).astype(np.int32)
    return np.clip(prior, -prior[0], prior[0])


def _residual_variance(correlations: np.ndarray) -> float:
    """What linear prediction leaves of the variance."""
    order = len(correlations) - 1
    lags = np.abs(np.arange(order)[:, None] - np.arange(order))
    matrix = correlations[lags] + np.eye(order) * (1e-4 * correlations[0] + 1e-12)
    return float(correlations[0] - correlations[1:] @ np.linalg.solve(matrix, correlations[1:]))

"""Cross-channel prediction: what other channels did at about the same instant corrects any predictor's location.

The channels of a block are coded one after another, so that a channel may look at the final residuals of earlier
ones: at the same instant, a little before and a little after. Those residuals are white and, being final after their
own correction, nearly orthogonal, so each gain is one division of forgetting sums: the triangular factorisation of
the innovations' covariance, learned from the samples behind. The correction leaves a little colour, as a part of the
neighbour's future predicts the own past; a second, short linear predictor takes that out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikey.base.jit import kernel
from spikey.model.fixed_point import FARTHEST, POSITION_BITS, WEIGHT_BITS, WIDEST
from spikey.model.lpc import FORGET, Lpc, lpc, predict, prepare, refit, update

REACH = 3  # samples before and after the instant
TERMS = 2 * REACH + 1
ORDER = 16  # of the second predictor
PRIOR = 128  # samples of independence that the gains start from
GAIN_MAX = 2 << WEIGHT_BITS
BOUND = WIDEST << POSITION_BITS  # of a residual, 1/64 LSB
SHIFT = 8  # bits dropped from sums of products
DIVIDEND_BITS = 62 - WEIGHT_BITS
REFERENCES = 4  # at most
WORTHWHILE = 0.05  # correlation of first differences from which on a channel serves another
SAMPLED = 8192  # frames that references are chosen from


class Crossed(NamedTuple):
    """State of the predictor.

    base: any predictor of this channel alone.
    after: the second predictor, of what the correction leaves of the base's residual.
    residual int32 (frames,): the final residuals, 1/64 LSB, for later channels to refer to.
    others int32 (references, REACH + frames + REACH): final residuals of the channels that correct this one.
    gains int32 (references, TERMS): 1/65536; from REACH samples before to REACH after.
    products int64 (references, TERMS), powers int64 (references,): forgetting sums behind the gains, >> SHIFT.
    weight int64 (1,): samples in those sums.
    correction int64 (lanes, steps): as far as the end of the segment to come.
    location int64 (lanes,): the base's last prediction.
    """

    base: Any
    after: Lpc
    residual: np.ndarray
    others: np.ndarray
    gains: np.ndarray
    products: np.ndarray
    powers: np.ndarray
    weight: np.ndarray
    correction: np.ndarray
    location: np.ndarray


def crossed(base: Any, residuals: list[np.ndarray], frames: int, lanes: int) -> Crossed:
    """Start correcting `base`, a predictor of `lanes` lanes, by other channels.

    residuals: int32 (frames,) each, the field `residual` of the predictors of channels coded before; may be empty.
    """
    steps = -(-frames // lanes)
    after = lpc(ORDER, lanes, steps, 0, delta=False)
    after.shift[0] = SHIFT
    count = len(residuals)
    others = np.zeros((count, REACH + frames + REACH), dtype=np.int32)
    for other, residual in zip(others, residuals, strict=True):
        other[REACH : REACH + frames] = residual
    return Crossed(
        base,
        after,
        np.zeros(frames, dtype=np.int32),
        others,
        np.zeros((count, TERMS), dtype=np.int32),
        np.zeros((count, TERMS), dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros((lanes, steps), dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
    )


@prepare.register(Crossed)
def _prepare_crossed(predictor, at):
    prepare(predictor.base, at)


@predict.register(Crossed)
def _predict_crossed(predictor, lane, at):
    location = predict(predictor.base, lane, at)
    predictor.location[lane] = location
    location += predictor.correction[lane, at] + predict(predictor.after, lane, at)
    return min(max(location, -FARTHEST), FARTHEST)


@update.register(Crossed)
def _update_crossed(predictor, lane, at, position, location, reciprocal):
    base_location = predictor.location[lane]
    update(predictor.base, lane, at, position, base_location, reciprocal)
    # Of a lane's first sample nothing is known: its residual is its value, which would drown all others.
    left = position - base_location - predictor.correction[lane, at] if at > 0 else 0
    final = position - location if at > 0 else 0
    update(predictor.after, lane, at, min(max(left, -BOUND), BOUND), 0, reciprocal)
    predictor.residual[lane * predictor.correction.shape[1] + at] = min(max(final, -BOUND), BOUND)


@refit.register(Crossed, inline=False)
def _refit_crossed(predictor, first, end, full):
    refit(predictor.base, first, end, full)
    refit(predictor.after, first, end, full)
    learn_gains(
        predictor.others,
        predictor.gains,
        predictor.products,
        predictor.powers,
        predictor.weight,
        predictor.correction,
        predictor.after.signal,
        first,
        end,
        full,
    )
    correct(predictor.others, predictor.gains, predictor.correction, end, end + (end - first) * (1 if full else 2))


@kernel
def learn_gains(others, gains, products, powers, weight, correction, left, first, end, full):
    """Bring the gains up to date with samples [first, end) of all lanes."""
    frames = others.shape[1] - 2 * REACH
    lanes, steps = correction.shape
    if full:
        weight[0] -= (weight[0] * FORGET) >> 10
        for j in range(others.shape[0]):
            powers[j] -= (powers[j] * FORGET) >> 10
            for i in range(TERMS):
                products[j, i] -= (products[j, i] * FORGET) >> 10
    for lane in range(lanes):
        count = max(min(end, frames - lane * steps) - first, 0)
        start = lane * steps + first
        weight[0] += count
        now = left[lane, ORDER + first : ORDER + first + count]
        corrected = correction[lane, first : first + count]
        for j in range(others.shape[0]):
            for i in range(TERMS):
                other = others[j, start + i : start + i + count]
                total = np.int64(0)
                for t in range(count):
                    total += (np.int64(now[t]) + corrected[t]) * np.int64(other[t])
                products[j, i] += total >> SHIFT
            other = others[j, start + REACH : start + REACH + count]
            total = np.int64(0)
            for t in range(count):
                total += np.int64(other[t]) * np.int64(other[t])
            powers[j] += total >> SHIFT
    for j in range(others.shape[0]):
        power = powers[j] + powers[j] // max(weight[0], 1) * PRIOR
        for i in range(TERMS):
            down = 0
            while max(power, abs(products[j, i])) >> (DIVIDEND_BITS + down) > 0:
                down += 1
            gain = ((products[j, i] >> down) << WEIGHT_BITS) // ((power >> down) + 1)
            gains[j, i] = min(max(gain, -GAIN_MAX), GAIN_MAX)


@kernel
def correct(others, gains, correction, first, end):
    """Compute the correction of samples [first, end) of all lanes, as far as there are so many."""
    frames = others.shape[1] - 2 * REACH
    lanes, steps = correction.shape
    for lane in range(lanes):
        count = max(min(end, steps, frames - lane * steps) - first, 0)
        start = lane * steps + first
        total = correction[lane, first : first + count]
        for t in range(count):
            total[t] = 1 << (WEIGHT_BITS - 1)
        for j in range(others.shape[0]):
            for i in range(TERMS):
                other = others[j, start + i : start + i + count]
                for t in range(count):
                    total[t] += np.int64(gains[j, i]) * np.int64(other[t])
        for t in range(count):
            total[t] = min(max(total[t] >> WEIGHT_BITS, -BOUND), BOUND)


def choose_references(codes: np.ndarray, limit: int = REFERENCES) -> list[list[int]]:
    """For each channel the earlier channels that may predict it, the best first.

    codes: int32 (frames, channels). Measured by the correlation of first differences, on up to 8 stretches.
    """
    frames, channels = codes.shape
    if frames < 3 or channels < 2:
        return [[] for _ in range(channels)]
    length = min(SAMPLED // 8, frames - 1)
    starts = np.unique(np.linspace(0, frames - 1 - length, 8).astype(np.int64))
    differences = np.concatenate(
        [np.diff(codes[start : start + length + 1].astype(np.float64), axis=0) for start in starts]
    )
    differences -= differences.mean(axis=0)
    power = np.sqrt((differences**2).sum(axis=0))
    correlation = np.abs(differences.T @ differences) / np.maximum(np.outer(power, power), 1e-300)
    chosen = []
    for channel in range(channels):
        order = np.argsort(-correlation[channel, :channel], kind="stable")[:limit]
        chosen.append([int(other) for other in order if correlation[channel, other] > WORTHWHILE])
    return chosen

"""Backward-adaptive linear prediction: correlations with exponential forgetting, Levinson-Durbin every segment.

Nothing is sent: encoder and decoder compute the same weights from the samples behind them. The signal is the first
difference of the positions (or the position itself, less the middle of the alphabet, without delta encoding). The
lanes of a recording run in lockstep and share their correlations, so that splitting costs no learning.
Levinson (1946), Durbin (1960); integers throughout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from spikey.base.jit import generic, inlined, kernel
from spikey.model.fixed_point import FARTHEST, UNIT, WEIGHT_BITS

RECENT = 4  # samples that are read one by one; every order is larger
GAIN_BITS = 24  # of reflection coefficients and weights inside the recursion
LARGEST = 8 << GAIN_BITS
SEGMENT = 256  # samples, over all lanes, between two solutions
PRIOR = 1000  # samples that the initial correlations count for
FORGET = 13  # of 1,024, each segment: a memory of 20,000 samples


class Lpc(NamedTuple):
    """State of the predictor.

    weights int32 (order,): oldest sample first, 1/65536.
    correlations int64 (order + 1,): of the signal, forgetting, in (1/64 LSB)^2 >> shift.
    signal int32 (lanes, order + steps): what is predicted from, after `order` zeros.
    last int64 (lanes,): the previous position; the middle of the alphabet at first, and always without deltas.
    middle int64 (1,): the middle of the alphabet.
    delta int64 (1,): 1 in the difference domain.
    shift int64 (1,): bits dropped from correlations, so that a large alphabet's cannot overflow.
    scratch int64 (3, order + 1): room for the recursion.
    """

    weights: np.ndarray
    correlations: np.ndarray
    signal: np.ndarray
    last: np.ndarray
    middle: np.ndarray
    delta: np.ndarray
    shift: np.ndarray
    scratch: np.ndarray


def lpc(
    order: int,
    lanes: int,
    steps: int,
    alphabet: int,
    *,
    delta: bool = True,
    prior: np.ndarray | None = None,
    scale: int = 0,
) -> Lpc:
    """Start predicting `lanes` lanes of at most `steps` samples over an alphabet of that size.

    prior int (order + 1 or more,): correlations to start from, for a residual of one unit's deviation and with the
    weight of `PRIOR` samples, 1/65536; scale: the expected deviation of the residual in 1/64 LSB.
    """
    shift = 2 * max(alphabet.bit_length() - 10, 0)
    scale = min(scale, alphabet * UNIT)
    correlations = np.zeros(order + 1, dtype=np.int64)
    if prior is not None and delta:
        for k in range(min(order + 1, len(prior))):
            correlations[k] = (int(prior[k]) * PRIOR * scale * scale) >> (16 + shift)
    weights, scratch = np.zeros(order, dtype=np.int32), np.zeros((3, order + 1), dtype=np.int64)
    solve(correlations, weights, scratch)
    return Lpc(
        weights,
        correlations,
        np.zeros((lanes, order + steps), dtype=np.int32),
        np.full(lanes, alphabet * UNIT // 2, dtype=np.int64),
        np.array([alphabet * UNIT // 2], dtype=np.int64),
        np.array([delta], dtype=np.int64),
        np.array([shift], dtype=np.int64),
        scratch,
    )


@generic
def prepare(predictor, at):
    """Prepare the predictions of sample `at` of all lanes; what is common to them is best done here."""


@generic
def predict(predictor, lane, at):
    """The location of sample `at` of a lane, int64 in 1/64 LSB."""


@generic
def update(predictor, lane, at, position, location, reciprocal):
    """Take in what sample `at` turned out to be."""


@generic
def refit(predictor, first, end, full):
    """Learn from samples [first, end) of all lanes; `full`: the segment has its whole length."""


@prepare.register(Lpc)
def _prepare_lpc(predictor, at):
    pass


@predict.register(Lpc)
def _predict_lpc(predictor, lane, at):
    # The latest samples are still on their way to memory: one vector read across them would wait, single reads do not.
    old = predictor.weights.shape[0] - RECENT
    weights, past = predictor.weights[:old], predictor.signal[lane, at : at + old]
    total = np.int64(1 << (WEIGHT_BITS - 1))
    for i in range(old):
        total += np.int64(weights[i]) * np.int64(past[i])
    late, recent = predictor.weights[old:], predictor.signal[lane, at + old : at + old + RECENT]
    total += np.int64(late[0]) * np.int64(recent[0]) + np.int64(late[1]) * np.int64(recent[1])
    total += np.int64(late[2]) * np.int64(recent[2]) + np.int64(late[3]) * np.int64(recent[3])
    return min(max(predictor.last[lane] + (total >> WEIGHT_BITS), -FARTHEST), FARTHEST)


@update.register(Lpc)
def _update_lpc(predictor, lane, at, position, location, reciprocal):
    order = predictor.weights.shape[0]
    if predictor.delta[0] == 1:
        predictor.signal[lane, order + at] = position - predictor.last[lane] if at > 0 else 0
        predictor.last[lane] = position
    else:
        predictor.signal[lane, order + at] = position - predictor.last[lane]


@inlined
def forget(correlations):
    """Let a full segment's worth of the correlations go."""
    for k in range(correlations.shape[0]):
        correlations[k] -= (correlations[k] * FORGET) >> 10


@inlined
def correlate(signal, first, end, correlations, shift):
    """Add what samples [first, end) of a signal (n,) have in common with those up to the order before them."""
    now = signal[first:end]
    for k in range(correlations.shape[0]):
        past = signal[first - k : end - k]
        total = np.int64(0)
        for t in range(end - first):
            total += np.int64(now[t]) * np.int64(past[t])
        correlations[k] += total >> shift


@refit.register(Lpc, inline=False)
def _refit_lpc(predictor, first, end, full):
    order = predictor.weights.shape[0]
    correlations = predictor.correlations
    if full:
        forget(correlations)
    for lane in range(predictor.signal.shape[0]):
        correlate(predictor.signal[lane], order + first, order + end, correlations, predictor.shift[0])
    solve(correlations, predictor.weights, predictor.scratch)


class Separate(NamedTuple):
    """Linear prediction of lanes that share nothing: every field is one of `Lpc`, with the lanes in front."""

    weights: np.ndarray
    correlations: np.ndarray
    signal: np.ndarray
    last: np.ndarray
    middle: np.ndarray
    delta: np.ndarray
    shift: np.ndarray
    scratch: np.ndarray


def separate(order: int, steps: int, alphabet: int, scales: Iterable[int], **options: Any) -> Separate:
    """`lpc` for recordings that are each a lane of their own; one scale for each, `options` as there."""
    each = [lpc(order, 1, steps, alphabet, scale=scale, **options) for scale in scales]
    return Separate(*(np.stack(field) for field in zip(*each, strict=True)))


@inlined
def member(lanes, lane):
    """The `Lpc` of one of separate lanes."""
    return Lpc(
        lanes.weights[lane],
        lanes.correlations[lane],
        lanes.signal[lane],
        lanes.last[lane],
        lanes.middle[lane],
        lanes.delta[lane],
        lanes.shift[lane],
        lanes.scratch[lane],
    )


@prepare.register(Separate)
def _prepare_separate(predictor, at):
    pass


@predict.register(Separate)
def _predict_separate(predictor, lane, at):
    return predict(member(predictor, lane), 0, at)


@update.register(Separate)
def _update_separate(predictor, lane, at, position, location, reciprocal):
    update(member(predictor, lane), 0, at, position, location, reciprocal)


@refit.register(Separate, inline=False)
def _refit_separate(predictor, first, end, full):
    for lane in range(predictor.weights.shape[0]):
        refit(member(predictor, lane), first, end, full)


@kernel
def solve(correlations, weights, scratch):
    """Weights (int32, oldest first, 1/65536) that predict a signal of these correlations; zeros for a silent one."""
    order = weights.shape[0]
    power = correlations[0] + (correlations[0] >> 13) + 1
    shift = 0
    while (power >> shift) >= 1 << 30:
        shift += 1
    up = 0
    while (power << up) < 1 << 29:
        up += 1
    scaled, solution, update = scratch[0], scratch[1], scratch[2]
    scaled[0] = (power >> shift) << up
    for k in range(1, order + 1):
        scaled[k] = min(max((correlations[k] >> shift) << up, -scaled[0]), scaled[0])
    solution[:] = 0
    error = scaled[0]
    for i in range(order):
        total = scaled[i + 1] << GAIN_BITS
        for j in range(i):
            total -= solution[j] * scaled[i - j]
        gain = total // error
        if error < 256 or abs(gain) >= 1 << GAIN_BITS:
            break
        largest = abs(gain)
        for j in range(i):
            update[j] = solution[j] - ((gain * solution[i - 1 - j]) >> GAIN_BITS)
            largest = max(largest, abs(update[j]))
        if largest > LARGEST:
            break
        for j in range(i):
            solution[j] = update[j]
        solution[i] = gain
        error -= (((error * gain) >> GAIN_BITS) * gain) >> GAIN_BITS
    for j in range(order):
        weights[order - 1 - j] = (solution[j] + (1 << (GAIN_BITS - WEIGHT_BITS - 1))) >> (GAIN_BITS - WEIGHT_BITS)

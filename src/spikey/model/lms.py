"""Adaptive prediction sample by sample: the normalised least-mean-squares rule of Widrow and Hoff (1960), in integers.

Cheap and quick to follow a change. Three things keep it from running away: the error that moves the weights is clipped
at three times the running scale, the step is normalised by the power of the samples predicted from, rounded up to a
power of two so that a shift does it, and every weight has a bound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.model.fixed_point import FARTHEST, UNIT, WEIGHT_BITS
from spikey.model.lpc import lpc, predict, prepare, refit, update

TAPS = 16
FINE_BITS = 24  # of the weights: the changes are small
BOUND = (8 << FINE_BITS) - 1
RATE_BITS = 8  # each step corrects between a 2^-RATE_BITS and twice that of the error
QUIET_BITS = FINE_BITS - RATE_BITS  # log2 of the least power that is divided by: a deviation of 1 code
CLIP = 3 << 32  # sigma


class Lms(NamedTuple):
    """State of the predictor.

    weights int32 (lanes, TAPS): oldest sample first, 2^-24; each lane learns its own.
    signal int32 (lanes, TAPS + steps): what is predicted from, after TAPS zeros.
    last int64 (lanes,): the previous position; the middle of the alphabet at first, and always without deltas.
    power int64 (lanes,): sum of the squares of the last TAPS samples of the signal.
    level int64 (lanes,): bits of `power`, at least QUIET_BITS.
    delta int64 (1,): 1 in the difference domain.
    """

    weights: np.ndarray
    signal: np.ndarray
    last: np.ndarray
    power: np.ndarray
    level: np.ndarray
    delta: np.ndarray


def lms(
    lanes: int, steps: int, alphabet: int, *, delta: bool = True, prior: np.ndarray | None = None, scale: int = 0
) -> Lms:
    """Start predicting `lanes` lanes of at most `steps` samples over an alphabet of that size.

    prior and scale: as for `lpc`; they give the weights to start from. Without deltas that is the previous sample.
    """
    weights = lpc(TAPS, 1, 0, alphabet, delta=delta, prior=prior, scale=scale).weights << (FINE_BITS - WEIGHT_BITS)
    if not delta:
        weights[-1] = 1 << FINE_BITS
    return Lms(
        np.tile(weights, (lanes, 1)),
        np.zeros((lanes, TAPS + steps), dtype=np.int32),
        np.full(lanes, alphabet * UNIT // 2, dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
        np.full(lanes, QUIET_BITS, dtype=np.int64),
        np.array([delta], dtype=np.int64),
    )


@prepare.register(Lms)
def _prepare_lms(predictor, at):
    pass


@predict.register(Lms)
def _predict_lms(predictor, lane, at):
    weights = predictor.weights[lane]
    past = predictor.signal[lane, at : at + TAPS]
    total = np.int64(1 << (FINE_BITS - 1))
    for i in range(TAPS):
        total += np.int64(weights[i]) * np.int64(past[i])
    return min(max(predictor.last[lane] + (total >> FINE_BITS), -FARTHEST), FARTHEST)


@update.register(Lms)
def _update_lms(predictor, lane, at, position, location, reciprocal):
    signal = position - predictor.last[lane]
    if predictor.delta[0] == 1:
        predictor.last[lane] = position
        signal = signal if at > 0 else 0
    error = position - location
    if abs(error) * reciprocal > CLIP:
        error = CLIP // reciprocal if error > 0 else -(CLIP // reciprocal)
    level = predictor.level[lane]
    shift = level - QUIET_BITS
    half = (1 << shift) >> 1
    weights = predictor.weights[lane]
    past = predictor.signal[lane, at : at + TAPS]
    for i in range(TAPS):
        weight = np.int64(weights[i]) + ((error * np.int64(past[i]) + half) >> shift)
        weights[i] = min(max(weight, -BOUND), BOUND)
    power = predictor.power[lane] + signal * signal - np.int64(past[0]) * np.int64(past[0])
    predictor.power[lane] = power
    while power >> level > 0:
        level += 1
    while level > QUIET_BITS and power >> (level - 1) == 0:
        level -= 1
    predictor.level[lane] = level
    predictor.signal[lane, TAPS + at] = signal


@refit.register(Lms)
def _refit_lms(predictor, first, end, full):
    pass

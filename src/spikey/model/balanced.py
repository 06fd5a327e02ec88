"""The balanced preset's model: linear prediction of order 32, five running scales, and a small network to refine both.

The network (24 inputs, one hidden layer of 32 rectified units, beside it a linear path) sees recent errors, recent
changes and the running scales, all in units of the scale, and outputs by what part of the scale the location moves
and by what part of an octave the scale should. Its weights are integers and part of the format, its answers bounded,
so that it can do only so much harm on signals unlike those it was fitted on (`tools.fit_balanced`).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from spikey.base.jit import entry, inlined
from spikey.base.shipped import tables
from spikey.model.density import step_of
from spikey.model.features import Features, features, fill, learn_change, learn_error, scale_in_force
from spikey.model.fixed_point import (
    ACTIVATION_BITS,
    FARTHEST,
    POSITION_BITS,
    SCALE_MAX,
    SCALE_MIN,
    SPREAD,
    Z_BITS,
)
from spikey.model.lpc import Lpc, lpc, predict, prepare, refit, update
from spikey.model.scale import deviation, opening_scale, scale_at, update_scale

ORDER = 32
LAGS = 8  # recent errors and changes that the network sees
INPUTS = 24
ROOM = 32  # inputs with padding: a whole number of vector registers
HIDDEN = 32
INPUT_BITS = ACTIVATION_BITS
WEIGHT_BITS = 12  # of the network's weights
HIDDEN_BITS = 10  # of the hidden units, within 32
HIDDEN_MAX = (1 << 15) - 1


class Ensemble(NamedTuple):
    """State of predictor and scale in one: the loop takes it as both.

    linear: the linear predictor. features: the network's inputs.
    opening int64 (1,): log2 scale for a lane's first sample.
    refined int64 (lanes,): log2 scale for the current sample.
    inputs int16 (ROOM,): of the network, the last ones always 0.
    first int16 (HIDDEN, ROOM), second int16 (2, HIDDEN), direct int16 (4, ROOM), bias int32 (HIDDEN + 2,): its weights.
    `direct` leads from the inputs and from their absolute values to the first output, then to the second; `bias` is
    that of the hidden units, then of the outputs. Outputs: octaves, and shares of the scale.
    """

    linear: Lpc
    features: Features
    opening: np.ndarray
    refined: np.ndarray
    inputs: np.ndarray
    first: np.ndarray
    bias: np.ndarray
    second: np.ndarray
    direct: np.ndarray
    spread: np.ndarray


@cache
def network() -> dict[str, np.ndarray]:
    """The network's weights by name."""
    return {name: np.ascontiguousarray(array) for name, array in tables("balanced").items()}


def balanced_predictor(
    lanes: int,
    steps: int,
    alphabet: int,
    initial: int,
    *,
    delta: bool = True,
    prior: np.ndarray | None = None,
    weights: dict[str, np.ndarray] | None = None,
) -> Ensemble:
    """Start predicting `lanes` lanes of at most `steps` samples over an alphabet of that size.

    initial: the header's byte of the scale; delta and prior as for `lpc`; weights: others than the
    shipped network's. The result serves as the scale as well.
    """
    weights = weights or network()
    return Ensemble(
        lpc(ORDER, lanes, steps, alphabet, delta=delta, prior=prior, scale=deviation(initial)),
        features(LAGS, [initial] * lanes),
        np.array([opening_scale(alphabet)], dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
        np.zeros(ROOM, dtype=np.int16),
        weights["first"],
        weights["bias"],
        weights["second"],
        weights["direct"],
        SPREAD,
    )


@prepare.register(Ensemble)
def _prepare_ensemble(predictor, at):
    pass


@predict.register(Ensemble, inline=False)
def _predict_ensemble(model, lane, at):
    linear = model.linear
    location = predict(linear, lane, at)
    if at == 0:
        model.refined[lane] = model.opening[0]
        return location
    mixed = scale_in_force(model.features, lane)
    fill(model.features, lane, mixed, location, linear.last[lane], linear.middle[0], model.inputs)
    octaves, share = infer(model.inputs, model.first, model.bias, model.second, model.direct)
    model.refined[lane] = min(max(mixed + octaves, SCALE_MIN), SCALE_MAX)
    location += (share * entry(model.spread, step_of(mixed))) >> (Z_BITS + POSITION_BITS)
    return min(max(location, -FARTHEST), FARTHEST)


@inlined
def infer(inputs, first, bias, second, direct):
    """The network's two answers, in 1/65536 and within 1: octaves, and shares of the scale."""
    # Sums of a row are below 2^31, and 32-bit sums of 16-bit products are what vector units do best.
    sums = (np.int32(0), np.int32(0), np.int32(0), np.int32(0))
    octaves_plain, octaves_size, share_plain, share_size = sums
    for i in range(inputs.shape[0]):
        value = np.int32(inputs[i])
        size = np.int32(abs(value))
        octaves_plain = np.int32(octaves_plain + np.int32(value * np.int32(direct[0, i])))
        octaves_size = np.int32(octaves_size + np.int32(size * np.int32(direct[1, i])))
        share_plain = np.int32(share_plain + np.int32(value * np.int32(direct[2, i])))
        share_size = np.int32(share_size + np.int32(size * np.int32(direct[3, i])))
    octaves = (np.int64(octaves_plain) + octaves_size + bias[HIDDEN]) << (HIDDEN_BITS - INPUT_BITS)
    share = (np.int64(share_plain) + share_size + bias[HIDDEN + 1]) << (HIDDEN_BITS - INPUT_BITS)
    for j in range(first.shape[0]):
        row = first[j]
        total = np.int32(0)
        for i in range(row.shape[0]):
            total = np.int32(total + np.int32(np.int32(inputs[i]) * np.int32(row[i])))
        unit = max(np.int64(total) + bias[j], np.int64(0)) >> (INPUT_BITS + WEIGHT_BITS - HIDDEN_BITS)
        unit = min(unit, np.int64(HIDDEN_MAX))
        octaves += unit * second[0, j]
        share += unit * second[1, j]
    down = WEIGHT_BITS + HIDDEN_BITS - Z_BITS
    one = 1 << Z_BITS
    return min(max(octaves >> down, -one), one), min(max(share >> down, -one), one)


@update.register(Ensemble)
def _update_ensemble(model, lane, at, position, location, reciprocal):
    update(model.linear, lane, at, position, location, reciprocal)
    learn_change(model.features, lane, model.linear.signal[lane, ORDER + at])


@refit.register(Ensemble, inline=False)
def _refit_ensemble(model, first, end, full):
    refit(model.linear, first, end, full)


@scale_at.register(Ensemble)
def _scale_at_ensemble(model, lane, at):
    return model.refined[lane]


@update_scale.register(Ensemble)
def _update_scale_ensemble(model, lane, at, distance, reciprocal):
    if at > 0:
        learn_error(model.features, lane, distance)

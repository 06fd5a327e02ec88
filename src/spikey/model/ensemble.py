"""The balanced preset's model: linear prediction of order 32, five running scales, and a small network to refine both.

The network (24 inputs, one hidden layer of 32 rectified units, beside it a linear path) sees recent errors, recent
changes and the running scales, all in units of the scale, and says by what part of the scale the location should move
and by what part of an octave the scale should. Its weights are integers and part of the format, its answers bounded,
so that it can do only so much harm on signals unlike those it was fitted on (`spikey.analysis.fit_network`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikey.kernels import entry, inlined
from spikey.model.density import standardise, step_of
from spikey.model.fixed import (
    FARTHEST,
    POSITION_BITS,
    RECIPROCAL,
    SCALE_BITS,
    SCALE_MAX,
    SCALE_MIN,
    SPREAD,
    UPDATE,
    UPDATE_BITS,
    UPDATE_LAST,
    Z_BITS,
)
from spikey.model.lpc import Lpc, adapt, lpc, observe, predict
from spikey.model.scale import deviation, opening_scale, rescale, scale_of, stated_scale

ORDER = 32
RATES = np.ascontiguousarray(UPDATE[[4, 0, 1, 2, 3]])  # 0.1, 0.03, 0.01, 0.004, 0.001
MIXTURE = np.array([0, 4, 17, 26, 17], dtype=np.int64)  # of the running scales, in 64ths
ERRORS = 8  # recent errors and changes that the network sees
CHANGES = 8
INPUTS = len(RATES) + 1 + ERRORS + 1 + CHANGES + 1
ROOM = 32  # inputs with padding: a whole number of vector registers
HIDDEN = 32
INPUT_BITS = 8  # inputs are in 1/256, within 4
INPUT_MAX = 4 << INPUT_BITS
WEIGHT_BITS = 12  # of the network's weights
HIDDEN_BITS = 10  # of the hidden units, within 32
HIDDEN_MAX = (1 << 15) - 1


class Ensemble(NamedTuple):
    """State of predictor and scale in one: the loop takes it as both.

    linear: the linear predictor.
    values int64 (lanes, 5): running log2 scales, 1/65536 octave; `rates` int32 (5, 97) their tables of updates.
    opening int64 (1,): log2 scale for a lane's first sample.
    refined int64 (lanes,): log2 scale for the sample at hand.
    errors int64 (lanes, ERRORS): the last errors, latest first, 1/64 LSB.
    inputs int16 (ROOM,): of the network, the last ones always 0.
    first int16 (HIDDEN, ROOM), second int16 (2, HIDDEN), direct int16 (4, ROOM), bias int32 (HIDDEN + 2,): its weights.
    `direct` leads from the inputs and from their absolute values to the first output, then to the second; `bias` is
    that of the hidden units, then of the outputs. Outputs: octaves, and shares of the scale.
    """

    linear: Lpc
    values: np.ndarray
    rates: np.ndarray
    mixture: np.ndarray
    opening: np.ndarray
    refined: np.ndarray
    errors: np.ndarray
    inputs: np.ndarray
    first: np.ndarray
    bias: np.ndarray
    second: np.ndarray
    direct: np.ndarray
    reciprocal: np.ndarray
    spread: np.ndarray


@cache
def network() -> dict[str, np.ndarray]:
    """The network's weights by name."""
    with np.load(Path(__file__).with_name("network.npz"), allow_pickle=False) as tables:
        return {name: np.ascontiguousarray(tables[name]) for name in tables.files}


def balanced_predictor(
    lanes: int,
    steps: int,
    codes: int,
    initial: int,
    *,
    delta: bool = True,
    prior: np.ndarray | None = None,
    weights: dict[str, np.ndarray] | None = None,
) -> Ensemble:
    """Start predicting `lanes` lanes of at most `steps` samples over an alphabet of `codes`.

    initial: the header's byte of the scale; delta and prior as for `lpc`; weights: others than the
    shipped network's. The result serves as the scale as well.
    """
    weights = weights or network()
    value = stated_scale(initial)
    return Ensemble(
        lpc(ORDER, lanes, steps, codes, delta=delta, prior=prior, scale=deviation(initial)),
        np.full((lanes, len(RATES)), value, dtype=np.int64),
        RATES,
        MIXTURE,
        np.array([opening_scale(codes)], dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
        np.zeros((lanes, ERRORS), dtype=np.int64),
        np.zeros(ROOM, dtype=np.int16),
        weights["first"],
        weights["bias"],
        weights["second"],
        weights["direct"],
        RECIPROCAL,
        SPREAD,
    )


@inlined
def _relative(distance, reciprocal):
    """A distance in 1/64 LSB as an input of the network: in units of the scale, clipped."""
    return min(max((distance * reciprocal) >> (32 - INPUT_BITS), -INPUT_MAX), INPUT_MAX)


@predict.register(Ensemble, small=False)
def _predict_ensemble(model, lane, at):
    linear = model.linear
    location = predict(linear, lane, at)
    if at == 0:
        model.refined[lane] = model.opening[0]
        return location
    values, errors, inputs = model.values[lane], model.errors[lane], model.inputs
    rates = values.shape[0]
    mixed = np.int64(0)
    for i in range(rates):
        mixed += values[i] * model.mixture[i]
    mixed >>= 6
    step = step_of(min(max(mixed, SCALE_MIN), SCALE_MAX))
    reciprocal = entry(model.reciprocal, step)

    for i in range(rates):
        inputs[i] = min(max((values[i] - mixed) >> (SCALE_BITS - INPUT_BITS - 1), -INPUT_MAX), INPUT_MAX)
    inputs[rates] = _relative(location - linear.last[lane], reciprocal)
    inputs[rates + 1] = _relative((location - linear.middle[0]) >> 3, reciprocal)
    for i in range(ERRORS):
        inputs[rates + 2 + i] = _relative(errors[i], reciprocal)
    past = linear.signal[lane, at : at + ORDER]
    for i in range(CHANGES):
        inputs[rates + 2 + ERRORS + i] = _relative(np.int64(past[ORDER - 1 - i]) >> 1, reciprocal)

    octaves, share = infer(inputs, model.first, model.bias, model.second, model.direct)
    model.refined[lane] = min(max(mixed + octaves, SCALE_MIN), SCALE_MAX)
    location += (share * entry(model.spread, step)) >> (Z_BITS + POSITION_BITS)
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


@observe.register(Ensemble)
def _observe_ensemble(model, lane, at, position, location, reciprocal):
    observe(model.linear, lane, at, position, location, reciprocal)


@adapt.register(Ensemble, small=False)
def _adapt_ensemble(model, first, end, full):
    adapt(model.linear, first, end, full)


@scale_of.register(Ensemble)
def _scale_of_ensemble(model, lane, at):
    return model.refined[lane]


@rescale.register(Ensemble)
def _rescale_ensemble(model, lane, at, distance, reciprocal):
    if at > 0:
        values, errors = model.values[lane], model.errors[lane]
        for i in range(values.shape[0]):
            own = entry(model.reciprocal, step_of(values[i]))
            z = abs(standardise(distance, own)) >> UPDATE_BITS
            values[i] = min(max(values[i] + model.rates[i, min(z, UPDATE_LAST)], SCALE_MIN), SCALE_MAX)
        for i in range(ERRORS - 1, 0, -1):
            errors[i] = errors[i - 1]
        errors[0] = distance

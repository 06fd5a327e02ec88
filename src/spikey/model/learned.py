"""A trained network that refines an adaptive predictor: it moves the location and stretches the scale.

The base is linear prediction of order 32 (or, for a network that sees the signal alone, simply the previous sample).
Its errors alone determine the network's inputs, so that training sees exactly what the codec will see, and its
adaptation does not hang on the network.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikey.base.jit import entry
from spikey.model.dense import dense
from spikey.model.density import step_of
from spikey.model.features import (
    Features,
    features,
    fill,
    fill_alone,
    learn_change,
    learn_error,
    scale_in_force,
)
from spikey.model.fixed_point import FARTHEST, POSITION_BITS, SCALE_MAX, SCALE_MIN, SPREAD, UNIT, Z_BITS
from spikey.model.lpc import predict, prepare, refit, separate, update
from spikey.model.lstm import lstm
from spikey.model.network import Given, infer
from spikey.model.scale import deviation, opening_scale, scale_at, update_scale
from spikey.model.trained import Architecture, Model

ORDER = 32


class Previous(NamedTuple):
    """The simplest predictor: the previous sample, or without deltas the middle of the alphabet.

    last int64 (lanes,), middle int64 (1,), delta int64 (1,): as in `Lpc`.
    """

    last: np.ndarray
    middle: np.ndarray
    delta: np.ndarray


@predict.register(Previous)
def _predict_previous(predictor, lane, at):
    return predictor.last[lane]


@update.register(Previous)
def _update_previous(predictor, lane, at, position, location, reciprocal):
    if predictor.delta[0] == 1:
        predictor.last[lane] = position


@refit.register(Previous)
def _refit_previous(predictor, first, end, full):
    pass


class Learned(NamedTuple):
    """State of predictor and scale in one: the loop takes it as both.

    base: `Separate` or `Previous`. features: the network's inputs. network: `Dense`, `Lstm` or `Given`.
    alone, delta int64 (1,): 1 if the network sees changes alone, if these are differences.
    inputs int16 (lanes, inputs), outputs int64 (lanes, 2): of the network.
    base_location int64 (lanes,), base_scale int64 (lanes,): before refinement. scale int64 (lanes,): after it.
    last int64 (lanes,): the previous position, or the middle without deltas. opening int64 (1,).
    """

    base: Any
    features: Features
    network: Any
    alone: np.ndarray
    delta: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    base_location: np.ndarray
    base_scale: np.ndarray
    scale: np.ndarray
    last: np.ndarray
    middle: np.ndarray
    opening: np.ndarray
    spread: np.ndarray


def learned_predictor(
    architecture: Architecture,
    network: Any,
    steps: int,
    alphabet: int,
    initials: list[int],
    *,
    prior: np.ndarray | None = None,
    delta: bool | None = None,
    base: Any = None,
) -> Learned:
    """Start predicting recordings of at most `steps` samples over an alphabet of that size, each a lane of its own.

    network: of `network_of`, for as many lanes, or a `Given`. initials: the headers' bytes of the scales.
    prior: as for `lpc`. delta, base: other than the architecture's.
    """
    lanes = len(initials)
    middle = np.array([alphabet * UNIT // 2], dtype=np.int64)
    delta = architecture.delta if delta is None else delta
    deltas = np.array([delta], dtype=np.int64)
    if base is None and architecture.alone:
        base = Previous(np.full(lanes, middle[0], dtype=np.int64), middle, deltas)
    elif base is None:
        base = separate(ORDER, steps, alphabet, map(deviation, initials), delta=delta, prior=prior)
    return Learned(
        base,
        features(architecture.lags, initials),
        network,
        np.array([architecture.alone], dtype=np.int64),
        deltas,
        np.zeros((lanes, architecture.inputs), dtype=np.int16),
        np.zeros((lanes, 2), dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
        np.full(lanes, middle[0], dtype=np.int64),
        middle,
        np.array([opening_scale(alphabet)], dtype=np.int64),
        SPREAD,
    )


def network_of(model: Model, lanes: int) -> Any:
    """The state of a model's network."""
    return lstm(model, lanes) if model.architecture.type == "lstm" else dense(model)


@prepare.register(Learned, inline=False)
def _prepare_learned(model, at):
    for lane in range(model.base_location.shape[0]):
        location = predict(model.base, lane, at)
        model.base_location[lane] = location
        mixed = scale_in_force(model.features, lane)
        model.base_scale[lane] = mixed
        if model.alone[0] == 1:
            fill_alone(model.features, lane, mixed, model.inputs[lane])
        else:
            fill(model.features, lane, mixed, location, model.last[lane], model.middle[0], model.inputs[lane])
    if at > 0:
        infer(model.network, model.inputs, model.outputs)


@predict.register(Learned)
def _predict_learned(model, lane, at):
    location = model.base_location[lane]
    if at == 0:
        model.scale[lane] = model.opening[0]
        return location
    mixed = model.base_scale[lane]
    model.scale[lane] = min(max(mixed + model.outputs[lane, 0], SCALE_MIN), SCALE_MAX)
    location += (model.outputs[lane, 1] * entry(model.spread, step_of(mixed))) >> (Z_BITS + POSITION_BITS)
    return min(max(location, -FARTHEST), FARTHEST)


@update.register(Learned)
def _update_learned(model, lane, at, position, location, reciprocal):
    change = position - model.last[lane]
    if model.delta[0] == 1:
        model.last[lane] = position
        change = change if at > 0 else 0
    base_location = model.base_location[lane]
    update(model.base, lane, at, position, base_location, reciprocal)
    learn_change(model.features, lane, change)
    if at > 0:
        learn_error(model.features, lane, position - base_location)


@refit.register(Learned, inline=False)
def _refit_learned(model, first, end, full):
    refit(model.base, first, end, full)


@scale_at.register(Learned)
def _scale_at_learned(model, lane, at):
    return model.scale[lane]


@update_scale.register(Learned)
def _update_scale_learned(model, lane, at, distance, reciprocal):
    pass


def given() -> Given:
    """A network whose outputs are 0 until someone writes them."""
    return Given(np.zeros(1, dtype=np.int64))

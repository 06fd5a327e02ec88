"""Fits the balanced preset's network to recordings, with NumPy alone: `fit` returns the integer weights.

The codec's own model is run over the recordings while its inputs are recorded. The network then learns, by stochastic
gradient descent (Adam: Kingma and Ba, 2015), the correction of location and scale that gives the least code length
under the density's bell shape. Floating point is no danger here: the codec sees the rounded weights only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from spikey.analysis.calibrate import Census, census, starting_scale
from spikey.coding.loop import run
from spikey.model.calibration import Calibration
from spikey.model.density import narrow
from spikey.model.ensemble import (
    HIDDEN,
    INPUT_BITS,
    INPUT_MAX,
    INPUTS,
    WEIGHT_BITS,
    Ensemble,
    balanced_predictor,
    infer,
)
from spikey.model.fixed import SCALE_BITS, Z_BITS
from spikey.model.lpc import SEGMENT, adapt, observe, predict
from spikey.model.make_tables import COMPONENTS
from spikey.model.scale import rescale, scale_of

SHAPE = tuple((float(weight), float(width)) for weight, width in COMPONENTS)
WARM_UP = 2000  # samples of each channel that are not learned from
FINEST, COARSEST = 64.0, 2048.0  # scales learned from, in 1/64 LSB: neither silence nor artifacts
BATCH = 8192
RATE = 2e-3
WEIGHT_LIMIT = 7.9


class Recorded(NamedTuple):
    """The model with a memory: inputs int16 (frames, INPUTS), and what would be the case without the network:
    location int32 (frames,) in 1/64 LSB and log2 scale int32 (frames,); position int32 (frames,): what came.
    """

    model: Ensemble
    inputs: np.ndarray
    location: np.ndarray
    scale: np.ndarray
    position: np.ndarray


@predict.register(Recorded)
def _predict_recorded(recorded, lane, at):
    model = recorded.model
    location = predict(model, lane, at)
    if at > 0:
        octaves, share = infer(model.inputs, model.hidden, model.first, model.bias, model.second, model.direct)
        scale = model.refined[lane] - octaves
        for i in range(model.inputs.shape[0]):
            recorded.inputs[at, i] = model.inputs[i]
        recorded.scale[at] = scale
        recorded.location[at] = location - int(share * 2.0 ** (scale / (1 << SCALE_BITS) - Z_BITS))
    return location


@observe.register(Recorded)
def _observe_recorded(recorded, lane, at, position, location, reciprocal):
    recorded.position[at] = position
    observe(recorded.model, lane, at, position, location, reciprocal)


@adapt.register(Recorded)
def _adapt_recorded(recorded, first, end, full):
    adapt(recorded.model, first, end, full)


@scale_of.register(Recorded)
def _scale_of_recorded(recorded, lane, at):
    return scale_of(recorded.model, lane, at)


@rescale.register(Recorded)
def _rescale_recorded(recorded, lane, at, distance, reciprocal):
    rescale(recorded.model, lane, at, distance, reciprocal)


def record(channel: np.ndarray, calibration: Calibration, counter: Census) -> Recorded:
    """Run the model over one channel, int32 (frames,)."""
    frames = len(channel)
    model = balanced_predictor(1, frames, calibration.codes, starting_scale(channel), prior=calibration.prior)
    recorded = Recorded(model, np.zeros((frames, INPUTS), np.int16), *np.zeros((3, frames), np.int32))
    run(counter, recorded, narrow(calibration.edges), recorded, channel, SEGMENT)
    return recorded


def fit(
    channels: Iterable[np.ndarray],
    calibration: Calibration,
    *,
    every: int = 3,
    epochs: int = 3,
    seed: int = 0,
    progress: Callable[[str], None] = print,
) -> dict[str, np.ndarray]:
    """Learn from every `every`-th sample of channels int (frames,); the weights are named as in `Ensemble`."""
    counter = census(calibration.codes)
    parts: list[list[np.ndarray]] = [[], [], [], []]
    for channel in channels:
        recorded = record(np.ascontiguousarray(channel, dtype=np.int32), calibration, counter)
        for part, column in zip(parts, recorded[1:], strict=True):
            part.append(column[WARM_UP::every])
    progress(f"the model as it is: {counter.cost[0] / counter.cost[1]:.5f} bits per sample")
    inputs, location, scale, position = (np.concatenate(part) for part in parts)
    deviation = np.exp2(scale / (1 << SCALE_BITS))
    usual = (deviation > FINEST) & (deviation < COARSEST)
    inputs, errors = inputs[usual], ((position - location) / deviation)[usual].astype(np.float32)
    weights = _initial(np.random.default_rng(seed))
    first, second = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    generator = np.random.default_rng(seed + 1)
    steps, step = epochs * (len(errors) // BATCH), 0
    for epoch in range(epochs):
        total = 0.0
        order = generator.permutation(len(errors))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            loss, gradient = _gradient(weights, inputs[batch].astype(np.float32) / (1 << INPUT_BITS), errors[batch])
            step, total = step + 1, total + loss
            rate = RATE * (1 - step / (steps + 1))
            for name, slope in gradient.items():
                first[name] += 0.1 * (slope - first[name])
                second[name] += 0.001 * (slope**2 - second[name])
                change = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
                weights[name] -= (rate * change).astype(np.float32)
        progress(f"epoch {epoch + 1}: {total / (len(order) // BATCH):.5f}")
    return _rounded(weights)


def _initial(generator: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "first": generator.normal(0, 1 / np.sqrt(INPUTS), (INPUTS, HIDDEN)).astype(np.float32),
        "bias": generator.normal(0, 0.5, HIDDEN).astype(np.float32),
        "second": np.zeros((2, HIDDEN), np.float32),
        "direct": np.zeros((2, 1 + 2 * INPUTS), np.float32),
    }


def _gradient(weights: dict[str, np.ndarray], inputs: np.ndarray, errors: np.ndarray) -> tuple[float, dict[str, Any]]:
    """Gain in code length, bits per sample, over no correction; and its slopes."""
    seen = np.concatenate([np.ones((len(inputs), 1), np.float32), inputs, np.abs(inputs)], axis=1)
    hidden = np.maximum(inputs @ weights["first"] + weights["bias"], 0)
    octaves, share = (hidden @ weights["second"].T + seen @ weights["direct"].T).T
    octaves, share = np.clip(octaves, -1, 1), np.clip(share, -1, 1)
    shrunk = np.exp2(-octaves)
    z = np.clip((errors - share) * shrunk, -6, 6)
    density, slope = _bell(z)
    loss = float((octaves - np.log2(density) + np.log2(_bell(np.clip(errors, -6, 6))[0])).mean())
    by_z = slope / density  # of -log(density), natural
    free = np.stack([np.abs(octaves) < 1, np.abs(share) < 1], axis=1)
    outer = np.stack([np.log(2) * (1 - by_z * z), -by_z * shrunk], axis=1).astype(np.float32) * free / len(errors)
    back = (outer @ weights["second"]) * (hidden > 0)
    return loss, {
        "first": inputs.T @ back,
        "bias": back.sum(axis=0),
        "second": outer.T @ hidden,
        "direct": outer.T @ seen,
    }


def _bell(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The density's shape, not normalised, and minus its slope."""
    terms = [(weight / width * np.exp(-0.5 * (z / width) ** 2), width) for weight, width in SHAPE]
    return sum(t for t, _ in terms) + 1e-12, -sum(-z / width**2 * t for t, width in terms)  # type: ignore[return-value]


def _rounded(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """In the codec's units, and small enough that no sum of a hidden unit leaves 31 bits."""
    first = np.clip(weights["first"], -WEIGHT_LIMIT, WEIGHT_LIMIT)
    bias = np.clip(weights["bias"], -WEIGHT_LIMIT, WEIGHT_LIMIT)
    room = ((1 << 31) / (1 << WEIGHT_BITS) - (WEIGHT_LIMIT + 1) * (1 << INPUT_BITS)) / INPUT_MAX
    first = first * np.minimum(room / np.maximum(np.abs(first).sum(axis=0), 1e-9), 1)
    one = 1 << WEIGHT_BITS
    return {
        "first": np.rint(first * one).astype(np.int16),
        "bias": np.rint(bias * one * (1 << INPUT_BITS)).astype(np.int32),
        "second": np.rint(np.clip(weights["second"], -WEIGHT_LIMIT, WEIGHT_LIMIT) * one).astype(np.int16),
        "direct": np.rint(np.clip(weights["direct"], -WEIGHT_LIMIT, WEIGHT_LIMIT) * one).astype(np.int16),
    }

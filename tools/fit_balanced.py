"""Fits the balanced preset's network to recordings, with NumPy alone:

    python -m tools.fit_balanced FOLDER OUT.npz LEAVE_OUT

where every LEAVE_OUTth of the sorted files, from the first, and what was recorded at the same instant are not used.

The codec's own model is run over the recordings while its inputs are recorded. The network then learns, by stochastic
gradient descent (Adam: Kingma and Ba, 2015), the correction of location and scale that gives the least code length
under the density's bell shape. Floating point is no danger here: the codec sees the rounded weights only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikey.codec.adaptive.loop import run
from spikey.codec.code_widths import Census, census, starting_scale
from spikey.files.devices import device_of, training_files
from spikey.model.balanced import (
    HIDDEN,
    INPUT_BITS,
    INPUTS,
    ROOM,
    WEIGHT_BITS,
    Ensemble,
    balanced_predictor,
    infer,
)
from spikey.model.calibration import Calibration, n1
from spikey.model.density import narrow
from spikey.model.fixed_point import CUMULATIVE, MASS, SCALE_BITS, Z_BITS, Z_CELL_BITS, Z_MAX
from spikey.model.lpc import SEGMENT, predict, prepare, refit, update
from spikey.model.scale import scale_at, update_scale
from spikey.model.table_definitions import COMPONENTS

SHAPE = tuple((float(weight), float(width)) for weight, width in COMPONENTS)
WARM_UP = 2000  # samples of each channel that are not learned from
FINEST, COARSEST = 64.0, 2048.0  # scales learned from, in 1/64 LSB: neither silence nor artifacts
BATCH = 8192
RATE = 2e-3
LIMIT = 7.9  # of a weight
LEAST = 2e-6  # mass of a bin however unlikely, so that no sample pulls too hard


class Recorded(NamedTuple):
    """The model with a memory: inputs int16 (frames, INPUTS), and what would be the case without the network:
    location int32 (frames,) in 1/64 LSB and log2 scale int32 (frames,).
    """

    model: Ensemble
    inputs: np.ndarray
    location: np.ndarray
    scale: np.ndarray


@prepare.register(Recorded)
def _prepare_recorded(recorded, at):
    pass


@predict.register(Recorded)
def _predict_recorded(recorded, lane, at):
    model = recorded.model
    location = predict(model, lane, at)
    if at > 0:
        octaves, share = infer(model.inputs, model.first, model.bias, model.second, model.direct)
        scale = model.refined[lane] - octaves
        for i in range(INPUTS):
            recorded.inputs[at, i] = model.inputs[i]
        recorded.scale[at] = scale
        recorded.location[at] = location - int(share * 2.0 ** (scale / (1 << SCALE_BITS) - Z_BITS))
    return location


@update.register(Recorded)
def _update_recorded(recorded, lane, at, position, location, reciprocal):
    update(recorded.model, lane, at, position, location, reciprocal)


@refit.register(Recorded)
def _refit_recorded(recorded, first, end, full):
    refit(recorded.model, first, end, full)


@scale_at.register(Recorded)
def _scale_at_recorded(recorded, lane, at):
    return scale_at(recorded.model, lane, at)


@update_scale.register(Recorded)
def _update_scale_recorded(recorded, lane, at, distance, reciprocal):
    update_scale(recorded.model, lane, at, distance, reciprocal)


def record(channel: np.ndarray, calibration: Calibration, counter: Census, weights: dict[str, np.ndarray]) -> Recorded:
    """Run the model with a network of `weights` over one channel, int32 (frames,)."""
    frames, initial = len(channel), starting_scale(channel)
    model = balanced_predictor(1, frames, calibration.alphabet, initial, prior=calibration.prior, weights=weights)
    recorded = Recorded(model, np.zeros((frames, INPUTS), np.int16), *np.zeros((2, frames), np.int32))
    run(counter, recorded, narrow(calibration.edges), recorded, channel, SEGMENT)
    return recorded


def fit(
    channels: Iterable[np.ndarray],
    calibration: Calibration,
    known: dict[str, np.ndarray],
    *,
    every: int,
    epochs: int,
    seed: int = 0,
    progress: Callable[[str], None] = print,
) -> dict[str, np.ndarray]:
    """Learn from every `every`-th sample of channels int (frames,); the weights are named as in `Ensemble`.

    known: the weights in force while the inputs are recorded, as earlier corrections are among the inputs.
    """
    counter = census(calibration.alphabet)
    edges = calibration.edges.astype(np.float64)
    edges[[0, -1]] = -1e6, 1e6
    parts: list[list[np.ndarray]] = [[], [], []]
    for channel in channels:
        channel = np.ascontiguousarray(channel, dtype=np.int32)
        recorded = record(channel, calibration, counter, known)
        deviation = np.exp2(recorded.scale / (1 << SCALE_BITS))
        learn = np.arange(len(channel)) % every == 0
        learn &= (deviation > FINEST) & (deviation < COARSEST) & (np.arange(len(channel)) > WARM_UP)
        parts[0].append(recorded.inputs[learn])
        for part, edge in zip(parts[1:], (edges[channel], edges[channel + 1]), strict=True):
            part.append(((edge - recorded.location) / deviation)[learn].astype(np.float32))
    progress(f"the model as it is: {counter.cost[0] / counter.cost[1]:.5f} bits per sample")
    inputs, below, above = (np.concatenate(part) for part in parts)
    weights = _initial(np.random.default_rng(seed))
    first, second = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    generator = np.random.default_rng(seed + 1)
    steps, step = epochs * (len(inputs) // BATCH), 0
    for epoch in range(epochs):
        total = 0.0
        order = generator.permutation(len(inputs))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            loss, gradient = _gradient(
                weights, inputs[batch].astype(np.float32) / (1 << INPUT_BITS), below[batch], above[batch]
            )
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
        "bias": np.append(generator.normal(0, 0.5, HIDDEN), [0, 0]).astype(np.float32),
        "second": np.zeros((HIDDEN, 2), np.float32),
        "plain": np.zeros((INPUTS, 2), np.float32),
        "size": np.zeros((INPUTS, 2), np.float32),
    }


def _gradient(
    weights: dict[str, np.ndarray], inputs: np.ndarray, below: np.ndarray, above: np.ndarray
) -> tuple[float, dict[str, np.ndarray]]:
    """What the network costs in bits per sample, beyond no correction; and the slopes.

    below, above float32 (batch,): the edges of the bins that came, from the location, in units of the scale.
    """
    sizes = np.abs(inputs)
    hidden = np.maximum(inputs @ weights["first"] + weights["bias"][:HIDDEN], 0)
    outputs = (
        hidden @ weights["second"] + inputs @ weights["plain"] + sizes @ weights["size"] + weights["bias"][HIDDEN:]
    )
    octaves, share = np.clip(outputs, -1, 1).T
    shrunk = np.exp2(-octaves)
    low, high = (below - share) * shrunk, (above - share) * shrunk
    mass = _cumulative(high) - _cumulative(low) + LEAST
    start = _cumulative(above) - _cumulative(below) + LEAST
    bell_low, bell_high = _bell(low), _bell(high)
    slopes = np.stack([np.log(2) * (high * bell_high - low * bell_low), shrunk * (bell_high - bell_low)], axis=1)
    outer = (slopes / mass[:, None] * (np.abs(outputs) < 1) / len(inputs)).astype(np.float32)
    back = (outer @ weights["second"].T) * (hidden > 0)
    return float(np.log2(start / mass).mean()), {
        "first": inputs.T @ back,
        "bias": np.append(back.sum(axis=0), outer.sum(axis=0)),
        "second": hidden.T @ outer,
        "plain": inputs.T @ outer,
        "size": sizes.T @ outer,
    }


def _bell(z: np.ndarray) -> np.ndarray:
    """The density's shape."""
    return sum(weight / width / np.sqrt(2 * np.pi) * np.exp(-0.5 * (z / width) ** 2) for weight, width in SHAPE)


def _cumulative(z: np.ndarray) -> np.ndarray:
    """The integral of `_bell`, as the codec has it."""
    cell = np.clip((z.astype(np.float64) * (1 << Z_BITS) + Z_MAX) / (1 << Z_CELL_BITS), 0, len(CUMULATIVE) - 1.001)
    index = cell.astype(np.int64)
    return (CUMULATIVE[index] + (cell - index) * np.diff(CUMULATIVE)[index]) / MASS


def _rounded(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """In the codec's units, and small enough that no sum leaves 31 bits."""
    one = 1 << WEIGHT_BITS

    def rows(*matrices: np.ndarray) -> np.ndarray:
        table = np.zeros((sum(m.shape[1] for m in matrices), ROOM), dtype=np.int16)
        table[:, :INPUTS] = np.rint(np.clip(np.concatenate([m.T for m in matrices]), -LIMIT, LIMIT) * one)
        return table

    plain, size = weights["plain"], weights["size"]
    return {
        "first": rows(weights["first"]),
        "bias": np.rint(np.clip(weights["bias"], -64, 64) * one * (1 << INPUT_BITS)).astype(np.int32),
        "second": np.rint(np.clip(weights["second"].T, -LIMIT, LIMIT) * one).astype(np.int16, order="C"),
        "direct": rows(plain[:, :1], size[:, :1], plain[:, 1:], size[:, 1:]),
    }


def main(folder: str, out: str, leave_out: str) -> None:
    """Two rounds: the first without a network in force, on a third of the recordings; the second with its result."""
    files = training_files(sorted(Path(folder).rglob("*.wav")), int(leave_out))
    nothing = _rounded({name: np.zeros_like(w) for name, w in _initial(np.random.default_rng(0)).items()})
    print(f"{len(files)} recordings")
    weights = fit(device_of(files[::3]), n1(), nothing, every=3, epochs=8)
    weights = fit(device_of(files), n1(), weights, every=5, epochs=14)
    np.savez_compressed(out, **weights)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])

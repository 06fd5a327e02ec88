"""Captures the inputs of a network: runs the codec's own model over a recording and stores what the network gets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.codec.adaptive.loop import run
from spikey.codec.survey import initial_scale
from spikey.coding.observers import replay
from spikey.model.calibration import Calibration
from spikey.model.density import density_of
from spikey.model.learned import Learned, given, learned_predictor
from spikey.model.lpc import SEGMENT, predict, prepare, refit, update
from spikey.model.scale import scale_at, update_scale
from spikey.model.trained import Architecture


class Capture(NamedTuple):
    """The model, and the inputs of its network at every sample.

    inputs int16 (frames, inputs), 1/256; location int32 (frames,), the base's, 1/64 LSB; scale int32 (frames,): the
    base's log2, 1/65536 octave of 1/64 LSB.
    """

    model: Learned
    inputs: np.ndarray
    location: np.ndarray
    scale: np.ndarray


@prepare.register(Capture)
def _prepare_capture(captured, at):
    model = captured.model
    prepare(model, at)
    for i in range(model.inputs.shape[1]):
        captured.inputs[at, i] = model.inputs[0, i]
    captured.location[at] = model.base_location[0]
    captured.scale[at] = model.base_scale[0]


@predict.register(Capture)
def _predict_capture(captured, lane, at):
    return predict(captured.model, lane, at)


@update.register(Capture)
def _update_capture(captured, lane, at, position, location, reciprocal):
    update(captured.model, lane, at, position, location, reciprocal)


@refit.register(Capture)
def _refit_capture(captured, first, end, full):
    refit(captured.model, first, end, full)


@scale_at.register(Capture)
def _scale_at_capture(captured, lane, at):
    return scale_at(captured.model, lane, at)


@update_scale.register(Capture)
def _update_scale_capture(captured, lane, at, distance, reciprocal):
    pass


def capture(codes: np.ndarray, size: int, architecture: Architecture, calibration: Calibration | None) -> Capture:
    """Run the model without a network over codes int32 (frames,) of an alphabet of `size`."""
    frames = len(codes)
    prior = None if calibration is None else calibration.prior
    model = learned_predictor(architecture, given(), frames, size, [initial_scale(codes)], prior=prior)
    inputs = np.zeros((frames, architecture.inputs), dtype=np.int16)
    captured = Capture(model, inputs, np.zeros(frames, dtype=np.int32), np.zeros(frames, dtype=np.int32))
    run(replay(), captured, density_of(size, calibration), captured, codes, SEGMENT)
    return captured

"""What a network would have been told: the codec's own model is run over a recording, and its inputs are kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.coding.block import density_of, initial_scale
from spikey.coding.loop import run
from spikey.coding.symbols import transfer
from spikey.model.calibration import Calibration
from spikey.model.learned import Learned, given, learned_predictor
from spikey.model.lpc import SEGMENT, adapt, foresee, observe, predict
from spikey.model.scale import rescale, scale_of
from spikey.model.trained import Architecture


class Silent(NamedTuple):
    """A coder that writes nothing. at int64 (1,): as in every coder."""

    at: np.ndarray


@transfer.register(Silent)
def _transfer_silent(coder, density, lane, location, step, code):
    return code


class Recorded(NamedTuple):
    """The model with a memory.

    inputs int16 (frames, inputs), 1/256; location int32 (frames,), the base's, 1/64 LSB; scale int32 (frames,): the
    base's log2, 1/65536 octave of 1/64 LSB.
    """

    model: Learned
    inputs: np.ndarray
    location: np.ndarray
    scale: np.ndarray


@foresee.register(Recorded)
def _foresee_recorded(recorded, at):
    model = recorded.model
    foresee(model, at)
    for i in range(model.inputs.shape[1]):
        recorded.inputs[at, i] = model.inputs[0, i]
    recorded.location[at] = model.base_location[0]
    recorded.scale[at] = model.base_scale[0]


@predict.register(Recorded)
def _predict_recorded(recorded, lane, at):
    return predict(recorded.model, lane, at)


@observe.register(Recorded)
def _observe_recorded(recorded, lane, at, position, location, reciprocal):
    observe(recorded.model, lane, at, position, location, reciprocal)


@adapt.register(Recorded)
def _adapt_recorded(recorded, first, end, full):
    adapt(recorded.model, first, end, full)


@scale_of.register(Recorded)
def _scale_of_recorded(recorded, lane, at):
    return scale_of(recorded.model, lane, at)


@rescale.register(Recorded)
def _rescale_recorded(recorded, lane, at, distance, reciprocal):
    pass


def record(codes: np.ndarray, size: int, architecture: Architecture, calibration: Calibration | None) -> Recorded:
    """Run the base over codes int32 (frames,) of an alphabet of `size`."""
    frames = len(codes)
    prior = None if calibration is None else calibration.prior
    model = learned_predictor(architecture, given(), frames, size, [initial_scale(codes)], prior=prior)
    inputs = np.zeros((frames, architecture.inputs), dtype=np.int16)
    recorded = Recorded(model, inputs, np.zeros(frames, dtype=np.int32), np.zeros(frames, dtype=np.int32))
    run(Silent(np.zeros(1, dtype=np.int64)), recorded, density_of(size, calibration), recorded, codes, SEGMENT)
    return recorded

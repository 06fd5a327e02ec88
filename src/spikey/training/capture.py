"""What a network would have been told: the codec's own model is run over a recording, and its inputs are kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.codec.adaptive.densities import density_of
from spikey.codec.adaptive.loop import run
from spikey.codec.plan import initial_scale
from spikey.coding.symbols import code_symbol
from spikey.model.calibration import Calibration
from spikey.model.learned import Learned, given, learned_predictor
from spikey.model.lpc import SEGMENT, predict, prepare, refit, update
from spikey.model.scale import scale_at, update_scale
from spikey.model.trained import Architecture


class Silent(NamedTuple):
    """A coder that writes nothing. at int64 (1,): as in every coder."""

    at: np.ndarray


@code_symbol.register(Silent)
def _code_symbol_silent(coder, density, lane, location, step, code):
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


@prepare.register(Recorded)
def _prepare_recorded(recorded, at):
    model = recorded.model
    prepare(model, at)
    for i in range(model.inputs.shape[1]):
        recorded.inputs[at, i] = model.inputs[0, i]
    recorded.location[at] = model.base_location[0]
    recorded.scale[at] = model.base_scale[0]


@predict.register(Recorded)
def _predict_recorded(recorded, lane, at):
    return predict(recorded.model, lane, at)


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

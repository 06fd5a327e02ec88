"""A probe of the predictor `lpc`: where it expects each sample of one channel, and how sure it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikey.codec.adaptive.loop import run
from spikey.codec.builtin import ORDER
from spikey.codec.survey import initial_scale, suits
from spikey.coding.symbols import code_symbol
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.model.calibration import Calibration, n1
from spikey.model.density import density_of, position
from spikey.model.fixed_point import UNIT
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.scale import deviation, scale

Floats = NDArray[np.float64]


class Probe(NamedTuple):
    """A coder that writes nothing and records its arguments, each int64 (frames,).

    positions, locations: 1/64 LSB. steps: indices into the table of scales.
    """

    at: np.ndarray
    positions: np.ndarray
    locations: np.ndarray
    steps: np.ndarray


@code_symbol.register(Probe)
def _code_symbol_probe(coder, density, lane, location, step, code):
    at = coder.at[0]
    coder.positions[at] = position(density, code)
    coder.locations[at] = location
    coder.steps[at] = step
    coder.at[0] = at + 1
    return code


def trace(values: np.ndarray) -> tuple[Floats, Floats, Floats]:
    """Positions, predictions and residuals, float64 (frames,) in ADC codes, of samples int (frames,), at least one."""
    levels = find_levels(values)
    codes, _ = levels.to_codes(values)
    calibration = n1() if isinstance(levels, N1Levels) and suits(codes, n1()) else None
    probe = probed(codes, levels.alphabet, calibration)
    positions, locations = probe.positions / UNIT, probe.locations / UNIT
    return positions, locations, positions - locations


def probed(codes: np.ndarray, size: int, calibration: Calibration | None, prior: bool = True) -> Probe:
    """Codes int32 (frames,) sent through the model."""
    probe = Probe(np.zeros(1, dtype=np.int64), *np.zeros((3, len(codes)), dtype=np.int64))
    initial = initial_scale(codes)
    known = calibration.prior if calibration is not None and prior else None
    predictor = lpc(ORDER, 1, len(codes), size, prior=known, scale=deviation(initial))
    run(probe, predictor, density_of(size, calibration), scale(1, size, initial), codes, SEGMENT)
    return probe

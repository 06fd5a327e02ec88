"""What the predictor of the `realtime` preset thinks: its prediction and residual for every sample of one channel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.codec.adaptive.densities import density_of
from spikey.codec.adaptive.loop import run
from spikey.codec.builtin import ORDER
from spikey.codec.plan import suits
from spikey.coding.symbols import code_symbol
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.model.calibration import n1
from spikey.model.density import position
from spikey.model.fixed_point import UNIT
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.scale import deviation, scale


class Trace(NamedTuple):
    """A coder that writes nothing: it notes positions and locations, int64 (frames,), in 1/64 LSB."""

    at: np.ndarray
    positions: np.ndarray
    locations: np.ndarray


@code_symbol.register(Trace)
def _code_symbol_trace(coder, density, lane, location, step, code):
    at = coder.at[0]
    coder.positions[at] = position(density, code)
    coder.locations[at] = location
    coder.at[0] = at + 1
    return code


def trace(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, predictions and residuals, float64 (frames,) in ADC codes, of samples int (frames,), at least one."""
    levels = find_levels(values)
    codes, _ = levels.to_codes(values)
    calibration = n1() if isinstance(levels, N1Levels) and suits(codes, n1()) else None
    notes = Trace(np.zeros(1, dtype=np.int64), *np.zeros((2, len(codes)), dtype=np.int64))
    initial = 50
    prior = None if calibration is None else calibration.prior
    predictor = lpc(ORDER, 1, len(codes), levels.alphabet, prior=prior, scale=deviation(initial))
    run(notes, predictor, density_of(levels.alphabet, calibration), scale(1, levels.alphabet, initial), codes, SEGMENT)
    positions, locations = notes.positions / UNIT, notes.locations / UNIT
    return positions, locations, positions - locations

"""What the model of the `realtime` preset says of each sample of a channel: where it lies, how surely, the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikey.base.errors import DataError
from spikey.base.jit import entry
from spikey.codec.adaptive.densities import density_of
from spikey.codec.adaptive.loop import run
from spikey.codec.builtin import ORDER
from spikey.codec.plan import initial_scale
from spikey.coding.symbols import code_symbol
from spikey.model.calibration import Calibration
from spikey.model.density import below, position
from spikey.model.fixed_point import MASS, NARROW, POSITION_BITS, SPREAD, UNIT
from spikey.model.lpc import SEGMENT, lpc
from spikey.model.scale import deviation, scale

Floats = NDArray[np.float64]


class Ledger(NamedTuple):
    """A coder that writes nothing: it notes what it is given. Each int64 (frames,).

    positions, locations: 1/64 LSB. steps: indices into the table of scales. lows, counts: of 2^24.
    """

    at: np.ndarray
    positions: np.ndarray
    locations: np.ndarray
    steps: np.ndarray
    lows: np.ndarray
    counts: np.ndarray


@code_symbol.register(Ledger)
def _code_symbol_ledger(coder, density, lane, location, step, code):
    at = coder.at[0]
    reciprocal = entry(density.reciprocal, step)
    low = below(density, location, reciprocal, code)
    coder.positions[at] = position(density, code)
    coder.locations[at] = location
    coder.steps[at] = step
    coder.lows[at] = low
    coder.counts[at] = below(density, location, reciprocal, code + 1) - low
    coder.at[0] = at + 1
    return code


@dataclass(frozen=True, eq=False)
class Followed:
    """One channel as the model saw it; arrays (frames,) of float64 unless said otherwise.

    codes int32. positions, locations, deviations: where each sample was, was expected, and how surely, in LSB.
    low, mass: the part of the interval from 0 to 1 that the code was given. edges (codes + 1,): of the codes, in LSB.
    """

    codes: np.ndarray
    positions: Floats
    locations: Floats
    deviations: Floats
    low: Floats
    mass: Floats
    edges: Floats

    @property
    def residuals(self) -> Floats:
        """What prediction leaves, in LSB."""
        return self.positions - self.locations

    @property
    def bits(self) -> Floats:
        """The cost of each sample: what arithmetic coding needs on average."""
        return -np.log2(self.mass)


def follow(codes: np.ndarray, size: int, calibration: Calibration | None = None, prior: bool = True) -> Followed:
    """Go through codes int (frames,) of an alphabet of `size` as an encoder of one lane would.

    calibration: None for evenly wide codes. prior: whether prediction starts from what the calibration says of it.
    Raises DataError for alphabets of more than 4,096 codes.
    """
    if size > NARROW:
        raise DataError(f"the model can be followed over an alphabet of at most {NARROW:,} codes, not {size:,}")
    codes = np.ascontiguousarray(codes, dtype=np.int32)
    ledger = Ledger(np.zeros(1, dtype=np.int64), *np.zeros((5, len(codes)), dtype=np.int64))
    density, initial = density_of(size, calibration), initial_scale(codes)
    known = calibration.prior if calibration is not None and prior else None
    predictor = lpc(ORDER, 1, len(codes), size, prior=known, scale=deviation(initial))
    run(ledger, predictor, density, scale(1, size, initial), codes, SEGMENT)
    edges = (np.arange(size + 1) * UNIT - UNIT // 2) if calibration is None else calibration.edges
    return Followed(
        codes,
        ledger.positions / UNIT,
        ledger.locations / UNIT,
        SPREAD[ledger.steps] / (UNIT << POSITION_BITS),
        ledger.lows / MASS,
        ledger.counts / MASS,
        edges / UNIT,
    )

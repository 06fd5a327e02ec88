"""The model of the predictor `lpc` followed sample by sample: where each lies, how sure the model is, the cost."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from spikey.base.errors import DataError
from spikey.base.jit import entry
from spikey.model.calibration import Calibration
from spikey.model.density import below, density_of
from spikey.model.fixed_point import MASS, NARROW, POSITION_BITS, SPREAD, UNIT
from spikey.report.probe import probed

Floats = NDArray[np.float64]


@numba.njit(error_model="numpy")  # without a cache: its stamp covers the package only
def _intervals(density, locations, steps, codes, lows, counts):
    """The counts below each code of a narrow alphabet, and its own, of 2^24."""
    for at in range(len(codes)):
        reciprocal = entry(density.reciprocal, steps[at])
        low = below(density, locations[at], reciprocal, codes[at])
        lows[at] = low
        counts[at] = below(density, locations[at], reciprocal, codes[at] + 1) - low


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
    density = density_of(size, calibration)
    probe = probed(codes, size, calibration, prior)
    lows, counts = np.zeros((2, len(codes)), dtype=np.int64)
    _intervals(density, probe.locations, probe.steps, codes, lows, counts)
    edges = (np.arange(size + 1) * UNIT - UNIT // 2) if calibration is None else calibration.edges
    return Followed(
        codes,
        probe.positions / UNIT,
        probe.locations / UNIT,
        SPREAD[probe.steps] / (UNIT << POSITION_BITS),
        lows / MASS,
        counts / MASS,
        edges / UNIT,
    )

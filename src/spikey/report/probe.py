"""A probe of the `realtime` preset's model: its prediction of each sample of a channel, how sure it is, the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikey.base.errors import DataError
from spikey.base.jit import entry, kernel
from spikey.codec.adaptive.loop import run
from spikey.codec.block import ORDER, density_of, initial_scale, suits
from spikey.coding.symbols import code_symbol
from spikey.levels.maps import N1, find_levels
from spikey.model.calibration import Calibration, n1
from spikey.model.density import below, position
from spikey.model.fixed_point import MASS, NARROW, POSITION_BITS, SPREAD, UNIT
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


@kernel
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
    probe = _probed(codes, size, calibration, prior)
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


def trace(values: np.ndarray) -> tuple[Floats, Floats, Floats]:
    """Positions, predictions and residuals, float64 (frames,) in ADC codes, of samples int (frames,), at least one."""
    levels = find_levels(values)
    codes, _ = levels.to_codes(values)
    calibration = n1() if levels.kind == N1 and suits(codes, n1()) else None
    probe = _probed(codes, levels.codes, calibration)
    positions, locations = probe.positions / UNIT, probe.locations / UNIT
    return positions, locations, positions - locations


def _probed(codes: np.ndarray, size: int, calibration: Calibration | None, prior: bool = True) -> Probe:
    """Codes int32 (frames,) sent through the model."""
    probe = Probe(np.zeros(1, dtype=np.int64), *np.zeros((3, len(codes)), dtype=np.int64))
    initial = initial_scale(codes)
    known = calibration.prior if calibration is not None and prior else None
    predictor = lpc(ORDER, 1, len(codes), size, prior=known, scale=deviation(initial))
    run(probe, predictor, density_of(size, calibration), scale(1, size, initial), codes, SEGMENT)
    return probe

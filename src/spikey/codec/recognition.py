"""Which shipped calibration explains codes: one whose wide codes occur as often as they are wide."""

from __future__ import annotations

from functools import cache

import numpy as np

from spikey.codec.wide.grids import Grid, find_grid
from spikey.model.calibration import Calibration, shipped
from spikey.model.compact import make_compact
from spikey.model.fixed_point import UNIT

LANES = 8  # as which samples are looked at; any number does
NAMED = 256  # bits that a calibration must save that is only named
HALF_RANGES = (0, 1 << 15, -(1 << 15))  # values that a recorder may have added: codes with a sign, or without


def recognise(grid: Grid) -> tuple[Calibration | None, int, float]:
    """The shipped calibration under which the codes of a grid are likeliest, how many codes are to be added to its
    own, and the bits that it saves of them by that, about; None where even widths are likelier.
    """
    seen = np.bincount(grid.codes.ravel(), minlength=grid.levels.alphabet)
    best: tuple[Calibration | None, int, float] = None, 0, 0.0
    for calibration in shipped():
        for shift in HALF_RANGES:
            usual = grid.usual(calibration, shift)
            if usual is None:
                continue
            gain = float(seen @ np.log2(usual / UNIT))
            if gain > best[2]:
                best = calibration, shift, gain
    return best


def unchanged(base: Calibration, shift: int) -> Calibration:
    """A shipped calibration for values to which a recorder has added something."""
    none = np.zeros(base.alphabet, np.int8)
    offset, step = base.metadata["offset"] + shift, base.metadata["step"]
    return make_compact([none], [int(base.edges[0])], offset, step, base, shift, base.prior)


def recognised(samples: np.ndarray) -> Calibration | None:
    """The shipped calibration, or a variant of one, under which samples (frames, channels) are likeliest; None where
    even widths are, or too few samples show it.
    """
    grid = find_grid(samples, LANES)
    if grid is None:
        return None
    base, shift, gain = recognise(grid)
    if base is None or gain < NAMED:
        return None
    return unchanged(base, shift) if shift else base


@cache
def variants() -> dict[bytes, Calibration]:
    """The shipped calibrations for values to which a recorder has added something, by their ids."""
    found = [unchanged(base, shift) for base in shipped() for shift in HALF_RANGES if shift]
    return {one.id: one for one in found}

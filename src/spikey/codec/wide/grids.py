"""Channels on one grid of values as codes of a common alphabet, whatever their levels are to the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spikey.base.errors import DataError, UsageError
from spikey.codec.survey import Block
from spikey.codec.wide.describe import describe
from spikey.codec.wide.tables import grid_of
from spikey.levels.affine import Affine
from spikey.levels.n1 import N1_CODES, N1Levels
from spikey.model.calibration import LARGEST_ALPHABET, MOST_CODES, Calibration
from spikey.model.compact import widths_of

FEWEST_CODES = 16  # of a channel whose widths are worth estimating
GLANCE = 1 << 10  # samples in which a channel must have half as many


@dataclass(frozen=True)
class Grid:
    """Samples of a recording as codes int32 (frames, channels) of levels, as many stretches of it as lanes.

    channels: their places in the recording. of_n1: whether the codes are those of the N1's levels, which have no grid.
    """

    levels: Affine
    codes: np.ndarray
    lanes: int
    channels: np.ndarray
    of_n1: bool = False

    def usual(self, base: Calibration | None, shift: int = 0) -> np.ndarray | None:
        """The widths int64 (codes,), 1/64 LSB, that a calibration gives to the codes, where `shift` was added to their
        values; even ones of None. None where it is for other values.
        """
        if self.of_n1 and base is not None:
            return None
        try:
            return widths_of(base, self.levels.offset - shift, self.levels.step, self.levels.alphabet)
        except DataError:
            return None


def find_grid(samples: np.ndarray, lanes: int, channels: np.ndarray | None = None) -> Grid | None:
    """The grid of most of the channels of samples (frames, channels); None where there is none of a usable alphabet.

    channels: their places in the recording, where they are not all of its.
    """
    described = describe(Block(samples, None))
    if described is None:
        return None
    moving = np.flatnonzero(~described.constant)
    if all(isinstance(described.descriptions[described.levels[channel]][0], N1Levels) for channel in moving):
        codes = _frozen(described.codes[:, moving])
        places = moving if channels is None else channels[moving]
        return Grid(Affine(N1_CODES, 0, 1), codes, lanes, places, True) if len(moving) else None
    found: dict[tuple[int, int], list[int]] = {}
    for channel, level in enumerate(described.levels):
        grid = grid_of(described.descriptions[level][0])
        if grid is not None and grid.alphabet >= FEWEST_CODES and not described.constant[channel]:
            found.setdefault((grid.step, grid.offset % grid.step), []).append(channel)
    if not found:
        return None
    (step, _), most = max(found.items(), key=lambda one: len(one[1]))
    own = np.array(most, np.int64)
    grids = [grid_of(described.descriptions[level][0]) for level in described.levels[own]]
    offsets = np.array([0 if grid is None else grid.offset for grid in grids], np.int64)
    codes = (described.codes[:, own].astype(np.int64) - described.offsets[own]) // described.steps[own]
    codes += (offsets - offsets.min()) // step
    glanced = np.sort(codes[:: -(-len(codes) // GLANCE)], axis=0)
    many = (np.diff(glanced, axis=0) > 0).sum(axis=0) >= FEWEST_CODES // 2
    if not many.any():
        return None
    codes, own = codes[:, many], own[many]
    low, high = int(codes.min()), int(codes.max())
    if not FEWEST_CODES <= high - low < LARGEST_ALPHABET:
        return None
    # Values that the samples do not have may occur elsewhere; the adaptive engines need codes for them.
    beside = min(max(MOST_CODES - (high - low + 1), 0) // 2, high - low)
    levels = Affine(high - low + 1 + 2 * beside, int(offsets.min()) + (low - beside) * step, step)
    return Grid(levels, _frozen(codes - (low - beside)), lanes, own if channels is None else channels[own])


def _frozen(codes: np.ndarray) -> np.ndarray:
    """Codes in the form for which kernels are compiled."""
    frozen = np.ascontiguousarray(codes, np.int32)
    frozen.flags.writeable = False
    return frozen


def united(grids: Sequence[Grid]) -> list[Grid]:
    """Grids of several recordings with a common alphabet; UsageError where their values are not on one grid."""
    step = grids[0].levels.step
    offset = min(grid.levels.offset for grid in grids)
    end = max(grid.levels.offset + grid.levels.alphabet * step for grid in grids)
    if len({grid.of_n1 for grid in grids}) > 1 or any(
        grid.levels.step != step or (grid.levels.offset - offset) % step for grid in grids
    ):
        raise UsageError("the recordings' values are not on one grid; calibrate devices one by one")
    alphabet = (end - offset) // step
    if alphabet > LARGEST_ALPHABET:
        raise UsageError(f"the recordings use {alphabet:,} levels; widths can be estimated for {LARGEST_ALPHABET:,}")
    levels = Affine(alphabet, offset, step)
    return [
        replace(grid, levels=levels, codes=_frozen(grid.codes + (grid.levels.offset - offset) // step))
        for grid in grids
    ]

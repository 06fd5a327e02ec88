"""Even grids of values: what nearly all channels of integers have, found for all channels of a block at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.codec.wide.jit import kernel
from spikey.codec.wide.tables import Description
from spikey.levels.affine import MODELLED_BITS, Affine
from spikey.levels.table import FEWEST_APART

PIECES, PIECE = 4, 256  # frames that nearly always suffice to find that a channel's levels are an even grid
FULL = 2.5  # codes within two mean deviations, over those that occur, where a table may pay
FAST_TYPES = ("int8", "uint8", "int16", "uint16", "int32")


class Looked(NamedTuple):
    """Integers (frames, channels) in the types that kernels are compiled for, and of each channel the extent, the step
    of its grid, and whether it may have another map.
    """

    samples: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    steps: np.ndarray
    doubtful: np.ndarray


class Even(NamedTuple):
    """Descriptions of even grids, and the channels that have them.

    levels, offsets, steps int64 (channels,): the index of each channel's description, -1 for those that may have
    another map or have too many codes; and what its values are counted from and by.
    """

    descriptions: list[Description]
    levels: np.ndarray
    offsets: np.ndarray
    steps: np.ndarray


def look(samples: np.ndarray) -> Looked:
    """Find the even grids of a block's channels."""
    if samples.dtype.name in ("int8", "uint8", "uint16"):
        samples = samples.astype(np.int32)
    samples = np.ascontiguousarray(samples).view()
    samples.flags.writeable = False
    frames, count = samples.shape
    lows, highs = np.empty(count, samples.dtype), np.empty(count, samples.dtype)
    extent(samples, lows, highs)
    lows, highs = lows.astype(np.int64), highs.astype(np.int64)
    pieces = [samples[at : at + PIECE] for at in range(0, frames, max(-(-frames // PIECES), PIECE))]
    columns = np.ascontiguousarray(np.concatenate(pieces).T)
    steps, doubtful = np.ones(count, np.int64), np.zeros(count, np.bool_)
    grids(columns, lows, highs, steps, doubtful)
    if (steps > 1).any():
        glanced = steps.copy()
        refine(samples, lows, steps)
        doubtful |= steps < glanced  # samples off a coarser grid: a table may pay
    return Looked(samples, lows, highs, steps, doubtful)


def even_grids(looked: Looked) -> Even:
    """Few grids for all channels that have one: the same for those of one step and remainder."""
    _, lows, highs, steps, doubtful = looked
    count = len(lows)
    descriptions: list[Description] = []
    levels, offsets, every = np.full(count, -1, np.int64), np.zeros(count, np.int64), np.ones(count, np.int64)
    plain = np.flatnonzero(~doubtful)
    keys = _grids_of(lows[plain], highs[plain], steps[plain])
    for key in dict.fromkeys(keys):
        same = plain[[one == key for one in keys]]
        low, step = int(lows[same].min()), key[0]
        alphabet = (int(highs[same].max()) - low) // step + 1
        if alphabet > 1 << MODELLED_BITS:
            continue
        levels[same], offsets[same], every[same] = len(descriptions), low, step
        descriptions.append((Affine(alphabet, low, step), 0))
    return Even(descriptions, levels, offsets, every)


def _grids_of(lows: np.ndarray, highs: np.ndarray, steps: np.ndarray) -> list[tuple[int, int]]:
    """Step and remainder of each channel's values, by which channels share a grid; a constant one joins any."""
    moving = lows < highs
    found = dict.fromkeys(
        (int(step), int(low) % int(step)) for low, step in zip(lows[moving], steps[moving], strict=True)
    )
    keys = []
    for low, step, moves in zip(lows.tolist(), steps.tolist(), moving.tolist(), strict=True):
        fitting = (key for key in found if low % key[0] == key[1])
        keys.append((step, low % step) if moves else next(fitting, (1, 0)))
    return keys


@kernel
def extent(samples, lows, highs):
    """The smallest and the largest sample of each channel."""
    lows[:] = samples[0]
    highs[:] = samples[0]
    for t in range(1, samples.shape[0]):
        row = samples[t]
        for c in range(len(lows)):
            lows[c] = min(lows[c], row[c])
            highs[c] = max(highs[c], row[c])


@kernel
def grids(columns, lows, highs, steps, doubtful):
    """Fill in each channel's step, by pieces of its samples, and whether it may have a table or a coarser grid."""
    count, frames = columns.shape
    seen = np.zeros(1 << 16, np.bool_)
    for c in range(count):
        if lows[c] == highs[c]:
            continue
        x = columns[c]
        step = np.int64(0)
        for t in range(frames):
            step = _gcd(step, np.int64(x[t]) - lows[c])
            if step == 1:
                break
        steps[c] = max(step, 1)
        levels = (highs[c] - lows[c]) // steps[c] + 1
        for at in range(0, frames, PIECE):
            coarse = np.int64(0)
            for t in range(at, min(at + PIECE, frames)):
                coarse = _gcd(coarse, abs(np.int64(x[t]) - np.int64(x[at])))
                if coarse == step:
                    break
            if coarse >= 2 * step:
                doubtful[c] = True
                break
        if levels >= 4 and not doubtful[c]:
            doubtful[c] = _sparse(x, steps[c], seen)


@kernel
def _sparse(x, step, seen):
    """Whether few of the codes occur where most of the samples are, or no two neighbours, so that a table or a line may
    pay.
    """
    mean = 0
    spread = -1
    for _ in range(3):
        # Again without what lies far off, as artifacts would make the range of usual codes look empty.
        total, count = 0, 0
        for t in range(len(x)):
            if spread < 0 or abs(np.int64(x[t]) - mean) <= 2 * spread:
                total += int(x[t])
                count += 1
        centre = total // max(count, 1)
        total = 0
        for t in range(len(x)):
            if spread < 0 or abs(np.int64(x[t]) - mean) <= 2 * spread:
                total += abs(int(x[t]) - centre)
        mean = centre
        spread = 2 * (total // max(count, 1)) + step
    span = 2 * spread // step + 1
    if span > len(seen):
        return False
    seen[:span] = False
    inside = 0
    distinct = 0
    for t in range(len(x)):
        v = np.int64(x[t]) - mean + spread
        if 0 <= v <= 2 * spread:
            inside += 1
            if not seen[v // step]:
                seen[v // step] = True
                distinct += 1
    if FULL * distinct <= min(span, inside):
        return True
    for place in range(1, span):
        if seen[place] and seen[place - 1]:
            return False
    return distinct >= FEWEST_APART


@kernel
def refine(samples, lows, steps):
    """Steps that hold for all samples, from those of some."""
    wrong = np.zeros(len(steps), np.bool_)
    for t in range(samples.shape[0]):
        row = samples[t]
        for c in range(len(steps)):
            v = np.int64(row[c]) - lows[c]
            q = np.int64(np.float64(v) / np.float64(steps[c]) + 0.5)
            wrong[c] |= q * steps[c] != v
    for c in range(len(steps)):
        if wrong[c]:
            for t in range(samples.shape[0]):
                steps[c] = _gcd(steps[c], np.int64(samples[t, c]) - lows[c])


@kernel
def _gcd(a, b):
    while b:
        a, b = b, a % b
    return a

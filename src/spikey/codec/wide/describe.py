"""What a block's channels consist of, as the wide engine codes them: codes, and few descriptions of their levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spikey.codec.low_bits import pack_bits
from spikey.codec.survey import Block, levels_in, suits
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.payload import pack_channel
from spikey.codec.wide.tables import Description, of_n1
from spikey.levels.affine import MODELLED_BITS, Affine, spanning
from spikey.levels.contract import Levels
from spikey.levels.n1 import FEWEST, FIRST, N1_CODES, N1_VALUES, SHIFT, N1Levels, fits_n1
from spikey.levels.rescaled import Rescaled
from spikey.levels.scaled import Scale, Scaled
from spikey.levels.table import LARGEST, Table

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

Kind = TypeVar("Kind", bound=Levels)
PIECES, PIECE = 4, 256  # of frames that nearly always tell that a channel's levels are an even grid
FULL = 2.5  # codes within two mean deviations, over those that occur, where a table may pay
SHARED = 1.1  # entries of a common table within a channel's values, over those that it has
FAST_TYPES = ("int8", "uint8", "int16", "uint16", "int32")


@dataclass
class Described:
    """Codes of a block, integers (frames, channels), and what they stand for.

    offsets, steps int64 (channels,): codes of each channel's levels are (entry - offset) / step.
    levels: for each channel the index of its description. descriptions: levels, and which converter of the calibration.
    lows: the packed low bits of the channels that have such. exact: whether differences of entries fit into 24 bits.
    constant: of each channel.
    """

    codes: np.ndarray
    offsets: np.ndarray
    steps: np.ndarray
    levels: np.ndarray
    descriptions: list[Description]
    lows: dict[int, bytes]
    exact: bool
    constant: np.ndarray


def describe(block: Block) -> Described | None:
    """Look at a block; None where a channel has no levels."""
    samples = block.samples
    found = None
    if samples.dtype == np.int16 and len(samples) >= FEWEST and fits_n1(samples[:FIRST]):
        found = _n1(samples, block.calibration)
    elif samples.dtype.name in FAST_TYPES and len(samples):
        found = _even(samples, block.calibration)
    found = found or _any(block)
    if found is not None:
        found.codes.flags.writeable = False  # so that kernels are compiled for one type of array
    return found


def _n1(samples: np.ndarray, calibration: Calibration | None) -> Described | None:
    """The description of a block of which all samples are the N1's; None where one is not."""
    frames, count = samples.shape
    codes = np.empty((frames, count), np.int16)
    if not n1_codes_of(np.ascontiguousarray(samples), N1_VALUES, codes):
        return None
    constant = (codes == codes[0]).all(axis=0)
    levels = np.zeros(count, np.int64)
    if calibration is not None and of_n1(calibration):
        for channel in np.flatnonzero(~constant):
            levels[channel] = suits(codes[:, channel], calibration)
    descriptions: list[Description] = [(N1Levels(), 0), (N1Levels(), 1)]
    if levels.all() or not levels.any():
        descriptions, levels = [descriptions[int(levels[0])]], np.zeros(count, np.int64)
    zeros, ones = np.zeros(count, np.int64), np.ones(count, np.int64)
    return Described(codes, zeros, ones, levels, descriptions, {}, True, constant)


@kernel
def n1_codes_of(samples, values, codes):
    """Fill in the N1's codes; False where a sample is none of its values."""
    for t in range(samples.shape[0]):
        for c in range(samples.shape[1]):
            v = samples[t, c]
            code = (v >> SHIFT) + N1_CODES // 2
            if values[np.uint64(code)] != v:
                return False
            codes[t, c] = code
    return True


def _even(samples: np.ndarray, calibration: Calibration | None) -> Described | None:
    """The description of a block whose channels are all on even grids; None where that is not so."""
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
    steps = np.ones(count, np.int64)
    if not grids(columns, lows, highs, steps):
        return None
    if (steps > 1).any():
        glanced = steps.copy()
        refine(samples, lows, steps)
        if (steps < glanced).any():
            return None  # samples off a coarser grid: a table may pay
    keys = _grids_of(lows, highs, steps)
    every = np.array([step for step, _ in keys], np.int64)
    descriptions: list[Description] = []
    levels, offsets = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for key in dict.fromkeys(keys):
        same = np.array([one == key for one in keys])
        low, step = int(lows[same].min()), key[0]
        alphabet = (int(highs[same].max()) - low) // step + 1
        if alphabet > 1 << MODELLED_BITS:
            return None
        levels[same], offsets[same] = len(descriptions), low
        descriptions.append((Affine(alphabet, low, step), 0))
    if calibration is not None and "offset" in calibration.metadata:
        from spikey.codec.wide.suiting import converters_of, numbered

        grids_found = [grid for grid, _ in descriptions]
        moving = np.where(lows < highs, levels, -1)
        converters = converters_of(calibration, grids_found, moving, samples, offsets, every)
        descriptions, levels = numbered(descriptions, levels, converters)
    farthest = (highs - np.minimum(offsets, lows)).max()
    return Described(samples, offsets, every, levels, descriptions, {}, bool(farthest < 1 << 23), lows == highs)


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
def grids(columns, lows, highs, steps):
    """Fill in each channel's step, by pieces of its samples; False where one may have a table or a coarser grid."""
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
                return False
        if levels >= 4 and _sparse(x, steps[c], seen):
            return False
    return True


@kernel
def _sparse(x, step, seen):
    """Whether few of the codes occur where most of the samples are, so that a table may pay."""
    mean = np.int64(0)
    spread = np.int64(-1)
    for _ in range(3):
        # Again without what lies far off, as artifacts would make the range of usual codes look empty.
        total, count = np.int64(0), np.int64(0)
        for t in range(len(x)):
            if spread < 0 or abs(np.int64(x[t]) - mean) <= 2 * spread:
                total += np.int64(x[t])
                count += 1
        centre = total // max(count, np.int64(1))
        total = np.int64(0)
        for t in range(len(x)):
            if spread < 0 or abs(np.int64(x[t]) - mean) <= 2 * spread:
                total += abs(np.int64(x[t]) - centre)
        mean = centre
        spread = 2 * (total // max(count, np.int64(1))) + step
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
    return FULL * distinct <= min(span, inside)


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


def _any(block: Block) -> Described | None:
    """The description of any block."""
    samples = block.samples
    frames, count = samples.shape
    found: list[Description] = []
    codes = np.empty((frames, count), np.int32, order="F")
    lows = {}
    for channel in range(count):
        values = np.ascontiguousarray(samples[:, channel])
        one = levels_in(values, None, block.placed)
        if one is None:
            codes[:, channel] = 0
            lows[channel] = pack_channel(values)
            found.append((None, 0))
            continue
        levels, _, numbers = one
        codes[:, channel], low = levels.to_codes(numbers)
        if low is not None:
            lows[channel] = pack_bits(low, levels.low_bits)
        found.append((levels, 0))
    if all(levels is None for levels, _ in found):
        return None
    _share(found, codes)
    index: dict[bytes, int] = {}
    levels_at = np.zeros(count, np.int64)
    descriptions: list[Description] = []
    for channel, described in enumerate(found):
        which, _ = described
        key = b"" if which is None else bytes([which.number]) + which.write()
        if key not in index:
            index[key] = len(descriptions)
            descriptions.append(described)
        levels_at[channel] = index[key]
    zeros, ones = np.zeros(count, np.int64), np.ones(count, np.int64)
    constant = (codes == codes[:1]).all(axis=0) if frames else np.ones(count, bool)
    if block.calibration is not None:
        from spikey.codec.wide.suiting import converters_of_codes, numbered

        converters = converters_of_codes(block.calibration, descriptions, np.where(constant, -1, levels_at), codes)
        descriptions, levels_at = numbered(descriptions, levels_at, converters)
    return Described(np.ascontiguousarray(codes), zeros, ones, levels_at, descriptions, lows, True, constant)


def _share(found: list[Description], codes: np.ndarray) -> None:
    """Let channels have the same levels where that costs no bits of their codes: spanning grids, united tables; or
    similar ones: lines of one fraction.
    """
    even: dict[Scale | None, list[int]] = {}
    tables: dict[Scale | None, list[int]] = {}
    lines: dict[Scale | None, list[int]] = {}
    for channel, (levels, _) in enumerate(found):
        if levels is None:
            continue
        scale: Scale | None = None
        inner: Levels = levels
        if isinstance(levels, Scaled):
            if levels.patches:
                continue
            scale, inner = levels.scale, levels.inner
        if isinstance(inner, Affine) and not inner.low_bits:
            even.setdefault(scale, []).append(channel)
        elif isinstance(inner, Table):
            tables.setdefault(scale, []).append(channel)
        elif isinstance(inner, Rescaled):
            lines.setdefault(scale, []).append(channel)
    for gain, channels in lines.items():
        from spikey.levels.rescaled_sharing import unite  # few recordings need it

        maps = [_inner(found[c][0], Rescaled) for c in channels]
        united = unite(maps, [np.flatnonzero(np.bincount(codes[:, c])) for c in channels])
        for c, (line, add) in zip(channels, united, strict=True):
            codes[:, c] += add
            found[c] = (line if gain is None else Scaled(gain, line), 0)
    for gain, channels in even.items():
        grids_of = [_inner(found[c][0], Affine) for c in channels]
        span = spanning(grids_of)
        if span.alphabet > 1 << MODELLED_BITS:
            continue
        for c, grid in zip(channels, grids_of, strict=True):
            codes[:, c] = (codes[:, c].astype(np.int64) * grid.step + (grid.offset - span.offset)) // span.step
            found[c] = (span if gain is None else Scaled(gain, span), 0)
    for gain, channels in tables.items():
        listed = [np.array(_inner(found[c][0], Table).values, np.int64) for c in channels]
        union = np.unique(np.concatenate(listed))
        if len(channels) < 2 or len(union) > LARGEST:
            continue
        # Values of one coarse grid stay apart when united.
        together = np.diff(union).min() * 2 > min(np.diff(own).min() for own in listed)
        common = Table(tuple(int(value) for value in union))
        for c, own in zip(channels, listed, strict=True):
            inside = np.searchsorted(union, own[-1], "right") - np.searchsorted(union, own[0])
            if together or inside <= SHARED * len(own) + 2:
                codes[:, c] = np.searchsorted(union, own).astype(np.int32)[codes[:, c]]
                found[c] = (common if gain is None else Scaled(gain, common), 0)


def _inner(levels: Levels | None, kind: type[Kind]) -> Kind:
    inner = levels.inner if isinstance(levels, Scaled) else levels
    assert isinstance(inner, kind)
    return inner

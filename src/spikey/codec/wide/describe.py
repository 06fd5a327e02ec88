"""What a block's channels consist of, as the wide engine codes them: codes, and few descriptions of their levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spikey.codec.low_bits import pack_bits
from spikey.codec.survey import Block, levels_in, suits
from spikey.codec.wide.jit import kernel
from spikey.levels.affine import MODELLED_BITS, Affine, spanning
from spikey.levels.contract import Levels
from spikey.levels.n1 import FIRST, fits_n1
from spikey.levels.scaled import Scaled
from spikey.levels.table import LARGEST, Table

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

Kind = TypeVar("Kind", bound=Levels)
GLANCE = 1024  # frames that nearly always tell that a channel's levels are an even grid
PIECE = 256
SHARED = 1.1  # entries of a common table within a channel's values, over those that it has
FAST_TYPES = ("int8", "uint8", "int16", "uint16", "int32")


@dataclass
class Described:
    """Codes of a block, integers (frames, channels), and what they stand for.

    offsets, steps int64 (channels,): codes of each channel's levels are (entry - offset) / step.
    levels: for each channel the index of its description. descriptions: levels, and whether the calibration is for them.
    lows: the packed low bits of the channels that have such.
    """

    codes: np.ndarray
    offsets: np.ndarray
    steps: np.ndarray
    levels: np.ndarray
    descriptions: list[tuple[Levels, bool]]
    lows: dict[int, bytes]


def describe(block: Block) -> Described | None:
    """Look at a block; None where a channel has no levels."""
    samples = block.samples
    if samples.dtype.name in FAST_TYPES and len(samples):
        found = _even(samples, block.calibration)
        if found is not None:
            return found
    return _any(block)


def _even(samples: np.ndarray, calibration: Calibration | None) -> Described | None:
    """The description of a block whose channels are all on even grids; None where that is not so."""
    if samples.dtype == np.int16 and any(fits_n1(samples[:FIRST, c]) for c in range(min(samples.shape[1], 4))):
        return None
    if samples.dtype.name in ("int8", "uint8", "uint16"):
        samples = samples.astype(np.int32)
    count = samples.shape[1]
    lows, highs = samples.min(axis=0).astype(np.int64), samples.max(axis=0).astype(np.int64)
    steps = np.ones(count, np.int64)
    if not grids(np.ascontiguousarray(samples), lows, highs, steps):
        return None
    converter = None
    if calibration is not None:
        converter = _converter(calibration)
        if converter is None:
            return None
        fitting = (lows >= converter.offset) & (highs < converter.offset + converter.alphabet * converter.step)
        fitting &= (steps % converter.step == 0) & ((lows - converter.offset) % converter.step == 0)
    found = [Affine(int((h - l) // s) + 1, int(l), int(s)) for l, h, s in zip(lows, highs, steps, strict=True)]
    common = spanning(found)
    if common.alphabet > 1 << MODELLED_BITS:
        return None
    offsets = np.full(count, common.offset, np.int64)
    every = np.full(count, common.step, np.int64)
    levels = np.zeros(count, np.int64)
    descriptions: list[tuple[Levels, bool]] = [(common, False)]
    if converter is not None and calibration is not None:
        for channel in np.flatnonzero(fitting):
            column = (samples[: 1 << 14, channel].astype(np.int64) - converter.offset) // converter.step
            if highs[channel] > lows[channel] and suits(column, calibration):
                levels[channel] = 1
                offsets[channel], every[channel] = converter.offset, converter.step
        if levels.any():
            descriptions.append((converter, True))
    return Described(samples, offsets, every, levels, descriptions, {})


def _converter(calibration: Calibration) -> Affine | None:
    metadata = calibration.metadata
    if "offset" not in metadata:
        return None
    return Affine(calibration.alphabet, metadata["offset"], metadata["step"])


@kernel
def grids(samples, lows, highs, steps):
    """Fill in each channel's step; False where one may have a table or a coarser grid with exceptions."""
    frames, count = samples.shape
    seen = np.zeros(1 << 16, np.bool_)
    for c in range(count):
        if lows[c] == highs[c]:
            continue
        step = np.int64(0)
        for t in range(min(frames, GLANCE)):
            step = _gcd(step, np.int64(samples[t, c]) - lows[c])
            if step == 1:
                break
        if step != 1:
            for t in range(frames):
                v = np.int64(samples[t, c]) - lows[c]
                if step == 0 or v % step:
                    step = _gcd(step, v)
        steps[c] = step
        levels = (highs[c] - lows[c]) // step + 1
        for q in range(4):
            at = q * max(frames // 4, PIECE)
            if at < frames:
                coarse = np.int64(0)
                first = np.int64(samples[at, c])
                for t in range(at, min(at + PIECE, frames)):
                    coarse = _gcd(coarse, abs(np.int64(samples[t, c]) - first))
                    if coarse == step:
                        break
                if coarse >= 2 * step:
                    return False
        if levels >= 4:
            if levels > 4 * GLANCE:
                few = True
            else:
                distinct = 0
                seen[:levels] = False
                for t in range(min(frames, GLANCE)):
                    v = (np.int64(samples[t, c]) - lows[c]) // step
                    if not seen[v]:
                        seen[v] = True
                        distinct += 1
                few = 4 * distinct <= levels
            if few and frames > GLANCE:
                distinct = 0
                if levels > len(seen):
                    return False
                seen[:levels] = False
                for t in range(min(frames, 4 * GLANCE)):
                    v = (np.int64(samples[t, c]) - lows[c]) // step
                    if not seen[v]:
                        seen[v] = True
                        distinct += 1
                few = 4 * distinct <= levels
            if few:
                return False
    return True


@kernel
def _gcd(a, b):
    while b:
        a, b = b, a % b
    return a


def _any(block: Block) -> Described | None:
    """The description of any block."""
    samples = block.samples
    frames, count = samples.shape
    found: list[tuple[Levels, bool]] = []
    codes = np.empty((frames, count), np.int32, order="F")
    lows = {}
    for channel in range(count):
        values = np.ascontiguousarray(samples[:, channel])
        one = levels_in(values, block.calibration, block.placed)
        if one is None:
            return None
        levels, calibrated, numbers = one
        codes[:, channel], low = levels.to_codes(numbers)
        if low is not None:
            lows[channel] = pack_bits(low, levels.low_bits)
        if calibrated:
            calibrated = block.calibration is not None and levels.alphabet > 1 and suits(codes[:, channel], block.calibration)
        found.append((levels, calibrated))
    _share(found, codes)
    index: dict[bytes, int] = {}
    levels_at = np.zeros(count, np.int64)
    descriptions: list[tuple[Levels, bool]] = []
    for channel, (levels, calibrated) in enumerate(found):
        key = bytes([levels.number, calibrated]) + levels.write()
        if key not in index:
            index[key] = len(descriptions)
            descriptions.append((levels, calibrated))
        levels_at[channel] = index[key]
    zeros, ones = np.zeros(count, np.int64), np.ones(count, np.int64)
    return Described(np.ascontiguousarray(codes), zeros, ones, levels_at, descriptions, lows)


def _share(found: list[tuple[Levels, bool]], codes: np.ndarray) -> None:
    """Let channels have the same levels where that costs no bits of their codes: spanning grids, united tables."""
    even: dict[object, list[int]] = {}
    tables: dict[object, list[int]] = {}
    for channel, (levels, calibrated) in enumerate(found):
        scale, inner = None, levels
        if isinstance(levels, Scaled):
            if levels.patches:
                continue
            scale, inner = levels.scale, levels.inner
        if isinstance(inner, Affine) and not inner.low_bits and not calibrated:
            even.setdefault(scale, []).append(channel)
        elif isinstance(inner, Table):
            tables.setdefault(scale, []).append(channel)
    for scale, channels in even.items():
        grids_of = [_inner(found[c][0], Affine) for c in channels]
        span = spanning(grids_of)
        if span.alphabet > 1 << MODELLED_BITS:
            continue
        for c, grid in zip(channels, grids_of, strict=True):
            codes[:, c] = (codes[:, c].astype(np.int64) * grid.step + (grid.offset - span.offset)) // span.step
            found[c] = (span if scale is None else Scaled(scale, span), False)  # type: ignore[arg-type]
    for scale, channels in tables.items():
        listed = [np.array(_inner(found[c][0], Table).values, np.int64) for c in channels]
        union = np.unique(np.concatenate(listed))
        if len(channels) < 2 or len(union) > LARGEST:
            continue
        common = Table(tuple(int(value) for value in union))
        for c, own in zip(channels, listed, strict=True):
            inside = np.searchsorted(union, own[-1], "right") - np.searchsorted(union, own[0])
            if inside <= SHARED * len(own) + 2:
                codes[:, c] = np.searchsorted(union, own).astype(np.int32)[codes[:, c]]
                found[c] = (common if scale is None else Scaled(scale, common), False)  # type: ignore[arg-type]


def _inner(levels: Levels, kind: type[Kind]) -> Kind:
    inner = levels.inner if isinstance(levels, Scaled) else levels
    assert isinstance(inner, kind)
    return inner

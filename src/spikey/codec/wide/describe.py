"""What a block's channels consist of, as the wide engine codes them: codes, and few descriptions of their levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikey.codec.low_bits import pack_bits
from spikey.codec.survey import Block, levels_in, suits
from spikey.codec.wide.descriptions import pack_channel
from spikey.codec.wide.even import FAST_TYPES, Even, even_grids, look
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.sharing import share
from spikey.codec.wide.tables import Description, of_n1
from spikey.levels.contract import Levels
from spikey.levels.n1 import FEWEST, FIRST, N1_CODES, N1_VALUES, SHIFT, N1Levels, fits_n1

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration


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
    found = found or _listed(block)
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


def _listed(block: Block) -> Described | None:
    """The description of any other block."""
    samples = block.samples
    frames, count = samples.shape
    looked = look(samples) if samples.dtype.name in FAST_TYPES and frames else None
    nothing = Even([], np.full(count, -1), np.zeros(count, np.int64), np.ones(count, np.int64))
    descriptions, levels, offsets, steps = nothing if looked is None else even_grids(looked)
    others = np.flatnonzero(levels < 0)
    farthest = 0 if looked is None else np.where(levels < 0, 0, looked.highs - np.minimum(offsets, looked.lows)).max()
    lows: dict[int, bytes] = {}
    if looked is not None and not len(others):
        codes, constant = looked.samples, looked.lows == looked.highs
    else:
        found, own = _others(block, others, lows)
        if all(one is None for one, _ in found) and not descriptions:
            return None
        share(found, own)
        _index(found, others, descriptions, levels)
        if looked is None or len(others) == count:
            codes = np.ascontiguousarray(own)
        else:
            codes = looked.samples.astype(np.int32)
            codes[:, others] = own
        constant = (codes == codes[:1]).all(axis=0) if frames else np.ones(count, bool)
    if block.calibration is not None:
        from spikey.codec.wide.suiting import converters_of_codes, numbered

        moving = np.where(constant, -1, levels)
        converters = converters_of_codes(block.calibration, descriptions, moving, codes, offsets, steps)
        descriptions, levels = numbered(descriptions, levels, converters)
    return Described(codes, offsets, steps, levels, descriptions, lows, bool(farthest < 1 << 23), constant)


def _others(block: Block, channels: np.ndarray, lows: dict[int, bytes]) -> tuple[list[Description], np.ndarray]:
    """Descriptions and codes int32 (frames, n) of channels that may have any levels, looked at one by one."""
    found: list[Description] = []
    codes = np.empty((len(block.samples), len(channels)), np.int32, order="F")
    for place, channel in enumerate(channels.tolist()):
        values = np.ascontiguousarray(block.samples[:, channel])
        one = levels_in(values, None, block.placed)
        if one is None:
            codes[:, place] = 0
            lows[channel] = pack_channel(values)
            found.append((None, 0))
            continue
        levels, _, numbers = one
        codes[:, place], low = levels.to_codes(numbers)
        if low is not None:
            lows[channel] = pack_bits(low, levels.low_bits)
        found.append((levels, 0))
    return found, codes


def _index(found: list[Description], channels: np.ndarray, descriptions: list[Description], levels: np.ndarray) -> None:
    """Add the descriptions of channels, each once, to those there are; the index of each channel's into levels."""
    index = {_key(one): place for place, (one, _) in enumerate(descriptions)}
    for channel, described in zip(channels.tolist(), found, strict=True):
        key = _key(described[0])
        if key not in index:
            index[key] = len(descriptions)
            descriptions.append(described)
        levels[channel] = index[key]


def _key(levels: Levels | None) -> bytes:
    return b"" if levels is None else bytes([levels.number]) + levels.write()

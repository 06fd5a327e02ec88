"""Which converter each channel has, by likelihood: where codes occur as often as the converter's widths let them.

Of a channel's samples the mean log2 of their codes' widths is positive with the widths of its converter, and largest
with its own; with widths that are not its converter's it is about as much negative. So no map of channels has to be
stored with a calibration, and any choice of channels can be coded with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from spikey.codec.survey import suits
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.tables import MOST_TABLED, Description, first_code, of_n1
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.scaled import Scaled
from spikey.model.calibration import Calibration
from spikey.model.fixed_point import UNIT

SAMPLED = 1 << 11  # frames that are looked at
LEAST_GAIN = 24  # bits of all frames, less than which does not pay for a description


@lru_cache(maxsize=8)
def log_widths(calibration: Calibration) -> np.ndarray:
    """log2 of the widths in LSB, float32 (codes, converters)."""
    tables = [calibration.edges_of(converter) for converter in range(calibration.converters)]
    return np.ascontiguousarray(np.log2(np.diff(np.stack(tables).astype(np.float64)) / UNIT).T.astype(np.float32))


def converters_of(
    calibration: Calibration,
    levels: Sequence[Levels | None],
    places: np.ndarray,
    codes: np.ndarray,
    offsets: np.ndarray,
    steps: np.ndarray,
) -> np.ndarray:
    """The number of each channel's converter, from 1, int64 (channels,); 0 where even widths suit it better.

    places int64 (channels,): which of the levels each channel has, -1 for a channel that is to have even widths. A
    code of the levels is (entry - offset) / step, of the entries of codes (frames, channels).
    """
    first_of = [first_code(calibration, one) for one in levels]
    fitting = np.array([place >= 0 and first_of[place] is not None for place in places])
    numbers = np.zeros(len(places), np.int64)
    looked = np.flatnonzero(fitting)
    frames = len(codes)
    if not len(looked) or not frames:
        return numbers
    firsts = np.array([first_of[places[channel]] for channel in looked], np.int64)
    every = max(frames // SAMPLED, 1)
    gains = np.zeros((len(looked), calibration.converters), np.float32)
    add_log_widths(codes, looked, offsets[looked], steps[looked], firsts, every, log_widths(calibration), gains)
    best = gains.argmax(axis=1)
    pays = gains[np.arange(len(looked)), best] * every >= LEAST_GAIN
    numbers[looked[pays]] = best[pays] + 1
    return numbers


@kernel
def add_log_widths(codes, channels, offsets, steps, firsts, every, logs, gains):
    """gains float32 (channels, converters): sums of log2 widths of every so manieth frame of some channels."""
    count = np.int64(len(logs))
    converters = logs.shape[1]
    for t in range(0, codes.shape[0], every):
        for p in range(len(channels)):
            code = np.int64(codes[t, channels[p]]) - offsets[p]
            if steps[p] > 1:
                code //= steps[p]
            code += firsts[p]
            if 0 <= code < count:
                row = logs[code]
                gain = gains[p]
                for k in range(converters):
                    gain[k] += row[k]


def converters_of_codes(
    calibration: Calibration,
    descriptions: Sequence[Description],
    places: np.ndarray,
    codes: np.ndarray,
    offsets: np.ndarray,
    steps: np.ndarray,
) -> np.ndarray:
    """The number of each channel's converter; arguments as of `converters_of`, of any calibration."""
    if "offset" in calibration.metadata:
        return converters_of(calibration, [levels for levels, _ in descriptions], places, codes, offsets, steps)
    inner = [levels.inner if isinstance(levels, Scaled) else levels for levels, _ in descriptions]
    numbers = np.zeros(len(places), np.int64)
    if of_n1(calibration):
        for channel, place in enumerate(places):
            if place >= 0 and isinstance(inner[place], N1Levels):
                numbers[channel] = suits(codes[:, channel], calibration)
    return numbers


def numbered(
    descriptions: list[Description], levels: np.ndarray, converters: np.ndarray
) -> tuple[list[Description], np.ndarray]:
    """Descriptions of which each has one converter, and the index of each channel's, from those without converters.

    Those that would need more tables than a reader takes go without.
    """
    index: dict[tuple[int, int], int] = {}
    out: list[Description] = []
    places = np.zeros(len(levels), np.int64)
    room = MOST_TABLED
    for channel, (level, converter) in enumerate(zip(levels.tolist(), converters.tolist(), strict=True)):
        key = level, converter
        if key not in index and converter:
            grid = descriptions[level][0]
            assert grid is not None
            room -= grid.alphabet
            if room < 0:
                key = level, 0
        if key not in index:
            index[key] = len(out)
            out.append((descriptions[level][0], key[1]))
        places[channel] = index[key]
    return out, places

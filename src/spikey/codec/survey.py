"""What every engine starts from: levels, scale, codes and calibration of each channel, found once per block."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from spikey.levels.advancing import find_advancing
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.levels.scaled import Scaled, find_scale
from spikey.model.calibration import MOST_CODES
from spikey.model.fixed_point import UNIT

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

SAMPLED = 1 << 14  # codes by which a channel is judged
USUAL_INITIAL = 40  # of a channel of a single sample


@dataclass
class Channel:
    """What a block contains of one channel.

    initial: the byte of the scale to start from. references: other channels, which an engine chooses.
    """

    levels: Levels
    calibrated: bool = False
    initial: int = 0
    references: list[int] = field(default_factory=list)


@dataclass
class Survey:
    """Levels, scales and codes of a block's channels, which do not depend on the method."""

    calibration: Calibration | None
    channels: list[Channel]
    codes: np.ndarray
    lows: list[bytes]
    size: int


class Block:
    """The samples (frames, channels) of a block, any integer or float type, surveyed when an engine first asks for it.

    `calibration` is used for the channels that it fits. placed: whether levels may be those of a whole block.
    """

    def __init__(self, samples: np.ndarray, calibration: Calibration | None, placed: bool = True):
        self.samples = samples
        self.calibration = calibration
        self.placed = placed

    @cached_property
    def survey(self) -> Survey | None:
        """None where a channel has no levels."""
        return survey(self.samples, self.calibration, self.placed)


def survey(samples: np.ndarray, calibration: Calibration | None, placed: bool = True) -> Survey | None:
    """Look at samples as `Block` has them; None where a channel has no levels."""
    frames, count = samples.shape
    columns = np.ascontiguousarray(samples.T)
    codes = np.empty((count, frames), dtype=np.int32)
    channels, lows = [], []
    for index in range(count):
        found = levels_in(columns[index], calibration, placed)
        if found is None:
            return None
        levels, calibrated, values = found
        codes[index], low = levels.to_codes(values)
        calibrated = calibrated and calibration is not None and suits(codes[index], calibration)
        channels.append(Channel(levels, calibrated, initial_scale(codes[index])))
        if low is not None:
            from spikey.codec.low_bits import pack_bits

            lows.append(pack_bits(low, levels.low_bits))
    return Survey(calibration, channels, codes, lows, samples.nbytes)


def levels_in(
    values: np.ndarray, calibration: Calibration | None, placed: bool
) -> tuple[Levels, bool, np.ndarray] | None:
    """The levels of a channel, whether the calibration is for them, and what has the codes: the values, or of floats
    their integers.
    """
    advancing = find_advancing(values) if placed else None
    if values.dtype.kind != "f":
        return (*levels_of(values, calibration), values) if advancing is None else (advancing, False, values)
    found = find_scale(values) if advancing is None or not advancing.near else None
    if found is None:
        # What is far off the line is packed, which may be smaller.
        return None if advancing is None or advancing.low_bits else (advancing, False, values)
    integers = find_advancing(found.integers) if placed else None
    levels, calibrated = levels_of(found.integers, calibration) if integers is None else (integers, False)
    return Scaled(found.scale, levels, found.patches), calibrated, found.integers


def levels_of(values: np.ndarray, calibration: Calibration | None) -> tuple[Levels, bool]:
    """The levels of a channel of integers, and whether the calibration is for them."""
    if calibration is None:
        return find_levels(values), False
    converter = converter_of(calibration)
    if converter is not None and converter.fits(values):
        return converter, True
    found = find_levels(values)
    fits = calibration.alphabet == found.alphabet and calibration.metadata.get("levels", "n1") == "n1"
    fits = fits and calibration.converters == 1
    return found, isinstance(found, N1Levels) and fits


def converter_of(calibration: Calibration) -> Affine | None:
    """The levels that the adaptive engines use a calibration for; None where its metadata name a device instead, or it
    has more than they take: several converters, or very many codes.
    """
    metadata = calibration.metadata
    if calibration.converters > 1 or calibration.alphabet > MOST_CODES:
        return None
    return Affine(calibration.alphabet, metadata["offset"], metadata["step"]) if "offset" in metadata else None


def suits(codes: np.ndarray, calibration: Calibration) -> bool:
    """Whether codes (frames,) come from such a converter: wide codes then occur more often than their neighbours.

    The mean log-width over the samples is positive there, and as much negative under widths that are not theirs.
    """
    counts = np.bincount(codes[:SAMPLED], minlength=calibration.alphabet)
    return float(counts @ _log_widths(calibration)) >= 0


@lru_cache(maxsize=8)
def _log_widths(calibration: Calibration) -> np.ndarray:
    return np.log2(np.diff(calibration.edges) / UNIT)


def initial_scale(codes: np.ndarray) -> int:
    """The header's byte for the deviation of the residual, guessed from the first differences of codes (frames,)."""
    if len(codes) < 2:
        return USUAL_INITIAL
    spread = float(np.abs(np.diff(codes[:SAMPLED])).mean()) * 1.2
    return int(np.clip(np.rint(8 * (np.log2(spread + 1e-3) + 4)), 0, 191))

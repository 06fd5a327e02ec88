"""From samples to a plan: levels, calibration and references of each channel, found once and never parsed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from spikey.base.limits import allowed
from spikey.codec.method import Method
from spikey.codec.registry import PREDICTORS
from spikey.levels.advancing import find_advancing
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import find_levels
from spikey.levels.scaled import Scaled, find_scale
from spikey.model.fixed_point import UNIT

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

SAMPLED = 1 << 14  # codes by which a channel is judged
NEIGHBOURS = 64  # channels among which references are looked for
USUAL_INITIAL = 40  # of a channel of a single sample


@dataclass
class Channel:
    """What a block contains of one channel. initial: the byte of the scale to start from."""

    levels: Levels
    calibrated: bool = False
    initial: int = 0
    references: list[int] = field(default_factory=list)


@dataclass
class Plan:
    """How a block is to be coded: its channels, their codes int32 (channels, frames), and their packed low bits.

    size: bytes of the samples in memory. companions: how many of the channels, the first ones, are of other recordings.
    """

    method: Method
    calibration: Calibration | None
    channels: list[Channel]
    codes: np.ndarray
    lows: list[bytes]
    size: int
    companions: int = 0

    @property
    def calibrated(self) -> bool:
        """Whether a channel uses the calibration."""
        return any(channel.calibrated for channel in self.channels)


@dataclass
class Survey:
    """Levels, scales and codes of a block's channels, which do not depend on the method."""

    calibration: Calibration | None
    channels: list[Channel]
    codes: np.ndarray
    lows: list[bytes]
    size: int


def survey(samples: np.ndarray, calibration: Calibration | None, placed: bool = True) -> Survey | None:
    """Look at samples (frames, channels), any integer or float type; None where a channel has no levels.

    `calibration` is used for the channels that it fits. placed: whether levels may be those of a whole block.
    """
    frames, count = samples.shape
    columns = np.ascontiguousarray(samples.T)
    codes = np.empty((count, frames), dtype=np.int32)
    channels, lows = [], []
    for index in range(count):
        found = _levels_in(columns[index], calibration, placed)
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


def _levels_in(
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


def plan(found: Survey, method: Method, beside: Survey | None = None) -> Plan | None:
    """The plan of a block, with its references; None where it takes more work than a reader allows.

    beside: of up to 4 channels of other recordings at the same instants; used where they help and the predictor can.
    """
    made = None
    if beside is not None and PREDICTORS[method.predictor].companions and not beside.lows:
        made = _plan_beside(found, beside, method)
    made = made or _plan_alone(found, method)
    work = work_of(method, made.channels[made.companions :], made.codes.shape[1])
    return made if work <= allowed.work else None


def _plan_alone(found: Survey, method: Method) -> Plan:
    channels = [replace(channel, references=[]) for channel in found.channels]
    for first in range(0, len(channels) if method.references else 0, NEIGHBOURS):
        near = channels[first : first + NEIGHBOURS]
        chosen = _references(found.codes[first : first + NEIGHBOURS], method)
        for channel, references in zip(near, chosen, strict=True):
            channel.references = [first + reference for reference in references]
    return Plan(method, found.calibration, channels, found.codes, found.lows, found.size)


def _plan_beside(found: Survey, beside: Survey, method: Method) -> Plan | None:
    """The plan with channels of other recordings first; None where no channel refers to one."""
    count = len(beside.channels)
    codes = np.concatenate([beside.codes, found.codes])
    channels = [replace(channel, references=[]) for channel in (*beside.channels, *found.channels)]
    for first in range(count, len(channels), NEIGHBOURS):
        near = [*range(count), *range(first, min(first + NEIGHBOURS, len(channels)))]
        chosen = _references(codes[near], method)
        for index, references in zip(near[count:], chosen[count:], strict=True):
            channels[index].references = [near[reference] for reference in references]
    if not any(reference < count for channel in channels[count:] for reference in channel.references):
        return None
    return Plan(method, found.calibration, channels, codes, found.lows, found.size, count)


def _references(codes: np.ndarray, method: Method) -> list[list[int]]:
    from spikey.model.cross import choose_references

    return choose_references(codes.T, method.references)


def work_of(method: Method, channels: Sequence[Channel], frames: int) -> int:
    """Multiplications that a block takes with a trained network or predictor max; 0 for others, which are fast."""
    coded = sum(channel.levels.alphabet > 1 for channel in channels)
    if method.model is not None:
        return coded * frames * method.model.architecture.weights
    work = PREDICTORS[method.predictor].work
    return 0 if work is None or not coded else coded * work(frames)


def levels_of(values: np.ndarray, calibration: Calibration | None) -> tuple[Levels, bool]:
    """The levels of a channel of integers, and whether the calibration is for them."""
    if calibration is None:
        return find_levels(values), False
    if "offset" in calibration.metadata:
        levels = Affine(calibration.alphabet, calibration.metadata["offset"], calibration.metadata["step"])
        if levels.fits(values):
            return levels, True
    found = find_levels(values)
    fits = calibration.alphabet == found.alphabet and calibration.metadata.get("levels", "n1") == "n1"
    return found, isinstance(found, N1Levels) and fits


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

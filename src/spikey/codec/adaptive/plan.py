"""From a survey to a plan of the adaptive engines: references to other channels, and whether the work is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spikey.base.limits import allowed
from spikey.codec.method import Method
from spikey.codec.registry import PREDICTORS
from spikey.codec.survey import Channel, Survey

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration

NEIGHBOURS = 64  # channels among which references are looked for


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

"""How far off predictions are: the running scale of the residual, kept as a logarithm.

Each error z, in units of the scale in force, moves log2(scale) by half of log2(1 + rate (z^2 - 1)): an exponential
average of the squared error, by one table look-up and without a division. |z| is clipped at 3, so that an artifact
moves the scale a little only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import entry, generic
from spikey.model.density import standardise
from spikey.model.fixed_point import (
    POSITION_BITS,
    SCALE_BITS,
    SCALE_MAX,
    SCALE_MIN,
    SCALE_STEP_BITS,
    SPREAD,
    UPDATE,
    UPDATE_BITS,
    UPDATE_LAST,
)

BYTE_BITS = SCALE_BITS - 3  # a header contains an initial scale in eighths of an octave above SCALE_MIN


class Scale(NamedTuple):
    """One running scale a lane.

    value int64 (lanes,): log2 in 1/65536 octave of 1/64 LSB.
    opening int64 (1,): the value for a lane's first sample, of which nothing is known.
    update int32 (97,): the change of `value` for |z| in steps of 1/32 sigma.
    """

    value: np.ndarray
    opening: np.ndarray
    update: np.ndarray


def scale(lanes: int, alphabet: int, initial: int, rate: int = 2) -> Scale:
    """Start from the header's byte `initial`; `rate` is a row of the table of updates."""
    return Scale(
        np.full(lanes, stated_scale(initial), dtype=np.int64),
        np.array([opening_scale(alphabet)], dtype=np.int64),
        UPDATE[rate],
    )


def stated_scale(initial: int) -> int:
    """log2 of the scale that a header's byte states, 1/65536 octave of 1/64 LSB."""
    return min(SCALE_MIN + (initial << BYTE_BITS), SCALE_MAX)


def opening_scale(alphabet: int) -> int:
    """log2 of the scale for a lane's first sample: an eighth of the alphabet or so."""
    return min(max((alphabet.bit_length() + POSITION_BITS - 3) << SCALE_BITS, SCALE_MIN), SCALE_MAX)


def deviation(initial: int) -> int:
    """The scale that a header's byte states, in 1/64 LSB."""
    step = (stated_scale(initial) - SCALE_MIN) >> SCALE_STEP_BITS
    return int(SPREAD[step]) >> POSITION_BITS


@generic
def scale_at(scale, lane, at):
    """log2 of the scale for sample `at` of a lane, int64 in 1/65536 octave."""


@generic
def update_scale(scale, lane, at, distance, reciprocal):
    """Learn that sample `at` was `distance` away, int64 in 1/64 LSB; `reciprocal`: of the scale that was in force."""


@scale_at.register(Scale)
def _scale_at_scale(scale, lane, at):
    return scale.value[lane] if at > 0 else scale.opening[0]


@update_scale.register(Scale)
def _update_scale_scale(scale, lane, at, distance, reciprocal):
    if at > 0:
        z = abs(standardise(distance, reciprocal)) >> UPDATE_BITS
        value = scale.value[lane] + entry(scale.update, min(z, UPDATE_LAST))
        scale.value[lane] = min(max(value, SCALE_MIN), SCALE_MAX)

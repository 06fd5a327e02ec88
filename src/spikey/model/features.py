"""Inputs of a network: recent errors, recent changes and running scales, all in units of the current scale."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import entry, inlined
from spikey.model.density import standardise, step_of
from spikey.model.fixed_point import (
    ACTIVATION_BITS,
    ACTIVATION_MAX,
    RECIPROCAL,
    SCALE_BITS,
    SCALE_MAX,
    SCALE_MIN,
    UPDATE,
    UPDATE_BITS,
    UPDATE_LAST,
)
from spikey.model.scale import stated_scale

RATES = np.ascontiguousarray(UPDATE[[4, 0, 1, 2, 3]])  # 0.1, 0.03, 0.01, 0.004, 0.001
MIXTURE = np.array([0, 4, 17, 26, 17], dtype=np.int64)  # of the running scales, in 64ths


class Features(NamedTuple):
    """State behind the inputs of a network.

    values int64 (lanes, 5): running log2 scales, 1/65536 octave; `rates` int32 (5, 97) their tables of updates.
    mixture int64 (5,): their weights in the scale in force, in 64ths.
    errors, changes int64 (lanes, lags): the last errors and changes, latest first, 1/64 LSB.
    """

    values: np.ndarray
    rates: np.ndarray
    mixture: np.ndarray
    errors: np.ndarray
    changes: np.ndarray
    reciprocal: np.ndarray


def features(lags: int, initials: list[int]) -> Features:
    """Start with the scales of the headers' bytes, one for each lane."""
    lanes = len(initials)
    return Features(
        np.repeat([[stated_scale(initial)] for initial in initials], len(RATES), axis=1),
        RATES,
        MIXTURE,
        np.zeros((lanes, lags), dtype=np.int64),
        np.zeros((lanes, lags), dtype=np.int64),
        RECIPROCAL,
    )


@inlined
def relative(distance, reciprocal):
    """A distance as an input: in units of the scale, in 1/256 and within 4."""
    return min(max((distance * reciprocal) >> (32 - ACTIVATION_BITS), -ACTIVATION_MAX), ACTIVATION_MAX)


@inlined
def scale_in_force(features, lane):
    """The mixture of the running scales, log2 in 1/65536 octave."""
    values = features.values[lane]
    mixed = np.int64(0)
    for i in range(values.shape[0]):
        mixed += values[i] * features.mixture[i]
    return min(max(mixed >> 6, SCALE_MIN), SCALE_MAX)


@inlined
def fill(features, lane, mixed, location, last, middle, inputs):
    """Write the inputs int16: five running scales, two distances of the location, errors, changes."""
    values, errors, changes = features.values[lane], features.errors[lane], features.changes[lane]
    reciprocal = entry(features.reciprocal, step_of(mixed))
    rates, lags = values.shape[0], errors.shape[0]
    for i in range(rates):
        inputs[i] = min(max((values[i] - mixed) >> (SCALE_BITS - ACTIVATION_BITS - 1), -ACTIVATION_MAX), ACTIVATION_MAX)
    inputs[rates] = relative(location - last, reciprocal)
    inputs[rates + 1] = relative((location - middle) >> 3, reciprocal)
    for i in range(lags):
        inputs[rates + 2 + i] = relative(errors[i], reciprocal)
    for i in range(lags):
        inputs[rates + 2 + lags + i] = relative(changes[i] >> 1, reciprocal)


@inlined
def fill_alone(features, lane, mixed, inputs):
    """Write the inputs of a network that sees changes alone."""
    changes = features.changes[lane]
    reciprocal = entry(features.reciprocal, step_of(mixed))
    for i in range(changes.shape[0]):
        inputs[i] = relative(changes[i] >> 1, reciprocal)


@inlined
def learn_error(features, lane, distance):
    """Learn that the last sample was `distance` off, in 1/64 LSB."""
    values, errors = features.values[lane], features.errors[lane]
    for i in range(values.shape[0]):
        own = entry(features.reciprocal, step_of(values[i]))
        z = abs(standardise(distance, own)) >> UPDATE_BITS
        values[i] = min(max(values[i] + features.rates[i, min(z, UPDATE_LAST)], SCALE_MIN), SCALE_MAX)
    for i in range(errors.shape[0] - 1, 0, -1):
        errors[i] = errors[i - 1]
    errors[0] = distance


@inlined
def learn_change(features, lane, change):
    """Learn by how much the last sample differed from the one before, in 1/64 LSB."""
    changes = features.changes[lane]
    for i in range(changes.shape[0] - 1, 0, -1):
        changes[i] = changes[i - 1]
    changes[0] = change

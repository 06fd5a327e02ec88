"""What the refined engine's kernels work on: memory that all channels of a block share, and what passes from each to
the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.model.fixed_point import NORMAL

MOST_OWN, MOST_NEAR, MOST_REACH = 32, 12, 3  # own past, other channels, frames before and after of each
MOST_INPUTS = MOST_OWN + MOST_NEAR * (2 * MOST_REACH + 1)
SPIKE_OWN, SPIKE_NEAR, SPIKE_REACH = 8, 6, 3  # errors by which those of busy samples are predicted
SPIKE_ENOUGH = 16  # busy samples that are learned from at once
SPIKE_INPUTS = SPIKE_OWN + SPIKE_NEAR * (2 * SPIKE_REACH + 1)
PAST = 32  # places before a channel's first sample and after its last one
SEGMENT = 256  # samples between two solutions
OPENING = 32  # of the first one; each next one is twice as long
STARTING = 16  # samples that have a scale of their own
RATES = np.array([1 / 8, 1 / 32, 1 / 128, 1 / 1024])  # of the running scales
FEATURES = len(RATES) + 4
DIVISORS = np.array([0.81, 0.98, 1.14, 1.51, 2.48, 8.0])  # of the mixture's deviations, over the scale
OPENING_SHARES = np.array([0.07, 0.67, 0.22, 0.03, 0.008, 0.002])
BUSY = (0.7, 1.6)  # log2 of other channels' errors, over their scales, from which on shares are others
CONTEXTS = len(BUSY) + 1
CONSTANT, MOVING = 0, 1  # kinds of channels
KIND, LEVEL, CENTRE, NEAR, REF0 = range(5)  # columns of what a channel is
COLUMNS = REF0 + MOST_NEAR


class Usual(NamedTuple):
    """What is usual of a regression: weights (inputs,), products (inputs, inputs), known bool (inputs,)."""

    weights: np.ndarray
    products: np.ndarray
    known: np.ndarray


class Regression(NamedTuple):
    """Weighted least squares of a channel.

    weights, pull, moment, solution (inputs,), products, root (inputs, inputs). inputs (samples, inputs), targets, trust
    (samples,): samples that have not been learned from.
    """

    weights: np.ndarray
    pull: np.ndarray
    moment: np.ndarray
    solution: np.ndarray
    products: np.ndarray
    root: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    trust: np.ndarray


class Learned(NamedTuple):
    """What passes from channel to channel.

    linear, spikes: of the predictions from samples, and of those from errors. scale_weights (features,), shares
    (contexts, components): of the densities. start (3 + STARTING,): sums for the first sample, the mean error of the
    channel before, and of each first sample its mean error over that. part (2,): sums that determine which
    part of what errors predict is right.
    """

    linear: Usual
    spikes: Usual
    scale_weights: np.ndarray
    shares: np.ndarray
    start: np.ndarray
    part: np.ndarray


class Work(NamedTuple):
    """Memory for one channel.

    linear, spikes: the regressions. expected (SEGMENT,): positions that inputs known so far expect. activity (3,
    SEGMENT): how large other channels' errors are. scales: the running ones. features: of the scale. lows, highs: of
    the mixture's components.
    """

    linear: Regression
    spikes: Regression
    expected: np.ndarray
    activity: np.ndarray
    scales: np.ndarray
    features: np.ndarray
    lows: np.ndarray
    highs: np.ndarray


class Constants(NamedTuple):
    """The normal distribution, rates of the running scales, and 1 / the deviations of the mixture."""

    normal: np.ndarray
    rates: np.ndarray
    inverse: np.ndarray


def constants() -> Constants:
    """The same for all blocks."""
    return Constants(NORMAL.astype(np.float64), RATES, 1 / DIVISORS)


def learned() -> Learned:
    """Nothing is known yet."""
    start = np.zeros(3 + STARTING)
    start[2] = 8.0
    part = np.zeros(2)
    shares = np.tile(OPENING_SHARES, (CONTEXTS, 1))
    return Learned(_usual(MOST_INPUTS), _usual(SPIKE_INPUTS), np.zeros(FEATURES), shares, start, part)


def _usual(n: int) -> Usual:
    return Usual(np.zeros(n), np.zeros((n, n)), np.zeros(n, np.bool_))


def work() -> Work:
    """Not in use yet."""
    parts = len(DIVISORS)
    return Work(
        _regression(MOST_INPUTS, SEGMENT), _regression(SPIKE_INPUTS, SEGMENT + SPIKE_ENOUGH),
        np.zeros(SEGMENT), np.zeros((3, SEGMENT)), np.zeros(len(RATES)), np.zeros(FEATURES),
        np.zeros(parts), np.zeros(parts),
    )  # fmt: skip


def _regression(n: int, samples: int) -> Regression:
    return Regression(
        np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, n)), np.zeros((n, n)), np.zeros((samples, n)),
        np.zeros(samples), np.zeros(samples),
    )  # fmt: skip

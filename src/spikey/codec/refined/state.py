"""What the refined engine's kernels work on: memory that all channels of a block share, and what passes from each to
the next.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.model.fixed_point import NORMAL

MOST_OWN, MOST_NEAR, MOST_REACH = 32, 12, 3  # own past, other channels, frames before and after of each
MOST_INPUTS = MOST_OWN + MOST_NEAR * (2 * MOST_REACH + 1)
PAST = 64  # places before a channel's first sample and after its last one
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


class Learned(NamedTuple):
    """What passes from channel to channel: what is usual.

    weights (inputs,), products (inputs, inputs), known bool (inputs,): of the predictions. scale_weights (features,),
    shares (contexts, components): of the densities. start (3 + starting,): sums for the first sample, the mean error of
    the channel before, and of each first sample its mean error over that.
    """

    weights: np.ndarray
    products: np.ndarray
    known: np.ndarray
    scale_weights: np.ndarray
    shares: np.ndarray
    start: np.ndarray


class Work(NamedTuple):
    """Memory for one channel."""

    w: np.ndarray
    pull: np.ndarray
    moment: np.ndarray
    gram: np.ndarray
    root: np.ndarray
    y: np.ndarray
    inputs: np.ndarray
    expected: np.ndarray
    trust: np.ndarray
    activity: np.ndarray
    scales: np.ndarray
    features: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    parts: np.ndarray


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
    return Learned(
        np.zeros(MOST_INPUTS), np.zeros((MOST_INPUTS, MOST_INPUTS)), np.zeros(MOST_INPUTS, np.bool_),
        np.zeros(FEATURES), np.tile(OPENING_SHARES, (CONTEXTS, 1)), start,
    )  # fmt: skip


def work() -> Work:
    """Not in use yet."""
    n, m, k = MOST_INPUTS, FEATURES, len(DIVISORS)
    return Work(
        np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, n)), np.zeros((n, n)), np.zeros(n),
        np.zeros((SEGMENT, n)), np.zeros(SEGMENT), np.zeros(SEGMENT), np.zeros((3, SEGMENT)),
        np.zeros(len(RATES)), np.zeros(m), np.zeros(k), np.zeros(k), np.zeros(k),
    )  # fmt: skip

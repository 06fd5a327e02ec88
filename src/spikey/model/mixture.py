"""A density of several normal distributions about one location, whose shares are learned as coding goes.

Their deviations are fixed multiples of the scale. A share is an average, over the latest 128 samples or so, of how
much of the code that came this component explains: Bayes' rule with forgetting. So the tails follow the recording, and
the scale too where its predictor lags behind. Both directions learn the same, right after a code is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import entry, inlined, kernel
from spikey.model.density import Narrow, cumulative, position, standardise
from spikey.model.fixed_point import MASS, MASS_BITS, NORMAL

# In steps of the scale, 32 an octave: 0.81, 0.98, 1.14, 1.51 and 2.48 times it; and shares to start from, 1/1000.
OFFSETS = np.array([-10, -1, 6, 19, 42], dtype=np.int64)
OPENING = (70, 680, 225, 23, 2)
MAIN = 1  # the component whose share is what the others leave
SHARE_BITS = 24
LEAST = 1 << 10  # of a share
RATE_BITS = 8
DECAY_BITS = 8  # what a share loses beside, so that all others together never reach the whole
EVIDENCE_BITS = 10  # dropped from it where components are compared
SURE = 1 << SHARE_BITS  # of the evidence, below which a code teaches nothing


class Mixed(NamedTuple):
    """State of the density of one channel.

    bell: the density of one component, whose edges, middles and guesses are used.
    table int32 (2049,): the normal distribution, scaled so that it and one count a code fill 2^24.
    offsets int64 (components,): of the deviations, in steps of the scale.
    shares int64 (components,): 2^-24, together 2^24.
    lows, highs int64 (components,): counts of each below the latest code and the next.
    reciprocal int64: the field of `bell`, which the loop looks for here.
    """

    bell: Narrow
    table: np.ndarray
    offsets: np.ndarray
    shares: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    reciprocal: np.ndarray


def mixed(bell: Narrow) -> Mixed:
    """Start a density over the alphabet of `bell`."""
    count = len(OFFSETS)
    shares = np.array([(share << SHARE_BITS) // 1000 for share in OPENING], dtype=np.int64)
    shares[MAIN] += (1 << SHARE_BITS) - shares.sum()
    room = MASS - len(bell.middles)
    return Mixed(
        bell,
        ((NORMAL.astype(np.int64) * room) >> MASS_BITS).astype(np.int32),
        OFFSETS,
        shares,
        np.zeros(count, dtype=np.int64),
        np.zeros(count, dtype=np.int64),
        bell.reciprocal,
    )


@position.register(Mixed)
def _position_mixed(density, code):
    return entry(density.bell.middles, code)


@inlined
def mixed_below(density, location, step, code, counts):
    """Counts of all codes below `code`; those of each component go into `counts`."""
    distance = entry(density.bell.edges, code) - location
    last = density.reciprocal.shape[0] - 1
    total = np.int64(0)
    for k in range(counts.shape[0]):
        reciprocal = entry(density.reciprocal, min(max(step + density.offsets[k], 0), last))
        counts[k] = cumulative(density.table, standardise(distance, reciprocal))
        total += density.shares[k] * counts[k]
    return (total >> SHARE_BITS) + code


@kernel
def mixed_locate(density, location, step, target, code):
    """The code whose counts hold `target`, starting from a guess, with the counts below it and its own.

    `lows` and `highs` are left as they are for that code.
    """
    first, last = np.int64(0), np.int64(density.bell.middles.shape[0] - 1)
    code = np.int64(min(max(code, first), last))
    reach = 1
    while True:
        low = mixed_below(density, location, step, code, density.lows)
        if target < low:
            last = code - 1
            code = max(code - reach, first) if reach < 8 else (first + last + 1) >> 1
        else:
            high = mixed_below(density, location, step, code + 1, density.highs)
            if target < high or code >= density.bell.middles.shape[0] - 1:
                return code, low, high - low
            first = code + 1
            code = min(code + reach, last) if reach < 8 else (first + last + 1) >> 1
        code = min(max(code, first), last)
        reach *= 2


@inlined
def learn(density):
    """Learn from the code that `lows` and `highs` are of."""
    shares, lows, highs = density.shares, density.lows, density.highs
    evidence = np.int64(0)
    for k in range(shares.shape[0]):
        evidence += shares[k] * (highs[k] - lows[k])
    if evidence < SURE:
        return
    evidence >>= EVIDENCE_BITS
    left = np.int64(1 << SHARE_BITS)
    for k in range(shares.shape[0]):
        explained = ((shares[k] * (highs[k] - lows[k])) << (SHARE_BITS - EVIDENCE_BITS)) // evidence
        share = shares[k] + ((explained - shares[k] - (shares[k] >> DECAY_BITS)) >> RATE_BITS)
        shares[k] = max(share, LEAST)
        if k != MAIN:
            left -= shares[k]
    shares[MAIN] = left

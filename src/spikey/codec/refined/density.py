"""The density of a sample: a mixture of normal distributions whose shares are learned, over codes of any widths.

A code's counts are out of 2^24. Codes about the expected one have at least one count each; others are escapes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikey.base.jit import generic, inlined
from spikey.codec.refined.arithmetic import log2_of
from spikey.coding.range_coder import RangeDecoder, RangeEncoder, put, take, target
from spikey.model.fixed_point import MASS, MASS_BITS

WINDOW = 1 << 14  # codes about the expected one that need no escape
ESCAPES = 64  # counts
RAW_BITS = 20  # of a code after an escape
SINGLY = 9  # log2 of the deviation up to which codes are modelled one by one
CELLS, MIDDLE = 128.0, 1024.0  # of the table of the normal distribution: for each deviation, and up to its middle
LAST_CELL = 2047.999
LEAST_SHARE = 1e-4
SHARE_RATE = 1 / 256
SURE = 16.0  # counts of a code that teach something


class Even(NamedTuple):
    """Codes of one width. size: how many there are. centre: what positions are counted from, in codes."""

    size: Any
    centre: Any


class Listed(NamedTuple):
    """Codes of listed widths. edges, middles float32: those of all descriptions; first: where they begin there."""

    edges: Any
    middles: Any
    first: Any
    size: Any
    centre: Any


class Aim(NamedTuple):
    """Where a sample is expected: its position, 1 / its deviation, how many low bits are coded evenly, and of the other
    bits the first number that needs no escape, how many those are, and counts that are left for the distribution.
    """

    position: Any
    inverse: Any
    shift: Any
    first: Any
    count: Any
    room: Any


@inlined
def aim_at(alphabet, position, deviation):
    """The aim at a position."""
    shift = np.int64(min(max(np.floor(log2_of(deviation)) - SINGLY, 0.0), float(RAW_BITS)))
    coarse = ((alphabet.size - 1) >> shift) + 1
    count = min(coarse, WINDOW)
    middle = np.int64(np.floor(position + alphabet.centre + 0.5)) >> shift
    first = min(max(middle - WINDOW // 2, 0), coarse - count)
    room = MASS - count - (ESCAPES if count < coarse else 0)
    return Aim(position, 1.0 / deviation, shift, first, count, room)


@generic
def edge_of(alphabet, code):
    """Where a code begins, from the centre."""


@generic
def position_of(alphabet, code):
    """The position that stands for a code."""


@edge_of.register(Even)
def _edge_of_even(alphabet, code):
    return np.float64(code) - 0.5 - alphabet.centre


@position_of.register(Even)
def _position_of_even(alphabet, code):
    return np.float64(code) - alphabet.centre


@edge_of.register(Listed)
def _edge_of_listed(alphabet, code):
    return np.float64(alphabet.edges[np.uint64(alphabet.first + code)]) - alphabet.centre


@position_of.register(Listed)
def _position_of_listed(alphabet, code):
    return np.float64(alphabet.middles[np.uint64(alphabet.first + code)]) - alphabet.centre


@inlined
def counts_below(constants, alphabet, shares, aim, index, parts):
    """Counts of the numbers below an index into those without an escape; parts: the distribution of each component."""
    code = min((aim.first + index) << aim.shift, alphabet.size)
    distance = (edge_of(alphabet, code) - aim.position) * aim.inverse * CELLS
    total = 0.0
    for k in range(len(parts)):
        z = min(max(distance * constants.inverse[k] + MIDDLE, 0.0), LAST_CELL)
        cell = np.int64(z)
        low = constants.normal[np.uint64(cell)]
        part = low + (constants.normal[np.uint64(cell + 1)] - low) * (z - np.float64(cell))
        parts[k] = part
        total += shares[k] * part
    if index <= 0:
        return np.int64(0)
    if index >= aim.count:
        return np.int64(aim.room + aim.count)
    return min(np.int64(total * (np.float64(aim.room) / MASS)), aim.room) + index


@inlined
def learn_shares(shares, lows, highs):
    """Learn from how much of the latest code each component explains."""
    total = 0.0
    for k in range(len(shares)):
        total += shares[k] * (highs[k] - lows[k])
    if total > SURE:
        one = SHARE_RATE / total
        whole = 0.0
        for k in range(len(shares)):
            v = max(shares[k] * ((1.0 - SHARE_RATE) + (highs[k] - lows[k]) * one), LEAST_SHARE)
            shares[k] = v
            whole += v
        whole = 1.0 / whole
        for k in range(len(shares)):
            shares[k] *= whole


@generic
def code_one(coder, constants, alphabet, shares, aim, lows, highs, code):
    """Send a code (encoding), or receive and return it (decoding, where the argument is ignored); learn its shares."""


@code_one.register(RangeEncoder, inline=False)
def _code_one_encoder(coder, constants, alphabet, shares, aim, lows, highs, code):
    index = (code >> aim.shift) - aim.first
    if index < 0 or index >= aim.count:
        escapes = aim.room + aim.count
        put(coder, 0, escapes, MASS - escapes)
        put(coder, 0, code << (MASS_BITS - RAW_BITS), 1 << (MASS_BITS - RAW_BITS))
        return code
    low = counts_below(constants, alphabet, shares, aim, index, lows)
    put(coder, 0, low, counts_below(constants, alphabet, shares, aim, index + 1, highs) - low)
    learn_shares(shares, lows, highs)
    if aim.shift > 0:
        rest = MASS_BITS - aim.shift
        put(coder, 0, (code & ((1 << aim.shift) - 1)) << rest, 1 << rest)
    return code


@code_one.register(RangeDecoder, inline=False)
def _code_one_decoder(coder, constants, alphabet, shares, aim, lows, highs, code):
    wanted = target(coder, 0)
    escapes = aim.room + aim.count
    if wanted >= escapes:
        take(coder, 0, escapes, MASS - escapes)
        code = target(coder, 0) >> (MASS_BITS - RAW_BITS)
        take(coder, 0, code << (MASS_BITS - RAW_BITS), 1 << (MASS_BITS - RAW_BITS))
        return min(code, alphabet.size - 1)
    index = find(constants, alphabet, shares, aim, lows, wanted)
    low = counts_below(constants, alphabet, shares, aim, index, lows)
    take(coder, 0, low, counts_below(constants, alphabet, shares, aim, index + 1, highs) - low)
    learn_shares(shares, lows, highs)
    code = (aim.first + index) << aim.shift
    if aim.shift > 0:
        rest = MASS_BITS - aim.shift
        bits = target(coder, 0) >> rest
        take(coder, 0, bits << rest, 1 << rest)
        code |= bits
    return min(code, alphabet.size - 1)


@inlined
def find(constants, alphabet, shares, aim, parts, wanted):
    """The index whose counts hold `wanted`: a bracket about the expected code is widened, and then bisected."""
    middle = (np.int64(np.floor(aim.position + alphabet.centre + 0.5)) >> aim.shift) - aim.first
    low = min(max(middle, 0), aim.count - 1)
    high = low
    reach = np.int64(1)
    if counts_below(constants, alphabet, shares, aim, low, parts) <= wanted:
        while True:
            high = min(low + reach, aim.count)
            if high == aim.count or counts_below(constants, alphabet, shares, aim, high, parts) > wanted:
                break
            low = high
            reach *= 2
    else:
        while True:
            high = low
            low = max(high - reach, 0)
            if low == 0 or counts_below(constants, alphabet, shares, aim, low, parts) <= wanted:
                break
            reach *= 2
    while high - low > 1:
        half = (low + high) >> 1
        if counts_below(constants, alphabet, shares, aim, half, parts) <= wanted:
            low = half
        else:
            high = half
    return low

"""Which scale and shape describe a channel's errors in the fewest bits, found on samples of them."""

from __future__ import annotations

import math

import numpy as np

from spikey.codec.wide.jit import kernel
from spikey.codec.wide.shapes import COST_CELLS, REACH

RATES = np.array([1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 512, 1 / 1024], np.float32)
PAIRS = np.array([[2, 5], [1, 4], [0, 3], [3, 5], [5, 6]], np.int64)  # of rates, fast and slow
LAST_COST = REACH * COST_CELLS - 1.0
SCALES = 112  # of a channel to begin with, a quarter of an octave apart, from 1/16
SCALE_TABLE = np.array([np.float32((2.0 ** (i // 4 - 4)) * np.sqrt(np.sqrt(2.0 ** (i % 4)))) for i in range(SCALES)])
BOOSTS = 40  # of the first steps, half an octave apart
BOOST_TABLE = np.array([np.float32((2.0 ** (i // 2)) * np.sqrt(2.0 ** (i % 2))) for i in range(BOOSTS)])


@kernel
def choose_scale(errors, length, costs, rates, pairs, start):
    """Index of the pair of rates and of the shape with the lowest cost of the first `length` errors of each stretch."""
    best = 0
    lowest = 0.0
    for p in range(len(pairs)):
        cost = scale_cost(errors, length, costs[0], np.float64(rates[pairs[p, 0]]), np.float64(rates[pairs[p, 1]]), start)
        if p == 0 or cost < lowest:
            best, lowest = p, cost
    fast, slow = np.float64(rates[pairs[best, 0]]), np.float64(rates[pairs[best, 1]])
    shape = 0
    for h in range(1, costs.shape[0]):
        cost = scale_cost(errors, length, costs[h], fast, slow, start)
        if cost < lowest:
            shape, lowest = h, cost
    return best, shape


@kernel
def scale_cost(errors, length, cost, fast, slow, start):
    """1/256 bits that errors take with two rates of the scale and a shape, but for what all have in common."""
    total = np.int64(0)
    product = 1.0
    exponent = 0
    for s in range(errors.shape[0]):
        a = start
        b = start
        for t in range(length):
            e = abs(errors[s, t])
            scale = (a + b) * 0.5
            product *= scale
            if t & 15 == 15:
                product, shift = math.frexp(product)
                exponent += shift
            total += cost[np.uint64(min(e / scale * COST_CELLS, LAST_COST))]
            a = max(a + (min(e, 8 * a) - a) * fast, 1 / 16)
            b = max(b + (min(e, 8 * b) - b) * slow, 1 / 16)
    product, shift = math.frexp(product)
    return np.float64(total) + 256 * (exponent + shift + log2_of(product))


@kernel
def log2_of(value):
    """log2 to 1/1024, by squaring: the same on every machine."""
    bits = 0.0
    while value >= 2:
        value *= 0.5
        bits += 1
    while value < 1:
        value *= 2
        bits -= 1
    part = 1.0
    for _ in range(10):
        value *= value
        part *= 0.5
        if value >= 2:
            value *= 0.5
            bits += part
    return bits


@kernel
def nearest(value, table):
    """Index of the first entry of an ascending table that is not below the value divided by half a step."""
    i = 0
    while i < len(table) - 1 and table[i] * table[i + 1] < value * value:
        i += 1
    return i

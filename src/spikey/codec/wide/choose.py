"""Which scale and shape describe a channel's errors in the fewest bits, found on samples of them."""

from __future__ import annotations

import math

import numpy as np

from spikey.codec.wide.jit import kernel
from spikey.codec.wide.shapes import COST_CELLS, REACH

RATES = np.array([1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 512, 1 / 1024], np.float32)
PAIRS = np.array([[2, 5], [1, 4], [0, 3], [3, 5], [5, 6]], np.int64)  # of rates, fast and slow
LEAST = 1 / 16
LAST_COST = REACH * COST_CELLS - 1.0
SCALES = 112  # of a channel to begin with, a quarter of an octave apart, from 1/16
SCALE_TABLE = np.array([np.float32((2.0 ** (i // 4 - 4)) * np.sqrt(np.sqrt(2.0 ** (i % 4)))) for i in range(SCALES)])
BOOSTS = 40  # of the first steps, half an octave apart
BOOST_TABLE = np.array([np.float32((2.0 ** (i // 2)) * np.sqrt(2.0 ** (i % 2))) for i in range(BOOSTS)])


@kernel
def choose_scale(errors, length, costs, rates, pairs, start, scratch):
    """Index of the pair of rates and of the shape with the lowest cost of errors float64 (length, stretches).

    scratch float64 (5, stretches).
    """
    best = 0
    lowest = 0.0
    for p in range(len(pairs)):
        fast, slow = np.float64(rates[pairs[p, 0]]), np.float64(rates[pairs[p, 1]])
        cost = scale_cost(errors, length, costs[0], fast, slow, start, scratch)
        if p == 0 or cost < lowest:
            best, lowest = p, cost
    fast, slow = np.float64(rates[pairs[best, 0]]), np.float64(rates[pairs[best, 1]])
    shape = 0
    for h in range(1, costs.shape[0]):
        cost = scale_cost(errors, length, costs[h], fast, slow, start, scratch)
        if cost < lowest:
            shape, lowest = h, cost
    return best, shape


@kernel
def scale_cost(errors, length, cost, fast, slow, start, scratch):
    """1/256 bits that errors take with two rates of the scale and a shape, but for what all have in common."""
    count = errors.shape[1]
    a, b, product, places = scratch[0], scratch[1], scratch[2], scratch[3]
    for s in range(count):
        a[s] = start
        b[s] = start
        product[s] = 1.0
    total = np.int64(0)
    exponent = 0
    for t in range(length):
        row = errors[t]
        for s in range(count):
            e = row[s]
            scale = (a[s] + b[s]) * 0.5
            product[s] *= scale
            places[s] = min(e / scale * COST_CELLS, LAST_COST)
            a[s] = max(a[s] + (min(e, 8 * a[s]) - a[s]) * fast, LEAST)
            b[s] = max(b[s] + (min(e, 8 * b[s]) - b[s]) * slow, LEAST)
        for s in range(count):
            total += cost[np.uint64(places[s])]
        if t & 15 == 15 or t == length - 1:
            for s in range(count):
                product[s], shift = math.frexp(product[s])
                exponent += shift
    bits = 0.0
    for s in range(count):
        bits += log2_of(product[s])
    return np.float64(total) + 256 * (exponent + bits)


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

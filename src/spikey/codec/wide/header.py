"""The numbers of a group's channels: what was chosen for each, coded as differences to the channel before."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.fit import COARSEST, FINEST, LAGS, LARGEST, SIZE
from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.numbers import (
    CELLS,
    finish_writing,
    put_bit,
    put_number,
    put_signed,
    start_reading,
    start_writing,
    take_bit,
    take_number,
    take_signed,
)

F32, I64 = np.float32, np.int64
CONTEXTS = 48
MOST_ORDER = 32
PROFILE = np.array([0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4], np.int64)  # which boost each first step has
START_UNITS = 16  # of the weight of the first step
MOST_START = 64
MOST_CENTRE = 1 << 20  # as many as there are codes
KIND, CENTRE, ORDER, NEAR, BITS, SCALE, PAIR, SHAPE, EXTEND, START, LEVEL, REF0, BOOST0, COLUMNS = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 20,
)  # fmt: skip
CONSTANT, EVEN, LISTED = 0, 1, 2
C_KIND, C_CENTRE, C_ORDER, C_NEAR, C_REF, C_BITS, C_SCALE, C_PAIR, C_SHAPE, C_EXTEND, C_START = range(11)  # contexts
C_BOOST, C_OWN, C_OTHER, C_LEVEL = 11, 16, 32, 44  # the first of five, sixteen and twelve, and one


@inlined
def expected(previous, old, slot, own, bits):
    """A weight of the previous channel, in this one's units: its own ones, then those of others. None is larger than a
    weight can be, as finer units might make it, so that what is coded is no larger than numbers can be.
    """
    before = old[ORDER] * 8
    if own:
        v = previous[slot] if slot < before else 0.0
    else:
        v = previous[before + slot] if slot < LAGS * old[NEAR] else 0.0
    shift = bits - old[BITS]
    if shift >= 0:
        return min(max(I64(v) << shift, I64(-LARGEST)), I64(LARGEST))
    return (I64(v) + (I64(1) << (-shift - 1))) >> -shift


@kernel
def write_numbers(numbers, stored, out):
    coder = np.zeros(4, np.int64)
    chances = np.zeros((CONTEXTS, CELLS), np.uint16)
    start_writing(coder, chances)
    old = np.zeros(COLUMNS, np.int64)
    previous = np.zeros(SIZE)
    centre = I64(0)
    for p in range(len(numbers)):
        row = numbers[p]
        put_bit(I64(row[KIND] == CONSTANT), chances, I64(C_KIND), I64(0), coder, out)
        put_number(row[LEVEL], chances, I64(C_LEVEL), coder, out)
        put_signed(row[CENTRE] - centre, chances, I64(C_CENTRE), coder, out)
        centre = row[CENTRE]
        if row[KIND] == CONSTANT:
            continue
        put_number(row[ORDER], chances, I64(C_ORDER), coder, out)
        put_number(row[NEAR], chances, I64(C_NEAR), coder, out)
        for k in range(row[NEAR]):
            put_number(p - 1 - row[REF0 + k], chances, I64(C_REF), coder, out)
        put_signed(row[BITS] - old[BITS], chances, I64(C_BITS), coder, out)
        put_signed(row[SCALE] - old[SCALE], chances, I64(C_SCALE), coder, out)
        put_number(row[PAIR], chances, I64(C_PAIR), coder, out)
        put_number(row[SHAPE], chances, I64(C_SHAPE), coder, out)
        put_bit(row[EXTEND], chances, I64(C_EXTEND), I64(0), coder, out)
        if row[EXTEND]:
            put_signed(row[START] - old[START], chances, I64(C_START), coder, out)
        for b in range(5):
            put_signed(row[BOOST0 + b] - old[BOOST0 + b], chances, I64(C_BOOST + b), coder, out)
        for c in range(row[ORDER] * 8):
            put_signed(
                I64(stored[p, c]) - expected(previous, old, c, True, row[BITS]),
                chances,
                I64(C_OWN + min(c, 15)),
                coder,
                out,
            )
        for c in range(row[NEAR] * LAGS):
            put_signed(
                I64(stored[p, row[ORDER] * 8 + c]) - expected(previous, old, c, False, row[BITS]),
                chances,
                C_OTHER + c,
                coder,
                out,
            )
        old[:] = row
        previous[:] = stored[p]
    return finish_writing(coder, out)


@kernel
def read_numbers(data, kinds, limits, numbers, stored):
    """Fill numbers and stored weights; False for what no encoder writes. kinds: of each level description."""
    coder = np.zeros(4, np.int64)
    chances = np.zeros((CONTEXTS, CELLS), np.uint16)
    start_reading(coder, chances, data)
    old = np.zeros(COLUMNS, np.int64)
    previous = np.zeros(SIZE)
    centre = I64(0)
    for p in range(len(numbers)):
        row = numbers[p]
        constant = take_bit(chances, I64(C_KIND), I64(0), coder, data)
        row[LEVEL] = take_number(chances, I64(C_LEVEL), coder, data)
        if row[LEVEL] >= len(kinds):
            return False
        row[KIND] = CONSTANT if constant else kinds[row[LEVEL]]
        centre += take_signed(chances, I64(C_CENTRE), coder, data)
        row[CENTRE] = centre
        if abs(centre) > MOST_CENTRE:
            return False
        if constant:
            continue
        row[ORDER] = take_number(chances, I64(C_ORDER), coder, data)
        row[NEAR] = take_number(chances, I64(C_NEAR), coder, data)
        if row[ORDER] * 8 > MOST_ORDER or row[NEAR] > 4:
            return False
        for k in range(row[NEAR]):
            other = p - 1 - take_number(chances, I64(C_REF), coder, data)
            if other < 0 or numbers[other, KIND] == CONSTANT:
                return False
            row[REF0 + k] = other
        row[BITS] = old[BITS] + take_signed(chances, I64(C_BITS), coder, data)
        row[SCALE] = old[SCALE] + take_signed(chances, I64(C_SCALE), coder, data)
        row[PAIR] = take_number(chances, I64(C_PAIR), coder, data)
        row[SHAPE] = take_number(chances, I64(C_SHAPE), coder, data)
        row[EXTEND] = take_bit(chances, I64(C_EXTEND), I64(0), coder, data)
        if not COARSEST <= row[BITS] <= FINEST or not 0 <= row[SCALE] < limits[0]:
            return False
        if row[PAIR] >= limits[1] or row[SHAPE] >= limits[2]:
            return False
        if row[EXTEND]:
            row[START] = old[START] + take_signed(chances, I64(C_START), coder, data)
            if abs(row[START]) > MOST_START:
                return False
        for b in range(5):
            row[BOOST0 + b] = old[BOOST0 + b] + take_signed(chances, I64(C_BOOST + b), coder, data)
            if not 0 <= row[BOOST0 + b] < limits[3]:
                return False
        own = row[ORDER] * 8
        for c in range(own + row[NEAR] * LAGS):
            if c < own:
                v = take_signed(chances, I64(C_OWN + min(c, 15)), coder, data) + expected(
                    previous, old, c, True, row[BITS]
                )
            else:
                v = take_signed(chances, I64(C_OTHER + c - own), coder, data) + expected(
                    previous, old, c - own, False, row[BITS]
                )
            if abs(v) > LARGEST:
                return False
            stored[p, c] = v
        old[:] = row
        previous[:] = stored[p]
    return True


@kernel
def unpack_weights(row, stored, own, weights):
    """A channel's weights from its numbers."""
    one = F32(1 << row[BITS])
    order = row[ORDER] * 8
    for c in range(order):
        own[c] = F32(stored[c]) / one
    for k in range(row[NEAR]):
        for q in range(LAGS):
            weights[k, q] = F32(stored[order + LAGS * k + q]) / one

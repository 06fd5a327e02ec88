"""Small integers, coded with adaptive binary probabilities: what the header of a group consists of.

A binary range coder: range 32 bits, probabilities 12 bits, a byte out at a time. Numbers are Exp-Golomb codes whose
prefix and first bit are adaptive in one of CONTEXTS contexts and whose other bits are even.
"""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import called, inlined

PROBABILITY_BITS = 12
ADAPTATION = 4
PREFIX = 26  # bits of a number's magnitude, at most 25
CELLS = PREFIX + 12  # probabilities of a context
U64 = np.uint64
LOW, RANGE, AT, PENDING = range(4)  # of a coder's state, int64


@inlined
def start_writing(coder, chances):
    coder[LOW] = 0
    coder[RANGE] = 0xFFFFFFFF
    coder[AT] = 0
    chances[:] = 1 << (PROBABILITY_BITS - 1)


@called
def _put(bit, bound, coder, out):
    """Take the lower part of the range, of size bound, for a one."""
    if bit:
        coder[RANGE] = bound
    else:
        coder[LOW] += bound
        coder[RANGE] -= bound
    if coder[LOW] >> 32:
        coder[LOW] &= 0xFFFFFFFF
        at = coder[AT] - 1
        while out[at] == 255:
            out[at] = 0
            at -= 1
        out[at] += 1
    while coder[RANGE] < 1 << 24:
        out[coder[AT]] = coder[LOW] >> 24
        coder[AT] += 1
        coder[LOW] = (coder[LOW] << 8) & 0xFFFFFFFF
        coder[RANGE] <<= 8


@called
def put_bit(bit, chances, context, index, coder, out):
    p = np.int64(chances[context, index])
    _put(bit, (coder[RANGE] >> PROBABILITY_BITS) * p, coder, out)
    chances[context, index] = p + (((1 << PROBABILITY_BITS) - p) >> ADAPTATION) if bit else p - (p >> ADAPTATION)


@called
def put_number(value, chances, context, coder, out):
    """A number from 0 to 2^25 - 2."""
    v = value + 1
    count = np.int64(0)
    while v >> (count + 1):
        count += 1
    for i in range(count):
        put_bit(np.int64(1), chances, context, i, coder, out)
    put_bit(np.int64(0), chances, context, count, coder, out)
    for i in range(count - 1, -1, -1):
        bit = (v >> i) & 1
        if i == count - 1:
            put_bit(bit, chances, context, PREFIX + (count if count < 11 else 11), coder, out)
        else:
            _put(bit, coder[RANGE] >> 1, coder, out)


@called
def put_signed(value, chances, context, coder, out):
    put_number((value << 1) ^ (value >> 63), chances, context, coder, out)


@inlined
def finish_writing(coder, out):
    """The number of bytes; those that are missing read as zeros."""
    # The value of the range with the most zeros at its end.
    low, high = coder[LOW], coder[LOW] + coder[RANGE] - 1
    for keep in range(4):
        mask = (1 << (32 - 8 * keep)) - 1
        value = (low + mask) & ~mask
        if value <= high:
            if value >> 32:
                value &= 0xFFFFFFFF
                at = coder[AT] - 1
                while out[at] == 255:
                    out[at] = 0
                    at -= 1
                out[at] += 1
            for i in range(keep):
                out[coder[AT]] = (value >> (24 - 8 * i)) & 255
                coder[AT] += 1
            break
    else:
        for i in range(4):
            out[coder[AT]] = (low >> (24 - 8 * i)) & 255
            coder[AT] += 1
    n = coder[AT]
    while n and out[n - 1] == 0:
        n -= 1
    return n


@inlined
def start_reading(coder, chances, data):
    coder[LOW] = 0
    coder[RANGE] = 0xFFFFFFFF
    coder[AT] = 0
    chances[:] = 1 << (PROBABILITY_BITS - 1)
    for _ in range(4):
        _next(coder, data)


@inlined
def _next(coder, data):
    byte = np.int64(data[coder[AT]]) if coder[AT] < len(data) else 0
    coder[AT] += 1
    coder[LOW] = ((coder[LOW] << 8) | byte) & 0xFFFFFFFF


@called
def _take(bound, coder, data):
    """LOW is the value's distance from the range's begin."""
    if coder[LOW] < bound:
        coder[RANGE] = bound
        bit = 1
    else:
        coder[LOW] -= bound
        coder[RANGE] -= bound
        bit = 0
    while coder[RANGE] < 1 << 24:
        coder[RANGE] <<= 8
        _next(coder, data)
    return bit


@called
def take_bit(chances, context, index, coder, data):
    p = np.int64(chances[context, index])
    bit = _take((coder[RANGE] >> PROBABILITY_BITS) * p, coder, data)
    chances[context, index] = p + (((1 << PROBABILITY_BITS) - p) >> ADAPTATION) if bit else p - (p >> ADAPTATION)
    return bit


@called
def take_number(chances, context, coder, data):
    count = np.int64(0)
    while count < PREFIX - 1 and take_bit(chances, context, count, coder, data):
        count += 1
    v = np.int64(1)
    for i in range(count - 1, -1, -1):
        if i == count - 1:
            v = (v << 1) | take_bit(chances, context, PREFIX + (count if count < 11 else 11), coder, data)
        else:
            v = (v << 1) | _take(coder[RANGE] >> 1, coder, data)
    return v - 1


@called
def take_signed(chances, context, coder, data):
    value = take_number(chances, context, coder, data)
    return (value >> 1) ^ -(value & 1)

"""One channel in lockstep lanes: prediction, scale and counts of every sample; both directions share all arithmetic.

Arrays of rows have a row for each step and a column for each lane. Positions are float32, in codes from the channel's
centre; HISTORY rows before a channel's first step stand for its past. float32 arithmetic is + - * / in the order
written, which every machine does alike.
"""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import inlined
from spikey.codec.wide.shapes import CELLS, MASS_BITS, QUANTILE_BITS, REACH

F32, I32 = np.float32, np.int32
HISTORY = 32  # rows before the first
STARTING = 16  # steps that have a scale of their own
MIDDLE = F32(REACH * CELLS)
TOP = F32(2 * REACH * CELLS)
PER_ERROR = F32(CELLS)
HALF, ZERO, ONE, CLIP = F32(0.5), F32(0), F32(1), F32(8)
LEAST, MOST = F32(1 / 16), F32(1 << 20)  # of a scale, codes
FARTHEST = F32(1 << 22)  # of a position
QUANTILE_SHIFT = MASS_BITS - QUANTILE_BITS
EVEN_BITS, LISTED_BITS = 3, 6  # log2 of the scale up to which codes are modelled singly
BIAS, EXPONENT = 127, 23  # of a float32
MU, FAST, SLOW, SCALE, PER, UNIT, INVERSE, POSITION = range(8)  # rows of the float scratch
LO, HI, SLOT, BASE, SHIFT, CODE = range(6)  # rows of the integer scratch


@inlined
def predict(lanes, all_rows, rows, t, order, own, near, weights, f):
    """Row MU: the predictions of step t, from `order` own steps before it and steps t - 1 to t + 1 of others."""
    for lane in range(len(lanes)):
        f[MU, lane] = ZERO
    for k in range(0, order, 8):
        w0, w1, w2, w3 = own[k], own[k + 1], own[k + 2], own[k + 3]
        w4, w5, w6, w7 = own[k + 4], own[k + 5], own[k + 6], own[k + 7]
        r = t + HISTORY - 1 - k
        r0, r1, r2, r3 = rows[r], rows[r - 1], rows[r - 2], rows[r - 3]
        r4, r5, r6, r7 = rows[r - 4], rows[r - 5], rows[r - 6], rows[r - 7]
        for lane in range(len(lanes)):
            f[MU, lane] += ((w0 * r0[lane] + w1 * r1[lane]) + (w2 * r2[lane] + w3 * r3[lane])) + (
                (w4 * r4[lane] + w5 * r5[lane]) + (w6 * r6[lane] + w7 * r7[lane])
            )
    for k in range(len(near)):
        a, b, c = weights[k, 0], weights[k, 1], weights[k, 2]
        n = all_rows[near[k]]
        r0, r1, r2 = n[t + HISTORY - 1], n[t + HISTORY], n[t + HISTORY + 1]
        for lane in range(len(lanes)):
            f[MU, lane] += a * r0[lane] + (b * r1[lane] + c * r2[lane])


@inlined
def begin(lanes, all_rows, rows, own, near, start_weight, extend, weights, f):
    """Row MU of the first step, which has no past."""
    if extend:
        for lane in range(len(lanes)):
            f[MU, lane] = ZERO
        if len(near):
            n = all_rows[near[0], HISTORY]
            for lane in range(len(lanes)):
                f[MU, lane] = start_weight * n[lane]
    else:
        predict(lanes, all_rows, rows, 0, 0, own, near, weights, f)


@inlined
def spread(lanes, boost, bits, f, fi, i):
    """Rows SCALE, PER, UNIT, INVERSE and SHIFT: the scale, and how many low bits are coded evenly because of it."""
    for lane in range(len(lanes)):
        s = min(max((f[FAST, lane] + f[SLOW, lane]) * HALF * boost, LEAST), MOST)
        m = min(max(f[MU, lane], -FARTHEST), FARTHEST)
        f[MU, lane] = m
        f[SCALE, lane] = s
        f[PER, lane] = PER_ERROR / s
    for lane in range(len(lanes)):
        k = min(max(I32(fi[SCALE, lane] >> EXPONENT) - I32(BIAS + bits), I32(0)), I32(MASS_BITS))
        i[SHIFT, lane] = k
        fi[UNIT, lane] = I32((k + I32(BIAS)) << EXPONENT)
        fi[INVERSE, lane] = I32((I32(BIAS) - k) << EXPONENT)


@inlined
def cell(position, per):
    """Index into the counts."""
    return I32(min(max(position * per + MIDDLE, ZERO), TOP))


@inlined
def update(lanes, row, less, fast, slow, f):
    """Take in the errors of a step."""
    for lane in range(len(lanes)):
        e = abs(row[lane] - f[MU, lane]) * less
        a = f[FAST, lane]
        b = f[SLOW, lane]
        f[FAST, lane] = max(a + (min(e, CLIP * a) - a) * fast, LEAST)
        f[SLOW, lane] = max(b + (min(e, CLIP * b) - b) * slow, LEAST)


@inlined
def extend_back(lanes, rows):
    """Let the past of a channel be its first step."""
    first = rows[HISTORY]
    for h in range(HISTORY):
        row = rows[h]
        for lane in range(len(lanes)):
            row[lane] = first[lane]


@inlined
def centre_of(lane, edges, f, k):
    """The coarse code that escapes are counted from."""
    if edges is None:
        return I32(np.floor((f[MU, lane] + HALF) * f[INVERSE, lane]))
    return I32(locate(f[MU, lane], edges) >> k)


@inlined
def locate(position, edges):
    """The code whose bin has a position, by bisection."""
    low = 0
    high = len(edges) - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if edges[middle] <= position:
            low = middle
        else:
            high = middle
    return I32(low)

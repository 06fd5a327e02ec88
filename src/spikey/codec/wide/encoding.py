"""The encoder's half of a channel: the counts of every sample forward in time, then the samples backward."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.lanes import (
    EVEN_BITS,
    FAST,
    HALF,
    HI,
    HISTORY,
    INVERSE,
    LISTED_BITS,
    LO,
    MU,
    ONE,
    PER,
    SHIFT,
    SLOW,
    STARTING,
    UNIT,
    begin,
    cell,
    centre_of,
    extend_back,
    predict,
    spread,
    update,
)
from spikey.codec.wide.rans import put_bits, put_row
from spikey.codec.wide.shapes import MASS, MASS_BITS

I32, U32 = np.int32, np.uint32


@kernel
def model(
    lanes,
    frames,
    all_rows,
    rows,
    codes,
    edges,
    counts,
    order,
    own,
    near,
    weights,
    start_weight,
    extend,
    boosts,
    scale,
    fast,
    slow,
    start,
    freq,
    low_start,
    low_freq,
    escapes,
    flags,
    f,
    fi,
    i,
):
    """The counts of every sample of a channel, forward in time."""
    width = len(lanes)
    steps = (frames + width - 1) // width
    bits = EVEN_BITS if edges is None else LISTED_BITS
    for lane in range(len(lanes)):
        f[FAST, lane] = scale
        f[SLOW, lane] = scale
    for t in range(steps):
        boost = boosts[min(t, STARTING)]
        if t == 0:
            begin(lanes, all_rows, rows, own, near, start_weight, extend, weights, f)
        else:
            predict(lanes, all_rows, rows, t, order, own, near, weights, f)
        spread(lanes, boost, bits, f, fi, i)
        row = rows[t + HISTORY]
        if edges is None:
            for lane in range(len(lanes)):
                b = np.floor(row[lane] * f[INVERSE, lane])
                unit = f[UNIT, lane]
                lo = b * unit - HALF - f[MU, lane]
                hi = (b + ONE) * unit - HALF - f[MU, lane]
                i[LO, lane] = cell(lo, f[PER, lane])
                i[HI, lane] = cell(hi, f[PER, lane])
        else:
            ct = codes[t]
            last = I32(len(edges) - 1)
            coarse = I32(0)
            for lane in range(len(lanes)):
                coarse += i[SHIFT, lane]
            if coarse == 0:
                for lane in range(len(lanes)):
                    i[LO, lane] = cell(edges[U32(ct[lane])] - f[MU, lane], f[PER, lane])
                for lane in range(len(lanes)):
                    i[HI, lane] = cell(edges[U32(ct[lane] + I32(1))] - f[MU, lane], f[PER, lane])
            else:
                for lane in range(len(lanes)):
                    k = i[SHIFT, lane]
                    b = I32(ct[lane] >> k)
                    i[LO, lane] = cell(edges[U32(I32(b << k))] - f[MU, lane], f[PER, lane])
                    i[HI, lane] = cell(edges[U32(min(I32((b + I32(1)) << k), last))] - f[MU, lane], f[PER, lane])
        st = start[t]
        fr = freq[t]
        zero = I32(0)
        wide = I32(0)
        for lane in range(len(lanes)):
            a = counts[U32(i[LO, lane])]
            b = counts[U32(i[HI, lane])]
            st[lane] = a
            fr[lane] = b - a
        for lane in range(len(lanes)):
            zero += I32(fr[lane] == 0)
            wide += i[SHIFT, lane]
        flag = 0
        active = min(width, frames - t * width)
        if active < width:
            for lane in range(active, width):
                st[lane] = 0
                fr[lane] = MASS
                i[SHIFT, lane] = 0
        if wide:
            flag = 1
            for lane in range(len(lanes)):
                k = i[SHIFT, lane]
                x = I32(row[lane]) if edges is None else codes[t, lane]
                rest = I32(I32(MASS_BITS) - k)
                low_freq[t, lane] = I32(1) << rest
                low_start[t, lane] = I32(x & I32((I32(1) << k) - I32(1))) << rest
        if zero:
            flag |= 2
            for lane in range(active):
                if fr[lane] == 0:
                    k = i[SHIFT, lane]
                    x = I32(row[lane]) if edges is None else codes[t, lane]
                    escapes[t, lane] = I32(x >> k) - centre_of(lane, edges, f, k)
        flags[t] = flag
        update(lanes, row, ONE / boost, fast, slow, f)
        if t == 0 and extend:
            extend_back(lanes, rows)


@inlined
def zigzag(value):
    return U32((U32(value) << U32(1)) ^ U32(I32(value) >> 31))


@inlined
def put_escape(value, lane, state, words, at):
    """A number of any size: five bits for how long it is, then its bits; last ones first, as all is coded backwards."""
    z = zigzag(value)
    count = 0
    while z >> U32(count):
        count += 1
    if count > 14:
        at = put_bits(U32(z & U32(16383)), 14, lane, state, words, at)
        at = put_bits(U32(z >> U32(14)), count - 14, lane, state, words, at)
    elif count:
        at = put_bits(z, count, lane, state, words, at)
    return put_bits(U32(count), 5, lane, state, words, at)


@kernel
def pack(lanes, steps, start, freq, low_start, low_freq, escapes, flags, reserved, state, words, at, word, flag):
    """Code a channel's samples, the last first; where the words now begin."""
    width = len(lanes)
    for t in range(steps - 1, -1, -1):
        if flags[t]:
            if flags[t] & 1:
                at = put_row(lanes, low_start[t], low_freq[t], state, words, at, word, flag)
            if flags[t] & 2:
                for lane in range(width - 1, -1, -1):
                    if freq[t, lane] == 0:
                        at = put_escape(escapes[t, lane], lane, state, words, at)
                        start[t, lane] = MASS - reserved
                        freq[t, lane] = reserved
        at = put_row(lanes, start[t], freq[t], state, words, at, word, flag)
    return at

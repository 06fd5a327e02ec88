"""One channel in lockstep lanes: prediction, scale and counts of every sample; both directions share all arithmetic.

Arrays of rows have a row for each step and a column for each lane. Positions are float32, in codes from the channel's
centre; HISTORY rows before a channel's first step stand for its past. float32 arithmetic is + - * / in the order
written, which every machine does alike.
"""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.rans import MASK, put_bits, put_row, take_bits, take_row
from spikey.codec.wide.shapes import CELLS, MASS, MASS_BITS, QUANTILE_BITS, REACH

F32, I32, U32, U16 = np.float32, np.int32, np.uint32, np.uint16
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


@inlined
def take_escape(lane, state, words, at):
    count, at = take_bits(5, lane, state, words, at)
    z = U32(0)
    if count > 28:
        count = U32(28)
    if count > 14:
        high, at = take_bits(count - U32(14), lane, state, words, at)
        low, at = take_bits(14, lane, state, words, at)
        z = U32(U32(high << U32(14)) | low)
    elif count:
        z, at = take_bits(count, lane, state, words, at)
    return I32(U32(z >> U32(1)) ^ U32(-I32(z & U32(1)))), at


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


@kernel
def unpack(
    lanes,
    frames,
    words,
    at,
    state,
    all_rows,
    rows,
    codes,
    edges,
    middles,
    located,
    counts,
    quantiles,
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
    f,
    fi,
    i,
):
    """Decode a channel; where the next word is. Words that are missing are for the caller to notice: `at` is too large."""
    width = len(lanes)
    steps = (frames + width - 1) // width
    bits = EVEN_BITS if edges is None else LISTED_BITS
    top = I32(counts[len(counts) - 1])
    end = len(words) - 8 * width
    for lane in range(len(lanes)):
        f[FAST, lane] = scale
        f[SLOW, lane] = scale
    for t in range(steps):
        if at > end:
            return -1
        boost = boosts[min(t, STARTING)]
        for lane in range(len(lanes)):
            i[SLOT, lane] = I32(state[lane] & MASK)
        for lane in range(len(lanes)):
            f[POSITION, lane] = quantiles[U32(i[SLOT, lane] >> QUANTILE_SHIFT)]
        if t == 0:
            begin(lanes, all_rows, rows, own, near, start_weight, extend, weights, f)
        else:
            predict(lanes, all_rows, rows, t, order, own, near, weights, f)
        spread(lanes, boost, bits, f, fi, i)
        if edges is None:
            for lane in range(len(lanes)):
                unit = f[UNIT, lane]
                b = np.floor((f[MU, lane] + f[POSITION, lane] * f[SCALE, lane] + HALF) * f[INVERSE, lane])
                f[POSITION, lane] = b
                i[LO, lane] = cell(b * unit - HALF - f[MU, lane], f[PER, lane])
                i[HI, lane] = cell((b + ONE) * unit - HALF - f[MU, lane], f[PER, lane])
        else:
            last = I32(len(edges) - 1)
            ends = F32(len(located) - 1)
            for lane in range(len(lanes)):
                y = f[MU, lane] + f[POSITION, lane] * f[SCALE, lane]
                f[POSITION, lane] = y
                i[CODE, lane] = I32(min(max((y - located_from(edges)) * F32(4), ZERO), ends))
            for lane in range(len(lanes)):
                i[CODE, lane] = located[U32(i[CODE, lane])]
            for lane in range(len(lanes)):
                c = i[CODE, lane]
                c += I32(f[POSITION, lane] >= edges[U32(c + I32(1))])
                k = i[SHIFT, lane]
                b = I32(min(c, last - I32(1)) >> k)
                i[BASE, lane] = b
                i[LO, lane] = cell(edges[U32(I32(b << k))] - f[MU, lane], f[PER, lane])
                i[HI, lane] = cell(edges[U32(min(I32((b + I32(1)) << k), last))] - f[MU, lane], f[PER, lane])
        for lane in range(len(lanes)):
            i[LO, lane] = counts[U32(i[LO, lane])]
            i[HI, lane] = counts[U32(i[HI, lane])]
        active = min(width, frames - t * width)
        if active < width:
            for lane in range(active, width):
                i[LO, lane] = 0
                i[HI, lane] = MASS
                i[SHIFT, lane] = 0
        wrong = I32(0)
        wide = I32(0)
        for lane in range(len(lanes)):
            wrong += I32((i[SLOT, lane] < i[LO, lane]) | (i[SLOT, lane] >= i[HI, lane]))
            wide += i[SHIFT, lane]
        escaped = False
        if wrong:
            for lane in range(active):
                s = i[SLOT, lane]
                if s >= top:
                    escaped = True
                    i[LO, lane] = top
                    i[HI, lane] = MASS
                elif s < i[LO, lane] or s >= i[HI, lane]:
                    mend(lane, s, edges, counts, f, i)
        for lane in range(len(lanes)):
            x = state[lane]
            state[lane] = U32(U32(i[HI, lane] - i[LO, lane]) * U32(x >> U32(MASS_BITS))) + U32(
                i[SLOT, lane] - i[LO, lane]
            )
        at = take_row(lanes, words, at, state)
        if escaped:
            for lane in range(active):
                if i[SLOT, lane] >= top:
                    value, at = take_escape(lane, state, words, at)
                    base = centre_of(lane, edges, f, i[SHIFT, lane]) + value
                    f[POSITION, lane] = F32(base)
                    i[BASE, lane] = base
        row = rows[t + HISTORY]
        if edges is None:
            for lane in range(len(lanes)):
                row[lane] = min(max(f[POSITION, lane] * f[UNIT, lane], -FARTHEST), FARTHEST)
            if wide:
                at = take_lows(lanes, words, at, state, i)
                for lane in range(len(lanes)):
                    row[lane] += F32(i[BASE, lane])
        else:
            ct = codes[t]
            last = I32(len(edges) - 2)
            for lane in range(len(lanes)):
                ct[lane] = I32(i[BASE, lane] << i[SHIFT, lane])
            if wide:
                at = take_lows(lanes, words, at, state, i)
                for lane in range(len(lanes)):
                    ct[lane] |= i[BASE, lane]
            for lane in range(len(lanes)):
                ct[lane] = min(max(ct[lane], I32(0)), last)
            for lane in range(len(lanes)):
                row[lane] = middles[U32(ct[lane])]
        update(lanes, row, ONE / boost, fast, slow, f)
        if active < width:
            # A lane without frames is like its channel's centre to channels that look at it.
            for lane in range(active, width):
                row[lane] = ZERO
        if t == 0 and extend:
            extend_back(lanes, rows)
    return at


@inlined
def take_lows(lanes, words, at, state, i):
    """Row BASE: the low bits of a step, and where the next word is."""
    for lane in range(len(lanes)):
        x = state[lane]
        rest = U32(I32(MASS_BITS) - i[SHIFT, lane])
        slot = U32(x & MASK)
        i[BASE, lane] = I32(slot >> rest)
        state[lane] = U32(U32(x >> U32(MASS_BITS)) << rest) + U32(slot & U32(U32(U32(1) << rest) - U32(1)))
    return take_row(lanes, words, at, state)


@inlined
def located_from(edges):
    """Where the table of located codes begins."""
    return edges[1] - ONE


@inlined
def mend(lane, s, edges, counts, f, i):
    """Find the code of a slot that the guess missed."""
    mu = f[MU, lane]
    per = f[PER, lane]
    if edges is None:
        unit = f[UNIT, lane]
        b = f[POSITION, lane]
        lo = i[LO, lane]
        hi = i[HI, lane]
        while lo > s:
            hi = lo
            b -= ONE
            lo = I32(counts[U32(cell(b * unit - HALF - mu, per))])
        while hi <= s:
            lo = hi
            b += ONE
            hi = I32(counts[U32(cell((b + ONE) * unit - HALF - mu, per))])
        f[POSITION, lane] = b
        i[LO, lane] = lo
        i[HI, lane] = hi
    else:
        k = i[SHIFT, lane]
        last = I32(len(edges) - 1)
        low = I32(0)
        high = I32(((last - I32(1)) >> k) + I32(1))
        while high - low > 1:
            middle = I32((low + high) >> 1)
            if I32(counts[U32(cell(edges[U32(min(I32(middle << k), last))] - mu, per))]) <= s:
                low = middle
            else:
                high = middle
        i[BASE, lane] = low
        i[LO, lane] = I32(counts[U32(cell(edges[U32(I32(low << k))] - mu, per))])
        i[HI, lane] = I32(counts[U32(cell(edges[U32(min(I32((low + 1) << k), last))] - mu, per))])

"""The decoder's half of a channel: one step of all lanes after another."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.lanes import (
    BASE,
    CODE,
    EVEN_BITS,
    FARTHEST,
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
    POSITION,
    QUANTILE_SHIFT,
    SCALE,
    SHIFT,
    SLOT,
    SLOW,
    STARTING,
    UNIT,
    ZERO,
    begin,
    cell,
    centre_of,
    extend_back,
    predict,
    spread,
    update,
)
from spikey.codec.wide.rans import MASK, take_bits, take_row
from spikey.codec.wide.shapes import MASS, MASS_BITS

F32, I32, U32 = np.float32, np.int32, np.uint32
NEAR_BY = 12  # codes from a guess, beyond which bisection is faster


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
    """Decode a channel; where the next word is, or -1 where words are missing."""
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
        low = i[BASE, lane]
        lo = i[LO, lane]
        hi = i[HI, lane]
        steps = 0
        while lo > s and low > 0 and steps < NEAR_BY:
            hi = lo
            low -= I32(1)
            lo = I32(counts[U32(cell(edges[U32(I32(low << k))] - mu, per))])
            steps += 1
        while hi <= s and I32((low + 1) << k) < last and steps < NEAR_BY:
            lo = hi
            low += I32(1)
            hi = I32(counts[U32(cell(edges[U32(min(I32((low + 1) << k), last))] - mu, per))])
            steps += 1
        if lo <= s < hi:
            i[BASE, lane] = low
            i[LO, lane] = lo
            i[HI, lane] = hi
            return
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

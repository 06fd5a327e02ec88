"""A group of channels to bytes and back: parameters chosen channel by channel, then every sample coded."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.choose import choose_scale, log2_of, nearest
from spikey.codec.wide.fit import (
    COARSEST,
    FINEST,
    LAGS,
    LARGEST,
    MARGIN,
    SIZE,
    TAIL,
    USUAL_TAILS,
    back_substitute,
    factorise,
    fraction_bits,
    gram,
    local_weights,
    residual,
    round_weights,
    weighted_gram,
)
from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.lanes import HISTORY, STARTING, begin, extend_back, model, pack, predict, unpack
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
from spikey.codec.wide.rans import LOWEST
from spikey.codec.wide.shapes import MASS

F32, I32, I64, U16, U32 = np.float32, np.int32, np.int64, np.uint16, np.uint32
CONTEXTS = 48
MOST_ORDER = 32
SCRATCH = 8
CHOSEN_FROM = 128  # errors of each stretch by which scale and shape are chosen
PROFILE = np.array([0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4], np.int64)  # which boost each first step has
KIND, CENTRE, ORDER, NEAR, BITS, SCALE, PAIR, SHAPE, EXTEND, START, LEVEL, REF0, BOOST0, COLUMNS = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 20,
)  # fmt: skip
CONSTANT, EVEN, LISTED = 0, 1, 2
WEIGHTED = 2  # rounds of weighted least squares
FEW = 16  # channels that are worth more time each
START_UNITS = 16  # of the weight of the first step
MOST_START = 64
MOST_CENTRE = 1 << 20  # as many as there are codes
NARROW, LOW = 128, 1 << 30  # steps and sums up to which samples fit into int32 on the way


@kernel
def fill(lanes, samples, channels, offsets, steps, exact, rows):
    """rows float32 (channels, HISTORY + steps + 2, lanes): positions of samples (frames, all channels) in lanes.

    A sample's position is (sample - offset) / step, a whole number. exact: whether differences are less than 2^24.
    """
    width = len(lanes)
    frames = samples.shape[0]
    full = frames // width
    rem = frames - full * width
    for p in range(len(channels)):
        rows[p, :HISTORY] = 0
        rows[p, HISTORY + full :] = 0
    firsts = np.empty(width, np.uint64)
    for lane in range(width):
        firsts[lane] = lane * full + min(lane, rem)
    for r in range(full):
        for p in range(len(channels)):
            c = np.uint64(channels[p])
            row = rows[p, HISTORY + r]
            if exact:
                offset = I32(offsets[p])
                for lane in range(len(lanes)):
                    row[lane] = F32(I32(samples[firsts[lane] + np.uint64(r), c]) - offset)
                if steps[p] > 1:
                    inverse = F32(1) / F32(steps[p])
                    for lane in range(len(lanes)):
                        row[lane] = np.floor(row[lane] * inverse + F32(0.5))
            else:
                for lane in range(len(lanes)):
                    v = np.float64(I64(samples[firsts[lane] + np.uint64(r), c]) - offsets[p]) / np.float64(steps[p])
                    row[lane] = F32(np.floor(v + 0.5))
    for p in range(len(channels)):
        for lane in range(rem):
            v = np.float64(I64(samples[lane * full + lane + full, channels[p]]) - offsets[p]) / np.float64(steps[p])
            rows[p, HISTORY + full, lane] = F32(np.floor(v + 0.5))
        bound(lanes, frames, rows[p])


@inlined
def bound(lanes, frames, rows):
    """After each lane's last step put the first of the next lane, which others look at; 0 where that has no steps."""
    width = len(lanes)
    full = frames // width
    rem = frames - full * width
    if full == 0:
        for lane in range(rem, width):
            rows[HISTORY, lane] = 0
    for lane in range(width if full else rem):
        r = HISTORY + full + (lane < rem)
        if lane + 1 < width:
            rows[r, lane] = rows[HISTORY, lane + 1]
        else:
            rows[r, lane] = rows[r - 1, lane]


@kernel
def centre(stretches, length, centres, listed):
    """Whole means of the stretches; subtracted but from those of listed channels."""
    many = stretches.shape[1]
    for p in range(len(stretches)):
        total = 0.0
        for s in range(many):
            for j in range(MARGIN, MARGIN + length):
                total += stretches[p, s, j]
        centres[p] = np.floor(total / (many * length) + 0.5)
        if not listed[p]:
            for s in range(many):
                for j in range(MARGIN + length + 1):
                    stretches[p, s, j] -= centres[p]


@kernel
def list_codes(lanes, frames, listed, table, centres, length, rows, codes, stretches):
    """Put the codes of listed channels from rows into codes int32 (channels, steps, lanes), and the middles of their
    bins, from the channel's centre, into rows and stretches.
    """
    last = len(table.middles) - 1
    for p in range(len(listed)):
        if not listed[p]:
            continue
        for t in range(codes.shape[1]):
            row = rows[p, HISTORY + t]
            for lane in range(len(lanes)):
                code = min(max(I32(row[lane]), I32(0)), I32(last))
                codes[p, t, lane] = code
                row[lane] = F32(np.float64(table.middles[code]) - centres[p])
        bound(lanes, frames, rows[p])
        for s in range(stretches.shape[1]):
            for j in range(MARGIN + length + 1):
                code = min(max(I64(stretches[p, s, j]), 0), last)
                stretches[p, s, j] = np.float64(table.middles[code]) - centres[p]


@kernel
def rows_of_codes(lanes, listed, codes, rows):
    """Put the codes of listed channels where the positions of others are."""
    for p in range(len(listed)):
        if listed[p]:
            for t in range(codes.shape[1]):
                for lane in range(len(lanes)):
                    rows[p, HISTORY + t, lane] = codes[p, t, lane]


@kernel
def sample_stretches(samples, channels, offsets, steps, starts, length, out):
    """out float64 (channels, stretches, MARGIN + length + TAIL); what lies before the first sample is like it."""
    frames = samples.shape[0]
    for s in range(len(starts)):
        for p in range(len(channels)):
            c = channels[p]
            offset = offsets[p]
            o = out[p, s]
            for j in range(MARGIN + length + 1):
                o[j] = np.float64(I64(samples[min(max(starts[s] - MARGIN + j, 0), frames - 1), c]) - offset)
            if steps[p] > 1:
                inverse = 1 / np.float64(steps[p])
                for j in range(MARGIN + length + 1):
                    o[j] = np.floor(o[j] * inverse + 0.5)
            for j in range(MARGIN + length + 1, MARGIN + length + TAIL):
                o[j] = 0


@kernel
def start_errors(lanes, all_rows, rows, order, own, near, weights, start_weight, extend, steps, f, out):
    """Mean error of the first steps."""
    for t in range(steps):
        if t == 0:
            begin(lanes, all_rows, rows, own, near, start_weight, extend, weights, f)
        else:
            predict(lanes, all_rows, rows, t, order, own, near, weights, f)
        total = 0.0
        row = rows[t + HISTORY]
        for lane in range(len(lanes)):
            total += abs(np.float64(row[lane]) - np.float64(f[0, lane]))
        out[t] = total / len(lanes)
        if t == 0 and extend:
            extend_back(lanes, rows)


@kernel
def choose_variables(G, order, count, frames, index, L, y):
    """Fill index with the variables to use, own ones first; how many own lags and how many other channels."""
    per_weight = 0.5 * log2_of(np.float64(frames)) + 1.0
    variance = G[0, 0]
    best = frames * 0.5 * log2_of(max(variance, 1e-3))
    best_own = 0
    best_near = 0
    # Once with the first eight own lags, then others, then the remaining own lags; once with all own lags first.
    for first in range(8, order + 1, 8):
        n = 0
        for k in range(first):
            index[n] = 1 + k
            n += 1
        for k in range(LAGS * count):
            index[n] = order + 1 + k
            n += 1
        factorise(G, index, n, L, y)
        v = variance
        for k in range(n):
            v -= y[k] * y[k]
            if k + 1 >= first and (k + 1 - first) % LAGS == 0:
                cost = frames * 0.5 * log2_of(max(v, 1e-3)) + (k + 1) * per_weight
                if cost < best:
                    best = cost
                    best_own = first
                    best_near = (k + 1 - first) // LAGS
    n = 0
    for k in range(best_own):
        index[n] = 1 + k
        n += 1
    for k in range(LAGS * best_near):
        index[n] = order + 1 + k
        n += 1
    return best_own, best_near


@kernel
def choose_parameters(
    lanes,
    frames,
    stretches,
    refs,
    most_order,
    kinds,
    costs,
    rates,
    pairs,
    scales,
    boosts,
    profile,
    rows,
    numbers,
    stored,
):
    """numbers int64 (channels, COLUMNS) and stored weights float64 (channels, SIZE): what is chosen for each channel."""
    count = len(stretches)
    length = stretches.shape[2] - MARGIN - TAIL
    many = stretches.shape[1]
    width = len(lanes)
    some = max(many // 2, 1) if count > FEW else many  # stretches by which weighted squares are made least
    judged = min(length, max(CHOSEN_FROM * 8 // many, length // 4))
    G = np.zeros((SIZE + 8, SIZE + 8))
    L = np.zeros((SIZE, SIZE))
    y = np.zeros(SIZE + 8)
    w = np.zeros(SIZE)
    packed = np.zeros(SIZE)
    index = np.zeros(SIZE, np.int64)
    scratch = np.zeros(max(64, length))
    errors = np.zeros((many, length))
    squares = np.zeros((many, length))
    sizes = np.zeros((judged, many))
    running = np.zeros((5, many))
    looked = np.full((count, 4), -1, np.int64)
    span = (most_order + 11) // 8 * 8
    own_products = np.zeros((count, many, span))
    products = np.zeros((count, 4, many, span))
    f = np.zeros((SCRATCH, width), F32)
    own = np.zeros(MOST_ORDER, F32)
    weights = np.zeros((4, LAGS), F32)
    begun = np.zeros((2, STARTING))
    for p in range(count):
        row = numbers[p]
        row[KIND] = kinds[p]
        if kinds[p] == CONSTANT:
            continue
        k = 0
        for c in range(4):
            if refs[p, c] >= 0 and kinds[refs[p, c]] != CONSTANT:
                row[REF0 + k] = refs[p, c]
                looked[p, k] = refs[p, c]
                k += 1
        x = stretches[p]
        gram(stretches, p, looked, k, most_order, own_products, products, G, scratch)
        n = np.float64(many * length)
        for a in range(most_order + 1 + LAGS * k):
            for b in range(most_order + 1 + LAGS * k):
                G[a, b] /= n
        own_count, near_count = choose_variables(G, most_order, k, frames, index, L, y)
        for attempt in range(WEIGHTED + 1):
            used = own_count + LAGS * near_count
            factorise(G, index, used, L, y)
            variance = G[0, 0]
            for c in range(used):
                variance -= y[c] * y[c]
            variance = max(variance, 1e-3)
            back_substitute(L, y, used, w)
            bits = fraction_bits(L, used, variance, np.float64(frames))
            round_weights(L, w, used, bits, packed)
            for c in range(used):
                w[c] = packed[c] / np.float64(1 << bits)
            residual(stretches, p, looked[p], near_count, own_count, w, many, judged, errors)
            total = 0.0
            square = 0.0
            for s in range(many):
                for t in range(judged):
                    e = abs(errors[s, t])
                    total += e
                    square += e * e
            if attempt == WEIGHTED or used == 0:
                break
            if attempt == 0 and square * (many * judged) < USUAL_TAILS * total * total:
                break
            residual(stretches, p, looked[p], near_count, own_count, w, some, length, errors)
            local_weights(errors, some, length, squares, scratch)
            size = weighted_gram(stretches, p, looked[p], k, most_order, some, squares, G, y)
            mass = 0.0
            for s in range(some):
                for t in range(length):
                    mass += squares[s, t]
            for a in range(size):
                for b in range(size):
                    G[a, b] /= mass
            if attempt == 0:
                own_count, near_count = choose_variables(G, most_order, k, frames, index, L, y)
        mean = total / (many * judged)
        for s in range(many):
            for t in range(judged):
                sizes[t, s] = abs(errors[s, t])
        pair, shape = choose_scale(sizes, judged, costs, rates, pairs, max(mean, 1 / 16), running)
        row[ORDER] = own_count // 8
        row[NEAR] = near_count
        row[BITS] = bits
        row[SCALE] = nearest(max(mean, 1 / 16), scales)
        row[PAIR] = pair
        row[SHAPE] = shape
        for c in range(used):
            stored[p, c] = packed[c]
        # How a lane begins.
        for c in range(own_count):
            own[c] = F32(w[c])
        for c in range(near_count):
            for q in range(LAGS):
                weights[c, q] = F32(w[own_count + LAGS * c + q])
        pull = 0.0
        if near_count:
            a = 0.0
            b = 0.0
            for s in range(many):
                for t in range(MARGIN, MARGIN + length):
                    a += x[s, t] * stretches[looked[p, 0], s, t]
                    b += stretches[looked[p, 0], s, t] * stretches[looked[p, 0], s, t]
            pull = min(max(np.floor(a / max(b, 1e-9) * START_UNITS + 0.5), -MOST_START), MOST_START)
        steps = min(STARTING, frames // width)
        s0 = np.float64(scales[row[SCALE]])
        chosen = 0.0
        for extend in range(2):
            for h in range(HISTORY):
                for lane in range(width):
                    rows[p, h, lane] = 0
            if extend and own_count == 0:
                continue
            start_errors(
                lanes,
                rows,
                rows[p],
                own_count,
                own,
                row[REF0 : REF0 + near_count],
                weights,
                F32(pull / START_UNITS),
                extend,
                steps,
                f,
                begun[extend],
            )
            cost = 0.0
            for t in range(steps):
                cost += log2_of(max(begun[extend, t], s0 * 0.5) / s0)
            if extend == 0 or cost + 1 < chosen:
                chosen = cost
                row[EXTEND] = extend
        row[START] = I64(pull) if row[EXTEND] else 0
        if not row[EXTEND]:
            for h in range(HISTORY):
                for lane in range(width):
                    rows[p, h, lane] = 0
        for b in range(5):
            total = 0.0
            m = 0
            for t in range(steps):
                if profile[t] == b:
                    total += begun[row[EXTEND], t]
                    m += 1
            row[BOOST0 + b] = nearest(total / m / s0, boosts) if m and total > s0 * m else 0
    return 0


C_KIND, C_CENTRE, C_ORDER, C_NEAR, C_REF, C_BITS, C_SCALE, C_PAIR, C_SHAPE, C_EXTEND, C_START, C_BOOST, C_OWN, C_OTHER, C_LEVEL = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 32, 44,
)  # fmt: skip


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
        put_bit(row[KIND] == CONSTANT, chances, C_KIND, 0, coder, out)
        put_number(row[LEVEL], chances, C_LEVEL, coder, out)
        put_signed(row[CENTRE] - centre, chances, C_CENTRE, coder, out)
        centre = row[CENTRE]
        if row[KIND] == CONSTANT:
            continue
        put_number(row[ORDER], chances, C_ORDER, coder, out)
        put_number(row[NEAR], chances, C_NEAR, coder, out)
        for k in range(row[NEAR]):
            put_number(p - 1 - row[REF0 + k], chances, C_REF, coder, out)
        put_signed(row[BITS] - old[BITS], chances, C_BITS, coder, out)
        put_signed(row[SCALE] - old[SCALE], chances, C_SCALE, coder, out)
        put_number(row[PAIR], chances, C_PAIR, coder, out)
        put_number(row[SHAPE], chances, C_SHAPE, coder, out)
        put_bit(row[EXTEND], chances, C_EXTEND, 0, coder, out)
        if row[EXTEND]:
            put_signed(row[START] - old[START], chances, C_START, coder, out)
        for b in range(5):
            put_signed(row[BOOST0 + b] - old[BOOST0 + b], chances, C_BOOST + b, coder, out)
        for c in range(row[ORDER] * 8):
            put_signed(
                I64(stored[p, c]) - expected(previous, old, c, True, row[BITS]), chances, C_OWN + min(c, 15), coder, out
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


@inlined
def shifted(table, centre, edges, middles):
    """A converter's edges and middles from a channel's centre, in codes."""
    for c in range(len(table.edges)):
        edges[c] = F32(np.float64(table.edges[c]) - centre)
    for c in range(len(table.middles)):
        middles[c] = F32(np.float64(table.middles[c]) - centre)


@kernel
def encode_group(
    lanes, frames, rows, codes, table, counts, numbers, stored, rates, pairs, scales, boosts, profile, words, state
):
    """Code all channels, the last first; where the words begin in `words`."""
    width = len(lanes)
    count = len(rows)
    steps = (frames + width - 1) // width
    start = np.empty((steps, width), U16)
    freq = np.empty((steps, width), U16)
    low_start = np.empty((steps, width), U16)
    low_freq = np.empty((steps, width), U16)
    escapes = np.empty((steps, width), I32)
    flags = np.empty(steps, np.uint8)
    f = np.zeros((SCRATCH, width), F32)
    fi = f.view(I32)
    i = np.zeros((SCRATCH, width), I32)
    own = np.zeros(MOST_ORDER, F32)
    weights = np.zeros((4, LAGS), F32)
    boost = np.ones(STARTING + 1, F32)
    word = np.empty(width, U16)
    flag = np.empty(width, I32)
    if table is not None:
        edges = np.empty(len(table.edges), F32)
        middles = np.empty(len(table.middles), F32)
    for lane in range(width):
        state[lane] = LOWEST
    at = len(words)
    for p in range(count - 1, -1, -1):
        row = numbers[p]
        if row[KIND] == CONSTANT:
            continue
        set_up(row, stored[p], own, weights, boost, boosts, profile)
        if row[EXTEND]:
            clear_past(lanes, rows[p])
        near = row[REF0 : REF0 + row[NEAR]]
        pull = F32(np.float32(row[START]) / F32(START_UNITS))
        scale = F32(scales[row[SCALE]])
        fast = rates[pairs[row[PAIR], 0]]
        slow = rates[pairs[row[PAIR], 1]]
        shape = counts[row[SHAPE]]
        listed = False
        if table is not None:
            if row[KIND] == LISTED:
                listed = True
                shifted(table, row[CENTRE], edges, middles)
                model(
                    lanes, frames, rows, rows[p], codes[p], edges, shape, row[ORDER] * 8, own, near, weights, pull,
                    row[EXTEND], boost, scale, fast, slow, start, freq, low_start, low_freq, escapes, flags, f, fi, i,
                )  # fmt: skip
        if not listed:
            model(
                lanes, frames, rows, rows[p], None, None, shape, row[ORDER] * 8, own, near, weights, pull,
                row[EXTEND], boost, scale, fast, slow, start, freq, low_start, low_freq, escapes, flags, f, fi, i,
            )  # fmt: skip
        at = pack(
            lanes, steps, start, freq, low_start, low_freq, escapes, flags, I32(MASS - shape[len(shape) - 1]),
            state, words, at, word, flag,
        )  # fmt: skip
    return at


@kernel
def decode_group(
    lanes,
    frames,
    rows,
    codes,
    table,
    counts,
    quantiles,
    numbers,
    stored,
    rates,
    pairs,
    scales,
    boosts,
    profile,
    words,
    state,
):
    """Fill in rows, and codes of listed channels; whether the words were used up, and the states as they began."""
    width = len(lanes)
    f = np.zeros((SCRATCH, width), F32)
    fi = f.view(I32)
    i = np.zeros((SCRATCH, width), I32)
    own = np.zeros(MOST_ORDER, F32)
    weights = np.zeros((4, LAGS), F32)
    boost = np.ones(STARTING + 1, F32)
    if table is not None:
        edges = np.empty(len(table.edges), F32)
        middles = np.empty(len(table.middles), F32)
    at = 0
    for p in range(len(rows)):
        row = numbers[p]
        rows[p, :HISTORY] = 0
        rows[p, HISTORY + frames // width :] = 0
        if row[KIND] == CONSTANT:
            rows[p] = 0
            continue
        set_up(row, stored[p], own, weights, boost, boosts, profile)
        near = row[REF0 : REF0 + row[NEAR]]
        pull = F32(np.float32(row[START]) / F32(START_UNITS))
        scale = F32(scales[row[SCALE]])
        fast = rates[pairs[row[PAIR], 0]]
        slow = rates[pairs[row[PAIR], 1]]
        listed = False
        if table is not None:
            if row[KIND] == LISTED:
                listed = True
                shifted(table, row[CENTRE], edges, middles)
                at = unpack(
                    lanes, frames, words, at, state, rows, rows[p], codes[p], edges, middles, table.located,
                    counts[row[SHAPE]], quantiles[row[SHAPE]], row[ORDER] * 8, own, near, weights, pull, row[EXTEND],
                    boost, scale, fast, slow, f, fi, i,
                )  # fmt: skip
        if not listed:
            at = unpack(
                lanes, frames, words, at, state, rows, rows[p], None, None, None, None,
                counts[row[SHAPE]], quantiles[row[SHAPE]], row[ORDER] * 8, own, near, weights, pull, row[EXTEND],
                boost, scale, fast, slow, f, fi, i,
            )  # fmt: skip
        if at < 0:
            return False
        bound(lanes, frames, rows[p])
    for lane in range(width):
        if state[lane] != LOWEST:
            return False
    return at == len(words) - 8 * width


@kernel
def unfold(lanes, rows, numbers, channels, offsets, steps, samples):
    """Put positions where they belong in samples (frames, all channels): offset + step * (centre + position)."""
    width = len(lanes)
    frames = samples.shape[0]
    full = frames // width
    rem = frames - full * width
    firsts = np.empty(width, np.uint64)
    for lane in range(width):
        firsts[lane] = lane * full + min(lane, rem)
    values = np.empty(width, I32)
    for r in range(full):
        for p in range(len(channels)):
            c = np.uint64(channels[p])
            wide = offsets[p] + numbers[p, CENTRE] * steps[p]
            row = rows[p, HISTORY + r]
            if steps[p] < NARROW and abs(wide) < LOW:
                step = I32(steps[p])
                base = I32(wide)
                for lane in range(len(lanes)):
                    values[lane] = I32(base + I32(I32(row[lane]) * step))
            else:
                for lane in range(len(lanes)):
                    values[lane] = I32(wide + I64(row[lane]) * steps[p])
            for lane in range(len(lanes)):
                samples[firsts[lane] + np.uint64(r), c] = values[lane]
    for p in range(len(channels)):
        base = offsets[p] + numbers[p, CENTRE] * steps[p]
        for lane in range(rem):
            samples[lane * full + lane + full, channels[p]] = base + I64(rows[p, HISTORY + full, lane]) * steps[p]


@inlined
def clear_past(lanes, rows):
    for h in range(HISTORY):
        for lane in range(len(lanes)):
            rows[h, lane] = 0


@inlined
def set_up(row, stored, own, weights, boost, boosts, profile):
    """A channel's weights and boosts from its numbers."""
    one = F32(1 << row[BITS])
    order = row[ORDER] * 8
    for c in range(order):
        own[c] = F32(stored[c]) / one
    for k in range(row[NEAR]):
        for q in range(LAGS):
            weights[k, q] = F32(stored[order + LAGS * k + q]) / one
    for t in range(STARTING):
        boost[t] = boosts[row[BOOST0 + profile[t]]]
    boost[STARTING] = 1


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
        constant = take_bit(chances, C_KIND, 0, coder, data)
        row[LEVEL] = take_number(chances, C_LEVEL, coder, data)
        if row[LEVEL] >= len(kinds):
            return False
        row[KIND] = CONSTANT if constant else kinds[row[LEVEL]]
        centre += take_signed(chances, C_CENTRE, coder, data)
        row[CENTRE] = centre
        if abs(centre) > MOST_CENTRE:
            return False
        if constant:
            continue
        row[ORDER] = take_number(chances, C_ORDER, coder, data)
        row[NEAR] = take_number(chances, C_NEAR, coder, data)
        if row[ORDER] * 8 > MOST_ORDER or row[NEAR] > 4:
            return False
        for k in range(row[NEAR]):
            other = p - 1 - take_number(chances, C_REF, coder, data)
            if other < 0 or numbers[other, KIND] == CONSTANT:
                return False
            row[REF0 + k] = other
        row[BITS] = old[BITS] + take_signed(chances, C_BITS, coder, data)
        row[SCALE] = old[SCALE] + take_signed(chances, C_SCALE, coder, data)
        row[PAIR] = take_number(chances, C_PAIR, coder, data)
        row[SHAPE] = take_number(chances, C_SHAPE, coder, data)
        row[EXTEND] = take_bit(chances, C_EXTEND, 0, coder, data)
        if not COARSEST <= row[BITS] <= FINEST or not 0 <= row[SCALE] < limits[0]:
            return False
        if row[PAIR] >= limits[1] or row[SHAPE] >= limits[2]:
            return False
        if row[EXTEND]:
            row[START] = old[START] + take_signed(chances, C_START, coder, data)
            if abs(row[START]) > MOST_START:
                return False
        for b in range(5):
            row[BOOST0 + b] = old[BOOST0 + b] + take_signed(chances, C_BOOST + b, coder, data)
            if not 0 <= row[BOOST0 + b] < limits[3]:
                return False
        own = row[ORDER] * 8
        for c in range(own + row[NEAR] * LAGS):
            if c < own:
                v = take_signed(chances, C_OWN + min(c, 15), coder, data) + expected(previous, old, c, True, row[BITS])
            else:
                v = take_signed(chances, C_OTHER + c - own, coder, data) + expected(
                    previous, old, c - own, False, row[BITS]
                )
            if abs(v) > LARGEST:
                return False
            stored[p, c] = v
        old[:] = row
        previous[:] = stored[p]
    return True

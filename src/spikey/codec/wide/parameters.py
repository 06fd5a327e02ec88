"""What is chosen for each channel of a group: order, other channels, weights, scale, shape, and how lanes begin."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.codec.wide.choose import choose_scale, log2_of, nearest
from spikey.codec.wide.fit import (
    COARSEST,
    LAGS,
    LONG_TAILS,
    MARGIN,
    MOST_NEAR,
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
from spikey.codec.wide.header import (
    BITS,
    BOOST0,
    CONSTANT,
    EXTEND,
    KIND,
    MOST_ORDER,
    MOST_START,
    NEAR,
    ORDER,
    PAIR,
    REF0,
    SCALE,
    SHAPE,
    START,
    START_UNITS,
    unpack_weights,
)
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.lanes import HISTORY, STARTING, begin, extend_back, predict

F32, I64 = np.float32, np.int64
SCRATCH = 8
CHOSEN_FROM = 128  # errors of each stretch by which scale and shape are chosen
WEIGHTED = 3  # rounds of weighted least squares
DIFFERENCES = np.array([[1.0, 0, 0], [2, -1, 0], [3, -3, 1], [0, 1, 0]])
WORTH = 0.9  # of the errors that fitted weights leave: differences cost no more than that
FEW = 16  # channels that are worth more time each


class Fitting(NamedTuple):
    """What least squares work on: sums of products, a factor, and vectors."""

    G: np.ndarray
    L: np.ndarray
    y: np.ndarray
    w: np.ndarray
    chosen: np.ndarray
    scratch: np.ndarray
    squares: np.ndarray


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
        n = list_variables(first, count, order, index)
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
    list_variables(best_own, best_near, order, index)
    return best_own, best_near


@kernel
def list_variables(own, near, order, index):
    """Fill index with the variables of so many own lags and other channels; how many they are."""
    for k in range(own):
        index[k] = 1 + k
    for k in range(LAGS * near):
        index[own + k] = order + 1 + k
    return own + LAGS * near


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
    """numbers int64 (channels, COLUMNS), stored weights float64 (channels, SIZE): what is chosen for each channel."""
    count = len(stretches)
    many = stretches.shape[1]
    length = stretches.shape[2] - MARGIN - TAIL
    looked = np.full((count, MOST_NEAR), -1, np.int64)
    span = (most_order + 11) // 8 * 8
    own_products = np.zeros((count, many, span))
    products = np.zeros((count, MOST_NEAR, many, span))
    judged = min(length, max(CHOSEN_FROM * 8 // many, length // 4))
    errors = np.zeros((many, length))
    sizes = np.zeros((judged, many))
    running = np.zeros((5, many))
    fitting = Fitting(
        np.zeros((SIZE + 8, SIZE + 8)), np.zeros((SIZE, SIZE)), np.zeros(SIZE + 8), np.zeros(SIZE),
        np.zeros(SIZE, np.int64), np.zeros(max(64, length)), np.zeros((many, length)),
    )  # fmt: skip
    begun = np.zeros((2, STARTING))
    f = np.zeros((SCRATCH, len(lanes)), F32)
    for p in range(count):
        row = numbers[p]
        row[KIND] = kinds[p]
        if kinds[p] == CONSTANT:
            continue
        k = I64(0)
        for c in range(MOST_NEAR):
            if refs[p, c] >= 0 and kinds[refs[p, c]] != CONSTANT:
                row[REF0 + k] = refs[p, c]
                looked[p, k] = refs[p, c]
                k += 1
        gram(stretches, p, looked, k, most_order, own_products, products, fitting.G, fitting.scratch)
        choose_weights(stretches, p, looked, k, most_order, frames, judged, row, stored[p], errors, fitting)
        total = 0.0
        for s in range(many):
            for t in range(judged):
                sizes[t, s] = abs(errors[s, t])
                total += sizes[t, s]
        mean = max(total / (many * judged), 1 / 16)
        row[SCALE] = nearest(mean, scales)
        row[PAIR], row[SHAPE] = choose_scale(sizes, judged, costs, rates, pairs, mean, running)
        choose_start(lanes, frames, stretches, p, scales, boosts, profile, rows, row, stored[p], f, begun)


@kernel
def choose_weights(stretches, p, looked, k, most_order, frames, judged, row, stored, errors, fitting):
    """Order, other channels and weights of a channel, and the errors they leave of the first `judged` frames."""
    many = stretches.shape[1]
    length = stretches.shape[2] - MARGIN - TAIL
    some = max(many // 2, 1) if len(stretches) > FEW else many  # stretches by which weighted squares are made least
    G, L, y, w, index, scratch, squares = fitting
    scale_matrix(G, most_order + 1 + LAGS * k, np.float64(many * length))
    own_count, near_count = choose_variables(G, most_order, k, frames, index, L, y)
    bits = 0
    for attempt in range(WEIGHTED + 1):
        used = own_count + LAGS * near_count
        factorise(G, index, used, L, y)
        variance = G[0, 0]
        for c in range(used):
            variance -= y[c] * y[c]
        back_substitute(L, y, used, w)
        bits = fraction_bits(L, used, max(variance, 1e-3), np.float64(frames))
        round_weights(L, w, used, bits, stored)
        for c in range(used):
            w[c] = stored[c] / np.float64(1 << bits)
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
        # Once where errors have tails, again where they have long ones.
        if attempt < 2 and square * (many * judged) < (USUAL_TAILS if attempt == 0 else LONG_TAILS) * total * total:
            break
        residual(stretches, p, looked[p], near_count, own_count, w, some, length, errors)
        local_weights(errors, some, length, squares, scratch)
        size = weighted_gram(stretches, p, looked[p], k, most_order, some, squares, G, y)
        mass = 0.0
        for s in range(some):
            for t in range(length):
                mass += squares[s, t]
        scale_matrix(G, size, mass)
        if attempt == 0:
            own_count, near_count = choose_variables(G, most_order, k, frames, index, L, y)
    row[ORDER] = own_count // 8
    row[NEAR] = near_count
    row[BITS] = bits
    if total < many * judged:
        try_differences(stretches, p, looked[p], judged, total, row, stored, w, errors)


@kernel
def try_differences(stretches, p, places, judged, total, row, stored, w, errors):
    """Whether a difference, of order 1 to 3 or over two samples, predicts a nearly determined channel better."""
    many = stretches.shape[1]
    for c in range(len(DIFFERENCES) + 1):
        again = c == len(DIFFERENCES)
        w[:8] = 0
        if again:
            for k in range(row[ORDER] * 8 + row[NEAR] * LAGS):
                w[k] = stored[k] / np.float64(1 << row[BITS])
        else:
            w[:3] = DIFFERENCES[c]
        near, order = (row[NEAR], row[ORDER] * 8) if again else (I64(0), I64(8))
        residual(stretches, p, places, near, order, w, many, judged, errors)
        left = 0.0
        for s in range(many):
            for t in range(judged):
                left += abs(errors[s, t])
        if left < WORTH * total:
            total = left
            row[ORDER] = 1
            row[NEAR] = 0
            row[BITS] = COARSEST
            stored[:] = 0
            for k in range(3):
                stored[k] = DIFFERENCES[c, k] * (1 << COARSEST)


@kernel
def scale_matrix(G, size, divisor):
    for a in range(size):
        for b in range(size):
            G[a, b] /= divisor


@kernel
def choose_start(lanes, frames, stretches, p, scales, boosts, profile, rows, row, stored, f, begun):
    """How the lanes of a channel begin."""
    width = len(lanes)
    many = stretches.shape[1]
    length = stretches.shape[2] - MARGIN - TAIL
    own = np.zeros(MOST_ORDER, F32)
    weights = np.zeros((MOST_NEAR, LAGS), F32)
    unpack_weights(row, stored, own, weights)
    near = row[REF0 : REF0 + row[NEAR]]
    pull = 0.0
    if row[NEAR]:
        a = 0.0
        b = 0.0
        for s in range(many):
            x = stretches[p, s]
            n = stretches[near[0], s]
            for t in range(MARGIN, MARGIN + length):
                a += x[t] * n[t]
                b += n[t] * n[t]
        pull = min(max(np.floor(a / max(b, 1e-9) * START_UNITS + 0.5), -MOST_START), MOST_START)
    steps = min(STARTING, frames // width)
    s0 = np.float64(scales[row[SCALE]])
    chosen = 0.0
    for extend in range(2 if row[ORDER] else 1):
        rows[p, :HISTORY] = 0
        start_errors(
            lanes,
            rows,
            rows[p],
            row[ORDER] * 8,
            own,
            near,
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
        rows[p, :HISTORY] = 0
    for b in range(5):
        total = 0.0
        m = 0
        for t in range(steps):
            if profile[t] == b:
                total += begun[row[EXTEND], t]
                m += 1
        row[BOOST0 + b] = nearest(total / m / s0, boosts) if m and total > s0 * m else 0

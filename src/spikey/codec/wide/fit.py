"""Weights by least squares, from sampled stretches of a channel and of those it refers to.

Sums run over time in a fixed order in float64, so that every machine finds the same weights. `stretches` float64
(count, MARGIN + length + TAIL): each begins MARGIN frames before the first that is predicted.
"""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.jit import inlined, kernel

F64 = np.float64
MARGIN = 40  # frames before a stretch: more than the largest order, as sums are made eight at a time
TAIL = 48  # frames after it: one that is looked at, and zeros
LAGS = 3  # of a channel referred to: -1, 0, 1
MOST_NEAR = 4
SIZE = 32 + 1 + MOST_NEAR * LAGS  # variables at most: the target, own lags, lags of others
USUAL_TAILS = 1.8  # mean square over squared mean of errors; 1.57 of a normal distribution
LONG_TAILS = 2.4
TINY = 1e-9
FINEST, COARSEST = 14, 3  # bits of a weight's fraction
LARGEST = 1 << 17  # of a stored weight


@kernel
def correlate(x, y, first, last, offset, count, out):
    """out[j] = sum of x[t] * y[t + offset + j] for t from first to last - 1, j < count; last - first divides by 8."""
    for j in range(count):
        out[j] = 0.0
    for t in range(first, last, 8):
        x0, x1, x2, x3 = x[t], x[t + 1], x[t + 2], x[t + 3]
        x4, x5, x6, x7 = x[t + 4], x[t + 5], x[t + 6], x[t + 7]
        z = y[t + offset : t + offset + count + 7]
        for j in range(count):
            out[j] += ((x0 * z[j] + x1 * z[j + 1]) + (x2 * z[j + 2] + x3 * z[j + 3])) + (
                (x4 * z[j + 4] + x5 * z[j + 5]) + (x6 * z[j + 6] + x7 * z[j + 7])
            )


@kernel
def gram(stretches, p, looked, count, order, own_sums, sums, G, scratch):
    """G: sums of products of the variables 0: target, 1 to order: own past, then three of each other channel.

    looked int64 (channels, 4): the places of the others, of which there are `count`. own_sums, sums: what was summed
    for this channel and those before: products of a channel with its own past, and with the others.
    """
    places = looked[p]
    size = order + 1 + LAGS * count
    for i in range(size):
        for j in range(size):
            G[i, j] = 0.0
    first = MARGIN
    width = (order + 11) // 8 * 8
    for s in range(stretches.shape[1]):
        x = stretches[p, s]
        last = len(x) - TAIL
        # own[span - d] = sum x[t] x[t - d].
        span = width - 1
        own = own_sums[p, s]
        correlate(x, x, first, last, -span, width, own)
        for d in range(order + 1):
            v = own[span - d]
            G[0, d] += v
            for i in range(1, order + 1 - d):
                v += x[first - i] * x[first - i - d] - x[last - i] * x[last - i - d]
                G[i, i + d] += v
        for k in range(count):
            n = stretches[places[k], s]
            base = order + 1 + LAGS * k
            # cross[m + 2] = sum x[t] n[t + m], m from -2.
            cross = sums[p, k, s]
            correlate(x, n, first, last, -2, width, cross)
            for m in range(-1, order + 2):
                v = cross[m + 2]
                # Lag i of its own and lag q of the other with q + i = m.
                for i in range(min(order, m + 1) + 1):
                    q = m - i
                    if i:
                        v += x[first - i] * n[first + q] - x[last - i] * n[last + q]
                    if q <= 1:
                        G[i, base + 1 + q] += v
            for h in range(k + 1):
                pair(stretches, s, looked, p, k, h, order, first, last, span, own_sums, sums, G, scratch)
    for i in range(size):
        for j in range(i):
            G[i, j] = G[j, i]
    return size


@inlined
def pair(stretches, s, looked, p, k, h, order, first, last, span, own_sums, sums, G, scratch):
    """Products of two channels that are looked at, or of one with itself; known where one looks at the other."""
    places = looked[p]
    if places[k] < places[h]:
        k, h = h, k
    later, earlier = places[k], places[h]
    n = stretches[later, s]
    o = stretches[earlier, s]
    # scratch[m + 2] = sum n[t] o[t + m], m from -2 to 2.
    if later == earlier:
        for m in range(3):
            v = own_sums[later, s, span - m]
            scratch[2 - m] = v
            for u in range(m):
                v += n[last + u] * n[last + u - m] - n[first + u] * n[first + u - m]
            scratch[2 + m] = v
    else:
        slot = -1
        for c in range(MOST_NEAR):
            if looked[later, c] == earlier:
                slot = c
        if slot >= 0:
            known = sums[later, slot, s]
            for m in range(5):
                scratch[m] = known[m]
        else:
            correlate(n, o, first, last, -2, 8, scratch)
    base = order + 1 + LAGS * k
    other = order + 1 + LAGS * h
    for m in range(-2, 3):
        middle = scratch[m + 2]
        for q in range(-1, 2):
            r = q + m
            if -1 <= r <= 1:
                v = middle
                if q == 1:
                    v += n[last] * o[last + m] - n[first] * o[first + m]
                elif q == -1:
                    v += n[first - 1] * o[first - 1 + m] - n[last - 1] * o[last - 1 + m]
                if h != k or q <= r:
                    a = other + 1 + r
                    b = base + 1 + q
                    G[min(a, b), max(a, b)] += v


@kernel
def weighted_gram(stretches, p, places, count, order, some, squares, G, row):
    """`gram` with a weight for each frame, of the first stretches: squares float64 (some, length)."""
    size = order + 1 + LAGS * count
    for i in range(size):
        for j in range(size + 8):
            G[i, j] = 0.0
    for s in range(some):
        x = stretches[p, s]
        for t in range(MARGIN, len(x) - TAIL):
            for i in range(order + 1):
                row[i] = x[t - i]
            for k in range(count):
                n = stretches[places[k], s]
                row[order + 1 + 3 * k] = n[t - 1]
                row[order + 2 + 3 * k] = n[t]
                row[order + 3 + 3 * k] = n[t + 1]
            w = squares[s, t - MARGIN]
            for first in range(0, size, 8):
                # Eight columns at a time, from the block of the diagonal on.
                tail = row[first : size + 8]
                for i in range(first, min(first + 8, size)):
                    v = w * row[i]
                    g = G[i, first : size + 8]
                    for j in range(len(g)):
                        g[j] += v * tail[j]
    for i in range(size):
        for j in range(i):
            G[i, j] = G[j, i]
    return size


@kernel
def residual(stretches, p, places, count, order, weights, some, length, out):
    """Errors float64 (stretches, length) of weights: order own ones, then three for each of `count` other channels."""
    for s in range(some):
        x = stretches[p, s]
        o = out[s]
        for t in range(length):
            o[t] = x[t + MARGIN]
        for i in range(0, order, 8):
            w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
            w4, w5, w6, w7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
            z = x[MARGIN - 8 - i : MARGIN - 1 - i + length]
            for t in range(length):
                o[t] -= ((w0 * z[t + 7] + w1 * z[t + 6]) + (w2 * z[t + 5] + w3 * z[t + 4])) + (
                    (w4 * z[t + 3] + w5 * z[t + 2]) + (w6 * z[t + 1] + w7 * z[t])
                )
        for k in range(count):
            n = stretches[places[k], s]
            a, b, c = weights[order + 3 * k], weights[order + 3 * k + 1], weights[order + 3 * k + 2]
            z = n[MARGIN - 1 : MARGIN + 1 + length]
            for t in range(length):
                o[t] -= a * z[t] + (b * z[t + 1] + c * z[t + 2])


@kernel
def local_weights(errors, some, length, squares, scratch):
    """Weight of each frame: 1 / (local scale)^2, less where the error is over twice that (Huber's limit).

    The local scale is the geometric mean of running ones from both sides.
    """
    for s in range(some):
        e = errors[s]
        n = length
        total = 0.0
        for t in range(n):
            total += abs(e[t])
        start = total / n + 0.1
        # Begin a little robust: the mean of the smaller half, about.
        a = start
        for t in range(n):
            scratch[t] = a
            a = max(a + (min(abs(e[t]), 8 * a) - a) * (1 / 32), 0.1)
        a = start
        for t in range(n - 1, -1, -1):
            v = scratch[t] * a
            a = max(a + (min(abs(e[t]), 8 * a) - a) * (1 / 32), 0.1)
            r = abs(e[t])
            limit = 2 * np.sqrt(v)
            squares[s, t] = (limit / r if r > limit else 1.0) / v


@kernel
def factorise(G, index, count, L, y):
    """Cholesky factor of the variables `index`, and y = L^-1 b; the squared error of each prefix in y's own squares."""
    trace = 0.0
    for i in range(count):
        trace += G[index[i], index[i]]
    ridge = TINY * trace / max(count, 1) + TINY
    for i in range(count):
        for j in range(i + 1):
            v = G[index[i], index[j]]
            if i == j:
                v += ridge
            for k in range(j):
                v -= L[i, k] * L[j, k]
            if i == j:
                L[i, i] = np.sqrt(max(v, ridge))
            else:
                L[i, j] = v / L[j, j]
        v = G[0, index[i]]
        for k in range(i):
            v -= L[i, k] * y[k]
        y[i] = v / L[i, i]


@kernel
def back_substitute(L, y, count, w):
    """w = L^-T y."""
    for i in range(count - 1, -1, -1):
        v = y[i]
        for k in range(i + 1, count):
            v -= L[k, i] * w[k]
        w[i] = v / L[i, i]


@kernel
def fraction_bits(L, count, variance, frames):
    """The fewest bits with which rounding costs about as little as a bit of all weights would."""
    total = 0.0
    for i in range(count):
        total += L[i, i] * L[i, i]
    bits = COARSEST
    step = 0.25**COARSEST
    while bits < FINEST and step * frames * total > 12 * count * variance:
        step *= 0.25
        bits += 1
    return bits


@kernel
def round_weights(L, w, count, bits, out):
    """Rounded weights, 2^-bits each, last first: the others make up for each rounding (Babai's nearest plane)."""
    one = F64(1 << bits)
    for i in range(count - 1, -1, -1):
        v = w[i]
        for k in range(i + 1, count):
            v += L[k, i] / L[i, i] * (w[k] - out[k] / one)
        out[i] = min(max(np.floor(v * one + 0.5), -LARGEST), LARGEST)

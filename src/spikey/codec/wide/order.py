"""Which channels are coded together, in which order, and which earlier ones each may look at: found from the data."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.choose import log2_of
from spikey.codec.wide.fit import MOST_NEAR
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.payload import GROUP

TOGETHER = 512  # channels among which neighbours are looked for
RUNS, RUN = 4, 256  # stretches of frames that are compared
LAGS = 4  # of a channel's own past that differences are predicted from
STEP, FARTHEST = 16.0, 63.0  # of quantised errors: products sum to less than 2^24, which is exact in float32
TILE = 64  # channels
RIDGE, CERTAIN = 0.01, 1e-3
ORDER_BITS = 4.0  # that a channel's place takes where channels are not in the order of their numbers


def errors_of(codes: np.ndarray) -> np.ndarray:
    """What the own past leaves of differences of codes (frames, channels): quantised, float32 (n, channels)."""
    frames = len(codes)
    if frames <= RUNS * RUN:
        differences = np.diff(codes.astype(np.int32), axis=0)[None]
    else:
        starts = [(frames - RUN - LAGS - 1) * run // (RUNS - 1) for run in range(RUNS)]
        differences = np.stack([np.diff(codes[at : at + RUN + LAGS + 1].astype(np.int32), axis=0) for at in starts])
    runs, length, channels = differences.shape
    out = np.zeros((runs * length + 7 & ~7, channels))
    whiten(differences.astype(np.float64), out)
    sizes = np.abs(out).sum(axis=0)
    factor = STEP * runs * length / np.maximum(sizes, 1)
    return np.clip(np.floor(out * factor + 0.5), -FARTHEST, FARTHEST).astype(np.float32)


@kernel
def whiten(differences, out):
    """Errors of linear prediction of each channel from its own past, by Levinson and Durbin's recursion.

    differences float64 (runs, length, channels); out (n, channels): one run after another.
    """
    runs, length, count = differences.shape
    sums = np.zeros((LAGS + 1, count))
    for run in range(runs):
        for t in range(LAGS, length):
            for lag in range(LAGS + 1):
                x, y, total = differences[run, t], differences[run, t - lag], sums[lag]
                for c in range(count):
                    total[c] += x[c] * y[c]
    weights = np.zeros((LAGS + 1, count))
    left = np.zeros(count)
    last = np.zeros(LAGS + 1)
    for c in range(count):
        left[c] = sums[0, c] * (1 + 1e-6) + 1e-6
        for k in range(1, LAGS + 1):
            v = sums[k, c]
            for j in range(1, k):
                v -= weights[j, c] * sums[k - j, c]
            # An estimate from unlike stretches may not be that of any process: stop where it is none.
            v /= left[c]
            if not -1 < v < 1:
                break
            for j in range(1, k):
                last[j] = weights[j, c]
            for j in range(1, k):
                weights[j, c] = last[j] - v * last[k - j]
            weights[k, c] = v
            left[c] *= 1 - v * v
    for run in range(runs):
        for t in range(length):
            e = out[run * length + t]
            x = differences[run, t]
            for c in range(count):
                e[c] = x[c]
            for lag in range(1, min(t, LAGS) + 1):
                w, y = weights[lag], differences[run, t - lag]
                for c in range(count):
                    e[c] -= w[c] * y[c]


def correlations(codes: np.ndarray) -> np.ndarray:
    """Correlations float32 (channels, channels) of what the own past leaves of codes (frames, channels)."""
    errors = errors_of(codes)
    products = np.zeros((errors.shape[1], errors.shape[1]), np.float32)
    multiply(errors, products)
    energy = np.maximum(np.diagonal(products).astype(np.float32), np.float32(1))
    root = np.sqrt(energy)
    return products / (root[:, None] * root)


@kernel
def multiply(scaled, products):
    """Products of all columns of scaled (frames, channels); frames divide by 8.

    Not by BLAS, whose threads would keep the cores from those that code groups.
    """
    count = scaled.shape[1]
    for t in range(0, len(scaled), 8):
        r0, r1, r2, r3 = scaled[t], scaled[t + 1], scaled[t + 2], scaled[t + 3]
        r4, r5, r6, r7 = scaled[t + 4], scaled[t + 5], scaled[t + 6], scaled[t + 7]
        for begin in range(0, count, TILE):
            # Columns from a tile on; those to its left follow by symmetry.
            s0, s1, s2, s3, s4, s5, s6, s7 = (
                r0[begin:], r1[begin:], r2[begin:], r3[begin:], r4[begin:], r5[begin:], r6[begin:], r7[begin:]
            )  # fmt: skip
            for c in range(begin, min(begin + TILE, count)):
                a0, a1, a2, a3, a4, a5, a6, a7 = r0[c], r1[c], r2[c], r3[c], r4[c], r5[c], r6[c], r7[c]
                out = products[c, begin:]
                for d in range(len(out)):
                    out[d] += ((a0 * s0[d] + a1 * s1[d]) + (a2 * s2[d] + a3 * s3[d])) + (
                        (a4 * s4[d] + a5 * s5[d]) + (a6 * s6[d] + a7 * s7[d])
                    )
    for c in range(count):
        for d in range(c, count):
            products[d, c] = products[c, d]


def groups_of(codes: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each group its channels int64 (n,) in coding order, and the places (n, 4) of those before, -1 for none."""
    count = codes.shape[1]
    found = []
    if count == 1:
        return [(np.zeros(1, np.int64), np.full((1, MOST_NEAR), -1, np.int64))]
    for first in range(0, count, TOGETHER):
        some = min(TOGETHER, count - first)
        alike = correlations(codes[:, first : first + some])
        like = np.abs(alike)
        np.fill_diagonal(like, 0)
        size = -(-some // -(-some // GROUP))
        order, near = np.arange(some), np.empty((some, MOST_NEAR), np.int64)
        arrange(like, size, order, near)
        if some > size:
            # Neighbours by number, or by likeness.
            gathered, other = np.empty(some, np.int64), np.empty((some, MOST_NEAR), np.int64)
            gather(like, size, gathered)
            for at in range(0, some, size):
                gathered[at : at + size].sort()
            arrange(like, size, gathered, other)
            gains = [gain(alike, size, order, near), gain(alike, size, gathered, other)]
            if gains[1] > gains[0] + some * ORDER_BITS / len(codes):
                order, near = gathered, other
        for at in range(0, some, size):
            found.append((order[at : at + size] + first, near[at : at + size]))
    return found


@kernel
def gather(like, size, order):
    """Fill order, group by group: one begins with the channel that is least like the others that are left, and takes in
    the one whose likeness to those in it is the largest share of that to all that are left. Of equals the first counts.
    """
    count = len(like)
    left = np.ones(count, np.bool_)
    total = np.zeros(count, np.float64)
    rest = np.zeros(count, np.float64)
    pull = np.zeros(count, np.float64)
    for c in range(count):
        row = like[c]
        for d in range(count):
            total[d] += row[d]
            rest[d] += row[d] * row[d]
    for place in range(count):
        best = -1
        if place % size == 0:
            for c in range(count):
                pull[c] = 0
                if left[c] and (best < 0 or total[c] < total[best]):
                    best = c
        else:
            most = -1.0
            for c in range(count):
                share = pull[c] / (rest[c] + 1e-6)
                if left[c] and share > most:
                    best, most = c, share
        left[best] = False
        order[place] = best
        row = like[best]
        for c in range(count):
            square = np.float64(row[c]) * row[c]
            total[c] -= row[c]
            rest[c] = max(rest[c] - square, 0.0)
            pull[c] += square


@kernel
def arrange(like, size, order, near):
    """Put each group in order, which has its channels ascending, and fill near: it begins with the channel that is
    least like the others, and continues with the one most similar to those before. Of equals the first counts.
    """
    own = np.empty(size, np.int64)
    for begin in range(0, len(order), size):
        count = min(size, len(order) - begin)
        for p in range(count):
            own[p] = order[begin + p]
        left = np.ones(count, np.bool_)
        total = np.zeros(count, np.float32)
        pull = np.zeros(count, np.float32)
        for p in range(count):
            for q in range(count):
                total[q] += like[own[p], own[q]]
        for place in range(count):
            best = -1
            for p in range(count):
                if left[p] and (best < 0 or (pull[p] > pull[best] if place else total[p] < total[best])):
                    best = p
            left[best] = False
            order[begin + place] = own[best]
            row = like[own[best]]
            for p in range(count):
                pull[p] += row[own[p]] * row[own[p]]
            for k in range(MOST_NEAR):
                near[begin + place, k] = -1
                for other in range(place):
                    taken = False
                    for h in range(k):
                        taken |= near[begin + place, h] == other
                    if not taken:
                        now = near[begin + place, k]
                        if now < 0 or row[order[begin + other]] > row[order[begin + now]]:
                            near[begin + place, k] = other


@kernel
def gain(alike, size, order, near):
    """Bits a frame of all channels that those before explain, about."""
    bits = 0.0
    L = np.zeros((MOST_NEAR, MOST_NEAR))
    y = np.zeros(MOST_NEAR)
    for p in range(len(order)):
        begin = p // size * size
        unexplained = 1.0
        for i in range(MOST_NEAR):
            if near[p, i] < 0:
                break
            one = order[begin + near[p, i]]
            for j in range(i + 1):
                v = np.float64(alike[one, order[begin + near[p, j]]]) + (RIDGE if i == j else 0.0)
                for k in range(j):
                    v -= L[i, k] * L[j, k]
                L[i, j] = np.sqrt(max(v, RIDGE * RIDGE)) if i == j else v / L[j, j]
            v = np.float64(alike[order[p], one])
            for k in range(i):
                v -= L[i, k] * y[k]
            y[i] = v / L[i, i]
            unexplained -= y[i] * y[i]
        bits -= 0.5 * log2_of(max(unexplained, CERTAIN))
    return bits

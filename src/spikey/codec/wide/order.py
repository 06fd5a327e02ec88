"""Which channels are coded together, in which order, and which earlier ones each may look at: found from the data."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.fit import MOST_NEAR
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.payload import GROUP

TOGETHER = 512  # channels among which neighbours are looked for
RUNS, RUN = 4, 256  # stretches of frames that are compared
STEP, FARTHEST = 16.0, 63.0  # of quantised differences: products sum to less than 2^24, which is exact in float32


def likeness(codes: np.ndarray) -> np.ndarray:
    """Correlations float32 (channels, channels), absolute values, of first differences of codes (frames, channels)."""
    frames = len(codes)
    if frames <= RUNS * RUN:
        differences = np.diff(codes.astype(np.int32), axis=0)
    else:
        starts = [(frames - RUN - 1) * run // (RUNS - 1) for run in range(RUNS)]
        differences = np.concatenate([np.diff(codes[at : at + RUN + 1].astype(np.int32), axis=0) for at in starts])
    sizes = np.abs(differences).sum(axis=0, dtype=np.int64)
    factor = STEP * len(differences) / np.maximum(sizes, 1)
    scaled = np.clip(np.floor(differences * factor + 0.5), -FARTHEST, FARTHEST).astype(np.float32)
    products = np.zeros((scaled.shape[1], scaled.shape[1]), np.float32)
    multiply(np.concatenate([scaled, np.zeros((-len(scaled) % 8, scaled.shape[1]), np.float32)]), products)
    energy = np.maximum(np.diagonal(products).astype(np.float32), np.float32(1))
    root = np.sqrt(energy)
    like = products / (root[:, None] * root)
    np.fill_diagonal(like, 0)
    return like


@kernel
def multiply(scaled, products):
    """Magnitudes of the products of all columns of scaled (frames, channels); frames divide by 8.

    Not by BLAS, whose threads would keep the cores from those that code groups.
    """
    count = scaled.shape[1]
    for t in range(0, len(scaled), 8):
        r0, r1, r2, r3 = scaled[t], scaled[t + 1], scaled[t + 2], scaled[t + 3]
        r4, r5, r6, r7 = scaled[t + 4], scaled[t + 5], scaled[t + 6], scaled[t + 7]
        for c in range(count):
            a0, a1, a2, a3, a4, a5, a6, a7 = r0[c], r1[c], r2[c], r3[c], r4[c], r5[c], r6[c], r7[c]
            out = products[c]
            for d in range(count):
                out[d] += ((a0 * r0[d] + a1 * r1[d]) + (a2 * r2[d] + a3 * r3[d])) + (
                    (a4 * r4[d] + a5 * r5[d]) + (a6 * r6[d] + a7 * r7[d])
                )
    for c in range(count):
        for d in range(c, count):
            products[c, d] = abs(products[c, d])
            products[d, c] = products[c, d]


def groups_of(codes: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each group its channels int64 (n,) in coding order, and the places (n, 4) of those before, -1 for none."""
    count = codes.shape[1]
    found = []
    if count == 1:
        return [(np.zeros(1, np.int64), np.full((1, MOST_NEAR), -1, np.int64))]
    for first in range(0, count, TOGETHER):
        some = min(TOGETHER, count - first)
        like = likeness(codes[:, first : first + some])
        size = -(-some // -(-some // GROUP))
        order, near = np.empty(some, np.int64), np.empty((some, MOST_NEAR), np.int64)
        grow(like, size, order, near)
        for at in range(0, some, size):
            found.append((order[at : at + size] + first, near[at : at + size]))
    return found


@kernel
def grow(like, size, order, near):
    """Fill order and near: a group begins with the channel that is least like the others that are left, and takes in
    the one that is most like those in it until it is full. Of equals the first is taken.
    """
    count = len(like)
    left = np.ones(count, np.bool_)
    total = np.zeros(count, np.float32)
    pull = np.zeros(count, np.float32)
    for c in range(count):
        row = like[c]
        for d in range(count):
            total[d] += row[d]
    for place in range(count):
        best = -1
        if place % size == 0:
            for c in range(count):
                pull[c] = 0
                if left[c] and (best < 0 or total[c] < total[best]):
                    best = c
        else:
            for c in range(count):
                if left[c] and (best < 0 or pull[c] > pull[best]):
                    best = c
        left[best] = False
        order[place] = best
        row = like[best]
        for c in range(count):
            total[c] -= row[c]
            pull[c] += row[c] * row[c]
        begin = place // size * size
        for k in range(MOST_NEAR):
            near[place, k] = -1
            for other in range(begin, place):
                taken = False
                for h in range(k):
                    taken |= near[place, h] == other - begin
                if not taken:
                    now = near[place, k]
                    if now < 0 or row[order[other]] > row[order[begin + now]]:
                        near[place, k] = other - begin

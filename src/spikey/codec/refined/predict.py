"""Weighted least squares that goes along, and begins from what was usual for the channels before."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.codec.refined.state import PAST

RIDGE = 1.0
TINY = 1e-10


@kernel
def begin(work, learned, n, trust):
    """Start a channel of n inputs from what is usual."""
    for i in range(n):
        work.w[i] = learned.weights[i] if learned.known[i] else 0.0
        work.moment[i] = 0.0
        for j in range(i + 1):
            work.gram[i, j] = 0.0
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += learned.products[i, j] * work.w[j]
        work.pull[i] = trust * total + RIDGE * work.w[i]


@kernel
def foresee(work, positions, row, near, own, reach, first, last):
    """What the inputs that are known before a segment expect of its samples."""
    count = last - first
    expected = work.expected[:count]
    expected[:] = 0.0
    place = own
    for k in range(len(near)):
        for q in range(-reach, reach + 1):
            other = positions[near[k], PAST + first + q : PAST + last + q]
            weight = work.w[place]
            for t in range(count):
                expected[t] += weight * np.float64(other[t])
                work.inputs[t, place] = np.float64(other[t])
            place += 1
    for j in range(first - own, first):
        value = np.float64(row[PAST + j])
        gap = first - 1 - j
        for t in range(min(own - gap, count)):
            expected[t] += work.w[t + gap] * value


@inlined
def foresee_more(work, own, t, count, value):
    """What a sample adds to the expectations of those that follow."""
    few = min(own, count - 1 - t)
    later = work.expected[t + 1 : t + 1 + few]
    w = work.w[:few]
    for i in range(few):
        later[i] += w[i] * value


@kernel
def learn(work, row, own, n, first, last, kept):
    """Take in a segment: sums of products, forgetting some of those before."""
    count = last - first
    for t in range(count):
        inputs = work.inputs[t]
        at = PAST + first + t - 1
        for i in range(own):
            inputs[i] = np.float64(row[at - i])
    for i in range(n):
        gram = work.gram[i]
        for j in range(i + 1):
            gram[j] *= kept
        work.moment[i] *= kept
    t = 0
    while t + 4 <= count:
        a, b, c, d = work.inputs[t], work.inputs[t + 1], work.inputs[t + 2], work.inputs[t + 3]
        wa, wb, wc, wd = work.trust[t], work.trust[t + 1], work.trust[t + 2], work.trust[t + 3]
        at = PAST + first + t
        xa, xb, xc, xd = (
            np.float64(row[at]), np.float64(row[at + 1]), np.float64(row[at + 2]), np.float64(row[at + 3])
        )  # fmt: skip
        for i in range(n):
            va, vb, vc, vd = a[i] * wa, b[i] * wb, c[i] * wc, d[i] * wd
            work.moment[i] += (va * xa + vb * xb) + (vc * xc + vd * xd)
            gram = work.gram[i]
            for j in range(i + 1):
                gram[j] += (va * a[j] + vb * b[j]) + (vc * c[j] + vd * d[j])
        t += 4
    while t < count:
        a = work.inputs[t]
        x = np.float64(row[PAST + first + t])
        for i in range(n):
            v = a[i] * work.trust[t]
            work.moment[i] += v * x
            gram = work.gram[i]
            for j in range(i + 1):
                gram[j] += v * a[j]
        t += 1


@kernel
def solve(work, learned, n, trust):
    """The weights by Cholesky's decomposition; rows of `root` are those of its upper triangle."""
    root, y, w = work.root, work.y, work.w
    for i in range(n):
        for j in range(i, n):
            root[i, j] = work.gram[j, i]
    for i in range(n):
        products = learned.products[i]
        for j in range(i, n):
            root[i, j] += trust * products[j]
        root[i, i] += RIDGE
        y[i] = work.moment[i] + work.pull[i]
    for k in range(n):
        lead = root[k]
        least = TINY * (work.gram[k, k] + trust * learned.products[k, k] + RIDGE)
        v = lead[k]
        if not v > least:
            v = least
        one = 1.0 / np.sqrt(v)
        for j in range(k, n):
            lead[j] *= one
        lead[k] = one
        y[k] *= one
        for i in range(k + 1, n):
            f = lead[i]
            other = root[i]
            for j in range(i, n):
                other[j] -= f * lead[j]
            y[i] -= f * y[k]
    for i in range(n - 1, -1, -1):
        w[i] = y[i] * root[i, i]
        v = w[i]
        for k in range(i):
            y[k] -= root[k, i] * v


@kernel
def pass_on(work, learned, n, trust, mass, share):
    """Let what is usual follow a channel that is complete."""
    total = 1.0 / (mass + trust)
    # All entries by the same rate, so that the matrix stays positive.
    for i in range(n if n == len(learned.known) or not learned.known[n] else 0):
        for j in range(i + 1):
            before = learned.products[i, j]
            v = (work.gram[i, j] + trust * before) * total
            v = before + (v - before) * share
            learned.products[i, j] = v
            learned.products[j, i] = v
    for i in range(n):
        rate = share if learned.known[i] else 1.0
        learned.weights[i] += (work.w[i] - learned.weights[i]) * rate
        learned.known[i] = True

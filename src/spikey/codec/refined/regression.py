"""Recursive weighted least squares, which starts from the statistics of the channels before.

Products of inputs are summed up with forgetting and solved by Cholesky's decomposition, in float64, by + - * / and
sqrt in the order written.
"""

from __future__ import annotations

import numpy as np

from spikey.base.jit import kernel

RIDGE = 1.0  # precision of every weight, beside what is usual
TINY = 1e-10  # of a diagonal element, that is left at least


@kernel
def begin(own, usual, n, trust):
    """Start a channel of n inputs from what is usual, which counts as `trust` samples."""
    for i in range(n):
        own.weights[i] = usual.weights[i] if usual.known[i] else 0.0
        own.moment[i] = 0.0
        for j in range(i + 1):
            own.products[i, j] = 0.0
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += usual.products[i, j] * own.weights[j]
        own.pull[i] = trust * total + RIDGE * own.weights[i]


@kernel
def learn(own, n, count, kept):
    """Take in `count` samples, of sums before keep a part."""
    for i in range(n):
        products = own.products[i]
        for j in range(i + 1):
            products[j] *= kept
        own.moment[i] *= kept
    t = 0
    while t + 4 <= count:
        a, b, c, d = own.inputs[t], own.inputs[t + 1], own.inputs[t + 2], own.inputs[t + 3]
        wa, wb, wc, wd = own.trust[t], own.trust[t + 1], own.trust[t + 2], own.trust[t + 3]
        xa, xb, xc, xd = own.targets[t], own.targets[t + 1], own.targets[t + 2], own.targets[t + 3]
        for i in range(n):
            va, vb, vc, vd = a[i] * wa, b[i] * wb, c[i] * wc, d[i] * wd
            own.moment[i] += (va * xa + vb * xb) + (vc * xc + vd * xd)
            products = own.products[i]
            for j in range(i + 1):
                products[j] += (va * a[j] + vb * b[j]) + (vc * c[j] + vd * d[j])
        t += 4
    while t < count:
        a = own.inputs[t]
        for i in range(n):
            v = a[i] * own.trust[t]
            own.moment[i] += v * own.targets[t]
            products = own.products[i]
            for j in range(i + 1):
                products[j] += v * a[j]
        t += 1


@kernel
def solve(own, usual, n, trust):
    """The weights; rows of `root` are those of the upper triangle."""
    root, y = own.root, own.solution
    for i in range(n):
        products, row = usual.products[i], root[i]
        for j in range(i, n):
            row[j] = own.products[j, i] + trust * products[j]
        row[i] += RIDGE
        y[i] = own.moment[i] + own.pull[i]
    for k in range(n):
        lead = root[k]
        least = TINY * (own.products[k, k] + trust * usual.products[k, k] + RIDGE)
        one = 1.0 / np.sqrt(lead[k] if lead[k] > least else least)
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
        v = y[i] * root[i, i]
        own.weights[i] = v
        for k in range(i):
            y[k] -= root[k, i] * v


@kernel
def pass_on(own, usual, n, trust, mass, share):
    """Let what is usual follow a channel that is complete, of so many samples."""
    total = 1.0 / (mass + trust)
    # All products by the same rate, so that the matrix stays positive; none of a channel with fewer inputs than usual.
    for i in range(n if n == len(usual.known) or not usual.known[n] else 0):
        for j in range(i + 1):
            before = usual.products[i, j]
            v = before + ((own.products[i, j] + trust * before) * total - before) * share
            usual.products[i, j] = v
            usual.products[j, i] = v
    for i in range(n):
        usual.weights[i] += (own.weights[i] - usual.weights[i]) * (share if usual.known[i] else 1.0)
        usual.known[i] = True

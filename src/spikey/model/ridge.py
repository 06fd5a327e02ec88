"""Adaptive ridge regression: predicts the remaining error from any inputs, solved again after each segment.

Products of inputs are summed up with forgetting, and every segment the weights are solved for that explain the errors
best, given how weights usually are: a normal prior, fitted on other recordings (empirical Bayes; Lindley and Smith,
1972). Inputs and targets are small integers, whose products sum up exactly in any order; the sums are carried on and
solved (Cholesky) in float64, by + - * / and sqrt in a fixed order alone, and the weights are integers again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.model.fixed_point import ACTIVATION_BITS

ROOM = 256  # samples of a segment at most
INPUT_MAX = 2047  # so that 256 products sum up within 32 bits
WEIGHT_BITS = 16
WEIGHT_MAX = 16 << WEIGHT_BITS
TARGET_MAX = 3 << ACTIVATION_BITS
NOISE = float(1 << 2 * ACTIVATION_BITS)  # variance of the target about its prediction: one squared scale
KEPT = 1 - 1 / 512  # of the sums, each full segment
EAGER, EVERY = 16, 4  # full segments after each of which the weights are solved for, and then how often


class Regression(NamedTuple):
    """State: of one lane.

    inputs int16 (ROOM, n), targets int16 (ROOM,): of the current segment; filled int64 (1,): how many of them.
    turned int16 (n, ROOM): the inputs again, for sums over the segment.
    gram float64 (n, n), moment float64 (n,): sums of products, of which the lower triangle counts.
    precision float64 (n, n), pull float64 (n,): of the prior, times NOISE; pull = precision @ mean.
    kept float64 (1,): the part of the sums that a full segment leaves. segments int64 (1,): full ones so far.
    weights int32 (n,): 1/65536. work float64 (n, n), column, solution float64 (n,): room.
    """

    inputs: np.ndarray
    turned: np.ndarray
    targets: np.ndarray
    filled: np.ndarray
    gram: np.ndarray
    moment: np.ndarray
    precision: np.ndarray
    pull: np.ndarray
    kept: np.ndarray
    segments: np.ndarray
    weights: np.ndarray
    work: np.ndarray
    column: np.ndarray
    solution: np.ndarray


def regression(mean: np.ndarray, precision: np.ndarray, kept: float = KEPT) -> Regression:
    """Start from a prior: mean float64 (n,) and precision float64 (n, n) of the weights."""
    n = len(mean)
    pull = np.zeros(n)
    for i in range(n):  # NumPy's matrix products may differ between machines
        for j in range(n):
            pull[i] += precision[i, j] * mean[j]
    state = Regression(
        np.zeros((ROOM, n), dtype=np.int16),
        np.zeros((n, ROOM), dtype=np.int16),
        np.zeros(ROOM, dtype=np.int16),
        np.zeros(1, dtype=np.int64),
        np.zeros((n, n)),
        np.zeros(n),
        np.ascontiguousarray(precision) * NOISE,
        pull * NOISE,
        np.array([kept]),
        np.zeros(1, dtype=np.int64),
        np.zeros(n, dtype=np.int32),
        np.zeros((n, n)),
        np.zeros(n),
        np.zeros(n),
    )
    solve_ridge(state)
    return state


@inlined
def offer(state, index, value):
    """Set an input for the current sample."""
    state.inputs[state.filled[0], index] = min(max(value, -INPUT_MAX), INPUT_MAX)


@inlined
def told(state):
    """The prediction of the error, in 2^-WEIGHT_BITS of the targets' unit."""
    total = np.int64(0)
    row = state.inputs[state.filled[0]]
    for i in range(row.shape[0]):
        total += np.int64(state.weights[i]) * np.int64(row[i])
    return total


@inlined
def settle(state, target):
    """Take in what the error was, int64, which completes the sample."""
    state.targets[state.filled[0]] = min(max(target, -TARGET_MAX), TARGET_MAX)
    state.filled[0] += 1


@kernel
def learn_segment(state, full):
    """Learn from the samples since the last call, at most ROOM; `full`: forget some before. The weights follow at once
    in the beginning and every few segments later, when they hardly change.
    """
    count = state.filled[0]
    n = state.weights.shape[0]
    kept = state.kept[0] if full else 1.0
    targets = state.targets[:count]
    for i in range(n):
        for t in range(count):
            state.turned[i, t] = state.inputs[t, i]
    for i in range(n):
        row = state.turned[i, :count]
        for j in range(i + 1):
            other = state.turned[j, :count]
            total = np.int32(0)
            for t in range(count):
                total = np.int32(total + np.int32(np.int32(row[t]) * np.int32(other[t])))
            state.gram[i, j] = state.gram[i, j] * kept + np.float64(total)
        total = np.int32(0)
        for t in range(count):
            total = np.int32(total + np.int32(np.int32(row[t]) * np.int32(targets[t])))
        state.moment[i] = state.moment[i] * kept + np.float64(total)
    state.filled[0] = 0
    if full:
        state.segments[0] += 1
    if state.segments[0] <= EAGER or state.segments[0] % EVERY == 0:
        solve_ridge(state)


@kernel
def solve_ridge(state):
    """The weights that the sums and the prior give: Cholesky's factor, column by column, then two substitutions."""
    n = state.weights.shape[0]
    work, column, solution = state.work, state.column, state.solution
    for i in range(n):
        for j in range(i + 1):
            work[i, j] = state.gram[i, j] + state.precision[i, j]
        solution[i] = state.moment[i] + state.pull[i]
    for k in range(n):
        pivot = np.sqrt(max(work[k, k], 1.0))
        work[k, k] = pivot
        for i in range(k + 1, n):
            work[i, k] = work[i, k] / pivot
            column[i] = work[i, k]
        for i in range(k + 1, n):
            factor = column[i]
            row, down = work[i, k + 1 : i + 1], column[k + 1 : i + 1]
            for j in range(row.shape[0]):
                row[j] -= factor * down[j]
        solution[k] = solution[k] / pivot
        for i in range(k + 1, n):
            solution[i] -= column[i] * solution[k]
    for k in range(n - 1, -1, -1):
        solution[k] = solution[k] / work[k, k]
        for i in range(k):
            solution[i] -= work[k, i] * solution[k]
    for i in range(n):
        weight = min(max(solution[i] * (1 << WEIGHT_BITS), -float(WEIGHT_MAX)), float(WEIGHT_MAX))
        state.weights[i] = np.int32(weight)

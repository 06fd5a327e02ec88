"""How often the codes of channels occur, and how often the wide engine's model expects them: what widths follow from.

A wide code occurs more often than its neighbours, in every channel of a converter and whatever the signal does. The
model is the engine's own: weights by its fit, its scales, its shapes; the first steps of each lane do not count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from spikey.codec.wide import engine, shapes
from spikey.codec.wide.describe import Described
from spikey.codec.wide.fit import LAGS, MOST_NEAR
from spikey.codec.wide.group import SCRATCH, largest, set_up, shifted
from spikey.codec.wide.header import CENTRE, EXTEND, KIND, LEVEL, LISTED, MOST_ORDER, NEAR, ORDER, REF0, SHAPE
from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.lanes import (
    FAST,
    HISTORY,
    LISTED_BITS,
    MU,
    PER,
    SCALE,
    SHIFT,
    SLOW,
    STARTING,
    begin,
    cell,
    extend_back,
    predict,
    spread,
    update,
)
from spikey.codec.wide.shapes import MASS
from spikey.codec.wide.tables import Tables

F32, I32, I64 = np.float32, np.int32, np.int64
REACH = F32(5)  # mean absolute errors; a sample farther off is an artifact
FEWEST_LOOKED = 2  # every so manieth step has its expected counts added up, at least
MOST_LOOKED = 128
UNLIKELY = 1e-6  # the least probability that counts


class Sample(NamedTuple):
    """Samples of a recording as the engine describes them, all listed, folded into so many lanes.

    groups: as `order.groups_of` gives them. sampled: the stretches by which weights are chosen. classes int64
    (channels,): which counts a channel's samples are added to.
    """

    described: Described
    groups: Sequence[tuple[np.ndarray, np.ndarray]]
    lanes: int
    sampled: tuple[np.ndarray, int]
    classes: np.ndarray


class Counts(NamedTuple):
    """What a census found, apart for even and odd lanes: one half judges what was learnt from the other.

    observed, expected float64 (2, classes, codes): samples, and the sums of their probabilities. cost float64 (2, 2):
    bits of each half, and its samples.
    """

    observed: np.ndarray
    expected: np.ndarray
    cost: np.ndarray

    @property
    def bits(self) -> np.ndarray:
        """Bits a sample of each half, float64 (2,)."""
        return np.asarray(self.cost[:, 0] / np.maximum(self.cost[:, 1], 1))


def take_census(sample: Sample, table: Tables, classes: int, codes: int) -> Counts:
    """Count the codes of a sample whose descriptions have such tables; codes: of every class."""
    counts = Counts(np.zeros((2, classes, codes)), np.zeros((2, classes, codes)), np.zeros((2, 2)))
    frames = len(sample.described.codes)
    space = engine.Space(frames, max(len(channels) for channels, _ in sample.groups), sample.lanes, words=False)
    width = (1,) * sample.lanes
    for channels, near in sample.groups:
        fitted = engine.fit_group(sample.described, channels, near, sample.lanes, table, space, sample.sampled)
        count_group(
            width, frames, fitted.rows, fitted.coded, table, shapes.COUNTS, fitted.numbers, fitted.stored,
            *engine.TABLES, sample.classes[channels], *counts,
        )  # fmt: skip
    return counts


@kernel
def count_group(
    lanes,
    frames,
    rows,
    codes,
    table,
    counts,
    numbers,
    stored,
    rates,
    pairs,
    scales,
    boosts,
    profile,
    classes,
    observed,
    expected,
    cost,
):
    """Add the listed channels of a group to the counts of their classes."""
    width = len(lanes)
    f = np.zeros((SCRATCH, width), F32)
    fi = f.view(I32)
    i = np.zeros((SCRATCH, width), I32)
    own = np.zeros(MOST_ORDER, F32)
    weights = np.zeros((MOST_NEAR, LAGS), F32)
    boost = np.ones(STARTING + 1, F32)
    edges = np.empty(largest(table) + 1, F32)
    middles = np.empty(largest(table), F32)
    for p in range(len(rows)):
        row = numbers[p]
        if row[KIND] != LISTED:
            continue
        pull, scale, fast, slow = set_up(row, stored[p], rates, pairs, scales, boosts, profile, own, weights, boost)
        if row[EXTEND]:
            rows[p, :HISTORY] = 0
        near = row[REF0 : REF0 + row[NEAR]]
        known = shifted(table, row[LEVEL], row[CENTRE], edges, middles)
        every = I64(min(max(scale, FEWEST_LOOKED), MOST_LOOKED))
        count_channel(
            lanes, frames, rows, rows[p], codes[p], edges[: known + 1], counts[row[SHAPE]], row[ORDER] * 8, own, near,
            weights, pull, row[EXTEND], boost, scale, fast, slow, every, observed, expected, classes[p], cost, f, fi, i,
        )  # fmt: skip


@kernel
def count_channel(
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
    every,
    observed,
    expected,
    place,
    cost,
    f,
    fi,
    i,
):
    """Add a channel to the counts."""
    width = len(lanes)
    full = frames // width
    product = np.ones(2)
    for lane in range(len(lanes)):
        f[FAST, lane] = scale
        f[SLOW, lane] = scale
    for t in range(full):
        boost = boosts[min(t, STARTING)]
        if t == 0:
            begin(lanes, all_rows, rows, own, near, start_weight, extend, weights, f)
        else:
            predict(lanes, all_rows, rows, t, order, own, near, weights, f)
        spread(lanes, boost, LISTED_BITS, f, fi, i)
        row = rows[t + HISTORY]
        if t >= STARTING:
            for lane in range(len(lanes)):
                if i[SHIFT, lane] == 0 and abs(row[lane] - f[MU, lane]) <= REACH * f[SCALE, lane]:
                    half = lane & 1
                    code = codes[t, lane]
                    observed[half, place, code] += 1
                    mu, per = f[MU, lane], f[PER, lane]
                    mass = counts[cell(edges[code + 1] - mu, per)] - I32(counts[cell(edges[code] - mu, per)])
                    product[half] *= max(mass / MASS, UNLIKELY)
                    cost[half, 1] += 1
                    if (t + lane) % every == 0:
                        expect(edges, counts, mu, f[SCALE, lane], per, code, every / MASS, expected[half, place])
            for half in range(2):
                product[half], shift = math.frexp(product[half])
                cost[half, 0] -= shift
        update(lanes, row, F32(1) / boost, fast, slow, f)
        if t == 0 and extend:
            extend_back(lanes, rows)
    for half in range(2):
        cost[half, 0] -= math.log2(product[half])


@inlined
def expect(edges, counts, mu, scale, per, code, share, expected):
    """Add the probabilities of all codes within reach of a sample, found from the one that it has."""
    low = code
    least = mu - REACH * scale
    while low > 0 and edges[low] > least:
        low -= 1
    last = len(edges) - 1
    most = mu + REACH * scale
    before = I32(counts[cell(edges[low] - mu, per)])
    while low < last and edges[low] < most:
        after = I32(counts[cell(edges[low + 1] - mu, per)])
        expected[low] += (after - before) * share
        before = after
        low += 1

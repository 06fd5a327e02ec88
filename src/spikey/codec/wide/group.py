"""The samples of a group of channels to words and back, by what was chosen for each channel."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.decoding import unpack
from spikey.codec.wide.encoding import model, pack
from spikey.codec.wide.fit import LAGS, MOST_NEAR
from spikey.codec.wide.fold import bound
from spikey.codec.wide.header import (
    BOOST0,
    CENTRE,
    CONSTANT,
    EXTEND,
    KIND,
    LEVEL,
    LISTED,
    MOST_ORDER,
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
from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.lanes import HISTORY, STARTING
from spikey.codec.wide.rans import LOWEST
from spikey.codec.wide.shapes import MASS

F32, I32, I64, U16 = np.float32, np.int32, np.int64, np.uint16
SCRATCH = 8


@inlined
def shifted(table, level, centre, edges, middles):
    """A description's edges and middles from a channel's centre, in codes; how many codes they are of."""
    at = table.places[level, 0]
    count = table.places[level, 1]
    for c in range(count + 1):
        edges[c] = F32(np.float64(table.edges[at + c]) - centre)
    for c in range(count):
        middles[c] = F32(np.float64(table.middles[at + c]) - centre)
    return count


@inlined
def largest(table):
    """The codes of the largest table."""
    most = I64(0)
    for level in range(len(table.places)):
        most = max(most, table.places[level, 1])
    return most


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
    weights = np.zeros((MOST_NEAR, LAGS), F32)
    boost = np.ones(STARTING + 1, F32)
    word = np.empty(width, U16)
    flag = np.empty(width, I32)
    if table is not None:
        edges = np.empty(largest(table) + 1, F32)
        middles = np.empty(largest(table), F32)
    for lane in range(width):
        state[lane] = LOWEST
    at = len(words)
    for p in range(count - 1, -1, -1):
        row = numbers[p]
        if row[KIND] == CONSTANT:
            continue
        pull, scale, fast, slow = set_up(row, stored[p], rates, pairs, scales, boosts, profile, own, weights, boost)
        if row[EXTEND]:
            rows[p, :HISTORY] = 0
        near = row[REF0 : REF0 + row[NEAR]]
        shape = counts[row[SHAPE]]
        listed = False
        if table is not None:  # noqa: SIM102 - what is None is known while this is compiled
            if row[KIND] == LISTED:
                listed = True
                known = shifted(table, row[LEVEL], row[CENTRE], edges, middles)
                model(
                    lanes, frames, rows, rows[p], codes[p], edges[: known + 1], shape, row[ORDER] * 8, own, near,
                    weights, pull, row[EXTEND], boost, scale, fast, slow, start, freq, low_start, low_freq, escapes,
                    flags, f, fi, i,
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
    whole,
):
    """Fill in rows, and codes of listed channels.

    Of a whole group, whether its words were used up, and the states as they began.
    """
    width = len(lanes)
    f = np.zeros((SCRATCH, width), F32)
    fi = f.view(I32)
    i = np.zeros((SCRATCH, width), I32)
    own = np.zeros(MOST_ORDER, F32)
    weights = np.zeros((MOST_NEAR, LAGS), F32)
    boost = np.ones(STARTING + 1, F32)
    if table is not None:
        edges = np.empty(largest(table) + 1, F32)
        middles = np.empty(largest(table), F32)
    at = I64(0)
    for p in range(len(rows)):
        row = numbers[p]
        rows[p, :HISTORY] = 0
        rows[p, HISTORY + frames // width :] = 0
        if row[KIND] == CONSTANT:
            rows[p] = 0
            continue
        pull, scale, fast, slow = set_up(row, stored[p], rates, pairs, scales, boosts, profile, own, weights, boost)
        near = row[REF0 : REF0 + row[NEAR]]
        listed = False
        if table is not None:  # noqa: SIM102 - what is None is known while this is compiled
            if row[KIND] == LISTED:
                listed = True
                known = shifted(table, row[LEVEL], row[CENTRE], edges, middles)
                begin = table.places[row[LEVEL], 2]
                located = table.located[begin : begin + table.places[row[LEVEL], 3]]
                at = unpack(
                    lanes, frames, words, at, state, rows, rows[p], codes[p], edges[: known + 1], middles[:known],
                    located, counts[row[SHAPE]], quantiles[row[SHAPE]], row[ORDER] * 8, own, near, weights, pull,
                    row[EXTEND], boost, scale, fast, slow, f, fi, i,
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
    if not whole:
        return True
    for lane in range(width):
        if state[lane] != LOWEST:
            return False
    return at == len(words) - 8 * width


@inlined
def set_up(row, stored, rates, pairs, scales, boosts, profile, own, weights, boost):
    """Fill in weights and boosts from a channel's numbers; the weight of its first step, its scale, and two rates."""
    unpack_weights(row, stored, own, weights)
    for t in range(STARTING):
        boost[t] = boosts[row[BOOST0 + profile[t]]]
    boost[STARTING] = 1
    pull = F32(np.float32(row[START]) / F32(START_UNITS))
    return pull, F32(scales[row[SCALE]]), rates[pairs[row[PAIR], 0]], rates[pairs[row[PAIR], 1]]

"""One symbol with one coder: an encoder, a decoder, a meter that adds up bits, or a tally for fitting tables.

The syntax of a packet is written once, in `syntax`, as a sequence of these calls; the type of the coder determines
whether symbols are encoded, decoded or only counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import generic, inlined, kernel
from spikey.coding.range_coder import RangeDecoder, RangeEncoder, put, take, target
from spikey.model.fixed_point import MASS, MASS_BITS
from spikey.telemetry.logarithm import log2

COST_BITS = 16  # costs are in 2^-16 bits
SYMBOLS = 33  # of a row: -16 to 16 or 0 to 32; the outermost are escapes for all values beyond
ESCAPE = 16
FLAG_CLASSES = 16  # probabilities of 1/2, 1/4, ... 1/2^16
LARGEST = 20  # bits of the number after an escape


class Tables(NamedTuple):
    """cum int32 (rows, 34): cumulative counts out of 2^24. cost int32 (rows, 33): of each symbol, in 2^-16 bits.
    no int32 (16,): the cost of a flag that is 0, by class.
    """

    cum: np.ndarray
    cost: np.ndarray
    no: np.ndarray


class Meter(NamedTuple):
    """spent int64 (1,): 2^-16 bits."""

    spent: np.ndarray


class Tally(NamedTuple):
    """seen int64 (rows, 33): how often each symbol was coded with each row."""

    seen: np.ndarray


def tables_of(counts: np.ndarray) -> Tables:
    """Tables from counts int32 (rows, 33), each row of which adds up to 2^24."""
    cum = np.zeros((len(counts), SYMBOLS + 1), dtype=np.int32)
    np.cumsum(counts, axis=1, out=cum[:, 1:])
    full = MASS_BITS << COST_BITS
    cost = np.array([[full - log2(int(count), COST_BITS) for count in row] for row in counts], dtype=np.int32)
    no = [full - log2(MASS - (MASS >> (each + 1)), COST_BITS) for each in range(FLAG_CLASSES)]
    return Tables(cum, cost, np.array(no, dtype=np.int32))


def meter() -> Meter:
    """A meter at zero."""
    return Meter(np.zeros(1, dtype=np.int64))


@generic
def flag(coder, tables, chance, value):
    """Code a flag that is 1 with the probability 1 / 2^(chance + 1); returns it."""


@generic
def even(coder, choices, value):
    """Code one of so many equally probable choices, at most 2^20; returns it."""


@generic
def symbol(coder, tables, row, value):
    """Code a symbol from 0 to 32 with a row of the tables; returns it."""


@flag.register(RangeEncoder)
def _flag_encoder(coder, tables, chance, value):
    one = np.int64(MASS) >> (chance + 1)
    if value != 0:
        put(coder, 0, 0, one)
    else:
        put(coder, 0, one, MASS - one)
    return value


@flag.register(RangeDecoder)
def _flag_decoder(coder, tables, chance, value):
    one = np.int64(MASS) >> (chance + 1)
    if target(coder, 0) < one:
        take(coder, 0, 0, one)
        return 1
    take(coder, 0, one, MASS - one)
    return 0


@flag.register(Meter)
def _flag_meter(coder, tables, chance, value):
    coder.spent[0] += (chance + 1) << COST_BITS if value != 0 else np.int64(tables.no[chance])
    return value


@flag.register(Tally)
def _flag_tally(coder, tables, chance, value):
    return value


@even.register(RangeEncoder)
def _even_encoder(coder, choices, value):
    share = np.int64(MASS) // choices
    put(coder, 0, value * share, share)
    return value


@even.register(RangeDecoder)
def _even_decoder(coder, choices, value):
    share = np.int64(MASS) // choices
    found = min(target(coder, 0) // share, choices - 1)
    take(coder, 0, found * share, share)
    return found


@even.register(Meter)
def _even_meter(coder, choices, value):
    coder.spent[0] += log2(np.int64(choices), COST_BITS)
    return value


@even.register(Tally)
def _even_tally(coder, choices, value):
    return value


@symbol.register(RangeEncoder)
def _symbol_encoder(coder, tables, row, value):
    low = np.int64(tables.cum[row, value])
    put(coder, 0, low, np.int64(tables.cum[row, value + 1]) - low)
    return value


@symbol.register(RangeDecoder, inline=False)
def _symbol_decoder(coder, tables, row, value):
    wanted = target(coder, 0)
    low, high = 0, SYMBOLS
    while high - low > 1:
        middle = (low + high) >> 1
        if np.int64(tables.cum[row, middle]) <= wanted:
            low = middle
        else:
            high = middle
    start = np.int64(tables.cum[row, low])
    take(coder, 0, start, np.int64(tables.cum[row, low + 1]) - start)
    return low


@symbol.register(Meter)
def _symbol_meter(coder, tables, row, value):
    coder.spent[0] += np.int64(tables.cost[row, value])
    return value


@symbol.register(Tally)
def _symbol_tally(coder, tables, row, value):
    coder.seen[row, value] += 1
    return value


@inlined
def beyond(coder, value):
    """Code a number >= 0 with an Exp-Golomb code (Teuhola, 1978): its length, then its bits."""
    length = 0
    while length < LARGEST and (value + 1) >> (length + 1) > 0:
        length += 1
    length = even(coder, LARGEST + 1, length)
    result = np.int64(1)
    for i in range(length):
        result = result << 1 | even(coder, 2, ((value + 1) >> (length - 1 - i)) & 1)
    return result - 1


@inlined
def signed(coder, tables, row, value):
    """Code an integer: from -15 to 15 as a symbol, others as an escape and the difference to it."""
    clipped = symbol(coder, tables, row, min(max(value, -ESCAPE), ESCAPE) + ESCAPE) - ESCAPE
    if clipped == ESCAPE:
        return ESCAPE + beyond(coder, value - ESCAPE)
    if clipped == -ESCAPE:
        return -ESCAPE - beyond(coder, -ESCAPE - value)
    return clipped


@inlined
def unsigned(coder, tables, row, value):
    """Code an integer >= 0: up to 31 as a symbol, others as an escape and the difference to it."""
    clipped = symbol(coder, tables, row, min(value, SYMBOLS - 1))
    if clipped == SYMBOLS - 1:
        return SYMBOLS - 1 + beyond(coder, value - SYMBOLS + 1)
    return clipped


@kernel
def spent(coder):
    """The bits that a meter has counted, rounded; resets it to zero."""
    bits = (coder.spent[0] + (1 << (COST_BITS - 1))) >> COST_BITS
    coder.spent[0] = 0
    return bits

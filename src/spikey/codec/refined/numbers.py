"""The numbers in front of a block's samples: its settings, and of each channel what it is and what it refers to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.codec.refined.plan import nearest_places
from spikey.codec.refined.state import (
    CENTRE,
    CONSTANT,
    KIND,
    LEVEL,
    MOST_NEAR,
    MOST_OWN,
    MOST_REACH,
    MOVING,
    NEAR,
    REF0,
    SEGMENT,
)
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.numbers import (
    CELLS,
    finish_writing,
    put_bit,
    put_number,
    put_signed,
    start_reading,
    start_writing,
    take_bit,
    take_number,
    take_signed,
)

I64 = np.int64
C_SETTING, C_KIND, C_LEVEL, C_CENTRE, C_CHANNEL, C_NEAR, C_GAP = 0, 1, 2, 3, 4, 5, 6  # contexts
CONTEXTS = C_GAP + MOST_NEAR
MOST_CENTRE = 1 << 20
SETTINGS = 5
OWN_STEP = 8
MOST_TRUST, LEAST_WINDOW, MOST_WINDOW, MOST_SHARE = 16, 8, 24, 8  # powers of two


class Settings(NamedTuple):
    """How a block is predicted.

    own: samples of a channel's past, in eights. reach: frames before and after of other channels. trust: log2 of the
    samples that what is usual counts as. window: log2 of the samples by which a channel's own products are forgotten.
    share: log2 of the channels over which what is usual is an average.
    """

    own: int
    reach: int
    trust: int
    window: int
    share: int

    def values(self) -> tuple[int, int, float, float, float]:
        """For the kernels: own samples, reach, trust, what is kept of products in each segment, and a share."""
        return (
            self.own * OWN_STEP, self.reach, float(1 << self.trust), 1 - SEGMENT / (1 << self.window),
            1 / (1 << self.share),
        )  # fmt: skip

    def possible(self) -> bool:
        """Whether an encoder may have chosen them."""
        return (
            self.own * OWN_STEP <= MOST_OWN
            and self.reach <= MOST_REACH
            and self.trust <= MOST_TRUST
            and LEAST_WINDOW <= self.window <= MOST_WINDOW
            and self.share <= MOST_SHARE
        )


@kernel
def write_numbers(settings, order, rows, out):
    """The bytes of settings int64 (SETTINGS,), channels in coding order, and rows, whose references are in the order of
    `nearest_places`.
    """
    coder = np.zeros(4, np.int64)
    chances = np.zeros((CONTEXTS, CELLS), np.uint16)
    start_writing(coder, chances)
    for i in range(len(settings)):
        put_number(settings[i], chances, I64(C_SETTING), coder, out)
    count = len(order)
    place_of = np.full(count, -1, np.int64)
    found = np.zeros(count, np.int64)
    expected, centre, most = I64(0), I64(0), I64(0)
    for p in range(count):
        row = rows[p]
        put_signed(order[p] - expected, chances, I64(C_CHANNEL), coder, out)
        expected = order[p] + 1
        put_bit(I64(row[KIND] == CONSTANT), chances, I64(C_KIND), I64(0), coder, out)
        put_number(row[LEVEL], chances, I64(C_LEVEL), coder, out)
        put_signed(row[CENTRE] - centre, chances, I64(C_CENTRE), coder, out)
        centre = row[CENTRE]
        if row[KIND] == CONSTANT:
            continue
        put_signed(row[NEAR] - most, chances, I64(C_NEAR), coder, out)
        most = row[NEAR]
        nearest_places(order[p], place_of, p, found)
        at = I64(0)
        for k in range(row[NEAR]):
            gap = I64(0)
            while found[at] != row[REF0 + k]:
                at += 1
                gap += 1
            at += 1
            put_number(gap, chances, I64(C_GAP + k), coder, out)
        place_of[order[p]] = p
    return finish_writing(coder, out)


@kernel
def read_numbers(data, levels, settings, order, rows):
    """Fill in what `write_numbers` wrote; False for what no encoder writes. levels: how many descriptions there are."""
    coder = np.zeros(4, np.int64)
    chances = np.zeros((CONTEXTS, CELLS), np.uint16)
    start_reading(coder, chances, data)
    for i in range(len(settings)):
        settings[i] = take_number(chances, I64(C_SETTING), coder, data)
    count = len(order)
    seen = np.zeros(count, np.bool_)
    place_of = np.full(count, -1, np.int64)
    found = np.zeros(count, np.int64)
    expected, centre, most = I64(0), I64(0), I64(0)
    for p in range(count):
        row = rows[p]
        channel = expected + take_signed(chances, I64(C_CHANNEL), coder, data)
        if channel < 0 or channel >= count or seen[channel]:
            return False
        seen[channel] = True
        order[p] = channel
        expected = channel + 1
        row[KIND] = CONSTANT if take_bit(chances, I64(C_KIND), I64(0), coder, data) else MOVING
        row[LEVEL] = take_number(chances, I64(C_LEVEL), coder, data)
        centre += take_signed(chances, I64(C_CENTRE), coder, data)
        row[CENTRE] = centre
        if row[LEVEL] >= levels or centre < 0 or centre > MOST_CENTRE:
            return False
        if row[KIND] == CONSTANT:
            continue
        most += take_signed(chances, I64(C_NEAR), coder, data)
        if most < 0 or most > MOST_NEAR:
            return False
        row[NEAR] = most
        many = nearest_places(channel, place_of, p, found)
        at = I64(0)
        for k in range(most):
            at += take_number(chances, I64(C_GAP + k), coder, data)
            if at >= many:
                return False
            row[REF0 + k] = found[at]
            at += 1
        place_of[channel] = p
    return True

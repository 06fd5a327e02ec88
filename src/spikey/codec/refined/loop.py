"""All channels of a block, one after another, sample by sample: the same loop encodes and decodes."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.codec.refined.density import Even, Listed, aim_at, code_one, position_of
from spikey.codec.refined.predict import correction, fill_own, foresee, foresee_more
from spikey.codec.refined.regression import begin, learn, pass_on, solve
from spikey.codec.refined.scale import LEAST, UNIT, adapt, look_around, run_scales, scale_of
from spikey.codec.refined.state import (
    BUSY,
    CENTRE,
    CONSTANT,
    KIND,
    LEVEL,
    NEAR,
    OPENING,
    PAST,
    REF0,
    SEGMENT,
    SPIKE_ENOUGH,
    SPIKE_NEAR,
    SPIKE_OWN,
    SPIKE_REACH,
    STARTING,
)

FARTHEST = float(1 << 22)  # of a position
DEVIATION = 1.2533141373155003  # of a normal variable, over its mean absolute value
HUBER = 2.0  # errors, over the scale, from which on samples count less
START_RATE = 0.1
CLIP = 8.0
SPIKE = 1.38  # log2 of other channels' errors, over their scales, from which on a sample is busy
SPIKE_MOST = 2.0  # scales, by which these move an expected position at most
PART_RATE = 1 / 256
SPIKE_TRUST = 256.0  # busy samples that what is usual counts as
I64, F64 = np.int64, np.float64


@kernel
def code_channels(coder, constants, learned, work, rows, table, sizes, codes, positions, errors, activity, settings):
    """Code all channels of a block.

    rows int64 (channels, COLUMNS): what each is, in coding order. sizes: of the alphabet of each description.
    codes int32 (channels, frames): read when encoding, written when decoding. positions, errors float32 (channels,
    frames and PAST on either side), activity uint8 (channels, frames + 2): filled in, from zeros.
    """
    for p in range(len(rows)):
        row = rows[p]
        if row[KIND] == CONSTANT:
            continue
        near = row[REF0 : REF0 + row[NEAR]]
        listed = False
        if table is not None:  # noqa: SIM102 - what is None is known while this is compiled
            if table.places[row[LEVEL], 1] > 0:
                listed = True
                first = table.places[row[LEVEL], 0]
                alphabet = Listed(table.edges, table.middles, first, sizes[row[LEVEL]], F64(row[CENTRE]))
                code_channel(
                    coder, constants, learned, work, alphabet, codes[p], positions, errors, p, near, activity, settings
                )
        if not listed:
            plain = Even(sizes[row[LEVEL]], F64(row[CENTRE]))
            code_channel(
                coder, constants, learned, work, plain, codes[p], positions, errors, p, near, activity, settings
            )


@kernel
def code_channel(coder, constants, learned, work, alphabet, codes, positions, errors, p, near, activity, settings):
    """Code one channel."""
    frames = len(codes)
    own, reach, trust, kept, share = settings
    linear, spikes = work.linear, work.spikes
    n = own + len(near) * (2 * reach + 1)
    m = SPIKE_OWN + min(len(near), SPIKE_NEAR) * (2 * SPIKE_REACH + 1)
    x, left, active = positions[p], errors[p], activity[p]
    begin(linear, learned.linear, n, trust)
    begin(spikes, learned.spikes, m, SPIKE_TRUST)
    usual = learned.start[2]
    work.scales[:] = usual
    first, length, mass, total = 0, OPENING, 0.0, 0.0
    waiting, spike_mass = 0, 0.0
    while first < frames:
        last = min(first + length, frames)
        foresee(work, positions, x, near, own, reach, first, last)
        look_around(work, activity, near, first, last)
        for t in range(last - first):
            at = first + t
            position, less = work.expected[t], 1.0
            if at < STARTING:
                less = max(learned.start[3 + at], 1.0)
                if at == 0:
                    position = first_position(learned, positions, near)
            if not (position >= -FARTHEST and position <= FARTHEST):
                position = 0.0
            scale = scale_of(work, learned.scale_weights, t)
            busy = work.activity[1, t]
            linear_position, moved = position, 0.0
            spike = max(max(busy, work.activity[0, t]), work.activity[2, t]) > SPIKE and at >= STARTING
            if spike:
                moved = correction(work, errors, p, near, at, waiting)
                moved = min(max(moved, -SPIKE_MOST * scale), SPIKE_MOST * scale)
                position += moved * min(max(learned.part[0] / (learned.part[1] + 1.0), 0.0), 1.0)
            shares = learned.shares[0 if busy < BUSY[0] else 1 if busy < BUSY[1] else 2]
            aim = aim_at(alphabet, position, scale * less * DEVIATION)
            code = code_one(coder, constants, alphabet, shares, aim, work.lows, work.highs, I64(codes[at]))
            codes[at] = code
            x[PAST + at] = position_of(alphabet, code)
            here = F64(x[PAST + at])
            left[PAST + at] = here - linear_position
            error = abs(here - position)
            if at < STARTING:
                learned.start[3 + at] += (min(error / usual, 1e3) - learned.start[3 + at]) * START_RATE
                if at == 0:
                    learn_first(learned, positions, x, near, own)
                    extend(work, own, last, here)
            size = error / less
            ratio = size / scale
            active[at + 1] = np.uint8(min(ratio * UNIT + 0.5, 255.0))
            weight = 1.0 if ratio <= HUBER else HUBER / ratio
            linear.trust[t] = weight / (scale * less * scale * less)
            if spike:
                wanted = here - linear_position
                spikes.targets[waiting], spikes.trust[waiting] = wanted, linear.trust[t]
                waiting += 1
                learn_part(learned.part, moved / scale, wanted / scale, weight)
            if at:
                adapt(learned.scale_weights, work.features, size, scale)
            run_scales(work, constants, size, at)
            foresee_more(work, own, t, last - first, here)
            total += min(size, CLIP * scale)
        full = length == SEGMENT
        fill_own(work, x, own, first, last)
        learn(linear, n, last - first, kept if full else 1.0)
        mass = (mass * kept if full else mass) + (last - first)
        solve(linear, learned.linear, n, trust)
        if waiting >= SPIKE_ENOUGH or last == frames:
            learn(spikes, m, waiting, 1.0)
            solve(spikes, learned.spikes, m, SPIKE_TRUST)
            spike_mass += waiting
            waiting = 0
        first = last
        if not full:
            length *= 2
    pass_on(linear, learned.linear, n, trust, mass, share)
    pass_on(spikes, learned.spikes, m, SPIKE_TRUST, spike_mass, share)
    learned.start[2] = max(total / frames, LEAST)
    active[0], active[frames + 1] = active[1], active[frames]
    x[PAST + frames :] = x[PAST + frames - 1]


@inlined
def learn_part(part, moved, wanted, weight):
    """Learn which part of a prediction from errors is right."""
    part[0] += weight * moved * wanted - part[0] * PART_RATE
    part[1] += weight * moved * moved - part[1] * PART_RATE


@inlined
def first_position(learned, positions, near):
    """Where a channel's first sample is expected: in proportion to that of the nearest other one."""
    if len(near) == 0:
        return 0.0
    return learned.start[0] / (learned.start[1] + 1.0) * F64(positions[near[0], PAST])


@inlined
def learn_first(learned, positions, x, near, own):
    """Learn that proportion, and let the past of a channel be its first sample."""
    if len(near):
        other = F64(positions[near[0], PAST])
        learned.start[0] += F64(x[PAST]) * other
        learned.start[1] += other * other
    for i in range(own):
        x[PAST - 1 - i] = x[PAST]


@inlined
def extend(work, own, count, value):
    """What that past adds to the expectations of the first segment."""
    for gap in range(own - 1, -1, -1):
        for t in range(min(own - gap, count)):
            work.expected[t] += work.linear.weights[t + gap] * value

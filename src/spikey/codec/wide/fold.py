"""Samples folded into lanes and back, and stretches of them by which weights are chosen."""

from __future__ import annotations

import numpy as np

from spikey.codec.wide.fit import MARGIN, TAIL
from spikey.codec.wide.header import CENTRE
from spikey.codec.wide.jit import inlined, kernel
from spikey.codec.wide.lanes import HISTORY

F32, I32, I64, U32 = np.float32, np.int32, np.int64, np.uint32
SIDE_BY_SIDE = 8  # channels from which one step of all lanes after another is fastest
TILE = 32  # steps
NARROW, LOW = 128, 1 << 30  # steps and sums up to which samples fit into int32 on the way


@kernel
def firsts_of(width, full, rem):
    """The first frame of each lane: lanes are `full` frames long, the first `rem` of them one more."""
    firsts = np.empty(width, np.uint64)
    for lane in range(width):
        firsts[lane] = lane * full + min(lane, rem)
    return firsts


@kernel
def fill(lanes, samples, channels, offsets, steps, exact, rows):
    """rows float32 (channels, HISTORY + steps + 2, lanes): positions of samples (frames, all channels) in lanes.

    A sample's position is (sample - offset) / step, a whole number. exact: whether differences are less than 2^24.
    """
    width = len(lanes)
    frames = samples.shape[0]
    full = frames // width
    rem = frames - full * width
    for p in range(len(channels)):
        rows[p, :HISTORY] = 0
        rows[p, HISTORY + full :] = 0
    firsts = firsts_of(width, full, rem)
    if exact and samples.shape[1] < SIDE_BY_SIDE:
        fill_narrow(lanes, samples, channels, offsets, steps, firsts, full, rows)
        full_rows = 0
    else:
        full_rows = full
    for r in range(full_rows):
        for p in range(len(channels)):
            c = np.uint64(channels[p])
            row = rows[p, HISTORY + r]
            if exact:
                offset = I32(offsets[p])
                for lane in range(len(lanes)):
                    row[lane] = F32(I32(samples[firsts[lane] + np.uint64(r), c]) - offset)
                if steps[p] > 1:
                    inverse = F32(1) / F32(steps[p])
                    for lane in range(len(lanes)):
                        row[lane] = np.floor(row[lane] * inverse + F32(0.5))
            else:
                for lane in range(len(lanes)):
                    v = np.float64(I64(samples[firsts[lane] + np.uint64(r), c]) - offsets[p]) / np.float64(steps[p])
                    row[lane] = F32(np.floor(v + 0.5))
    for p in range(len(channels)):
        for lane in range(rem):
            v = np.float64(I64(samples[lane * full + lane + full, channels[p]]) - offsets[p]) / np.float64(steps[p])
            rows[p, HISTORY + full, lane] = F32(np.floor(v + 0.5))
        bound(lanes, frames, rows[p])


@kernel
def list_codes(lanes, frames, listed, table, levels, centres, length, rows, codes, stretches):
    """Put the codes of listed channels into codes, and positions from their centres into rows and stretches."""
    width = len(lanes)
    full = frames // width
    most = I64(0)
    for level in range(len(table.places)):
        most = max(most, table.places[level, 1])
    middles = np.empty(most, F32)
    for p in range(len(rows)):
        if not listed[p]:
            continue
        first = table.places[levels[p], 0]
        for c in range(table.places[levels[p], 1]):
            middles[c] = F32(np.float64(table.middles[first + c]) - centres[p])
        for r in range(full):
            row = rows[p, HISTORY + r]
            code = codes[p, r]
            for lane in range(len(lanes)):
                code[lane] = I32(row[lane])
            for lane in range(len(lanes)):
                row[lane] = middles[U32(code[lane])]
        for r in range(full, codes.shape[1]):
            for lane in range(width):
                inside = lane < frames - r * width
                codes[p, r, lane] = I32(rows[p, HISTORY + r, lane]) if inside else 0
                if inside:
                    rows[p, HISTORY + r, lane] = middles[U32(codes[p, r, lane])]
        bound(lanes, frames, rows[p])
        for s in range(stretches.shape[1]):
            for j in range(MARGIN + length + 1):
                code_there = np.int64(stretches[p, s, j])
                stretches[p, s, j] = np.float64(table.middles[first + code_there]) - centres[p]


@kernel
def rows_of_codes(lanes, listed, codes, rows):
    """Put codes of listed channels into rows, as if they were positions."""
    for p in range(len(rows)):
        if listed[p]:
            for r in range(codes.shape[1]):
                for lane in range(len(lanes)):
                    rows[p, HISTORY + r, lane] = F32(codes[p, r, lane])


@inlined
def bound(lanes, frames, rows):
    """After each lane's last step put the first of the next lane, which others look at; 0 where that has no steps."""
    width = len(lanes)
    full = frames // width
    rem = frames - full * width
    if full == 0:
        for lane in range(rem, width):
            rows[HISTORY, lane] = 0
    for lane in range(width if full else rem):
        r = HISTORY + full + (lane < rem)
        if lane + 1 < width:
            rows[r, lane] = rows[HISTORY, lane + 1]
        else:
            rows[r, lane] = rows[r - 1, lane]


@kernel
def centre(stretches, length, centres, listed):
    """Whole means of the stretches; subtracted but from those of listed channels."""
    many = stretches.shape[1]
    for p in range(len(stretches)):
        total = 0.0
        for s in range(many):
            for j in range(MARGIN, MARGIN + length):
                total += stretches[p, s, j]
        centres[p] = np.floor(total / (many * length) + 0.5)
        if not listed[p]:
            for s in range(many):
                for j in range(MARGIN + length + 1):
                    stretches[p, s, j] -= centres[p]


@kernel
def sample_stretches(samples, channels, offsets, steps, starts, length, out):
    """out float64 (channels, stretches, MARGIN + length + TAIL); what lies before the first sample is like it."""
    frames = samples.shape[0]
    for s in range(len(starts)):
        for p in range(len(channels)):
            c = channels[p]
            offset = offsets[p]
            o = out[p, s]
            for j in range(MARGIN + length + 1):
                o[j] = np.float64(I64(samples[min(max(starts[s] - MARGIN + j, 0), frames - 1), c]) - offset)
            if steps[p] > 1:
                inverse = 1 / np.float64(steps[p])
                for j in range(MARGIN + length + 1):
                    o[j] = np.floor(o[j] * inverse + 0.5)
            for j in range(MARGIN + length + 1, MARGIN + length + TAIL):
                o[j] = 0


@kernel
def unfold(lanes, rows, numbers, channels, offsets, steps, samples):
    """Put positions where they belong in samples (frames, all channels): offset + step * (centre + position)."""
    width = len(lanes)
    frames = samples.shape[0]
    full = frames // width
    rem = frames - full * width
    firsts = firsts_of(width, full, rem)
    small = True
    bases = np.empty(len(channels), I32)
    for p in range(len(channels)):
        wide = offsets[p] + numbers[p, CENTRE] * steps[p]
        small &= steps[p] < NARROW and abs(wide) < LOW
        bases[p] = I32(wide)
    if small and samples.shape[1] < SIDE_BY_SIDE:
        unfold_narrow(lanes, rows, channels, bases, steps, firsts, full, samples)
    elif small:
        unfold_wide(lanes, rows, channels, bases, steps, firsts, full, samples)
    for r in range(0 if small else full):
        for p in range(len(channels)):
            wide = offsets[p] + numbers[p, CENTRE] * steps[p]
            for lane in range(len(lanes)):
                value = wide + I64(rows[p, HISTORY + r, lane]) * steps[p]
                samples[firsts[lane] + np.uint64(r), np.uint64(channels[p])] = value
    for p in range(len(channels)):
        base = offsets[p] + numbers[p, CENTRE] * steps[p]
        for lane in range(rem):
            samples[lane * full + lane + full, channels[p]] = base + I64(rows[p, HISTORY + full, lane]) * steps[p]


@kernel
def listed_values(channels, values, samples):
    """Replace the codes of some channels in samples (frames, all channels) by the values that they stand for."""
    last = len(values) - 1
    for t in range(samples.shape[0]):
        for p in range(len(channels)):
            c = np.uint64(channels[p])
            samples[t, c] = values[min(max(I64(samples[t, c]), I64(0)), I64(last))]


@kernel
def fill_narrow(lanes, samples, channels, offsets, steps, firsts, full, rows):
    """`fill` of few channels: some steps of one lane after another, as lanes may lie apart by a power of two."""
    for p in range(len(channels)):
        c = np.uint64(channels[p])
        offset = I32(offsets[p])
        inverse = F32(1) / F32(steps[p])
        for begin in range(0, full, TILE):
            end = min(begin + TILE, full)
            for lane in range(len(lanes)):
                at = firsts[lane]
                for r in range(begin, end):
                    rows[p, HISTORY + r, lane] = F32(I32(samples[at + np.uint64(r), c]) - offset)
            if steps[p] > 1:
                for r in range(begin, end):
                    row = rows[p, HISTORY + r]
                    for lane in range(len(lanes)):
                        row[lane] = np.floor(row[lane] * inverse + F32(0.5))


@kernel
def unfold_wide(lanes, rows, channels, bases, steps, firsts, full, samples):
    """`unfold` of many channels, four at a time, as what they write lies side by side."""
    flat = samples.reshape(-1)
    stride = np.uint64(samples.shape[1])
    starts = np.empty(len(lanes), np.uint64)
    for lane in range(len(lanes)):
        starts[lane] = firsts[lane] * stride
    one, two, three, four = (
        np.empty(len(lanes), samples.dtype),
        np.empty(len(lanes), samples.dtype),
        np.empty(len(lanes), samples.dtype),
        np.empty(len(lanes), samples.dtype),
    )
    fours = len(channels) // 4 * 4
    for r in range(full):
        at = np.uint64(r) * stride
        for p in range(0, fours, 4):
            scaled(lanes, rows[p, HISTORY + r], bases[p], I32(steps[p]), one)
            scaled(lanes, rows[p + 1, HISTORY + r], bases[p + 1], I32(steps[p + 1]), two)
            scaled(lanes, rows[p + 2, HISTORY + r], bases[p + 2], I32(steps[p + 2]), three)
            scaled(lanes, rows[p + 3, HISTORY + r], bases[p + 3], I32(steps[p + 3]), four)
            c, d = at + np.uint64(channels[p]), at + np.uint64(channels[p + 1])
            e, f = at + np.uint64(channels[p + 2]), at + np.uint64(channels[p + 3])
            for lane in range(len(lanes)):
                start = starts[lane]
                flat[start + c] = one[lane]
                flat[start + d] = two[lane]
                flat[start + e] = three[lane]
                flat[start + f] = four[lane]
        for p in range(fours, len(channels)):
            scaled(lanes, rows[p, HISTORY + r], bases[p], I32(steps[p]), one)
            c = at + np.uint64(channels[p])
            for lane in range(len(lanes)):
                flat[starts[lane] + c] = one[lane]


@inlined
def scaled(lanes, row, base, step, values):
    """values: base + step * row."""
    for lane in range(len(lanes)):
        values[lane] = I32(base + I32(I32(row[lane]) * step))


@kernel
def unfold_narrow(lanes, rows, channels, bases, steps, firsts, full, samples):
    """`unfold` of few channels: some steps of one lane after another, as lanes may lie apart by a power of two."""
    for p in range(len(channels)):
        c = np.uint64(channels[p])
        base = bases[p]
        step = I32(steps[p])
        for begin in range(0, full, TILE):
            for lane in range(len(lanes)):
                at = firsts[lane]
                for r in range(begin, min(begin + TILE, full)):
                    value = I32(base + I32(I32(rows[p, HISTORY + r, lane]) * step))
                    samples[at + np.uint64(r), c] = value

"""Footprints: of a spike on several neighbouring channels some waveforms are coded, others are scaled copies of these.

All crossings of a packet's waveforms are already decoded. First the kind of each waveform is coded, with the
coefficients of those of kind `OWN`. A `SCALED` waveform is that of the nearest neighbour with one of kind `OWN`, times
a gain.
"""

from __future__ import annotations

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.telemetry.logarithm import exp2
from spikey.telemetry.symbols import even, symbol
from spikey.telemetry.syntax import (
    GAIN_DELAYS,
    GAIN_ROWS,
    KIND_CONTEXTS,
    KIND_ROWS,
    OWN_COMPONENTS,
    OWN_TROUGH_ROW,
    SHIFT_ROWS,
    SHIFTS,
    code_wave,
    quality_of,
)

OWN, ABSENT, SCALED = 0, 1, 2  # kinds of waveforms
PLANS = 5  # of a packet's waveforms are left out: none; less than a third, less than two thirds, more; all
ALL = PLANS - 1
GAINS = 33  # 2^(2 - i / 2)
GAIN_BITS = 16
UNLIKE = 4  # eighths of an octave between two gains
LARGEST = 8 * (2 + GAIN_BITS)  # the largest gain, 4, times 2^16, in eighths of an octave


@inlined
def neighbour_of(distances, channel, k):
    """Neighbour k of a channel: at each distance first the one before it, then the one after it."""
    return channel + (distances[k >> 1] if k & 1 else -distances[k >> 1])


@kernel
def link_waves(distances, slot, channels, frames, grid, links):
    """Set links int32 (w, 2 n) to the waveforms of neighbours that belong to the same spike, or -1; nearest first.

    distances int64 (n,). slot: frames. channels, frames int64 (w,): of the crossings, in order. grid int32
    (3, channels): scratch.
    """
    grid[:] = -1
    ahead = 0
    for i in range(channels.shape[0]):
        own = frames[i] // slot
        while ahead < channels.shape[0] and frames[ahead] // slot <= own + 1:
            grid[frames[ahead] // slot % 3, channels[ahead]] = ahead
            ahead += 1
        for k in range(2 * distances.shape[0]):
            c = neighbour_of(distances, channels[i], k)
            links[i, k] = -1
            if c < 0 or c >= grid.shape[1]:
                continue
            for at in (own, own - 1, own + 1):
                j = grid[at % 3, c]
                if j >= 0 and frames[j] // slot == at and 2 * abs(frames[j] - frames[i]) <= slot:
                    links[i, k] = j
                    break


@inlined
def source_of(links, kinds, i):
    """The waveform of kind `OWN` from which waveform i may be scaled, or -1, and its rank among the links."""
    for k in range(links.shape[1]):
        j = links[i, k]
        if j >= 0 and kinds[j] == OWN:
            return np.int64(j), np.int64(k)
    return np.int64(-1), np.int64(0)


@inlined
def shift_row(late):
    """The row for the trough of a scaled waveform; late: frames from its crossing to the trough of its source."""
    return SHIFT_ROWS + min(max(late + 1, 0), SHIFTS - 1)


@inlined
def gain_row(late, rank):
    """The row for the gain of a scaled waveform; late: frames from its source's crossing to its own."""
    near = 0 if rank < 2 else (1 if rank < 4 else 2)
    return GAIN_ROWS + near * GAIN_DELAYS + min(max(late + 3, 0), GAIN_DELAYS - 1)


@inlined
def _kind_row(plan, links, frames, kinds, i):
    """The row for the kind of waveform i."""
    earlier, own, later = 0, 0, 0
    for k in range(links.shape[1]):
        j = links[i, k]
        if j >= 0:
            earlier += 1 if frames[j] < frames[i] else 0
            if j > i:
                later = 1
            elif kinds[j] == OWN:
                own = 1
    return KIND_ROWS + plan * KIND_CONTEXTS + 4 * min(earlier, 3) + 2 * own + later


@kernel
def code_footprints(coder, tables, size, plan, links, frames, kinds, offsets, waves, gains):
    """Code the waveforms of crossings: first the kinds and those of kind `OWN`, then those scaled from them.

    size, plan int64 (1,). links, frames: as in `link_waves`. kinds, offsets, gains uint8 (w,): offsets of the troughs.
    waves int32 (w, 13).
    """
    plan[0] = even(coder, PLANS, plan[0])
    if plan[0] == ALL:
        kinds[:] = ABSENT
        return
    quality = quality_of(size[0])
    for i in range(kinds.shape[0]):
        kinds[i] = min(symbol(coder, tables, _kind_row(plan[0], links, frames, kinds, i), kinds[i]), SCALED)
        if kinds[i] == OWN:
            offsets[i] = symbol(coder, tables, OWN_TROUGH_ROW, offsets[i])
            code_wave(coder, tables, quality, waves[i], OWN_COMPONENTS)
    for i in range(kinds.shape[0]):
        if kinds[i] == SCALED:
            j, rank = source_of(links, kinds, i)
            if j < 0:  # no encoder makes such a packet
                kinds[i] = ABSENT
                continue
            late = frames[j] + offsets[j] - frames[i]
            offsets[i] = symbol(coder, tables, shift_row(late), offsets[i])
            gains[i] = symbol(coder, tables, gain_row(frames[i] - frames[j], rank), gains[i])


@inlined
def gain_of(i):
    """The gain of an index, times 2^16."""
    return exp2(LARGEST - UNLIKE * np.int64(i))


@kernel
def restore_scaled(links, kinds, gains, snippets):
    """Set the snippets int32 (w, length) that are scaled from others; the others are given."""
    for i in range(kinds.shape[0]):
        if kinds[i] == SCALED:
            j, _ = source_of(links, kinds, i)
            gain = gain_of(gains[i])
            for s in range(snippets.shape[1]):
                snippets[i, s] = (snippets[j, s] * gain + (1 << (GAIN_BITS - 1))) >> GAIN_BITS

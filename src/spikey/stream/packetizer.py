"""From modelled frames to the bytes of packets of a limited size.

How many frames fit into a packet shows only when they are coded. So the model's intervals are stored first, and then
put into range coders, a frame at a time; a frame that is too much is taken back and begins the next packet.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import entry, generic, inlined, kernel
from spikey.coding.range_coder import FULL, RangeEncoder, close, put, range_encoder
from spikey.coding.symbols import encode
from spikey.model.density import Narrow, Wide, cumulative, standardise
from spikey.stream.channels import code_frame

SLOTS = 3  # intervals of a sample, at most: a wide alphabet's code outside the window
TAIL = 7  # bytes at most that end a packet


class Intervals(NamedTuple):
    """A coder that stores the intervals for a range coder.

    low, counts int32 (room,): of all lanes, one after the other. at int64 (lanes,): where the lane's next one goes.
    start int64 (lanes,): where its first is. frames int64 (lanes,): those that are there.
    ends int64 (lanes, most frames): where each of them ends.
    """

    low: np.ndarray
    counts: np.ndarray
    at: np.ndarray
    start: np.ndarray
    frames: np.ndarray
    ends: np.ndarray


class PacketBuffer(NamedTuple):
    """Finished packets of all lanes.

    data uint8 (room,): their bytes. rows int64 (packets, 4): lane, frames, where its bytes begin and end.
    used int64 (1,): how many there are. failed int64 (lanes,): 1 where a single frame does not fit.
    """

    data: np.ndarray
    rows: np.ndarray
    used: np.ndarray
    failed: np.ndarray


def intervals(channels: np.ndarray, frames: int) -> Intervals:
    """Room for at most `frames` frames of lanes of so many `channels` int64 (lanes,)."""
    room = SLOTS * frames * channels
    start = np.concatenate([[0], np.cumsum(room)[:-1]]).astype(np.int64)
    low, counts = np.zeros((2, int(room.sum())), dtype=np.int32)
    lanes = len(channels)
    return Intervals(
        low, counts, start.copy(), start, np.zeros(lanes, dtype=np.int64), np.zeros((lanes, frames), dtype=np.int64)
    )


def begin_packets(coder: Intervals, lanes: np.ndarray) -> None:
    """Begin the next packets of some lanes."""
    coder.at[lanes] = coder.start[lanes]
    coder.frames[lanes] = 0


class LaneProgress(NamedTuple):
    """How far each lane is, int64 (lanes,): the packet's first frame, the frame to be put, and its intervals."""

    first: np.ndarray
    next: np.ndarray
    begin: np.ndarray
    end: np.ndarray


class Packetizer(NamedTuple):
    """What `pack_frames` works with: a range encoder, room for the finished packets, and how far it is."""

    encoder: RangeEncoder
    packets: PacketBuffer
    progress: LaneProgress


def packetizer(channels: np.ndarray, frames: int, limit: int) -> Packetizer:
    """For lanes of so many `channels` int64 (lanes,), at most `frames` frames and packets of at most `limit` bytes."""
    lanes, longest = len(channels), 4 * SLOTS * int(channels.max()) + TAIL  # bytes of a frame, at most
    encoder = range_encoder(lanes, limit + longest)
    rows = np.zeros((lanes * frames, 4), dtype=np.int64)
    packets = PacketBuffer(
        np.zeros(min(len(rows) * limit, longest * len(rows)), dtype=np.uint8),
        rows,
        np.zeros(1, dtype=np.int64),
        np.zeros(lanes, dtype=np.int64),
    )
    return Packetizer(encoder, packets, LaneProgress(*np.zeros((4, lanes), dtype=np.int64)))


@code_frame.register(Intervals)
def _model_frame(coder, states, lanes, codes, scratch):
    for lane in lanes:
        begin, end = scratch.first[lane], scratch.end[lane]
        if begin < end:
            model_row(states.density, coder, lane, states.location[begin:end], states.step[begin:end], codes[begin:end])
            coder.ends[lane, coder.frames[lane]] = coder.at[lane]
            coder.frames[lane] += 1


@generic
def model_row(density, coder, lane, location, step, codes):
    """Note the intervals of a group's frame; location, step int64 and codes int32 (channels of the group,)."""


@model_row.register(Narrow)
def _model_row_narrow(density, coder, lane, location, step, codes):
    # What `encode` does, one short loop after the other, as those can do many channels at once.
    at, size = coder.at[lane], codes.shape[0]
    low, counts = coder.low[at : at + size], coder.counts[at : at + size]
    edges, table, reciprocal = density.edges, density.table, density.reciprocal
    for c in range(size):
        low[c] = entry(edges, codes[c]) - location[c]
    for c in range(size):
        counts[c] = entry(edges, codes[c] + 1) - location[c]
    for c in range(size):
        low[c] = standardise(np.int64(low[c]), entry(reciprocal, step[c]))
    for c in range(size):
        counts[c] = standardise(np.int64(counts[c]), entry(reciprocal, step[c]))
    for c in range(size):
        low[c] = cumulative(table, np.int64(low[c])) + codes[c]
    for c in range(size):
        counts[c] = cumulative(table, np.int64(counts[c])) + codes[c] + 1 - low[c]
    coder.at[lane] = at + size


@model_row.register(Wide)
def _model_row_wide(density, coder, lane, location, step, codes):
    for c in range(codes.shape[0]):
        encode(density, coder, lane, location[c], step[c], np.int64(codes[c]))


@put.register(Intervals)
def _put_intervals(coder, lane, low_counts, counts):
    at = coder.at[lane]
    coder.low[at] = low_counts
    coder.counts[at] = counts
    coder.at[lane] = at + 1


@kernel
def pack_frames(intervals, lanes, encoder, limits, packets, progress):
    """Put the frames of some lanes into packets; they take turns, as each step of a coder waits for the one before.

    lanes uint64: which. limits int64 (all lanes, 2): bytes of a lane's first packet, and of the others. progress: room.
    """
    packets.used[0] = 0
    for lane in lanes:
        progress.first[lane] = progress.next[lane] = packets.failed[lane] = 0
        _clear(encoder, lane)
    left = lanes.shape[0]
    while left > 0:
        longest = 0
        for lane in lanes:
            begin, end = _frame(intervals, lane, progress.next[lane])
            progress.begin[lane], progress.end[lane] = begin, end
            longest = max(longest, end - begin)
        for index in range(longest):
            for lane in lanes:
                at = np.uint64(progress.begin[lane] + index)
                if at < np.uint64(progress.end[lane]):
                    put(encoder, lane, np.int64(intervals.low[at]), np.int64(intervals.counts[at]))
        left = 0
        for lane in lanes:
            left += _advance(intervals, encoder, limits, packets, progress, lane)


@inlined
def _frame(intervals, lane, frame):
    """Where the intervals of a lane's frame are; nowhere past the last."""
    begin = intervals.start[lane] if frame == 0 else intervals.ends[lane, frame - 1]
    return begin, intervals.ends[lane, frame] if frame < intervals.frames[lane] else begin


@inlined
def _clear(encoder, lane):
    encoder.low[lane], encoder.width[lane], encoder.at[lane] = 0, FULL, 0


@kernel
def _advance(intervals, encoder, limits, packets, progress, lane):
    """After a lane's frame was put: on to the next one, or to the next packet; 1 while there is something to do."""
    first, frame, frames = progress.first[lane], progress.next[lane], intervals.frames[lane]
    if frame == frames:
        return 0
    if encoder.at[lane] + TAIL <= limits[lane, 0 if first == 0 else 1]:
        progress.next[lane] = frame + 1
        if frame + 1 == frames:
            _seal(encoder, packets, lane, frames - first)
            return 0
        return 1
    if frame == first:
        packets.failed[lane] = 1
        progress.next[lane] = frames
        return 0
    # This frame is too much: the packet is put together again without it.
    _clear(encoder, lane)
    begin, _ = _frame(intervals, lane, first)
    end, _ = _frame(intervals, lane, frame)
    for at in range(begin, end):
        put(encoder, lane, np.int64(intervals.low[at]), np.int64(intervals.counts[at]))
    _seal(encoder, packets, lane, frame - first)
    _clear(encoder, lane)
    progress.first[lane] = frame
    return 1


@inlined
def _seal(encoder, packets, lane, frames):
    """End a packet."""
    size, used = close(encoder, lane), packets.used[0]
    begin = packets.rows[used - 1, 3] if used > 0 else 0
    for i in range(size):
        packets.data[begin + i] = encoder.out[lane, i]
    packets.rows[used, 0], packets.rows[used, 1] = lane, frames
    packets.rows[used, 2], packets.rows[used, 3] = begin, begin + size
    packets.used[0] = used + 1

"""The state of all channels of a stream, and the loop that models some frames of them.

Channels are in groups; a group's channels share one range coder and one clock, and start anew together at a key
packet. Predictor, scale and density are those of the `realtime` file codec; each channel learns alone. So that no frame
has more to do than others, the channels of a group solve for their weights at different frames.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikey.coding.block import ORDER
from spikey.coding.loop import one_sample
from spikey.coding.range_coder import FULL, RangeDecoder, close, put
from spikey.coding.symbols import decode, encode, transfer
from spikey.kernels import inlined, kernel
from spikey.model.density import step_of
from spikey.model.fixed import POSITION_BITS, SCALE_MAX, SCALE_MIN, SPREAD
from spikey.model.lpc import PRIOR, SEGMENT, Separate, adapt, member, separate, solve
from spikey.model.scale import BYTE_BITS, Scale, scale

ROOM = 1024  # samples of each channel that are held
KEPT = 520  # of them when the oldest go: more than any segment has
TAIL = 7  # bytes at most that end a packet
SLOTS = 3  # intervals of a sample, at most
OPENINGS = 224  # frames after a key when the short segments (32, 64, 128) are over


class Bank(NamedTuple):
    """State of a stream's channels.

    predictor: `Separate`, one lane a channel; scale: `Scale`, one lane a channel; density: of all of them.
    first int64 (groups + 1,): each group's first channel. at int64 (groups,): where in the predictors' memory the next
    frame goes; 0 after a key. age int64 (groups,): frames since the key.
    since, due int64 (channels,): where the running segment began, and at which age it ends.
    prior int64 (lags,): correlations to start from.
    """

    predictor: Separate
    scale: Scale
    density: Any
    first: np.ndarray
    at: np.ndarray
    age: np.ndarray
    since: np.ndarray
    due: np.ndarray
    prior: np.ndarray


class Intervals(NamedTuple):
    """A coder that keeps what a range coder will be told: SLOTS intervals at most for each sample of a push.

    at int64 (lanes,): a channel's next slot. low, counts int32 (frames * channels, SLOTS): counts are 0 where a slot is
    not used.
    """

    at: np.ndarray
    low: np.ndarray
    counts: np.ndarray


class Shared(NamedTuple):
    """A range decoder whose lane 0 all channels share."""

    decoder: RangeDecoder


def intervals(channels: int, frames: int) -> Intervals:
    """Room for pushes of at most `frames` frames."""
    at, (low, counts) = np.zeros(channels, dtype=np.int64), np.zeros((2, frames * channels, SLOTS), dtype=np.int32)
    return Intervals(at, low, counts)


@put.register(Intervals)
def _put_intervals(coder, lane, low_counts, counts):
    at = coder.at[lane]
    for slot in range(SLOTS):
        if coder.counts[at, slot] == 0:
            coder.low[at, slot] = low_counts
            coder.counts[at, slot] = counts
            return


@transfer.register(Intervals)
def _transfer_intervals(coder, density, lane, location, step, code):
    encode(density, coder, lane, location, step, code)
    return code


@transfer.register(Shared)
def _transfer_shared(coder, density, lane, location, step, code):
    return decode(density, coder.decoder, 0, location, step)


def bank(first: np.ndarray, codes: int, density: Any, prior: np.ndarray | None) -> Bank:
    """The bank of groups that begin at channels `first` int64 (groups + 1,), over an alphabet of `codes`.

    Every group needs a key before its first frame.
    """
    channels, groups = int(first[-1]), len(first) - 1
    known = np.zeros(ORDER + 1, dtype=np.int64)
    if prior is not None:
        known[: len(prior)] = prior[: ORDER + 1]
    return Bank(
        separate(ORDER, ROOM, codes, [0] * channels),
        scale(channels, codes, 0),
        density,
        first,
        np.zeros(groups, dtype=np.int64),
        np.zeros(groups, dtype=np.int64),
        np.zeros(channels, dtype=np.int64),
        np.zeros(channels, dtype=np.int64),
        known,
    )


@kernel
def reset(bank, group, initial):
    """Start a group anew; initial uint8 (channels of the group,): bytes of their scales, as in a block's header."""
    bank.at[group] = 0
    bank.age[group] = 0
    begin = bank.first[group]
    order = bank.predictor.weights.shape[1]
    for channel in range(begin, bank.first[group + 1]):
        value = min(SCALE_MIN + (np.int64(initial[channel - begin]) << BYTE_BITS), SCALE_MAX)
        bank.scale.value[channel] = value
        spread = SPREAD[step_of(value)] >> POSITION_BITS
        one = member(bank.predictor, channel)
        spread = min(spread, 2 * one.middle[0])
        for k in range(order + 1):
            one.correlations[k] = (bank.prior[k] * PRIOR * spread * spread) >> (16 + one.shift[0])
        solve(one.correlations, one.weights, one.scratch)
        for i in range(order):
            one.signal[0, i] = 0
        one.last[0] = one.middle[0]
        bank.since[channel] = 0
        bank.due[channel] = 32


@inlined
def _sample(coder, bank, group, channel, at, age, code):
    """Code one sample of a channel, at `at` in memory and `age` after the key."""
    code = one_sample(coder, bank.predictor, bank.density, bank.scale, channel, at, code)
    if age + 1 == bank.due[channel]:
        begin = bank.first[group]
        adapt(member(bank.predictor, channel), bank.since[channel], at + 1, age >= OPENINGS)
        bank.since[channel] = at + 1
        bank.due[channel] = due_after(age + 1, channel - begin, bank.first[group + 1] - begin)
    if at + 1 == ROOM:
        signal = bank.predictor.signal[channel, 0]
        for i in range(KEPT + bank.predictor.weights.shape[1]):
            signal[i] = signal[i + ROOM - KEPT]
        bank.since[channel] -= ROOM - KEPT
    return code


@inlined
def _next(at):
    """Where in memory the next sample goes."""
    return at + 1 if at + 1 < ROOM else KEPT


@kernel
def decode_frames(decoder, bank, group, codes):
    """Decode frames of a group into codes int32 (frames, channels of the bank), one frame after the other."""
    at, age = bank.at[group], bank.age[group]
    for frame in range(codes.shape[0]):
        for channel in range(bank.first[group], bank.first[group + 1]):
            codes[frame, channel] = _sample(decoder, bank, group, channel, at, age, np.int64(0))
        at, age = _next(at), age + 1
    bank.at[group], bank.age[group] = at, age


@kernel
def model_frames(intervals, bank, first, end, codes, row):
    """Model codes int32 (frames, channels of the bank) of groups [first, end), the packet's frames from `row` on.

    It runs over one channel after the other, which is faster than frame by frame.
    """
    frames, channels = codes.shape
    for group in range(first, end):
        for channel in range(bank.first[group], bank.first[group + 1]):
            at, age = bank.at[group], bank.age[group]
            for frame in range(frames):
                slot = (row + frame) * channels + channel
                for i in range(SLOTS):
                    intervals.counts[slot, i] = 0
                intervals.at[channel] = slot
                _sample(intervals, bank, group, channel, at, age, np.int64(codes[frame, channel]))
                at, age = _next(at), age + 1
        for _ in range(frames):
            bank.at[group], bank.age[group] = _next(bank.at[group]), bank.age[group] + 1


@kernel
def due_after(age, index, channels):
    """The age at which a segment that begins at `age` ends, for the channel `index` of `channels` in its group."""
    if age < OPENINGS:
        return 2 * age + 32
    if age == OPENINGS:
        return age + SEGMENT + (SEGMENT * index) // channels
    return age + SEGMENT


@kernel
def pack_frames(intervals, bank, group, frames, encoder, backup, first_limit, limit, lengths, sizes):
    """Put a group's modelled frames into lanes of a range encoder, in the order in which they will be decoded.

    Each lane has at most `limit` bytes, the first one `first_limit`. backup uint8 (capacity,): room. lengths, sizes
    int64 (lanes,): set to frames and bytes of each lane. Returns the lanes used; 0 where a single frame does not fit.
    """
    begin, end, channels = bank.first[group], bank.first[group + 1], bank.since.shape[0]
    used = done = 0
    while done < frames:
        most = first_limit if used == 0 else limit
        encoder.low[used], encoder.width[used], encoder.at[used] = 0, FULL, 0
        frame = done
        while frame < frames:
            low, width, at = encoder.low[used], encoder.width[used], encoder.at[used]
            near = at + 4 * SLOTS * (end - begin) + TAIL > most
            if near:
                for i in range(at):
                    backup[i] = encoder.out[used, i]
            for slot in range(frame * channels + begin, frame * channels + end):
                for i in range(SLOTS):
                    if intervals.counts[slot, i] > 0:
                        put(encoder, used, np.int64(intervals.low[slot, i]), np.int64(intervals.counts[slot, i]))
            if near and encoder.at[used] + TAIL > most:
                for i in range(at):
                    encoder.out[used, i] = backup[i]
                encoder.low[used], encoder.width[used], encoder.at[used] = low, width, at
                break
            frame += 1
        if frame == done:
            return 0
        lengths[used], sizes[used] = frame - done, close(encoder, used)
        used += 1
        done = frame
    return used

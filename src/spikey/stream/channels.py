"""The state of all channels of a stream, and the loop that codes some frames of them.

Channels are in groups; a group's channels share one range coder and one clock, and restart together at a key
packet. Predictor, scale and density are those of files coded by `lpc`; each channel adapts alone. So that no frame has
more to do than others, the channels of a group solve for their weights at different frames.

The data of a frame are contiguous over channels, so that predictions and scales of many are computed at once;
only the range coder works channel by channel. Several groups are interleaved in it, as each step waits for the last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from spikey.base.jit import entry, generic, inlined, kernel
from spikey.codec.builtin import ORDER
from spikey.coding.range_coder import RangeDecoder, range_decoder
from spikey.coding.symbols import decode, decode_target
from spikey.model.density import position, standardise, step_of
from spikey.model.fixed_point import (
    FARTHEST,
    POSITION_BITS,
    SCALE_MAX,
    SCALE_MIN,
    SPREAD,
    UNIT,
    UPDATE,
    UPDATE_BITS,
    UPDATE_LAST,
    WEIGHT_BITS,
)
from spikey.model.lpc import PRIOR, SEGMENT, correlate, forget, solve
from spikey.model.scale import BYTE_BITS, opening_scale
from spikey.stream.packet import MOST_CHANNELS

RATE = 2  # of the running scale, a row of the table of updates: as in `scale`
WINDOW = 84  # rows of the latest differences: more than ORDER, so that they are seldom moved
OPENINGS = 224  # frames after a key when the short segments (32, 64, 128) are over
TOGETHER = 5  # groups that are interleaved
MOST_GROUPS = 256


class ChannelStates(NamedTuple):
    """State of a stream's channels.

    density: of all of them. update int32 (97,): the changes of a scale.
    first, end int64 (groups,): each group's channels. age int64 (groups,): frames since the key.
    row int64 (groups,): of `window`, where the oldest of the latest frames is. soon int64 (groups,): the first age at
    which a segment ends.
    weights int32 (ORDER, channels), window int32 (WINDOW, channels): as in `Lpc`, frame by frame.
    history int32 (channels, ORDER + 2 * SEGMENT): the running segment of each channel, after the frames before it.
    correlations int64 (channels, ORDER + 1): as in `Lpc`.
    last, location, scale, step int64 (channels,): position before, prediction, log2 of the scale and its table index.
    since, due int64 (channels,): at which age the running segment began and ends.
    prior int64 (ORDER + 1,): correlations to start from. constants int64 (3,): middle of the alphabet in 1/64 LSB,
    bits dropped from correlations, scale of a key's first frame.
    """

    density: Any
    update: np.ndarray
    first: np.ndarray
    end: np.ndarray
    age: np.ndarray
    row: np.ndarray
    soon: np.ndarray
    weights: np.ndarray
    window: np.ndarray
    history: np.ndarray
    correlations: np.ndarray
    last: np.ndarray
    location: np.ndarray
    scale: np.ndarray
    step: np.ndarray
    since: np.ndarray
    due: np.ndarray
    prior: np.ndarray
    constants: np.ndarray


class Scratch(NamedTuple):
    """Scratch arrays of one thread.

    recursion int64 (3, ORDER + 1), weights int32 (ORDER,): for `solve`. first, end int64 (256,): channels of each lane.
    here, z int64 (MOST_CHANNELS,): of each channel of a group.
    """

    recursion: np.ndarray
    weights: np.ndarray
    first: np.ndarray
    end: np.ndarray
    here: np.ndarray
    z: np.ndarray


def channel_states(channels: int, groups: int, alphabet: int, density: Any, prior: np.ndarray | None) -> ChannelStates:
    """States over an alphabet of that size; the groups' first and last channels are still to be set.

    Every group needs a key before its first frame. Groups without a key take no memory.
    """
    start = np.zeros(ORDER + 1, dtype=np.int64)
    if prior is not None:
        start[: len(prior)] = prior[: ORDER + 1]

    def integers(*shape: int, dtype: type = np.int64) -> np.ndarray:
        return np.zeros(shape, dtype=dtype)

    shift = 2 * max(alphabet.bit_length() - 10, 0)
    return ChannelStates(
        density,
        UPDATE[RATE],
        integers(groups),
        integers(groups),
        integers(groups),
        integers(groups),
        integers(groups),
        integers(ORDER, channels, dtype=np.int32),
        integers(WINDOW, channels, dtype=np.int32),
        integers(channels, ORDER + 2 * SEGMENT, dtype=np.int32),
        integers(channels, ORDER + 1),
        integers(channels),
        integers(channels),
        integers(channels),
        integers(channels),
        integers(channels),
        integers(channels),
        start,
        np.array([alphabet * UNIT // 2, shift, opening_scale(alphabet)], dtype=np.int64),
    )


def scratch() -> Scratch:
    """Scratch arrays for a thread."""
    return Scratch(
        np.zeros((3, ORDER + 1), dtype=np.int64),
        np.zeros(ORDER, dtype=np.int32),
        *np.zeros((2, MOST_GROUPS), dtype=np.int64),
        *np.zeros((2, MOST_CHANNELS), dtype=np.int64),
    )


@kernel
def reset(states, group, initial, scratch):
    """Restart a group; initial uint8 (channels of the group,): bytes of their scales, as in a block's header."""
    begin, end = states.first[group], states.end[group]
    states.age[group], states.row[group], states.soon[group] = 0, 0, 32
    middle, shift = states.constants[0], states.constants[1]
    for channel in range(begin, end):
        value = min(SCALE_MIN + (np.int64(initial[channel - begin]) << BYTE_BITS), SCALE_MAX)
        states.scale[channel] = value
        spread = min(SPREAD[step_of(value)] >> POSITION_BITS, 2 * middle)
        for k in range(ORDER + 1):
            states.correlations[channel, k] = (states.prior[k] * PRIOR * spread * spread) >> (16 + shift)
        _solve_weights(states, channel, scratch)
        for i in range(ORDER):
            states.window[i, channel] = 0
            states.history[channel, i] = 0
        states.last[channel] = middle
        states.since[channel], states.due[channel] = 0, 32


@inlined
def _solve_weights(states, channel, scratch):
    """New weights for a channel."""
    solve(states.correlations[channel], scratch.weights, scratch.recursion)
    for i in range(ORDER):
        states.weights[i, channel] = scratch.weights[i]


class TwoStepDecoder(NamedTuple):
    """A range decoder that decodes in two steps, so that lanes need not wait for each other's divisions and tables.

    wanted, near int64 (lanes,): results of the first step, `decode_target`, for the second.
    """

    decoder: RangeDecoder
    wanted: np.ndarray
    near: np.ndarray


def two_step_decoder(streams: list[bytes]) -> TwoStepDecoder:
    """Start decoding one stream a lane."""
    return TwoStepDecoder(range_decoder(streams), *np.zeros((2, len(streams)), dtype=np.int64))


@generic
def code_frame(coder, states, lanes, codes, scratch):
    """Code one frame of some lanes, whose channels are those in `scratch`; codes int32 (all channels,)."""


@code_frame.register(TwoStepDecoder)
def _decode_frame(coder, states, lanes, codes, scratch):
    longest = 0
    for lane in lanes:
        longest = max(longest, scratch.end[lane] - scratch.first[lane])
    for index in range(longest):
        for lane in lanes:
            channel, place = np.uint64(scratch.first[lane] + index), np.uint64(lane)
            if channel < np.uint64(scratch.end[lane]):
                wanted, near = decode_target(
                    states.density, coder.decoder, place, states.location[channel], states.step[channel]
                )
                coder.wanted[lane], coder.near[lane] = wanted, near
        for lane in lanes:
            channel, place = np.uint64(scratch.first[lane] + index), np.uint64(lane)
            if channel < np.uint64(scratch.end[lane]):
                location, step = states.location[channel], states.step[channel]
                wanted, near = coder.wanted[lane], coder.near[lane]
                codes[channel] = decode(states.density, coder.decoder, place, location, step, wanted, near)


@kernel
def run_frames(coder, states, groups, lengths, codes, scratch):
    """Code frames of some groups; each is a lane of the coder. Encoding and decoding differ only in its type.

    groups, lengths int64 (lanes,): which, and how many frames of each. codes int32 (frames, all channels): read
    when encoding, written when decoding.
    """
    for lead in range(0, groups.shape[0], TOGETHER):
        lanes = range(lead, min(lead + TOGETHER, groups.shape[0]))
        longest = 0
        for lane in lanes:
            longest = max(longest, lengths[lane])
        for frame in range(longest):
            for lane in lanes:
                scratch.first[lane], scratch.end[lane] = 0, 0
                if frame < lengths[lane]:
                    scratch.first[lane], scratch.end[lane] = states.first[groups[lane]], states.end[groups[lane]]
                    _predict(states, groups[lane])
            code_frame(coder, states, lanes, codes[frame], scratch)
            for lane in lanes:
                if frame < lengths[lane]:
                    _update(states, groups[lane], codes[frame], scratch)
                    _advance(states, groups[lane], scratch)


@inlined
def _predict(states, group):
    """Predict a group's next frame: locations and steps."""
    begin, end, row = states.first[group], states.end[group], states.row[group]
    location, last = states.location[begin:end], states.last[begin:end]
    for c in range(end - begin):
        location[c] = 1 << (WEIGHT_BITS - 1)
    for i in range(0, ORDER, 4):
        w0, w1 = states.weights[i, begin:end], states.weights[i + 1, begin:end]
        w2, w3 = states.weights[i + 2, begin:end], states.weights[i + 3, begin:end]
        s0, s1 = states.window[row + i, begin:end], states.window[row + i + 1, begin:end]
        s2, s3 = states.window[row + i + 2, begin:end], states.window[row + i + 3, begin:end]
        for c in range(end - begin):
            location[c] += (
                np.int64(w0[c]) * np.int64(s0[c])
                + np.int64(w1[c]) * np.int64(s1[c])
                + np.int64(w2[c]) * np.int64(s2[c])
                + np.int64(w3[c]) * np.int64(s3[c])
            )
    for c in range(end - begin):
        location[c] = min(max(last[c] + (location[c] >> WEIGHT_BITS), -FARTHEST), FARTHEST)
    step, scale = states.step[begin:end], states.scale[begin:end]
    if states.age[group] > 0:
        for c in range(end - begin):
            step[c] = step_of(scale[c])
    else:
        for c in range(end - begin):
            step[c] = step_of(states.constants[2])


@inlined
def _update(states, group, codes, scratch):
    """Update a group's states with a frame. Short loops, which can be vectorised over channels."""
    begin, end, age = states.first[group], states.end[group], states.age[group]
    own, here, z = codes[begin:end], scratch.here[: end - begin], scratch.z[: end - begin]
    location, step, last = states.location[begin:end], states.step[begin:end], states.last[begin:end]
    for c in range(end - begin):
        here[c] = position(states.density, np.int64(own[c]))
    signal = states.window[states.row[group] + ORDER, begin:end]
    if age > 0:
        reciprocal, scale = states.density.reciprocal, states.scale[begin:end]
        for c in range(end - begin):
            away = abs(standardise(here[c] - location[c], entry(reciprocal, step[c])))
            z[c] = min(away >> UPDATE_BITS, UPDATE_LAST)
        for c in range(end - begin):
            scale[c] = min(max(scale[c] + entry(states.update, z[c]), SCALE_MIN), SCALE_MAX)
        for c in range(end - begin):
            signal[c] = here[c] - last[c]
    else:  # there is no difference to a frame before
        for c in range(end - begin):
            signal[c] = 0
    for c in range(end - begin):
        last[c] = here[c]
    for c in range(end - begin):
        states.history[begin + c, ORDER + age - states.since[begin + c]] = signal[c]


@inlined
def _advance(states, group, scratch):
    """After a frame of a group: solve for the weights whose segment ends with it."""
    begin, end, age = states.first[group], states.end[group], states.age[group] + 1
    states.age[group] = age
    states.row[group] += 1
    if states.row[group] + ORDER == WINDOW:
        for i in range(ORDER):
            to, came = states.window[i, begin:end], states.window[WINDOW - ORDER + i, begin:end]
            for c in range(end - begin):
                to[c] = came[c]
        states.row[group] = 0
    if age == states.soon[group]:
        soon = np.int64(1) << 62
        for channel in range(begin, end):
            if states.due[channel] == age:
                _refit(states, channel, age, scratch)
                states.due[channel] = due_after(age, channel - begin, end - begin)
            soon = min(soon, states.due[channel])
        states.soon[group] = soon


@inlined
def _refit(states, channel, age, scratch):
    """Refit the predictor to a channel's segment that ends at `age`, and begin the next one."""
    length = age - states.since[channel]
    history, correlations = states.history[channel], states.correlations[channel]
    if age > OPENINGS:
        forget(correlations)
    correlate(history, ORDER, ORDER + length, correlations, states.constants[1])
    _solve_weights(states, channel, scratch)
    for i in range(ORDER):
        history[i] = history[length + i]
    states.since[channel] = age


@kernel
def due_after(age, index, channels):
    """The age at which a segment that begins at `age` ends, for the channel `index` of `channels` in its group."""
    if age < OPENINGS:
        return 2 * age + 32
    if age == OPENINGS:
        return age + SEGMENT + (SEGMENT * index) // channels
    return age + SEGMENT

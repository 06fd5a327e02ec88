"""The state of all channels of a stream, and the loop that codes some frames of them.

Channels are in groups; a group's channels share one range coder and one clock, and start anew together at a key
packet. Predictor, scale and density are those of the `realtime` file codec; each channel learns alone. So that no frame
has more to do than others, the channels of a group solve for their weights at different frames.

What a frame needs lies side by side for all channels, so that predictions and scales of many are computed at once;
only the range coder goes from channel to channel. Several groups take turns in it, as each step waits for the last one.
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
WINDOW = 84  # rows of the latest differences: ORDER and some, so that they are seldom moved
OPENINGS = 224  # frames after a key when the short segments (32, 64, 128) are over
TOGETHER = 5  # groups that take turns
MOST_GROUPS = 256


class Bank(NamedTuple):
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
    """Room for one thread.

    recursion int64 (3, ORDER + 1), weights int32 (ORDER,): for `solve`. first, end int64 (256,): channels of each lane.
    here, z int64 (MOST_CHANNELS,): of each channel of a group.
    """

    recursion: np.ndarray
    weights: np.ndarray
    first: np.ndarray
    end: np.ndarray
    here: np.ndarray
    z: np.ndarray


def bank(channels: int, groups: int, codes: int, density: Any, prior: np.ndarray | None) -> Bank:
    """A bank over an alphabet of `codes`; the groups' first and last channels are still to be set.

    Every group needs a key before its first frame. What no key has touched takes no memory.
    """
    known = np.zeros(ORDER + 1, dtype=np.int64)
    if prior is not None:
        known[: len(prior)] = prior[: ORDER + 1]

    def integers(*shape: int, dtype: type = np.int64) -> np.ndarray:
        return np.zeros(shape, dtype=dtype)

    shift = 2 * max(codes.bit_length() - 10, 0)
    return Bank(
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
        known,
        np.array([codes * UNIT // 2, shift, opening_scale(codes)], dtype=np.int64),
    )


def scratch() -> Scratch:
    """Room for a thread."""
    return Scratch(
        np.zeros((3, ORDER + 1), dtype=np.int64),
        np.zeros(ORDER, dtype=np.int32),
        *np.zeros((2, MOST_GROUPS), dtype=np.int64),
        *np.zeros((2, MOST_CHANNELS), dtype=np.int64),
    )


@kernel
def reset(bank, group, initial, scratch):
    """Start a group anew; initial uint8 (channels of the group,): bytes of their scales, as in a block's header."""
    begin, end = bank.first[group], bank.end[group]
    bank.age[group], bank.row[group], bank.soon[group] = 0, 0, 32
    middle, shift = bank.constants[0], bank.constants[1]
    for channel in range(begin, end):
        value = min(SCALE_MIN + (np.int64(initial[channel - begin]) << BYTE_BITS), SCALE_MAX)
        bank.scale[channel] = value
        spread = min(SPREAD[step_of(value)] >> POSITION_BITS, 2 * middle)
        for k in range(ORDER + 1):
            bank.correlations[channel, k] = (bank.prior[k] * PRIOR * spread * spread) >> (16 + shift)
        _weigh(bank, channel, scratch)
        for i in range(ORDER):
            bank.window[i, channel] = 0
            bank.history[channel, i] = 0
        bank.last[channel] = middle
        bank.since[channel], bank.due[channel] = 0, 32


@inlined
def _weigh(bank, channel, scratch):
    """New weights for a channel."""
    solve(bank.correlations[channel], scratch.weights, scratch.recursion)
    for i in range(ORDER):
        bank.weights[i, channel] = scratch.weights[i]


class Aimed(NamedTuple):
    """A range decoder that decodes in two steps, so that lanes need not wait for each other's divisions and tables.

    wanted, near int64 (lanes,): what the first step, `decode_target`, leaves to the second.
    """

    decoder: RangeDecoder
    wanted: np.ndarray
    near: np.ndarray


def aimed(streams: list[bytes]) -> Aimed:
    """Start decoding one stream a lane."""
    return Aimed(range_decoder(streams), *np.zeros((2, len(streams)), dtype=np.int64))


@generic
def code_frame(coder, bank, lanes, codes, scratch):
    """Code one frame of some lanes, whose channels `scratch` names; codes int32 (channels of the bank,)."""


@code_frame.register(Aimed)
def _decode_frame(coder, bank, lanes, codes, scratch):
    longest = 0
    for lane in lanes:
        longest = max(longest, scratch.end[lane] - scratch.first[lane])
    for index in range(longest):
        for lane in lanes:
            channel, place = np.uint64(scratch.first[lane] + index), np.uint64(lane)
            if channel < np.uint64(scratch.end[lane]):
                wanted, near = decode_target(
                    bank.density, coder.decoder, place, bank.location[channel], bank.step[channel]
                )
                coder.wanted[lane], coder.near[lane] = wanted, near
        for lane in lanes:
            channel, place = np.uint64(scratch.first[lane] + index), np.uint64(lane)
            if channel < np.uint64(scratch.end[lane]):
                location, step = bank.location[channel], bank.step[channel]
                wanted, near = coder.wanted[lane], coder.near[lane]
                codes[channel] = decode(bank.density, coder.decoder, place, location, step, wanted, near)


@kernel
def run_frames(coder, bank, groups, lengths, codes, scratch):
    """Code frames of some groups; each is a lane of the coder. Encoding and decoding differ in its type alone.

    groups, lengths int64 (lanes,): which, and how many frames of each. codes int32 (frames, channels of the bank): read
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
                    scratch.first[lane], scratch.end[lane] = bank.first[groups[lane]], bank.end[groups[lane]]
                    _prepare(bank, groups[lane])
            code_frame(coder, bank, lanes, codes[frame], scratch)
            for lane in lanes:
                if frame < lengths[lane]:
                    _learn(bank, groups[lane], codes[frame], scratch)
                    _proceed(bank, groups[lane], scratch)


@inlined
def _prepare(bank, group):
    """Locations and steps of a group's next frame."""
    begin, end, row = bank.first[group], bank.end[group], bank.row[group]
    location, last = bank.location[begin:end], bank.last[begin:end]
    for c in range(end - begin):
        location[c] = 1 << (WEIGHT_BITS - 1)
    for i in range(0, ORDER, 4):
        w0, w1 = bank.weights[i, begin:end], bank.weights[i + 1, begin:end]
        w2, w3 = bank.weights[i + 2, begin:end], bank.weights[i + 3, begin:end]
        s0, s1 = bank.window[row + i, begin:end], bank.window[row + i + 1, begin:end]
        s2, s3 = bank.window[row + i + 2, begin:end], bank.window[row + i + 3, begin:end]
        for c in range(end - begin):
            location[c] += (
                np.int64(w0[c]) * np.int64(s0[c])
                + np.int64(w1[c]) * np.int64(s1[c])
                + np.int64(w2[c]) * np.int64(s2[c])
                + np.int64(w3[c]) * np.int64(s3[c])
            )
    for c in range(end - begin):
        location[c] = min(max(last[c] + (location[c] >> WEIGHT_BITS), -FARTHEST), FARTHEST)
    step, scale = bank.step[begin:end], bank.scale[begin:end]
    if bank.age[group] > 0:
        for c in range(end - begin):
            step[c] = step_of(scale[c])
    else:
        for c in range(end - begin):
            step[c] = step_of(bank.constants[2])


@inlined
def _learn(bank, group, codes, scratch):
    """Take in a frame of a group. One short loop after the other, as those can do many channels at once."""
    begin, end, age = bank.first[group], bank.end[group], bank.age[group]
    own, here, z = codes[begin:end], scratch.here[: end - begin], scratch.z[: end - begin]
    location, step, last = bank.location[begin:end], bank.step[begin:end], bank.last[begin:end]
    for c in range(end - begin):
        here[c] = position(bank.density, np.int64(own[c]))
    signal = bank.window[bank.row[group] + ORDER, begin:end]
    if age > 0:
        reciprocal, scale = bank.density.reciprocal, bank.scale[begin:end]
        for c in range(end - begin):
            away = abs(standardise(here[c] - location[c], entry(reciprocal, step[c])))
            z[c] = min(away >> UPDATE_BITS, UPDATE_LAST)
        for c in range(end - begin):
            scale[c] = min(max(scale[c] + entry(bank.update, z[c]), SCALE_MIN), SCALE_MAX)
        for c in range(end - begin):
            signal[c] = here[c] - last[c]
    else:  # of which nothing is known
        for c in range(end - begin):
            signal[c] = 0
    for c in range(end - begin):
        last[c] = here[c]
    for c in range(end - begin):
        bank.history[begin + c, ORDER + age - bank.since[begin + c]] = signal[c]


@inlined
def _proceed(bank, group, scratch):
    """After a frame of a group: solve for the weights whose segment ends with it."""
    begin, end, age = bank.first[group], bank.end[group], bank.age[group] + 1
    bank.age[group] = age
    bank.row[group] += 1
    if bank.row[group] + ORDER == WINDOW:
        for i in range(ORDER):
            to, came = bank.window[i, begin:end], bank.window[WINDOW - ORDER + i, begin:end]
            for c in range(end - begin):
                to[c] = came[c]
        bank.row[group] = 0
    if age == bank.soon[group]:
        soon = np.int64(1) << 62
        for channel in range(begin, end):
            if bank.due[channel] == age:
                _adapt(bank, channel, age, scratch)
                bank.due[channel] = due_after(age, channel - begin, end - begin)
            soon = min(soon, bank.due[channel])
        bank.soon[group] = soon


@inlined
def _adapt(bank, channel, age, scratch):
    """Learn from a channel's segment that ends at `age`, and begin the next one."""
    length = age - bank.since[channel]
    history, correlations = bank.history[channel], bank.correlations[channel]
    if age > OPENINGS:
        forget(correlations)
    correlate(history, ORDER, ORDER + length, correlations, bank.constants[1])
    _weigh(bank, channel, scratch)
    for i in range(ORDER):
        history[i] = history[length + i]
    bank.since[channel] = age


@kernel
def due_after(age, index, channels):
    """The age at which a segment that begins at `age` ends, for the channel `index` of `channels` in its group."""
    if age < OPENINGS:
        return 2 * age + 32
    if age == OPENINGS:
        return age + SEGMENT + (SEGMENT * index) // channels
    return age + SEGMENT

"""Arithmetic coding: a range coder with 56 bits of state, 16 bits out at a time, one independent stream a lane.

The encoder needs no division (counts are out of 2^24), the decoder one. After Martin, "Range encoding" (1979), with
the carry propagated into the bytes already written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.base.jit import generic, inlined, kernel
from spikey.model.fixed_point import MASS_BITS

STATE_BITS = 56
FULL = 1 << STATE_BITS
OUT_BITS = 16
SMALLEST = 1 << (STATE_BITS - OUT_BITS)


class RangeEncoder(NamedTuple):
    """low, width, at: int64 (lanes,); out: uint8 (lanes, capacity). `at` counts the bytes written."""

    low: np.ndarray
    width: np.ndarray
    at: np.ndarray
    out: np.ndarray


class RangeDecoder(NamedTuple):
    """value (the code word less the low end), width, at: int64 (lanes,); data: uint8 (lanes, size + 4), zero-padded."""

    value: np.ndarray
    width: np.ndarray
    at: np.ndarray
    data: np.ndarray


def range_encoder(lanes: int, capacity: int) -> RangeEncoder:
    """Start encoding; `capacity` is the room for each lane in bytes."""
    zeros = np.zeros(lanes, dtype=np.int64)
    return RangeEncoder(
        zeros, np.full(lanes, FULL, dtype=np.int64), zeros.copy(), np.zeros((lanes, capacity + 16), dtype=np.uint8)
    )


def range_decoder(streams: list[bytes]) -> RangeDecoder:
    """Start decoding one stream a lane. Past its end a stream reads as zeros."""
    size, width = max(map(len, streams)) + 12, STATE_BITS // 8
    rows = [bytes(stream).ljust(size, b"\0") for stream in streams]
    data = np.frombuffer(bytearray(b"".join(rows)), dtype=np.uint8).reshape(len(rows), size)
    value = np.array([int.from_bytes(row[:width], "big") for row in rows], dtype=np.int64)
    return RangeDecoder(
        value,
        np.full(len(streams), FULL, dtype=np.int64),
        np.full(len(streams), width, dtype=np.int64),
        data,
    )


def finish(encoder: RangeEncoder) -> list[bytes]:
    """End every lane and return the streams."""
    return [finish_lane(encoder, lane) for lane in range(len(encoder.low))]


def finish_lane(encoder: RangeEncoder, lane: int) -> bytes:
    """End a lane and return its stream."""
    return encoder.out[lane, : close(encoder, lane)].tobytes()


@kernel
def close(encoder, lane):
    """End a lane with the fewest bytes that identify its interval; returns how many it has, or would have."""
    low, width, at = encoder.low[lane], encoder.width[lane], encoder.at[lane]
    keep = STATE_BITS
    while True:  # the coarsest number within [low, low + width); one always is
        value = (low + (1 << keep) - 1) >> keep << keep
        if value < low + width:
            break
        keep -= 8
    if value >= FULL:
        carry(encoder.out, lane, at)
        value -= FULL
    if at + STATE_BITS // 8 > encoder.out.shape[1]:
        return at
    for i in range(STATE_BITS // 8):
        encoder.out[lane, at + i] = (value >> (STATE_BITS - 8 - 8 * i)) & 255
    at += STATE_BITS // 8
    while at > 0 and encoder.out[lane, at - 1] == 0:
        at -= 1
    return at


@generic
def put(coder, lane, low_counts, counts):
    """Narrow a lane's interval to `counts` out of 2^24 above `low_counts`."""


@put.register(RangeEncoder)
def _put_encoder(coder, lane, low_counts, counts):
    unit = coder.width[lane] >> MASS_BITS
    low, width = coder.low[lane] + unit * low_counts, unit * counts
    if low >= FULL:
        low -= FULL
        carry(coder.out, lane, coder.at[lane])
    # Two bytes are written each time and kept when they are due: a branch would be mispredicted every fourth time.
    at = _write(coder, lane, coder.at[lane], low)
    due = -np.int64(width < SMALLEST)  # all bits or none
    shift = OUT_BITS & due
    low = (low & (FULL - 1) >> shift) << shift
    width <<= shift
    at += 2 & due
    while width < SMALLEST:
        at = _write(coder, lane, at, low) + 2
        low = (low & (SMALLEST - 1)) << OUT_BITS
        width <<= OUT_BITS
    coder.at[lane] = at
    coder.low[lane] = low
    coder.width[lane] = width


@inlined
def _write(coder, lane, at, low):
    """Write the two highest bytes, where there is room; returns `at`."""
    room = min(at, coder.out.shape[1] - 2)
    coder.out[lane, np.uint64(room)] = (low >> (STATE_BITS - 8)) & 255
    coder.out[lane, np.uint64(room + 1)] = (low >> (STATE_BITS - 16)) & 255
    return at


@kernel
def carry(out, lane, at):
    """Add one to the number written so far."""
    at = min(at, out.shape[1])
    while at > 0:
        at -= 1
        if out[lane, at] != 255:
            out[lane, at] += 1
            return
        out[lane, at] = 0


@inlined
def target(coder, lane):
    """Where in 2^24 the lane's code word lies; a damaged stream may not point past the end."""
    unit = coder.width[lane] >> MASS_BITS
    return min(np.int64(np.uint64(coder.value[lane]) // np.uint64(unit)), (1 << MASS_BITS) - 1)


@inlined
def take(coder, lane, low_counts, counts):
    """The decoder's `put`."""
    unit = coder.width[lane] >> MASS_BITS
    width = unit * counts
    value = min(coder.value[lane] - unit * low_counts, width - 1)  # less than width, whatever the stream contains
    at = coder.at[lane]
    due = -np.int64(width < SMALLEST)  # all bits or none: a branch would be mispredicted every fourth time
    shift = OUT_BITS & due
    value = (value << shift) | (_read(coder, lane, at) & due)
    width <<= shift
    at += 2 & due
    while width < SMALLEST:
        value = (value << OUT_BITS) | _read(coder, lane, at)
        width <<= OUT_BITS
        at += 2
    coder.at[lane] = at
    coder.value[lane] = value
    coder.width[lane] = width


@inlined
def _read(coder, lane, at):
    """The next two bytes, or what stands at the end."""
    room = min(at, coder.data.shape[1] - 2)
    return (np.int64(coder.data[lane, np.uint64(room)]) << 8) | np.int64(coder.data[lane, np.uint64(room + 1)])

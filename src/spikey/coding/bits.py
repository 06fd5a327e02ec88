"""Reading and writing single bits, for the coders that spend a whole number of them on each code.

The functions work on any state with the fields `word`, `pending`, `at` and `out` (writing) or `data` (reading).
The most significant bit comes first. Past its end a stream reads as zeros, so trailing zeros are not stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikey.base.jit import inlined

LONGEST = 31  # bits that can be put or seen at once


def writing(lanes: int, capacity: int) -> dict[str, np.ndarray]:
    """The fields of a state to write `capacity` bytes a lane with: word, pending, at int64 (lanes,), out uint8."""
    return {
        "word": np.zeros(lanes, dtype=np.int64),
        "pending": np.zeros(lanes, dtype=np.int64),
        "at": np.zeros(lanes, dtype=np.int64),
        "out": np.zeros((lanes, capacity + 16), dtype=np.uint8),
    }


def reading(streams: list[bytes]) -> dict[str, np.ndarray]:
    """The fields of a state to read one stream a lane with: word, pending, at int64 (lanes,), data uint8, padded."""
    data = np.zeros((len(streams), max(map(len, streams), default=0) + 4), dtype=np.uint8)
    for lane, stream in enumerate(streams):
        data[lane, : len(stream)] = np.frombuffer(stream, dtype=np.uint8)
    zeros = np.zeros(len(streams), dtype=np.int64)
    return {"word": zeros, "pending": zeros.copy(), "at": zeros.copy(), "data": data}


def finish_bits(encoder: Any) -> list[bytes]:
    """End every lane and return the streams."""
    streams = []
    for lane in range(len(encoder.at)):
        tail = (int(encoder.word[lane]) << (32 - int(encoder.pending[lane]))).to_bytes(4, "big")
        streams.append((encoder.out[lane, : encoder.at[lane]].tobytes() + tail).rstrip(b"\0"))
    return streams


@inlined
def put_bits(coder, lane, value, count):
    """Write `count` bits, at most `LONGEST`; 0 <= value < 2^count."""
    word = (coder.word[lane] << count) | value
    pending = coder.pending[lane] + count
    if pending >= 32:
        pending -= 32
        four = word >> pending
        at = coder.at[lane]
        room = min(at, coder.out.shape[1] - 4)
        for i in range(4):
            coder.out[lane, np.uint64(room + i)] = (four >> (24 - 8 * i)) & 255
        coder.at[lane] = at + 4
        word &= (1 << pending) - 1
    coder.word[lane] = word
    coder.pending[lane] = pending


@inlined
def see_bits(coder, lane, count):
    """The next `count` bits, at most `LONGEST`, as a number; they stay to be read."""
    if coder.pending[lane] < LONGEST:
        at = coder.at[lane]
        room = min(at, coder.data.shape[1] - 4)
        four = np.int64(0)
        for i in range(4):
            four = (four << 8) | np.int64(coder.data[lane, np.uint64(room + i)])
        coder.word[lane] = (coder.word[lane] << 32) | four
        coder.pending[lane] += 32
        coder.at[lane] = at + 4
    return coder.word[lane] >> (coder.pending[lane] - count)


@inlined
def drop_bits(coder, lane, count):
    """Go past `count` bits that have been seen."""
    pending = coder.pending[lane] - count
    coder.pending[lane] = pending
    coder.word[lane] &= (1 << pending) - 1


@inlined
def get_bits(coder, lane, count):
    """Read `count` bits, at most `LONGEST`."""
    value = see_bits(coder, lane, count)
    drop_bits(coder, lane, count)
    return value

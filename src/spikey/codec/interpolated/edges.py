"""What a filter leaves, as numbers: near the ends of a run, where it lacks sampled frames, and elsewhere if seldom."""

from __future__ import annotations

import numpy as np

from spikey.base.errors import DataError
from spikey.codec.interpolated.pattern import Pattern
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.numbers import (
    CELLS,
    finish_writing,
    put_number,
    put_signed,
    start_reading,
    start_writing,
    take_number,
    take_signed,
)

SIDES, DISTANCES = 2, 16
GAP, VALUE, CONTEXTS = 32, 33, 34  # contexts behind those of edges
MOST = 1 << 24  # magnitudes are less
BYTES = 8  # of a number, at most


def edges_of(pattern: Pattern, side: int) -> np.ndarray:
    """The context of each frame that was not sampled and is near an end of its run, -1 of others, int64."""
    left, right = pattern.reach
    contexts = np.minimum(np.minimum(left, right), DISTANCES - 1) + DISTANCES * (right < left)
    return np.where((left < side) | (right < side), contexts, -1)


def write_numbers(differences: np.ndarray, contexts: np.ndarray, listed: bool) -> bytes:
    """Differences (frames, channels), less than `MOST` in magnitude, channel by channel: of edges, and if `listed` of
    all other frames.
    """
    count = differences.shape[1]
    numbers = count * (int((contexts >= 0).sum()) + 1) + (2 * np.count_nonzero(differences) if listed else 0)
    out = np.zeros(BYTES * numbers + 16, np.uint8)
    by_channel = np.ascontiguousarray(differences.T, np.int64)
    return out[: _write(by_channel, contexts, listed, out)].tobytes()


def read_numbers(data: bytes, count: int, contexts: np.ndarray, listed: bool, what: str) -> np.ndarray:
    """What `write_numbers` wrote of `count` channels, int32 (channels, frames); 0 of frames that are not in it."""
    out = np.zeros((count, len(contexts)), np.int32)
    if not _read(np.frombuffer(data, np.uint8), contexts, listed, out):
        raise DataError(f"{what}: lists frames beyond its last one")
    return out


@kernel
def _write(differences, contexts, listed, out):
    coder = np.zeros(4, np.int64)
    chances = np.zeros((CONTEXTS, CELLS), np.uint16)
    start_writing(coder, chances)
    for c in range(differences.shape[0]):
        for i in range(len(contexts)):
            if contexts[i] >= 0:
                put_signed(differences[c, i], chances, contexts[i], coder, out)
        if listed:
            gap = np.int64(0)
            for i in range(len(contexts)):
                if contexts[i] < 0 and differences[c, i]:
                    put_number(gap, chances, GAP, coder, out)
                    put_signed(differences[c, i], chances, VALUE, coder, out)
                    gap = np.int64(0)
                else:
                    gap += contexts[i] < 0
            put_number(gap, chances, GAP, coder, out)
    return finish_writing(coder, out)


@kernel
def _read(data, contexts, listed, out):
    coder = np.zeros(4, np.int64)
    chances = np.zeros((CONTEXTS, CELLS), np.uint16)
    start_reading(coder, chances, data)
    for c in range(out.shape[0]):
        for i in range(len(contexts)):
            if contexts[i] >= 0:
                out[c, i] = take_signed(chances, contexts[i], coder, data)
        if listed:
            gap = take_number(chances, GAP, coder, data)
            for i in range(len(contexts)):
                if contexts[i] < 0:
                    if gap == 0:
                        out[c, i] = take_signed(chances, VALUE, coder, data)
                        gap = take_number(chances, GAP, coder, data)
                    else:
                        gap -= 1
            if gap != 0:
                return False
    return True

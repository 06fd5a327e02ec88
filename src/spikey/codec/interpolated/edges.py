"""What a filter leaves of frames near the ends of a run, where it lacks sampled frames: numbers coded apart."""

from __future__ import annotations

import numpy as np

from spikey.codec.interpolated.pattern import Pattern
from spikey.codec.wide.jit import kernel
from spikey.codec.wide.numbers import (
    CELLS,
    finish_writing,
    put_signed,
    start_reading,
    start_writing,
    take_signed,
)

SIDES, DISTANCES = 2, 16  # contexts
MOST = 1 << 24  # magnitudes are less
BYTES = 8  # of a number, at most


def edges_of(pattern: Pattern, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each frame that was not sampled is near an end of its run, and the context of each of those, int64."""
    left, right = pattern.reach
    near = (left < side) | (right < side)
    nearest = np.minimum(np.minimum(left, right), DISTANCES - 1) + DISTANCES * (right < left)
    return near, nearest[near]


def write_edges(differences: np.ndarray, contexts: np.ndarray) -> bytes:
    """Differences int64 (frames, channels), less than `MOST` in magnitude, channel by channel."""
    out = np.zeros(BYTES * differences.size + 16, np.uint8)
    return out[: _write(np.ascontiguousarray(differences.T), contexts, out)].tobytes()


def read_edges(data: bytes, count: int, contexts: np.ndarray) -> np.ndarray:
    """What `write_edges` wrote of `count` channels."""
    out = np.empty((count, len(contexts)), np.int64)
    _read(np.frombuffer(data, np.uint8), contexts, out)
    return out.T


@kernel
def _write(differences, contexts, out):
    coder = np.zeros(4, np.int64)
    chances = np.zeros((SIDES * DISTANCES, CELLS), np.uint16)
    start_writing(coder, chances)
    for c in range(differences.shape[0]):
        for i in range(len(contexts)):
            put_signed(differences[c, i], chances, contexts[i], coder, out)
    return finish_writing(coder, out)


@kernel
def _read(data, contexts, out):
    coder = np.zeros(4, np.int64)
    chances = np.zeros((SIDES * DISTANCES, CELLS), np.uint16)
    start_reading(coder, chances, data)
    for c in range(out.shape[0]):
        for i in range(len(contexts)):
            out[c, i] = take_signed(chances, contexts[i], coder, data)

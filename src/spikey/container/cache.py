"""Decoded blocks that stay in memory for the next slice, within a bound; safe for threads and forked processes."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from spikey.base import forks

CACHED_SAMPLES = 1 << 23  # decoded samples in the cache, or
MOST_CACHED = 1 << 26  # up to this, where the blocks of all channels at one time are more
Place = int | tuple[int, int]


def room_for(samples: int) -> int:
    """Samples that a cache has room for, where the blocks of all channels at one time contain so many."""
    return max(CACHED_SAMPLES, min(samples + samples // 4, MOST_CACHED))


class BlockCache:
    """Samples of what was used last: of whole blocks by their offsets, of groups of channels by offset and group.

    room: samples, at most; one entry stays even if it is larger. lock: held while the cache is looked at or changed.
    """

    def __init__(self, room: int):
        self.room = room
        self.lock = threading.Lock()
        self._blocks: OrderedDict[Place, np.ndarray] = OrderedDict()
        self._samples = 0
        forks.watch(self)

    def forked(self) -> None:
        """Nobody else in this process decodes."""
        self.lock = threading.Lock()

    def __contains__(self, place: Place) -> bool:
        return place in self._blocks

    def get(self, place: Place) -> np.ndarray | None:
        """A block's samples, or None where they are not there."""
        with self.lock:
            if place not in self._blocks:
                return None
            self._blocks.move_to_end(place)
            return self._blocks[place]

    def put(self, place: Place, samples: np.ndarray) -> None:
        """Add a block's samples, and drop those that were used longest ago where there is no room."""
        with self.lock:
            self._samples += samples.size - (self._blocks[place].size if place in self._blocks else 0)
            self._blocks[place] = samples
            while self._samples > self.room and len(self._blocks) > 1:
                self._samples -= self._blocks.popitem(last=False)[1].size

    def clear(self) -> None:
        """Drop all."""
        with self.lock:
            self._blocks.clear()
            self._samples = 0

"""Decoded blocks of several readers in one memory of bounded size."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

import numpy as np

from spikey.base import forks
from spikey.container.cache import BlockCache, Place


class SharedCache:
    """What was used last of all readers' decoded blocks: at most `limit` bytes; one stays even if it is larger."""

    def __init__(self, limit: int):
        self.limit = limit
        self.used = 0
        self._entries: OrderedDict[tuple[Hashable, Place], np.ndarray] = OrderedDict()
        self.forked()
        forks.watch(self)

    def forked(self) -> None:
        """Nobody else in this process decodes."""
        self._lock = threading.Lock()

    def of(self, owner: Hashable) -> BlockCache:
        """The part of it that belongs to one file; every reader of the file may have it as its `cache`."""
        return _Part(self, owner)

    def has(self, owner: Hashable, place: Place) -> bool:
        """Whether a block is there."""
        return (owner, place) in self._entries

    def get(self, owner: Hashable, place: Place) -> np.ndarray | None:
        """A block, or None where it is not there."""
        with self._lock:
            found = self._entries.get((owner, place))
            if found is not None:
                self._entries.move_to_end((owner, place))
            return found

    def put(self, owner: Hashable, place: Place, samples: np.ndarray) -> None:
        """Add a block, and drop those that were used longest ago where there is no room."""
        with self._lock:
            former = self._entries.pop((owner, place), None)
            self.used += samples.nbytes - (0 if former is None else former.nbytes)
            self._entries[owner, place] = samples
            while self.used > self.limit and len(self._entries) > 1:
                self.used -= self._entries.popitem(last=False)[1].nbytes

    def drop(self, owner: Hashable) -> None:
        """Drop all blocks of one file."""
        with self._lock:
            for key in [key for key in self._entries if key[0] == owner]:
                self.used -= self._entries.pop(key).nbytes


class _Part(BlockCache):
    """One file's blocks in a shared cache."""

    def __init__(self, shared: SharedCache, owner: Hashable):
        super().__init__(0)
        self._shared, self._owner = shared, owner

    def __contains__(self, place: Place) -> bool:
        return self._shared.has(self._owner, place)

    def get(self, place: Place) -> np.ndarray | None:
        """A block's samples, or None where they are not there."""
        return self._shared.get(self._owner, place)

    def put(self, place: Place, samples: np.ndarray) -> None:
        """Add a block's samples."""
        self._shared.put(self._owner, place, samples)

    def clear(self) -> None:
        """Drop all blocks of the file."""
        self._shared.drop(self._owner)

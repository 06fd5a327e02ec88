"""Which frames were sampled: those of one phase, which may change where frames were lost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Pattern:
    """Frames of which every `factor`-th was sampled.

    runs: of each stretch its first frame, 0 of the first one, and its first sampled frame, counted from that.
    """

    frames: int
    factor: int
    runs: tuple[tuple[int, int], ...]

    @cached_property
    def _behind(self) -> np.ndarray:
        """How far each frame is behind a sampled one, int64 (frames,)."""
        behind = np.empty(self.frames, np.int64)
        ends = [first for first, _ in self.runs[1:]] + [self.frames]
        for (first, phase), end in zip(self.runs, ends, strict=True):
            behind[first:end] = (np.arange(end - first) - phase) % self.factor
        return behind

    @cached_property
    def sampled(self) -> np.ndarray:
        """The frames that were sampled, int64."""
        return np.flatnonzero(self._behind == 0)

    @cached_property
    def others(self) -> np.ndarray:
        """The frames that were not, int64."""
        return np.flatnonzero(self._behind)

    @cached_property
    def places(self) -> np.ndarray:
        """For each of the others how many sampled ones are before it, int64."""
        return np.cumsum(self._behind == 0)[self.others]

    @cached_property
    def which(self) -> np.ndarray:
        """The filter of each of the others, int64: how far behind a sampled one it is, less 1."""
        return self._behind[self.others] - 1

    @cached_property
    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """How many sampled ones of its run are before and behind each of the others, int64."""
        firsts = np.array([first for first, _ in self.runs], np.int64)
        ends = np.append(np.searchsorted(self.sampled, firsts), len(self.sampled))
        run = np.searchsorted(firsts, self.others, side="right") - 1
        return self.places - ends[run], ends[run + 1] - self.places


def of_path(path: np.ndarray, factor: int) -> Pattern:
    """The pattern of frames whose phases, as frames from 0 on are counted, are int64 (frames,)."""
    changes = np.flatnonzero(np.diff(path)) + 1
    firsts = [0, *changes.tolist()]
    return Pattern(len(path), factor, tuple((first, int(path[first] - first) % factor) for first in firsts))

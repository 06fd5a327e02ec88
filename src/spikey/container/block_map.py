"""Where the samples of a recording lie: which blocks contain some frames and channels, and where blocks may be cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikey.codec.method import LARGEST
from spikey.container.layout import BLOCK_SAMPLES, Block


class BlockMap:
    """The places of a file's blocks of samples, in a recording of so many frames and channels."""

    def __init__(self, blocks: list[Block], frames: int, channels: int):
        self.blocks = [block for block in blocks if block.kind == BLOCK_SAMPLES]
        self.frames, self.channels = frames, channels
        extents = np.array([block.extent for block in self.blocks], dtype=np.int64).reshape(-1, 4)
        self._firsts, self._ends = extents[:, :2].T.copy()

    @property
    def largest_stretch(self) -> int:
        """Samples of all channels in the frames of the longest block."""
        return int((self._ends - self._firsts).max(initial=0)) * self.channels

    @property
    def largest_block(self) -> tuple[int, int]:
        """Frames and channels of a block, at most."""
        frames = max((block.frames for block in self.blocks), default=self.frames)
        channels = max((block.channels for block in self.blocks), default=self.channels)
        return max(frames, 1), channels

    def touching(self, rows: range | np.ndarray, columns: np.ndarray) -> list[Block]:
        """The blocks that contain any of ascending rows and of columns."""
        if not len(rows) or not len(columns):
            return []
        low, high = columns.min(), columns.max()
        hits = np.flatnonzero((self._firsts <= rows[-1]) & (self._ends > rows[0]))
        near = [self.blocks[hit] for hit in hits]
        return [block for block in near if block.first_channel <= high and block.extent[3] > low]

    def stretches(self) -> Iterator[tuple[int, int]]:
        """The whole recording in order as ranges of frames (first, end): whole blocks, of bounded size together."""
        cuts = np.unique(np.concatenate([self._firsts, self._ends, [0, self.frames]]))
        cuts = cuts[(cuts >= 0) & (cuts <= self.frames)]
        bound = max(LARGEST // self.channels, 1)
        first = 0
        while first < self.frames:
            # As many whole blocks as the bound allows, or one, or, where none is left, as much as the bound allows.
            last = int(cuts[max(int(np.searchsorted(cuts, first + bound, side="right")) - 1, 0)])
            if last <= first:
                last = int(cuts[int(np.searchsorted(cuts, first, side="right"))])
                if not ((self._firsts <= first) & (self._ends > first)).any():
                    last = min(last, first + bound)
            yield first, last
            first = last

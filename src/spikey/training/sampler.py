"""The order in which training and evaluation read the data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikey.training.dataset import Sequences

SEQUENCE = 6144  # samples of a sequence, at whose beginning an LSTM's state is zero
WINDOW = 128  # samples of each sequence per step, as far back as gradients reach
BURN_IN = 32  # samples at the beginning of a sequence that are not learned from, as the state is still forming
EVALUATED = 64, 1024  # sequences and samples at once


class Window(NamedTuple):
    """A batch of equally long parts of sequences.

    inputs int16 (time, batch, inputs); below, above float32, usable bool (time, batch); channels int64 (batch,): which
    of the sequences; fresh: whether these parts begin a sequence, so that there is no state yet.
    """

    inputs: Tensor
    below: Tensor
    above: Tensor
    usable: Tensor
    channels: Tensor
    fresh: bool


def _window(sequences: Sequences, index: np.ndarray, usable: np.ndarray, channels: np.ndarray, fresh: bool) -> Window:
    inputs, below, above = (torch.from_numpy(a[index]) for a in (sequences.inputs, sequences.below, sequences.above))
    return Window(inputs, below, above, torch.from_numpy(usable), torch.from_numpy(channels), fresh)


class WindowSampler:
    """The windows of an epoch, for training; each iteration is one epoch, in a new random order.

    recurrent: windows of sequences of `length` samples, in order of time, `batch` sequences side by side; the first
    `burn_in` samples of each are not learned from. Otherwise `batch` * `window` samples in random order. rank, ranks:
    of several processes, each gets its share.
    """

    def __init__(
        self,
        sequences: Sequences,
        *,
        recurrent: bool,
        batch: int,
        seed: int,
        length: int = SEQUENCE,
        window: int = WINDOW,
        burn_in: int = BURN_IN,
    ) -> None:
        self.sequences, self.recurrent, self.batch, self.window = sequences, recurrent, batch, window
        self.burn_in, self.seed = burn_in, seed
        frames = np.diff(sequences.starts)
        self.length = min(length, int(frames.max()))
        self.pieces = np.maximum(frames // self.length, 1)  # of each channel
        self.rank, self.ranks = 0, 1
        self.epoch = self.at = 0

    @property
    def _count(self) -> int:
        """Pieces, or samples, of an epoch in this process."""
        whole = int(self.pieces.sum()) if self.recurrent else int(np.count_nonzero(self.sequences.usable))
        return max(whole // self.ranks, 1)

    @property
    def _batches(self) -> int:
        return -(-self._count // (self.batch if self.recurrent else self.batch * self.window))

    def __len__(self) -> int:
        return self._batches * (-(-self.length // self.window) if self.recurrent else 1)

    def __iter__(self) -> Iterator[Window]:
        generator = np.random.default_rng([self.seed, self.epoch])
        indices = self._recurrent(generator) if self.recurrent else self._shuffled(generator)
        for number, make in enumerate(indices):
            if number >= self.at:
                self.at = number + 1
                if self.at == len(self):
                    self.epoch, self.at = self.epoch + 1, 0
                yield make()
                if self.at == 0:
                    return

    def _mine(self, order: np.ndarray) -> list[np.ndarray]:
        """The share of this process, in batches of nearly equal size."""
        return np.array_split(order[self.rank % len(order) :: self.ranks][: self._count], self._batches)

    def _recurrent(self, generator: np.random.Generator) -> Iterator[Callable[[], Window]]:
        starts, ends = self.sequences.starts[:-1], self.sequences.starts[1:]
        channels = np.repeat(np.arange(len(starts)), self.pieces)
        numbers = np.arange(len(channels)) - np.repeat(np.cumsum(self.pieces) - self.pieces, self.pieces)
        spare = np.maximum(ends - starts - self.pieces * self.length, 0)
        first = starts[channels] + generator.integers(spare + 1)[channels] + numbers * self.length
        for chosen in self._mine(generator.permutation(len(first))):
            for at in range(0, self.length, self.window):
                yield lambda at=at, chosen=chosen: self._stretch(  # type: ignore[misc]
                    first[chosen], at, ends[channels[chosen]], channels[chosen]
                )

    def _stretch(self, first: np.ndarray, at: int, ends: np.ndarray, channels: np.ndarray) -> Window:
        times = np.arange(at, min(at + self.window, self.length))[:, None]
        index = first + times
        inside = (index < ends) & (times >= self.burn_in)
        index = np.minimum(index, ends - 1)
        return _window(self.sequences, index, self.sequences.usable[index] & inside, channels, at == 0)

    def _shuffled(self, generator: np.random.Generator) -> Iterator[Callable[[], Window]]:
        usable = np.flatnonzero(self.sequences.usable).astype(np.int32 if len(self.sequences.usable) < 1 << 31 else int)
        for chosen in self._mine(generator.permutation(usable)):
            yield lambda index=chosen[None]: _window(  # type: ignore[misc]
                self.sequences, index, np.ones(index.shape, dtype=bool), np.zeros(index.shape[1], dtype=np.int64), True
            )

    def state_dict(self) -> dict[str, Any]:
        """The position of the iteration, for a checkpoint."""
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at the position of a checkpoint."""
        self.epoch, self.at = int(state["epoch"]), int(state["at"])


class WholeSampler:
    """Every sequence from its beginning to its end, for evaluation."""

    def __init__(self, sequences: Sequences) -> None:
        self.sequences = sequences
        order = np.argsort(np.diff(sequences.starts), kind="stable")
        self.groups = np.array_split(order, -(-len(order) // EVALUATED[0]))

    def _longest(self, group: np.ndarray) -> int:
        return int(np.diff(self.sequences.starts)[group].max())

    def __len__(self) -> int:
        return sum(-(-self._longest(group) // EVALUATED[1]) for group in self.groups)

    def __iter__(self) -> Iterator[Window]:
        for group in self.groups:
            first, ends = self.sequences.starts[group], self.sequences.starts[group + 1]
            longest = self._longest(group)
            for at in range(0, longest, EVALUATED[1]):
                index = first + np.arange(at, min(at + EVALUATED[1], longest))[:, None]
                inside = index < ends
                index = np.minimum(index, ends - 1)
                yield _window(self.sequences, index, self.sequences.usable[index] & inside, group, at == 0)

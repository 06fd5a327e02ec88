"""Recordings as a network sees them, recorded from the codec's own integers, and the windows in which it sees them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikey.base.errors import UsageError
from spikey.codec.plan import levels_of, suits
from spikey.model.calibration import Calibration, load, n1
from spikey.model.density import uniform_edges
from spikey.model.fixed_point import SCALE_BITS
from spikey.model.trained import Architecture
from spikey.recording.source import NotPCM
from spikey.recording.wav import open_wav
from spikey.training.capture import record

AROUND = 2.5  # octaves around a channel's median scale that are learned from: neither silence nor artifacts
FINEST = 4.0  # log2 of the finest scale learned from, in 1/64 LSB
FARTHEST = 10.0  # scales between location and code from which on a sample is an artifact
INFINITE = 1000.0  # scales, where a bin has no end
MEMORY = 0.8  # part of the machine's that the recordings may take
EVALUATED = 64, 1024  # sequences and samples at once

Say = Callable[[str], None]
Step = Callable[[int], None]


class Channel(NamedTuple):
    """One channel as the codec's integers see it before any network.

    codes int32; position, location, deviation float64: of the code's middle and of the base, in 1/64 LSB; inputs int16
    (frames, inputs) in 1/256; below, above float32: the edges of the code that came, from the location in deviations;
    usable bool: whether there is something to learn. All (frames,) where nothing else is said.
    """

    codes: np.ndarray
    inputs: np.ndarray
    position: np.ndarray
    location: np.ndarray
    deviation: np.ndarray
    below: np.ndarray
    above: np.ndarray
    usable: np.ndarray
    calibration: Calibration | None


@dataclass(frozen=True, eq=False)
class Sequences:
    """Channels of recordings, one after the other.

    inputs int16 (samples, inputs), below, above float32 (samples,), usable bool (samples,): as in `Channel`.
    starts int64 (channels + 1,): where each begins. paths: of their files. calibrations: ids of those used, as text.
    sha256: of the SHA-256 of all channels' codes, as text.
    """

    inputs: np.ndarray
    below: np.ndarray
    above: np.ndarray
    usable: np.ndarray
    starts: np.ndarray
    paths: list[Path]
    calibrations: list[str]
    sha256: str


def calibration_of(setting: str) -> Calibration | None:
    """What the configuration's `calibration` names; `auto` tries the N1's, which `see` uses where it suits."""
    if setting == "none":
        return None
    return n1() if setting in ("auto", "n1") else load(setting)


def see(samples: np.ndarray, architecture: Architecture, calibration: Calibration | None) -> Channel | None:
    """A channel, integers (frames,); None where it never changes and there is nothing to predict."""
    levels, calibrated = levels_of(samples, calibration)
    if levels.alphabet == 1:
        return None
    codes = np.ascontiguousarray(levels.to_codes(samples)[0], dtype=np.int32)
    used = calibration if calibrated and calibration is not None and suits(codes, calibration) else None
    edges = uniform_edges(levels.alphabet).astype(np.float64) if used is None else used.edges.astype(np.float64)
    recorded = record(codes, levels.alphabet, architecture, used)
    octaves = recorded.scale / (1 << SCALE_BITS)
    deviation = np.exp2(octaves)
    location = recorded.location.astype(np.float64)
    ends = edges.copy()
    ends[[0, -1]] = -np.inf, np.inf
    below, above = (
        np.clip((ends[codes + side] - location) / deviation, -INFINITE, INFINITE).astype(np.float32) for side in (0, 1)
    )
    usable = (np.abs(octaves - np.median(octaves)) < AROUND) & (octaves > FINEST) & (np.abs(below) < FARTHEST)
    usable[0] = False
    position = (edges[codes] + edges[codes + 1]) / 2
    return Channel(codes, recorded.inputs, position, location, deviation, below, above, usable, used)


def gather(
    paths: list[Path],
    architecture: Architecture,
    calibration: Calibration | None,
    shortest: int,
    *,
    what: str,
    advance: Step | None = None,
    say: Say = print,
) -> Sequences:
    """Record every channel of the WAV files; those shorter than `shortest` samples or silent are left out, and it is
    said. UsageError where none is left or they do not fit into memory; `advance` is called with 1 after each file.
    """
    layouts = [_layout(path, shortest) for path in paths]
    total = sum(frames * channels for frames, channels in layouts)
    bytes_each = 2 * architecture.inputs + 9
    _check_memory(total * bytes_each, what)
    inputs = np.empty((total, architecture.inputs), dtype=np.int16)
    below, above = np.empty((2, total), dtype=np.float32)
    usable = np.empty(total, dtype=bool)
    starts, origins, used, listing, short = [0], [], set(), hashlib.sha256(), 0
    for path, (frames, _) in zip(paths, layouts, strict=True):
        short += not frames
        for samples in _channels(path, frames):
            channel = see(samples, architecture, calibration)
            if channel is None:
                say(f"{path}: a channel that never changes is left out")
                continue
            if channel.calibration is not None:
                used.add(channel.calibration.id.hex())
            listing.update(hashlib.sha256(channel.codes.astype("<i4").tobytes()).digest())
            here = slice(starts[-1], starts[-1] + frames)
            inputs[here], below[here], above[here], usable[here] = (
                channel.inputs,
                channel.below,
                channel.above,
                channel.usable,
            )
            starts.append(here.stop)
            origins.append(path)
        if advance is not None:
            advance(1)
    if short:
        are = "recording is" if short == 1 else "recordings are"
        say(f"{short} {what} {are} shorter than {shortest} samples, or no integer WAV file, and left out")
    end = starts[-1]
    if not usable[:end].any():
        raise UsageError(
            f"none of {len(paths)} {what} recordings has {shortest} samples (training.window) of a signal to predict"
        )
    return Sequences(
        inputs[:end],
        below[:end],
        above[:end],
        usable[:end],
        np.array(starts),
        origins,
        sorted(used),
        listing.hexdigest(),
    )


def _layout(path: Path, shortest: int) -> tuple[int, int]:
    """Frames and channels of a file; no frames where it is of no use."""
    try:
        with open_wav(path) as source:
            return source.frames if source.frames >= shortest else 0, source.layout.channels
    except NotPCM:
        return 0, 0


def _channels(path: Path, frames: int) -> Iterator[np.ndarray]:
    if frames:
        with open_wav(path) as source:
            samples = source.read(0, frames)
        yield from np.ascontiguousarray(samples.T)


def _check_memory(needed: int, what: str) -> None:
    with suppress(AttributeError, ValueError, OSError):  # where the system does not say how much there is
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > MEMORY * there:
            raise UsageError(
                f"the {what} recordings take {needed / 1e9:.1f} GB of the machine's {there / 1e9:.1f} GB of memory; "
                "use fewer (training.limit)"
            )


class Window(NamedTuple):
    """A batch of stretches of sequences.

    inputs int16 (time, batch, inputs); below, above float32, usable bool (time, batch); channels int64 (batch,): which
    of the sequences; fresh: whether they begin, so that nothing is remembered.
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


class Windows:
    """The windows of an epoch in their order, for training; iterated once an epoch, each in another order.

    recurrent: windows of sequences, in order of time, `batch` sequences side by side; otherwise `batch` * `window`
    samples in any order. rank, ranks: of several processes, each sees its share.
    """

    def __init__(
        self,
        sequences: Sequences,
        *,
        recurrent: bool,
        batch: int,
        length: int,
        window: int,
        burn_in: int,
        seed: int,
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
        """Pieces, or samples, of an epoch and process."""
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
        """This process's share, in batches of nearly equal size."""
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
        """Where in which epoch the iteration is."""
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.epoch, self.at = int(state["epoch"]), int(state["at"])


class Whole:
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

"""Simultaneous recordings of several electrodes: what is learned from one is not independent of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikey.recording.wav import open_wav

FRAMES = 1 << 18  # of each recording that are compared
SIMULTANEOUS = 0.05  # correlation from which on two recordings were made at once
DEVIATIONS, CERTAIN = 6, 0.5  # short recordings correlate by chance: what that does not reach, and what is no chance
Opener = Callable[[Path], AbstractContextManager[Any]]  # by default `open_wav`
ROOM = 1 << 24  # samples held at once


class Family(NamedTuple):
    """Simultaneous recordings: indices into the files, ascending; float64 (members, members), their correlations."""

    members: list[int]
    correlations: np.ndarray


def simultaneous(paths: Sequence[Path], opened: Opener | None = None) -> list[tuple[int, int]]:
    """Pairs `(i, j)`, i < j, sorted, of indices into the files `paths` that were made at once; `opened` opens one.

    They have one rate and equally many frames, and the first differences of their first channels correlate by more than
    0.05 at lag zero, or, below 14,400 frames, by more than six standard deviations of chance (at most 0.5). Of each
    recording the first 262,144 frames count. Raises DataError, naming the file, for one that cannot be read.
    """
    return sorted(pair for indices, values in _compared(paths, opened) for pair in _pairs(indices, values))


def families(paths: Sequence[Path], opened: Opener | None = None) -> list[Family]:
    """The files `paths` in groups that no pair of simultaneous recordings, in the sense above, crosses.

    Every file is in one group; groups are in the order of their first members. Raises as `simultaneous` does.
    """
    first = list(range(len(paths)))  # of each recording's group, or one that is nearer to it

    def find(index: int) -> int:
        while first[index] != index:
            first[index] = index = first[first[index]]
        return index

    parts: list[tuple[list[int], np.ndarray]] = []
    for indices, values in _compared(paths, opened):
        for pair in sorted(_pairs(indices, values)):
            one, other = sorted(map(find, pair))
            first[other] = one
        parts.append((indices, values))
    members: dict[int, list[int]] = {}
    for index in range(len(paths)):
        members.setdefault(find(index), []).append(index)
    found = {start: np.ones((1, 1)) for start in members}
    for indices, values in parts:
        inside: dict[int, list[int]] = {}
        for place, index in enumerate(indices):
            inside.setdefault(find(index), []).append(place)
        found |= {start: values[np.ix_(places, places)] for start, places in inside.items()}
    return [Family(indices, found[start]) for start, indices in members.items()]


def groups(paths: Sequence[Path], opened: Opener = open_wav) -> list[list[Path]]:
    """`families` as lists of paths; groups and their members keep the order of `paths`."""
    return [[paths[index] for index in family.members] for family in families(paths, opened)]


def least(frames: int) -> float:
    """The correlation from which on two recordings of so many frames were made at once."""
    return float(np.clip(DEVIATIONS / max(frames, 1) ** 0.5, SIMULTANEOUS, CERTAIN))


def correlations(
    paths: Sequence[Path], frames: int, opened: Opener | None = None, channels: Sequence[Sequence[int]] | None = None
) -> np.ndarray:
    """float64 (rows, rows): correlations at lag zero of the first differences of the first `frames` frames.

    channels: which ones of each file, in whose order the rows are; by default the first alone. 0 for silence.
    """
    widths = []
    for path in paths:
        with (opened or open_wav)(path) as source:
            widths.append(source.layout.channels)
    rows = max(ROOM // max(sum(map(len, channels)) if channels else len(paths), *widths, 1), 1024)
    return _correlations(paths, frames, rows, opened, channels)


def _compared(paths: Sequence[Path], opened: Opener | None) -> Iterator[tuple[list[int], np.ndarray]]:
    """Recordings of one rate and length, two or more, as indices; the correlations of their first channels."""
    alike: dict[tuple[int, float], list[int]] = {}
    for index, path in enumerate(paths):
        with (opened or open_wav)(path) as source:
            alike.setdefault((source.frames, source.layout.rate), []).append(index)
    for (frames, _), indices in alike.items():
        if len(indices) > 1 and frames > 1:
            values = correlations([paths[index] for index in indices], min(frames, FRAMES), opened)
            yield indices, np.where(np.abs(values) > least(frames), values, 0.0)


def _pairs(indices: list[int], values: np.ndarray) -> Iterator[tuple[int, int]]:
    ones, others = np.nonzero(np.triu(values, 1))
    return ((indices[one], indices[other]) for one, other in zip(ones, others, strict=True))


def _correlations(
    paths: Sequence[Path],
    frames: int,
    rows: int,
    opened: Opener | None = None,
    channels: Sequence[Sequence[int]] | None = None,
) -> np.ndarray:
    """`correlations`, reading `rows` frames at a time."""
    taken = channels or [[0]] * len(paths)
    ends = np.cumsum([len(columns) for columns in taken])
    products = np.zeros((ends[-1], ends[-1]))
    for start in range(0, frames - 1, rows):
        count = min(rows + 1, frames - start)
        changes = np.empty((ends[-1], count - 1), np.float32)
        for end, columns, path in zip(ends, taken, paths, strict=True):
            with (opened or open_wav)(path) as source:
                read = source.read(start, count)[:, list(columns)].astype(np.float64)
            changes[end - len(columns) : end] = np.diff(read, axis=0).T
        products += changes @ changes.T
    size = np.sqrt(np.diag(products))
    return products / np.maximum(np.outer(size, size), 1e-9)

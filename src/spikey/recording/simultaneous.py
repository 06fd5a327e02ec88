"""Recordings made at the same instant on several electrodes: what is learned from one is not independent of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from spikey.recording.wav import open_wav

FRAMES = 1 << 18  # of each recording that are compared
SIMULTANEOUS = 0.05  # correlation from which on two recordings were made at once
DEVIATIONS, CERTAIN = 6, 0.5  # short recordings correlate by chance: what that does not reach, and what is no chance
Opener = Callable[[Path], AbstractContextManager[Any]]  # by default `open_wav`
ROOM = 1 << 24  # samples held at once


def simultaneous(paths: Sequence[Path], opened: Opener | None = None) -> list[tuple[int, int]]:
    """Pairs `(i, j)`, i < j, sorted, of indices into the files `paths` that were made at once; `opened` opens one.

    They have equally many frames, and the first differences of their first channels correlate by more than 0.05 at lag
    zero, or, below 14,400 frames, by more than six standard deviations of chance (at most 0.5). Of each recording the
    first 262,144 frames count. Raises DataError, naming the file, for one that cannot be read.
    """
    alike: dict[int, list[int]] = {}
    channels = []
    for index, path in enumerate(paths):
        with (opened or open_wav)(path) as source:
            alike.setdefault(source.frames, []).append(index)
            channels.append(source.layout.channels)
    found = []
    for frames, group in alike.items():
        if len(group) > 1 and frames > 1:
            rows = max(ROOM // max(len(group), *(channels[index] for index in group)), 1024)
            correlations = _correlations([paths[index] for index in group], min(frames, FRAMES), rows, opened)
            least = np.clip(DEVIATIONS / frames**0.5, SIMULTANEOUS, CERTAIN)
            ones, others = np.nonzero(np.triu(np.abs(correlations) > least, 1))
            found += [(group[one], group[other]) for one, other in zip(ones, others, strict=True)]
    return sorted(found)


def groups(paths: Sequence[Path], opened: Callable[[Path], AbstractContextManager[Any]] = open_wav) -> list[list[Path]]:
    """The files `paths` in groups that no pair of simultaneous recordings, in the sense above, crosses.

    Every path is in one group; groups and their members keep the order of `paths`. Raises as `simultaneous` does.
    """
    first = list(range(len(paths)))  # of each recording's group, or one that is nearer to it

    def find(index: int) -> int:
        while first[index] != index:
            first[index] = index = first[first[index]]
        return index

    for pair in simultaneous(paths, opened):
        one, other = sorted(map(find, pair))
        first[other] = one
    members: dict[int, list[Path]] = {}
    for index, path in enumerate(paths):
        members.setdefault(find(index), []).append(path)
    return list(members.values())


def _correlations(paths: list[Path], frames: int, rows: int, opened: Opener | None = None) -> np.ndarray:
    """float64 (files, files): of the first differences of `frames` frames, read `rows` at a time; 0 for silence."""
    products = np.zeros((len(paths), len(paths)))
    for start in range(0, frames - 1, rows):
        count = min(rows + 1, frames - start)
        changes = np.empty((len(paths), count - 1), np.float32)
        for change, path in zip(changes, paths, strict=True):
            with (opened or open_wav)(path) as source:
                change[:] = np.diff(source.read(start, count)[:, 0].astype(np.float64))
        products += changes @ changes.T
    size = np.sqrt(np.diag(products))
    return products / np.maximum(np.outer(size, size), 1e-9)

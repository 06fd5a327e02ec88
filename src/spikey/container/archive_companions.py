"""The samples of the recordings in an archive that one of them was coded with, read within a bound on the work."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from spikey.base import forks
from spikey.base.errors import DataError, SpikeyError
from spikey.container.entries import COPY, Entry, bond_of
from spikey.container.reader import Reader
from spikey.recording.layout import Layout

if TYPE_CHECKING:
    from spikey.container.archive import Archive

MOST_WORK = 1 << 30  # frames of companions that are read for one block, and their
EACH = 1 << 16  # frames that each such reading counts at least: damaged or hostile archives must not hang


class Work:
    """Counts what each thread reads of companions for one block, through however many recordings.

    name: of the archive, for errors.
    """

    def __init__(self, name: str):
        self._name = name
        self._counts = threading.local()
        forks.watch(self)

    def forked(self) -> None:
        """Nobody in this process is in the middle of reading."""
        self._counts = threading.local()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One reading of companions, within which others may be; what is counted ends with the outermost."""
        counts = self._counts
        counts.depth = getattr(counts, "depth", 0) + 1
        try:
            yield
        finally:
            counts.depth -= 1
            if counts.depth == 0:
                counts.spent = 0

    def spend(self, frames: int) -> None:
        """Count frames; DataError where they are more than any archive needs."""
        self._counts.spent = getattr(self._counts, "spent", 0) + frames + EACH
        if self._counts.spent > MOST_WORK:
            raise DataError(f"{self._name}: its recordings depend on each other in a way that no archive needs")


class ArchiveCompanions:
    """The recordings in an archive that one of them was coded with; `missed` collects those that are lost to it."""

    def __init__(self, archive: Archive, entry: Entry):
        self.count = 0 if entry.kind == COPY else len(entry.companions)
        self.missed: set[str] = set()
        self._archive = archive
        self._entry = entry

    def columns(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, companions), of their common type; DataError, naming the recording, if one is lost."""
        columns = []
        for number, channel, _ in self._entry.companions:
            reader, samples = self._read(number, first_frame, first_frame + count, [channel])
            if reader.dtype.kind == "f":
                raise DataError(f"{reader.name}: holds floats, which cannot be companions")
            columns.append(samples[:, 0])
        return np.stack(columns, axis=1)

    def copied(self, extent: tuple[int, int, int, int], layout: Layout) -> np.ndarray:
        """Samples of the original: first frame, end frame, first channel, end channel; DataError if lost."""
        first, end, low, high = extent
        reader, samples = self._read(self._entry.companions[0].number, first, end, range(low, high))
        if reader.layout.dtype != layout.dtype:
            raise DataError(f"{reader.name}: holds samples of another type than its copy")
        return samples

    def _read(self, number: int, first: int, end: int, channels: Iterable[int]) -> tuple[Reader, np.ndarray]:
        archive, name = self._archive, self._archive.name_of(number)
        with archive.work.reading():
            try:
                archive.work.spend(end - first)
                self._check_bond()
                reader = archive.reader(number)
                if any(lost[0] < end and lost[1] > first for lost in reader.lost):
                    raise DataError(f"{reader.name}: frames {first} to {end} are incomplete")
                return reader, reader.read(first, end - first, list(channels))
            except (SpikeyError, IndexError) as error:
                self.missed.add(name)
                reason = str(error).removeprefix(f"{archive.name}, ").removeprefix(f"{archive.name}: ")
                raise DataError(f"{archive.name}, {self._entry.name}: needs {name} ({reason})") from None

    def _check_bond(self) -> None:
        """DataError where the companions are not the ones that the recording was coded with."""
        numbers = [number for number, *_ in self._entry.companions]
        if all(self._archive.has(number) for number in numbers) and self._entry.bond != bond_of(
            [self._archive.ending(number) for number in numbers]
        ):
            raise DataError("the archive holds a different recording in its place")

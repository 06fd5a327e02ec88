"""Joins files of one channel each to one recording, where they were recorded at the same times."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikey.base.errors import DataError
from spikey.recording.layout import Layout
from spikey.recording.sample_map import Mapped, MappedFile, Part, Rest, Run, Runs, Samples, joined, rest
from spikey.vendors.bounded import Bounded
from spikey.vendors.natural import natural
from spikey.vendors.parsed import EMPTY, Parsed, Recording, layout_of, leftover, mapped, reasons

MOST_FILES = 10_000
AT_ONCE = 1 << 22  # bytes of records that are compared at once


@dataclass(frozen=True)
class Records:
    """Where a file of one channel has its records, which are of one form: fields, samples, more bytes.

    timed: the sizes of the fields before the samples, and whether they are the same in simultaneous files.
    after: bytes of a record after its samples.
    """

    rate: float
    head: int
    timed: tuple[tuple[int, bool], ...]
    frames: int
    after: int = 0

    @property
    def before(self) -> int:
        """Bytes of a record before its samples."""
        return sum(size for size, _ in self.timed)

    @property
    def size(self) -> int:
        """Bytes of a record."""
        return self.before + 2 * self.frames + self.after

    def runs(self, size: int, column: int = 0) -> tuple[Runs, int]:
        """The runs of a file of `size` bytes, and its bytes in a last record that is incomplete and no samples."""
        fields: list[Part] = [Rest(each) for each, _ in self.timed]
        after: list[Part] = [Rest(self.after)] if self.after else []
        count, left = divmod(max(size - self.head, 0), self.size)
        runs = [rest(self.head), Run(count, (*fields, Samples(self.frames, column, 1), *after))]
        cut = min(max(left - self.before, 0) // 2, self.frames)
        if cut:
            runs += [Run(1, (*fields, Samples(cut, column, 1)))]
            left -= self.before + 2 * cut
        return joined([*runs, rest(left)]), left


def parse(
    reader: str,
    paths: Sequence[Path],
    describe: Callable[[Path], Records],
    group: Callable[[Path], Hashable],
    big_endian: bool = False,
) -> Parsed:
    """Recordings of files that are described one by one; of one group, those that are simultaneous are joined."""
    failed: dict[Path, str] = {}
    alike: defaultdict[Hashable, list[Path]] = defaultdict(list)
    described: dict[Path, tuple[Records, int]] = {}
    for path in sorted(paths, key=natural):
        with reasons(failed, path):
            records = describe(path)
            with Bounded(path) as file:
                if not any(run.frames for run in records.runs(file.size)[0]):
                    raise DataError(EMPTY)
                described[path] = records, file.size
                # Files that differ at their ends need not be read as a whole.
                ends = (
                    _times(file, records, range(1)),
                    _times(file, records, range(_count(file, records) - 1, _count(file, records))),
                )
                alike[group(path), records, file.size, ends].append(path)
    found: list[Recording] = []
    for candidates in alike.values():
        for same in _simultaneous(candidates, described, failed):
            for first in range(0, len(same), MOST_FILES):
                with reasons(failed, same[first]):
                    some = same[first : first + MOST_FILES]
                    found.append(_join(reader, some, *described[some[0]], big_endian))
    return Parsed(tuple(found), failed)


def _join(reader: str, paths: Sequence[Path], records: Records, size: int, big_endian: bool) -> Mapped:
    files = [MappedFile(path, records.runs(size, column)[0]) for column, path in enumerate(paths)]
    layout: Layout = layout_of(len(paths), records.rate, "int16")
    notes = leftover(records.runs(size)[1] * len(paths), "of incomplete records")
    return mapped(reader, layout, files, notes=notes, big_endian=big_endian)


def _simultaneous(
    paths: list[Path], described: dict[Path, tuple[Records, int]], failed: dict[Path, str]
) -> list[list[Path]]:
    """Files by what they contain of times."""
    if len(paths) == 1:
        return [paths]
    by_times: defaultdict[bytes, list[Path]] = defaultdict(list)
    for path in paths:
        with reasons(failed, path), Bounded(path) as file:
            records = described[path][0]
            by_times[_times(file, records, range(_count(file, records)))].append(path)
    return list(by_times.values())


def _count(file: Bounded, records: Records) -> int:
    return max(file.size - records.head, 0) // records.size


def _times(file: Bounded, records: Records, which: range) -> bytes:
    """A hash of the fields that carry time, of some records, and of an incomplete one that follows them."""
    kept = np.flatnonzero(np.repeat([timed for _, timed in records.timed], [size for size, _ in records.timed]))
    found = hashlib.sha256()
    some = max(AT_ONCE // records.size, 1)
    for first in range(which.start, min(which.stop, _count(file, records)), some):
        count = min(some, which.stop - first)
        data = file.at(records.head + first * records.size, count * records.size)
        found.update(np.frombuffer(data, np.uint8).reshape(count, records.size)[:, kept].tobytes())
    end = records.head + which.stop * records.size
    if file.size >= end + records.before:
        found.update(np.frombuffer(file.at(end, records.before), np.uint8)[kept].tobytes())
    return found.digest()

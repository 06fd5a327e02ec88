"""Restores the files of a recording whose samples lie between other bytes: from its samples and those bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Protocol

import numpy as np

from spikey.base.errors import DataError
from spikey.container.file_map import FileMap
from spikey.container.layout import BLOCK_HEAD
from spikey.container.reader import Reader
from spikey.files.settings import Progress, report
from spikey.recording.layout import Layout
from spikey.recording.records import put_rest, put_samples
from spikey.recording.sample_map import READ_AT_ONCE, Rest, Run, Runs, columns_of


class Target(Protocol):
    """What a restored file is written to."""

    def write(self, data: bytes, /) -> int: ...


def assemble(
    reader: Reader,
    file_map: FileMap,
    targets: Sequence[Target],
    first: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> int:
    """Write files of an opened recording to `targets`, all at once; return the bytes written.

    first: which file the first target is for. Raises DamagedError or DataError for what is lost, unless salvaging.
    """
    if not reader.salvage and sum(file_map.rest()) != reader.size_of(BLOCK_HEAD):
        raise DataError(f"{reader.name}: contradicts itself about the bytes between its samples")
    chosen = range(first, first + len(targets))
    sizes = file_map.rest()
    files = [
        _File(file_map.runs[k], reader.layout, file_map.big_endian, _Bytes(reader, sum(sizes[:k]), sizes[k]).take)
        for k in chosen
    ]
    written = 0
    low, high = files[0].low, files[-1].high
    nothing = np.empty((0, high - low), reader.layout.memory_dtype)
    for samples in chain(_stretches(reader, low, high, jobs), [nothing]):
        for file, target in zip(files, targets, strict=True):
            for piece in file.add(samples[:, file.low - low : file.high - low]):
                target.write(piece)
                written += len(piece)
        report(progress, samples.size * reader.layout.itemsize, 0)
    return written


def _stretches(reader: Reader, low: int, high: int, jobs: int) -> Iterator[np.ndarray]:
    """Samples of the columns [low, high), some frames at a time, in order."""
    for first, end in reader.stretches():
        yield reader.read(first, end - first, range(low, high), jobs=jobs)


class _Bytes:
    """The bytes of one file that are not samples, in order."""

    def __init__(self, reader: Reader, first: int, size: int):
        self._reader, self._left = reader, size
        self._chunks = reader.around(BLOCK_HEAD, first)
        self._held = b""

    def take(self, count: int) -> bytes:
        """The next bytes; where salvaging finds that they are lost, zeros."""
        parts = []
        while count:
            if not self._held:
                self._held = next(self._chunks, b"") or self._lost(count)
            parts.append(self._held[:count])
            count, self._held = count - len(parts[-1]), self._held[len(parts[-1]) :]
        return b"".join(parts)

    def _lost(self, count: int) -> bytes:
        if not self._reader.salvage:
            raise DataError(f"{self._reader.name}: lacks {count:,} bytes that lie between its samples")
        self._reader.lost.append((0, count, 0, 0))
        return bytes(count)


class _File:
    """One file, of which samples come in pieces of any length."""

    def __init__(self, runs: Runs, layout: Layout, big_endian: bool, take: Callable[[int], bytes]):
        self.low, self.high = columns_of(runs)
        self._layout, self._big_endian, self._take = replace(layout, channels=self.high - self.low), big_endian, take
        self._batches = ((run, count) for run in runs for count in run.batches(layout.itemsize))
        self._run, self._left, self._done = Run(0, ()), 0, 0
        self._fields: list[np.ndarray] = []
        self._held = np.empty((0, self._layout.channels), layout.memory_dtype)

    def add(self, samples: np.ndarray) -> Iterator[bytes]:
        """Take further samples (frames, channels); the bytes of the records that are complete with them."""
        self._held = np.concatenate([self._held, samples]) if len(self._held) else samples
        while self._left or self._next():
            frames = self._run.frames
            size = self._run.record_bytes(self._layout.itemsize)
            count = min(self._left, max(READ_AT_ONCE // size, 1), len(self._held) // frames if frames else self._left)
            if not count:
                break
            yield self._records(count, size)

    def _records(self, count: int, size: int) -> bytes:
        """The next records."""
        records = np.empty((count, size), np.uint8)
        put_rest(
            [field[self._done : self._done + count] for field in self._fields],
            records,
            self._run,
            self._layout.itemsize,
        )
        used = count * self._run.frames
        if used:
            put_samples(self._held[:used], records, self._run, self._layout, self._big_endian, self.low)
        self._held = self._held[used:]
        self._left, self._done = self._left - count, self._done + count
        return records.tobytes()

    def _next(self) -> bool:
        """Begin the next records whose other bytes lie together; False after the last."""
        found = next(self._batches, None)
        if found is None:
            return False
        self._run, self._left = found
        self._done = 0
        sizes = [part.size for part in self._run.parts if isinstance(part, Rest)]
        taken = [np.frombuffer(self._take(self._left * size), np.uint8) for size in sizes]
        self._fields = [field.reshape(self._left, size) for field, size in zip(taken, sizes, strict=True)]
        return True

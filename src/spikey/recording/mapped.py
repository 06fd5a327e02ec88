"""Opens the files of a recording whose samples lie between other bytes, as something to compress."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Self

import numpy as np

from spikey.base.errors import DataError, UsageError
from spikey.recording.opened import open_file, read_at
from spikey.recording.records import Records, take_rest, take_samples
from spikey.recording.sample_map import READ_AT_ONCE, REST_AT_ONCE, Mapped, MappedFile, Run, columns_of


@dataclass(frozen=True)
class _Place:
    """A run with the frame and the byte of its file that it begins at."""

    run: Run
    frame: int
    byte: int


class MappedSource:
    """A recording in one or several files: its samples as channels, all other bytes as the bytes before them.

    These are in the order of the files; of each group of records (`Run.batches`) the bytes of one field after those of
    another. `mapped`: which bytes of the files are samples; a verification compares whole files. Files are opened for
    each reading, as there may be thousands. Raises DataError for files of another size than it describes.
    """

    canonical = False
    tail_size = 0

    def __init__(self, mapped: Mapped, name: str):
        self.mapped, self.name = mapped, name
        self.layout, self.frames = mapped.layout, mapped.frames
        self.head_size = sum(run.count * run.rest for file in mapped.files for run in file.runs)
        self._places = [_places(file, self.layout.itemsize) for file in mapped.files]
        self._columns = [columns_of(file.runs) for file in mapped.files]
        for file, places in zip(mapped.files, self._places, strict=True):
            size = os.stat(file.path).st_size
            if size != places[-1].byte:
                raise DataError(
                    f"{file.path}: had {places[-1].byte:,} bytes when it was found and has {size:,} now",
                    code="changed-while-read",
                )

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, channels); UsageError outside the recording, DataError where a file cannot give them."""
        if first_frame < 0 or count < 0 or first_frame + count > self.frames:
            raise UsageError(f"{self.name} has {self.frames} frames; asked for {count} from frame {first_frame} on")
        out = np.empty((count, self.layout.channels), self.layout.memory_dtype)
        for number, (low, high) in enumerate(self._columns):
            self._read_file(number, first_frame, out[:, low:high])
        return out

    def _read_file(self, number: int, first_frame: int, out: np.ndarray) -> None:
        """The samples of one file, from a frame on."""
        places, low = self._places[number], self._columns[number][0]
        layout = replace(self.layout, channels=out.shape[1])
        end = first_frame + len(out)
        at = max(bisect_right(places, first_frame, key=lambda place: place.frame) - 1, 0)
        for place in places[at:-1]:
            if place.frame >= end:
                break
            frames = place.run.frames
            begin, stop = max(first_frame - place.frame, 0), min(end - place.frame, place.run.count * frames)
            if not frames or begin >= stop:
                continue
            first_record = begin // frames
            for record, records in self._records(number, place, first_record, -(-stop // frames)):
                samples = take_samples(records, place.run, layout, self.mapped.big_endian, low)
                here = record * frames
                a, b = max(begin, here), min(stop, here + len(samples))
                target = place.frame - first_frame
                out[target + a : target + b] = samples[a - here : b - here]

    def _records(self, number: int, place: _Place, begin: int, end: int) -> Iterator[tuple[int, Records]]:
        """Records of a run as bytes, in pieces, each with the number of its first one."""
        size = place.run.record_bytes(self.layout.itemsize)
        most = max(READ_AT_ONCE // size, 1)
        file, name, _ = open_file(self.mapped.files[number].path)
        with file:
            for at in range(begin, end, most):
                count = min(most, end - at)
                data = read_at(file, name, place.byte + at * size, count * size)
                yield at, np.frombuffer(data, np.uint8).reshape(count, size)

    def head_chunks(self, size: int = REST_AT_ONCE) -> Iterator[bytes]:
        """All bytes that are not samples, at most `size` at a time; a large field begins and ends one."""
        size, pending = min(size, REST_AT_ONCE), b""
        for field in self._fields():
            if pending and len(field) >= LARGE:
                yield pending
                pending = b""
            pending += field
            while len(pending) >= size or (pending and len(field) >= LARGE):
                yield pending[:size]
                pending = pending[size:]
        if pending:
            yield pending

    def _fields(self) -> Iterator[bytes]:
        """The bytes of each field of each group of records."""
        for number, places in enumerate(self._places):
            for place in places[:-1]:
                if not place.run.rest:
                    continue
                at = 0
                for count in place.run.batches(self.layout.itemsize):
                    pieces = [
                        list(take_rest(r, place.run, self.layout.itemsize))
                        for _, r in self._records(number, place, at, at + count)
                    ]
                    yield from map(b"".join, zip(*pieces, strict=True))
                    at += count

    def tail_chunks(self, size: int = 0) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


LARGE = 1 << 14  # bytes of a field that is stored by itself, so that its elements are recognised


def _places(file: MappedFile, itemsize: int) -> list[_Place]:
    """The runs of a file; at the end one without records, where the file ends."""
    frames = accumulate((run.count * run.frames for run in file.runs), initial=0)
    sizes = accumulate((run.count * run.record_bytes(itemsize) for run in file.runs), initial=0)
    return [_Place(run, frame, byte) for run, frame, byte in zip((*file.runs, Run(0, ())), frames, sizes, strict=True)]

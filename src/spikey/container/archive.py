"""Reads an archive of recordings: each of them as a reader of its own, decoding only the others that it needs."""

from __future__ import annotations

import difflib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, Self

import numpy as np

from spikey.base import forks
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.base.wire import Cursor
from spikey.container.block_writer import Writable
from spikey.container.embedding import packed_model, unpack_model
from spikey.container.entries import (
    ALONE,
    COPY,
    ENDING,
    FOOTER_MAGIC,
    FRONT,
    LONGEST_ENTRY,
    MAGIC,
    MODEL,
    MOST_MEMBERS,
    VERSION,
    Entry,
    bond_of,
    find_entries,
    read_directory,
    write_directory,
)
from spikey.container.layout import LARGEST_RECORD
from spikey.container.reader import GLANCE, Reader
from spikey.container.salvage import read_around
from spikey.container.window import Window
from spikey.model.trained import Model, find, use
from spikey.recording.companions import MOST_NEEDED
from spikey.recording.opened import Opened, open_data, read_at
from spikey.recording.remote import Remote
from spikey.recording.source import Layout

MOST_OPEN = 2 * MOST_NEEDED  # readers whose decoded samples are kept
KEPT_SAMPLES = 1 << 21  # decoded samples that each of them keeps
MOST_WORK = 1 << 30  # frames of companions that are read for one block, and their
EACH = 1 << 16  # frames that each such reading counts at least: damaged or hostile archives must not hang


class Named(NamedTuple):
    """A channel of another recording that one was coded with; the correlation, from -1 to 1, is as measured then."""

    name: str
    channel: int
    correlation: float


class Archive:
    """An opened archive: `archive[name]` is a `Reader`, opened when it is asked for.

    path: a file's path, an address that fsspec opens, or a file's bytes. With `salvage`, a missing directory is made up
    for by looking for recordings; otherwise what is damaged raises DamagedError or DataError. Readers decode what
    recordings were coded with on demand; what is decoded is kept for the next within bounds. An archive and its readers
    serve threads and forked processes, and can be pickled: the copy opens the path again.
    """

    def __init__(self, path: str | os.PathLike[str] | bytes | Opened, *, salvage: bool = False):
        self._file = open_data(path)
        self.name, self.file_size = self._file.title, self._file.size
        self.salvage = salvage
        self._opening = threading.Lock()
        self._readers: OrderedDict[int, Reader] = OrderedDict()
        self._work = threading.local()
        forks.watch(self)
        try:
            self._read_structure()
        except BaseException:
            self.close()
            raise

    def forked(self) -> None:
        """Nobody else in this process opens recordings, or is in the middle of one."""
        self._opening = threading.Lock()
        self._work = threading.local()

    def __reduce__(self) -> Any:
        return _reopened, (self._file, self.salvage, self._ending())

    def _ending(self) -> bytes:
        """The last bytes, which change with the contents; empty where they cannot be read."""
        with suppress(DataError):
            return self._read_at(max(self.file_size - ENDING, 0), min(ENDING, self.file_size))
        return b""

    def _read_structure(self) -> None:
        self._fetch([(0, min(GLANCE, self.file_size)), (max(self.file_size - GLANCE, 0), self.file_size)])
        try:
            front = self._read_at(0, min(len(FRONT), self.file_size))
            if front[:4] != MAGIC:
                raise DataError(f"{self.name}: is no archive of recordings (it begins with {front[:4]!r})")
            if len(front) < len(FRONT) or front[4:] != FRONT[4:]:
                raise DataError(
                    f"{self.name}: is not an archive of format version {VERSION}, which this program reads: update it"
                )
            entries = read_directory(self._read_at, self.file_size, self.name)
        except DataError:
            if not self.salvage:
                raise
            entries = self._found()
        recordings = [entry for entry in entries if entry.kind != MODEL]
        self._entries = {entry.number: entry for entry in recordings}
        self._numbers = {entry.name: entry.number for entry in recordings}
        self.models = [entry for entry in entries if entry.kind == MODEL]

    def _found(self) -> list[Entry]:
        """The recordings, where beginning or directory are damaged."""
        try:
            return read_directory(self._read_at, self.file_size, self.name)
        except DataError:
            entries = find_entries(self._read_around, self.file_size, self.name)
        if not entries:
            raise DataError(f"{self.name}: holds no recording that could be salvaged")
        return entries

    def _fetch(self, ranges: list[tuple[int, int]]) -> None:
        """Have a remote archive fetch byte ranges (start, end) at once; for others do nothing."""
        if isinstance(self._file, Remote):
            self._file.ahead(ranges)

    def _read_at(self, offset: int, count: int) -> bytes:
        return bytes(read_at(self._file, self.name, offset, count))

    def _read_around(self, offset: int, count: int) -> bytes:
        """Bytes with zeros for those that the disk cannot read; what a server cannot give now, it may give later."""
        remote = isinstance(self._file, Remote)
        return self._read_at(offset, count) if remote else read_around(self._read_at, offset, count)

    @property
    def entries(self) -> list[Entry]:
        """What the archive says of each recording, in the order in which they lie in it."""
        return list(self._entries.values())

    @property
    def names(self) -> list[str]:
        """The recordings' names: paths below the folder that was compressed, in the order of the archive."""
        return list(self._numbers)

    @property
    def lost(self) -> list[int]:
        """Places, from 0, of recordings that nothing is known of any more; only salvaging comes upon such."""
        there = set(self._entries) | {entry.number for entry in self.models}
        wanted = {number for entry in self.entries for number, *_ in entry.companions} | there
        return sorted(set(range(max(wanted, default=-1) + 1)) - there)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def __getitem__(self, name: str) -> Reader:
        return self.reader(self._numbered(name))

    def _numbered(self, name: str) -> int:
        if name not in self._numbers:
            near = [known for known in self._numbers if known.endswith(f"/{name}")]
            near += difflib.get_close_matches(str(name), self._numbers, n=1)
            raise UsageError(f"{self.name}: holds no {name}" + (f"; did you mean {near[0]}?" if near else ""))
        return self._numbers[name]

    def entry(self, name: str) -> Entry:
        """What the archive says of a recording; UsageError where it holds none of that name."""
        return self._entries[self._numbered(name)]

    def name_of(self, number: int) -> str:
        """A recording's name by its place; in words where it is lost."""
        return self._entries[number].name if number in self._entries else f"recording {number}, whose name is lost"

    def companions(self, name: str) -> list[Named]:
        """The channels that a recording was coded with; of a copy its original and channel 0."""
        return [Named(self.name_of(c.number), c.channel, c.correlation) for c in self.entry(name).companions]

    def needed(self, name: str) -> list[str]:
        """All recordings that one depends on, directly or not, in the order of the archive."""
        return [self.name_of(number) for number in sorted(self._needed(self._numbered(name)))]

    def _needed(self, number: int) -> set[int]:
        found: set[int] = set()
        waiting = [number]
        while waiting:
            entry = self._entries.get(waiting.pop())
            for other, *_ in entry.companions if entry else ():
                if other not in found:
                    found.add(other)
                    waiting.append(other)
            if len(found) > MOST_NEEDED:
                raise DataError(
                    f"{self.name}, {self.name_of(number)}: depends on more than {MOST_NEEDED} other recordings"
                )
        return found

    def reader(self, number: int) -> Reader:
        """A recording by its place, not salvaged: what is lost of it raises. It stays the archive's to close."""
        with self._opening:
            if number in self._readers:
                self._readers.move_to_end(number)
                return self._readers[number]
        opened = self.open(number, self.salvage)
        opened.salvage = False
        opened.keep(KEPT_SAMPLES)
        with self._opening:
            self._readers[number] = opened
            while len(self._readers) > MOST_OPEN:
                self._readers.popitem(last=False)
        return opened

    def open(self, number: int, salvage: bool = False) -> Reader:
        """A new reader of a recording, by its place."""
        if number not in self._entries:
            raise DataError(f"{self.name}: {self.name_of(number)}, is not there")
        entry = self._entries[number]
        what = f"{self.name}, {entry.name}"
        self._needed(number)
        self._fetch([(max(entry.offset - LONGEST_ENTRY, 0), entry.offset + min(GLANCE, entry.size))])
        if entry.damaged and not self.salvage:
            raise DamagedError(f"{what}: what the archive says of it is damaged; --salvage may restore it")
        window = Window(self._file, what, entry.offset, entry.size)
        companions = None if entry.kind == ALONE else Others(self, entry)
        return Reader(window, salvage=salvage, companions=companions, models=self.model)

    def model(self, id4: bytes) -> Model:
        """The model of that id: the archive's own, or one from where models are looked for."""
        for entry in self.models:
            if entry.name == id4.hex():
                name = f"{self.name}, model {entry.name}"
                if entry.size > LARGEST_RECORD:
                    raise DataError(f"{name}: is larger than the {LARGEST_RECORD:,} bytes that a model may take")
                model = unpack_model(Cursor(self._read_at(entry.offset, entry.size), name))
                if model.id != id4:
                    raise DataError(f"{name}: is damaged")
                return use(model)
        return find(id4)

    def bytes_of(self, name: str) -> Iterator[bytes]:
        """The `.spky` file of a recording, in pieces."""
        entry = self.entry(name)
        for at in range(0, entry.size, 1 << 20):
            yield self._read_at(entry.offset + at, min(1 << 20, entry.size - at))

    def has(self, number: int) -> bool:
        """Whether a recording is there, by its place."""
        return number in self._entries

    def ending(self, number: int) -> bytes:
        """The last 16 bytes of a recording's file, by its place."""
        entry = self._entries[number]
        return self._read_at(entry.offset + max(entry.size - ENDING, 0), min(entry.size, ENDING))

    def spend(self, frames: int) -> None:
        """Count what is read of companions for one block; DataError where it is more than any archive needs."""
        self._work.spent = getattr(self._work, "spent", 0) + frames + EACH
        if self._work.spent > MOST_WORK:
            raise DataError(f"{self.name}: its recordings depend on each other in a way that no archive needs")

    def enter(self, by: int) -> None:
        """Keep count of how deep companions are being read for each other."""
        self._work.depth = getattr(self._work, "depth", 0) + by
        if self._work.depth == 0:
            self._work.spent = 0

    def close(self) -> None:
        """Close the file; the recordings' readers cannot be used any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reopened(file: Opened, salvage: bool, ending: bytes) -> Archive:
    """A pickled archive, opened again."""
    archive = Archive(file, salvage=salvage)
    if archive._ending() != ending:
        archive.close()
        raise DataError(f"{archive.name}: has changed since it was pickled; open it anew")
    return archive


class Others:
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
                raise DataError(f"{reader.name}: holds floats, which nothing is coded with")
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
        archive.enter(1)
        try:
            archive.spend(end - first)
            self._check_bond()
            reader = archive.reader(number)
            if any(lost[0] < end and lost[1] > first for lost in reader.lost):
                raise DataError(f"{reader.name}: frames {first} to {end} are not all there")
            return reader, reader.read(first, end - first, list(channels))
        except (SpikeyError, IndexError) as error:
            self.missed.add(name)
            reason = str(error).removeprefix(f"{archive.name}, ").removeprefix(f"{archive.name}: ")
            raise DataError(f"{archive.name}, {self._entry.name}: needs {name} ({reason})") from None
        finally:
            archive.enter(-1)

    def _check_bond(self) -> None:
        """DataError where the companions are not the ones that the recording was coded with."""
        numbers = [number for number, *_ in self._entry.companions]
        if all(self._archive.has(number) for number in numbers) and self._entry.bond != bond_of(
            [self._archive.ending(number) for number in numbers]
        ):
            raise DataError("the archive holds another recording in its place than at first")


class ArchiveWriter:
    """Writes an archive: its beginning, recordings, and, on leaving without an error, the directory."""

    def __init__(self, out: Writable):
        self._out = out
        self.entries: list[Entry] = []
        self.written = 0
        self._ends: list[bytes] = []

    def __enter__(self) -> Self:
        self._write(FRONT)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write(write_directory(self.entries, self.written))

    def add(self, entry: Entry, pieces: Iterable[bytes]) -> Entry:
        """Append a recording, whose `.spky` file comes in pieces; number, bond and offset are filled in."""
        if len(self.entries) >= MOST_MEMBERS:
            raise UsageError(f"an archive has room for {MOST_MEMBERS:,} recordings; make several")
        ends = [self._ends[number] for number, *_ in entry.companions]
        entry = replace(entry, number=len(self.entries), bond=bond_of(ends) if ends else 0)
        head = entry.write()
        self._write(head)
        entry = replace(entry, offset=self.written)
        end = b""
        for piece in pieces:
            self._write(piece)
            end = (end + piece)[-ENDING:]
        self.entries.append(entry)
        self._ends.append(end)
        return entry

    def add_model(self, model: Model) -> None:
        """Append a model that recordings name, once for all of them."""
        content = packed_model(model)
        self.add(Entry(0, model.id.hex(), len(content), MODEL), [content])

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an archive, by its beginning or, where that is damaged, its end; False if it cannot be read."""
    try:
        file = open_data(path)
        name, size = file.title, file.size
        try:
            if size < len(FRONT):
                return False
            if bytes(read_at(file, name, 0, 4)) == MAGIC:
                return True
            return bytes(read_at(file, name, size - 4, 4)) == FOOTER_MAGIC
        finally:
            file.close()
    except SpikeyError:
        return False

"""Reads an archive of recordings: each has its own reader, which decodes only the other recordings that it needs."""

from __future__ import annotations

import difflib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from spikey.base import forks
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.base.wire import Cursor
from spikey.container.archive_companions import ArchiveCompanions, Work
from spikey.container.embedding import unpack_model
from spikey.container.entries import (
    ALONE,
    ENDING,
    FOOTER_MAGIC,
    FRONT,
    LONGEST_ENTRY,
    MAGIC,
    MODEL,
    VERSION,
    Entry,
    find_entries,
    read_directory,
)
from spikey.container.input import GLANCE, Input
from spikey.container.layout import LARGEST_RECORD
from spikey.container.reader import Reader
from spikey.container.window import Window
from spikey.model.trained import Model, find, use
from spikey.recording.companions import MOST_NEEDED
from spikey.recording.opened import Opened, open_data, read_at

MOST_OPEN = 2 * MOST_NEEDED  # readers that stay open, with their decoded samples
CACHED_SAMPLES = 1 << 21  # decoded samples that stay in memory for each of them
CHUNK = 1 << 20  # bytes of a recording's file that are read at once


class Named(NamedTuple):
    """A channel of another recording that one was coded with, and their measured correlation, from -1 to 1."""

    name: str
    channel: int
    correlation: float


class Archive:
    """An opened archive: `archive[name]` is a `Reader`, opened on first use.

    Readers decode companions on demand and cache them within bounds. Threads and forked processes can share an archive
    and its readers, which can be pickled: the copy opens the path again.

    Parameters
    ----------
    path : path, bytes or opened file
        A file's path, an address that fsspec opens, or a file's bytes.
    salvage : bool
        Whether recordings are searched for if the directory is missing; otherwise damage raises
        DamagedError or DataError.
    """

    def __init__(self, path: str | os.PathLike[str] | bytes | Opened, *, salvage: bool = False):
        self.input = Input(open_data(path))
        self.name, self.file_size = self.input.name, self.input.size
        self.salvage = salvage
        self.work = Work(self.name)
        self._opening = threading.Lock()
        self._readers: OrderedDict[int, Reader] = OrderedDict()
        forks.watch(self)
        try:
            self._read_structure()
        except BaseException:
            self.close()
            raise

    def forked(self) -> None:
        """Nobody else in this process opens recordings."""
        self._opening = threading.Lock()

    def __reduce__(self) -> Any:
        return _reopened, (self.input.opened, self.salvage, self.input.ending())

    def _read_structure(self) -> None:
        self.input.fetch_ends()
        try:
            front = self.input.read_at(0, min(len(FRONT), self.file_size))
            if front[:4] != MAGIC:
                raise DataError(f"{self.name}: is not an archive of recordings (it begins with {front[:4]!r})")
            if len(front) < len(FRONT) or front[4:] != FRONT[4:]:
                raise DataError(
                    f"{self.name}: has another format version than {VERSION}, which this program reads; update Spikey"
                )
            entries = read_directory(self.input.read_at, self.file_size, self.name)
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
            return read_directory(self.input.read_at, self.file_size, self.name)
        except DataError:
            entries = find_entries(self.input.read_around, self.file_size, self.name)
        if not entries:
            raise DataError(f"{self.name}: holds no recording that could be salvaged")
        return entries

    @property
    def entries(self) -> list[Entry]:
        """The entry of each recording, in the order in which they lie in the archive."""
        return list(self._entries.values())

    @property
    def names(self) -> list[str]:
        """The recordings' names: paths below the folder that was compressed, in the order of the archive."""
        return list(self._numbers)

    @property
    def lost(self) -> list[int]:
        """Places, from 0, of recordings that are missing but referred to by others; only found by salvaging."""
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
            near = [other for other in self._numbers if other.endswith(f"/{name}")]
            near += difflib.get_close_matches(str(name), self._numbers, n=1)
            raise UsageError(f"{self.name}: holds no {name}" + (f"; did you mean {near[0]}?" if near else ""))
        return self._numbers[name]

    def entry(self, name: str) -> Entry:
        """A recording's entry; UsageError if there is none of that name."""
        return self._entries[self._numbered(name)]

    def name_of(self, number: int) -> str:
        """A recording's name by its place; in words where it is lost."""
        return self._entries[number].name if number in self._entries else f"recording {number}, whose name is lost"

    def companions(self, name: str) -> list[Named]:
        """The channels that a recording was coded with; for a copy, its original and channel 0."""
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
        opened.cache.room = CACHED_SAMPLES
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
        self.input.fetch([(max(entry.offset - LONGEST_ENTRY, 0), entry.offset + min(GLANCE, entry.size))])
        if entry.damaged and not self.salvage:
            raise DamagedError(f"{what}: its entry in the archive is damaged; --salvage may restore it")
        window = Window(self.input.opened, what, entry.offset, entry.size)
        companions = None if entry.kind == ALONE else ArchiveCompanions(self, entry)
        return Reader(window, salvage=salvage, companions=companions, models=self.model)

    def model(self, id4: bytes) -> Model:
        """The model of that id: the archive's own, or one from where models are looked for."""
        for entry in self.models:
            if entry.name == id4.hex():
                name = f"{self.name}, model {entry.name}"
                if entry.size > LARGEST_RECORD:
                    raise DataError(f"{name}: is larger than the {LARGEST_RECORD:,} bytes that a model may take")
                model = unpack_model(Cursor(self.input.read_at(entry.offset, entry.size), name))
                if model.id != id4:
                    raise DataError(f"{name}: is damaged")
                return use(model)
        return find(id4)

    def bytes_of(self, name: str) -> Iterator[bytes]:
        """The `.spky` file of a recording, in pieces."""
        entry = self.entry(name)
        for at in range(0, entry.size, CHUNK):
            yield self.input.read_at(entry.offset + at, min(CHUNK, entry.size - at))

    def has(self, number: int) -> bool:
        """Whether a recording is there, by its place."""
        return number in self._entries

    def ending(self, number: int) -> bytes:
        """The last 16 bytes of a recording's file, by its place."""
        entry = self._entries[number]
        return self.input.read_at(entry.offset + max(entry.size - ENDING, 0), min(entry.size, ENDING))

    def close(self) -> None:
        """Close the file; the recordings' readers cannot be used any more."""
        self.input.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _reopened(opened: Opened, salvage: bool, ending: bytes) -> Archive:
    """A pickled archive, opened again."""
    archive = Archive(opened, salvage=salvage)
    if archive.input.ending() != ending:
        archive.close()
        raise DataError(f"{archive.name}: has changed since it was pickled; open it again")
    return archive


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

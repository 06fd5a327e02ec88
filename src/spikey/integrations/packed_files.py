"""Compressed files that are opened again and again: which they are, and whether each is still what it was at first."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from spikey.base.errors import DataError
from spikey.container.archive import Archive
from spikey.container.reader import Reader
from spikey.files.restored_view import RestoredFile, open_restored
from spikey.files.shared_cache import SharedCache

MOST_OPEN = 64  # readers that stay open
READABLE = 0o444  # mode of files behind an address


@dataclass(frozen=True)
class Status:
    """What the system lists about a compressed file, and of those restored from it."""

    mode: int
    time: int  # of modification, in nanoseconds
    owner: int
    group: int


class Packed:
    """A compressed file, or one recording of an archive.

    place: its path or address. archive, number: where it is one of an archive.
    """

    def __init__(self, place: str, time: int, archive: Archive | None = None, number: int = 0):
        self.place, self._archive, self._number = place, archive, number
        self.remote = "://" in place
        self.growing = False  # whether it had no index when it was opened first
        self._first = None if self.remote else _status_of(place)
        self._ending: bytes | None = None
        if self._first is None:
            self.status = Status(READABLE, time, os.getuid(), os.getgid())
        else:
            found = self._first
            self.status = Status(stat.S_IMODE(found.st_mode), found.st_mtime_ns, found.st_uid, found.st_gid)

    @property
    def owner(self) -> Hashable:
        """Whose decoded blocks its readers share."""
        return self.place, self._number

    @property
    def name(self) -> str:
        """What the restored file's name may follow from."""
        if self._archive is not None:
            return self._archive.name_of(self._number)
        return self.place.partition("?")[0] if self.remote else self.place  # what follows signs an address

    def open(self) -> Reader:
        """A new reader; DataError where the file is not the one that was opened first."""
        self.check()
        reader = Reader(self.place) if self._archive is None else self._archive.open(self._number)
        ending = reader.input.ending()
        if self._ending is None:
            self._ending, self.growing = ending, not reader.complete
        elif ending != self._ending and not self.growing:
            reader.close()
            raise DataError(f"{self.place}: {CHANGED}")
        return reader

    def check(self) -> None:
        """DataError where the file has been removed, replaced or written to since it was opened first."""
        if self._first is None:
            return
        first = self._first
        try:
            now = os.stat(self.place)
        except OSError as error:
            raise DataError(f"{self.place}: was there when it was mounted ({error.strerror} now)") from None
        same = (now.st_dev, now.st_ino) == (first.st_dev, first.st_ino)
        if self.growing:
            same &= now.st_size >= first.st_size
        else:
            same &= (now.st_size, now.st_mtime_ns) == (first.st_size, first.st_mtime_ns)
        if not same:
            raise DataError(f"{self.place}: {CHANGED}")


def _status_of(place: str) -> os.stat_result:
    try:
        return os.stat(place)
    except FileNotFoundError:
        raise DataError(f"{place} does not exist") from None
    except OSError as error:
        raise DataError(f"{place} cannot be opened: {error.strerror}") from None


CHANGED = "has changed since it was mounted; unmount it and mount it again"


@dataclass
class _Opened:
    """A reader and who uses it."""

    users: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while it is opened
    reader: Reader | None = None
    files: list[RestoredFile] = field(default_factory=list)


class OpenReaders:
    """Readers of compressed files, of which those that were used last stay open; for several threads.

    cache: of decoded blocks. jobs: threads of each reader.
    """

    def __init__(self, cache: SharedCache, jobs: int = 1, most: int = MOST_OPEN):
        self._cache, self._jobs, self._most = cache, jobs, most
        self._lock = threading.Lock()
        self._opened: OrderedDict[Packed, _Opened] = OrderedDict()

    @contextmanager
    def restored(self, packed: Packed) -> Iterator[list[RestoredFile]]:
        """The files that a compressed file restores, to be read within the context; SpikeyError where that fails."""
        with self._lock:
            opened = self._opened.setdefault(packed, _Opened())
            self._opened.move_to_end(packed)
            opened.users += 1
        try:
            with opened.lock:
                if opened.reader is None:
                    self._open(packed, opened)
            packed.check()
            yield opened.files
        finally:
            with self._lock:
                opened.users -= 1
                self._trim()

    def _open(self, packed: Packed, opened: _Opened) -> None:
        reader = packed.open()
        try:
            reader.jobs, reader.cache = self._jobs, self._cache.of(packed.owner)
            opened.files = open_restored(reader, packed.name)
        except BaseException:
            reader.close()
            raise
        opened.reader = reader

    def _trim(self) -> None:
        """Close those that nobody uses, where there are too many."""
        idle = [packed for packed, opened in self._opened.items() if not opened.users]
        for packed in idle[: max(len(self._opened) - self._most, 0)]:
            opened = self._opened.pop(packed)
            if opened.reader is not None:
                opened.reader.close()

    def close(self) -> None:
        """Close all; nobody may use one any more."""
        with self._lock:
            for opened in self._opened.values():
                if opened.reader is not None:
                    opened.reader.close()
            self._opened.clear()


class CachedArchive(Archive):
    """An archive whose recordings, also where others were coded with them, have their decoded blocks in one cache."""

    def __init__(self, place: str, cache: SharedCache):
        self._place, self._shared = place, cache
        super().__init__(place)

    def open(self, number: int, salvage: bool = False) -> Reader:
        """A new reader of a recording, by its place."""
        reader = super().open(number, salvage)
        reader.cache = self._shared.of((self._place, number))
        return reader

"""The tree of files that a folder of compressed files restores, an archive or a single file; nothing is decoded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.container.archive import is_archive
from spikey.container.layout import MAGIC
from spikey.files.decompress import INCOMPLETE
from spikey.files.names import SUFFIX
from spikey.files.shared_cache import SharedCache
from spikey.integrations.packed_files import CachedArchive, OpenReaders, Packed
from spikey.recording.remote import is_address, reason
from spikey.recording.store import find_store

Log = Callable[[str], None]
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")  # what stores call the time of modification


@dataclass(frozen=True)
class Entry:
    """One file of the tree: the place of what it is restored from, its place among what is restored, its bytes."""

    packed: Packed
    number: int
    size: int


@dataclass
class PackedTree:
    """files: by path, which begins with a slash. folders: by path, with the names in each and whether it is a file."""

    files: dict[str, Entry] = field(default_factory=dict)
    folders: dict[str, dict[str, bool]] = field(default_factory=lambda: {"/": {}})

    def add(self, path: PurePosixPath, entry: Entry) -> bool:
        """Add a file and the folders above it; False where something else is there already."""
        above = [str(parent) for parent in path.parents]
        if str(path) in self.files or str(path) in self.folders or any(parent in self.files for parent in above):
            return False
        self.files[str(path)] = entry
        is_file = True
        for inner in (path, *path.parents[:-1]):
            self.folders.setdefault(str(inner.parent), {}).setdefault(inner.name, is_file)
            is_file = False
        return True

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())


@dataclass(frozen=True)
class _Found:
    """A compressed file: where, its folder in the tree, and its time where only a store's listing has it."""

    place: str
    below: PurePosixPath
    time: int = 0


def packed_tree(source: str, readers: OpenReaders, cache: SharedCache, log: Log) -> PackedTree:
    """The files that `source` restores: a folder, a compressed file or an archive, or an address of one of these.

    The names are those that `spikey decompress` restores under into a folder. Of two files of one path the first stays,
    and what cannot be opened is left out; `log` takes a sentence about each. Raises SpikeyError where nothing is left.
    """
    tree = PackedTree()
    found = list(_found(source))
    alone = len(found) == 1 and found[0].place == source
    for each in found:
        try:
            if is_archive(each.place):
                below = each.below if alone else each.below / PurePosixPath(each.place).stem
                _add_archive(tree, each, below, readers, cache, log)
            else:
                _add(tree, Packed(each.place, each.time), each.below, readers, log)
        except SpikeyError as error:
            if alone:
                raise
            log(f"{error.text}; what it restores does not appear")
    if not tree.files:
        raise DataError(f"{source}: contains nothing that can be restored")
    return tree


def _add(
    tree: PackedTree, packed: Packed, below: PurePosixPath, readers: OpenReaders, log: Log, name: str = ""
) -> None:
    """Add what one compressed file restores. name: of the first file, where an archive has it."""
    with readers.restored(packed) as files:
        names = [name or files[0].name, *(file.name for file in files[1:])]
        inner = PurePosixPath(names[0]).parent.parts
        if inner and below.parts[-len(inner) :] == inner:  # the folders in the name are there already
            below = PurePosixPath(*below.parts[: -len(inner)])
        for number, file in enumerate(files):
            path = PurePosixPath("/", below, names[number])
            if not tree.add(path, Entry(packed, number, file.size)):
                log(f"{packed.name}: restores {str(path)[1:]}, which is there already; only the first appears")
        if packed.growing:
            log(f"{packed.name}: {INCOMPLETE}")


def _add_archive(
    tree: PackedTree, each: _Found, below: PurePosixPath, readers: OpenReaders, cache: SharedCache, log: Log
) -> None:
    archive = CachedArchive(each.place, cache)
    for entry in archive.entries:
        try:
            _add(tree, Packed(each.place, each.time, archive, entry.number), below, readers, log, entry.name)
        except SpikeyError as error:
            log(f"{error.text}; it does not appear")


def _found(source: str) -> Iterator[_Found]:
    """The compressed files of a source, in order."""
    if is_address(source):
        yield from _found_remote(source)
        return
    if not os.path.isdir(source):
        yield _Found(source, PurePosixPath())
        return
    folder = Path(source)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_packed(path)]
    if not paths:
        raise UsageError(f"{source}: contains no files that end in {SUFFIX}")
    for path in paths:
        yield _Found(str(path), PurePosixPath(path.relative_to(folder).parent.as_posix()))


def _is_packed(path: Path) -> bool:
    """Whether a file is a compressed one, by its name; of an old name also by its beginning."""
    if path.suffix.lower() == ".bin":
        with suppress(OSError), path.open("rb") as file:
            return file.read(4) == MAGIC
    return path.suffix.lower() == SUFFIX


def _found_remote(source: str) -> Iterator[_Found]:
    store, root = find_store(source)
    if PurePosixPath(root.partition("?")[0]).suffix.lower() == SUFFIX:
        yield _Found(source, PurePosixPath(), _time(store, root))
        return
    try:
        listed = store.find(root, detail=True)
    except FileNotFoundError:
        raise DataError(f"{source} does not exist") from None
    except Exception as error:  # each protocol has its own kinds
        raise DataError(f"{source}: its store cannot list files ({reason(error)})") from error
    paths = sorted(path for path in listed if PurePosixPath(path).suffix.lower() == SUFFIX)
    if not paths:
        raise UsageError(f"{source}: contains no files that end in {SUFFIX}")
    for path in paths:
        inside = path.removeprefix(root.rstrip("/")).lstrip("/")
        yield _Found(store.unstrip_protocol(path), PurePosixPath(inside).parent, _time_of(listed[path]))


def _time(store: Any, path: str) -> int:
    try:
        return _time_of(store.info(path))
    except Exception:  # opening it reports why
        return _time_of({})


def _time_of(facts: dict[str, Any]) -> int:
    """The time of modification in nanoseconds; now, where a store does not list it."""
    found = next((facts[name] for name in TIMES if isinstance(facts.get(name), float | int | datetime)), time.time())
    return int((found.timestamp() if isinstance(found, datetime) else found) * 1e9)

"""Shows what compressed files restore as a tree of files (FUSE), whose bytes are decoded when they are read."""

from __future__ import annotations

import errno
import math
import os
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from spikey.base.errors import SpikeyError, UsageError
from spikey.base.workers import processors
from spikey.files.shared_cache import SharedCache
from spikey.integrations.mount_point import import_fuse
from spikey.integrations.packed_files import OpenReaders
from spikey.integrations.packed_tree import Entry, Log, PackedTree

REQUEST = 1 << 20  # bytes that the system may ask for at once
SEQUENTIAL = 1 << 22  # bytes that are read in order before the next blocks are decoded ahead
OUT_OF_ORDER = 1 << 21  # bytes by which requests of one reader, served by several threads, overtake each other
WAITING = 16  # blocks that wait to be decoded ahead, at most
RELEASED = 1.0  # seconds after which a file that was closed is still open elsewhere if it was not released
MOST_SAID = 1000  # different sentences about files that cannot be read
FOREVER = 86_400  # seconds for which the system need not ask again: nothing changes


@dataclass
class _Handle:
    """An opened file: where its reader went on to, how far in order, and the block of samples that it was in last.

    closed: when a process closed it last, soon after which the system releases it, unless another has it open.
    """

    path: str
    entry: Entry
    next: int = 0
    in_order: int = 0
    block: int | None = None
    closed: float = -math.inf


class View:
    """The operations of the file system, as mfusepy calls them: from several threads.

    cache: the readers' one. ready: called once the system shows the files. log: takes a sentence about what cannot be
    read.
    """

    use_ns = True

    def __init__(self, tree: PackedTree, readers: OpenReaders, cache: SharedCache, ready: Callable[[], None], log: Log):
        self._tree, self._readers, self._ready, self._log = tree, readers, ready, log
        self._room = cache.limit // 4  # of what is decoded ahead for one reader
        self._time = max((entry.packed.status.time for entry in tree.files.values()), default=0)
        self._lock = threading.Lock()
        self._handles: dict[int, _Handle] = {}
        self._said: set[str] = set()
        self._waiting = 0
        self._pool: ThreadPoolExecutor | None = None
        self._begun: Callable[[], None] = lambda: None
        self.started = False

    def begin(self, begun: Callable[[], None]) -> None:
        """Take what is called first when the mount begins."""
        self._begun = begun

    @property
    def opened(self) -> int:
        """How many files are open."""
        last = time.monotonic() - RELEASED
        return sum(handle.closed < last for handle in self._handles.values())

    def init_with_config(self, connection: Any, config: Any) -> None:
        """Begin."""
        if connection is not None and hasattr(connection, "max_read"):
            connection.max_read = connection.max_readahead = REQUEST
        self._pool = ThreadPoolExecutor(min(processors(), 4))
        self.started = True
        self._begun()
        self._ready()

    def destroy(self, path: str) -> None:
        """End."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        """What the system lists of a file or folder."""
        entry = self._tree.files.get(path)
        if entry is not None:
            status = entry.packed.status
            return {
                "st_mode": stat.S_IFREG | status.mode,
                "st_nlink": 1,
                "st_size": entry.size,
                "st_blocks": -(-entry.size // 512),
                "st_blksize": REQUEST,
                "st_uid": status.owner,
                "st_gid": status.group,
                **dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), status.time),
            }
        if path not in self._tree.folders:
            raise OSError(errno.ENOENT, path)
        return {
            "st_mode": stat.S_IFDIR | 0o755,
            "st_nlink": 2,
            "st_uid": os.getuid(),
            "st_gid": os.getgid(),
            **dict.fromkeys(("st_mtime", "st_ctime", "st_atime"), self._time),
        }

    def readdir(self, path: str, handle: int) -> list[tuple[str, int, int]]:
        """The names in a folder."""
        names = self._tree.folders.get(path)
        if names is None:
            raise OSError(errno.ENOENT, path)
        kinds = {True: stat.S_IFREG, False: stat.S_IFDIR}
        return [*((name, stat.S_IFDIR, 0) for name in (".", "..")), *((n, kinds[f], 0) for n, f in names.items())]

    def open(self, path: str, flags: int) -> int:
        """Open a file for reading."""
        entry = self._tree.files.get(path)
        if entry is None:
            raise OSError(errno.ENOENT, path)
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, path)
        handle = _Handle(path, entry)
        with self._lock:
            self._handles[id(handle)] = handle
        return id(handle)

    def flush(self, path: str, handle: int) -> int:
        """A process closes a file."""
        self._handles[handle].closed = time.monotonic()
        return 0

    def release(self, path: str, handle: int) -> int:
        """No process has the file open any more."""
        with self._lock:
            self._handles.pop(handle, None)
        return 0

    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        """Bytes of an open file; EIO where they are damaged or cannot be read."""
        opened = self._handles[handle]
        entry = opened.entry
        try:
            with self._readers.restored(entry.packed) as files:
                file = files[entry.number]
                data = file.read(offset, size)
                self._follow(opened, offset, size, file.block)
            return data
        except SpikeyError as error:
            self._say(f"{opened.path[1:]}: {error}")
        except MemoryError:
            self._say(f"{opened.path[1:]}: there is not enough memory")
        except Exception as error:  # a mount must not end because of one file
            self._say(f"{opened.path[1:]}: {type(error).__name__}: {error}")
        raise OSError(errno.EIO, path)

    def _follow(self, handle: _Handle, offset: int, size: int, block: Callable[[int], int | None]) -> None:
        """Have what comes next decoded ahead where a file is read in order."""
        if abs(offset - handle.next) > OUT_OF_ORDER:
            handle.in_order = 0
        handle.next, handle.in_order = offset + size, handle.in_order + size
        if handle.in_order < SEQUENTIAL:
            return
        number = block(handle.next)
        if number is None or number == handle.block or self._pool is None:
            return
        with self._lock:
            if self._waiting >= WAITING:
                return
            self._waiting += 1
        handle.block = number
        with suppress(RuntimeError):  # the mount is about to end
            self._pool.submit(self._decode_ahead, handle.entry, handle.next)

    def _decode_ahead(self, entry: Entry, offset: int) -> None:
        with self._lock:
            self._waiting -= 1
        with suppress(Exception), self._readers.restored(entry.packed) as files:  # its reader gets the error
            files[entry.number].ahead(offset, self._room)

    def _say(self, text: str) -> None:
        """Log a sentence, once."""
        with self._lock:
            if text in self._said or len(self._said) >= MOST_SAID:
                return
            self._said.add(text)
        self._log(text)

    def statfs(self, path: str) -> dict[str, int]:
        """Sizes of the file system: as large as its files, and full."""
        return {
            "f_bsize": 4096,
            "f_frsize": 4096,
            "f_blocks": -(-self._tree.size // 4096),
            "f_files": len(self._tree.files) + len(self._tree.folders),
            "f_namemax": 255,
        }


def serve(view: View, folder: str) -> None:
    """Show a view in a folder until it is unmounted or the process is interrupted.

    Raises UsageError where it cannot be mounted.
    """
    fuse = import_fuse()
    options: dict[str, Any] = {"ro": True, "fsname": "spikey"}
    if sys.platform == "linux":
        options |= {"subtype": "spikey", "default_permissions": True, "max_read": REQUEST, "kernel_cache": True}
        options |= {"entry_timeout": FOREVER, "attr_timeout": FOREVER}
    former = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with _held_back() as lines:
            here = os.getcwd()

            def begun() -> None:
                lines.release()
                os.chdir(here)  # which FUSE has left

            view.begin(begun)
            fuse.FUSE(view, folder, foreground=True, **options)  # which takes signals that nobody else does
    except RuntimeError:  # also after a signal
        if not view.started:
            raise UsageError(f"{folder}: cannot be mounted ({lines.text or 'FUSE does not say why'})") from None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Lines:
    """What the C library writes to standard error before the mount begins: a notice, or why it does not."""

    def __init__(self) -> None:
        self.text = ""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (until it is released)
        self._error = os.dup(2)
        os.dup2(self._file.fileno(), 2)

    def release(self) -> None:
        """Have standard error as it was."""
        if self._error < 0:
            return
        os.dup2(self._error, 2)
        os.close(self._error)
        self._error = -1
        self._file.seek(0)
        self.text = "; ".join(self._file.read().decode(errors="replace").split("\n")).strip("; ")
        self._file.close()


@contextmanager
def _held_back() -> Iterator[_Lines]:
    lines = _Lines()
    try:
        yield lines
    finally:
        lines.release()

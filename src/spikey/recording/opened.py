"""Opened files that are read by position, so that neither threads nor forked processes disturb each other's reading.

A file's own position is shared by everyone who has the file open, a forked child included. All of these can be pickled:
what is pickled is how to open them again.
"""

from __future__ import annotations

import io
import os
import stat
import threading
from typing import TYPE_CHECKING, Any, Protocol

from spikey.base import forks
from spikey.base.errors import DataError
from spikey.recording.remote import Remote, full, is_address, open_address

if TYPE_CHECKING:
    from typing_extensions import TypeIs

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]
BUFFER_BYTES = 1 << 16  # of a remote file: headers are read in small steps, samples in steps larger than this
MOST_AT_ONCE = 1 << 30  # bytes of one read; some systems refuse more than 2 GiB


class Seekable(Protocol):
    """A file with a position, which serves one thread of one process."""

    def seek(self, offset: int, /) -> int: ...
    def readinto(self, view: memoryview, /) -> int | None: ...
    def close(self) -> None: ...


class Positioned(Protocol):
    """A file that is read by position."""

    def read_into(self, offset: int, view: memoryview, /) -> int: ...
    def close(self) -> None: ...


class File(io.BufferedReader):
    """A file of `size` bytes, which Python can also read in order; `title` is its name for messages."""

    def __init__(self, raw: io.RawIOBase, path: Any, size: int, buffer: int = io.DEFAULT_BUFFER_SIZE) -> None:
        super().__init__(raw, buffer)
        self.size = size
        self.title = os.fsdecode(path)
        self._path = full(path) if isinstance(path, str) else os.path.abspath(path)
        self._plain = isinstance(raw, io.FileIO) and hasattr(os, "pread")
        self.forked()
        forks.watch(self)

    def forked(self) -> None:
        """Nobody else in this process reads."""
        self._lock = threading.Lock()

    def read_into(self, offset: int, view: memoryview) -> int:
        """Read up to as many bytes as `view` has; 0 only at the end."""
        if self._plain:
            data = os.pread(self.fileno(), min(len(view), MOST_AT_ONCE), offset)
            view[: len(data)] = data
            return len(data)
        with self._lock:
            self.seek(offset)
            return self.readinto(view)

    def __reduce_ex__(self, _: Any) -> Any:
        return reopen, (self._path, self.size)


class Memory:
    """Bytes as a file."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.title = "the data"
        self._data = bytes(data)
        self.size = len(self._data)

    def read_into(self, offset: int, view: memoryview) -> int:
        """Read up to as many bytes as `view` has; 0 only at the end."""
        with memoryview(self._data) as held:
            part = held[offset : offset + len(view)]
            view[: len(part)] = part
            return len(part)

    def close(self) -> None:
        """Let go of the bytes, as a closed file does of its contents."""
        self._data = b""


Opened = File | Memory | Remote


class Raw(io.RawIOBase):
    """A remote file of `size` bytes as Python's own kind of file."""

    def __init__(self, remote: Remote, size: int) -> None:
        self._remote = remote
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(min(len(buffer), self._size - self._at), 0)
        if count:
            self._at += self._remote.read_into(self._at, memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        if not self.closed:
            self._remote.close()
        super().close()


def open_file(path: PathLike) -> tuple[File, str, int]:
    """Open a regular file, or one at an fsspec address, for reading; its name for messages and its size in bytes.

    Raises `DataError` if there is no such file, it is a folder or a device, or it may not be read.
    """
    if is_address(path):
        remote, name, size = open_address(path)
        return File(Raw(remote, size), path, size, BUFFER_BYTES), name, size
    name = os.fsdecode(path)
    try:
        # Asked before opening, because opening a named pipe would wait for its other end.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{name} is a folder, not a recording")
        if not stat.S_ISREG(mode):
            raise DataError(f"{name} is not a regular file")
        raw = io.FileIO(path)
        size = os.fstat(raw.fileno()).st_size
        return File(raw, path, size), name, size
    except FileNotFoundError:
        raise DataError(f"{name} does not exist", code="not-found") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{name} cannot be opened: {getattr(error, 'strerror', None) or error}") from error


def open_data(path: str | os.PathLike[str] | bytes | Opened) -> Opened:
    """Open a compressed file: a path, an address, a file's bytes; what is open already is taken as it is."""
    if isinstance(path, File | Memory | Remote):
        return path
    if isinstance(path, bytes | bytearray | memoryview):
        return Memory(path)
    return open_address(path)[0] if is_address(path) else open_file(path)[0]


def reopen(path: str | bytes, size: int) -> File:
    """Open a file that had `size` bytes before; DataError where that has changed."""
    file, name, now = open_file(path)
    if now != size:
        file.close()
        raise DataError(
            f"{name}: has {now:,} bytes, and had {size:,} when it was opened first; open it again",
            code="changed-while-read",
        )
    return file


def read_at(file: Positioned | Seekable, name: str, offset: int, count: int) -> bytearray:
    """Read exactly `count` bytes at `offset`; raise `DataError` if the file cannot give them."""
    data = bytearray(count)
    try:
        with memoryview(data) as view:
            done = 0
            while done < count:
                got = read_some(file, offset + done, view[done:])
                if not got:
                    raise DataError(f"{name} ended at byte {offset + done} while bytes up to {offset + count} were due")
                done += got
    except OSError as error:
        raise DataError(f"{name} cannot be read at byte {offset}: {error.strerror or error}") from error
    return data


def read_some(file: Positioned | Seekable, offset: int, view: memoryview) -> int:
    """Read up to as many bytes as `view` has; 0 only at the end."""
    if is_positioned(file):
        return file.read_into(offset, view)
    file.seek(offset)
    return file.readinto(view) or 0


def is_positioned(file: Positioned | Seekable) -> TypeIs[Positioned]:
    """Whether a file is read by position; asked for each reading, so not by way of the protocol, which is slow."""
    return hasattr(file, "read_into")

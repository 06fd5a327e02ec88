"""Files behind an address (`https://…`, `s3://…`, `memory://…`), opened with fsspec and read by byte ranges."""

from __future__ import annotations

import os
import threading
from typing import Any, TypeGuard

from spikey.base import forks
from spikey.base.errors import DataError, UsageError, install
from spikey.recording.retries import persist

NO_RANGES = "its server gives no parts of a file (no byte ranges), so it has to be downloaded first"
CLOSE = 1 << 16  # bytes between two ranges that are rather fetched than asked for separately
LONGEST = 1 << 24  # bytes of one request that fetches ahead
KEPT = 1 << 26  # bytes kept of what was fetched ahead


def is_address(path: Any) -> TypeGuard[str]:
    """Whether a path is an address for fsspec: text with `://` in it.

    >>> is_address("https://example.org/a.spky"), is_address("C:/a.spky")
    (True, False)
    """
    return isinstance(path, str) and "://" in path


def open_address(address: str) -> tuple[Remote, str, int]:
    """Open what an address names; return it with its name for messages and its size in bytes.

    Raises UsageError where a package that the address needs is missing, DataError for what cannot be read by ranges.
    """
    try:
        import fsspec
    except ImportError:
        raise UsageError(f"{address}: an address needs fsspec: {install('remote')}", code="missing-package") from None
    try:
        system, path = fsspec.core.url_to_fs(address)

        def opened() -> tuple[Any, int | None]:
            # Ranges are asked for as they are needed; a cache would fetch more, and its own way.
            file = system.open(path, "rb", cache_type="none")
            return file, _size_of(file)

        file, size = persist(opened)
    except FileNotFoundError as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == 404:
            raise DataError(f"{address} does not exist", code="not-found") from None
        raise DataError(f"{address} cannot be reached: {_said(cause)}") from error
    except ImportError as error:
        raise UsageError(
            f"{address}: needs a package that is missing ({_said(error)}); for http and s3: {install('remote')}",
            code="missing-package",
        ) from None
    except Exception as error:
        raise DataError(f"{address} cannot be opened: {_said(error)}") from error
    if size is None:
        file.close()
        raise DataError(f"{address} cannot be read: {NO_RANGES}")
    return Remote(file, address, size), address, size


def reopen_address(address: str, size: int) -> Remote:
    """Open an address that had `size` bytes before; DataError where that has changed."""
    remote, _, now = open_address(address)
    if now != size:
        remote.close()
        raise DataError(
            f"{address}: has {now:,} bytes, and had {size:,} when it was opened first; open it again",
            code="changed-while-read",
        )
    return remote


def _size_of(file: Any) -> int | None:
    """Bytes of an opened file; None for one that can only be read from its beginning."""
    size = getattr(file, "size", None)
    if size is None:
        try:
            size = file.seek(0, 2)
        except (OSError, ValueError):
            return None
    return int(size)


class Remote:
    """A file of `size` bytes that is read by position, and fetches ahead what is about to be read.

    Connections do not survive a fork: a child opens the address again when it first asks for something.
    """

    def __init__(self, file: Any, name: str, size: int):
        self.title = name
        self.size = size
        self._file: Any = file
        self._parts: dict[int, bytes] = {}  # what was fetched ahead, by where it starts; the oldest first
        self._lock = threading.Lock()
        forks.watch(self)

    def forked(self) -> None:
        """Nobody else in this process reads, and the parent's connections are the parent's."""
        self._lock = threading.Lock()
        self._file = None

    def __reduce__(self) -> Any:
        return reopen_address, (self.title, self.size)

    def read_into(self, offset: int, view: memoryview) -> int:
        """Read as many bytes as `view` has; DataError where the address cannot give them."""
        start, end = offset, offset + len(view)
        with self._lock:
            held = self._holding(start, end)
            if held is None:
                view[:] = self._request(start, end)
            else:
                view[:] = memoryview(self._parts[held])[start - held : end - held]
        return len(view)

    def ahead(self, ranges: list[tuple[int, int]]) -> None:
        """Fetch byte ranges (start, end) that are not there yet, those close to each other in one request."""
        with self._lock:
            missing = sorted(r for r in ranges if self._holding(*r) is None)
            merged: list[tuple[int, int]] = []
            for start, end in missing:
                if merged and start <= merged[-1][1] + CLOSE and end - merged[-1][0] <= LONGEST:
                    merged[-1] = merged[-1][0], max(end, merged[-1][1])
                else:
                    merged.append((start, end))
            for start, end in merged:
                self._parts[start] = self._request(start, end)
            while sum(map(len, self._parts.values())) > KEPT and len(self._parts) > len(merged):
                self._parts.pop(next(iter(self._parts)))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _holding(self, start: int, end: int) -> int | None:
        """Where the part starts that holds a range."""
        return next((at for at, part in self._parts.items() if at <= start and end <= at + len(part)), None)

    def _request(self, start: int, end: int) -> bytes:
        if self._file is None:
            self._file = reopen_address(self.title, self.size)._file

        def read() -> bytes:
            self._file.seek(start)
            found: bytes = self._file.read(end - start)
            return found

        try:
            data = persist(read)
        except FileNotFoundError:
            raise DataError(f"{self.title} has vanished since it was opened") from None
        except Exception as error:  # each protocol has its own kinds
            raise DataError(f"{self.title} cannot be read at byte {start}: {_said(error)}") from error
        if len(data) != end - start:
            raise DataError(f"{self.title}: gave {len(data)} bytes at byte {start} where {end - start} were asked for")
        return data


def full(path: str | os.PathLike[str]) -> str:
    """An address as it is, and any other path as a process in another folder can use it."""
    return str(path) if is_address(path) else os.path.abspath(path)


def reason(error: BaseException) -> str:
    """An error's text in one line; the name of its kind where it has none."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _said(error: BaseException) -> str:
    return NO_RANGES if "support range requests" in " ".join(str(error).split()) else reason(error)

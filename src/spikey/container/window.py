"""What lets a `.spky` file within an archive be read: its part of the archive, and other recordings' samples."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.container.layout import Header
from spikey.container.records import COMPANIONS
from spikey.recording.layout import Layout
from spikey.recording.opened import Positioned, Seekable, is_positioned, read_some
from spikey.recording.remote import Remote


class Window:
    """`size` bytes from `offset` on of an opened file, as a file; several may share one that is read by position."""

    def __init__(self, file: Positioned | Seekable, name: str, offset: int, size: int):
        self.title = name
        self.size = size
        self.remote = isinstance(file, Remote)
        self._file: Any = file
        self._offset = offset
        self._lock = nullcontext() if is_positioned(file) else threading.Lock()

    def read_into(self, offset: int, view: memoryview) -> int:
        """Read as many bytes as `view` has, or as there are."""
        count = max(min(len(view), self.size - offset), 0)
        if not count:
            return 0
        with self._lock:
            return read_some(self._file, self._offset + offset, view[:count])

    def ahead(self, ranges: list[tuple[int, int]]) -> None:
        """Have a remote file fetch byte ranges (start, end)."""
        self._file.ahead([(start + self._offset, end + self._offset) for start, end in ranges])

    def close(self) -> None:
        """Nothing: the file belongs to its opener."""

    def __reduce__(self) -> Any:
        return Window, (self._file, self.title, self._offset, self.size)


class Companions(Protocol):
    """The samples of the recordings that one was coded with; `count` of their channels, or 0 for a copy of one."""

    count: int

    def columns(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, companions) of all companion channels, of the integer type that holds the types of all.

        Raises DataError, naming the recording, where one is lost.
        """

    def copied(self, extent: tuple[int, int, int, int], layout: Layout) -> np.ndarray:
        """Samples of a copy's original: first frame, end frame, first channel, end channel; DataError if lost."""


def check_companions(header: Header, companions: Companions | None, name: str) -> None:
    """DataError where a file was coded with others, or is a copy of one, and those are not available."""
    record = header.record(COMPANIONS)
    if record is None:
        return
    if companions is None:
        raise DataError(
            f"{name}: was coded together with other recordings, and can be read only in the archive with them"
        )
    if Cursor(record, name).varint() != companions.count:
        raise DataError(f"{name}: was coded with other companions than those in the archive")

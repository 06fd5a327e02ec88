"""What lets a `.spky` file within an archive be read: its part of the archive, and other recordings' samples."""

from __future__ import annotations

import threading
from typing import Any, Protocol

import numpy as np

from spikey.recording.remote import Remote
from spikey.recording.source import Layout, Seekable


class Window:
    """`size` bytes from `offset` on of an opened file, as a file; several may share one file, under one lock."""

    def __init__(self, file: Seekable, name: str, offset: int, size: int, lock: threading.Lock | None = None):
        self.name = name
        self.size = size
        self.remote = isinstance(file, Remote)
        self._file: Any = file
        self._offset = offset
        self._lock = lock or threading.Lock()
        self._at = 0

    def seek(self, offset: int) -> int:
        """Go to a byte."""
        self._at = offset
        return offset

    def readinto(self, view: memoryview) -> int:
        """Read as many bytes as `view` has, or as there are."""
        count = max(min(len(view), self.size - self._at), 0)
        with self._lock:
            self._file.seek(self._offset + self._at)
            got = self._file.readinto(view[:count]) if count else 0
        self._at += got or 0
        return got or 0

    def ahead(self, ranges: list[tuple[int, int]]) -> None:
        """Have a remote file fetch byte ranges (start, end)."""
        with self._lock:
            self._file.ahead([(start + self._offset, end + self._offset) for start, end in ranges])

    def close(self) -> None:
        """Nothing: the file belongs to whoever opened it."""


class Companions(Protocol):
    """The samples of the recordings that one was coded with; `count` of their channels, or 0 for a copy of one."""

    count: int

    def columns(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, companions) of all companion channels, of the integer type that holds the types of all.

        Raises DataError, naming the recording, where one is lost.
        """

    def copied(self, extent: tuple[int, int, int, int], layout: Layout) -> np.ndarray:
        """Samples of a copy's original: first frame, end frame, first channel, end channel; DataError if lost."""

"""A compressed file that is read by position, with its name in every error: whole, or its part of an archive."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from spikey.base.errors import DataError
from spikey.coding.packed_bytes import PIECE
from spikey.container.salvage import read_around
from spikey.container.window import Window
from spikey.recording.opened import Opened, read_at
from spikey.recording.remote import Remote

GLANCE = 1 << 16  # bytes at either end of a remote file that are fetched first: most often all of its structure
DIGEST = 16  # bytes of a file's SHA-256 by which a correction file names it
ENDING = 16  # bytes at a file's end, of which the checksums of its contents or of its index are part


class Input:
    """An opened file of `size` bytes; `name` is the one in messages."""

    def __init__(self, opened: Opened | Window):
        self.opened = opened
        self.name, self.size = opened.title, opened.size
        self.remote = isinstance(opened, Remote) or (isinstance(opened, Window) and opened.remote)

    def fetch(self, ranges: list[tuple[int, int]]) -> None:
        """Have a remote file fetch byte ranges (start, end) in as few requests as it takes; for others do nothing."""
        if self.remote:
            assert isinstance(self.opened, Remote | Window)
            self.opened.ahead(ranges)

    @property
    def glance(self) -> int:
        """Bytes at either end of the file that `fetch_ends` fetches."""
        return min(GLANCE, self.size)

    def fetch_ends(self) -> None:
        """Have a remote file fetch its beginning and its end."""
        self.fetch([(0, self.glance), (self.size - self.glance, self.size)])

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on; DataError where the file ends before or cannot be read."""
        return bytes(self.view_at(offset, count))

    def view_at(self, offset: int, count: int) -> memoryview:
        """What `read_at` returns, without a copy of it."""
        if offset + count > self.size:
            raise DataError(f"{self.name}: ends {offset + count - self.size} bytes too early", code="truncated")
        return memoryview(read_at(self.opened, self.name, offset, count))

    def read_around(self, offset: int, count: int) -> bytes:
        """Bytes with zeros for those that the disk cannot read; what a server cannot give now, it may give later."""
        return self.read_at(offset, count) if self.remote else read_around(self.read_at, offset, count)

    def ending(self) -> bytes:
        """The last bytes, which change with the contents; empty where they cannot be read."""
        with suppress(DataError):
            return self.read_at(max(self.size - ENDING, 0), min(ENDING, self.size))
        return b""

    def digest(self) -> bytes:
        """The beginning of the SHA-256 of all bytes."""
        total = hashlib.sha256()
        for at in range(0, self.size, PIECE):
            total.update(self.read_at(at, min(PIECE, self.size - at)))
        return total.digest()[:DIGEST]

    def close(self) -> None:
        """Close the file."""
        self.opened.close()

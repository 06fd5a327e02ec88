"""A recording whose files must not change while it is compressed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from spikey.base.errors import DataError
from spikey.recording.readable import Named


class Unchanged:
    """An opened recording as it is, but that reading it ends with an error where one of its files is of another size.

    sizes: bytes of each file when it was found. Raises DataError for one that has grown or shrunk since.
    """

    def __init__(self, source: Named, sizes: Mapping[Path, int]):
        self._source, self._sizes = source, sizes
        self.name, self.layout, self.frames = source.name, source.layout, source.frames
        self.canonical, self.head_size, self.tail_size = source.canonical, source.head_size, source.tail_size

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, channels); after the last ones the files' sizes are compared."""
        samples = self._source.read(first_frame, count)
        if first_frame + count == self.frames:
            check_sizes(self._sizes)
        return samples

    def head_chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """The bytes before the samples."""
        return self._source.head_chunks(size)

    def tail_chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """The bytes after the samples."""
        return self._source.tail_chunks(size)


def check_sizes(sizes: Mapping[Path, int]) -> None:
    """Raise DataError for a file that has another size now."""
    for path, size in sizes.items():
        try:
            found = os.stat(path).st_size
        except OSError as error:
            raise DataError(f"{path}: cannot be read any more ({error.strerror})") from None
        if found != size:
            raise DataError(
                f"{path}: had {size:,} bytes when it was found and has {found:,} now; "
                "compress it when nothing writes to it any more"
            )

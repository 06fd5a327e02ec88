"""Whether a compressed file restores the bytes of files that exist."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from spikey.base.errors import SpikeyError
from spikey.container.reader import Reader
from spikey.files.decompress import restore_to, samples_of
from spikey.files.mapped_files import differing
from spikey.files.settings import Outcome, Progress
from spikey.files.side_files import side_files_of

COARSE = 2_000_000_000  # nanoseconds to which the coarsest file systems round times


class _Differs(SpikeyError):
    """The bytes differ."""


def same_time(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two files have the same modification time, as far as the file system of either can store it."""
    a, b = one.st_mtime_ns, other.st_mtime_ns
    coarse = a % 1_000_000_000 == 0 or b % 1_000_000_000 == 0
    return abs(a - b) < (COARSE if coarse else 1000)


def matches(
    packed: str | os.PathLike[str] | Reader,
    original: str | os.PathLike[str],
    root: Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
    beside: bool = True,
) -> Outcome | None:
    """Decode a compressed file, or an opened one, which is closed, and compare it with the original, and its side
    files with those below `root`.

    beside: whether side files are compared. Returns None where either cannot be read or a byte differs.
    """
    try:
        with packed if isinstance(packed, Reader) else Reader(packed) as reader:
            size = _same_size(reader, Path(original), root, jobs, progress)
            if size is None:
                return None
            total = 0
            for name, pieces in side_files_of(reader) if beside else ():
                if root is None:
                    return None
                with open(Path(root, *name.split("/")), "rb") as side:
                    check = _Against(side)
                    for piece in pieces:
                        total += check.write(piece)
                    check.end()
            return Outcome(size + total, reader.file_size, samples_of(reader), "", total, skipped=True)
    except (SpikeyError, OSError):
        return None


def _same_size(reader: Reader, original: Path, root: Path | None, jobs: int, progress: Progress | None) -> int | None:
    """How many bytes the recording's files have, where they are those that would be restored; None where they are not.

    Of several files the others than `original` are looked for below `root`.
    """
    file_map = reader.file_map
    if file_map is not None:
        below = [Path(root, *name.split("/")) for name in file_map.names[1:]] if root is not None else []
        paths = [original, *below]
        if len(paths) < len(file_map.names) or differing(reader, paths, jobs, progress) is not None:
            return None
        return sum(path.stat().st_size for path in paths)
    with open(original, "rb") as file:
        against: Any = _Against(file)
        size = restore_to(against, reader, jobs, progress)
        against.end()
    return size


class _Against:
    """Takes what would be written, and compares it with a file."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def write(self, data: bytes | memoryview) -> int:
        """Raise where the next bytes of the file are others."""
        data = bytes(data)
        if self._file.read(len(data)) != data:
            raise _Differs
        return len(data)

    def end(self) -> None:
        """Raise where the file continues."""
        if self._file.read(1):
            raise _Differs


def same_file_time(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """`same_time` of two paths; not where either does not exist."""
    with suppress(OSError):
        return same_time(os.stat(one), os.stat(other))
    return False

"""Writes, compares and counts the files of a recording that lies in several, or in records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from spikey.base.errors import OutputExistsError, SpikeyError, UsageError
from spikey.container.file_map import FileMap
from spikey.container.reader import Reader
from spikey.files.assembly import assemble
from spikey.files.settings import Progress
from spikey.recording.output import PathLike, atomic_output, is_taken, make_folder

SPARE = 64  # descriptors that are left to the rest of the process
LEAST = 16  # files that are written at once in any case


def write_files(
    reader: Reader,
    folder: PathLike,
    *,
    overwrite: bool = False,
    like: PathLike | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> int:
    """Restore the files of an opened recording below `folder`; return how many bytes they have.

    Raises OutputExistsError, and writes nothing, where one exists, unless `overwrite`; DamagedError or DataError for
    what is lost. like: whose mode and time they get.
    """
    file_map = _file_map(reader)
    paths = [Path(folder, *name.split("/")) for name in file_map.names]
    for path in paths:
        if not overwrite and is_taken(path):
            raise OutputExistsError(os.fspath(path))
    for parent in {path.parent for path in paths}:
        make_folder(parent)
    written = 0
    for first, some in _at_once(paths):
        with ExitStack() as stack:
            outputs = [atomic_output(path, reader.name, overwrite=overwrite, like=like) for path in some]
            targets = [stack.enter_context(output)[0] for output in outputs]
            written += assemble(reader, file_map, targets, first, jobs, progress if not first else None)
    return written


def restore_mapped(reader: Reader, out: BinaryIO, jobs: int = 1, progress: Progress | None = None) -> int:
    """Restore the only file of an opened recording; UsageError where there are several."""
    file_map = _file_map(reader)
    if len(file_map.names) > 1:
        raise UsageError(f"{reader.name}: restores {len(file_map.names):,} files; name a folder for them, ending in /")
    return assemble(reader, file_map, [out], 0, jobs, progress)


def differing(reader: Reader, paths: Sequence[Path], jobs: int = 1, progress: Progress | None = None) -> Path | None:
    """The first of the original files that what is restored differs from; None where all are the same.

    Raises SpikeyError where the recording cannot be decoded.
    """
    targets = [_Original(path) for path in paths]
    try:
        assemble(reader, _file_map(reader), targets, 0, jobs, progress)
    except _DiffersError as error:
        return error.path
    return next((target.path for target in targets if not target.at_end()), None)


class _DiffersError(SpikeyError):
    """A byte differs."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.path = path


class _Original:
    """Compares what would be written to a file with the file, which is opened for each piece: there may be many."""

    def __init__(self, path: Path):
        self.path = path
        self._at = 0

    def write(self, data: bytes, /) -> int:
        try:
            with open(self.path, "rb") as file:
                file.seek(self._at)
                same = file.read(len(data)) == data
        except OSError:
            same = False
        if not same:
            raise _DiffersError(self.path)
        self._at += len(data)
        return len(data)

    def at_end(self) -> bool:
        """Whether the file has no more bytes than were compared."""
        return self.path.stat().st_size == self._at


def _file_map(reader: Reader) -> FileMap:
    assert reader.file_map is not None
    return reader.file_map


def _at_once(paths: list[Path]) -> Iterator[tuple[int, list[Path]]]:
    """Files that can be open at once, each with a lock; and the number of the first."""
    most = _possible(2 * len(paths) + SPARE) // 2
    for first in range(0, len(paths), most):
        yield first, paths[first : first + most]


def _possible(wanted: int) -> int:
    """How many descriptors the process may open, `wanted` where the system allows it, less those that are spared."""
    try:
        import resource
    except ImportError:  # Windows, where the C library allows 512 files
        return max(min(wanted, 512) - SPARE, 2 * LEAST)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted and (hard == resource.RLIM_INFINITY or soft < hard):
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (ValueError, OSError):
            pass
    return max(min(soft, wanted) - SPARE, 2 * LEAST)

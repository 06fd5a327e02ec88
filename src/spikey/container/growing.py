"""A `.spky` file that is written at its final path during its recording, so that it outlives its program.

Its header contains no number of frames, which marks such files. After a block that could not be written the file is cut
back to the blocks before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

from spikey.base import forks
from spikey.base.errors import DataError, UsageError, failed_write
from spikey.base.locks import try_lock, unlock
from spikey.container.block_writer import BlockWriter
from spikey.container.layout import Block, Header
from spikey.recording.output import sync_folder

MOST_AT_ONCE = 1 << 30  # bytes of one write; some systems refuse more than 2 GiB
_BINARY = getattr(os, "O_BINARY", 0)


class GrowingFile:
    """A file at `path`, which must not exist, with a header; locked, so that nobody repairs it meanwhile.

    Only the process that made it writes: a forked child closes its copy. Raises FileExistsError where `path` exists,
    and UsageError where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header):
        self.path = os.fspath(path)
        self._place = os.path.abspath(self.path)  # wherever the program goes
        try:
            self._file = _Handle(self.path)
        except FileExistsError:
            raise
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path}: cannot be created ({getattr(error, 'strerror', None) or error})") from None
        self._blocks = BlockWriter(self._file, header)
        try:
            self._blocks.__enter__()
            sync_folder(os.path.dirname(self._place))
        except OSError as error:
            self.discard()
            raise self._failure(error) from None
        self._begin = self.written

    @property
    def written(self) -> int:
        """Bytes in the file."""
        return self._blocks.written

    def add(self, blocks: Iterable[tuple[Block, bytes]]) -> None:
        """Append blocks with their payloads, all or, with a DataError, none of them."""
        self._check_unchanged()
        try:
            self._blocks.add_all(blocks)
        except OSError as error:
            self._file.cut(self.written)
            raise self._failure(error) from None
        except BaseException:  # an interrupt
            self._file.cut(self.written)
            raise

    def sync(self) -> None:
        """Have what has been added on the disk; DataError where that fails."""
        try:
            os.fsync(self._file.handle)
        except OSError as error:
            raise self._failure(error) from None

    def finish(self) -> None:
        """Append the index, have everything on the disk, and close the file.

        Raises DataError where that fails; the file is then one without an index.
        """
        try:
            self._check_unchanged()
            self._append_index()
        finally:
            self._file.close()

    def _append_index(self) -> None:
        end = self.written
        try:
            self._blocks.__exit__(None)
            os.fsync(self._file.handle)
            sync_folder(os.path.dirname(self._place))
        except OSError as error:
            self._file.cut(end)
            raise self._failure(error) from None
        except BaseException:
            self._file.cut(end)
            raise

    def discard(self) -> None:
        """Close and remove the file, but for a forked child, whose parent still has it."""
        if self._file.close():
            with suppress(OSError):
                os.unlink(self._place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Complete the file; after an error only if there are blocks in it, otherwise remove it."""
        if kind is None:
            self.finish()
        elif self.written == self._begin:
            self.discard()
        else:
            with suppress(DataError):
                self.finish()

    def _check_unchanged(self) -> None:
        """DataError where the file was removed or changed by somebody else; one that was only renamed is written on."""
        try:
            status = os.fstat(self._file.handle)
        except OSError as error:  # in a forked child the file is closed
            raise self._failure(error) from None
        if not status.st_nlink:
            raise DataError(f"{self.path}: was removed while it was written")
        if status.st_size != self.written:
            raise DataError(f"{self.path}: was changed by another program while it was written")

    def _failure(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: cannot be written ({error.strerror or error})", code=failed_write(error))


def write_all(handle: int, data: bytes) -> int:
    """Write all bytes to an opened file; return how many."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.write(handle, view[done : done + MOST_AT_ONCE])
        return done


class _Handle:
    """A new file, locked and written to without a buffer."""

    def __init__(self, path: str):
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        forks.watch(self)
        try_lock(self.handle)

    def write(self, data: bytes) -> int:
        """Write all bytes."""
        return write_all(self.handle, data)

    def cut(self, size: int) -> None:
        """Remove what is behind `size` bytes; what cannot be removed is no block, and ignored by readers."""
        with suppress(OSError):
            os.ftruncate(self.handle, size)
            os.lseek(self.handle, size, os.SEEK_SET)

    def forked(self) -> None:
        """Let go of a parent's file, which stays locked and open there."""
        handle, self.handle = self.handle, -1
        if handle >= 0:
            with suppress(OSError):
                os.close(handle)

    def close(self) -> bool:
        """Unlock and close; return whether it was open."""
        handle, self.handle = self.handle, -1
        if handle >= 0:
            with suppress(OSError):
                unlock(handle)
            os.close(handle)
        return handle >= 0

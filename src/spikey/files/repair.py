"""Completes a recording whose program ended before it was closed: intact blocks stay, and an index is appended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.base.locks import try_lock, unlock
from spikey.base.wire import Cursor
from spikey.base.workers import spread
from spikey.coding.packed_bytes import PIECE
from spikey.container.growing import write_all
from spikey.container.layout import (
    INDEX_SYNC,
    MAX_BLOCK_HEADER,
    Block,
    Header,
    index_copy,
    read_block,
    read_header,
    write_index,
)
from spikey.container.reader import Reader
from spikey.container.records import MODEL
from spikey.container.salvage import uncovered
from spikey.container.structure import grows, whole_stretches
from spikey.files.decompress import describe_lost
from spikey.files.settings import Progress, report
from spikey.recording.output import atomic_output, sync_folder
from spikey.recording.remote import is_address


@dataclass(frozen=True)
class Repaired:
    """The result. needed: whether the index was missing. cut: bytes after the last whole block, removed."""

    needed: bool
    frames: int
    cut: int = 0


def repair_file(
    path: str | os.PathLike[str],
    out_path: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    *,
    jobs: int = 1,
    overwrite: bool = False,
) -> Repaired:
    """Complete a recording without an index, in place or as another file.

    Every block is decoded first. In place, bytes behind the last whole block are removed.

    Parameters
    ----------
    path : path
        A local `.spky` file.
    out_path : path, optional
        Where to write the completed recording; the file itself is then not changed.
    progress : callable, optional
        Called with bytes of the file that were verified since, and 0.
    jobs : int
        Threads.
    overwrite : bool
        Whether to replace an existing `out_path`.

    Returns
    -------
    Repaired
        A complete file is not changed.

    Raises
    ------
    DataError
        It is not a recording of Spikey, or is being written. DamagedError: blocks are damaged. It is not changed.
    UsageError
        It or the output cannot be written.
    """
    if is_address(path):
        raise UsageError(f"{os.fspath(path)}: only a local file can be repaired; download it first")
    with Reader(path, salvage=True, lossy=True, correction=True) as reader:
        if reader.complete:
            return Repaired(False, reader.frames)
        if not grows(_header_of(reader)):
            raise DataError(
                f"{reader.name}: has no index and was not written by a recording, so that the missing parts are "
                "unknown; decompressing with --salvage recovers what is intact"
            )
    with (
        _locked(path, os.O_RDWR if out_path is None else os.O_RDONLY) as handle,
        Reader(path, salvage=True, lossy=True, correction=True) as reader,
    ):
        blocks = _kept(reader, _damaged(reader, jobs, progress), out_path is not None)
        end = blocks[-1].offset + blocks[-1].size if blocks else reader.structure.after_header
        front = reader.structure.front
        index = write_index(index_copy(front, _header_of(reader).record(MODEL)), blocks, end)
        if out_path is None:
            _complete(handle, reader.name, end, index)
        else:
            with atomic_output(out_path, path, overwrite=overwrite, like=path) as (out, _):
                for at in range(0, end, PIECE):
                    out.write(reader.input.read_at(at, min(PIECE, end - at)))
                out.write(index)
        frames = max((block.extent[1] for block in blocks), default=0)
        return Repaired(True, frames, reader.file_size - end)


def _header_of(reader: Reader) -> Header:
    """The header as the file has it."""
    return read_header(Cursor(reader.structure.front, reader.name))


@contextmanager
def _locked(path: str | os.PathLike[str], flags: int) -> Iterator[int]:
    """A file opened and locked; DataError where a writer has it, UsageError where it cannot be opened so."""
    name = os.fspath(path)
    try:
        handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise UsageError(
            f"{name}: cannot be written ({error.strerror or error}); --output names another file"
        ) from None
    try:
        if try_lock(handle) is False:
            raise DataError(
                f"{name}: is being written by another program; close the recording there, which completes it"
            )
        yield handle
    finally:
        with suppress(OSError):
            unlock(handle)
        os.close(handle)


def _damaged(reader: Reader, jobs: int, progress: Progress | None) -> set[Block]:
    """The blocks that do not decode to what was written."""
    found: set[Block] = set()

    def check(block: Block) -> None:
        try:
            reader.decoder.content(block)
        except DamagedError:
            found.add(block)
        report(progress, block.size, 0)

    spread(check, reader.structure.blocks, jobs)
    return found


def _kept(reader: Reader, damaged: set[Block], elsewhere: bool) -> list[Block]:
    """The blocks that a completed file lists; DamagedError where that would leave out any that was written.

    elsewhere: whether the file itself stays, so that damaged blocks at its very end may be left out.
    """
    at, ranges = reader.structure.after_header, []
    for block in reader.structure.blocks:
        begin = block.offset - len(block.write())
        if begin != at:
            ranges.append((at, begin, 0, 0))
        at = block.offset + block.size
    if not elsewhere and not _is_unfinished(reader, at):
        ranges.append((at, reader.file_size, 0, 0))
    blocks = reader.structure.blocks
    if damaged and not ranges:
        first = min(block.first_frame for block in damaged)
        behind = [block for block in blocks if block.first_frame > first]
        if elsewhere and all(block in damaged for block in behind):
            blocks, damaged = [block for block in blocks if block.first_frame < first], set()
    ranges += sorted(block.extent for block in damaged)
    if ranges:
        raise DamagedError(
            f"{reader.name}: {describe_lost(ranges)}; the file stays as it is: decompressing with --salvage recovers "
            "what is intact, and --output leaves out damage at its end",
            ranges,
        )
    whole = whole_stretches(blocks, reader.header)
    frames = max((block.extent[1] for block in whole), default=0)
    # Of a stream some frames may never have come, so that a stretch that is not whole need not be the last one.
    return blocks if any(uncovered(whole, frames, reader.layout.channels)) else whole


def _is_unfinished(reader: Reader, at: int) -> bool:
    """Whether what lies behind the last whole block is what an interrupted writer leaves: the beginning of a block or
    of an index, or the zeros that a power failure leaves.
    """
    size = reader.file_size - at
    if size < MAX_BLOCK_HEADER:
        return True
    begin = reader.input.read_at(at, MAX_BLOCK_HEADER)
    if begin.startswith(INDEX_SYNC):
        return True
    with suppress(DataError):
        read_block(begin, at, reader.name)
        return True
    pieces = (reader.input.read_at(at + done, min(PIECE, size - done)) for done in range(0, size, PIECE))
    return not any(any(piece) for piece in pieces)


def _complete(handle: int, name: str, end: int, index: bytes) -> None:
    """Cut a file at `end` and append its index; where that fails, it ends there."""
    try:
        os.ftruncate(handle, end)
        os.lseek(handle, end, os.SEEK_SET)
        try:
            write_all(handle, index)
        except OSError:
            os.ftruncate(handle, end)
            raise
        os.fsync(handle)
        sync_folder(os.path.dirname(os.path.abspath(name)))
    except OSError as error:
        raise DataError(f"{name}: cannot be written ({error.strerror or error})") from None

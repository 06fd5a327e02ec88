"""Restore and verify whole files: each complete or not at all."""

from __future__ import annotations

import os
from typing import BinaryIO

from spikey.base.errors import DamagedError
from spikey.container.layout import BLOCK_BYTES, BLOCK_FILES, BLOCK_HEAD, BLOCK_TAIL, BYTES
from spikey.container.reader import Reader
from spikey.container.salvage import describe
from spikey.files.mapped_files import restore_mapped, write_files
from spikey.files.settings import Outcome, Progress, report
from spikey.recording.output import atomic_output
from spikey.recording.remote import is_address
from spikey.recording.source import Sink

INCOMPLETE = (
    "has no index: it is still being written, or its program ended before closing it; the blocks written so far are "
    "read, and spikey repair completes the file"
)


def decompress_file(
    path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    salvage: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    opened: Reader | None = None,
    overwrite: bool = False,
) -> tuple[Outcome, list[tuple[int, int, int, int]]]:
    """Restore a file byte for byte, with the mode and modification time of the compressed one.

    Parameters
    ----------
    path, out_path : paths
        The compressed file, or the archive it lies in; the file to write.
    salvage : bool
        Whether lost parts become zeros; otherwise they raise DamagedError and nothing is written.
    jobs : int
        Threads.
    progress : callable, optional
        Called with bytes restored since, and 0.
    opened : Reader, optional
        An existing reader of the file; it is closed.
    overwrite : bool
        Whether to replace an existing `out_path`. The input is never replaced.

    Returns
    -------
    Outcome, and the extents (first frame, end frame, first channel, end channel) that are lost.
    """
    reader = Reader(path, salvage=salvage) if opened is None else opened
    like = None if isinstance(path, bytes) or is_address(path) else path
    with reader, atomic_output(out_path, path, overwrite=overwrite, like=like) as (out, _):
        written = restore_to(out, reader, jobs, progress)
        note = "" if reader.complete or salvage else f"{reader.name} {INCOMPLETE}"
        return Outcome(written, reader.file_size, samples_of(reader), note), sorted(set(reader.lost))


def decompress_files(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    salvage: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> tuple[Outcome, list[tuple[int, int, int, int]]]:
    """Restore all files of a recording of several files, under their names in a folder.

    Parameters, results and errors are those of `decompress_file`; without `overwrite` nothing is written where one of
    the files exists.
    """
    like = None if is_address(path) else path
    with Reader(path, salvage=salvage) as reader:
        written = write_files(reader, folder, overwrite=overwrite, like=like, jobs=jobs, progress=progress)
        return Outcome(written, reader.file_size, samples_of(reader)), sorted(set(reader.lost))


def restore_to(out: BinaryIO, reader: Reader, jobs: int = 1, progress: Progress | None = None) -> int:
    """Write what an opened file restores, without its side files; return how many bytes that are."""
    if reader.file_map is not None:
        return restore_mapped(reader, out, jobs, progress)
    written = 0
    if reader.header.wrapper == BYTES:
        for chunk in reader.around(BLOCK_BYTES):
            written += out.write(chunk)
            report(progress, len(chunk), 0)
        return written
    sink = Sink(out, reader.layout)
    for chunk in reader.around(BLOCK_HEAD):
        sink.write_head(chunk)
        written += len(chunk)
    for samples in reader.blocks(jobs):
        sink.write(samples)
        written += samples.size * reader.layout.itemsize
        report(progress, samples.size * reader.layout.itemsize, 0)
    for chunk in reader.around(BLOCK_TAIL):
        sink.write_tail(chunk)
        written += len(chunk)
    return written


def verify_file(path: str | os.PathLike[str], jobs: int = 1, progress: Progress | None = None) -> Outcome:
    """Decode everything and check every checksum; DamagedError lists everything that is lost."""
    with Reader(path, lossy=True, correction=True) as reader:
        reader.salvage = True
        kinds = (BLOCK_HEAD, BLOCK_TAIL, BLOCK_BYTES, BLOCK_FILES)
        total = sum(len(chunk) for kind in kinds for chunk in reader.around(kind))
        if reader.header.wrapper != BYTES:
            for samples in reader.blocks(jobs):
                total += samples.size * reader.layout.itemsize
                report(progress, samples.size * reader.layout.itemsize, 0)
        if reader.lost:
            lost = sorted(set(reader.lost))
            raise DamagedError(f"{os.fspath(path)}: {describe_lost(lost)}", lost)
        note = f"is lossy: {reader.lossy.words()}" if reader.lossy is not None else ""
        note = "corrects a lossy file and is not a recording" if reader.corrects else note
        note = note if reader.complete else INCOMPLETE
        return Outcome(total, reader.file_size, samples_of(reader), note)


def samples_of(reader: Reader) -> int:
    """How many samples a file holds; 0 where it keeps plain bytes."""
    return 0 if reader.header.wrapper == BYTES else reader.frames * reader.layout.channels


def describe_lost(lost: list[tuple[int, int, int, int]]) -> str:
    """What is lost, in words; at most three of the ranges are named.

    >>> describe_lost([(0, 256, 0, 2)])
    '1 block is damaged or missing: frames 0 to 256 of channels 0 to 1'
    """
    parts = map(describe, lost[:3])
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    return f"{len(lost)} block{'s are' if len(lost) > 1 else ' is'} damaged or missing: {', '.join(parts)}{more}"

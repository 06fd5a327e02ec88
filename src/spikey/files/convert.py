"""Converts a Spikey file to another preset; it restores the same bytes, and is complete and verified or not written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spikey.base.errors import UsageError
from spikey.coding.packed_bytes import PIECE
from spikey.container.archive import Archive, is_archive
from spikey.container.extra import Extra, side_file
from spikey.container.layout import BLOCK_BYTES, BLOCK_HEAD, BLOCK_TAIL, BYTES, CANONICAL
from spikey.container.reader import Reader
from spikey.container.writer import write_bytes_file
from spikey.files.archives import compress_archive
from spikey.files.compare import compare_readers
from spikey.files.compress import Output, write_recording
from spikey.files.decompress import decompress_file
from spikey.files.settings import Outcome, Progress, Settings
from spikey.files.side_files import write_side_files
from spikey.recording.output import PathLike, atomic_output, refuse_existing


class Restored:
    """What an opened compressed file restores, as a recording."""

    def __init__(self, reader: Reader, jobs: int):
        self._reader, self._jobs = reader, jobs
        self.name, self.layout, self.frames = reader.name, reader.layout, reader.frames
        self.canonical = reader.header.wrapper == CANONICAL
        self.head_size, self.tail_size = (sum(map(len, reader.around(kind))) for kind in (BLOCK_HEAD, BLOCK_TAIL))

    def read(self, first_frame: int, count: int) -> np.ndarray:
        """Frames [first_frame, first_frame + count)."""
        return self._reader.read(first_frame, count, jobs=self._jobs)

    def head_chunks(self, size: int = 0) -> Iterator[bytes]:
        """The bytes before the samples."""
        return self._reader.around(BLOCK_HEAD)

    def tail_chunks(self, size: int = 0) -> Iterator[bytes]:
        """The bytes after the samples."""
        return self._reader.around(BLOCK_TAIL)


def convert_file(
    path: PathLike,
    out_path: PathLike,
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Outcome:
    """Recompress a file with another preset, model or calibration; it restores the same bytes.

    Parameters
    ----------
    path, out_path : paths
        A `.spky` file, also an archive; the file to write, which gets its mode and modification time.
    settings : Settings, optional
        How to compress; with `settings.verify`, the output is decoded and compared before it is renamed.
    progress : callable, optional
        Called with bytes of the recording done and bytes written since.
    overwrite : bool
        Whether to replace an existing `out_path`. The input is never replaced.

    Returns
    -------
    Outcome
        With the bytes that the file restores, and those written.

    Raises
    ------
    UsageError
        The file is lossy or corrects a lossy one; the output exists or is the input.
    DamagedError, DataError
        The file is damaged, or not Spikey's. Nothing is written then.

    Examples
    --------
    >>> import numpy, spikey, tempfile
    >>> samples = numpy.arange(4000, dtype="int16").reshape(1000, 4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/a.spky", "wb") as file:
    ...         _ = file.write(spikey.compress(samples, rate=20000))
    ...     outcome = convert_file(f"{folder}/a.spky", f"{folder}/b.spky", Settings(preset="balanced"))
    ...     bool((spikey.open(f"{folder}/b.spky")[:] == samples).all())
    True
    """
    settings = settings or Settings()
    if is_archive(path):
        return _convert_archive(path, out_path, settings, overwrite)
    with Reader(path, lossy=True, correction=True) as reader:
        if reader.lossy is not None or reader.corrects:
            raise UsageError(
                f"{os.fspath(path)}: is lossy or corrects a lossy file, which cannot be converted; restore it and "
                "compress the result"
            )
        metadata = {key: value for key, value in reader.metadata.items() if key != "files"}
        if reader.header.wrapper == BYTES:
            return _convert_bytes(path, out_path, reader, Extra(metadata) if metadata else None, overwrite)
        refuse_existing(out_path, overwrite)
        folder = os.path.dirname(os.path.abspath(out_path))
        with tempfile.TemporaryDirectory(dir=folder, prefix=".spikey-") as beside:
            write_side_files(reader, beside)
            files = tuple(side_file(name, os.path.join(beside, *name.split("/"))) for name in reader.files)
            extra = Extra(metadata, files) if metadata or files else None
            output = Output(out_path, overwrite, like=path, readable_as=[path])
            source = Restored(reader, settings.jobs)
            return write_recording(source, output, settings, extra=extra, file_map=reader.file_map, progress=progress)


def _convert_bytes(path: PathLike, out_path: PathLike, reader: Reader, extra: Extra | None, overwrite: bool) -> Outcome:
    """Of a file that is not a recording."""
    with atomic_output(out_path, path, overwrite=overwrite, like=path) as (out, tmp_path):
        written = write_bytes_file(reader.frames, reader.around(BLOCK_BYTES), 4, out, extra)
        out.close()
        with Reader(tmp_path) as other:
            compare_readers(reader, other)
    return Outcome(reader.frames, written, 0)


def _convert_archive(path: PathLike, out_path: PathLike, settings: Settings, overwrite: bool) -> Outcome:
    """By way of the restored recordings, in a folder beside the output."""
    with atomic_output(out_path, path, overwrite=overwrite, like=path) as (out, tmp_path):
        folder = os.path.dirname(tmp_path)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".spikey-") as beside, Archive(path) as archive:
            members = [(name, Path(beside, "restored", *name.split("/"))) for name in archive.names]
            for name, place in members:
                place.parent.mkdir(parents=True, exist_ok=True)
                decompress_file(os.fspath(path), place, opened=archive.open(archive.entry(name).number))
            packed = os.path.join(beside, "packed.spky")
            packing = compress_archive(members, packed, settings)
            if packing.failures:
                raise packing.failures[0]
            with open(packed, "rb") as file:
                shutil.copyfileobj(file, out, PIECE)
        return packing.total()

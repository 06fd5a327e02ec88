"""Compression on a Dask cluster: chunk by chunk on its workers, written in order by whoever asks, to the same bytes.

Workers read a recording themselves where they see it, encode and decode it, and send back blocks with checksums. The
client asks for a bounded number ahead of those it writes, writes beside the output's place and moves it there when all
is well. Nobody else writes anything, so no retry and no worker's death can harm the result.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from spikey.base.errors import SpikeyError, UsageError
from spikey.base.version import __version__
from spikey.codec.block import Method
from spikey.coding.packed_bytes import PIECE
from spikey.container.embedding import Tally, note_on_model
from spikey.container.reader import Reader
from spikey.container.writer import ArraySource, Coded, Readable, block_shape, is_single, write_file
from spikey.files.whole import (
    Outcome,
    Settings,
    calibration_for,
    compare_around,
    compress_file,
    open_recording,
    size_of,
)
from spikey.integrations.dask_client import AHEAD, Call, ClusterError, Window, connect, threads
from spikey.integrations.dask_tasks import Recording, compress_whole, encode_stretch, size_seen
from spikey.model.calibration import Calibration
from spikey.model.trained import use
from spikey.recording.hints import warn_of_shape
from spikey.recording.opened import read_at
from spikey.recording.output import atomic_output
from spikey.recording.remote import full, is_address
from spikey.recording.source import Layout, NotPCM, Source, open_file

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterError", "compress", "compress_files", "connect"]

WHOLE_BYTES = 8 << 20  # recordings up to this are one task
TASK_SAMPLES = 1 << 24  # about what a task takes of a longer one
Path = str | os.PathLike[str]


def compress(
    source: Path | np.ndarray | Readable,
    out: Path,
    *,
    rate: float | None = None,
    settings: Settings | None = None,
    preset: str | None = None,
    client: Client | None = None,
    scheduler: str | None = None,
    jobs: int | None = None,
    ship: bool | None = None,
    progress: Callable[[int], None] | None = None,
    overwrite: bool = False,
) -> Outcome:
    """Compress one recording on a cluster, to the bytes that one machine writes.

    source: a file's path or fsspec address, samples (frames, channels) with their `rate` in Hz, or anything with the
    methods of `spikey.container.writer.Readable`. out: a path or an address. settings: as for `spikey.files.whole`, or
    a preset alone. client: a Dask client; without one, a scheduler's address, or a cluster of `jobs` processes on this
    machine. ship: whether the samples are sent to the workers, rather than read by them; by default where a worker does
    not see the file. progress: called with the samples done since. overwrite: whether to replace `out`. Raises what
    `spikey.files.whole.compress_file` raises, and ClusterError.

    >>> from spikey.integrations import dask
    >>> dask.compress("day.wav", "s3://lab/day.spky", scheduler="tcp://10.0.0.1:8786").ratio  # doctest: +SKIP
    3.54
    """
    settings = settings or Settings(preset=preset, estimate=True)
    with connect(scheduler, jobs) if client is None else nullcontext(client) as cluster:
        if isinstance(source, np.ndarray):
            if rate is None:
                raise UsageError("samples need their rate in Hz: compress(samples, out, rate=...)")
            source = ArraySource(source, rate)
            warn_of_shape(source.frames, source.layout.channels, "give samples.T")
        ((_, outcome),) = compress_files(
            [(source, out)], settings, client=cluster, ship=ship, progress=progress, overwrite=overwrite
        )
    if isinstance(outcome, SpikeyError):
        raise outcome
    return outcome


def compress_files(
    work: Iterable[tuple[Any, Path]],
    settings: Settings | None = None,
    *,
    client: Client,
    ship: bool | None = None,
    progress: Callable[[int], None] | None = None,
    overwrite: bool = False,
) -> Iterator[tuple[Any, Outcome | SpikeyError]]:
    """Compress recordings on a cluster, pairs of source and output as for `compress`; yield what became of each.

    The tasks of all recordings are one queue, so that the cluster stays busy from one to the next. What fails concerns
    its own recording only, and is yielded in place of its outcome; ClusterError alone is raised.
    """
    settings = replace(settings or Settings(estimate=True), jobs=1)
    jobs = [_Job(source, out, settings, overwrite) for source, out in work]
    if ship is None and jobs:
        ship = not _seen(client, jobs[0])
    window = Window(client, (call for job in jobs for call in job.calls(threads(client), bool(ship))))
    try:
        for job in jobs:
            window.fill()
            result: Outcome | SpikeyError
            try:
                result = job.write(window.results(job), progress)
            except ClusterError:
                raise
            except SpikeyError as error:
                result = error
                job.error = error
                window.drop(job)
            finally:
                job.close()
            yield job.source, result
    finally:
        window.close()
        for job in jobs:
            job.close()


def _seen(client: Client, job: _Job) -> bool:
    """Whether all workers see a recording as this machine sees it."""
    if not isinstance(job.path, str):
        return False
    size = size_seen(job.path)
    return size < 0 or all(found == size for found in client.run(size_seen, job.path).values())


class _Job:
    """One recording: its tasks, and its output."""

    def __init__(self, source: Any, out: Path, settings: Settings, overwrite: bool = False):
        self.source = source
        self.path = full(source) if isinstance(source, str | os.PathLike) else None
        self.name = self.path or "the samples"
        self.error: SpikeyError | None = None
        self._out = out
        self._settings = settings
        self._overwrite = overwrite
        self._opened: Readable | None = None
        self._whole = self._spread = False
        self._calibration: tuple[Calibration | None, bytes | None] = None, None

    def calls(self, threads: int, ship: bool) -> Iterator[Call]:
        """The tasks, in order; what goes wrong in making them is raised when the output is to be written."""
        try:
            if self.path is not None:
                file, _, size = open_file(self.path)
                with file:
                    if size <= WHOLE_BYTES:
                        self._whole = True
                        data = bytes(read_at(file, self.path, 0, size)) if ship else None
                        arguments = self.path, self._settings, __version__, data
                        yield Call(self, compress_whole, arguments, len(data or b""))
                        return
            self._opened = self.source if self.path is None else open_recording(self.path, self._settings)
            self._calibration = calibration_for(self._opened, self._settings)
            method = self._settings.method(size_of(self._opened))
            self._spread = not is_single(self._opened, method)
            if self._spread:
                yield from self._stretches(self._opened, threads, ship or self.path is None)
        except NotPCM:
            pass
        except SpikeyError as error:
            self.error = error

    def _stretches(self, source: Readable, threads: int, ship: bool) -> Iterator[Call]:
        recording = Recording.of(source, self.name, self._settings)
        shared = self._settings.method(size_of(source)), self._calibration[0], self._settings.verify
        for frames, channels in stretches(source.layout, source.frames, threads, shared[0].longest):
            if self.error is not None:
                return
            samples = None
            if ship:
                samples = source.read(frames.start, len(frames))[:, channels.start : channels.stop]
            shipped = 0 if samples is None else samples.nbytes
            yield Call(self, encode_stretch, (recording, frames, channels, *shared, samples), shipped)

    def write(self, results: Iterator[Any], progress: Callable[[int], None] | None) -> Outcome:
        """Write the output from the tasks' results; it is renamed when it is complete and compared."""
        if self.error is not None:
            raise self.error
        if self._whole:
            return self._write_whole(results, progress)
        if self._opened is None:  # a large file that is no PCM: packing bytes is no work for a cluster
            assert self.path is not None
            return compress_file(self.path, self._out, self._settings, overwrite=self._overwrite)
        source, settings = self._opened, self._settings
        size, tally = size_of(source), Tally()
        calibration, embed = self._calibration
        if settings.model is not None:
            use(settings.model)
        with self._output() as (file, tmp_path):
            out = _Summed(file)
            write_file(
                source,
                out,
                settings.method(size),
                calibration,
                embed=embed,
                embed_model=settings.embed_model,
                progress=progress,
                coded=self._arrived(results) if self._spread else None,
                tally=tally,
            )
            file.close()
            if settings.verify:
                out.compare(tmp_path, self.name)
                with Reader(tmp_path) as reader:
                    compare_around(source, reader, self.name)
        note = note_on_model(tally, settings.model)
        return Outcome(size, out.written, source.frames * source.layout.channels, note)

    def _write_whole(self, results: Iterator[Any], progress: Callable[[int], None] | None) -> Outcome:
        ((packed, check, outcome),) = results
        self._arrive(packed, check)
        with self._output() as (file, tmp_path):
            out = _Summed(file)
            out.write(packed)
            file.close()
            if self._settings.verify:
                out.compare(tmp_path, self.name)
        if progress is not None:
            progress(outcome.samples)
        return outcome

    def _output(self) -> AbstractContextManager[tuple[BinaryIO, str]]:
        inputs, like = ([], None) if self.path is None else ([self.path], None if is_address(self.path) else self.path)
        return atomic_output(self._out, *inputs, overwrite=self._overwrite, like=like)

    def _arrived(self, results: Iterator[Any]) -> Iterator[Coded]:
        for blocks in results:
            for block, payload, check in blocks:
                self._arrive(payload, check)
                yield block, payload

    def _arrive(self, data: bytes, check: int) -> None:
        if zlib.crc32(data) != check:
            raise SpikeyError(f"{self.name}: was damaged on its way from a worker; nothing was kept")

    def close(self) -> None:
        """Close the recording's file."""
        if isinstance(self._opened, Source) and self._opened is not self.source:
            self._opened.close()


def stretches(layout: Layout, frames: int, threads: int, block: int = Method.longest) -> Iterator[tuple[range, range]]:
    """Frames and channels of each task, at the edges of blocks: some stretches of all channels where these are few and
    the recording is long, and some of the channels where it is short.

    >>> list(stretches(Layout(64, 30000, "int16"), 70000, threads=1))
    [(range(0, 65536), range(0, 32)), (range(0, 65536), range(32, 64)), (range(65536, 70000), range(0, 32)), \
(range(65536, 70000), range(32, 64))]
    """
    longest, together = block_shape(layout, frames, block)
    rows, groups = -(-frames // longest), -(-layout.channels // together)
    wanted = AHEAD * max(threads, 1)
    many = max(min(TASK_SAMPLES // (longest * layout.channels), rows // wanted), 1) * longest
    pieces = min(max(-(-wanted // rows), 1), groups)
    columns = -(-groups // pieces) * together
    for first in range(0, frames, many):
        for channel in range(0, layout.channels, columns):
            yield range(first, min(first + many, frames)), range(channel, min(channel + columns, layout.channels))


class _Summed:
    """A file to write that keeps the CRC-32 of what it was given."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._check = self.written = 0

    def write(self, data: bytes) -> int:
        self._check = zlib.crc32(data, self._check)
        self.written += len(data)
        return self._file.write(data)

    def compare(self, tmp_path: str, name: str) -> None:
        """Raise SpikeyError where the file in its place holds something else."""
        file, _, size = open_file(tmp_path)
        check = 0
        with file:
            for at in range(0, size, PIECE):
                check = zlib.crc32(read_at(file, tmp_path, at, min(PIECE, size - at)), check)
        if (size, check) != (self.written, self._check):
            raise SpikeyError(f"{name}: what was stored is not what was written; nothing was kept")

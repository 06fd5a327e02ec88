"""One recording on a cluster: the tasks that it is cut into, and its output, written from what they return."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

from spikey.base.errors import SpikeyError
from spikey.base.version import __version__
from spikey.codec.calibration_policy import Chosen
from spikey.codec.cut import block_shape, is_single
from spikey.codec.method import LPC, Method
from spikey.coding.packed_bytes import PIECE
from spikey.container.contents import Coding
from spikey.container.embedding import Tally, note_on_model
from spikey.container.reader import Reader
from spikey.container.writer import write_file
from spikey.files.compare import compare_around
from spikey.files.compress import compress_file, contents_of, open_recording
from spikey.files.encoding import Encoding, encode_recording
from spikey.files.settings import Outcome, Settings, calibration_for, size_of
from spikey.integrations.dask_client import AHEAD, Call
from spikey.integrations.dask_tasks import Recording, compress_whole, encode_stretch, size_seen
from spikey.model.trained import use
from spikey.recording.layout import Layout
from spikey.recording.opened import read_at
from spikey.recording.output import atomic_output
from spikey.recording.readable import Readable
from spikey.recording.remote import full, is_address
from spikey.recording.source import NotPCM, Source, open_file

if TYPE_CHECKING:
    from distributed import Client

WHOLE_BYTES = 8 << 20  # recordings up to this are one task
TASK_SAMPLES = 1 << 24  # about what a task takes of a longer one
Path = str | os.PathLike[str]


def seen_by_all(client: Client, job: Job) -> bool:
    """Whether all workers see a recording as this machine sees it."""
    if not isinstance(job.path, str):
        return False
    size = size_seen(job.path)
    return size < 0 or all(found == size for found in client.run(size_seen, job.path).values())


class Job:
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
        self._chosen = Chosen()

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
            self._chosen = calibration_for(self._opened, self._settings)
            method = self._settings.method()
            self._spread = not is_single(self._opened, method)
            if self._spread:
                yield from self._stretches(self._opened, threads, ship or self.path is None)
        except NotPCM:
            pass
        except SpikeyError as error:
            self.error = error

    def _stretches(self, source: Readable, threads: int, ship: bool) -> Iterator[Call]:
        recording = Recording.of(source, self.name, self._settings)
        shared = self._settings.method(), self._chosen.calibration, self._settings.verify
        for frames, channels in stretches(source.layout, source.frames, threads, shared[0]):
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
        if self._opened is None:  # a large file that is not PCM: packing bytes is no work for a cluster
            assert self.path is not None
            return compress_file(self.path, self._out, self._settings, overwrite=self._overwrite)
        source, settings = self._opened, self._settings
        size, tally = size_of(source), Tally()
        if settings.model is not None:
            use(settings.model)
        with self._output() as (file, tmp_path):
            out = _Summed(file)
            contents = replace(contents_of(settings, self._chosen), compared=not self._spread)
            how = Encoding(settings.method(), self._chosen.calibration, settings.jobs)
            blocks = self._arrived(results) if self._spread else encode_recording(source, how)
            write_file(source, out, blocks, contents, progress, tally)
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

    def _arrived(self, results: Iterator[Any]) -> Iterator[Coding]:
        for blocks in results:
            for made, check in blocks:
                self._arrive(made.encoded.payload, check)
                yield made

    def _arrive(self, data: bytes, check: int) -> None:
        if zlib.crc32(data) != check:
            raise SpikeyError(f"{self.name}: was damaged on its way from a worker; no output was written. Run it again")

    def close(self) -> None:
        """Close the recording's file."""
        if isinstance(self._opened, Source) and self._opened is not self.source:
            self._opened.close()


def stretches(layout: Layout, frames: int, threads: int, method: Method = LPC) -> Iterator[tuple[range, range]]:
    """Frames and channels of each task, at the edges of blocks: some stretches of all channels where these are few and
    the recording is long, and some of the channels where it is short.

    >>> list(stretches(Layout(64, 30000, "int16"), 70000, threads=1))
    [(range(0, 65536), range(0, 32)), (range(0, 65536), range(32, 64)), (range(65536, 70000), range(0, 32)), \
(range(65536, 70000), range(32, 64))]
    """
    longest, together = block_shape(layout, frames, method)
    rows, groups = -(-frames // longest), -(-layout.channels // together)
    wanted = AHEAD * max(threads, 1)
    many = max(min(TASK_SAMPLES // (longest * layout.channels), rows // wanted), 1) * longest
    pieces = min(max(-(-wanted // rows), 1), groups)
    columns = -(-groups // pieces) * together
    for first in range(0, frames, many):
        for channel in range(0, layout.channels, columns):
            yield range(first, min(first + many, frames)), range(channel, min(channel + columns, layout.channels))


class _Summed:
    """A file to write, with the CRC-32 of all that was written to it."""

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
            raise SpikeyError(
                f"{name}: the stored copy differs from what was written; no output was written. Write to another place"
            )

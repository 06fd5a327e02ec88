"""Many recordings in one file: simultaneous ones are coded with each other; each can be restored alone."""

from __future__ import annotations

import os
import tempfile
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.base.workers import Workers
from spikey.codec.calibration_policy import Chosen
from spikey.codec.method import Method
from spikey.codec.registry import PREDICTORS
from spikey.container.archive import Archive
from spikey.container.archive_writer import ArchiveWriter
from spikey.container.embedding import Embedding, Fate, Tally, note_on_model
from spikey.container.entries import ALONE, COPY, FINE, MODEL, TOGETHER, Entry, Reference
from spikey.container.extra import safe_name
from spikey.container.reader import Reader
from spikey.container.records import COMPANIONS
from spikey.container.salvage import Extent
from spikey.container.window import Window
from spikey.container.writer import write_file
from spikey.files.compare import compare, compare_bytes
from spikey.files.compress import contents_of, note_on_floats, open_recording, write_bytes
from spikey.files.encoding import Encoding, encode_recording
from spikey.files.settings import LARGE, Outcome, Settings, calibration_for, size_of
from spikey.model.trained import use
from spikey.recording.companions import Companion, Planned, plan
from spikey.recording.layout import Layout
from spikey.recording.output import atomic_output
from spikey.recording.source import NotPCM, Source

IN_MEMORY = 1 << 25  # bytes of a compressed group that are not put into a temporary file
PIECE = 1 << 20
AROUND_MODEL = 40  # bytes of a model's entry besides the model


@dataclass
class Packing:
    """Results of compressing recordings: outcomes by name, the archive's bytes, reasons for missing recordings, and
    further notes on it.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    written: int = 0
    groups: int = 0
    failures: list[SpikeyError] = field(default_factory=list)
    note: str = ""

    def total(self) -> Outcome:
        """All of it as one outcome; the archive's own bytes are counted."""
        outcomes = self.outcomes.values()
        return Outcome(sum(o.original for o in outcomes), self.written, sum(o.samples for o in outcomes))


def compress_archive(
    members: Sequence[tuple[str, Path]],
    out_path: str | os.PathLike[str],
    settings: Settings | None = None,
    done: Callable[[Outcome], None] | None = None,
    *,
    overwrite: bool = False,
) -> Packing:
    """Compress recordings, given as names in the archive and files, into one archive.

    Simultaneous recordings are found and coded with each other, `settings.jobs` at a time. Each is decoded and
    compared before the archive is renamed to `out_path`, with `settings.verify`. done: called for each.
    overwrite: whether to replace `out_path` where it exists; done only if the new archive is complete.
    A recording that cannot be read is omitted and named in the result; UsageError or DataError if none can be read.
    """
    settings = settings or Settings()
    if settings.model is not None:
        use(settings.model)  # what is written is read again
        Embedding(settings.model, settings.embed_model)  # fails at once where that is impossible
    _check_names(members)
    paths = [path for _, path in members]
    groups, plain, failures = _planned(members, settings)
    if not groups and not plain:
        raise failures[0] if failures else UsageError("there is nothing to compress")
    packing = Packing(groups=sum(len(group) > 1 for group in groups), failures=list(failures))
    work = [
        planned
        for group in sorted([*groups, *([Planned(place)] for place in plain)], key=lambda group: group[0].place)
        for planned in group
    ]
    replaced = overwrite and os.path.exists(out_path)
    with atomic_output(out_path, *paths, overwrite=overwrite, readable_as=paths) as (out, tmp_path):
        job = _Job([name for name, _ in members], paths, settings, frozenset(plain), os.path.dirname(tmp_path))
        archive, checks, tally = _write(out, work, job, packing, done)
        if tally.used and tally.fate is Fate.DROPPED:  # the archive is smaller without the model than with it inside
            out.seek(0)
            out.truncate()
            packing.outcomes, packing.failures = {}, list(failures)
            job = job._replace(settings=replace(settings, model=None, preset="balanced"))
            archive, checks, tally = _write(out, work, job, packing, done)
        if not archive.entries:
            raise packing.failures[0]
        out.close()
        packing.entries = [entry for entry in archive.entries if entry.kind != MODEL]
        packing.written, packing.note = archive.written, note_on_model(tally, settings.model)
        if settings.verify:
            _check_written(tmp_path, packing.entries, checks)
        if replaced and packing.failures:
            raise DataError(
                f"{os.fspath(out_path)}: was not replaced, as the new archive would lack recordings: "
                f"{packing.failures[0]}"
            )
    return packing


def _write(
    out: BinaryIO, work: list[Planned], job: _Job, packing: Packing, done: Callable[[Outcome], None] | None
) -> tuple[ArchiveWriter, list[int], Tally]:
    """Write an archive, with an embedded model at its end; also returns each recording's checksum."""
    numbers: dict[int, int] = {}
    checks: list[int] = []
    tally = Tally()
    with ArchiveWriter(out) as archive:
        for planned, packed in _in_order(work, job):
            if isinstance(packed, _Packed) and any(c.place not in numbers for c in packed.companions):
                packed.file.close()  # what it was coded with failed
                packed = _pack(_without_lost(planned, numbers), job, _nothing)
            if isinstance(packed, SpikeyError):
                packing.failures.append(packed)
                continue
            with packed.file as file:
                entry = archive.add(packed.entry(numbers), _pieces(file))
            numbers[planned.place] = entry.number
            checks.append(packed.check)
            packing.outcomes[entry.name] = packed.outcome
            if packed.tally.used:
                tally.add(packed.tally.saved)
            if done is not None:
                done(packed.outcome)
        if tally.used and job.settings.model is not None:
            embedding = Embedding(job.settings.model, job.settings.embed_model)
            tally.fate = embedding.fate(archive.written, None if tally.saved is None else tally.saved - AROUND_MODEL)
            if tally.fate is Fate.EMBEDDED:
                archive.add_model(embedding.model)
    return archive, checks, tally


def _method(settings: Settings, size: int) -> Method:
    """The method for a recording of `size` bytes: by default, unless it is large, the one with the most companions."""
    return (replace(settings, preset="max") if settings.free and size <= LARGE else settings).method()


def _check_names(members: Sequence[tuple[str, Path]]) -> None:
    taken: dict[str, Path] = {}
    for name, path in members:
        try:
            safe_name(name)
        except DataError as error:
            raise UsageError(f"{path}: {error}") from None
        if name in taken:
            raise UsageError(f"{taken[name]} and {path} would both be named {name}")
        taken[name] = path


def _planned(
    members: Sequence[tuple[str, Path]], settings: Settings
) -> tuple[list[list[Planned]], list[int], list[SpikeyError]]:
    """The groups of recordings, files to be stored as plain bytes, and reasons for omitted ones."""
    recordings, plain = [], []
    failures: list[SpikeyError] = []
    for index, (_, path) in enumerate(members):
        try:
            with open_recording(path, settings):
                recordings.append(index)
        except NotPCM:
            plain.append(index)
        except SpikeyError as error:
            failures.append(error)
    found = plan([members[index][1] for index in recordings], lambda path: open_recording(path, settings))
    groups = [
        [
            Planned(
                recordings[one.place],
                tuple(c._replace(place=recordings[c.place]) for c in one.companions),
                one.copy,
            )
            for one in group
        ]
        for group in found
    ]
    return groups, plain, failures


class _Job(NamedTuple):
    """What is the same for all recordings."""

    names: list[str]
    paths: list[Path]
    settings: Settings
    plain: frozenset[int]
    folder: str  # of temporary files
    jobs: int = 0  # threads of one recording; 0 for the calling one alone


class _Packed(NamedTuple):
    """A compressed recording in a temporary file of its own."""

    name: str
    file: Any
    size: int
    check: int
    kind: int
    companions: tuple[Companion, ...]
    outcome: Outcome
    tally: Tally

    def entry(self, numbers: dict[int, int]) -> Entry:
        """Its entry in the archive."""
        references = tuple(
            Reference(numbers[c.place], c.channel, round(c.correlation * FINE) / FINE) for c in self.companions
        )
        return Entry(0, self.name, self.size, self.kind, references)


Result = _Packed | SpikeyError


def _in_order(work: list[Planned], job: _Job) -> Iterator[tuple[Planned, Result]]:
    """The recordings compressed, or why not, by as many threads as the settings allow, a little ahead."""
    stop = threading.Event()
    jobs = max(job.settings.jobs, 1)
    if len(work) < jobs:
        job = job._replace(jobs=jobs // len(work))

    def go_on(_: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    waiting: deque[tuple[Planned, Future[Result]]] = deque()
    with Workers(jobs) as pool:
        try:
            for planned in work:
                waiting.append((planned, pool.submit(_pack, planned, job, go_on)))
                if len(waiting) > 2 * jobs:
                    ready, future = waiting.popleft()
                    yield ready, future.result()
            while waiting:
                ready, future = waiting.popleft()
                yield ready, future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _nothing(_: int) -> None:
    pass


def _without_lost(planned: Planned, there: dict[int, int]) -> Planned:
    """A plan without the companions that could not be compressed themselves."""
    return Planned(planned.place, tuple(c for c in planned.companions if c.place in there))


def _pack(planned: Planned, job: _Job, go_on: Callable[[int], None]) -> Result:
    """Compress one recording, and compare it; the caller closes its file."""
    file: Any = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=job.folder)  # noqa: SIM115
    try:
        go_on(0)
        return (_pack_bytes if planned.place in job.plain else _pack_samples)(planned, job, file, go_on)
    except SpikeyError as error:
        file.close()
        return error
    except OSError as error:
        file.close()
        raise UsageError(f"{job.folder}: cannot hold what is being written ({error.strerror or error})") from None
    except BaseException:
        file.close()
        raise


def _pack_samples(planned: Planned, job: _Job, file: Any, go_on: Callable[[int], None]) -> _Packed:
    settings, name = job.settings, job.names[planned.place]
    with ExitStack() as stack:
        source = stack.enter_context(open_recording(job.paths[planned.place], settings))
        method = _method(settings, size_of(source))
        others: Sources | None = None
        if planned.companions and (planned.copy or PREDICTORS[method.predictor].companions):
            opened = [
                (stack.enter_context(open_recording(job.paths[c.place], settings)), c.channel)
                for c in planned.companions
            ]
            others = Sources(opened, planned.copy)
        chosen = Chosen() if planned.copy else calibration_for(source, settings)
        tally = Tally()
        contents = contents_of(settings, chosen)  # the archive holds a model, once for all
        contents = replace(contents, embed_model=False, companions=None if others is None else others.count)
        how = Encoding(method, chosen.calibration, job.jobs, settings.block_frames, others)
        written = write_file(source, file, encode_recording(source, how), contents, go_on, tally)
        with Reader(Window(file, name, 0, written), companions=others) as reader:
            used = reader.header.record(COMPANIONS) is not None
            if settings.verify:
                compare(source, reader, max(job.jobs, 1))
            note = note_on_floats(reader, name) if source.layout.memory_dtype.kind == "f" and not planned.copy else ""
        outcome = Outcome(size_of(source), written, source.frames * source.layout.channels, note)
        kind = ALONE if not used else COPY if planned.copy else TOGETHER
        companions = planned.companions if used else ()
        return _Packed(name, file, written, crc_of(_pieces(file)), kind, companions, outcome, tally)


def _pack_bytes(planned: Planned, job: _Job, file: Any, _: Callable[[int], None]) -> _Packed:
    """Keep a file that is not a recording."""
    path, name = job.paths[planned.place], job.names[planned.place]
    size, written = write_bytes(path, file)
    if job.settings.verify:
        with Reader(Window(file, name, 0, written)) as reader:
            compare_bytes(path, reader)
    outcome = Outcome(size, written, 0, f"{name} contains no samples that can be modelled; stored as plain bytes")
    return _Packed(name, file, written, crc_of(_pieces(file)), ALONE, (), outcome, Tally())


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """All bytes of a file."""
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece


def crc_of(pieces: Iterable[bytes]) -> int:
    """CRC-32 of bytes that come in pieces."""
    check = 0
    for piece in pieces:
        check = zlib.crc32(piece, check)
    return check


def _check_written(path: str, entries: list[Entry], checks: list[int]) -> None:
    """Read an archive back: every recording was decoded before it was copied into it."""
    with Archive(path) as archive:
        if archive.entries != entries or checks != [crc_of(archive.bytes_of(entry.name)) for entry in entries]:
            raise SpikeyError("the archive does not decode to what was written; no output was written")
        for entry in archive.models:
            archive.model(bytes.fromhex(entry.name))


class Sources:
    """The companions of a recording about to be compressed, or its original, read from their own files."""

    def __init__(self, opened: list[tuple[Source, int]], copy: bool):
        self.count = 0 if copy else len(opened)
        self._opened = opened
        self._lock = threading.Lock()

    def columns(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, companions), of their common type."""
        with self._lock:
            columns = [source.read(first_frame, count)[:, channel] for source, channel in self._opened]
        return np.stack(columns, axis=1)

    def copied(self, extent: Extent, layout: Layout) -> np.ndarray:
        """Samples of the original: first frame, end frame, first channel, end channel."""
        first, end, low, high = extent
        with self._lock:
            return self._opened[0][0].read(first, end - first)[:, low:high]

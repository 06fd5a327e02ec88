"""Many recordings in one file: those made at the same instant are coded with each other; each can be restored alone."""

from __future__ import annotations

import os
import tempfile
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from spikey.container.archive import Archive, ArchiveWriter
from spikey.container.entries import ALONE, COPY, TOGETHER, Entry, Reference
from spikey.container.extra import safe_name
from spikey.container.layout import COMPANIONS
from spikey.container.reader import Reader
from spikey.container.salvage import Extent
from spikey.container.window import Window
from spikey.container.writer import write_file
from spikey.errors import DataError, SpikeyError, UsageError
from spikey.files import (
    PRESETS,
    Outcome,
    Settings,
    calibration_for,
    compare,
    compare_bytes,
    complete_file,
    note_on_floats,
    open_recording,
    size_of,
    write_bytes,
)
from spikey.model.trained import use
from spikey.recording.companions import Companion, Planned, plan
from spikey.recording.source import Layout, NotPCM, Source

COMPANIED = {"archive"}  # predictors that make use of companions
IN_MEMORY = 1 << 25  # bytes of a compressed group that are not put into a passing file
PIECE = 1 << 20


@dataclass
class Packing:
    """What became of many recordings: outcomes by name, the archive's bytes, and why recordings are missing from it."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    written: int = 0
    groups: int = 0
    failures: list[SpikeyError] = field(default_factory=list)

    def total(self) -> Outcome:
        """All of it as one outcome; the archive's own bytes are counted."""
        outcomes = self.outcomes.values()
        return Outcome(sum(o.original for o in outcomes), self.written, sum(o.samples for o in outcomes))


def compress_archive(
    members: Sequence[tuple[str, Path]],
    out_path: str | os.PathLike[str],
    settings: Settings | None = None,
    done: Callable[[Outcome], None] | None = None,
) -> Packing:
    """Compress recordings, given as names in the archive and files, into one archive.

    Those made at the same instant are found and coded with each other, `settings.jobs` groups at a time. Each is
    decoded and compared before the archive takes its name, unless told not to. done: called for each. A recording that
    cannot be read is left out and named in the result; UsageError or DataError where nothing is left.
    """
    settings = _with_preset(settings or Settings())
    if settings.model is not None:
        use(settings.model)  # what is written is read again
    _check_names(members)
    paths = [path for _, path in members]
    groups, plain, failures = _planned(members, settings)
    if not groups and not plain:
        raise failures[0] if failures else UsageError("there is nothing to compress")
    packing = Packing(groups=sum(len(group) > 1 for group in groups), failures=failures)
    work = sorted([*groups, *([Planned(index)] for index in plain)], key=lambda group: group[0].place)
    job = _Job([name for name, _ in members], paths, settings, frozenset(plain), len(work) == 1)
    if any(_same_file(path, out_path) for path in paths):
        raise UsageError(f"{out_path}: would be read and written at once; name another output")
    with complete_file(out_path) as (out, passing):
        with ArchiveWriter(out) as archive:
            numbers: dict[int, int] = {}
            for group in _in_order(work, job, done):
                packing.failures += group.failures
                for member in group.members:
                    entry = archive.add(member.entry(numbers), _pieces(group.file, member.start, member.size))
                    numbers[member.place] = entry.number
                    packing.outcomes[entry.name] = member.outcome
                group.file.close()
        if not archive.entries:
            raise packing.failures[0]
        out.close()
        packing.entries, packing.written = archive.entries, archive.written
        if settings.verify:
            _check_written(passing, packing.entries)
    return packing


def _with_preset(settings: Settings) -> Settings:
    """The settings with the preset that makes use of other recordings, where none is asked for."""
    if settings.preset is None and settings.model is None and settings.predictor is None and "archive" in PRESETS:
        return replace(settings, preset="archive")
    return settings


def _check_names(members: Sequence[tuple[str, Path]]) -> None:
    taken: dict[str, Path] = {}
    for name, path in members:
        try:
            safe_name(name)
        except DataError as error:
            raise UsageError(f"{path}: {error}") from None
        if name in taken:
            raise UsageError(f"{taken[name]} and {path} would both be called {name}")
        taken[name] = path


def _same_file(one: Path, other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _planned(
    members: Sequence[tuple[str, Path]], settings: Settings
) -> tuple[list[list[Planned]], list[int], list[SpikeyError]]:
    """The groups of recordings, files that are to be kept as plain bytes, and why others are left out."""
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
    """What is the same for all groups."""

    names: list[str]
    paths: list[Path]
    settings: Settings
    plain: frozenset[int]
    alone: bool  # one group only, which then has all threads


class _Member(NamedTuple):
    """A compressed recording in its group's passing file."""

    place: int
    name: str
    start: int
    size: int
    check: int
    kind: int
    companions: tuple[Companion, ...]
    outcome: Outcome

    def entry(self, numbers: dict[int, int]) -> Entry:
        """What the archive is to say of it."""
        references = tuple(Reference(numbers[c.place], c.channel, c.correlation) for c in self.companions)
        return Entry(0, self.name, self.size, self.check, self.kind, references)


class _Group(NamedTuple):
    file: Any
    members: list[_Member]
    failures: list[SpikeyError]


def _in_order(work: list[list[Planned]], job: _Job, done: Callable[[Outcome], None] | None) -> Iterator[_Group]:
    """The groups compressed, by as many threads as the settings say, which run only a little ahead."""
    stop = threading.Event()
    waiting: deque[Future[_Group]] = deque()
    jobs = max(job.settings.jobs, 1)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for group in work:
                waiting.append(pool.submit(_compress_group, group, job, stop, done))
                if len(waiting) > 2 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _compress_group(
    group: list[Planned], job: _Job, stop: threading.Event, done: Callable[[Outcome], None] | None
) -> _Group:
    """Compress the recordings of a group in order, one after another in one passing file."""
    file: Any = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (whoever takes the group closes it)
    members: dict[int, _Member] = {}
    failures: list[SpikeyError] = []

    def go_on(_: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    try:
        for planned in group:
            go_on(0)
            there = _without_lost(planned, members)
            file.seek(0, os.SEEK_END)
            start = file.tell()
            try:
                if planned.place in job.plain:
                    member = _pack_bytes(planned.place, job, file, start)
                else:
                    member = _pack(there, job, file, start, go_on)
            except SpikeyError as error:
                failures.append(error)
                file.seek(start)
                file.truncate()
                continue
            members[planned.place] = member
            if done is not None:
                done(member.outcome)
    except BaseException:
        file.close()
        raise
    return _Group(file, list(members.values()), failures)


def _without_lost(planned: Planned, there: dict[int, Any]) -> Planned:
    """A plan without the companions that could not be compressed themselves."""
    kept = tuple(c for c in planned.companions if c.place in there)
    return planned if len(kept) == len(planned.companions) else Planned(planned.place, kept)


def _pack(planned: Planned, job: _Job, file: Any, start: int, go_on: Callable[[int], None]) -> _Member:
    """Compress one recording to the end of `file`, and compare it."""
    settings = job.settings
    with ExitStack() as stack:
        source = stack.enter_context(open_recording(job.paths[planned.place], settings))
        method = settings.method(size_of(source))
        others: Sources | None = None
        if planned.companions and (planned.copy or method.predictor in COMPANIED):
            opened = [
                (stack.enter_context(open_recording(job.paths[c.place], settings)), c.channel)
                for c in planned.companions
            ]
            others = Sources(opened, planned.copy)
        calibration, embed = (None, None) if planned.copy else calibration_for(source, settings)
        written = write_file(
            source,
            file,
            method,
            calibration,
            embed=embed,
            embed_model=settings.embed_model,
            jobs=settings.jobs if job.alone else 0,
            progress=go_on,
            block_frames=settings.block_frames,
            companions=others,
        )
        name = job.names[planned.place]
        window = Window(file, name, start, written)
        with Reader(window, companions=others) as reader:
            used = reader.header.record(COMPANIONS) is not None
            if settings.verify:
                compare(source, reader, settings.jobs if job.alone else 1)
            note = note_on_floats(reader, name) if source.layout.memory_dtype.kind == "f" and not planned.copy else ""
        outcome = Outcome(size_of(source), written, source.frames * source.layout.channels, note)
        kind = ALONE if not used else COPY if planned.copy else TOGETHER
        companions = planned.companions if used else ()
        return _Member(planned.place, name, start, written, _check(file, start, written), kind, companions, outcome)


def _pack_bytes(index: int, job: _Job, file: Any, start: int) -> _Member:
    """Keep a file that is no recording."""
    size, written = write_bytes(job.paths[index], file)
    name = job.names[index]
    if job.settings.verify:
        with Reader(Window(file, name, start, written)) as reader:
            compare_bytes(job.paths[index], reader)
    outcome = Outcome(size, written, 0, f"{name} holds no samples that can be modelled")
    return _Member(index, name, start, written, _check(file, start, written), ALONE, (), outcome)


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    for at in range(0, size, PIECE):
        yield file.read(min(PIECE, size - at))


def _check(file: BinaryIO, start: int, size: int) -> int:
    return crc_of(_pieces(file, start, size))


def crc_of(pieces: Iterable[bytes]) -> int:
    """CRC-32 of bytes that come in pieces."""
    check = 0
    for piece in pieces:
        check = zlib.crc32(piece, check)
    return check


def _check_written(path: str, entries: list[Entry]) -> None:
    """Read an archive back: every recording was decoded before it was copied into it."""
    with Archive(path) as archive:
        if archive.entries != entries or any(crc_of(archive.bytes_of(e.name)) != e.check for e in entries):
            raise SpikeyError("the archive reads back as something else than was written; nothing was kept")


class Sources:
    """The companions of a recording about to be compressed, or its original, read from their own files."""

    def __init__(self, opened: list[tuple[Source, int]], copy: bool):
        self.count = 0 if copy else len(opened)
        self._opened = opened
        self._lock = threading.Lock()

    def columns(self, first_frame: int, count: int) -> np.ndarray:
        """Samples (count, companions), int64."""
        out = np.empty((count, len(self._opened)), dtype=np.int64)
        with self._lock:
            for place, (source, channel) in enumerate(self._opened):
                out[:, place] = source.read(first_frame, count)[:, channel]
        return out

    def copied(self, extent: Extent, layout: Layout) -> np.ndarray:
        """Samples of the original: first frame, end frame, first channel, end channel."""
        first, end, low, high = extent
        with self._lock:
            return self._opened[0][0].read(first, end - first)[:, low:high]

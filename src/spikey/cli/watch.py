"""`spikey watch`."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import DataError, UsageError
from spikey.base.locks import lock_file
from spikey.base.open_files import open_for_writing
from spikey.cli import options
from spikey.cli.messages import detail, is_quiet, note, say, set_level
from spikey.cli.warned import warnings_said
from spikey.cli.watched import Places, Work
from spikey.files.journal import Journal, Line, lines_of
from spikey.files.names import JOURNAL
from spikey.integrations.runs import VENDORS, Found, look_again, runs_in
from spikey.integrations.watching import UNCHANGED, History, Looks
from spikey.recording.output import make_folder

if TYPE_CHECKING:
    from spikey.files.settings import Settings
    from spikey.integrations.runs import Run

PRIORITY = 10  # added to the process's nice value
MOST_MINUTES = 60 * 24 * 7
NAMED = 5  # recordings of other formats that a note lists


def command(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="The folder that acquisition software writes its sessions to.")
    ],
    into: Annotated[
        str | None, typer.Option(metavar="PACKED", help="Folder for the outputs. Default: beside the originals.")
    ] = None,
    remove: Annotated[
        bool,
        typer.Option("--rm", help="Remove the files of a session after all of it is stored, verified and on the disk."),
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Compress the finished sessions and exit.")] = False,
    minutes: Annotated[
        float,
        typer.Option(help="Minutes between two scans; a session is finished when three scans find it unchanged."),
    ] = 5,
    jobs: options.Jobs = 1,
    preset: Annotated[str | None, typer.Option(help=f"{options.EXPLAINED} (one core). Default: the first.")] = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the lines of the journal, one JSON object each, for programs.",
            rich_help_panel=options.MESSAGES,
        ),
    ] = False,
) -> None:
    """Watch a folder and compress each recording session when it is finished.

    Sessions of SpikeGLX, Open Ephys, Intan, Blackrock and Neuralynx are recognised. A session is finished when names,
    sizes and times of its files are the same in three scans in a row and no process has one of them open for writing.
    Every output is verified. A journal beside the outputs (.spikey-watch.jsonl) lists what was done; after a crash the
    same command continues.

    Examples
    --------
    spikey watch data/ --into packed/
    spikey watch data/ --into packed/ --rm     # removes the verified originals
    spikey watch data/ --once                  # for a nightly job
    """
    from spikey.files.settings import Settings

    set_level(quiet, verbose)
    if not 0 < minutes <= MOST_MINUTES:
        raise UsageError(f"--minutes needs a number above 0 and up to {MOST_MINUTES:,}")
    settings = Settings(preset=preset, jobs=jobs)
    settings.method()  # whether there is such a preset
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: no such folder")
    watched = Path(os.path.abspath(folder))
    outputs = watched if into is None else Path(os.path.abspath(into))
    make_folder(outputs)
    lock = _lock_of(watched, outputs)
    inner = (outputs,) if watched in outputs.parents else ()
    places = Places(watched, outputs, (outputs / JOURNAL, lock, *inner))
    with _only_watcher(lock, folder), Journal(outputs / JOURNAL) as journal, warnings_said():
        with suppress(AttributeError, OSError):
            os.nice(PRIORITY)
        watcher = Watcher(places, settings, remove, journal, as_json)
        watcher.resume()
        watcher.watch(60 * minutes, once)
    if once and watcher.unfinished:
        raise typer.Exit(1)


class Watcher:
    """Looks at a folder again and again, and has what is finished compressed."""

    def __init__(self, places: Places, settings: Settings, remove: bool, journal: Journal, as_json: bool):
        self._places, self._remove, self._journal = places, remove, journal
        self._history = History(str(places.folder), lines_of(journal.path))
        self._work = Work(places, settings, remove, self._write)
        self._show = Show(as_json)
        self._looks = Looks()
        self._named: set[str] = set()  # what was mentioned once
        self.unfinished: set[str] = set()  # sessions that failed or were left

    def resume(self) -> None:
        """Clear up and finish what an earlier process had begun."""
        for name in self._history.begun():
            self._work.clear(name)
        for line in list(self._history.removing.values()):
            self._work.finish_removal(line)

    def watch(self, interval: float, once: bool) -> None:
        """Look every `interval` seconds; `once`: until all sessions of the first look were compared often enough."""
        looks = 0
        while True:
            start = time.monotonic()
            found = runs_in(self._places.folder, self._places.exclude)
            looks += 1
            waiting = self._look(found)
            if once and (looks > UNCHANGED or not waiting):
                for name in waiting:
                    note(f"{name} is still written, or has changed within the last looks")
                return
            time.sleep(max(interval - (time.monotonic() - start), 0))

    def _look(self, found: Found) -> list[str]:
        """Compress what is finished; the names of sessions that are not."""
        self._looks.add(found.runs)
        self._mention(found)
        waiting = []
        for run in found.runs:
            if run.name in self._history.removing:
                continue
            if not self._history.is_due(run, self._remove):
                self._recall(run)
                continue
            if self._history.is_new(run):
                self._write(run=run.name, event="seen", before=run.size)
            if not self._looks.settled(run) or self._is_written(run):
                waiting.append(run.name)
                continue
            self.unfinished.discard(run.name)
            self._work.compress(run)
        return waiting

    def _is_written(self, run: Run) -> bool:
        """Whether a session changes after all, or a process has one of its files open for writing."""
        now = look_again(run, self._places.folder, self._places.exclude)
        if now.files != run.files:
            return True
        opened = open_for_writing(self._places.folder / name for name in run.files)
        if opened is not None:
            detail(f"{run.name}: {opened} is open for writing in another process")
        return opened is not None

    def _recall(self, run: Run) -> None:
        """Name a session that could not be compressed and has not changed since."""
        reason = self._history.reason(run)
        if reason is not None and run.name not in self.unfinished:
            self.unfinished.add(run.name)
            say(f"spikey: {run.name}: {reason} (unchanged since)")

    def _mention(self, found: Found) -> None:
        """Name recordings of other formats, each once."""
        names = [path.relative_to(self._places.folder).as_posix() for path in found.others]
        new = [name for name in names if name not in self._named]
        self._named.update(new)
        if new:
            more = f" and {len(new) - NAMED:,} more" if len(new) > NAMED else ""
            note(f"not watched: {', '.join(new[:NAMED])}{more}; only {VENDORS} are")

    def _write(self, **facts: Any) -> None:
        """Append a line to the journal, and show it."""
        line = self._journal.add(folder=str(self._places.folder), **facts)
        self._history.add(line)
        if line["event"] in ("failed", "left"):
            self.unfinished.add(line["run"])
        self._show(line)


class Show:
    """Shows the journal's lines: as they are, or a line on each session with what was saved."""

    def __init__(self, as_json: bool):
        self._as_json = as_json
        self._done: dict[str, Line] = {}

    def __call__(self, line: Line) -> None:
        """Show one line."""
        name, event = line["run"], line["event"]
        if event in ("failed", "left"):
            say(f"spikey: {name}: {line['reason']}")
        if self._as_json:
            typer.echo(json.dumps(line))
            return
        if event == "seen":
            detail(f"{name} was found ({amount(line['before'])})")
        if event == "done":
            self._done[name] = line
            if not line["rm"] and not is_quiet():
                typer.echo(summary(line))
        if event == "removed" and not is_quiet():
            done = self._done.get(name)
            typer.echo(f"{name}  originals removed" if done is None else f"{summary(done)}, originals removed")


def summary(line: Line) -> str:
    """One line on a session: bytes before and after, and what it took."""
    before, after = line["before"], line["after"]
    took = f"in {line['seconds']:.0f} s (saved {amount(before - after)})"
    count = line.get("not_stored", 0)
    left = f", {count:,} file{'s are' if count > 1 else ' is'} not stored" if count else ""
    return f"{line['run']}  {amount(before)} -> {amount(after)} {took}{left}"


def amount(size: int) -> str:
    """A number of bytes as people write it.

    >>> amount(12_345_000_000), amount(7_400), amount(12)
    ('12.3 GB', '7.4 kB', '12 bytes')
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if abs(size) >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def _lock_of(folder: Path, outputs: Path) -> Path:
    """The lock file of a folder: in it, or beside the outputs where it cannot be written to."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:8]
    return (folder if os.access(folder, os.W_OK) else outputs) / f".spikey-watch-{digest}.lock"


@contextmanager
def _only_watcher(lock: Path, folder: str) -> Iterator[None]:
    """UsageError where another process watches the folder."""
    with ExitStack() as stack:
        try:
            locked = stack.enter_context(lock_file(lock))
        except OSError as error:
            raise UsageError(f"{lock}: cannot be written ({error.strerror})") from None
        if locked is False:
            raise UsageError(f"{folder}: another spikey watch is running there; stop it first")
        if locked is None:
            note(f"{lock}: the file system has no locks; run only one spikey watch on {folder}")
        yield

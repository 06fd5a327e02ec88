"""What `spikey watch` does with one finished session: compress it, verify it, and remove what was verified."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikey.base.errors import SpikeyError, UsageError
from spikey.base.open_files import open_for_writing
from spikey.cli.compression import compress_plan
from spikey.cli.packing import Plan, Stamp, listed, make_folders, plan_below, remove, stamp
from spikey.integrations.runs import look_again
from spikey.integrations.watching import fingerprint
from spikey.recording.output import remove_abandoned, sync_folder

if TYPE_CHECKING:
    from spikey.cli.run import Run as Done
    from spikey.files.settings import Settings
    from spikey.integrations.runs import Run

NAMED = 3  # errors that a journal's line contains


@dataclass(frozen=True)
class Places:
    """The folder that is watched, the one that outputs lie below, and what in them is no session's."""

    folder: Path
    outputs: Path
    exclude: tuple[Path, ...]

    def home(self, run: Run) -> Path:
        """The folder of a session's outputs."""
        home = self.outputs / run.name
        return home if run.place.is_dir() else home.parent


class _Stopped(Exception):
    """A session is not compressed or not removed; `facts`: what the journal's line contains."""

    def __init__(self, event: str, reason: str, again: bool = False):
        super().__init__(reason)
        self.facts: dict[str, Any] = {"event": event, "reason": reason} | ({"again": True} if again else {})


class Work:
    """Does what there is to do for one session after the other, and writes down each step before the next.

    write: appends a line to the journal. rm: whether originals are removed.
    """

    def __init__(self, places: Places, settings: Settings, rm: bool, write: Callable[..., None]):
        self._places, self._settings, self._rm, self._write = places, settings, rm, write

    def compress(self, run: Run) -> None:
        """Compress and verify a session, and remove its files if that is asked for; what fails is written down."""
        state = fingerprint(run, self._rm)

        def write(**facts: Any) -> None:
            self._write(run=run.name, state=state, rm=self._rm, **facts)

        write(event="started")
        start = time.monotonic()
        try:
            if self._rm:
                files, stamps = self._compressed(run, start, write)
                self._remove(run.name, files, stamps, start)
            else:
                self._compressed(run, start, write)
        except _Stopped as stopped:
            write(**stopped.facts)
        except UsageError as error:  # an output or this machine is at fault, not the session
            write(event="failed", reason=str(error), again=True)
        except SpikeyError as error:
            write(event="failed", reason=str(error))
        except (OSError, MemoryError) as error:
            write(event="failed", reason=str(error) or "there is not enough memory", again=True)
        except Exception as error:  # whatever is wrong with one session must not stop the others
            write(event="failed", reason=f"{type(error).__name__}: {error}")

    def _compressed(
        self, run: Run, start: float, write: Callable[..., None]
    ) -> tuple[list[dict[str, Any]], dict[Path, Stamp]]:
        """Compress a session; the files that its outputs restore, and what they are recognised by."""
        places = self._places
        stamps = {places.folder / name: stamp(places.folder / name) for name in run.files if not self._is_link(name)}
        folder, among = run.place, None
        if not run.place.is_dir():  # of a folder that it shares with others, only its own files
            folder, among = run.place.parent, [places.folder / name for name in run.files]
        found = plan_below(folder, places.home(run), complete=self._rm, exclude=places.exclude, among=among)
        covered = {Path(os.path.abspath(path)) for each in found.outputs for path in each.item.covers}
        self._check_plan(run, found, covered)
        there = {each.target for each in found.outputs if os.path.lexists(each.target)}
        make_folders(found)
        done = compress_plan(found, self._settings, skip_existing=True, renew=True)
        if look_again(run, places.folder, places.exclude).files != run.files:
            _discard(done, there)
            raise _Stopped("failed", "changed while it was compressed; its outputs were removed")
        if done.failures:
            raise _Stopped("failed", *_failure(found, done))
        if not any(outcome.samples for outcome in _outcomes(done)):
            _discard(done, there)
            raise _Stopped("left", "contains no samples yet")
        before, after = (sum(getattr(o, name) for o in _outcomes(done)) for name in ("original", "compressed"))
        files = self._files(found, stamps)
        left = {"not_stored": len(found.unstored)} if found.unstored else {}
        write(event="done", before=before, after=after, seconds=_since(start), **left)
        return files, stamps

    def _check_plan(self, run: Run, found: Plan, covered: set[Path]) -> None:
        """Raise _Stopped for a session that is to be removed, of which the outputs would not restore everything."""
        if not self._rm:
            return
        if found.unstored:
            raise _Stopped("left", f"could not be restored file for file: {listed(found.unstored)}")
        lost = [name for name in run.files if self._places.folder / name not in covered]
        if lost:
            more = f" and {len(lost) - NAMED:,} more" if len(lost) > NAMED else ""
            raise _Stopped("left", f"would not be restored: {', '.join(lost[:NAMED])}{more}")

    def _is_link(self, name: str) -> bool:
        return (self._places.folder / name).is_symlink()

    def _files(self, found: Plan, stamps: dict[Path, Stamp]) -> list[dict[str, Any]]:
        """Each file that outputs restore: name, size, time, its output, that one's size."""
        files = []
        for each in found.outputs:
            output = os.path.relpath(each.target, self._places.outputs)
            size = os.stat(each.target).st_size
            for path in map(Path, map(os.path.abspath, each.item.covers)):
                if path in stamps:
                    name = path.relative_to(self._places.folder).as_posix()
                    known = {"size": stamps[path].size, "mtime": stamps[path].changed}
                    files.append({"name": name, **known, "output": Path(output).as_posix(), "output_size": size})
        return files

    def _remove(self, name: str, files: list[dict[str, Any]], stamps: dict[Path, Stamp], start: float) -> None:
        """Remove the files of a session whose outputs are verified."""
        gc.collect()  # what was mapped into memory would take space on the disk until it is closed
        paths = [self._places.folder / each["name"] for each in files]
        if (opened := open_for_writing(paths)) is not None:
            raise _Stopped("left", f"{opened} is open for writing in another process; nothing was removed", again=True)
        outputs = {self._places.outputs / each["output"] for each in files}
        for output in outputs:
            sync_folder(output)  # those that were there before as well
        for home in {output.parent for output in outputs}:
            sync_folder(home)
        self._write(run=name, event="removing", files=files)
        self._unlink(name, paths, stamps, start)

    def _unlink(self, name: str, paths: Iterable[Path], stamps: dict[Path, Stamp], start: float) -> None:
        removed, failures = remove(paths, stamps)
        if failures:
            more = f" and {len(failures) - NAMED:,} more" if len(failures) > NAMED else ""
            raise _Stopped("left", f"{'; '.join(failures[:NAMED])}{more}", again=True)
        freed = sum(stamps[path].size for path in removed)
        self._write(run=name, event="removed", files=len(removed), freed=freed, seconds=_since(start))

    def finish_removal(self, line: dict[str, Any]) -> None:
        """Continue an interrupted removal if the outputs are still intact.

        A file that has changed since is no longer what was compressed, and stays.
        """
        name, start = line["run"], time.monotonic()
        stamps: dict[Path, Stamp] = {}
        left = []
        for each in line["files"]:
            path = self._places.folder / each["name"]
            with suppress(OSError):
                now = stamp(path)
                if not path.is_symlink() and (now.size, now.changed) == (each["size"], each["mtime"]):
                    stamps[path] = now
                    left.append(each)
        try:
            if left:
                if not self._rm:
                    raise _Stopped("left", "its removal was interrupted; --rm finishes it", again=True)
                self._verify(line["files"])
            self._unlink(name, stamps, stamps, start)
        except _Stopped as stopped:
            self._write(run=name, **stopped.facts)

    def _verify(self, files: list[dict[str, Any]]) -> None:
        """Raise _Stopped unless every output of a session is intact."""
        from spikey.files.decompress import verify_file

        sizes = {each["output"]: each["output_size"] for each in files}
        why = "its removal was interrupted and cannot continue: {}"
        for output, size in sizes.items():
            path = self._places.outputs / output
            try:
                if os.stat(path).st_size != size:
                    raise _Stopped("left", why.format(f"{path} is another file now"), again=True)
                verify_file(path, self._settings.jobs)
            except OSError as error:
                raise _Stopped("left", why.format(f"{path} cannot be read ({error.strerror})"), again=True) from None
            except SpikeyError as error:
                raise _Stopped("left", why.format(f"an output is damaged: {error}"), again=True) from None

    def clear(self, name: str) -> None:
        """Remove what a dead process left unfinished of a session's outputs."""
        home = self._places.outputs / name
        for folder in (home.parent, *(Path(each) for each, _, _ in os.walk(home))):
            remove_abandoned(str(folder))


def _outcomes(done: Done) -> list[Any]:
    return [result.outcome for result in done.results if result.outcome is not None]


def _discard(done: Done, there: set[str]) -> None:
    """Remove the outputs that were written now where there were none: the session still changes."""
    for task, _ in done.done:
        if task.target not in there:
            with suppress(OSError):
                os.unlink(task.target)


def _failure(found: Plan, done: Done) -> tuple[str, bool]:
    """Why a session could not be compressed, and whether the reason lies in an output or this machine."""
    errors = [result.error for result in done.results if result.error is not None]
    reasons = [*map(str, errors), *(f"{each.path}: {each.reason}" for each in found.failed)]
    more = f" and {len(reasons) - NAMED:,} more" if len(reasons) > NAMED else ""
    again = any(isinstance(error, UsageError) for error in errors)
    return "; ".join(reasons[:NAMED]) + more, again


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)

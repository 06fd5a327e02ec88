"""When a recording session is finished, and what a journal contains about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from spikey.files.journal import Line
from spikey.integrations.runs import Run, State

UNCHANGED = 2  # comparisons, of one look with the next, in which nothing may have changed
DECIDED = ("done", "failed", "left")


class Looks:
    """Counts, for each session, at how many looks in a row everything was as at the look before.

    The times of files are compared with each other only, as the clock of a network drive may be any.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[State, int]] = {}

    def add(self, runs: Iterable[Run]) -> None:
        """Compare all that is there with the look before."""
        seen = {}
        for run in runs:
            files, count = self._seen.get(run.name, ({}, -1))
            seen[run.name] = (run.files, count + 1 if files == run.files else 0)
        self._seen = seen

    def settled(self, run: Run) -> bool:
        """Whether nothing has changed for long enough."""
        return self._seen.get(run.name, ({}, 0))[1] >= UNCHANGED


class History:
    """What a journal contains about the sessions below one folder: the last line of each that decides what is next.

    removing: the lines of removals that have begun and not ended.
    """

    def __init__(self, folder: str, lines: Iterable[Line] = ()):
        self._folder = folder
        self._last: dict[str, Line] = {}
        self.removing: dict[str, Line] = {}
        for line in lines:
            self.add(line)
        # What was wrong with an output or this machine may be put right by now.
        self._last = {name: line for name, line in self._last.items() if not line.get("again")}

    def add(self, line: Line) -> None:
        """Take a further line into account; those on other folders are not."""
        name, event = line.get("run"), line.get("event")
        if line.get("folder") != self._folder or not isinstance(name, str):
            return
        if event == "removing":
            self.removing[name] = line
        elif event == "removed":
            self.removing.pop(name, None)
        self._last[name] = line

    def begun(self) -> list[str]:
        """The names of sessions whose compression has begun and not ended."""
        return [name for name, line in self._last.items() if line.get("event") == "started"]

    def is_new(self, run: Run) -> bool:
        """Whether there is no line yet about a session that is to be compressed."""
        return self._last.get(run.name, {}).get("event") in (None, "removed", *DECIDED)

    def is_due(self, run: Run, remove: bool) -> bool:
        """Whether a session is to be compressed, or to be removed, once it is finished."""
        last = self._last.get(run.name)
        if last is None or last.get("event") not in DECIDED:
            return True
        if last.get("event") == "done" and remove:
            return True
        return last.get("rm") != remove or last.get("state") != fingerprint(run, remove)

    def reason(self, run: Run) -> str | None:
        """Why a session that is not due was not compressed; None where it was."""
        last = self._last.get(run.name, {})
        return None if last.get("event") == "done" else last.get("reason")


def fingerprint(run: Run, complete: bool) -> str:
    """A checksum of names, sizes and times of a session's files; of derived ones only if those are stored too."""
    files = {name: value for name, value in run.files.items() if complete or name not in run.derived}
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()[:32]

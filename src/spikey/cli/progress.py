"""The progress of long work: a bar for a person, a line a minute in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from spikey.cli.messages import is_quiet, say

EVERY = 60.0  # seconds between two lines where no bar can be drawn


@contextmanager
def progress_bar(total: int | None, unit: str) -> Iterator[Callable[..., None]]:
    """Call what is yielded with the amount done since and a note. unit: what is counted; "bytes" also shows a speed."""
    if is_quiet():
        yield lambda amount, note="": None
    elif sys.stderr.isatty():
        with _bar(total, unit) as advance:
            yield advance
    else:
        yield _Lines(total, unit).advance


@contextmanager
def _bar(total: int | None, unit: str) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    amounts: list[ProgressColumn] = [MofNCompleteColumn(), TextColumn(unit)]
    if unit == "bytes":
        amounts = [TaskProgressColumn(), DownloadColumn(), TransferSpeedColumn()]
    columns = [BarColumn(), *amounts, TextColumn("{task.fields[note]}"), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, note="")
        yield lambda amount, note="": bar.update(task, advance=amount, note=note)


class _Lines:
    """A line a minute on standard error."""

    def __init__(self, total: int | None, unit: str):
        self._total, self._unit = total, unit
        self._done = 0
        self._start = self._last = time.monotonic()
        self._lock = threading.Lock()

    def advance(self, amount: int, note: str = "") -> None:
        """What was done since, and a note."""
        with self._lock:
            self._done += amount
            now = time.monotonic()
            if now - self._last < EVERY:
                return
            self._last = now
            say(f"progress: {self._line(now - self._start)}" + (f", {note}" if note else ""))

    def _line(self, seconds: float) -> str:
        parts = [f"{self._done:,} {self._unit}"]
        if self._total:
            share = self._done / self._total
            parts = [f"{self._done:,} of {self._total:,} {self._unit} ({100 * share:.0f} %)"]
        if self._unit == "bytes":
            parts.append(f"{self._done / seconds / 1e6:.1f} MB/s")
        if self._total and self._done:
            parts.append(f"{seconds * (self._total - self._done) / self._done:.0f} s left")
        return ", ".join(parts)


class Meter:
    """The progress of files that are read, and written or compared: bytes of the inputs, and the ratio so far.

    passes: how often each byte is processed, such as once to encode and once to verify.
    """

    def __init__(self, advance: Callable[..., Any], passes: int = 1):
        self._advance, self._passes = advance, passes
        self._done = self._written = self._encoded = self._shown = 0
        self._lock = threading.Lock()

    def __call__(self, done: int, written: int) -> None:
        """Bytes of an input that were processed since, and bytes written."""
        with self._lock:
            self._done += done
            self._written += written
            if written:
                self._encoded += done
            shown = self._done // self._passes
            step, self._shown = shown - self._shown, shown
            note = f"ratio {self._encoded / self._written:.3f}" if self._written else ""
        self._advance(step, note)

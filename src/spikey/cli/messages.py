"""Lines for a person on standard error, so that standard output stays for results."""

from __future__ import annotations

import sys
from contextlib import suppress

_level = 1  # 0: only errors; 1: notes and progress; 2: also a line for each file


def set_level(quiet: bool, verbose: bool) -> None:
    """How much is written: what -q and -v ask for."""
    global _level
    _level = 0 if quiet else 2 if verbose else 1


def is_quiet() -> bool:
    """Whether notes and progress are left out."""
    return _level == 0


def say(text: str) -> None:
    """A line on standard error; where that is closed the line is lost, but nothing else."""
    with suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def note(text: str) -> None:
    """A note."""
    if _level > 0:
        say(f"note: {text}")


def detail(text: str) -> None:
    """A line that only -v prints."""
    if _level > 1:
        say(text)

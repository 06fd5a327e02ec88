"""Which files other processes have open for writing, where the system shows that: on Linux, of the user's processes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

PROCESSES = "/proc"


def open_for_writing(paths: Iterable[str | os.PathLike[str]]) -> str | None:
    """The first of some files that another process has open for writing; None where there is none, or none is seen.

    Processes of other users are seen by root alone, those of other machines never.
    """
    wanted: dict[tuple[int, int], str] = {}
    for path in paths:
        with suppress(OSError):
            status = os.stat(path)
            wanted[status.st_dev, status.st_ino] = os.fspath(path)
    for process in _processes():
        for path in _written_by(process):
            with suppress(OSError):
                status = os.stat(path)
                if (found := wanted.get((status.st_dev, status.st_ino))) is not None:
                    return found
    return None


def _processes() -> Iterator[str]:
    """The folders of all processes but this one."""
    with suppress(OSError):
        for name in os.listdir(PROCESSES):
            if name.isdigit() and int(name) != os.getpid():
                yield os.path.join(PROCESSES, name)


def _written_by(process: str) -> Iterator[str]:
    """The paths under which the files that a process has open for writing can be found."""
    try:
        numbers = os.listdir(os.path.join(process, "fd"))
    except OSError:  # another user's, or it has ended
        return
    for number in numbers:
        path = os.path.join(process, "fd", number)
        with suppress(OSError, ValueError):
            if os.readlink(path).startswith("/") and _flags(process, number) & (os.O_WRONLY | os.O_RDWR):
                yield path


def _flags(process: str, number: str) -> int:
    """The flags that a descriptor was opened with."""
    with open(os.path.join(process, "fdinfo", number)) as file:
        for line in file:
            if line.startswith("flags:"):
                return int(line.split()[1], 8)
    return 0

"""A journal: a file of JSON lines to which one line a step is appended, each on the disk before the next step."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spikey.base.errors import UsageError
from spikey.recording.output import sync_folder

_BINARY = getattr(os, "O_BINARY", 0)
Line = dict[str, Any]


class Journal:
    """Appends to a journal; what a crash left of a line stays, and is followed by a new line.

    Parameters
    ----------
    path : Path
        The file, which is made where it does not exist.

    Raises
    ------
    UsageError
        The file cannot be opened or, from `add`, written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "journal.jsonl"
    >>> with Journal(path) as journal:
    ...     line = journal.add(event="done", run="run_g0")
    >>> [line["run"] for line in lines_of(path)]
    ['run_g0']
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _BINARY, 0o666)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
        sync_folder(path.parent)
        self._torn = not _ends_with_a_line(self._handle)

    def add(self, **facts: Any) -> Line:
        """Append a line with these facts and the time, and return it when it is on the disk."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
        data = (json.dumps(line, ensure_ascii=True) + "\n").encode()
        if self._torn:
            data = b"\n" + data
        try:
            self._torn = True  # until all of it is written
            done = 0
            while done < len(data):  # one call, where the disk is not full: other programs may append as well
                done += os.write(self._handle, data[done:])
            self._torn = False
            os.fsync(self._handle)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written ({error.strerror})") from None
        return line

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lines_of(path: Path) -> Iterator[Line]:
    """The lines of a journal that are whole, in order; none where there is no such file.

    Raises
    ------
    UsageError
        The file exists and cannot be read.
    """
    try:
        with open(path, "rb") as file:
            for text in file:
                line = _parsed(text)
                if line is not None:
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None


def _parsed(text: bytes) -> Line | None:
    """A line's facts; None for what a crash left of one, which lacks at least the last bracket."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _ends_with_a_line(handle: int) -> bool:
    size = os.fstat(handle).st_size
    if not size:
        return True
    os.lseek(handle, size - 1, os.SEEK_SET)
    return os.read(handle, 1) == b"\n"

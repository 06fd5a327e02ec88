"""A file with the numbers of streams that were received, so that none of them can be played to a receiver again."""

from __future__ import annotations

import os
import re
import time

from spikey.base.errors import DataError, UsageError
from spikey.base.locks import lock_file
from spikey.recording.output import atomic_output

LINE = re.compile(r"(stream|telemetry) (0|[1-9][0-9]{0,9})")
MOST_BYTES = 1 << 26  # of the file
PATIENCE = 2.0  # seconds in which another receiver has to be done with it


class Seen:
    """Numbers of streams of one kind, in a file of one line each; streams and telemetry may share it.

    path: the file, which is made where it does not exist; None remembers in memory only. kind: "stream" or "telemetry".
    """

    def __init__(self, path: str | os.PathLike[str] | None, kind: str):
        self.path, self._kind = None if path is None else os.fspath(path), kind
        self._lines: dict[str, None] = {}
        self._read()
        if self.path is not None:
            self._write()  # a file that cannot be written is found out before a stream comes

    def __contains__(self, number: int) -> bool:
        return f"{self._kind} {number}" in self._lines

    def add(self, number: int) -> None:
        """Note a stream, and have that on the disk."""
        self._lines[f"{self._kind} {number}"] = None
        if self.path is not None:
            self._write()

    def _read(self) -> None:
        if self.path is None:
            return
        try:
            with open(self.path, "rb") as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be read ({error.strerror or error})") from None
        lines = data.decode("ascii", "replace").splitlines()
        if len(data) > MOST_BYTES or not all(LINE.fullmatch(line) for line in lines):
            raise DataError(f"{self.path}: is not a list of streams that were received; name another file")
        self._lines |= dict.fromkeys(lines)

    def _write(self) -> None:
        """Replace the file by one with what it has by now, and this receiver's."""
        assert self.path is not None
        until = time.monotonic() + PATIENCE
        try:
            while True:
                with lock_file(f"{self.path}.lock") as locked:
                    if locked is not False:
                        self._read()
                        with atomic_output(self.path, overwrite=True) as (file, _):
                            file.write("".join(f"{line}\n" for line in self._lines).encode("ascii"))
                        return
                if time.monotonic() > until:
                    raise UsageError(f"{self.path}: another receiver holds {self.path}.lock; name another file")
                time.sleep(0.02)
        except OSError as error:
            raise UsageError(f"{self.path}: cannot be written ({error.strerror or error})") from None

"""Reads headers: no more than a file has, numbers only if they are some, text in whatever encoding."""

from __future__ import annotations

import json
import math
import os
import stat
import struct
from pathlib import Path
from typing import Any, BinaryIO, Self

from spikey.base.errors import DataError

LARGEST_TEXT = 1 << 26  # bytes of a text file that describes a recording


class Bounded:
    """An opened file of which a read beyond its end is a `DataError`. A context manager."""

    def __init__(self, path: Path) -> None:
        self.size = file_size(path)
        self._file: BinaryIO = open(path, "rb")  # noqa: SIM115

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise DataError("ends within its header")
        self._file.seek(offset)
        found = self._file.read(count) if count else b""
        while len(found) < count:  # a read may return less than there is
            piece = self._file.read(count - len(found))
            if not piece:
                raise DataError("has become shorter while it was read")
            found += piece
        return found

    def first(self, count: int) -> bytes:
        """The first `count` bytes, or fewer if the file is shorter."""
        return self.at(0, min(count, self.size))

    def unpack(self, form: str, offset: int) -> tuple[Any, ...]:
        """Values in the notation of `struct`."""
        return struct.unpack(form, self.at(offset, struct.calcsize(form)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def file_size(path: Path) -> int:
    """Bytes of a regular file."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its other end
        raise DataError("is not a regular file")
    return found.st_size


def text_of(path: Path) -> str:
    """A small text file: UTF-8, with or without a byte order mark, or Latin-1."""
    with Bounded(path) as file:
        if file.size > LARGEST_TEXT:
            raise DataError(f"has {file.size:,} bytes, too many for a description of a recording")
        return decoded(file.first(file.size))


def decoded(data: bytes) -> str:
    """Text as UTF-8 where it is, otherwise as Latin-1."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def json_of(path: Path) -> dict[str, Any]:
    """A JSON file of which the outermost value is an object."""
    try:
        found = json.loads(text_of(path))
    except (ValueError, RecursionError):
        raise DataError("is not JSON text") from None
    if not isinstance(found, dict):
        raise DataError("does not describe a recording")
    return found


def integer(value: object, name: str, least: int = 1) -> int:
    """A number that counts something, from JSON or from text; `name` is for the message."""
    found: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, float) and value.is_integer():
        found = int(value)
    elif isinstance(value, str) and len(value) < 30:
        try:
            found = int(value)
        except ValueError:
            found = None
    if found is None or not least <= found < 1 << 62:
        raise DataError(f"{name} is not a whole number of {least} or more")
    return found


def rate_of(value: object, name: str) -> float:
    """A sampling rate in Hz, from JSON or from text; `name` is for the message."""
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise DataError(f"{name} is not a sampling rate in Hz")
    return found

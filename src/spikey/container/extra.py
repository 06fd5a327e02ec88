"""Stored beside the samples: metadata as JSON, and side files byte for byte.

Neither is needed to restore the samples, so readers that know nothing of them skip them. The metadata name the side
files; their bytes lie in blocks of their own, one file after another.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from spikey.base.errors import DataError, UsageError
from spikey.base.wire import Cursor
from spikey.coding.packed_bytes import PIECE, unpack_bytes
from spikey.recording.opened import read_at
from spikey.recording.source import open_file

LARGEST_METADATA = 1 << 24  # bytes of JSON
MOST_FILES = 10_000
LARGEST_FILE = 1 << 40
LARGE = 1 << 14  # bytes of a side file that has blocks of its own
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows takes for devices


@dataclass(frozen=True)
class SideFile:
    """A file to keep: the name it is restored under (relative, with slashes), where it lies, its size in bytes."""

    name: str
    path: str
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Its bytes; DataError where it cannot be read, or has grown or shrunk."""
        file, name, size = open_file(self.path)
        with file:
            if size != self.size:
                raise DataError(
                    f"{name}: had {self.size:,} bytes when it was found and has {size:,} now", code="changed-while-read"
                )
            for at in range(0, self.size, PIECE):
                yield bytes(read_at(file, name, at, min(PIECE, self.size - at)))


@dataclass(frozen=True)
class Extra:
    """Metadata, anything that JSON holds under any names but `files`, and side files."""

    metadata: dict[str, Any]
    files: tuple[SideFile, ...] = field(default=())

    def to_json(self) -> bytes:
        """The JSON text of the record; UsageError for what JSON cannot hold or what is too large."""
        files = [{"name": safe_name(file.name), "size": file.size} for file in self.files]
        content = {key: value for key, value in self.metadata.items() if key != "files"}
        try:
            text = json.dumps(content | ({"files": files} if files else {}), separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise UsageError(f"metadata must be serialisable as JSON: {error}") from None
        if len(files) > MOST_FILES or len(text) > LARGEST_METADATA:
            raise UsageError(
                f"{len(text):,} bytes of metadata that name {len(files):,} side files are too many; "
                f"at most {LARGEST_METADATA:,} and {MOST_FILES:,} can be kept"
            )
        return text.encode("ascii")

    def chunks(self) -> Iterator[bytes]:
        """The bytes of all side files, one after another, in pieces that the size of a block allows.

        A large file begins a piece, and ends one, so that its elements are found whatever lies around it.
        """
        pending = b""
        for file in self.files:
            if pending and file.size >= LARGE:
                yield pending
                pending = b""
            for chunk in file.chunks():
                pending += chunk
                while len(pending) >= PIECE:
                    yield pending[:PIECE]
                    pending = pending[PIECE:]
            if pending and file.size >= LARGE:
                yield pending
                pending = b""
        if pending:
            yield pending


def side_file(name: str, path: str | os.PathLike[str]) -> SideFile:
    """The file at `path` as one to keep; DataError where there is none."""
    file, where, size = open_file(path)
    file.close()
    return SideFile(safe_name(name), where, size)


def safe_name(name: str) -> str:
    """`name`, where it leads to a file below the folder it is restored in on every system; else DataError.

    >>> safe_name("run_g0/run_g0_t0.nidq.meta")
    'run_g0/run_g0_t0.nidq.meta'
    """
    parts = name.split("/")
    odd = any(ord(c) < 32 or c in '\\:*?"<>|' for c in name)
    if odd or len(name) > 1000 or any(part in ("", ".", "..") or RESERVED.fullmatch(part) for part in parts):
        raise DataError(f"{name!r} is not a valid name for a restored file")
    return name


def read_metadata(record: bytes, what: str) -> dict[str, Any]:
    """The metadata in an extension record; DataError where they are malformed."""
    cursor = Cursor(record, what)
    size = cursor.varint(LARGEST_METADATA)
    text = unpack_bytes(cursor.rest(), size, what)
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError
        source, streams = found.get("source", {}), found.get("streams", [])
        if not isinstance(source, dict) or not all(isinstance(stream["name"], str) for stream in streams):
            raise ValueError
        if not all(isinstance(stream["columns"], list) for stream in streams):
            raise ValueError
        if len(found.get("files", [])) > MOST_FILES:
            raise ValueError
        for entry in found.get("files", []):
            safe_name(entry["name"])
            if not (isinstance(entry["size"], int) and 0 <= entry["size"] <= LARGEST_FILE):
                raise ValueError
    except DataError as error:
        raise DataError(f"{what}: has an invalid name of a side file: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{what}: its metadata are malformed; the samples can still be read") from None
    return found

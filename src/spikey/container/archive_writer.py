"""Writes an archive of recordings: its beginning, their entries and files, its directory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from spikey.base.errors import UsageError
from spikey.container.block_writer import Writable
from spikey.container.embedding import packed_model
from spikey.container.entries import ENDING, FRONT, MODEL, MOST_MEMBERS, Entry, bond_of, write_directory
from spikey.model.trained import Model


class ArchiveWriter:
    """Writes an archive: its beginning, recordings, and, on leaving without an error, the directory."""

    def __init__(self, out: Writable):
        self._out = out
        self.entries: list[Entry] = []
        self.written = 0
        self._ends: list[bytes] = []

    def __enter__(self) -> Self:
        self._write(FRONT)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write(write_directory(self.entries, self.written))

    def add(self, entry: Entry, pieces: Iterable[bytes]) -> Entry:
        """Append a recording, whose `.spky` file comes in pieces; number, bond and offset are filled in."""
        if len(self.entries) >= MOST_MEMBERS:
            raise UsageError(f"an archive has room for {MOST_MEMBERS:,} recordings; make several")
        ends = [self._ends[number] for number, *_ in entry.companions]
        entry = replace(entry, number=len(self.entries), bond=bond_of(ends) if ends else 0)
        head = entry.write()
        self._write(head)
        entry = replace(entry, offset=self.written)
        end = b""
        for piece in pieces:
            self._write(piece)
            end = (end + piece)[-ENDING:]
        self.entries.append(entry)
        self._ends.append(end)
        return entry

    def add_model(self, model: Model) -> None:
        """Append a model that recordings name, once for all of them."""
        content = packed_model(model)
        self.add(Entry(0, model.id.hex(), len(content), MODEL), [content])

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)

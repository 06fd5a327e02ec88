"""Writes the header, the blocks and the index of a `.spky` file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from spikey.coding.packed_bytes import pack_bytes
from spikey.container.layout import Block, Header, checked_block, index_copy, write_index
from spikey.container.records import MODEL


class Writable(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int: ...


class BlockWriter:
    """Writes header, blocks and, on leaving without an error, the index."""

    def __init__(self, out: Writable, header: Header):
        self._out = out
        self._head = header.write()
        # The copy at the end names an embedded model: it is too large to be there twice.
        self._copy = index_copy(self._head, header.record(MODEL))
        self._blocks: list[Block] = []
        self.written = 0

    def __enter__(self) -> BlockWriter:
        self._write(self._head + struct.pack("<I", zlib.crc32(self._head)))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write(write_index(self._copy, self._blocks, self.written))

    def write(self, kind: int, extent: tuple[int, int, int, int], payload: bytes, content: bytes) -> None:
        """One block; `extent`: first frame, frames, first channel, channels."""
        self.add(checked_block(kind, extent, payload, content), payload)

    def add(self, block: Block, payload: bytes) -> None:
        """One block that has its checksum already."""
        self.add_all([(block, payload)])

    def add_all(self, blocks: Iterable[tuple[Block, bytes]]) -> None:
        """Blocks that have their checksums, written at once: where that fails, none of them is listed."""
        placed, pieces, at = [], [], self.written
        for block, payload in blocks:
            head = block.write()
            placed.append(replace(block, offset=at + len(head)))
            pieces += [head, payload]
            at += len(head) + len(payload)
        self._write(b"".join(pieces))
        self._blocks += placed

    def write_bytes(self, kind: int, chunks: Iterator[bytes], itemsize: int = 1) -> None:
        """Blocks of plain bytes."""
        first = 0
        for chunk in chunks:
            self.write(kind, (first, len(chunk), 0, 0), pack_bytes(chunk, itemsize), chunk)
            first += len(chunk)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)

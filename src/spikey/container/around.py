"""The bytes of a file that are not samples: those around them, all bytes of a plain file, side files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.coding.packed_bytes import PIECE
from spikey.container.layout import BLOCK_BYTES, BLOCK_HEAD, BLOCK_TAIL, BYTES, CANONICAL, WRAPPED
from spikey.container.records import HEAD, TAIL
from spikey.container.structure import unpack_record
from spikey.recording.wav import canonical_head

if TYPE_CHECKING:
    from spikey.container.reader import Reader


def bytes_around(reader: Reader, kind: int, first: int = 0) -> Iterator[bytes]:
    """The bytes of one kind of block, in order; see `Reader.around`."""
    header = reader.header
    if before := bytes_in_header(reader, kind):
        yield before
    done = first
    for block in reader.structure.blocks:
        if block.kind == kind and block.extent[1] > first:
            yield from _missing(reader, done, block.first_frame)
            try:
                content = reader.decoder.content(block)
            except DamagedError as error:
                reader.lose(error)
                content = bytes(block.frames)
            assert isinstance(content, bytes)
            yield content[max(first - block.first_frame, 0) :]
            done = block.extent[1]
    if kind == BLOCK_BYTES and header.wrapper == BYTES:
        yield from _missing(reader, done, reader.frames)


def bytes_in_header(reader: Reader, kind: int) -> bytes:
    """Those of one kind that lie in the header or follow from it, which come before those in blocks."""
    header = reader.header
    if kind == BLOCK_HEAD and header.wrapper == CANONICAL:
        try:
            return canonical_head(reader.layout, reader.frames)
        except UsageError as error:
            raise DataError(f"{reader.name}: is marked as a plain WAV file, but {error}") from None
    record = unpack_record(header, {BLOCK_HEAD: HEAD, BLOCK_TAIL: TAIL}.get(kind, 0), reader.name)
    return record if record is not None and header.wrapper == WRAPPED else b""


def _missing(reader: Reader, first: int, end: int) -> Iterator[bytes]:
    """Zeros for bytes whose block is gone; only salvaging gets here with any."""
    if first < end:
        reader.lost.append((first, end, 0, 0))
    for at in range(first, end, PIECE):
        yield bytes(min(PIECE, end - at))

"""Parses the structure of a `.spky` file: header, index and blocks' places. Nothing is decoded.

Damage is an error or, when salvaging, replaced from intact parts: the index contains a copy of the header,
and blocks are found by their marks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.codec.method import LARGEST
from spikey.coding.packed_bytes import PIECE, unpack_bytes
from spikey.container.input import Input
from spikey.container.layout import (
    BLOCK_BYTES,
    BLOCK_FILES,
    BLOCK_HEAD,
    BLOCK_SAMPLES,
    BLOCK_TAIL,
    BYTES,
    FOOTER,
    FOOTER_MAGIC,
    HEADER_BYTES,
    LARGEST_RECORD,
    SAMPLES,
    Block,
    Header,
    index_copy,
    read_header,
    read_index,
)
from spikey.container.records import MODEL
from spikey.container.salvage import Extent, find_blocks, in_order, uncovered
from spikey.recording.layout import Layout


@dataclass
class Structure:
    """A file's header and blocks.

    front: the header as bytes. after_header: where in the file what follows it begins. blocks: in the file's order; of
    a file in one piece the only one. lost: extents that no block covers, found by salvaging only. complete: whether
    there is an index; one without is still written, or its program ended too early.
    """

    header: Header
    front: bytes
    after_header: int
    blocks: list[Block] = field(default_factory=list)
    lost: list[Extent] = field(default_factory=list)
    complete: bool = True

    @property
    def layout(self) -> Layout:
        """What the samples are like."""
        return self.header.layout

    @property
    def frames(self) -> int:
        """Frames, or bytes where the file contains plain bytes."""
        return self.header.frames


def read_structure(file: Input, salvage: bool = False) -> Structure:
    """Parse a file's structure and check that its blocks fit together.

    Parameters
    ----------
    file : Input
        The file.
    salvage : bool
        Whether a damaged header or index is made up for, and parts that no block covers are listed in `lost`.

    Returns
    -------
    Structure

    Raises
    ------
    DataError
        Where the structure is damaged, or so far that it cannot be made up for.
    """
    if file.size == 0:
        raise DataError(f"{file.name}: is empty")
    file.fetch_ends()
    try:
        structure = _whole(file, salvage)
    except DataError:
        if not salvage:
            raise
        structure = _rescued(file)
    header = structure.header
    if not header.single and not header.frames:
        ends = [block.extent[1] for block in structure.blocks if block.kind in (BLOCK_SAMPLES, BLOCK_BYTES)]
        header.frames = max(ends, default=0)
    if salvage and not header.single:
        structure.blocks = [block for block in structure.blocks if _possible(block, header)]
        if header.wrapper != BYTES:
            structure.lost = list(uncovered(structure.blocks, header.frames, header.layout.channels))
    else:
        _check_coverage(structure, file)
    return structure


def unpack_record(header: Header, kind: int, what: str) -> bytes | None:
    """The bytes packed into an extension record, or None where there is none of the kind."""
    record = header.record(kind)
    if record is None:
        return None
    cursor = Cursor(record, what)
    size = cursor.varint(LARGEST_RECORD)
    return unpack_bytes(cursor.rest(), size, what)


class _Front(NamedTuple):
    """The beginning of a file: its header, also as bytes, and where it ends with its checksum."""

    header: Header
    data: bytes
    end: int


def _read_front(file: Input, read: Callable[[int, int], bytes]) -> _Front:
    longest = min(file.size, HEADER_BYTES)
    first = min(longest, file.glance)  # the few long headers are read again
    try:
        cursor = Cursor(read(0, first), file.name)
        header = read_header(cursor)
    except DataError:
        if first == longest:
            raise
        cursor = Cursor(read(0, longest), file.name)
        header = read_header(cursor)
    data = cursor.data[: cursor.at].tobytes()
    if not header.single and cursor.take(4) != struct.pack("<I", zlib.crc32(data)):
        raise DataError(f"{file.name}: its header is damaged", code="damaged-index")
    return _Front(header, data, cursor.at)


def _whole(file: Input, salvage: bool) -> Structure:
    """The structure of an undamaged file. salvage: whether a stretch of frames that the file ends within counts."""
    header, front, end = _read_front(file, file.read_at)
    if header.single:
        return Structure(header, front, end, [_only_block(file, header, end)])
    try:
        copy, blocks = _read_index(file)
    except DataError:
        if not grows(header):
            raise
        blocks = grown_blocks(file, end)
        return Structure(header, front, end, blocks if salvage else whole_stretches(blocks, header), complete=False)
    if copy != index_copy(front, header.record(MODEL)):
        raise DataError(
            f"{file.name}: its beginning and its index are of two files; "
            "decompressing with --salvage recovers what is intact of the first",
            code="damaged-index",
        )
    return Structure(header, front, end, blocks)


def grows(header: Header) -> bool:
    """Whether a file was written while its recording went on, so that it may be read without an index."""
    return not header.single and header.wrapper == SAMPLES and not header.frames


def grown_blocks(file: Input, after_header: int) -> list[Block]:
    """The blocks that are all there in a file without an index; one that it ends within is not.

    Those that follow each other from the header on are the file's, in whatever order their frames are: of a stream, one
    group may have lost other frames than the next. What comes after damage may be of another file that was appended.
    """
    own: list[Block] = []
    rest: list[Block] = []
    end, last = after_header, 0
    for block in find_blocks(file.read_at, file.size, file.name, after_header):
        if block.offset + block.size > file.size:
            continue
        if not rest and block.offset - len(block.write()) == end:
            own.append(block)
            end, last = block.offset + block.size, max(last, block.extent[1])
        else:
            rest.append(block)
    return own + in_order(block for block in rest if block.first_frame >= last)


def whole_stretches(blocks: list[Block], header: Header) -> list[Block]:
    """Blocks without those of a last stretch of frames of which not all channels are there."""
    begin = len(blocks)
    while begin and blocks[begin - 1].first_frame == blocks[-1].first_frame:
        begin -= 1
    channels = sum(block.channels for block in blocks[begin:])
    return blocks if channels >= header.layout.channels else blocks[:begin]


def _only_block(file: Input, header: Header, after_header: int) -> Block:
    """The block of a file in one piece."""
    size = file.size - after_header - 4
    if size < 0:
        raise DataError(f"{file.name}: ends in the middle of its header", code="truncated")
    check = struct.unpack("<I", file.read_at(file.size - 4, 4))[0]
    plain = header.wrapper == BYTES
    kind, channels = (BLOCK_BYTES, 0) if plain else (BLOCK_SAMPLES, header.layout.channels)
    return Block(kind, 0, header.frames, 0, channels, size, check, after_header)


def _read_index(file: Input) -> tuple[bytes, list[Block]]:
    """The copy of the header, and the blocks, in the index."""
    footer = file.read_at(max(file.size - FOOTER.size, 0), min(FOOTER.size, file.size))
    if len(footer) < FOOTER.size or not footer.endswith(FOOTER_MAGIC):
        raise DataError(
            f"{file.name}: has no index at its end: it is truncated, or something follows it; "
            "decompressing with --salvage recovers what is intact",
            code="truncated",
        )
    offset, check, _ = FOOTER.unpack(footer)
    if offset > file.size - FOOTER.size:
        raise DataError(
            f"{file.name}: its index is damaged; decompressing with --salvage recovers what is intact",
            code="damaged-index",
        )
    return read_index(file.read_at(offset, file.size - FOOTER.size - offset), check, file.name)


def _rescued(file: Input) -> Structure:
    """The structure, from whichever of header, index and blocks are whole and can be read."""
    foreign: set[Block] = set()
    try:
        copy, blocks = _read_index(file)
    except DataError:
        copy, blocks = b"", []
    try:
        header, front, end = _read_front(file, file.read_around)
    except DataError:
        if not copy:
            raise
        header, front, end = read_header(Cursor(copy, file.name)), copy, 0
    else:
        if copy != front:
            blocks, foreign = [], set(blocks)
    if header.single:
        raise DataError(
            f"{file.name}: is damaged, and a file in one piece, as short as this, cannot be salvaged", code="damaged"
        )
    if not blocks:
        found = find_blocks(file.read_around, file.size, file.name)
        own = (block for block in found if block not in foreign)
        blocks = in_order(block for block in own if not header.frames or _possible(block, header))
    return Structure(header, front, end, blocks, complete=bool(copy))


def _check_coverage(structure: Structure, file: Input) -> None:
    """Every sample and byte must lie in exactly one block, so that sizes that lie cannot make anyone allocate."""
    header = structure.header
    wanted = BLOCK_BYTES if header.wrapper == BYTES else BLOCK_SAMPLES
    frame = end = channel = 0
    around = {BLOCK_HEAD: 0, BLOCK_TAIL: 0, BLOCK_FILES: 0}
    for block in structure.blocks:
        if block.offset + block.size > file.size:
            raise DataError(
                f"{file.name}: ends {block.offset + block.size - file.size} bytes too early", code="truncated"
            )
        if block.kind in around:
            if block.first_frame != around[block.kind] or not _possible(block, header):
                raise DataError(f"{file.name}: its blocks do not fit together at byte {block.first_frame}")
            around[block.kind] = block.extent[1]
        if block.kind != wanted:
            continue
        if channel == 0:
            end = block.extent[1]
        if block.extent[:3] != (frame, end, channel) or not _possible(block, header):
            raise DataError(
                f"{file.name}: its blocks do not fit together at frame {frame}, channel {channel}: samples are "
                "missing, as in a stream that lost packets; spikey decompress --salvage restores the others",
                code="damaged-index",
            )
        channel = 0 if wanted == BLOCK_BYTES else block.extent[3] % header.layout.channels
        frame = frame if channel else end
    if frame != header.frames or channel:
        raise DataError(f"{file.name}: its blocks hold {frame} of {header.frames} frames")


def _possible(block: Block, header: Header) -> bool:
    """Whether a block of a known kind has a place and a size that it can have."""
    if block.kind != BLOCK_SAMPLES:
        return block.kind <= BLOCK_FILES and block.frames <= PIECE and block.channels == 0
    inside = block.extent[1] <= header.frames and block.extent[3] <= header.layout.channels
    return inside and block.channels > 0 and block.frames * block.channels <= LARGEST

"""The structures of a `.spky` file as bytes: file header, extension records, block header, index, footer.

A file is one of two forms. Single: header, one payload, CRC-32. Blocked: header, CRC-32, blocks with a header and two
CRC-32 each, index, footer. See `docs/format.md`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

from spikey.base.checksum import crc32
from spikey.base.errors import DataError, UsageError
from spikey.base.wire import Cursor, varint
from spikey.codec.method import COPIED, PACKED, STORED
from spikey.container.records import MODEL, RECORDS
from spikey.recording.layout import DTYPES, Layout

MAGIC = b"SPKY"
VERSION = 1
SINGLE, WITH_RECORDS, LOSSY, NAMED = 1, 2, 4, 8  # flags of the header
WRAPPERS = ("samples", "canonical wav", "wrapped samples", "bytes")
SAMPLES, CANONICAL, WRAPPED, BYTES = range(4)
LARGEST_RECORD = 1 << 20
HEADER_BYTES = 1 << 22  # a header with all its records
MOST_CHANNELS = 1 << 24
STORED_BYTE = bytes([STORED])  # the first byte of a payload that holds the samples as the file has them
PACKED_BYTE = bytes([PACKED])  # the same samples packed as plain bytes are
COPIED_BYTE = bytes([COPIED])  # all of a payload whose samples are those of the recording's original
SYNC = b"\xb5SB\n"
INDEX_SYNC = b"\xb5SI\n"
FOOTER = struct.Struct("<QI4s")  # offset of the index, CRC-32 of it, magic
FOOTER_MAGIC = b"YKPS"
BLOCK_SAMPLES, BLOCK_HEAD, BLOCK_TAIL, BLOCK_BYTES, BLOCK_FILES = range(5)  # what a block holds
MAX_BLOCK_HEADER = 4 + 1 + 255 + 4


def is_lossy(kind: int) -> bool:
    """Whether an extension record marks a file that does not restore the original's samples."""
    record = RECORDS.numbered(kind)
    return record is not None and record.lossy


@dataclass
class Header:
    """The file's header. `frames` counts bytes where `wrapper` is BYTES; `calibration` is the id of one or empty."""

    layout: Layout
    frames: int
    wrapper: int
    single: bool
    calibration: bytes = b""
    records: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self) -> bytes:
        """The header without its CRC-32."""
        lossy = any(is_lossy(kind) for kind, _ in self.records)
        flags = (
            SINGLE * self.single | WITH_RECORDS * bool(self.records) | LOSSY * lossy | NAMED * bool(self.calibration)
        )
        rate = self.layout.rate
        whole = float(rate).is_integer() and rate < 1 << 32
        out = MAGIC + bytes([VERSION, flags, list(DTYPES).index(self.layout.dtype) | self.wrapper << 4])
        out += varint(self.layout.channels)
        out += varint(int(rate) << 1) if whole else varint(1) + struct.pack("<d", rate)
        out += varint(self.frames) + self.calibration
        if self.records:
            out += varint(len(self.records))
            for kind, content in self.records:
                record = RECORDS.numbered(kind)
                critical = record is not None and record.critical
                out += varint(kind << 1 | critical) + varint(len(content)) + content
        if len(out) > HEADER_BYTES or self.layout.channels > MOST_CHANNELS:
            raise UsageError(
                f"a header of {len(out):,} bytes for {self.layout.channels:,} channels is too large; at most "
                f"{HEADER_BYTES:,} bytes and {MOST_CHANNELS:,} channels are possible"
            )
        return out

    def record(self, kind: int) -> bytes | None:
        """The content of the first record of a type, or None."""
        return next((content for k, content in self.records if k == kind), None)


def index_copy(front: bytes, model: bytes | None) -> bytes:
    """A header's bytes as the index has them: of an embedded model the record has the name only."""
    if model is None or len(model) <= 4:
        return front
    kind = varint(MODEL << 1 | 1)
    return front.replace(kind + varint(len(model)) + model, kind + varint(4) + model[:4], 1)


def read_header(cursor: Cursor) -> Header:
    """Read a header; DataError for anything else, a newer version, or what this version may not ignore."""
    name = cursor.what
    magic = cursor.data[:4].tobytes()
    if magic == b"SPKA":
        raise DataError(
            f"{name}: is an archive of recordings: decompress it alone, or open it with spikey.open_archive",
            code="archive",
        )
    if magic == b"SPKT":
        raise DataError(f"{name}: is lossy telemetry, not a recording: use spikey telemetry decode", code="lossy-file")
    if magic != MAGIC:
        raise DataError(f"{name}: is not a Spikey file (it begins with {magic!r})", code="not-spikey")
    cursor.take(4)
    version = cursor.byte()
    if version != VERSION:
        raise DataError(
            f"{name}: has format version {version}; this program reads version {VERSION}; update Spikey",
            code="newer-version",
        )
    flags = cursor.byte()
    if flags >> 4:
        raise DataError(
            f"{name}: uses features (flags {flags:#04x}) that this version does not support; update Spikey",
            code="newer-version",
        )
    kinds = cursor.byte()
    dtype, wrapper = kinds & 15, kinds >> 4
    if dtype >= len(DTYPES) or wrapper >= len(WRAPPERS):
        raise DataError(
            f"{name}: has a sample type that this version does not support; update Spikey", code="newer-version"
        )
    channels = cursor.varint(MOST_CHANNELS)
    rate = float(cursor.varint(1 << 33))
    if rate == 1:
        rate = struct.unpack("<d", cursor.take(8))[0]
    elif rate % 2:
        raise DataError(f"{name}: has an impossible sampling rate")
    else:
        rate /= 2
    if channels < 1 or not 0 <= rate < float("inf"):
        raise DataError(f"{name}: has {channels} channels at {rate} Hz, which is impossible")
    frames = cursor.varint()
    calibration = cursor.take(4) if flags & NAMED else b""
    records = _read_records(cursor) if flags & WITH_RECORDS else []
    _check_lossy(bool(flags & LOSSY), wrapper, [kind for kind, _ in records], name)
    layout = Layout(channels, rate, list(DTYPES)[dtype])
    return Header(layout, frames, wrapper, bool(flags & SINGLE), calibration, records)


def _check_lossy(flagged: bool, wrapper: int, kinds: list[int], name: str) -> None:
    """The flag and one record belong together, so that no program that looks at either takes one for the other."""
    found = [kind for kind in kinds if is_lossy(kind)]
    if flagged and not found:
        raise DataError(
            f"{name}: is lossy in a way that this version does not support; update Spikey", code="newer-version"
        )
    if len(found) > 1 or (found and (not flagged or wrapper == BYTES)):
        raise DataError(f"{name}: has contradictory lossy records")


def _read_records(cursor: Cursor) -> list[tuple[int, bytes]]:
    records = []
    for _ in range(cursor.varint(1 << 16)):
        kind = cursor.varint()
        content = cursor.take(cursor.varint(LARGEST_RECORD))
        if RECORDS.numbered(kind >> 1) is not None:
            records.append((kind >> 1, content))
        elif kind & 1:
            raise DataError(
                f"{cursor.what}: needs a feature (record {kind >> 1}) that this version does not support",
                code="newer-version",
            )
    return records


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header: what it holds and where it belongs. Head, tail and byte blocks count bytes as frames."""

    kind: int
    first_frame: int
    frames: int
    first_channel: int
    channels: int
    size: int  # of the payload in bytes
    check: int  # CRC-32 over the fields before it, the payload and the content
    offset: int = 0  # of the payload in the file

    def fields(self) -> bytes:
        """The header's fields that come before the checksums."""
        numbers = (self.kind, self.first_frame, self.frames, self.first_channel, self.channels, self.size)
        return b"".join(map(varint, numbers))

    def write(self) -> bytes:
        """Sync, length, fields, check, CRC-32 of the header itself."""
        body = self.fields() + struct.pack("<I", self.check)
        return SYNC + bytes([len(body)]) + body + struct.pack("<I", zlib.crc32(body))

    def check_of(self, payload: bytes | memoryview, content: bytes | memoryview) -> int:
        """The CRC-32 that ties header, payload and content together."""
        return crc32(content, crc32(payload, zlib.crc32(self.fields())))

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """First frame, end frame, first channel, end channel."""
        first, channel = self.first_frame, self.first_channel
        return first, first + self.frames, channel, channel + self.channels


def checked_block(kind: int, extent: tuple[int, int, int, int], payload: bytes, content: bytes | memoryview) -> Block:
    """The header of a block; `extent`: first frame, frames, first channel, channels; content: what it decodes to."""
    block = Block(kind, *extent, size=len(payload), check=0)
    return replace(block, check=block.check_of(payload, content))


def read_block(data: bytes | memoryview, offset: int, what: str) -> Block:
    """Read the block header that `data` begins with; `offset` is where that is in the file."""
    cursor = Cursor(data, what)
    if cursor.take(4) != SYNC:
        raise DataError(f"{what}: has no block at byte {offset}, where one should be")
    body = cursor.take(cursor.byte())
    if struct.unpack("<I", cursor.take(4))[0] != zlib.crc32(body):
        raise DataError(f"{what}: the block header at byte {offset} is damaged")
    inner = Cursor(body, what)
    numbers = [inner.varint() for _ in range(6)]
    check = struct.unpack("<I", inner.take(4))[0]
    if inner.at != len(body):
        raise DataError(f"{what}: the block header at byte {offset} is of a form that this version does not support")
    kind, first_frame, frames, first_channel, channels, size = numbers
    return Block(kind, first_frame, frames, first_channel, channels, size, check, offset + cursor.at)


def write_index(header: bytes, blocks: list[Block], offset: int) -> bytes:
    """The index, which begins at `offset`, and the footer: a copy of the header, and all blocks."""
    body = bytearray(INDEX_SYNC + varint(len(header)) + header + varint(len(blocks)))
    for block in blocks:
        body += block.fields() + struct.pack("<I", block.check) + varint(block.offset)
    return bytes(body) + FOOTER.pack(offset, zlib.crc32(body), FOOTER_MAGIC)


def read_index(body: bytes, check: int, what: str) -> tuple[bytes, list[Block]]:
    """The header's copy and the blocks that an index lists."""
    if zlib.crc32(body) != check or not body.startswith(INDEX_SYNC):
        raise DataError(f"{what}: its index is damaged", code="damaged-index")
    cursor = Cursor(body, what)
    cursor.take(len(INDEX_SYNC))
    header = cursor.take(cursor.varint(len(body)))
    blocks = []
    for _ in range(cursor.varint(len(body))):
        kind, first_frame, frames, first_channel, channels, size = (cursor.varint() for _ in range(6))
        check, offset = struct.unpack("<I", cursor.take(4))[0], cursor.varint()
        blocks.append(Block(kind, first_frame, frames, first_channel, channels, size, check, offset))
    if cursor.rest():
        raise DataError(f"{what}: its index holds more than its blocks")
    return header, blocks

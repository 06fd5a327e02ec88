"""The structures of an archive as bytes: the entry of each recording, the directory, the footer.

An archive is a magic number, then for each recording an entry and a whole `.spky` file, then the directory, which
contains their lengths, and a footer. See `docs/format.md`, section 28.
"""

from __future__ import annotations

import re
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint, zigzag
from spikey.coding.packed_bytes import PIECE, pack_bytes, unpack_bytes
from spikey.container.extra import safe_name

MAGIC = b"SPKA"
VERSION = 1
FRONT = MAGIC + bytes([VERSION, 0])
ENTRY_SYNC = b"\xb5SE\n"
DIRECTORY_SYNC = b"\xb5SD\n"
FOOTER = struct.Struct("<QI4s")  # offset of the directory, CRC-32 of it, magic
FOOTER_MAGIC = b"AKPS"
ALONE, TOGETHER, COPY, MODEL = range(4)  # how a member is coded; or it is not a recording but a model that members need
KINDS = ("alone", "together", "copy", "model")
MOST_MEMBERS = 1 << 20
MOST_CHANNELS = 4  # companions of a member
LONGEST_NAME = 4000  # bytes
LONGEST_ENTRY = 5000  # bytes of fields
LARGEST_DIRECTORY = 1 << 26  # bytes, unpacked
ENDING = 16  # bytes at the end of a member that distinguish it from others
UUID_NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.wav")
FINE = 1000  # steps of a correlation


class Reference(NamedTuple):
    """A channel of another member, by the member's number, and its correlation, from -1 to 1, for people only."""

    number: int
    channel: int
    correlation: float


@dataclass(frozen=True)
class Entry:
    """What an archive contains about a member.

    number: 0 for the first. name: a path with slashes; of a model its id in hexadecimal digits. size: bytes of its
    `.spky` file. kind: ALONE, TOGETHER (with companions), COPY (of its only companion's samples) or MODEL. bond:
    `bond_of` the companions. offset: of its file in the archive. damaged: whether its entry is damaged; only the place
    of its file is known then, and its name is invented.
    """

    number: int
    name: str
    size: int
    kind: int = ALONE
    companions: tuple[Reference, ...] = ()
    bond: int = 0
    offset: int = 0
    damaged: bool = False

    def fields(self) -> bytes:
        """The entry's fields."""
        out = bytes([self.kind]) + varint(self.number) + _pack_name(self.name) + varint(self.size)
        if self.kind in (TOGETHER, COPY):
            out += varint(len(self.companions))
            for number, channel, correlation in self.companions:
                out += varint(self.number - number) + varint(channel) + varint(zigzag(round(correlation * FINE)))
            out += struct.pack("<I", self.bond)
        return out

    def write(self) -> bytes:
        """Sync, length, fields, CRC-32 of them."""
        body = self.fields()
        return ENTRY_SYNC + varint(len(body)) + body + struct.pack("<I", zlib.crc32(body))


def bond_of(ends: list[bytes]) -> int:
    """The CRC-32 that ties a member to its companions, from the last 16 bytes of their files.

    These hold a checksum that covers, by way of others, all samples.
    """
    return zlib.crc32(b"".join(ends))


def _pack_name(name: str) -> bytes:
    """A name's length and bytes; of a WAV file called by a UUID a zero and the 16 bytes of that."""
    if UUID_NAME.fullmatch(name):
        return b"\0" + bytes.fromhex(name.removesuffix(".wav").replace("-", ""))
    return varint(len(name.encode())) + name.encode()


def _read_name(cursor: Cursor) -> str:
    """What `_pack_name` packed."""
    length = cursor.varint(LONGEST_NAME)
    if length:
        return cursor.take(length).decode()
    digits = cursor.take(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) + ".wav"


def _read_fields(body: bytes, what: str) -> Entry:
    cursor = Cursor(body, what)
    kind, number = cursor.byte(), cursor.varint(MOST_MEMBERS)
    try:
        name = safe_name(_read_name(cursor))
    except UnicodeDecodeError:
        raise DataError(f"{what}: has a member whose name is not text") from None
    size = cursor.varint()
    if kind >= len(KINDS):
        raise DataError(f"{what}: stores {name} in a form that this version does not support")
    if kind in (ALONE, MODEL):
        entry = Entry(number, name, size, kind)
    else:
        count = cursor.varint(MOST_CHANNELS)
        if count < 1 or (kind == COPY and count > 1):
            raise DataError(f"{what}: has {count} companions of {name}, which is impossible")
        companions = []
        for _ in range(count):
            back, channel, correlation = cursor.varint(), cursor.varint(1 << 24), cursor.signed()
            if not 1 <= back <= number:
                raise DataError(f"{what}: has {name} depend on a member that is not before it")
            companions.append(Reference(number - back, channel, min(max(correlation / FINE, -1.0), 1.0)))
        bond = struct.unpack("<I", cursor.take(4))[0]
        entry = Entry(number, name, size, kind, tuple(companions), bond)
    if cursor.rest():
        raise DataError(f"{what}: contains more on {name} than this version supports; update Spikey")
    return entry


def read_entry(data: bytes, offset: int, what: str) -> Entry:
    """The entry that `data` begins with; `offset` is where that is in the archive."""
    body, length = _whole_fields(data, offset, what)
    return replace(_read_fields(body, what), offset=offset + length)


def _whole_fields(data: bytes, offset: int, what: str) -> tuple[bytes, int]:
    """The fields of an entry that is as it was written, and how long the entry is."""
    cursor = Cursor(data, what)
    if cursor.take(4) != ENTRY_SYNC:
        raise DataError(f"{what}: has no member at byte {offset}, where one should be")
    body = cursor.take(cursor.varint(LONGEST_ENTRY))
    if struct.unpack("<I", cursor.take(4))[0] != zlib.crc32(body):
        raise DataError(f"{what}: its entry of a member at byte {offset} is damaged")
    return body, cursor.at


def write_directory(entries: list[Entry], offset: int) -> bytes:
    """The directory, which begins at `offset`, and the footer: for each member the sizes of its entry and its file."""
    sizes = b"".join(varint(len(entry.write())) + varint(entry.size) for entry in entries)
    body = DIRECTORY_SYNC + varint(len(entries)) + varint(len(sizes)) + pack_bytes(sizes)
    return body + FOOTER.pack(offset, zlib.crc32(body), FOOTER_MAGIC)


def read_directory(read_at: Callable[[int, int], bytes], size: int, what: str) -> list[Entry]:
    """The entries of an archive of `size` bytes, at the places that its directory gives.

    Where an entry is damaged, another with an invented name stands for it, whose member cannot be read. Raises
    DataError where the directory is not whole or does not fit the archive.
    """
    if size < len(FRONT) + FOOTER.size or not (footer := read_at(size - FOOTER.size, FOOTER.size)).endswith(
        FOOTER_MAGIC
    ):
        raise DataError(
            f"{what}: has no directory at its end: it is truncated, or something follows it; "
            "decompressing with --salvage recovers what is intact",
            code="truncated",
        )
    offset, check, _ = FOOTER.unpack(footer)
    damaged = DataError(
        f"{what}: its directory is damaged; decompressing with --salvage recovers what is intact", code="damaged-index"
    )
    if not len(FRONT) <= offset <= size - FOOTER.size:
        raise damaged
    body = read_at(offset, size - FOOTER.size - offset)
    if zlib.crc32(body) != check or not body.startswith(DIRECTORY_SYNC):
        raise damaged
    cursor = Cursor(body, what)
    cursor.take(len(DIRECTORY_SYNC))
    count, unpacked = cursor.varint(MOST_MEMBERS), cursor.varint(LARGEST_DIRECTORY)
    inner = Cursor(unpack_bytes(cursor.rest(), unpacked, what), what)
    entries = []
    at = len(FRONT)
    for number in range(count):
        head, length = inner.varint(LONGEST_ENTRY + 20), inner.varint()
        if head + length > offset - at:
            raise DataError(f"{what}: its members do not fit together at number {number}")
        entries.append(_entry_at(read_at, at, head, length, number, what))
        at += head + length
    if inner.rest() or at != offset:
        raise DataError(f"{what}: its directory does not fit its members")
    _check_names(entries, what)
    return entries


def _entry_at(read_at: Callable[[int, int], bytes], at: int, head: int, size: int, number: int, what: str) -> Entry:
    """The entry of `head` bytes at `at`, of a file of `size` bytes; where it is damaged, one with an invented name."""
    try:
        body, length = _whole_fields(read_at(at, head), at, what)
    except DataError:
        return Entry(number, f"recording-{number}", size, offset=at + head, damaged=True)
    entry = replace(_read_fields(body, what), offset=at + head)
    if (length, entry.size, entry.number) != (head, size, number):
        raise DataError(f"{what}: its members do not fit together at {entry.name}")
    return entry


def find_entries(read_at: Callable[[int, int], bytes], size: int, what: str) -> list[Entry]:
    """Members whose entries are whole, by their numbers, wherever they are in an archive of `size` bytes."""
    found: dict[int, Entry] = {}
    names: set[str] = set()
    starts: list[int] = []
    at = base = 0
    window = b""
    while at < size:
        if not base <= at <= base + len(window) - len(ENTRY_SYNC):
            base, window = at, read_at(at, min(PIECE, size - at))
        hit = window.find(ENTRY_SYNC, at - base)
        if hit < 0:
            at = max(base + len(window) - len(ENTRY_SYNC) + 1, at + 1)
            continue
        at = base + hit
        try:
            entry = read_entry(read_at(at, min(LONGEST_ENTRY + 20, size - at)), at, what)
        except DataError:
            at += 1
            continue
        starts.append(at)
        if entry.number not in found and (entry.kind == MODEL or entry.name not in names):
            found[entry.number] = entry
            names |= {entry.name} if entry.kind != MODEL else set()
        end = entry.offset + entry.size
        whole = end < size and read_at(end, min(len(ENTRY_SYNC), size - end)) in (ENTRY_SYNC, DIRECTORY_SYNC)
        at = end if whole or end >= size else entry.offset  # bytes may be missing between this one and the next
    starts.append(size)
    for number, entry in found.items():
        # Where another begins this one ends, or blocks of the other would be taken for its own.
        limit = starts[bisect_left(starts, entry.offset)]
        found[number] = replace(entry, size=max(min(entry.size, limit - entry.offset), 0))
    return [found[number] for number in sorted(found)]


def _check_names(entries: list[Entry], what: str) -> None:
    seen: set[str] = set()
    recordings = [entry for entry in entries if entry.kind != MODEL]
    for entry in recordings:
        if entry.name in seen:
            raise DataError(f"{what}: has two members named {entry.name}")
        seen.add(entry.name)
    for entry in recordings:
        if any(parent in seen for parent in _parents(entry.name)):
            raise DataError(f"{what}: has {entry.name} below a member, which is not a folder")


def _parents(name: str) -> Iterator[str]:
    parts = name.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))

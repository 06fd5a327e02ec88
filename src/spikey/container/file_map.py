"""How the files of a recording are made of its samples and of the other bytes: an extension record and back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spikey.base.errors import DataError, UsageError
from spikey.base.wire import Cursor, varint
from spikey.container.extra import MOST_FILES, safe_name
from spikey.recording.layout import Layout
from spikey.recording.sample_map import LARGEST_RECORD, Rest, Run, Runs, Samples, columns_of

MOST_RUNS = 1 << 20
MOST_PARTS = 1 << 16  # of a record
LONGEST = 4000  # bytes of a name


@dataclass(frozen=True)
class FileMap:
    """Files to be restored: their names (relative, with slashes), the runs of each, the order of a sample's bytes."""

    names: tuple[str, ...]
    runs: tuple[Runs, ...]
    big_endian: bool = False

    def write(self) -> bytes:
        """The content of the record."""
        if len(self.names) > MOST_FILES:
            raise UsageError(f"{len(self.names):,} files of one recording are too many; at most {MOST_FILES:,} can be")
        out = varint(int(self.big_endian)) + varint(len(self.names))
        before: Runs = ()
        for name, runs in zip(self.names, self.runs, strict=True):
            text = safe_name(name).encode()
            out += varint(len(text)) + text
            same = bool(before) and runs == following(before)
            out += varint(0) if same else varint(len(runs)) + b"".join(map(_run, runs))
            before = runs
        return out

    def rest(self) -> list[int]:
        """How many bytes that are not samples each file has."""
        return [sum(run.count * run.rest for run in runs) for runs in self.runs]


def following(runs: Runs) -> Runs:
    """The same runs with the columns after these."""
    low, high = columns_of(runs)

    def moved(run: Run) -> Run:
        parts = (part if isinstance(part, Rest) else replace(part, first=part.first + high - low) for part in run.parts)
        return replace(run, parts=tuple(parts))

    return tuple(map(moved, runs))


def _run(run: Run) -> bytes:
    out = varint(run.count) + varint(len(run.parts))
    for part in run.parts:
        if isinstance(part, Rest):
            out += varint(part.size << 1)
        else:
            out += varint(part.frames << 2 | part.planar << 1 | 1) + varint(part.first) + varint(part.channels)
    return out


def read_file_map(content: bytes, layout: Layout, frames: int, what: str) -> FileMap:
    """The files that a record describes; DataError for what `FileMap.write` cannot have written of such samples."""
    cursor = Cursor(content, what)
    big_endian = bool(cursor.varint(1))
    names: list[str] = []
    files: list[Runs] = []
    column = 0
    for _ in range(cursor.varint(MOST_FILES)):
        names.append(_name(cursor.take(cursor.varint(LONGEST)), what))
        count = cursor.varint(min(MOST_RUNS, len(content)))
        if not count and not files:
            raise _malformed(what)
        runs = tuple(_read_run(cursor, what) for _ in range(count)) if count else following(files[-1])
        column = _check(runs, column, layout, frames, what)
        files.append(runs)
    if cursor.rest() or column != layout.channels or len({name.casefold() for name in names}) < len(names):
        raise _malformed(what)
    return FileMap(tuple(names), tuple(files), big_endian)


def _name(text: bytes, what: str) -> str:
    try:
        return safe_name(text.decode())
    except (DataError, UnicodeDecodeError):
        raise DataError(f"{what}: has a file name that cannot be restored") from None


def _read_run(cursor: Cursor, what: str) -> Run:
    count = cursor.varint()
    parts: list[Rest | Samples] = []
    for _ in range(cursor.varint(MOST_PARTS)):
        number = cursor.varint()
        if number & 1:
            parts.append(Samples(number >> 2, cursor.varint(), cursor.varint(), bool(number & 2)))
        else:
            parts.append(Rest(number >> 1))
    if not count or not parts or not all(part.size if isinstance(part, Rest) else part.frames for part in parts):
        raise _malformed(what)
    return Run(count, tuple(parts))


def _check(runs: Runs, column: int, layout: Layout, frames: int, what: str) -> int:
    """Check that a file has all frames of the columns from `column` on; return the column after them."""
    ends = set()
    total = 0
    for run in runs:
        inside = sorted((p for p in run.parts if isinstance(p, Samples)), key=lambda part: part.first)
        end = column
        for part in inside:
            if part.first != end or part.frames != run.frames or not part.frames or not part.channels:
                raise _malformed(what)
            end += part.channels
        if run.record_bytes(layout.itemsize) > LARGEST_RECORD or end > layout.channels:
            raise _malformed(what)
        if inside:
            ends.add(end)
            total += run.count * run.frames
    if len(ends) != 1 or total != frames:
        raise _malformed(what)
    return ends.pop()


def _malformed(what: str) -> DataError:
    return DataError(f"{what}: describes its files in an impossible way")

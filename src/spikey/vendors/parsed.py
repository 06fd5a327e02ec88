"""What parsing finds: recordings, and why files are none; what all parsers check before they return a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from spikey.base.errors import DataError, UsageError
from spikey.recording.layout import Layout
from spikey.recording.sample_map import LARGEST_RECORD, Channel, Mapped, MappedFile, Runs, flat
from spikey.vendors.bounded import file_size
from spikey.vendors.mtscomp import Converted

EMPTY = "contains no samples"

Recording = Mapped | Converted


@dataclass(frozen=True)
class Parsed:
    """Recordings among the files of a unit, and why files that look like recordings cannot be parsed.

    failed: one sentence for each such file, without its path. Files in neither lie beside the recordings.
    """

    recordings: tuple[Recording, ...]
    failed: dict[Path, str]


def each(paths: Iterable[Path], parse: Callable[[Path], Recording]) -> Parsed:
    """Single files that are recordings, or why they are not."""
    found: list[Recording] = []
    failed: dict[Path, str] = {}
    for path in paths:
        with reasons(failed, path):
            if not file_size(path):
                raise DataError(EMPTY)
            found.append(parse(path))
    return Parsed(tuple(found), failed)


@contextmanager
def reasons(failed: dict[Path, str], path: Path) -> Iterator[None]:
    """Record why a file cannot be parsed instead of raising it, so that it hinders no other file."""
    try:
        yield
    except (DataError, UsageError) as error:
        failed[path] = str(error)
    except OSError as error:
        failed[path] = f"cannot be read ({error.strerror or error})"


def layout_of(channels: int, rate: float, dtype: str) -> Layout:
    """The layout that a file specifies; raises `DataError` where there is no such layout."""
    try:
        return Layout(channels, rate, dtype)
    except UsageError as error:
        raise DataError(str(error)) from None


def mapped(
    reader: str,
    layout: Layout,
    files: Sequence[MappedFile],
    *,
    big_endian: bool = False,
    notes: tuple[str, ...] = (),
    channels: Sequence[Channel] = (),
) -> Mapped:
    """A recording; raises `DataError` if it has no samples, or if one of its records is too large to handle."""
    listed = tuple(channels) if len(channels) == layout.channels else ()
    found = Mapped(reader, layout, tuple(files), big_endian, notes, listed)
    if not found.frames:
        raise DataError(EMPTY)
    for file in found.files:
        for run in file.runs:
            if run.frames and run.record_bytes(layout.itemsize) > LARGEST_RECORD:
                raise DataError(
                    f"has records of {run.record_bytes(layout.itemsize):,} bytes; "
                    f"those of more than {LARGEST_RECORD:,} are not supported"
                )
    return found


def flat_runs(size: int, layout: Layout, *, head: int = 0) -> tuple[Runs, tuple[str, ...]]:
    """The runs of a file of `size` bytes with interleaved samples after `head` bytes, and what to note."""
    frames, left = divmod(max(size - head, 0), layout.frame_bytes)
    if not frames:
        raise DataError(EMPTY)
    return flat(frames, layout.channels, head=head, tail=left), leftover(left, "after the last whole frame")


def leftover(count: int, where: str) -> tuple[str, ...]:
    """The note that some bytes at the end are no samples; none if there are none.

    >>> leftover(1, "after the last whole frame")
    ('1 byte after the last whole frame, which is stored as it is',)
    """
    if not count:
        return ()
    stored = "are stored as they are" if count > 1 else "is stored as it is"
    return (f"{count:,} byte{'s' * (count > 1)} {where}, which {stored}",)

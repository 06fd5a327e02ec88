"""Which bytes of a vendor's files are samples: runs of records of one form, with other bytes between the samples.

A file is a sequence of runs, a run a number of records of one form, a record a sequence of parts: samples, or other
bytes (headers, timestamps, markers). A recording whose channels lie in several files has runs for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spikey.recording.layout import Layout

LARGEST_RECORD = 1 << 26  # bytes of a record with samples, which is read and written as a whole
REST_AT_ONCE = 1 << 20  # bytes other than samples that are stored field by field
READ_AT_ONCE = 1 << 24  # bytes of the records they are taken from


@dataclass(frozen=True)
class Rest:
    """Bytes of a record that are not samples: one field, such as a header or a timestamp."""

    size: int


@dataclass(frozen=True)
class Samples:
    """Samples of a record.

    frames: how many. first, channels: which columns of the recording. planar: whether they lie channel after channel;
    otherwise frame after frame.
    """

    frames: int
    first: int
    channels: int
    planar: bool = False


Part = Rest | Samples


@dataclass(frozen=True)
class Run:
    """Records of one form. All samples of a record are of the same frames, which follow those of the record before."""

    count: int
    parts: tuple[Part, ...]

    @property
    def frames(self) -> int:
        """Of one record; 0 where it contains no samples."""
        return next((part.frames for part in self.parts if isinstance(part, Samples)), 0)

    @property
    def rest(self) -> int:
        """Bytes of one record that are not samples."""
        return sum(part.size for part in self.parts if isinstance(part, Rest))

    def record_bytes(self, itemsize: int) -> int:
        """Size of one record, of samples of `itemsize` bytes."""
        inside = sum(part.frames * part.channels for part in self.parts if isinstance(part, Samples))
        return self.rest + inside * itemsize

    def batches(self, itemsize: int) -> Iterator[int]:
        """How many records there are in each of the groups whose other bytes are stored field by field."""
        most = min(REST_AT_ONCE // max(self.rest, 1), READ_AT_ONCE // max(self.record_bytes(itemsize), 1))
        most = max(most, 1)
        for at in range(0, self.count, most):
            yield min(most, self.count - at)


Runs = tuple[Run, ...]


def columns_of(runs: Runs) -> tuple[int, int]:
    """The columns [low, high) of the recording whose samples a file contains."""
    parts = [part for run in runs for part in run.parts if isinstance(part, Samples)]
    return min(part.first for part in parts), max(part.first + part.channels for part in parts)


def flat(frames: int, channels: int, *, first: int = 0, head: int = 0, tail: int = 0) -> Runs:
    """The runs of a file with `head` bytes before and `tail` bytes after interleaved samples.

    >>> [(run.count, run.frames, run.rest) for run in flat(100, 4, head=44)]
    [(1, 0, 44), (100, 1, 0)]
    """
    return joined([rest(head), Run(frames, (Samples(1, first, channels),)), rest(tail)])


def flat_of(runs: Runs) -> tuple[int, int] | None:
    """Bytes before interleaved samples, and their frames, where a file is nothing but these and bytes after them.

    >>> flat_of(flat(100, 4, head=44, tail=2))
    (44, 100)
    """
    places = [number for number, run in enumerate(runs) if run.frames]
    if len(places) != 1 or len(runs[places[0]].parts) != 1:
        return None
    run, part = runs[places[0]], runs[places[0]].parts[0]
    if not isinstance(part, Samples) or (part.planar and part.channels > 1 and part.frames > 1):
        return None
    return sum(before.count * before.rest for before in runs[: places[0]]), run.count * run.frames


def rest(size: int) -> Run:
    """Bytes that are not samples, as one record."""
    return Run(int(size > 0), (Rest(size),))


def joined(runs: Iterable[Run]) -> Runs:
    """Runs without empty ones; neighbours of one form become one run, and long ones without samples are cut."""
    found: list[Run] = []
    for run in runs:
        if found and found[-1].parts == run.parts and run.frames:
            found[-1] = Run(found[-1].count + run.count, run.parts)
        elif not run.frames and run.count * run.rest > REST_AT_ONCE:
            whole, left = divmod(run.count * run.rest, REST_AT_ONCE)
            found += [Run(whole, (Rest(REST_AT_ONCE),)), *([rest(left)] if left else [])]
        elif run.count and run.parts:
            found.append(run)
    return tuple(found)


@dataclass(frozen=True)
class MappedFile:
    """A file, and which of its bytes are samples."""

    path: Path
    runs: Runs


@dataclass(frozen=True)
class Channel:
    """What a file specifies of a channel: its name, and how samples become microvolts, gain x sample + offset, or None
    where its unit is no voltage.
    """

    name: str
    gain: float | None = None
    offset: float = 0.0


@dataclass(frozen=True)
class Mapped:
    """A recording that lies in files so that they can be restored from its samples and the other bytes.

    reader: SpikeInterface's short name of the format. big_endian: the order of a sample's bytes in the files.
    notes: what a user should know, such as frames that are incomplete. channels: of each column, where that is known.
    """

    reader: str
    layout: Layout
    files: tuple[MappedFile, ...]
    big_endian: bool = False
    notes: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()

    @property
    def frames(self) -> int:
        """Frames of each file."""
        return sum(run.count * run.frames for run in self.files[0].runs)

"""EDF, EDF+, BDF and BDF+: a header of ASCII fields, then records in which each signal's samples follow each other.

Formats: https://www.edfplus.info/specs/. Columns are the signals of the most usual rate; other signals, and
annotations, are not. EDF has samples of 16 bits, BDF of 24.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from spikey.base.errors import DataError
from spikey.recording.sample_map import Channel, Mapped, MappedFile, Part, Rest, Run, Samples, joined, rest
from spikey.vendors.bounded import Bounded, integer
from spikey.vendors.parsed import EMPTY, layout_of, leftover, mapped
from spikey.vendors.units import number, ranged

READER = "edf"
FIXED = 256  # bytes of the header, and as many for each signal
UNIT, PHYSICAL, DIGITAL = 96, 104, 120  # bytes of a signal before its unit and ranges
LABEL, COUNT_AT = 16, 216  # bytes of a signal's label; bytes of a signal before its number of samples
ANNOTATIONS = ("EDF Annotations", "BDF Annotations")


def parse_edf(path: Path) -> Mapped:
    """The recording of a `.edf` or `.bdf`."""
    with Bounded(path) as file:
        mark = file.first(8)
        if mark not in (b"0       ", b"\xffBIOSEMI"):
            raise DataError("does not begin with the mark of an EDF or BDF file")
        dtype, itemsize = ("int16", 2) if mark[0] == ord("0") else ("int24", 3)
        signals = integer(_text(file.at(252, 4)), "the number of signals in its header")
        duration = _duration(_text(file.at(244, 8)))
        head = FIXED * (1 + signals)
        listed = file.at(FIXED, head - FIXED)
        size = file.size
    labels = [_text(listed[LABEL * s : LABEL * (s + 1)]) for s in range(signals)]
    first = COUNT_AT * signals
    counts = [
        integer(_text(listed[first + 8 * s : first + 8 * (s + 1)]), "a number of samples in its header", 0)
        for s in range(signals)
    ]
    usual = _usual(count for label, count in zip(labels, counts, strict=True) if label not in ANNOTATIONS)
    parts, columns = _record(labels, counts, usual, itemsize)
    records, left = divmod(size - head, Run(1, parts).record_bytes(itemsize))
    if not records:
        raise DataError(EMPTY)
    layout = layout_of(columns, usual / duration if duration else 0.0, dtype)
    chosen = [s for s in range(signals) if labels[s] not in ANNOTATIONS and counts[s] == usual]
    runs = joined([rest(head), Run(records, parts), rest(left)])
    return mapped(
        READER,
        layout,
        [MappedFile(path, runs)],
        notes=leftover(left, "of an incomplete record"),
        channels=[_channel(listed, s, signals, labels[s]) for s in chosen],
    )


def _channel(listed: bytes, signal: int, signals: int, label: str) -> Channel:
    """Name and scale of a signal; the header has each field of all signals, then the next field."""
    low, high, least, most = (
        number(_text(listed[at * signals + 8 * signal :][:8])) for at in (PHYSICAL, PHYSICAL + 8, DIGITAL, DIGITAL + 8)
    )
    return ranged(label, (least, most), (low, high), _text(listed[UNIT * signals + 8 * signal :][:8]))


def _record(labels: list[str], counts: list[int], usual: int, itemsize: int) -> tuple[tuple[Part, ...], int]:
    """The parts of a record, and how many columns it has."""
    parts: list[Part] = []
    columns = 0
    wanted = [label not in ANNOTATIONS and count == usual for label, count in zip(labels, counts, strict=True)]
    for (column, count), group in groupby(zip(wanted, counts, strict=True)):
        many = len(list(group))
        if column:
            parts.append(Samples(count, columns, many, planar=True))
            columns += many
        elif count:
            parts += [Rest(count * itemsize)] * many
    return tuple(parts), columns


def _usual(counts: Iterable[int]) -> int:
    """The number of samples in a record that most signals have; of equally usual ones, the larger."""
    usual = Counter(count for count in counts if count)
    if not usual:
        raise DataError(EMPTY)
    return max(usual, key=lambda count: (usual[count], count))


def _duration(text: str) -> float:
    """Seconds of a record; 0 if that is not known."""
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 1e-9 < found < 1e9 else 0.0


def _text(field: bytes) -> str:
    return field.decode("latin-1").strip(" \0")

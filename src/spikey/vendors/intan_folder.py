"""Intan's folders: `info.rhd` or `info.rhs` is the header, the samples lie in one file per signal or per channel.

Amplifier samples are int16 here, all others uint16. Auxiliary inputs and supply voltages are at the full rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from spikey.base.errors import DataError
from spikey.recording.sample_map import Mapped, MappedFile, flat
from spikey.vendors.bounded import Bounded, file_size
from spikey.vendors.intan import READER, parse_single
from spikey.vendors.intan_header import (
    AMPLIFIER,
    AUXILIARY,
    DIGITAL_IN,
    DIGITAL_OUT,
    IN,
    OUT,
    SUPPLY,
    Header,
    read_header,
)
from spikey.vendors.natural import natural
from spikey.vendors.parsed import EMPTY, Parsed, Recording, each, flat_runs, layout_of, leftover, mapped, reasons

INFO = ("info.rhd", "info.rhs")
SIGNED = ("amplifier", "lowpass", "highpass")
# File per signal -> the kind of channels in the header whose samples it contains.
SIGNALS = {
    "amplifier": AMPLIFIER,
    "lowpass": AMPLIFIER,
    "highpass": AMPLIFIER,
    "dcamplifier": AMPLIFIER,
    "stim": AMPLIFIER,
    "auxiliary": AUXILIARY,
    "supply": SUPPLY,
    "analogin": IN,
    "analogout": OUT,
    "digitalin": DIGITAL_IN,
    "digitalout": DIGITAL_OUT,
}
WORDS = (DIGITAL_IN, DIGITAL_OUT)  # one word for all lines
# How the names of files per channel begin -> the file per signal that they correspond to.
PREFIXES = {
    "amp-": "amplifier",
    "low-": "lowpass",
    "high-": "highpass",
    "dc-": "dcamplifier",
    "stim-": "stim",
    "aux-": "auxiliary",
    "vdd-": "supply",
    "board-analog-in-": "analogin",
    "board-analog-out-": "analogout",
    "board-digital-in-": "digitalin",
    "board-digital-out-": "digitalout",
}
MOST_FILES = 10_000


def parse(members: Sequence[Path]) -> Parsed:
    """Files that contain header and samples, and the files of each folder with a header of its own."""
    homes = {p.parent: p for p in members if p.name.lower() in INFO}
    single = each(
        (p for p in members if p.suffix.lower() in (".rhd", ".rhs") and p.name.lower() not in INFO), parse_single
    )
    found: list[Recording] = list(single.recordings)
    failed = dict(single.failed)
    for home, info in homes.items():
        with reasons(failed, info):
            with Bounded(info) as file:
                header = read_header(file)
            inside = [p for p in members if p.parent == home and p.suffix.lower() == ".dat"]
            _folder(header, inside, found, failed)
    return Parsed(tuple(found), failed)


def _folder(header: Header, files: Sequence[Path], found: list[Recording], failed: dict[Path, str]) -> None:
    channels: defaultdict[tuple[str, int], list[Path]] = defaultdict(list)
    for path in sorted(files, key=natural):
        stem = path.stem.lower()
        with reasons(failed, path):
            if stem in SIGNALS:
                found.append(_signal(header, stem, path))
            elif kind := next((kind for prefix, kind in PREFIXES.items() if stem.startswith(prefix)), None):
                size = file_size(path)
                if size < 2:
                    raise DataError(EMPTY)
                channels[kind, size].append(path)
    for (kind, size), paths in channels.items():
        for first in range(0, len(paths), MOST_FILES):
            some = paths[first : first + MOST_FILES]
            with reasons(failed, some[0]):
                found.append(_channels(header, kind, size, some))


def _signal(header: Header, kind: str, path: Path) -> Mapped:
    """The recording of a file per signal."""
    channels = header.channels.get(SIGNALS[kind], 0)
    if not channels:
        raise DataError("belongs to no channel that the header lists")
    size = file_size(path)
    layout = layout_of(1 if kind in WORDS else channels, _rate(header, kind), _dtype(kind))
    runs, notes = flat_runs(size, layout)
    return mapped(READER, layout, [MappedFile(path, runs)], notes=notes)


def _channels(header: Header, kind: str, size: int, paths: Sequence[Path]) -> Mapped:
    """The recording of all files per channel of one kind and size."""
    frames, left = divmod(size, 2)
    files = [MappedFile(path, flat(frames, 1, first=column, tail=left)) for column, path in enumerate(paths)]
    layout = layout_of(len(paths), _rate(header, kind), _dtype(kind))
    return mapped(READER, layout, files, notes=leftover(left * len(paths), "after the last whole frame"))


def _dtype(kind: str) -> str:
    return "int16" if kind in SIGNED else "uint16"


def _rate(header: Header, kind: str) -> float:
    """The header's rate; 0, for unknown, of low-pass filtered samples, as the header does not specify theirs."""
    return 0.0 if kind == "lowpass" else header.rate

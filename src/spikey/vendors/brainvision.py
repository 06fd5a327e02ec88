"""BrainVision: a `.vhdr` describes the samples of a data file beside it, which is `.eeg`, `.dat` or `.avg`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from spikey.base.errors import DataError
from spikey.recording.layout import Layout
from spikey.recording.sample_map import LARGEST_RECORD, Channel, Mapped, MappedFile, Run, Runs, Samples, joined, rest
from spikey.vendors.bounded import file_size, integer, rate_of, text_of
from spikey.vendors.parsed import EMPTY, Parsed, Recording, flat_runs, layout_of, leftover, mapped, reasons
from spikey.vendors.units import number, scaled

READER = "brainvision"
TYPES = {"INT_16": "int16", "UINT_16": "uint16", "INT_32": "int32", "IEEE_FLOAT_32": "float32"}


def parse(members: Sequence[Path]) -> Parsed:
    """The data file of each `.vhdr`; a second header of one data file lies beside it."""
    found: list[Recording] = []
    failed: dict[Path, str] = {}
    done: set[Path] = set()
    for header in (p for p in members if p.suffix.lower() == ".vhdr"):
        with reasons(failed, header):
            text = text_of(header)
            values = _values(text)
            data = _data_file(header, values.get("datafile", ""), members)
            if data not in done:
                with reasons(failed, data):
                    found.append(_recording(data, values, _channels(text)))
                done.add(data)
    return Parsed(tuple(found), failed)


def _values(text: str) -> dict[str, str]:
    """Lines key=value of the sections about all channels, with keys in lower case."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip(" []").lower()
        elif not line.startswith(";") and section in ("common infos", "binary infos"):
            key, equals, value = line.partition("=")
            if equals:
                found.setdefault(key.strip().lower(), value.strip())
    return found


def _data_file(header: Path, listed: str, members: Sequence[Path]) -> Path:
    """The data file; where files were renamed, the one that is named as the header."""
    name = listed.replace("$b", header.stem).replace("\\", "/").rpartition("/")[2]
    if not name:
        raise DataError("names no data file")
    candidates = [header.with_name(name)]
    if suffix := Path(name).suffix:
        candidates.append(header.with_suffix(suffix))
    beside = {p.name.lower(): p for p in members if p.parent == header.parent}
    for path in candidates:
        if path in members:
            return path
        if path.name.lower() in beside:
            return beside[path.name.lower()]
    for path in candidates:
        if path.is_file():
            return path
    raise DataError(f"its data file {name} is missing")


def _channels(text: str) -> list[Channel]:
    """Names and resolutions in the lines `Ch1=name,reference,resolution,unit`; a comma in a name is `\\1`."""
    found = []
    for line in re.findall(r"(?m)^Ch[0-9]+=([^\r\n]*)", text):
        name, _, resolution, unit = [*line.split(","), "", "", ""][:4]
        gain = number(resolution) if resolution.strip() else 1.0
        found.append(scaled(name.replace("\\1", ","), gain, 0.0, unit or "\u00b5V"))
    return found


def _recording(path: Path, values: dict[str, str], listed: list[Channel]) -> Mapped:
    if (form := values.get("dataformat", "").upper()) != "BINARY":
        raise DataError(f"contains samples as {form or 'an unknown format'}; only BINARY is supported")
    dtype = TYPES.get(values.get("binaryformat", "").upper())
    if dtype is None:
        raise DataError(f"contains samples of another type than {', '.join(TYPES)}")
    interval = rate_of(values.get("samplinginterval"), "SamplingInterval in its .vhdr")
    channels = integer(values.get("numberofchannels"), "NumberOfChannels in its .vhdr")
    layout = layout_of(channels, 1e6 / interval, dtype)
    size = file_size(path)
    head = integer(values.get("dataoffset") or 0, "DataOffset in its .vhdr", 0)
    orientation = values.get("dataorientation", "MULTIPLEXED").upper()
    if orientation == "MULTIPLEXED":
        runs, notes = flat_runs(size, layout, head=head)
    elif orientation == "VECTORIZED":
        runs, notes = _vectorized(size, layout, head, values.get("datapoints"))
    else:
        raise DataError("contains samples in an order that is neither MULTIPLEXED nor VECTORIZED")
    big_endian = values.get("usebigendianorder", "").upper() == "YES"
    return mapped(READER, layout, [MappedFile(path, runs)], big_endian=big_endian, notes=notes, channels=listed)


def _vectorized(size: int, layout: Layout, head: int, points: str | None) -> tuple[Runs, tuple[str, ...]]:
    """All samples of a channel follow each other, so that the file is one record."""
    there = max(size - head, 0)
    frames, left = divmod(there, layout.frame_bytes)
    if points:
        frames = integer(points, "DataPoints in its .vhdr")
        left = there - frames * layout.frame_bytes
    if not there or not frames:
        raise DataError(EMPTY)
    if left < 0 or (left and not points):
        raise DataError("is cut short within the samples of a channel (VECTORIZED), so that the others' are missing")
    if size > LARGEST_RECORD:
        raise DataError(
            f"has its samples channel after channel (VECTORIZED) in more than {LARGEST_RECORD:,} bytes, "
            "which is not supported"
        )
    record = Run(1, (Samples(frames, 0, layout.channels, planar=True),))
    return joined([rest(head), record, rest(left)]), leftover(left, "after the samples")

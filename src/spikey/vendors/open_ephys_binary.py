"""Open Ephys' binary format: a `structure.oebin` lists streams, each a `continuous.dat` of interleaved int16."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spikey.base.errors import DataError
from spikey.recording.sample_map import Mapped, MappedFile
from spikey.vendors.bounded import file_size, integer, json_of, rate_of
from spikey.vendors.parsed import Parsed, Recording, flat_runs, layout_of, mapped, reasons

READER = "openephysbinary"


def parse(members: Sequence[Path]) -> Parsed:
    """The streams of each `structure.oebin` whose `continuous.dat` exists."""
    there = set(members)
    found: list[Recording] = []
    failed: dict[Path, str] = {}
    for structure in (p for p in members if p.name == "structure.oebin"):
        with reasons(failed, structure):
            for path, stream in _streams(structure):
                if path in there:
                    there.remove(path)  # it may be listed twice
                    with reasons(failed, path):
                        found.append(_stream(path, stream))
    return Parsed(tuple(found), failed)


def _streams(structure: Path) -> list[tuple[Path, dict[str, Any]]]:
    listed = json_of(structure).get("continuous", [])
    if not isinstance(listed, list):
        raise DataError("does not describe a recording")
    found = []
    for stream in listed:
        if isinstance(stream, dict) and isinstance(stream.get("folder_name"), str):
            folder = os.path.normpath(stream["folder_name"].replace("\\", "/"))
            found.append((structure.parent / "continuous" / folder / "continuous.dat", stream))
    return found


def _stream(path: Path, stream: dict[str, Any]) -> Mapped:
    layout = layout_of(
        integer(stream.get("num_channels"), "num_channels in structure.oebin"),
        rate_of(stream.get("sample_rate"), "sample_rate in structure.oebin"),
        "int16",
    )
    runs, notes = flat_runs(file_size(path), layout)
    return mapped(READER, layout, [MappedFile(path, runs)], notes=notes)

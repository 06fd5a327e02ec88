"""Which other files are stored with which part of a recording, each once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikey.base.errors import DataError
from spikey.container.extra import MOST_FILES, SideFile, safe_name

if TYPE_CHECKING:
    from spikey.integrations.discovery import Unit
    from spikey.integrations.vendor_parts import Part

LARGEST_BESIDE = 1 << 24  # bytes of a side file that only its name connects with the recording
Chosen = Callable[["Part"], bool]


def with_side_files(
    parts: Sequence[Part], unit: Unit, root: Path, sizes: Mapping[Path, int], chosen: Chosen
) -> list[Part]:
    """The chosen parts of a unit, each with the side files that are stored with it and the sizes of all that is read.

    In a folder of Open Ephys, of SpikeInterface or of Intan (one file per signal) the whole folder belongs to the
    recording; elsewhere files of the same name with another ending do, up to 16 MiB each. A file that several parts
    share goes with the first that is chosen, one that lies nearest to another part with that.
    sizes: in bytes, of the files that may be side files or are read.
    """
    flat = [part for part in parts if part.file is not None]
    files: dict[int, list[SideFile]] = {id(part): [] for part in flat}
    recordings = {part.file for part in flat}
    for path in sorted(sizes):
        owner = None if path in recordings else _owner(path, flat, unit, sizes[path], chosen)
        if owner is not None and len(files[id(owner)]) < MOST_FILES:
            try:
                name = safe_name(path.relative_to(root).as_posix())
            except (DataError, ValueError):
                continue
            files[id(owner)].append(SideFile(name, os.fspath(path), sizes[path]))
    found = []
    for part in filter(chosen, parts):
        read = unit.members if part.file is None else (part.file,)
        read_sizes = tuple((path, sizes[path]) for path in read if path in sizes)
        found.append(replace(part, files=tuple(files.get(id(part), ())), sizes=read_sizes))
    return found


def _owner(path: Path, flat: list[Part], unit: Unit, size: int, chosen: Chosen) -> Part | None:
    """The part that a file is stored with, if any."""
    if unit.homes:
        if path not in unit.members and not set(unit.homes).intersection(path.parents):
            return None
        near = {id(part): _shared(path, part.file) for part in flat if part.file is not None}
        most = max(near.values(), default=0)
        nearest = [part for part in flat if near[id(part)] == most]
    elif size <= LARGEST_BESIDE or path in unit.members:
        nearest = [p for p in flat if p.file and (p.file.parent, p.file.stem) == (path.parent, path.stem)]
    else:
        return None
    return next(filter(chosen, nearest), nearest[0] if nearest else None)


def _shared(one: Path, other: Path) -> int:
    """How many folders two files have in common."""
    return len(Path(os.path.commonpath((one, other))).parts)

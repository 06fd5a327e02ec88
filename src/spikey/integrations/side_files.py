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
    from spikey.integrations.part import Part

LARGEST_BESIDE = 1 << 24  # bytes of a side file that only its name connects with the recording
KNOWN = (".nev", ".ccf", ".sif", ".meta", ".vhdr", ".vmrk", ".xml", ".set")  # such of any size
Chosen = Callable[["Part"], bool]


def with_side_files(
    parts: Sequence[Part], unit: Unit, root: Path, sizes: Mapping[Path, int], chosen: Chosen
) -> list[Part]:
    """The chosen parts of a unit, each with the side files that are stored with it and the sizes of all that is read.

    Below a folder that belongs to the recording as a whole every file does; elsewhere files of the same name with
    another ending do, up to 16 MiB each. A file that several parts share goes with the first that is chosen, one that
    lies nearest to another part with that.
    sizes: in bytes, of the files that may be side files or are read.
    """
    whole = [part for part in parts if part.content.restored]
    files: dict[int, list[SideFile]] = {id(part): [] for part in whole}
    recordings = {path for part in whole for path in part.content.read}
    for path in sorted(sizes):
        owner = None if path in recordings else _owner(path, whole, unit, sizes[path], chosen)
        if owner is not None and len(files[id(owner)]) < MOST_FILES:
            try:
                name = safe_name(path.relative_to(root).as_posix())
            except (DataError, ValueError):
                continue
            files[id(owner)].append(SideFile(name, os.fspath(path), sizes[path]))
    found = []
    for part in filter(chosen, parts):
        read = part.content.read or unit.members
        read_sizes = tuple((path, sizes[path]) for path in read if path in sizes)
        found.append(replace(part, files=tuple(files.get(id(part), ())), sizes=read_sizes))
    return found


def _owner(path: Path, parts: list[Part], unit: Unit, size: int, chosen: Chosen) -> Part | None:
    """The part that a file is stored with, if any."""
    places = [(part, part.content.read[0]) for part in parts if part.content.read]
    named = [part for part, place in places if (place.parent, place.stem) == (path.parent, path.stem)]
    if unit.homes:
        if path not in unit.members and not set(unit.homes).intersection(path.parents):
            return None
        near = [(_shared(path, place), part) for part, place in places]
        most = max((shared for shared, _ in near), default=0)
        nearest = named or [part for shared, part in near if shared == most]
    elif size <= LARGEST_BESIDE or path in unit.members or path.suffix.lower() in KNOWN:
        nearest = named or [part for part, _ in places if path in unit.members]
    else:
        return None
    return next(filter(chosen, nearest), nearest[0] if nearest else None)


def _shared(one: Path, other: Path) -> int:
    """How many folders two files have in common."""
    return len(Path(os.path.commonpath((one, other))).parts)

"""Recordings whose files Spikey parses itself: their parts, each of which is compressed to one file."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from spikey.files.names import is_safe
from spikey.integrations.discovery import Unit
from spikey.integrations.part import Decoded, Files, Part
from spikey.recording.sample_map import Mapped
from spikey.vendors.find import find

ODD = re.compile(r'[\x00-\x1f\\:*?"<>|]')


def parsed_parts(unit: Unit, root: Path) -> tuple[list[Part], dict[Path, str]] | None:
    """The parts of a unit, named as they lie below `root`, without side files; and why files in it are not recordings.

    None where Spikey does not parse the format.
    """
    members = {os.path.realpath(path): path for path in unit.members}
    found = find(unit.readers[0], unit.place, unit.members)
    if found is None:
        return None
    parts = []
    for each in found.recordings:
        if not isinstance(each, Mapped):
            place = _below(each.path.with_name(each.restored), root)
            parts.append(Part(_safe(place), each.reader, Decoded(each, _safe(place))))
            continue
        names = tuple(_below(members.get(os.path.realpath(file.path), file.path), root) for file in each.files)
        restorable = all(map(is_safe, names))
        parts.append(
            Part(_title(names), each.reader, Files(each, tuple(map(_safe, names)), restorable), notes=each.notes)
        )
    return parts, found.failed


def _title(names: tuple[str, ...]) -> str:
    """What several files are called: `CSC1-CSC32.ncs`.

    >>> _title(("day/CSC1.ncs", "day/CSC2.ncs", "day/CSC10.ncs"))
    'day/CSC1-CSC10.ncs'
    """
    first, last = PurePosixPath(names[0]), PurePosixPath(names[-1])
    return names[0] if len(names) == 1 else str(first.with_name(f"{first.stem}-{last.name}"))


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _safe(name: str) -> str:
    """A name under which a file can be restored on every system: the same, where it is one."""
    if is_safe(name):
        return name
    parts = [ODD.sub("_", part) for part in name.split("/")]
    return "/".join(part if is_safe(part) else f"_{part}" for part in parts)

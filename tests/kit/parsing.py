"""Parsing the files of a folder, for tests of the parsers of vendors' formats."""

from __future__ import annotations

from pathlib import Path

from kit.mapped import check_mapped
from spikey.recording.sample_map import Mapped
from spikey.vendors.find import Parsed, find


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def parsed(reader: str, folder: Path) -> Parsed:
    """What the reader's parser finds below a folder."""
    found = find(reader, folder, files_in(folder))
    assert found is not None
    return found


def mapped_in(reader: str, folder: Path) -> list[Mapped]:
    """The recordings below a folder, all of which can be parsed and account for their files."""
    found = parsed(reader, folder)
    assert found.failed == {}
    recordings = [each for each in found.recordings if isinstance(each, Mapped)]
    assert len(recordings) == len(found.recordings)
    for each in recordings:
        check_mapped(each)
    return recordings


def reasons_in(reader: str, folder: Path) -> dict[str, str]:
    """Why files below a folder cannot be parsed, by their paths below it."""
    return {path.relative_to(folder).as_posix(): reason for path, reason in parsed(reader, folder).failed.items()}

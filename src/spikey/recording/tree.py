"""Everything below a folder, sorted by what may become of it: files, links, derived files and Spikey's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from spikey.recording.output import is_tmp_name

MAGICS = (b"SPKY", b"SPKA", b"SPKT")  # of compressed files, archives and telemetry
# Names of folders and files that are computed from a recording and can be computed again, in lower case, as `fnmatch`
# takes them; docs/recordings.md has the same table, with what makes them.
DERIVED_FOLDERS = (
    *("kilosort*", "ks[2-4]", "ks2[._]5", "ks[2-4]_output*", "pykilosort*", "iblsorter*"),
    *("spykingcircus*", "*.gui", "mountainsort*", "ironclust*", "herdingspikes*", "tridesclous*", "yass_output*"),
    *("sorter_output", "spikeinterface_output", "sorting_analyzer*", "waveform_extractor*"),
    *("phy", "phy_*", "phy-*", ".phy"),
    *(".ipynb_checkpoints", "__pycache__"),
)
DERIVED_FILES = ("temp_wh.dat", ".ds_store", "._*", "thumbs.db", "desktop.ini", "*.pyc")


@dataclass
class Tree:
    """What lies below a folder, each with its size in bytes.

    files: regular files that may be recordings or belong to one. derived: those of the tables, with the folder or file
    that is in them. own: Spikey's compressed files. others: links, special files and what cannot be read, with why.
    """

    files: dict[Path, int] = field(default_factory=dict)
    derived: dict[Path, tuple[int, str]] = field(default_factory=dict)
    own: dict[Path, int] = field(default_factory=dict)
    others: dict[Path, tuple[int, str]] = field(default_factory=dict)

    def only(self, wanted: Collection[Path]) -> Tree:
        """Of these files."""
        among = set(wanted)
        files = {path: size for path, size in self.files.items() if path in among}
        derived = {path: found for path, found in self.derived.items() if path in among}
        own = {path: size for path, size in self.own.items() if path in among}
        others = {path: found for path, found in self.others.items() if path in among}
        return Tree(files, derived, own, others)


def tree_of(root: Path, exclude: Collection[Path] = ()) -> Tree:
    """Walk a folder without following links; what is in `exclude`, or in a folder of it, is not looked at."""
    found = Tree()
    without = {os.path.realpath(path) for path in exclude}
    _walk(root, "", found, without)
    return found


def _walk(folder: Path, derived: str, found: Tree, without: set[str]) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        found.others[folder] = (0, f"cannot be read: {error.strerror}")
        return
    here = os.path.realpath(folder)
    for entry in entries:
        path = folder / entry.name
        if os.path.join(here, entry.name) in without:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            found.others[path] = (0, f"cannot be read: {error.strerror}")
            continue
        if stat.S_ISLNK(status.st_mode):
            found.others[path] = (0, "symbolic link")
        elif stat.S_ISDIR(status.st_mode):
            _walk(path, derived or _derived(entry.name, DERIVED_FOLDERS), found, without)
        elif not stat.S_ISREG(status.st_mode):
            found.others[path] = (0, "not a regular file")
        else:
            _sort(path, status.st_size, derived, found)


def _sort(path: Path, size: int, derived: str, found: Tree) -> None:
    name = path.name
    if is_tmp_name(name):
        found.others[path] = (size, "unfinished output of Spikey")
    elif is_own(path):
        found.own[path] = size
    elif why := derived or _derived(name, DERIVED_FILES):
        found.derived[path] = (size, why)
    else:
        found.files[path] = size


def _derived(name: str, table: Collection[str]) -> str:
    """The name itself, where a pattern of the table matches it."""
    return name if any(fnmatchcase(name.lower(), pattern) for pattern in table) else ""


def is_own(path: Path) -> bool:
    """Whether a file begins as Spikey's do; one that cannot be read does not."""
    try:
        with path.open("rb") as file:
            return file.read(4) in MAGICS
    except OSError:
        return False

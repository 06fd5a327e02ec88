"""Recording sessions below a folder as acquisition software lays them out: what belongs to each, by names alone."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from spikey.integrations.discovery import Unit, units_in
from spikey.recording.output import is_tmp_name
from spikey.recording.tree import Tree, is_own, tree_of

VENDORS = "SpikeGLX, Open Ephys, Intan, Blackrock and Neuralynx"
FOLDERS = ("openephysbinary", "openephyslegacy", "neuralynx")  # readers of recordings that are folders
FILES = ("intan", "blackrock", "spikeglx")  # readers of recordings that may share their folder with others
State = dict[str, tuple[int, int]]  # size in bytes and modification time in nanoseconds, by path


@dataclass(frozen=True)
class Run:
    """A recording session.

    name: its path below the folder that was searched, with slashes. place: the folder or file that `take_inventory`
    takes. files: all that belong to it, links and derived files too, by their paths below that folder. derived: those
    of them that can be computed again.
    """

    name: str
    place: Path
    files: State
    derived: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


@dataclass(frozen=True)
class Found:
    """The sessions below a folder, and recordings of other formats."""

    runs: list[Run]
    others: list[Path]


def runs_in(folder: Path, exclude: Collection[Path] = ()) -> Found:
    """Find the sessions of `VENDORS` below a folder.

    Parameters
    ----------
    folder : Path
        Where to search.
    exclude : collection of Path
        Files and folders that are not looked at.

    Returns
    -------
    Found
        No file belongs to two sessions: one that lies in the folder of another is part of that one.
    """
    tree = tree_of(folder, exclude)
    homes: set[Path] = set()
    loose: dict[tuple[Path, str], list[Path]] = {}
    others = [path for path in tree.files if path.suffix.lower() == ".wav"]
    for unit in units_in(folder, (path for path in tree.files if path.suffix.lower() != ".wav")):
        places = list(_places(unit, folder))
        if not places and unit.sure:
            others.append(unit.place)
        for place in places:
            if place.is_dir():
                homes.add(place)
            else:
                loose.setdefault((place.parent, place.stem), []).append(place)
    inside: dict[Path, list[Path]] = {home: [] for home in homes if homes.isdisjoint(home.parents)}
    beside: dict[tuple[Path, str], list[Path]] = {}
    for path in _everything(tree):
        home = _home_of(path, inside)
        (beside.setdefault((path.parent, path.stem), []) if home is None else inside[home]).append(path)
    runs = [_run(folder, home, files, tree) for home, files in inside.items()]
    for key, places in loose.items():
        if _home_of(places[0], inside) is None:
            runs.append(_run(folder, max(places, key=_order), filter(_is_companion, beside[key]), tree))
    others = sorted(path for path in others if _home_of(path, inside) is None)
    return Found(sorted(runs, key=lambda run: run.name), others)


def look_again(run: Run, folder: Path, exclude: Collection[Path] = ()) -> Run:
    """A session as it is now; its name and place, and `folder` and `exclude`, as with `runs_in`."""
    if run.place.is_dir():
        tree = tree_of(run.place, exclude)
        return _run(folder, run.place, _everything(tree), tree)
    stem = run.place.stem
    beside = [path for path in run.place.parent.iterdir() if path.stem == stem and _is_companion(path)]
    files = [path for path in beside if path.is_symlink() or not (path.is_dir() or is_own(path))]
    names = [path.relative_to(folder).as_posix() for path in files if not is_tmp_name(path.name)]
    return replace(run, files=state_of(folder, names))


def _everything(tree: Tree) -> list[Path]:
    """Of a tree, but for what Spikey wrote or is writing."""
    return [*tree.files, *tree.derived, *(path for path in tree.others if not is_tmp_name(path.name))]


def _home_of(path: Path, homes: Collection[Path]) -> Path | None:
    """The folder of a session that a path is, or lies in."""
    return next((home for home in (path, *path.parents) if home in homes), None)


def _is_companion(path: Path) -> bool:
    """Whether a file belongs to a session of the same name beside it: not one that is a recording by itself."""
    return path.suffix.lower() != ".wav"


def state_of(folder: Path, names: Iterable[str]) -> State:
    """Size and modification time of files below a folder, as they are now; (-1, -1) for those that cannot be found."""
    found: State = {}
    for name in names:
        try:
            status = os.lstat(folder / name)
            found[name] = (status.st_size, status.st_mtime_ns)
        except OSError:
            found[name] = (-1, -1)
    return found


def _run(root: Path, place: Path, files: Iterable[Path], tree: Tree) -> Run:
    names = {path.relative_to(root).as_posix(): path for path in files}
    derived = frozenset(name for name, path in names.items() if path in tree.derived)
    return Run(place.relative_to(root).as_posix(), place, state_of(root, names), derived)


def _places(unit: Unit, root: Path) -> Iterator[Path]:
    """The folders, or files, of the sessions in a unit; none for a format that is not one of `VENDORS`."""
    reader = unit.readers[0]
    if reader in FOLDERS:
        yield unit.place
    elif unit.homes and reader == "intan":
        yield unit.homes[0]
    elif reader == "spikeglx":
        for path in unit.members:
            if path.suffix == ".bin":
                yield _gate(path, root) or path
    elif reader in FILES:
        yield unit.place


def _gate(path: Path, root: Path) -> Path | None:
    """The outermost folder of a gate of SpikeGLX, not above `root`; None for a file that lies beside others'."""
    match = re.match(r"(.+_g\d+)_t(?:\d+|cat)\.", path.name)
    if match is None:
        return None
    gate = re.compile(rf"(?:catgt_)?{re.escape(match[1])}(?:_imec\d+)?")
    found = None
    for home in path.parents:
        if gate.fullmatch(home.name) is None:
            break
        found = home
        if home == root:
            break
    return found


def _order(path: Path) -> tuple[str, str]:
    """By which one of several files of a name stands for all: the highest sampling group of Blackrock."""
    return path.suffix.lower(), path.name

"""Which vendors' recordings lie among some files, going by names alone: nothing is read, no package is needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

SAVED = ("binary.json", "si_folder.json", "spikeinterface_info.json")  # by SpikeInterface
ZARR = (".zgroup", "zarr.json")  # by SpikeInterface or by others
RAW = (".raw", ".dat", ".bin")
# Readers of single files, by ending. A file of the first table that cannot be read is an error; endings in the second
# are used for much else.
FILES = {
    ".rhd": ("intan",),
    ".rhs": ("intan",),
    ".nwb": ("nwb",),
    ".abf": ("axon",),
    ".plx": ("plexon",),
    ".pl2": ("plexon2",),
    ".smr": ("ced", "spike2"),
    ".smrx": ("ced",),
    ".edf": ("edf",),
    ".bdf": ("edf",),
    ".trc": ("micromed",),
    ".nex": ("neuroexplorer",),
    ".rec": ("spikegadgets",),
    ".brw": ("biocam",),
    ".nix": ("nix",),
}
BLACKROCK = tuple(f".ns{n}" for n in range(1, 10))
SETS = {  # files of several endings and one name that are a recording: the ending that marks it, the reader, the others
    ".vhdr": ("brainvision", (".eeg", ".dat", ".avg", ".seg", ".vmrk")),
    ".cbin": ("mtscomp", (".ch",)),
}
GUESSED = {".h5": ("maxwell", "biocam", "mearec"), ".raw": ("mcsraw",)}
BESIDE = {  # endings that are read only with a file of the same name and this other ending beside it
    ".dat": (".xml", "neuroscope"),
    ".lfp": (".xml", "neuroscope"),
    ".eeg": (".xml", "neuroscope"),
    ".bin": (".set", "axona"),
}
# Folders of one file a channel or the like: the ending that marks them, the reader, the endings that it reads.
FOLDERS = {
    ".continuous": ("openephyslegacy", (".continuous", ".openephys", ".events", ".spikes")),
    ".ncs": ("neuralynx", (".ncs",)),
    ".tsq": ("tdt", (".tbk", ".tdx", ".tev", ".tin", ".tnt", ".tsq", ".sev")),
    ".mpx": ("alphaomega", (".mpx", ".lsx")),
}
PARSED = (".continuous", ".ncs")  # of which everything in the folder is stored
# Readers of folders of which everything belongs to the recording.
WHOLE = ("openephysbinary", "openephyslegacy", "saved", "intan", "neuralynx", "spikeglx")


@dataclass(frozen=True)
class Unit:
    """Files that one reader takes at once.

    readers: that may take it, the likeliest first; place: what they are given; members: the files that it consists of.
    homes: folders of which everything belongs to the recording. sure: the names show that it is a recording, so it is
    an error if it cannot be read. smaller: its parts, where it cannot be read at once.
    """

    readers: tuple[str, ...]
    place: Path
    members: tuple[Path, ...]
    homes: tuple[Path, ...] = ()
    sure: bool = True
    smaller: tuple[Unit, ...] = ()


def units_in(root: Path, files: Iterable[Path], raw: bool = False) -> list[Unit]:
    """The recordings among the files below a folder; `raw`: .raw, .dat and .bin files alone are none."""
    left = set(files)
    found: list[Unit] = []
    for search in (_saved, _spikeglx, _sets, _blackrock, _single, _open_ephys, _folders, _guessed):
        for unit in search(root, sorted(left)):
            if not (raw and search is _guessed and unit.place.suffix.lower() in RAW):
                found.append(unit)
                left.difference_update(unit.members)
    return sorted(found, key=lambda unit: unit.place)


def unit_of(path: Path) -> Unit | None:
    """The recording that a single file is, or belongs to; the files beside it are looked at."""
    home = next((p for p in path.parents[:4] if (p / "structure.oebin").is_file()), None)
    if path.suffix in (".bin", ".meta") and path.with_suffix(".bin").is_file() and path.with_suffix(".meta").is_file():
        return _pair(path.with_suffix(".meta"))
    if home is not None:
        return Unit(("openephysbinary",), home, (path,), (home,))
    if path.name.lower() in ("info.rhd", "info.rhs"):
        return Unit(("intan",), path, (path,), (path.parent,))
    if path.suffix.lower() in FOLDERS and path.suffix.lower() in FOLDERS[path.suffix.lower()][1]:
        return Unit((FOLDERS[path.suffix.lower()][0],), path.parent, (path,))
    endings = (".xml", ".set", *(ending for _, others in SETS.values() for ending in others))
    beside = [path, *(p for p in map(path.with_suffix, endings) if p != path and p.is_file())]
    searches = (_sets, _blackrock, _single, _guessed)
    found = (unit for search in searches for unit in search(path.parent, [path] if search is _single else beside))
    return next((unit for unit in found if path in unit.members), None)


def _saved(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Folders that SpikeInterface saved, and what may be one."""
    homes: set[Path] = set()
    for mark in sorted((p for p in files if p.name in SAVED + ZARR), key=lambda p: len(p.parts)):
        home = mark.parent
        if not homes.intersection((home, *home.parents)):
            homes.add(home)
            sure = any(home / name in files for name in SAVED[:1])
            yield Unit(("saved",), home, tuple(p for p in files if home in p.parents), (home,), sure)


def _spikeglx(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Runs: the pairs of .bin and .meta of one name, with all triggers and probes of a gate, below one folder."""
    there = set(files)
    pairs = [p for p in files if p.suffix == ".meta" and p.with_suffix(".bin") in there]

    def run_of(meta: Path) -> tuple[Path, str]:
        return _run_of(meta, root)

    for (home, run), group in groupby(sorted(pairs, key=run_of), key=run_of):
        alone = tuple(_pair(meta) for meta in group)
        members = tuple(path for unit in alone for path in unit.members)
        homes = (home,) if run and home.name.startswith(run) else ()
        smaller = alone if len(alone) > 1 else ()
        yield Unit(("spikeglx",), home if homes or smaller else alone[0].place, members, homes, smaller=smaller)


def _run_of(meta: Path, root: Path) -> tuple[Path, str]:
    """Where a SpikeGLX run lies, and the name that its own folder begins with, if it has one."""
    match = re.match(r"(.+_g\d+)_t(\d+|cat)\.", meta.name)
    if match is None:
        return meta.parent if meta.parent == root else meta.parent.parent, ""
    home = meta.parent
    while home != root and home.name.startswith(match[1]) and home.parent.name.startswith(match[1]):
        home = home.parent
    return home, match[1]


def _pair(meta: Path) -> Unit:
    return Unit(("spikeglx",), meta.parent, (meta.with_suffix(".bin"), meta))


def _sets(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Files of one name and several endings; a .cbin that lies beside its original is not needed."""
    there = set(files)
    for path in files:
        if path.suffix.lower() in SETS and not (path.suffix == ".cbin" and path.with_suffix(".bin") in there):
            reader, endings = SETS[path.suffix.lower()]
            beside = (path.with_suffix(ending) for ending in endings)
            yield Unit((reader,), path, (path, *(p for p in beside if p in there)))


def _blackrock(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Blackrock's files of samples of one name."""
    found = [path for path in files if path.suffix.lower() in BLACKROCK]
    for _, group in groupby(found, key=lambda path: (path.parent, path.stem)):
        members = tuple(group)
        yield Unit(("blackrock",), members[-1], members)


def _single(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Single files that are recordings."""
    for path in files:
        if path.suffix.lower() in FILES and path.name.lower() not in ("info.rhd", "info.rhs"):
            yield Unit(FILES[path.suffix.lower()], path, (path,))
        elif path.name.endswith(".xdat.json"):
            stem = path.name.removesuffix(".xdat.json")
            beside = (
                p for p in files if p.parent == path.parent and p.name.startswith(f"{stem}") and ".xdat" in p.name
            )
            yield Unit(("neuronexus",), path, tuple(dict.fromkeys((path, *beside))))


def _open_ephys(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Sessions of Open Ephys' binary format: the folders that hold `structure.oebin`, and the settings above them."""
    marks = [p.parent for p in files if p.name == "structure.oebin"]
    for session, group in groupby(
        sorted(marks, key=lambda home: (_session(home, root), home)), lambda home: _session(home, root)
    ):
        homes = tuple(group)
        inside = {home: tuple(p for p in files if home in p.parents) for home in homes}
        above = {p for home in homes for p in home.parents if p.is_relative_to(session)}
        settings = tuple(p for p in files if p.parent in above and re.fullmatch(r"settings.*\.xml", p.name))
        members = tuple(path for each in inside.values() for path in each) + settings
        alone = tuple(Unit(("openephysbinary",), home, inside[home], (home,)) for home in homes)
        yield Unit(("openephysbinary",), session, members, homes, smaller=alone if homes != (session,) else ())


def _session(home: Path, root: Path) -> Path:
    """The folder of the session that a recording's folder is part of, not above `root`."""
    for pattern in (r"recording\d+", r"experiment\d+", r"record[ _]node.*"):
        if home != root and re.fullmatch(pattern, home.name, re.IGNORECASE):
            home = home.parent
    return home


def _folders(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Folders whose files are one recording."""
    for folder, group in groupby(sorted(files, key=lambda p: (p.parent, p.name)), key=lambda p: p.parent):
        inside = list(group)
        if header := next((p for p in inside if p.name.lower() in ("info.rhd", "info.rhs")), None):
            yield Unit(("intan",), header, tuple(inside), (folder,))
            continue
        endings = {p.suffix.lower() for p in inside}
        for mark, (reader, read) in FOLDERS.items():
            if mark in endings:
                homes = (folder,) if mark in PARSED else ()
                yield Unit((reader,), folder, tuple(p for p in inside if p.suffix.lower() in read), homes)


def _guessed(root: Path, files: list[Path]) -> Iterator[Unit]:
    """Files that may be recordings, going by endings that are used for much else."""
    there = set(files)
    for path in files:
        suffix = path.suffix.lower()
        if suffix in GUESSED:
            yield Unit(GUESSED[suffix], path, (path,), sure=False)
        elif suffix in BESIDE and path.with_suffix(BESIDE[suffix][0]) in there:
            yield Unit((BESIDE[suffix][1],), path, (path, path.with_suffix(BESIDE[suffix][0])), sure=False)

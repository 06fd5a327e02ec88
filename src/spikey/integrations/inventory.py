"""What becomes of everything in an input: the outputs to be written, and the files that they will not restore."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikey.base.errors import DataError, UsageError, install
from spikey.integrations.discovery import FILES, RAW, WHOLE, Unit, unit_of, units_in
from spikey.recording.tree import Tree, is_own, tree_of

if TYPE_CHECKING:
    from spikey.integrations.vendors import Part

MISSING = f"needs SpikeInterface: {install('spikeinterface')}"
SAMPLES = "only its samples are stored"
NAME = "cannot be restored under its name on every system"


@dataclass(frozen=True)
class Unstored:
    """A file below the root that the outputs will not restore, and why; `failed`: a recording that cannot be read."""

    path: Path
    size: int
    reason: str
    failed: bool = False


@dataclass(frozen=True)
class Item:
    """One output to be.

    name: where the original lay below the input folder, with slashes; a title for what is not one flat file.
    path: the one file that `files.compress_file` compresses; else None, and `part` is the vendors' part.
    kind: "wav", "raw", "vendor" or "bytes" (a file that is kept byte for byte, without a model).
    covers: the input files whose bytes the output restores; none where only samples are kept.
    size: bytes of the files that are covered, or of the samples.
    """

    name: str
    path: Path | None
    part: Part | None
    kind: str
    covers: tuple[Path, ...]
    size: int


@dataclass(frozen=True)
class Inventory:
    """The outputs to be of an input, and what they leave out."""

    root: Path
    items: tuple[Item, ...]
    unstored: tuple[Unstored, ...]

    def complete(self) -> bool:
        """Whether everything below the root would be restored file for file."""
        return not self.unstored


def take(
    path: Path,
    *,
    raw: bool = False,
    stream: str | None = None,
    reader: str | None = None,
    complete: bool = False,
    exclude: Collection[Path] = (),
) -> Inventory:
    """Decide what becomes of a file, or of everything in a folder; nothing is written.

    Parameters
    ----------
    path : Path
        A recording, or a folder of recordings of any kinds.
    raw : bool
        Whether .raw, .dat and .bin files that are no vendor's are samples that the caller describes.
    stream, reader : str, optional
        Only the parts of vendors' recordings that contain this stream; SpikeInterface's name of the format.
    complete : bool
        Whether derived files and all others are stored as well.
    exclude : collection of Path
        Files and folders that are not part of the input, such as the outputs.

    Returns
    -------
    Inventory
        What of a folder cannot be read is in `unstored`, with the reason, and does not hinder the rest.

    Raises
    ------
    DataError
        For a file that is not a recording, and for a folder in which nothing can be stored.
    UsageError
        For an empty folder, for a stream or reader that does not exist, and where SpikeInterface is missing and nothing
        else is there.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    taken = _Taken(path if path.is_dir() else path.parent, stream)
    if path.is_dir():
        _take_folder(path, tree_of(path, exclude), taken, raw, reader, complete)
    else:
        _take_file(path, taken, raw, reader, complete)
    return taken.inventory(path)


@dataclass
class _Taken:
    """What has been decided so far."""

    root: Path
    stream: str | None
    items: list[Item] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    covered: set[Path] = field(default_factory=set)
    unstored: dict[Path, Unstored] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    streams: set[str] = field(default_factory=set)

    def add_file(self, path: Path, size: int, kind: str) -> None:
        """A file to be compressed by itself."""
        self._add(Item(path.relative_to(self.root).as_posix(), path, None, kind, (path,), size))

    def add_unit(self, unit: Unit, sizes: dict[Path, int], only: Path | None = None) -> None:
        """The parts of a vendor's recording, or why there are none; `only`: those in this file."""
        from spikey.integrations.belonging import with_side_files

        try:
            from spikey.integrations.vendors import read
        except ImportError:
            self.leave(unit.members, sizes, MISSING if unit.sure else "not a recording", unit.sure)
            self.errors += [MISSING] if unit.sure else []
            return
        try:
            found = read(unit, self.root)
        except DataError as error:
            for smaller in unit.smaller:
                self.add_unit(smaller, sizes, only)
            if not unit.smaller:
                self.errors += [str(error)] if unit.sure else []
                self.leave(
                    unit.members, sizes, f"cannot be read ({error})" if unit.sure else "not a recording", unit.sure
                )
            return

        def chosen(part: Part) -> bool:
            return only in (None, part.file) and self.stream in (None, *part.streams)

        self.streams.update(name for part in found for name in part.streams if name)
        parts = with_side_files(found, unit, self.root, sizes, chosen)
        for part in parts:
            covers = () if part.file is None else (part.file, *(Path(file.path) for file in part.files))
            size = sum(sizes[each] for each in covers) or part.sample_bytes
            self._add(Item(part.name, None, part, "vendor", covers, size))
        if only is None:
            kept = any(part.file is None for part in parts)
            other = f"does not contain the stream {self.stream!r}"
            reason = SAMPLES if kept else NAME if self.stream is None else other
            self.leave((*unit.members, *(part.file for part in found if part.file is not None)), sizes, reason)

    def leave(self, paths: Iterable[Path], sizes: dict[Path, int], reason: str, failed: bool = False) -> None:
        """Note that files are not stored, unless there is a reason already; what is covered is taken out at the end."""
        for path in paths:
            if path in sizes:
                self.unstored.setdefault(path, Unstored(path, sizes[path], reason, failed))

    def add_rest(self) -> None:
        """Files that are not stored so far, each by itself; but for those of which the samples are kept."""
        for each in self.unstored.values():
            if each.path not in self.covered and each.reason != SAMPLES:
                self.add_file(each.path, each.size, "bytes")

    def _add(self, item: Item) -> None:
        """Add an output; one whose title another has gets a number behind it."""
        name, number = item.name, 2
        while name in self.names:
            name, number = f"{item.name}-{number}", number + 1
        self.names.add(name)
        self.covered.update(item.covers)
        self.items.append(replace(item, name=name))

    def inventory(self, path: Path) -> Inventory:
        """All that was decided; DataError or UsageError where nothing is to be written."""
        if not self.items:
            self._refuse(path)
        left = tuple(each for file, each in sorted(self.unstored.items()) if file not in self.covered)
        items = sorted(self.items, key=lambda item: item.name)
        first = next((place for place, item in enumerate(items) if item.part is not None), None)
        if first is not None and (part := items[first].part) is not None:
            names = tuple(each.path.relative_to(self.root).as_posix() for each in left)
            items[first] = replace(items[first], part=replace(part, not_stored=names))
        return Inventory(self.root, tuple(items), left)

    def _refuse(self, path: Path) -> None:
        if path.is_dir() and not self.unstored:
            raise UsageError(f"{path}: contains no files")
        if self.stream is not None and (self.streams or not self.errors):
            listed = ", ".join(sorted(self.streams)) or "none"
            raise UsageError(f"{path}: has no stream {self.stream!r}; there are: {listed}")
        if MISSING in self.errors:
            raise UsageError(f"{path}: {MISSING}")
        hint = "--reader names its format"
        if path.is_dir() and all(each.reason == "compressed already" for each in self.unstored.values()):
            raise DataError(f"{path}: contains only files that are compressed already")
        if path.suffix.lower() in RAW or any(each.suffix.lower() in RAW for each in self.unstored):
            hint = "give --channels, --rate and --dtype to read it as raw samples"
        if self.errors:
            raise DataError(f"{path}: cannot be read as a recording ({'; '.join(dict.fromkeys(self.errors))}); {hint}")
        raise DataError(f"{path}: contains no recording that can be read; {hint}")


def _take_folder(path: Path, tree: Tree, taken: _Taken, raw: bool, reader: str | None, complete: bool) -> None:
    wav = [file for file in tree.files if file.suffix.lower() == ".wav"]
    others = [file for file in tree.files if file.suffix.lower() != ".wav"]
    if reader is None:
        units = units_in(path, others, raw)
    else:
        units = [Unit((reader,), path, tuple(others), (path,) if reader in WHOLE else ())]
    claimed = {file for unit in units for file in unit.members}
    described = [file for file in others if raw and file.suffix.lower() in RAW and file not in claimed]
    apart = claimed.union(wav, described)
    free = {file: size for file, size in tree.files.items() if file not in apart}
    if complete:
        free |= {file: size for file, (size, _) in tree.derived.items()}
    folders: dict[Path, list[Path]] = {}
    for file in free:
        folders.setdefault(file.parent, []).append(file)
    for unit in units:
        near = {file.parent for file in unit.members}
        near |= {each for each in folders for home in unit.homes if each.is_relative_to(home)}
        sizes = {file: free[file] for each in near for file in folders.get(each, ()) if file not in taken.covered}
        taken.add_unit(unit, sizes | {file: tree.files[file] for file in unit.members})
    if taken.stream is None:
        for file in wav:
            taken.add_file(file, tree.files[file], "wav" if not complete or _is_wav(file) else "bytes")
        for file in described:
            taken.add_file(file, tree.files[file], "raw")
    else:
        taken.leave((*wav, *described), tree.files, f"does not contain the stream {taken.stream!r}")
    for file in others:
        hint = "; raw samples need --channels, --rate and --dtype" if file.suffix.lower() in RAW else ""
        taken.leave([file], tree.files, f"not a recording{hint}")
    for file, (size, name) in tree.derived.items():
        taken.leave([file], {file: size}, f"derived ({name})")
    if complete and taken.stream is None:
        taken.add_rest()
    for file, size in tree.own.items():
        taken.leave([file], {file: size}, "compressed already")
    for file, (size, why) in tree.others.items():
        taken.leave([file], {file: size}, why)


def _take_file(path: Path, taken: _Taken, raw: bool, reader: str | None, complete: bool) -> None:
    size = os.stat(path).st_size
    if reader is None and (raw or path.suffix.lower() == ".wav"):
        taken.add_file(path, size, "raw" if raw else "bytes" if complete and not _is_wav(path) else "wav")
        return
    if is_own(path):
        raise DataError(f"{path}: is compressed already")
    unit = Unit((reader,), path, (path,)) if reader is not None else unit_of(path)
    if unit is None:
        if complete and not _is_wav(path):
            taken.add_file(path, size, "bytes")
        elif path.suffix.lower() not in RAW:
            taken.add_file(path, size, "wav")
        return
    if unit.homes:
        taken.root = unit.homes[0]
        sizes = tree_of(taken.root).files
        unit = replace(unit, members=tuple(sizes))
    else:
        sizes = {file: file.stat().st_size for file in unit.members} | _beside(path)
    only = path if path.suffix == ".dat" and unit.readers == ("openephysbinary",) else None
    taken.add_unit(replace(unit, sure=True), sizes, only)
    if complete and not taken.items:
        taken.add_rest()


def _beside(path: Path) -> dict[Path, int]:
    """Files of the same name with another ending that are no recordings, with their sizes."""
    found = [p for p in path.parent.iterdir() if p.stem == path.stem and p.is_file() and not p.is_symlink()]
    return {p: p.stat().st_size for p in found if p.suffix.lower() not in (".wav", *FILES) and not is_own(p)}


def _is_wav(path: Path) -> bool:
    """Whether a file can be compressed as a WAV file, if only as bytes."""
    from spikey.recording.source import NotPCM
    from spikey.recording.wav import open_wav

    try:
        open_wav(path, floats=True).close()
    except NotPCM:
        return True
    except DataError:
        return False
    return True

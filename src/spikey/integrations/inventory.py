"""The plan for an input: the outputs to be written, and the files that they will not restore."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spikey.base.errors import DataError, UsageError, install
from spikey.integrations.discovery import RAW, Unit
from spikey.vendors.parsed import EMPTY

if TYPE_CHECKING:
    from spikey.integrations.part import Part

MISSING = f"needs SpikeInterface: {install('spikeinterface')}"
UNDESCRIBED = f"names, gains and positions of channels are not described, which {MISSING}"
RESTORED_AS = "its samples are stored, and restored as"
SAMPLES = "only its samples are stored"
NAME = "cannot be restored under its name on every system"


def _stored_as_is(why: str) -> str:
    """What becomes of a file that cannot be parsed, in a folder that is stored as a whole.

    >>> _stored_as_is("contains no samples")
    'contains no samples, and is stored as it is'
    """
    return f"{why}, and is stored as it is" if why.startswith("contains") else f"is stored as it is ({why})"


@dataclass(frozen=True)
class Unstored:
    """A file below the input folder that no output restores.

    Attributes
    ----------
    path : Path
        The file.
    size : int
        Its size in bytes.
    reason : str
        Why it is not stored.
    failed : bool
        Whether it is a recording that cannot be read.
    """

    path: Path
    size: int
    reason: str
    failed: bool = False


@dataclass(frozen=True)
class Item:
    """One planned output.

    Attributes
    ----------
    name : str
        Place of the original below the input folder, with slashes; a title for what is not one flat file.
    path : Path or None
        The one file that `files.compress_file` compresses; None where `part` is given.
    part : Part or None
        The part of a vendor's recording.
    kind : {"wav", "raw", "vendor", "bytes"}
        "bytes": a file that is stored byte for byte, without a model.
    covers : tuple of Path
        The input files whose bytes the output restores; empty where only samples are stored.
    size : int
        Size in bytes of the files that are covered, or of the samples.
    """

    name: str
    path: Path | None
    part: Part | None
    kind: str
    covers: tuple[Path, ...]
    size: int


@dataclass(frozen=True)
class Inventory:
    """The planned outputs of an input, and what they leave out.

    Attributes
    ----------
    root : Path
        The input folder.
    items : tuple of Item
        The planned outputs.
    unstored : tuple of Unstored
        The files that no output restores.
    """

    root: Path
    items: tuple[Item, ...]
    unstored: tuple[Unstored, ...]

    def complete(self) -> bool:
        """Whether everything below the root would be restored file for file."""
        return not self.unstored


@dataclass
class InventoryBuilder:
    """What has been decided so far."""

    root: Path
    stream: str | None
    items: list[Item] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    covered: set[Path] = field(default_factory=set)
    unstored: dict[Path, Unstored] = field(default_factory=dict)
    errors: dict[str, Path] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)

    def add_file(self, path: Path, size: int, kind: str) -> None:
        """A file to be compressed by itself."""
        self._add(Item(path.relative_to(self.root).as_posix(), path, None, kind, (path,), size))

    def add_unit(self, unit: Unit, sizes: dict[Path, int], only: Path | None = None) -> None:
        """The parts of a vendor's recording, or why there are none; `only`: those in this file."""
        from spikey.integrations.parsed_parts import parsed_parts

        parsed = parsed_parts(unit, self.root)
        if parsed is None:
            self._add_read(unit, sizes, only)
            return
        parts, failed = parsed
        if not parts:
            self._fail(unit, sizes, failed)
            return
        try:
            from spikey.integrations.streams import with_streams

            parts = with_streams(parts, unit)
        except ImportError:
            if not parts[0].described:
                parts[0] = replace(parts[0], notes=(*parts[0].notes, UNDESCRIBED))
        if unit.homes and self.stream is None:  # everything there is stored, be it a recording or not
            kept = [f"{path.name} {_stored_as_is(why)}" for path, why in sorted(failed.items())]
            parts[0] = replace(parts[0], notes=(*parts[0].notes, *kept))
        else:
            self._fail(unit, sizes, failed)
        self._add_parts(parts, unit, sizes, only)

    def _add_read(self, unit: Unit, sizes: dict[Path, int], only: Path | None) -> None:
        """The parts of a recording that SpikeInterface reads."""
        try:
            from spikey.integrations.vendor_parts import read_parts
        except ImportError:
            self.leave(unit.members, sizes, MISSING if unit.sure else "not a recording", unit.sure)
            self.errors |= {MISSING: unit.place} if unit.sure else {}
            return
        try:
            found = read_parts(unit, self.root)
        except DataError as error:
            self._fail(unit, sizes, dict.fromkeys(unit.members, str(error)))
            return
        self._add_parts(found, unit, sizes, only)

    def _add_parts(self, found: list[Part], unit: Unit, sizes: dict[Path, int], only: Path | None) -> None:
        """Parts, with the files beside them."""
        from spikey.integrations.side_files import with_side_files

        def chosen(part: Part) -> bool:
            return (only is None or only in part.paths) and self.stream in (None, *part.names)

        self.streams.update(name for part in found for name in part.names if name)
        parts = with_side_files(found, unit, self.root, sizes, chosen)
        for part in parts:
            covers = (*part.paths, *(Path(file.path) for file in part.files))
            size = sum(sizes[each] for each in covers) or part.sample_bytes
            self._add(Item(part.name, None, part, "vendor", covers, size))
        if only is not None:
            return
        for part in found:
            if not part.paths and part.content.read:
                restored = f"{RESTORED_AS} {part.content.restored}" if part.reader == "mtscomp" else NAME
                self.leave(part.content.read, sizes, restored)
        samples_only = any(not part.content.read for part in parts)
        other = f"does not contain the stream {self.stream!r}"
        reason = SAMPLES if samples_only else NAME if self.stream is None else other
        self.leave((*unit.members, *(path for part in found for path in part.content.read)), sizes, reason)

    def _fail(self, unit: Unit, sizes: dict[Path, int], failed: dict[Path, str]) -> None:
        """Note why files of a unit are not recordings; one without samples is stored byte for byte."""
        for path, why in sorted(failed.items()):
            if why == EMPTY and self.stream is None and unit.sure and path in sizes:
                self.add_file(path, sizes[path], "bytes")
                continue
            why = why if why.startswith(unit.readers) else f"{unit.readers[0]}: {why}"
            self.errors |= {why: self.errors.get(why, path)} if unit.sure else {}
            self.leave([path], sizes, f"cannot be read ({why})" if unit.sure else "not a recording", unit.sure)

    def leave(self, paths: Iterable[Path], sizes: dict[Path, int], reason: str, failed: bool = False) -> None:
        """Note that files are not stored, unless there is a reason already; what is covered is taken out at the end."""
        for path in paths:
            if path in sizes:
                self.unstored.setdefault(path, Unstored(path, sizes[path], reason, failed))

    def add_rest(self) -> None:
        """Files that are not stored so far, each by itself; but for those of which the samples are stored."""
        for each in self.unstored.values():
            if each.path not in self.covered and not each.reason.startswith((SAMPLES, RESTORED_AS)):
                self.add_file(each.path, each.size, "bytes")

    def _add(self, item: Item) -> None:
        """Add an output; one whose title another has gets a number behind it."""
        name, number = item.name, 2
        while name in self.names:
            name, number = f"{item.name}-{number}", number + 1
        self.names.add(name)
        self.covered.update(item.covers)
        self.items.append(replace(item, name=name))

    def build(self, path: Path) -> Inventory:
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
        hint = "--reader names another format"
        if path.is_dir() and all(each.reason == "compressed already" for each in self.unstored.values()):
            raise DataError(f"{path}: contains only files that are compressed already")
        if path.suffix.lower() in RAW or any(each.suffix.lower() in RAW for each in self.unstored):
            hint = "give --channels, --rate and --dtype to read it as raw samples"
        if self.errors:
            errors = [f"{each.name}: {why}" if path.is_dir() else why for why, each in self.errors.items()]
            raise DataError(f"{path}: cannot be read as a recording ({'; '.join(errors)}); {hint}")
        raise DataError(f"{path}: contains no recording that can be read; {hint}")

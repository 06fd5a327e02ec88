"""What becomes of everything in an input: the outputs to be written, and the files that they will not restore."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spikey.errors import DataError
from spikey.recording.tree import is_own, tree_of

if TYPE_CHECKING:
    from spikey.integrations.vendors import Part

RAW = (".raw", ".dat", ".bin")


@dataclass(frozen=True)
class Unstored:
    """A file below the root that the outputs will not restore, and why; `failed`: it is a recording, but unreadable."""

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
    size: bytes of the files that are covered or read.
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
    """Decide what becomes of a file or of everything in a folder.

    raw: .raw, .dat and .bin files are samples that the caller describes. stream, reader: only this stream of a vendor's
    recording; SpikeInterface's name of its format. complete: store derived files and all others as well.
    exclude: files and folders that are not part of the input, such as the outputs.
    Raises DataError for a file that is no recording and for a folder without any, UsageError for a stream or reader
    that there is not.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if not path.is_dir():
        size = path.stat().st_size
        if is_own(path):
            raise DataError(f"{path}: is compressed already")
        item = Item(path.name, path, None, "raw" if raw else "wav", (path,), size)
        return Inventory(path.parent, (item,), ())
    tree = tree_of(path, exclude)
    items = []
    left: list[Unstored] = []
    for file, size in tree.files.items():
        suffix = file.suffix.lower()
        kind = "wav" if suffix == ".wav" else "raw" if raw and suffix in RAW else "bytes" if complete else ""
        if kind:
            items.append(Item(file.relative_to(path).as_posix(), file, None, kind, (file,), size))
        else:
            left.append(Unstored(file, size, "not a recording"))
    for file, (size, folder) in tree.derived.items():
        if complete:
            items.append(Item(file.relative_to(path).as_posix(), file, None, "bytes", (file,), size))
        else:
            left.append(Unstored(file, size, f"derived ({folder})"))
    left += [Unstored(file, size, "compressed already") for file, size in tree.own.items()]
    left += [Unstored(file, size, why) for file, (size, why) in tree.others.items()]
    return Inventory(path, tuple(items), tuple(sorted(left, key=lambda each: each.path)))

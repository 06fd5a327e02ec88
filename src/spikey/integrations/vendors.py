"""Vendors' recordings: how a file, or everything in a folder, would be compressed.

Only vendors' formats need SpikeInterface; WAV files, raw files and others are found without it.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from spikey.base.errors import DataError
from spikey.integrations.discovery import FILES, RAW, WHOLE, Unit, unit_of, units_in
from spikey.integrations.inventory import Inventory, InventoryBuilder, Item, Unstored
from spikey.recording.tree import Tree, is_own, tree_of

__all__ = ["Inventory", "Item", "Unstored", "take_inventory"]


def take_inventory(
    path: Path,
    *,
    raw: bool = False,
    stream: str | None = None,
    reader: str | None = None,
    complete: bool = False,
    exclude: Collection[Path] = (),
    among: Collection[Path] | None = None,
) -> Inventory:
    """List how a file, or everything in a folder, would be compressed; nothing is written.

    Parameters
    ----------
    path : Path
        A recording, or a folder of recordings of any kinds.
    raw : bool
        Whether .raw, .dat and .bin files outside vendors' recordings are samples that the caller describes.
    stream, reader : str, optional
        Only the parts of vendors' recordings with this stream; SpikeInterface's name of the format.
    complete : bool
        Whether derived files and all others are stored as well.
    exclude : collection of Path
        Files and folders that are not part of the input, such as the outputs.
    among : collection of Path, optional
        The only files of a folder that are part of the input; all of them if None.

    Returns
    -------
    Inventory
        Files that cannot be read are in `unstored`, with the reason, and do not stop the rest.

    Raises
    ------
    DataError
        For a file that is not a recording, and for a folder in which nothing can be stored.
    UsageError
        For an empty folder, for a stream or reader that does not exist, and if SpikeInterface is missing and nothing
        else can be read.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist")
    builder = InventoryBuilder(path if path.is_dir() else path.parent, stream)
    if path.is_dir():
        tree = tree_of(path, exclude)
        _add_folder(path, tree if among is None else tree.only(among), builder, raw, reader, complete)
    else:
        _add_file(path, builder, raw, reader, complete)
    return builder.build(path)


def _add_folder(
    path: Path, tree: Tree, builder: InventoryBuilder, raw: bool, reader: str | None, complete: bool
) -> None:
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
    homes = {home: unit for unit in units for home in unit.homes}
    for unit in units:
        near = {file.parent for file in unit.members}
        near |= {each for each in folders for home in unit.homes if each.is_relative_to(home)}
        near = {each for each in near if _home_of(each, homes) in (None, unit)}
        sizes = {file: free[file] for each in near for file in folders.get(each, ()) if file not in builder.covered}
        builder.add_unit(unit, sizes | {file: tree.files[file] for file in unit.members})
    if builder.stream is None:
        for file in wav:
            builder.add_file(file, tree.files[file], "wav" if not complete or _is_wav(file) else "bytes")
        for file in described:
            builder.add_file(file, tree.files[file], "raw")
    else:
        builder.leave((*wav, *described), tree.files, f"does not contain the stream {builder.stream!r}")
    for file in others:
        hint = "; raw samples need --channels, --rate and --dtype" if file.suffix.lower() in RAW else ""
        builder.leave([file], tree.files, f"not a recording{hint}")
    for file, (size, name) in tree.derived.items():
        builder.leave([file], {file: size}, f"derived ({name})")
    if complete and builder.stream is None:
        builder.add_rest()
    for file, size in tree.own.items():
        builder.leave([file], {file: size}, "compressed already")
    for file, (size, why) in tree.others.items():
        builder.leave([file], {file: size}, why)


def _home_of(folder: Path, homes: dict[Path, Unit]) -> Unit | None:
    """The unit that everything in a folder belongs to, the innermost of several."""
    return next((homes[each] for each in (folder, *folder.parents) if each in homes), None)


def _add_file(path: Path, builder: InventoryBuilder, raw: bool, reader: str | None, complete: bool) -> None:
    size = os.stat(path).st_size
    if reader is None and (raw or path.suffix.lower() == ".wav"):
        builder.add_file(path, size, "raw" if raw else "bytes" if complete and not _is_wav(path) else "wav")
        return
    if is_own(path):
        raise DataError(f"{path}: is compressed already")
    unit = Unit((reader,), path, (path,)) if reader is not None else unit_of(path)
    if unit is None:
        if complete and not _is_wav(path):
            builder.add_file(path, size, "bytes")
        elif path.suffix.lower() not in RAW:
            builder.add_file(path, size, "wav")
        return
    if unit.homes:
        builder.root = unit.homes[0]
        sizes = tree_of(builder.root).files
        unit = replace(unit, members=tuple(sizes))
    else:
        sizes = {file: file.stat().st_size for file in unit.members} | _beside(path)
    only = path if path.suffix == ".dat" and unit.readers == ("openephysbinary",) else None
    builder.add_unit(replace(unit, sure=True), sizes, only)
    if complete and not builder.items:
        builder.add_rest()


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

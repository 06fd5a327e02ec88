"""Side files out of a compressed recording: what a vendor's folder holds beside the samples, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from spikey.base.errors import DataError, UsageError
from spikey.container.layout import BLOCK_FILES
from spikey.container.reader import Reader
from spikey.recording.output import PathLike, atomic_output, make_folder


def write_side_files(
    reader: Reader, folder: PathLike, *, overwrite: bool = False, like: PathLike | None = None
) -> list[Path]:
    """Restore the side files of an opened compressed recording below `folder`; return where they are.

    One that exists already stays, if it has the same bytes. Raises UsageError, and writes nothing, where one has
    others, unless `overwrite`; DamagedError where a file's bytes are lost. like: whose mode and time they get.
    """
    wanted = {name: Path(folder, *name.split("/")) for name in reader.files}
    there = set() if overwrite else {name for name, path in wanted.items() if path.exists()}
    if there:
        for name, pieces in side_files_of(reader):
            _check_same(wanted[name], pieces if name in there else None)
    for name, pieces in side_files_of(reader):
        if name not in there:
            make_folder(wanted[name].parent)
            with atomic_output(wanted[name], reader.name, overwrite=overwrite, like=like) as (out, _):
                for piece in pieces:
                    out.write(piece)
    return list(wanted.values())


def _check_same(path: Path, pieces: Iterator[bytes] | None) -> None:
    """UsageError where the file at `path` holds other bytes."""
    if pieces is None:
        return
    try:
        with open(path, "rb") as file:
            same = all(file.read(len(piece)) == piece for piece in pieces) and not file.read(1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be compared with what is to be restored ({error.strerror})") from None
    if not same:
        raise UsageError(f"{path}: exists and differs from what is to be restored; -f or --force replaces it")


def side_files_of(reader: Reader) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each side file's name and its bytes in pieces; the rest of them is skipped."""
    for name, group in groupby(_pieces(reader), key=itemgetter(0)):
        yield name, (piece for _, piece in group)


def _pieces(reader: Reader) -> Iterator[tuple[str, bytes]]:
    """The bytes of all side files, with the names they belong to; at least one piece, if an empty one, for each."""
    chunks = reader.around(BLOCK_FILES)
    held = b""
    for name, size in reader.files.items():
        left = size
        while True:
            yield name, held[:left]
            left, held = left - len(held[:left]), held[left:]
            if not left:
                break
            held = next(chunks, b"")
            if not held:
                raise DataError(f"{reader.name}: lacks {left:,} bytes of the side file {name}")

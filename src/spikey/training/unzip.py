"""Extracts the WAV files of an untrusted zip archive: nothing is written outside the folder or fills the disk."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from spikey.base.errors import DataError, UsageError
from spikey.recording.source import open_file

MOST_MEMBERS = 100_000
MOST_BYTES = 200_000_000_000  # of all recordings together, unpacked
MOST_DEPTH = 20  # of folders in folders
MOST_RATIO = 200  # of a recording's size to its size in the archive; neural noise gives 2, pure silence 1000
SMALL = 1 << 20  # bytes up to which a recording may be smaller than that in the archive
PIECE = 1 << 20

Say = Callable[[str], None]
# Called with a total, None if unknown, and a unit, it gives a context that yields what to call with each amount done;
# `spikey.cli.common.progress_bar` is one.
Bar = Callable[[int | None, str], AbstractContextManager[Callable[[int], None]]]

# What zipfile raises for archives that are cut, damaged or forged.
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError, LookupError)
_ODD = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}


def unpack(archive: Path, folder: Path, bar: Bar, say: Say) -> None:
    """Unpack the WAV files of the zip file `archive` as the new `folder`, whole or not at all; say how many.

    Other files are left out, and so are hidden ones and those in __MACOSX; checksums are verified. Raises DataError
    for an archive that is damaged, encrypted or without WAV files, has names that lead elsewhere, or exceeds the limits
    above; UsageError where the folder cannot be written or the disk has no room.
    """
    file, name, size = open_file(archive)
    with file, _as_one_sentence(name), zipfile.ZipFile(file) as zipped:
        members = zipped.infolist()
        if len(members) > MOST_MEMBERS:
            raise DataError(f"{name}: has {len(members):,} members, more than the {MOST_MEMBERS:,} allowed")
        if sum(member.compress_size for member in members) > size:
            raise DataError(f"{name}: its members overlap, as they do in archives made to fill a disk")
        chosen = _chosen(members, name)
        total = sum(member.file_size for member in chosen.values())
        if not chosen:
            raise DataError(f"{name}: contains no WAV files ({counted(len(members), 'other member')})")
        if total > MOST_BYTES:
            raise DataError(f"{name}: unpacks to {shown(total)}, more than the {shown(MOST_BYTES)} allowed")
        require_room(folder.parent, total)
        with _atomic_folder(folder) as tmp_path, bar(total, "bytes unpacked") as advance:
            for path, member in chosen.items():
                _write(zipped, member, tmp_path / path, name, advance)
    others = len(members) - len(chosen)
    say(f"{name}: {counted(len(chosen), 'recording')} unpacked to {folder}, {counted(others, 'other member')} left out")


def require_room(folder: Path, size: int) -> None:
    """Raise UsageError unless the disk of `folder`, which need not exist, has `size` bytes free."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if size > free:
        raise UsageError(f"{folder}: needs {shown(size)} more, and its disk has {shown(free)} free")


def write_failure(path: Path, error: OSError) -> UsageError:
    """What to raise where `path` cannot be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return UsageError(f"{path}: cannot be written ({'the disk is full' if full else error.strerror or error})")


def shown(size: int) -> str:
    """A number of bytes for a person.

    >>> shown(999), shown(12_345_678)
    ('999 bytes', '12.3 MB')
    """
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6)):
        if size >= bytes_:
            return f"{size / bytes_:,.1f} {unit}"
    return counted(size, "byte")


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "file"), counted(2000, "file")
    ('1 file', '2,000 files')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@contextmanager
def _as_one_sentence(name: str) -> Iterator[None]:
    """Turn the errors of zipfile into one sentence."""
    try:
        yield
    except UsageError:  # a ValueError too, but not caused by the archive
        raise
    except _BROKEN as error:
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{name}: is not a zip archive, or a damaged or incomplete one ({cause})") from None


@contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to `folder` when the block ends without an error, and removed otherwise."""
    tmp_path = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    made_parent = not folder.parent.exists()
    try:
        tmp_path.mkdir(parents=True)
        yield tmp_path
        tmp_path.rename(folder)
    except BaseException as error:
        shutil.rmtree(tmp_path, ignore_errors=True)
        if made_parent:
            with suppress(OSError):
                folder.parent.rmdir()
        if isinstance(error, OSError):
            raise write_failure(folder, error) from None
        raise


def _chosen(members: list[zipfile.ZipInfo], name: str) -> dict[str, zipfile.ZipInfo]:
    """The members to unpack by their path, relative and with slashes; DataError for one that may not be extracted."""
    chosen: dict[str, zipfile.ZipInfo] = {}
    files: set[str] = set()
    folders: set[str] = set()
    for member in members:
        # Not `filename`, in which zipfile has cut and replaced characters.
        stored = member.orig_filename
        if not stored.lower().endswith(".wav"):
            continue
        label = f"{name}: {stored[:100]!a}"
        parts = [part for part in stored.split("/") if part != "."]
        if len(parts) > MOST_DEPTH or not all(map(_harmless, parts)):
            raise DataError(f"{label} is a name that leads elsewhere or is not possible on every system")
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise DataError(f"{label} is a link or a device, not a file")
        if member.flag_bits & 0x2041:  # encrypted, strongly encrypted, names encrypted
            raise DataError(f"{label} is encrypted; unpack the archive by hand and name the folder instead")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Those that Python reads beside these two give it no bound on the memory they take.
            raise DataError(f"{label} is neither stored nor deflated; unpack the archive by hand and name the folder")
        if member.file_size > max(SMALL, MOST_RATIO * member.compress_size):
            raise DataError(
                f"{label} unpacks from {shown(member.compress_size)} to {shown(member.file_size)}, as no recording does"
            )
        path = "/".join(parts)
        key = path.casefold()
        above = {key[: cut.start()] for cut in re.finditer("/", key)}
        if key in files or key in folders or not above.isdisjoint(files):
            raise DataError(f"{label} occurs twice, or as a file and a folder, at least where case does not matter")
        files.add(key)
        folders |= above
        chosen[path] = member
    return chosen


def _harmless(part: str) -> bool:
    """Whether a part of a path is a plain name of a file or folder on every system."""
    return not (
        part == ""
        or part.endswith((".", " "))  # as `..` does
        or _ODD.search(part)
        or part.split(".")[0].strip().upper() in _DEVICES
        or len(part.encode(errors="surrogatepass")) > 255
    )


def _write(
    zipped: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, name: str, advance: Callable[[int], None]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with zipped.open(member) as source, open(path, "xb") as out:
        while piece := source.read(PIECE):
            left -= len(piece)
            if left < 0:
                break
            out.write(piece)
            advance(len(piece))
    if left:
        raise DataError(f"{name}: {member.filename[:100]!a} is not of the size that the archive specifies")

"""Writes files completely or not at all, flushed to disk, and without overwriting others unless requested."""

from __future__ import annotations

import operator
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, reduce
from pathlib import Path
from typing import BinaryIO

from spikey.base.errors import OutputExistsError, UsageError, failed_write
from spikey.base.locks import remove_held, try_lock
from spikey.recording.remote import is_address

RECORDINGS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"SPKY", b"SPKA", b"SPKT")  # first bytes of such files
STDOUT = "/dev/stdout"  # what `-` stands for; no such file need exist
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.part", re.DOTALL)
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/(?:fd/(\d+)|(stdin|stdout|stderr))")
_NAMED = {"stdin": 0, "stdout": 1, "stderr": 2}
_BINARY = getattr(os, "O_BINARY", 0)
PathLike = str | os.PathLike[str]
_unfinished: set[str] = set()  # of this process


def tmp_name(name: str) -> str:
    """The temporary name of a file until it is complete."""
    short = os.fsencode(name)[:100].decode("utf-8", "ignore")  # as file systems limit bytes
    return f".{short}.{secrets.token_hex(4)}.part"


def is_tmp_name(name: str) -> bool:
    """Whether a file of that name is an unfinished output of this or another process.

    >>> is_tmp_name(tmp_name("a.spky")), is_tmp_name("a.part")
    (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def atomic_output(
    path: PathLike,
    *inputs: PathLike,
    overwrite: bool = False,
    like: PathLike | None = None,
    readable_as: Iterable[PathLike] = (),
) -> Iterator[tuple[BinaryIO, str]]:
    """A file to write that is renamed to `path` and flushed to disk when the block ends without an error.

    Parameters
    ----------
    path : path or address of fsspec's
        Where to. What is not a regular file (a pipe, `/dev/stdout`) is written to when the block has ended, never
        replaced.
    *inputs : paths
        Files that must not be written to, under whatever name, even with `overwrite`.
    overwrite : bool
        Whether to replace a file that exists.
    like : path, optional
        A local file whose mode and modification time the output gets.
    readable_as : paths
        Local files of which each must let somebody read or write, so that the output does.

    Yields
    ------
    (file, tmp_path) : tuple of binary file and str
        The block closes the file before it reads it again under `tmp_path`.

    Raises
    ------
    OutputExistsError
        `path` exists, or came to exist meanwhile; UsageError: `path` cannot be written, or is an input or a folder.
    """
    if is_address(path):
        from spikey.recording.store import atomic_address

        if any(os.fspath(path) == os.fspath(each) for each in inputs):
            raise UsageError(f"{path}: would be read and written at once; name another output", code="same-file")
        with atomic_address(os.fspath(path), overwrite) as remote:
            yield remote
        return
    if not os.fspath(path):
        raise UsageError("the output path is empty; give a path")
    if is_special(path):
        with _spooled(path) as spooled:
            yield spooled
        return
    target = Path(os.path.realpath(path))  # a link stays one
    try:
        _check(target, path, inputs, overwrite)
        status = None if like is None or is_address(like) else os.stat(like)
        mode = _joint_mode(status, readable_as)
        remove_abandoned(str(target.parent))
        handle, tmp_path, lock = _create(target, 0o666 if mode is None else 0o600)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file, tmp_path
            _finish(tmp_path, status, mode)
            _check(target, path, inputs, overwrite)
            _rename(tmp_path, target, overwrite)
            sync_folder(target.parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(tmp_path)
            raise
        finally:
            _unfinished.discard(tmp_path)
            os.close(lock)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written ({error.strerror or error})", code=failed_write(error)) from None


@contextmanager
def report_output(path: PathLike) -> Iterator[tuple[BinaryIO, str]]:
    """`atomic_output` for a report, a picture or results, which replace earlier ones but never a recording."""
    with suppress(OSError), open(path, "rb") as file:
        if file.read(4) in RECORDINGS:
            raise UsageError(f"{os.fspath(path)}: is a recording or a compressed file; name another file")
    with atomic_output(path, overwrite=True) as output:
        yield output


def write_report(path: PathLike, data: bytes) -> None:
    """Write all of a report, a picture or a table of results with `report_output`."""
    with report_output(path) as (file, _):
        file.write(data)


def refuse_existing(path: PathLike, overwrite: bool) -> None:
    """OutputExistsError where a file exists that must not be replaced, before any work is done for it."""
    if not overwrite and is_taken(path):
        raise OutputExistsError(os.fspath(path))


def is_taken(path: PathLike) -> bool:
    """Whether a file or folder is there that an output would replace; pipes and devices are written to."""
    return os.path.exists(path) and not is_special(path)


def is_special(path: PathLike) -> bool:
    """Whether a path leads to something that is written to instead of being replaced: a pipe, a device."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_descriptor(path: PathLike) -> bool:
    """Whether a path leads to an open descriptor of this process, as /dev/stdin does."""
    return _descriptor(path) is not None


def is_input(path: PathLike, inputs: tuple[PathLike, ...]) -> bool:
    """Whether `path` is one of some files under whatever name: a link to it, or a second name of it."""
    with suppress(OSError, ValueError):
        there = os.stat(path)
        for each in inputs:
            with suppress(OSError, ValueError):
                if os.path.samestat(there, os.stat(each)):
                    return True
    return False


def make_folder(path: Path) -> None:
    """Make a folder and those above it, flushed to disk; UsageError if that fails."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be created ({error.strerror})") from None
    for each in missing:
        sync_folder(each.parent)


def sync_folder(path: PathLike) -> None:
    """Flush the names in a folder to disk, if the system supports this."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file(path: PathLike) -> None:
    """Flush a file's bytes to disk; OSError if that fails."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


@cache
def remove_abandoned(folder: str) -> None:
    """Remove, once in a process, the unfinished outputs in a folder whose processes have ended."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if is_tmp_name(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    lock = os.open(entry.path, os.O_RDWR | _BINARY)
                    try:
                        if try_lock(lock):
                            os.unlink(entry.path)
                    finally:
                        os.close(lock)


def remove_unfinished() -> None:
    """Remove the outputs that this process has begun and the lock files that it holds, where it is about to end
    without waiting for its threads.
    """
    for path in list(_unfinished):
        with suppress(OSError):
            os.unlink(path)
    remove_held()


def _joint_mode(like: os.stat_result | None, others: Iterable[PathLike]) -> int | None:
    """The mode that all of some files have in common, of those that exist; None where there are none."""
    modes = [] if like is None else [like.st_mode]
    for each in others:
        with suppress(OSError, ValueError):
            modes.append(os.stat(each).st_mode)
    return reduce(operator.and_, [stat.S_IMODE(mode) & 0o777 for mode in modes]) if modes else None


def _check(target: Path, path: PathLike, inputs: tuple[PathLike, ...], overwrite: bool) -> None:
    """UsageError where `target` must not be written to."""
    if target.is_dir():
        raise UsageError(f"{os.fspath(path)}: is a folder; name a file to write to")
    if os.fspath(path).endswith(("/", os.sep)):
        raise UsageError(f"{os.fspath(path)}: no such folder")
    if is_input(target, inputs):
        raise UsageError(f"{os.fspath(path)}: would be read and written at once; name another output", code="same-file")
    if not overwrite and target.exists():
        raise OutputExistsError(os.fspath(path))


def _create(target: Path, mode: int) -> tuple[int, str, int]:
    """A new temporary file beside `target`: its descriptor, path, and one more descriptor that holds a lock on it,
    by which other processes see that it is not abandoned.
    """
    while True:
        tmp_path = target.with_name(tmp_name(target.name))
        _unfinished.add(os.fspath(tmp_path))  # before it exists, as an interrupt may come in between
        handle = os.open(tmp_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, mode)
        lock = os.dup(handle)
        # Another process may have found it before it is locked, and then removes it.
        with suppress(FileNotFoundError):
            if try_lock(lock) is not False and os.path.samestat(os.fstat(handle), os.stat(tmp_path)):
                return handle, os.fspath(tmp_path), lock
        _unfinished.discard(os.fspath(tmp_path))
        os.close(handle)
        os.close(lock)


def _finish(tmp_path: str, like: os.stat_result | None, mode: int | None) -> None:
    """Flush a complete file's bytes to disk, and set its mode and the time of another file."""
    sync_file(tmp_path)
    if like is not None:
        os.utime(tmp_path, ns=(like.st_atime_ns, like.st_mtime_ns))
    if mode is not None:
        os.chmod(tmp_path, mode)


def _rename(tmp_path: str, target: Path, overwrite: bool) -> None:
    """Rename a file. Without `overwrite` an existing file of that name, even one created at this moment, stays."""
    if overwrite:
        os.replace(tmp_path, target)
        return
    try:
        os.link(tmp_path, target)
    except FileExistsError:
        raise OutputExistsError(os.fspath(target)) from None
    except (OSError, AttributeError):  # a file system without a second name for a file
        if os.path.lexists(target):
            raise OutputExistsError(os.fspath(target)) from None
        os.rename(tmp_path, target)
        return
    os.unlink(tmp_path)


def _descriptor(path: PathLike) -> int | None:
    """The open descriptor that a path stands for, as /dev/stdout does, through links too; None for other paths."""
    text = os.fspath(path)
    for _ in range(40):
        if found := _DESCRIPTOR.fullmatch(text):
            return int(found[1]) if found[1] else _NAMED[found[2]]
        try:
            text = os.path.join(os.path.dirname(text), os.readlink(text))
        except (OSError, ValueError):
            return None
    return None


@contextmanager
def _spooled(path: PathLike) -> Iterator[tuple[BinaryIO, str]]:
    """A temporary file whose bytes are written to what `path` stands for when the block has ended without an error."""
    handle, tmp_path = tempfile.mkstemp(suffix=".part")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file, tmp_path
        descriptor = _descriptor(path)
        try:
            with (
                open(tmp_path, "rb") as done,
                open(path if descriptor is None else os.dup(descriptor), "wb", buffering=0) as out,
            ):
                shutil.copyfileobj(done, out, 1 << 20)
        except OSError as error:
            raise UsageError(
                f"{os.fspath(path)}: cannot be written ({error.strerror or error})", code=failed_write(error)
            ) from None
    finally:
        with suppress(OSError):
            os.unlink(tmp_path)

"""Where compiled kernels lie between processes: files that are checked before they are used.

Numba's own cache looks only at the file that a kernel is in, believes whatever lies in its folder, and raises where no
folder can be written. Here the names of all files contain a digest of the sources, each file a digest of its contents,
and a temporary folder does where there is no other. A cache that fails costs time, never a run.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import IndexDataCacheFile

PARTS = (
    "model",
    "coding",
    "codec/adaptive",
    "codec/refined",
    "codec/wide",
    "stream",
    "telemetry",
)  # packages of which every file counts; of the
COMPILED = re.compile(rb"spikey\.base\.jit|^@\w+\.register\(", re.MULTILINE)  # others those that contain this
config: Any = numba.config
BOUNDS = "-bounds"  # after the stamp of kernels that check their indices (NUMBA_BOUNDSCHECK), which others do not
DIGEST = 16  # bytes of a cache file's SHA-256, before its contents


class CacheWarning(UserWarning):
    """Compiled kernels cannot be kept where they should be."""


def stamp_of(root: Path) -> str:
    """A digest of what cached kernels depend on: equal sources share caches, whenever they were written."""
    digest = hashlib.sha256(numba.__version__.encode())
    for file in sorted(root.rglob("*.py")):
        content, place = file.read_bytes(), file.relative_to(root)
        if place.parent.as_posix() in PARTS or place.stem in ("jit", "jit_cache") or COMPILED.search(content):
            digest.update(f"{place.as_posix()} {len(content)};".encode() + content)
    return digest.hexdigest()[:12]


SOURCES = stamp_of(Path(__file__).parents[1])
STAMP = SOURCES + BOUNDS * bool(config.BOUNDSCHECK)


class CacheFile(IndexDataCacheFile):
    """A kernel's index and its variants. What is damaged or cannot be read is not there, and is compiled again.

    The index has digests of the variants' types, as types bring in the modules that define them, of every variant.
    """

    def load(self, key: Any) -> Any:
        """A variant; None where there is none. Of two processes that write at once, one may have taken its file."""
        name = self._load_index().get(_digest(repr(key).encode()))
        held = _unsealed(self._data_path(name)) if name else None
        return held[1] if isinstance(held, tuple) and held[0] == key else None

    def save(self, key: Any, data: Any) -> None:
        """Keep a variant; where that fails (a full disk, a quota) it is compiled again next time."""
        try:
            super().save(_digest(repr(key).encode()), (key, data))
        except OSError as error:
            warn(f"compiled kernels cannot be kept in {self._cache_path} ({error.strerror or error})")

    def _load_index(self) -> Any:
        overloads = _unsealed(self._index_path)
        return overloads if isinstance(overloads, dict) else {}

    def _save_index(self, overloads: Any) -> None:
        self._write(self._index_path, overloads)
        clear(self._cache_path)

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, content: Any) -> None:
        data = self._dump(content)
        with self._open_for_write(path) as file:
            file.write(_digest(data) + data)


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST]


def _unsealed(path: str) -> Any:
    """What a cache file contains; None where it is missing, damaged, or names what this process does not have."""
    try:
        data = memoryview(Path(path).read_bytes())
        if _digest(data[DIGEST:]) == data[:DIGEST]:
            return pickle.loads(data[DIGEST:])
    except Exception:  # whatever types, of another process or version, raise that cannot be made here
        pass
    return None


@cache
def clear(folder: str) -> None:
    """Remove what other states of the sources left in a folder, once in a process."""
    stamped = re.compile(
        rf"\.py{sys.version_info.major}{sys.version_info.minor}\.([0-9a-f]{{12}})({BOUNDS})?\.(\d+\.nbc|nbi)"
        r"(\.tmp\.[0-9a-f]+)?$"
    )
    for path in Path(folder).iterdir():
        found = stamped.search(path.name)
        if found and found[1] != SOURCES:
            with suppress(OSError):
                path.unlink()


def enable(compiled: Any) -> None:
    """Keep what a compiled function is compiled to for later processes."""
    try:
        with _at_home():
            compiled.enable_caching()
    except RuntimeError:  # none of Numba's places can be written
        folder = spare_folder()
        if folder is None:
            return
        usual, config.CACHE_DIR = config.CACHE_DIR, folder
        try:
            compiled.enable_caching()
        except RuntimeError:
            return
        finally:
            config.CACHE_DIR = usual
    kept = compiled._cache
    file = kept._cache_file
    base = file._index_name.removesuffix(".nbi")
    kept._cache_file = CacheFile(file._cache_path, f"{base}.{STAMP}", STAMP)


@contextmanager
def _at_home() -> Iterator[None]:
    """Where a user has no home, Numba would make a folder `~` in whichever folder the program runs: have it fail."""
    name = "XDG_CACHE_HOME"
    if name in os.environ or os.path.expanduser("~") != "~":
        yield
        return
    os.environ[name] = os.devnull
    try:
        yield
    finally:
        del os.environ[name]


@cache
def spare_folder() -> str | None:
    """A temporary folder for compiled kernels, with a warning; None where there is none either.

    It is this user's alone, as anyone who can write there can run code; it lasts until the system clears it.
    """
    what = f"no folder for compiled kernels can be written (tried {Path(__file__).parent} and the user's cache folder)"
    try:
        folder = _own_folder(Path(tempfile.gettempdir()))
    except OSError:
        warn(f"{what}, so every start compiles them again")
        return None
    warn(f"{what}, so they are in the temporary folder {folder}")
    return folder


def _own_folder(parent: Path) -> str:
    """A folder below `parent` that only this user can write: the same one each time, or one for this process."""
    if hasattr(os, "getuid"):
        folder = parent / f"spikey-kernels-{os.getuid()}"
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            status = folder.lstat()
            private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
            if private and status.st_uid == os.getuid() and os.access(folder, os.W_OK):
                return str(folder)
        folder = Path(tempfile.mkdtemp(prefix="spikey-kernels-", dir=parent))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    else:  # Windows, where each user has a temporary folder
        folder = parent / "spikey-kernels"
        folder.mkdir(exist_ok=True)
    return str(folder)


@cache
def warn(text: str) -> None:
    """Warn once of a text; it ends with the remedy."""
    warnings.warn(f"{text}; set NUMBA_CACHE_DIR to a folder that can be written", CacheWarning, stacklevel=2)

"""Advisory locks on opened files, by which programs see that another one is writing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from spikey.base import forks


def try_lock(handle: int) -> bool | None:
    """Lock a file: whether that was possible, False where another process has it, None where nobody can lock it."""
    if sys.platform == "win32":
        return True  # an open file cannot be removed there
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def unlock(handle: int) -> None:
    """Give up a lock at once, even where a forked child has the file open as well."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def lock_file(path: str | os.PathLike[str]) -> Iterator[bool | None]:
    """Hold a lock file, which is removed in the end: whether that was possible, False where another process holds it,
    None where nobody can lock it. OSError where it cannot be made.
    """
    handle, locked = _locked(path)
    if handle is None:
        yield False
        return
    held = _Held(handle, path)
    forks.watch(held)
    _all_held.add(held)
    try:
        yield locked
    finally:
        _all_held.discard(held)
        if held.handle is not None:
            if sys.platform != "win32":
                with suppress(OSError):
                    os.unlink(path)
                unlock(handle)
            os.close(handle)


class _Held:
    """The descriptor of a lock file; a forked child closes it, as the lock would last until the child ended."""

    def __init__(self, handle: int, path: str | os.PathLike[str]):
        self.handle: int | None = handle
        self.path = path

    def forked(self) -> None:
        """Let go of it in the child."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


_all_held: set[_Held] = set()


def remove_held() -> None:
    """Remove the lock files that this process holds, where it is about to end without leaving their contexts."""
    for held in list(_all_held):
        if held.handle is not None:
            with suppress(OSError):
                os.unlink(held.path)


def _locked(path: str | os.PathLike[str]) -> tuple[int | None, bool | None]:
    """The descriptor of a lock file and what `try_lock` gives; no descriptor where another process holds it."""
    while True:
        if sys.platform == "win32":
            try:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # fails while another process has it open
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), True
            except (PermissionError, FileExistsError):
                return None, False
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        locked = try_lock(handle)
        with suppress(FileNotFoundError):
            if locked is False:
                os.close(handle)
                return None, False
            if os.path.samestat(os.fstat(handle), os.stat(path)):  # not removed meanwhile by who held it before
                return handle, locked
        os.close(handle)

"""Advisory locks on opened files, by which programs see that another one is writing."""

from __future__ import annotations

import sys


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

"""The package's exceptions: one sentence each, naming the file, the cause and, where there is one, the remedy."""

from __future__ import annotations

CHECKOUT = "in Spikey's checkout"  # there is no release yet that a package index has


class SpikeyError(Exception):
    """Base of everything Spikey raises on purpose. The command line prints its text and exits with `exit_status`."""

    exit_status = 1


class InterruptedByUser(SpikeyError):
    """The user stopped the work, with Ctrl-C or SIGTERM."""

    exit_status = 130  # by convention


class DataError(SpikeyError):
    """The data are at fault: malformed, truncated, damaged, or of a kind that is not supported."""


class DamagedError(DataError):
    """Part of a compressed file fails its checksum.

    Attributes
    ----------
    ranges : list of (int, int, int, int)
        What is lost: first frame, end frame, first channel, end channel.
    """

    def __init__(self, message: str, ranges: list[tuple[int, int, int, int]] | None = None):
        super().__init__(message)
        self.ranges = ranges or []


class QueueFullError(DataError):
    """The encoder of a recording is behind and its queue is full: the frames of this call are not in the recording."""


class UsageError(SpikeyError, ValueError):
    """The call is at fault: an argument, an option or a configuration that cannot work."""

    exit_status = 2


class OutputExistsError(UsageError):
    """An output exists and was not to be replaced; `path` names it."""

    def __init__(self, path: str, more: str = ""):
        super().__init__(f"{path}: exists{more}; -f or --force replaces it (in Python: overwrite=True)")
        self.path = path


def install(extras: str = "", *packages: str) -> str:
    """The command that installs Spikey with extras of pyproject.toml, for an error's remedy; other packages beside it.

    >>> print(install("dask"))
    pip install -e ".[dask]" in Spikey's checkout
    """
    target = f'".[{extras}]"' if extras else "."
    return f"pip install -e {' '.join([target, *packages])} {CHECKOUT}"

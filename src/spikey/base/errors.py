"""The package's exceptions: one sentence each, naming the file, the cause and, where there is one, the remedy."""

from __future__ import annotations

import errno

CHECKOUT = "in Spikey's checkout"  # there is no release yet that a package index has


class SpikeyError(Exception):
    """Base of everything Spikey raises on purpose. The command line prints its text and exits with `exit_status`.

    Attributes
    ----------
    code : str
        The kind of error, a heading in docs/errors.md, with which the text ends; empty for kinds without one.

    Examples
    --------
    >>> str(UsageError("a.spky: exists", code="exists"))
    'a.spky: exists [exists]'
    """

    exit_status = 1
    code = ""

    def __init__(self, *arguments: object, code: str = ""):
        super().__init__(*arguments)
        if code:
            self.code = code

    @property
    def text(self) -> str:
        """The text without the code, to be part of another message."""
        text = super().__str__()
        return text.removesuffix(f" [{self.code}]") if self.code else text

    def __str__(self) -> str:
        return f"{self.text} [{self.code}]" if self.code else self.text


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

    code = "damaged"

    def __init__(self, message: str, ranges: list[tuple[int, int, int, int]] | None = None):
        super().__init__(message)
        self.ranges = ranges or []


class QueueFullError(DataError):
    """The encoder of a recording is behind and its queue is full: the frames of this call are not in the recording."""

    code = "queue-full"


class UsageError(SpikeyError, ValueError):
    """The call is at fault: an argument, an option or a configuration that cannot work."""

    exit_status = 2


class OutputExistsError(UsageError):
    """An output exists and may not be replaced; `path` is its path."""

    code = "exists"

    def __init__(self, path: str, more: str = ""):
        super().__init__(f"{path}: exists{more}; -f or --force replaces it (in Python: overwrite=True)")
        self.path, self._more = path, more

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """For pickling, as between the processes of a cluster."""
        return type(self), (self.path, self._more)


def failed_write(error: OSError) -> str:
    """The code of a failure to write.

    >>> failed_write(OSError(errno.ENOSPC, "No space left on device"))
    'no-space'
    """
    return "no-space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot-write"


def install(extras: str = "", *packages: str) -> str:
    """The command that installs Spikey with extras of pyproject.toml, for an error's remedy; other packages beside it.

    >>> print(install("dask"))
    pip install -e ".[dask]" in Spikey's checkout
    """
    target = f'".[{extras}]"' if extras else "."
    return f"pip install -e {' '.join([target, *packages])} {CHECKOUT}"

"""What an input may ask for: work and memory are estimated before anything is decoded, and refused above a limit.

The limits suit whatever Spikey writes by itself. A caller who trusts an input may raise them: within a program by
`spikey.base.limits.allowed.work = 1 << 44`, or for every program by the environment variables that `Limits` names.
"""

from __future__ import annotations

import os
from functools import cached_property

from spikey.base.errors import DataError, UsageError


def _from_environment(name: str, default: int) -> int:
    """A limit that an environment variable gives; UsageError where it is not a number."""
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name}={text}: the limit must be a whole number from 1 on")
    return int(text)


class Limits:
    """The limits in force, from the environment when they are first needed, or as they are set."""

    @cached_property
    def work(self) -> int:
        """Multiplications that a trained network may take for one block (SPIKEY_MOST_WORK): some two minutes."""
        return _from_environment("SPIKEY_MOST_WORK", 1 << 40)

    @cached_property
    def chunk(self) -> int:
        """Bytes that the array of one chunk may take (SPIKEY_MOST_CHUNK)."""
        return _from_environment("SPIKEY_MOST_CHUNK", 1 << 32)

    def check_work(self, work: int, what: str) -> None:
        """DataError where a block needs more multiplications than are allowed."""
        if work > self.work:
            raise DataError(
                f"{what}: decoding it takes {work:.1e} multiplications, more than the {self.work:.1e} that are "
                f"allowed; if you trust its origin, set SPIKEY_MOST_WORK={work}"
            )

    def check_chunk(self, size: int, what: str) -> None:
        """DataError where a chunk's array takes more bytes than are allowed."""
        if size > self.chunk:
            raise DataError(
                f"{what} unpacks to {size:,} bytes, more than the {self.chunk:,} that are allowed; if you trust its "
                f"origin, set SPIKEY_MOST_CHUNK={size}"
            )


allowed = Limits()

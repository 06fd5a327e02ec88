"""Doing again what a store or a server refused for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from spikey.base.errors import SpikeyError

DELAYS = (0.1, 0.4, 1.6)  # seconds between attempts
FINAL = (  # what another attempt does not change
    FileExistsError,
    FileNotFoundError,
    ImportError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    SpikeyError,
    TypeError,
    ValueError,
)
Result = TypeVar("Result")


def persist(step: Callable[[], Result]) -> Result:
    """What `step` returns, which is called again a few times where it fails for a reason that may pass."""
    for delay in DELAYS:
        try:
            return step()
        except FINAL:
            raise
        except Exception:  # every store has kinds of its own
            time.sleep(delay)
    return step()

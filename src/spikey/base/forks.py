"""What has to be put right in a forked child: locks that another thread of the parent held, connections that it has."""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol


class Forkable(Protocol):
    """Something with a method that makes it usable in a forked child."""

    def forked(self) -> None: ...


_watched: weakref.WeakSet[Any] = weakref.WeakSet()


def watch(each: Forkable) -> None:
    """Have `each.forked()` called in every child that this process forks."""
    _watched.add(each)


def _in_child() -> None:
    for each in list(_watched):
        each.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

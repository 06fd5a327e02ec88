"""Threads that share work: who has several things to do does them, and threads that are idle help."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

One = TypeVar("One")
Other = TypeVar("Other")
_thread = threading.local()


class Workers(ThreadPoolExecutor):
    """A pool of `jobs` threads, of which those that are idle help the others with what they do by `each`."""

    def __init__(self, jobs: int):
        super().__init__(jobs, initializer=self._begin)
        self.jobs = jobs

    def _begin(self) -> None:
        _thread.pool = self


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """How many threads the pool has that the calling thread belongs to; 1 where it belongs to none."""
    pool = getattr(_thread, "pool", None)
    return 1 if pool is None else pool.jobs


def each(do: Callable[[One], Other], items: Iterable[One]) -> list[Other]:
    """`do` every item, in any order, with the idle threads of the pool that the calling thread belongs to.

    Of several errors the first item's is raised.
    """
    items, pool = list(items), getattr(_thread, "pool", None)
    if pool is None or pool.jobs == 1 or len(items) < 2:
        return [do(item) for item in items]
    left = deque(enumerate(items))
    done: dict[int, Other] = {}
    errors: dict[int, BaseException] = {}

    def help_out() -> None:
        while left and not errors:
            with suppress(IndexError):  # another thread was faster
                place, item = left.popleft()
                try:
                    done[place] = do(item)
                except BaseException as error:
                    errors[place] = error

    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # the pool takes no more, as something failed elsewhere
        helpers += (pool.submit(help_out) for _ in range(min(len(items), pool.jobs) - 1))
    help_out()
    for helper in helpers:
        if not helper.cancel():
            helper.result()
    if errors:
        raise errors[min(errors)]
    return [done[place] for place in range(len(items))]


def spread(do: Callable[[One], Other], items: Iterable[One], jobs: int) -> list[Other]:
    """`do` every item by so many threads, which help each other."""
    if jobs == 1:
        return [do(item) for item in items]
    with Workers(jobs) as pool:
        try:
            return list(pool.map(do, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

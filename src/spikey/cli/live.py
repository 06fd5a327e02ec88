"""What commands that go on for long share: a live view on a terminal, and an orderly end at the first interrupt."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REFRESH = 0.25  # seconds between two pictures of the live view
Rows = list[tuple[str, str]]
Live = Callable[[Callable[[], Rows]], None]


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first interrupt or request to end sets; the second ends the program at once."""
    stop = threading.Event()

    def handle(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {which: signal.signal(which, handle) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


@contextmanager
def live_view() -> Iterator[Live]:
    """A view on standard error where a person sees it: call it, often, with what makes its rows; silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.live import Live as Display
    from rich.table import Table

    drawn = 0.0
    with Display(console=Console(stderr=True), auto_refresh=False, transient=True) as view:

        def show(rows: Callable[[], Rows]) -> None:
            nonlocal drawn
            if time.monotonic() - drawn < REFRESH:
                return
            table = Table.grid(padding=(0, 2))
            for name, value in rows():
                table.add_row(name, value)
            view.update(table, refresh=True)
            drawn = time.monotonic()

        yield show

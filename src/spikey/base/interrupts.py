"""Interrupts that Python can only print: those raised in a `__del__` or in a callback of the compiler."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from signal import Signals

SOON = 0.01  # seconds until the interrupt is raised again: by then the callback has returned


def redeliver_lost(number: Signals, before: Callable[[], None] | None = None) -> None:
    """Deliver the signal `number` again whenever the KeyboardInterrupt that it raised was lost; call `before` first."""
    former = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            former(lost)
            return
        if before is not None:
            before()
        timer = threading.Timer(SOON, _thread.interrupt_main, (number,))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = hook

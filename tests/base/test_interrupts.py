"""Interrupts that arrive where Python can only print them are raised again."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import signal, time
from spikey.base.interrupts import redeliver_lost

class Held:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

forgotten = []
redeliver_lost(signal.SIGINT, lambda: forgotten.append(1))
try:
    Held()
    for _ in range(200):
        time.sleep(0.1)
    print("lost")
except KeyboardInterrupt:
    print("raised", len(forgotten))
"""


def test_an_interrupt_in_a_finalizer_is_raised_again():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["raised", "1"], "")


def test_other_errors_in_finalizers_are_printed():
    program = PROGRAM.replace("signal.raise_signal(signal.SIGINT)", "raise ValueError(7)").replace("200", "1")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["lost"] and "ValueError: 7" in done.stderr

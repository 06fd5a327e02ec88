"""Mounting by a process of its own, and whether this machine can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.paths import SOURCE
from spikey.base.errors import UsageError
from spikey.integrations.mount_point import import_fuse

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])}
PATIENCE = 60.0  # seconds until a mount begins or ends


def lacking() -> str:
    """What this machine lacks to mount; empty where that is nothing."""
    try:
        import_fuse()
    except UsageError as error:
        return str(error)
    return ""


class Mount:
    """A running `spikey mount`."""

    def __init__(self, packed: Path | str, view: Path, log: Path, options: tuple[str, ...] = ()):
        self.view, self.log = view, log
        command = [sys.executable, "-m", "spikey", "mount", str(packed), str(view), *options]
        with open(log, "wb") as error:
            self.process = subprocess.Popen(command, stderr=error, env=ENVIRONMENT)

    @property
    def said(self) -> str:
        """What it wrote to standard error so far."""
        text = self.log.read_text()
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("compiling the kernels"))

    def begin(self) -> None:
        """Wait until the files are there."""
        end = time.monotonic() + PATIENCE
        while " ends it" not in self.said:
            assert self.process.poll() is None and time.monotonic() < end, self.said
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, and wait for the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def said_of(self, word: str) -> list[str]:
        """The lines with a word, once there is one."""
        end = time.monotonic() + 10
        while word not in self.said:
            assert time.monotonic() < end, self.said
            time.sleep(0.02)
        return [line for line in self.said.splitlines() if word in line]


@contextmanager
def mounted(packed: Path | str, view: Path, *options: str) -> Iterator[Mount]:
    """A mount that has begun; it ends with the context."""
    mount = Mount(packed, view, view.with_name(view.name + ".log"), options)
    try:
        mount.begin()
        yield mount
    finally:
        if mount.process.poll() is None:
            mount.process.kill()
            mount.process.wait()
        subprocess.run(["umount", "-l", str(view)], capture_output=True, check=False)


def is_mounted(view: Path) -> bool:
    return any(line.split()[1] == str(view) for line in Path("/proc/mounts").read_text().splitlines())

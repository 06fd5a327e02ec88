"""`spikey watch` in processes of its own, and programs that write recordings meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit import vendors
from kit.commands import ENVIRONMENT
from spikey.files.journal import Line, lines_of

JOURNAL = ".spikey-watch.jsonl"
SOON = ("--minutes", "0.001")
# Appends to a file again and again: opened once (`hold`), or for each piece.
WRITER = """
import sys, time
path, pieces, pause, hold = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "hold"
data = bytes(range(256)) * int(sys.argv[5])
file = open(path, "ab", buffering=0)
for _ in range(pieces):
    if not hold and file is None:
        file = open(path, "ab", buffering=0)
    file.write(data)
    if not hold:
        file.close()
        file = None
    time.sleep(pause)
"""


@pytest.fixture
def places(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A folder to watch, and one for outputs; the tests' own process keeps its priority."""
    monkeypatch.setattr(os, "nice", lambda by: 0)
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw", tmp_path / "packed"


def small(folder: Path) -> Path:
    """A session of three files, small enough to be compressed at once; the largest one's path."""
    vendors.intan_folder(folder, frames=200)
    return folder / "amplifier.dat"


def restored(run, packed: Path, back: Path) -> dict[str, bytes]:
    """What the compressed files below a folder restore, by the fixture `run`."""
    shutil.rmtree(back, ignore_errors=True)
    if not list(packed.rglob("*.spky")):
        return {}
    status, _, err = run("decompress", packed, f"{back}/", "-q")
    assert status == 0, err
    return contents(back)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files below a folder, but for Spikey's journals and locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".spikey-watch"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def lines(folder: Path, run: str | None = None) -> list[Line]:
    """The lines of the journal in a folder; of one session."""
    return [line for line in lines_of(folder / JOURNAL) if run in (None, line["run"])]


def events(folder: Path, run: str | None = None) -> list[str]:
    """What happened, by the journal."""
    return [line["event"] for line in lines(folder, run)]


def wait_for(condition: Callable[[], object], seconds: float = 60, every: float = 0.02) -> None:
    """Return when something has become true; AssertionError where that takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(every)


@contextmanager
def watcher(folder: Path, *options: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A process that watches a folder; it is killed in the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "spikey", "watch", folder, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def writer(path: Path, pieces: int, pause: float, hold: bool = False, size: int = 1) -> subprocess.Popen[bytes]:
    """A process that appends 256 bytes times `size` to a file, `pieces` times with a pause in seconds after each."""
    arguments = [path, pieces, pause, "hold" if hold else "reopen", size]
    return subprocess.Popen([sys.executable, "-c", WRITER, *map(str, arguments)], env={**os.environ})

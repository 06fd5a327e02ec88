"""Lock files: one holder at a time, whatever becomes of it; and files that other processes have open for writing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.commands import ENVIRONMENT
from spikey.base.locks import lock_file
from spikey.base.open_files import open_for_writing

HOLD = """
import sys, time
from spikey.base.locks import lock_file
with lock_file(sys.argv[1]) as locked:
    print(locked, flush=True)
    sys.stdin.read()
"""


def holder(path: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that holds a lock until its standard input ends, and what it got."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_lock_file_is_held_once_and_gone_in_the_end(tmp_path):
    path = tmp_path / "x.lock"
    with lock_file(path) as locked:
        assert locked is True and path.exists()
        other, got = holder(path)
        assert got == "False"
        other.communicate("")
        assert path.exists()  # who did not get it does not remove it
    assert not path.exists()
    with lock_file(path) as locked:
        assert locked is True


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "x.lock"
    process, got = holder(path)
    with lock_file(path) as locked:
        assert got == "True" and locked is False
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    with lock_file(path) as locked:
        assert locked is True
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_lock_of_a_dead_parent_is_free_though_its_child_lives(tmp_path):
    path = tmp_path / "x.lock"
    code = (
        "import os, sys, time\nfrom spikey.base.locks import lock_file\n"
        "lock = lock_file(sys.argv[1]); assert lock.__enter__()\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n    os.write(write, b'1')\n    time.sleep(30)\n    os._exit(0)\n"
        "os.read(read, 1)\nos.kill(os.getpid(), 9)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, env=ENVIRONMENT, start_new_session=True
    )
    try:
        process.wait()
        with lock_file(path) as locked:
            assert locked is True
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seen on Linux only")
@pytest.mark.parametrize("mode", ["r", "r+", "a", "w"])
def test_files_open_for_writing_in_another_process(tmp_path, mode):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "second name").hardlink_to(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"2")
    code = "import sys; f = open(sys.argv[1], sys.argv[2]); print(1, flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "a", mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    wanted = None if mode == "r" else str(tmp_path / "a")
    assert open_for_writing([tmp_path / "none", tmp_path / "b", tmp_path / "a"]) == wanted
    assert open_for_writing([tmp_path / "second name"]) == (wanted and str(tmp_path / "second name"))
    assert open_for_writing([tmp_path / "b"]) is None
    process.communicate(b"")
    with open(tmp_path / "a", "r+"):  # by this process itself
        assert open_for_writing([tmp_path / "a"]) is None

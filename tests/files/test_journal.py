"""Journals: what is on the disk after a step, and after a crash at any byte of a line."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from kit.commands import ENVIRONMENT
from spikey.base.errors import UsageError
from spikey.files.journal import Journal, lines_of


def events(path: Path) -> list[str]:
    return [line["event"] for line in lines_of(path)]


def test_lines_are_appended_with_their_time_and_come_back(tmp_path):
    path = tmp_path / "j.jsonl"
    assert list(lines_of(path)) == []
    for number in range(2):
        with Journal(path) as journal:
            written = journal.add(event=f"e{number}", run="größe\udc80", files=[{"size": 2**60}])
    found = list(lines_of(path))
    assert [line["event"] for line in found] == ["e0", "e1"] and found[1] == written
    assert found[0]["run"] == "größe\udc80" and found[0]["time"].endswith("+00:00")
    assert path.read_bytes().count(b"\n") == 2


def test_a_line_torn_anywhere_is_left_out_and_followed_by_a_new_one(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.add(event="first", run="a")
        whole = path.stat().st_size
        journal.add(event="second", run="a", files=["x"])
    data = path.read_bytes()
    for size in range(whole, len(data) + 1):
        path.write_bytes(data[:size])
        kept = ["first", "second"] if size >= len(data) - 1 else ["first"]
        assert events(path) == kept, size
        with Journal(path) as journal:
            journal.add(event="third", run="a")
        assert events(path) == [*kept, "third"], size
        assert path.read_bytes().startswith(data[:size])  # nothing is taken away


def test_what_is_no_object_of_json_is_left_out(tmp_path):
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'\x00\x00\x00\n[1]\n"text"\n\n\xff\xfe\n{"event": "e"}\n')
    assert events(path) == ["e"]


def test_a_line_is_on_the_disk_when_it_is_returned(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), real(handle)))
    with Journal(tmp_path / "j.jsonl") as journal:
        synced.clear()
        journal.add(event="e")
        assert synced == [(tmp_path / "j.jsonl").stat().st_size]


def test_a_line_that_cannot_be_written_is_an_error_and_the_next_begins_anew(tmp_path, monkeypatch):
    path = tmp_path / "j.jsonl"
    real = os.write
    with Journal(path) as journal:

        def half(handle: int, data: bytes) -> int:
            if len(data) > 20:
                return real(handle, data[:20])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(UsageError, match="No space left"):
            journal.add(event="lost")
        monkeypatch.setattr(os, "write", real)
        journal.add(event="next")
    assert events(path) == ["next"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"j\.jsonl: cannot be written"):
        Journal(tmp_path / "none" / "j.jsonl")
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        list(lines_of(tmp_path / "d.jsonl"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_lines_of_a_killed_process_stay(tmp_path):
    import subprocess

    code = "import sys, os, signal\nfrom pathlib import Path\nfrom spikey.files.journal import Journal\n"
    code += "Journal(Path(sys.argv[1])).add(event='e')\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "j.jsonl"], env=ENVIRONMENT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert events(tmp_path / "j.jsonl") == ["e"]

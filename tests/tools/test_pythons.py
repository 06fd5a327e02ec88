"""Which Pythons are found: a stand-in that runs counts, a shim that fails does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit.paths import ROOT

OWN = "{}.{}".format(*sys.version_info[:2])


def stand_in(path: Path, prints: str, status: int = 0) -> Path:
    """A program that answers as a Python of that version would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {prints}\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def ask(tmp_path):
    """Run tools/pythons.py where nothing is found but what a test puts into `bin` and `pyenv`."""

    def run(what: str, **environment: str) -> str:
        places = {"PATH": str(tmp_path / "bin"), "PYENV_ROOT": str(tmp_path / "pyenv"), "HOME": str(tmp_path)}
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHON_NEW", "PYTHONHOME")}
        command = [sys.executable, ROOT / "tools" / "pythons.py", what]
        done = subprocess.run(command, env=kept | places | environment, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()

    return run


def pyenv(folder: Path, version: str) -> Path:
    return folder / "pyenv" / "versions" / version / "bin" / f"python{version.rpartition('.')[0]}"


def test_where_there_is_no_other_it_is_the_one_that_asks(ask):
    assert ask("newest") == OWN and ask("others") == ""
    assert ask(OWN) == sys.executable


def test_a_shim_that_fails_does_not_count(ask, tmp_path):
    stand_in(tmp_path / "bin" / "python3.13", "3.13", status=127)
    assert ask("newest") == OWN
    found = stand_in(pyenv(tmp_path, "3.13.0"), "3.13")
    assert ask("newest") == "3.13" and ask("3.13") == str(found)


def test_what_calls_itself_otherwise_does_not_count(ask, tmp_path):
    stand_in(tmp_path / "bin" / "python3.13", "3.9")
    assert ask("newest") == OWN


def test_the_newest_wins_wherever_it_is(ask, tmp_path):
    stand_in(tmp_path / "bin" / "python3.12", "3.12")
    for patch in (2, 9, 10):
        stand_in(pyenv(tmp_path, f"3.13.{patch}"), "3.13")
    assert ask("newest") == "3.13" and ask("3.13").endswith("/3.13.10/bin/python3.13")
    assert ask("others").split() == [version for version in ("3.13", "3.12") if version != OWN]


def test_one_that_is_named_wins_and_must_run(ask, tmp_path):
    stand_in(tmp_path / "bin" / "python3.13", "3.13")
    mine = stand_in(tmp_path / "mine", "3.14")
    assert ask("newest", PYTHON_NEW=str(mine)) == "3.14" and ask("3.14", PYTHON_NEW=str(mine)) == str(mine)
    assert "other, or unset it" in ask("newest", PYTHON_NEW=str(tmp_path / "none"))


def test_a_version_that_is_not_there(ask):
    assert "no Python 3.10 that runs" in ask("3.10")


def test_the_pins_are_those_that_the_continuous_integration_requires():
    pinned = re.findall(r'^zarr==(\S+); python_version >= "3.12"$', (ROOT / "requirements-new.txt").read_text(), re.M)
    required = re.findall(r"zarr.__version__ >= '([\d.]+)'", (ROOT / ".ci" / "run").read_text())
    assert len(pinned) == len(required) == 1 and pinned[0].startswith(required[0] + ".")

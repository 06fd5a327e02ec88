"""The fuzzer: a moment of it for every entry point, what it once found, and that it finds anything at all."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from dataclasses import replace
from importlib.util import find_spec

import pytest

from kit.paths import FUZZ, ROOT

KEPT = FUZZ
sys.path.insert(0, str(ROOT / "tools"))
for module in ("h5py", "numcodecs"):
    pytest.importorskip(module)

from fuzzing.campaign import attempt, run  # noqa: E402
from fuzzing.checks import unchecked  # noqa: E402
from fuzzing.entries import ENTRIES, Entry  # noqa: E402

from spikey.base.errors import DataError  # noqa: E402
from spikey.container import layout  # noqa: E402

MOMENT = 0.4  # seconds of each entry point


@pytest.mark.parametrize("name", ENTRIES)
def test_a_moment_of_every_entry_point(name):
    outcome = run(ENTRIES[name], MOMENT, seed=20)
    assert outcome.tried > 0
    assert not outcome.findings, list(outcome.findings)


@pytest.mark.parametrize("path", sorted(KEPT.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once(path):
    for checked in (False, True):
        finding, _ = attempt(ENTRIES[path.parent.name], path.read_bytes(), checked)
        assert finding is None, finding.detail


def _faulty(fault) -> Entry:
    def run_it(data: bytes, checked: bool) -> None:
        if data != b"seed of some length":
            fault()
            raise DataError("is not the seed")

    return Entry("faulty", lambda: [b"seed of some length"], run_it)


def _index() -> None:
    raise IndexError("out of range")


def _lines() -> None:
    raise DataError("two\nlines")


@pytest.mark.parametrize(("fault", "kind"), [(_index, "IndexError"), (_lines, "text")])
def test_a_fault_is_found_and_kept(tmp_path, fault, kind):
    outcome = run(_faulty(fault), 0.2, 1, tmp_path)
    (finding,) = outcome.findings.values()
    assert finding.kind == kind
    assert (tmp_path / "faulty" / finding.name).read_bytes() == finding.data
    assert not run(_faulty(lambda: None), 0.1, 1).findings


def test_the_same_seed_gives_the_same_inputs(tmp_path):
    found = []
    for _ in range(2):
        seen: list[bytes] = []
        entry = _faulty(lambda: None)
        run(replace(entry, run=lambda data, checked, seen=seen: seen.append(data)), 0.1, 5)
        found.append(seen)
    common = min(map(len, found))
    assert common > 5 and found[0][:common] == found[1][:common]


def test_checksums_are_off_only_within():
    block = layout.Block(0, 0, 1, 0, 1, 3, 99)
    damaged = bytearray(block.write())
    damaged[5] ^= 1
    with unchecked():
        assert layout.read_block(damaged, 0, "x").check == 99
        assert layout.zlib.crc32(b"a") == 5
    assert layout.zlib is zlib
    with pytest.raises(DataError):
        layout.read_block(damaged, 0, "x")


def test_the_command_runs_an_entry_point_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, str(ROOT / "tools" / "fuzz.py"), "--keep", str(tmp_path / "kept"), "--seed", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, "--entry", "request", "--seconds", "1"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0 and "0 findings (seed 3)" in done.stdout
    assert list((tmp_path / "kept").iterdir()) == []
    done = subprocess.run([*command, "--entry", "nonsense"], capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and "there are file, archive" in done.stderr


def test_tools_are_not_installed():
    assert find_spec("spikey.fuzzing") is None
    assert 'where = ["src"]' in (ROOT / "pyproject.toml").read_text()

"""Compiled kernels between processes: what is damaged is compiled again, and a folder is found that can be written."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import numba
import pytest
from numba.core.caching import NullCache
from typer.testing import CliRunner

import spikey
from spikey.base import jit_cache as kernel_cache
from spikey.cli import app
from spikey.codec.adaptive.loop import run_rows

ROOT = Path(spikey.__file__).parent
SCRIPT = """from spikey.base.jit import kernel


@kernel
def triple(x):
    return 3 * x
"""
COMPILES = re.compile(
    r"^from spikey\.base\.jit import .*\b(kernel|inlined|generic|entry)\b|^@\w+\.register\(", re.MULTILINE
)
numbers = count()
compiled = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Calls a kernel as a new process would, and says whether it came from the cache; and the cache's folder."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)

    def call(argument: float = 2) -> bool:
        spec = importlib.util.spec_from_file_location(f"script{next(numbers)}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.triple(argument) == 3 * argument
        return bool(module.triple.stats.cache_hits)

    return call


def files(tmp_path: Path, suffix: str) -> list[Path]:
    return sorted((tmp_path / "cache").rglob(f"*.{suffix}"))


@compiled
@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        ("nbc", lambda data: data[: len(data) // 2]),
        ("nbc", lambda data: b""),
        ("nbc", lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]),
        ("nbi", lambda data: b"garbage" * 9),
        ("nbi", lambda data: b""),
        ("nbi", lambda data: data[:30]),
        ("nbi", lambda data: b"\x80\x04\x95" + b"\xff" * 40),
    ],
)
def test_damaged_files_are_compiled_again(cached, tmp_path, suffix, damage):
    assert not cached() and cached()
    (path,) = files(tmp_path, suffix)
    path.write_bytes(damage(path.read_bytes()))
    assert not cached()
    assert cached() and len(files(tmp_path, "nbc")) == 1


@compiled
def test_a_variant_in_the_place_of_another_is_not_taken_for_it(cached, tmp_path):
    """Two processes that write at once can give two variants the same file."""
    cached(2)
    cached(2.5)
    one, other = files(tmp_path, "nbc")
    shutil.copy(other, one)
    assert not cached(2) and cached(2) and cached(2.5)


@compiled
def test_a_full_disk_costs_time_only(cached, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    kernel_cache.warn.cache_clear()
    monkeypatch.setattr(kernel_cache.CacheFile, "_open_for_write", full)
    with pytest.warns(kernel_cache.CacheWarning, match="No space left on device.*NUMBA_CACHE_DIR"):
        assert not cached()
    assert not cached()


@compiled
def test_an_index_imports_no_types(cached, tmp_path):
    """Reading it must not import the modules of every state that was ever used."""
    cached(2)
    assert not cached(2.5) and cached(2.5)
    (index,) = files(tmp_path, "nbi")
    names = kernel_cache._unsealed(str(index))
    assert len(names) == 2 and all(isinstance(name, str | bytes) for name in (*names, *names.values()))


def test_the_stamp_follows_contents_alone(tmp_path):
    copy = tmp_path / "spikey"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("__pycache__", "*.npz", "*.safetensors"))
    for path in copy.rglob("*.py"):
        os.utime(path, (1, 1))
    assert kernel_cache.stamp_of(copy) == kernel_cache.STAMP
    (copy / "cli" / "doctor.py").write_text("")
    assert kernel_cache.stamp_of(copy) == kernel_cache.STAMP
    stamps = {kernel_cache.STAMP}
    changed = [
        copy / "model" / "fixed_point.py",
        *(path for path in copy.rglob("*.py") if COMPILES.search(path.read_text())),
    ]
    for path in changed:
        path.write_text(path.read_text() + "\n")
        stamps.add(kernel_cache.stamp_of(copy))
    assert len(stamps) == 1 + len(changed)
    assert {"model", "coding", "stream", "report", "training"} <= {path.relative_to(copy).parts[0] for path in changed}


def run(script: str, tmp_path: Path, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script whose folder and whose user's folder can hold no cache, not even for root."""
    (tmp_path / "script.py").write_text(before + SCRIPT + script)
    (tmp_path / "__pycache__").touch()
    (tmp_path / "home").touch()
    kept = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    kept |= {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT.parent), **environment}
    script = str(tmp_path / "script.py")
    return subprocess.run([sys.executable, script], capture_output=True, text=True, env=kept, timeout=300)


@compiled
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the user's cache folder lies elsewhere on Windows")
def test_a_temporary_folder_does_where_no_other_can_be_written(tmp_path):
    spare = tmp_path / "temporary"
    spare.mkdir()
    for hits in (0, 1):
        done = run("\nprint(triple(2), sum(triple.stats.cache_hits.values()))", tmp_path, TMPDIR=str(spare))
        assert (done.returncode, done.stdout) == (0, f"6 {hits}\n"), done.stderr
        assert done.stderr.count("no folder for compiled kernels") == 1 and "NUMBA_CACHE_DIR" in done.stderr
    (folder,) = spare.iterdir()
    assert folder.name == f"spikey-kernels-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700


@compiled
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the user's cache folder lies elsewhere on Windows")
def test_a_user_without_a_home_gets_no_folder_in_the_current_one(tmp_path):
    """As in containers that run under a number that no user has."""
    (tmp_path / "work").mkdir()
    before = f"import os\nos.path.expanduser = lambda path: path\nos.chdir({str(tmp_path / 'work')!r})\n"
    done = run("\nprint(triple(2), 'XDG_CACHE_HOME' in os.environ)", tmp_path, before, TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "6 False\n"), done.stderr
    assert done.stderr.count("NUMBA_CACHE_DIR") == 1 and not list((tmp_path / "work").iterdir())


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has a temporary folder for each user")
def test_a_folder_that_others_can_write_is_not_used(tmp_path):
    taken = tmp_path / f"spikey-kernels-{os.getuid()}"
    taken.mkdir()
    taken.chmod(0o777)
    assert Path(kernel_cache._own_folder(tmp_path)) != taken
    taken.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    taken.symlink_to(tmp_path / "elsewhere")
    assert Path(kernel_cache._own_folder(tmp_path)) != taken
    taken.unlink()
    assert Path(kernel_cache._own_folder(tmp_path)) == taken == Path(kernel_cache._own_folder(tmp_path))


@compiled
def test_without_any_folder_kernels_are_compiled_all_the_same(tmp_path):
    nowhere = "import tempfile\ntempfile.gettempdir = lambda: '/nonexistent/folder'\n"
    done = run("\nprint(triple(2))", tmp_path, before=nowhere)
    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr
    assert "every start compiles them again" in done.stderr


@compiled
def test_doctor_tells_that_nothing_can_be_written(monkeypatch):
    monkeypatch.setattr("spikey.report.self_test.self_test", list)
    monkeypatch.setattr(run_rows, "_cache", NullCache())
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1 and "trouble: no folder can be written" in done.output
    assert "NUMBA_DISABLE_JIT" not in done.output

"""Running the command line, in this process and in others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.paths import SOURCE
from spikey import cli
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}


def wav(frames: int = 2000, channels: int = 1, seed: int = 0) -> bytes:
    layout = Layout(channels, 19_531, "int16")
    return canonical_head(layout, frames) + pack(simulate(frames, channels, seed=seed), layout)


def process(*arguments: str | Path, status: int = 0, **options) -> tuple[str, str]:
    """Run Python with these arguments; return what it said on standard output and standard error."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
        check=False,
        **options,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, without_notices(done.stderr)


def without_notices(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("compiling the kernels"))


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; return exit status, standard output, standard error."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["spikey", *map(str, arguments)])
        handler = signal.getsignal(signal.SIGTERM)
        try:
            cli.run_command()
            status = 0
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
        said = capsys.readouterr()
        return status, said.out, without_notices(said.err)

    return call


def refused(outcome: tuple[int, str, str], status: int, *parts: str | Path) -> None:
    """One sentence on standard error that holds all of `parts`, and this exit status."""
    found, out, err = outcome
    assert found == status and not out, (found, out, err)
    assert err.startswith("spikey: ") and err.count("\n") == 1, err
    for part in parts:
        assert str(part) in err, (part, err)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

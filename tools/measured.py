"""What the tools that measure share: recordings of devices, how they were called, and where figures are kept."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Recording(NamedTuple):
    """A file, and what describes it where it has no header: channels, rate in Hz, type."""

    name: str
    path: Path
    raw: tuple[int, float, str] | None


def of_devices(folder: Path) -> Iterator[Recording]:
    """Recordings of a folder that has one for each of them, with `meta.json`."""
    for meta in sorted(folder.glob("*/meta.json")):
        facts = json.loads(meta.read_text("utf-8"))
        raw = facts["channels"], float(facts["rate"]), facts["dtype"]
        yield Recording(meta.parent.name, meta.parent / facts["file"], raw)


def command_of(tool: str, arguments: argparse.Namespace, *names: str) -> str:
    """How a tool was called, without the folders."""
    given = [f"--{name} ..." for name in names if getattr(arguments, name) is not None]
    return " ".join([f"python -m tools.{tool}", *given])


def revision() -> str:
    """The commit of this checkout."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def keep(name: str, figures: Any) -> None:
    """Write figures into docs/results.json under a name."""
    results = ROOT / "docs" / "results.json"
    content = json.loads(results.read_text("utf-8")) | {name: figures}
    results.write_text(json.dumps(content, indent=1) + "\n", "utf-8")

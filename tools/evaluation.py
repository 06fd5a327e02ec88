"""What the challenge's evaluation, `eval.sh`, found: the ratio of the recordings alone, and with everything counted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from spikey.base.errors import DataError

PROGRAMS = ("encode", "decode", "cli.py")
KINDS = {".safetensors": "models and calibrations", ".npz": "tables"}  # everything else is code
CODE = "code"
NAMED = {
    "recordings": r"^restored ([\d,]+) files",
    "original": r"^all recordings recovered: (\d+) bytes",
    "compressed": r"^all recordings recovered: \d+ bytes as (\d+)$",
    "executables": r"^ratio by the rules .*, (\d+) bytes\)",
    "everything": r"^honest ratio .*, (\d+) bytes\)",
}


def counted(root: Path) -> dict[str, int]:
    """Bytes by kind of all that `eval.sh` counts in a checkout: its programs, code, tables and models."""
    found = dict.fromkeys([CODE, *KINDS.values()], 0)
    inside = [path for path in (root / "src" / "spikey").rglob("*") if "__pycache__" not in path.parts]
    for path in [*(root / name for name in PROGRAMS), *inside]:
        if path.is_file() and path.suffix != ".pyc":
            found[KINDS.get(path.suffix, CODE)] += path.stat().st_size
    return found


def parsed(text: str, root: Path) -> dict[str, Any]:
    """What is kept of the output of `eval.sh` on a checkout. DataError for another text, or for another checkout's."""
    found = {name: re.search(pattern, text, re.MULTILINE) for name, pattern in NAMED.items()}
    values = {name: int(match[1].replace(",", "")) for name, match in found.items() if match}
    if len(values) < len(NAMED):
        raise DataError("is not what `./eval.sh data` prints")
    sizes = counted(root)
    if sum(sizes.values()) != values.pop("everything"):
        raise DataError("was printed for other code than this; run ./eval.sh again")
    return {"command": "./eval.sh data", **values, "counted": sizes}


def table(run: dict[str, Any]) -> list[str]:
    """The ratios for results.md, and what each counts."""
    original, packed, sizes = run["original"], run["compressed"], run["counted"]
    everything = sum(sizes.values())
    rows = [
        (f"the {run['recordings']:,} recordings, {original:,} bytes", packed, packed),
        ("and `encode` and `decode`, the challenge's rule", run["executables"], packed + run["executables"]),
        ("and all code, tables and models instead: the honest ratio", everything, packed + everything),
    ]
    lines = ["| counted | bytes | ratio |", "|---|---:|---:|"]
    lines += [f"| {name} | {size:,} | {original / total:.4f} |" for name, size, total in rows]
    return lines + [f"| &nbsp;&nbsp;of which {kind} | {size:,} | |" for kind, size in sizes.items()]

"""The order of names in which CSC2 comes before CSC10."""

from __future__ import annotations

import re
from pathlib import Path

Key = tuple[list[tuple[int, int, str]], str]


def natural(path: Path) -> Key:
    """A key to sort paths by: numbers in names count as numbers.

    >>> sorted([Path("CSC10"), Path("CSC2")], key=natural) == [Path("CSC2"), Path("CSC10")]
    True
    """
    pieces = re.split(r"([0-9]+)", path.as_posix().casefold())
    # Long digits compare as text of their length, as turning them into a number would take time.
    key = [(1, len(p.lstrip("0")), p.lstrip("0")) if p[:1].isdigit() and p.isascii() else (0, 0, p) for p in pieces]
    return key, path.as_posix()

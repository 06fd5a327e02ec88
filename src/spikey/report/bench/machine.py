"""What a measurement was made with: versions, processor, command."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from spikey.base.version import __version__

_PACKAGES = ("numpy", "numba", "pcodec", "zstandard", "brotli", "numcodecs", "simple_ans", "mtscomp")
_STORES = ("flac-numcodecs", "wavpack-numcodecs", "zarr", "openzl", "blosc2")


def machine() -> dict[str, Any]:
    """Versions of what is installed, the processor, and the command without the folders in it."""
    versions = {"spikey": __version__, "python": platform.python_version()}
    for name in _PACKAGES + _STORES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    words = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    return {"command": shlex.join(["spikey", *words]), "processor": _processor(), "versions": versions}


def _processor() -> str:
    """The processor's name, as the system reports it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()}, {os.cpu_count()} cores"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"

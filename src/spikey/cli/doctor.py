"""`spikey doctor`."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path

import typer

from spikey.base.version import __version__
from spikey.cli import options
from spikey.cli.common import prepare_kernels

PACKAGES = ("numpy", "numba", "llvmlite", "pydantic", "PyYAML", "typer", "rich", "safetensors", "matplotlib", "pcodec")


def command(as_json: options.AsJson = False) -> None:
    """Check the installation: versions, kernel cache, and a compression with a known result.

    The exit status is 1 if something is wrong.

    Examples
    --------
    spikey doctor
    """
    from spikey.base.shipped import FOLDER
    from spikey.report.self_test import self_test

    troubles = []
    lines = [
        f"spikey {__version__} in {FOLDER.parent}",
        f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors",
    ]
    versions: dict[str, str | None] = {"spikey": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
            lines.append(f"  {name} {versions[name]}")
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            lines.append(f"  {name} is not installed{' (optional)' if name in ('matplotlib', 'pcodec') else ''}")
    try:
        other = importlib.metadata.version("spikey")
        troubles.append(f"another project's package 'spikey' {other} is installed too: pip uninstall spikey")
    except importlib.metadata.PackageNotFoundError:
        pass
    prepare_kernels()
    from spikey.codec.adaptive.loop import run_rows

    start = time.perf_counter()
    troubles += self_test()
    seconds = time.perf_counter() - start
    lines.append(f"self-test took {seconds:.1f} s")
    kept = getattr(run_rows, "_cache", None)
    folder = getattr(kept, "cache_path", None)
    if kept is None:
        troubles.append("kernels are not compiled (NUMBA_DISABLE_JIT is set?): everything is hundreds of times slower")
    elif folder is None:
        troubles.append("no folder can be written: every start compiles the kernels again; set NUMBA_CACHE_DIR")
    else:
        cached = sorted(Path(folder).glob("loop.run_rows-*.nbc"))
        lines.append(f"kernel cache {folder}: {len(cached)} variants of the loop")
        if not cached:
            troubles.append(f"{folder} cannot be written: every start compiles the kernels again; set NUMBA_CACHE_DIR")
    if as_json:
        facts = {
            "well": not troubles,
            "versions": versions,
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "self_test_seconds": round(seconds, 3),
            "kernel_cache": None if folder is None else str(folder),
            "troubles": troubles,
        }
        typer.echo(json.dumps(facts, indent=2))
    else:
        lines += [f"trouble: {trouble}" for trouble in troubles]
        typer.echo("\n".join(lines + ["all is well"] * (not troubles)))
    if troubles:
        raise typer.Exit(1)

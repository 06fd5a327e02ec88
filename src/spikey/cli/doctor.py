"""`spikey doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path

import typer

from spikey.cli.common import prepare_kernels

PACKAGES = ("numpy", "numba", "llvmlite", "pydantic", "PyYAML", "typer", "rich", "safetensors", "matplotlib", "pcodec")


def command() -> None:
    """Check the installation: versions, kernel cache, a compression that must give known bytes."""
    import spikey
    from spikey.analysis.self_test import self_test

    troubles = []
    typer.echo(f"spikey {spikey.__version__} in {Path(spikey.__file__).parent}")
    typer.echo(f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors")
    for name in PACKAGES:
        try:
            typer.echo(f"  {name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            typer.echo(f"  {name} is not installed{' (optional)' if name in ('matplotlib', 'pcodec') else ''}")
    try:
        other = importlib.metadata.version("spikey")
        troubles.append(f"another project's package 'spikey' {other} is installed too: pip uninstall spikey")
    except importlib.metadata.PackageNotFoundError:
        pass
    prepare_kernels()
    from spikey.coding.loop import run_rows

    start = time.perf_counter()
    troubles += self_test()
    typer.echo(f"self-test took {time.perf_counter() - start:.1f} s")
    kept = getattr(run_rows, "_cache", None)
    folder = getattr(kept, "cache_path", None)
    if kept is None:
        troubles.append("kernels are not compiled (NUMBA_DISABLE_JIT is set?): everything is hundreds of times slower")
    elif folder is None:
        troubles.append("no folder can be written: every start compiles the kernels anew; set NUMBA_CACHE_DIR")
    else:
        cached = sorted(Path(folder).glob("loop.run_rows-*.nbc"))
        typer.echo(f"kernel cache {folder}: {len(cached)} variants of the loop")
        if not cached:
            troubles.append(f"{folder} cannot be written: every start compiles the kernels anew; set NUMBA_CACHE_DIR")
    for trouble in troubles:
        typer.echo(f"trouble: {trouble}")
    if troubles:
        raise typer.Exit(1)
    typer.echo("all is well")

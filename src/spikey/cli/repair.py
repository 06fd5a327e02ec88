"""`spikey repair`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from spikey.base.errors import SpikeyError, UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar
from spikey.cli.messages import is_quiet, say, set_level


def command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Recordings without an index; they are completed in place.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the completed recording. Default: the file itself."),
    ] = None,
    jobs: options.Jobs = 1,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Complete recordings whose program ended before it closed them.

    Every block is decoded and checked, an unfinished last block is cut off, and the index is appended. If a block is
    damaged, the file stays as it is and the exit status is 1.

    Examples
    --------
    spikey repair day.spky
    spikey repair day.spky --output completed.spky
    """
    set_level(quiet, False)
    if output is not None and len(paths) > 1:
        raise UsageError("--output takes one recording at a time")
    prepare_kernels()
    failures = 0
    for path in paths:
        try:
            _repair(path, output, jobs, force)
        except SpikeyError as error:
            if len(paths) == 1:
                raise
            say(f"spikey: {error}")
            failures += 1
    if failures:
        say(f"spikey: {failures:,} of {len(paths):,} files could not be completed")
        raise typer.Exit(1)


def _repair(path: Path, output: Path | None, jobs: int, force: bool) -> None:
    from spikey.files.repair import repair_file

    size = os.path.getsize(path) if path.is_file() else None
    with progress_bar(size, "bytes") as advance:
        done = repair_file(path, output, lambda verified, _: advance(verified), jobs=jobs, overwrite=force)
    if is_quiet():
        return
    if not done.needed:
        typer.echo(f"{path}: is complete; nothing to do")
        return
    where = f"{path}: completed" if output is None else f"{path}: completed as {output}"
    cut = f"{done.cut:,} bytes of an unfinished block were cut off" if done.cut else "nothing was cut off"
    typer.echo(f"{where}: {done.frames:,} frames; {cut}")

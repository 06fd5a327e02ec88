"""`spikey verify`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from spikey.base.errors import DataError, UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels
from spikey.cli.messages import is_quiet, note, say, set_level
from spikey.cli.run import Run, Task, run, summary
from spikey.cli.together import verify as verify_archive
from spikey.recording.remote import is_address


def command(
    paths: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Compressed files, their addresses, or folders.")
    ],
    jobs: options.Jobs = 1,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Decode compressed files and check every checksum.

    The exit status is 1 if a file is damaged or missing.

    Examples
    --------
    spikey verify a.spky
    spikey verify packed/ --jobs 2
    """
    set_level(quiet, verbose)
    files: list[str] = []
    missing: list[str] = []
    for text in paths:
        if is_address(text) or not os.path.isdir(text):
            there = is_address(text) or os.path.isfile(text)
            (files if there else missing).append(text)
        else:
            files += map(str, sorted(Path(text).rglob("*.spk[yt]")))
    if not files and not missing:
        raise UsageError(f"{', '.join(paths)}: no files that end in .spky or .spkt", code="nothing-found")
    from spikey.cli.telemetry_decode import verify as verify_telemetry
    from spikey.container.archive import is_archive
    from spikey.files.decompress import verify_file
    from spikey.telemetry.file import is_telemetry

    archives = [file for file in files if is_archive(file)]
    telemetry = [file for file in files if is_telemetry(file)]
    single = [file for file in files if file not in archives and file not in telemetry]
    within = jobs if len(files) == 1 else 1
    prepare_kernels()

    def task(file: str) -> Task:
        return Task(file, "", restored_size(file), lambda progress: verify_file(file, within, progress))

    if not as_json and not files and len(missing) == 1 and not os.path.exists(missing[0]):
        raise DataError(f"{missing[0]} does not exist", code="not-found")
    for text in missing:
        say(f"spikey: {text}: " + ("is not a regular file" if os.path.exists(text) else "does not exist"))
    alone = len(single) == 1 == len(files) + len(missing) and not as_json
    done = run([task(file) for file in single], "verified", jobs, alone=alone) if single else Run("verified")
    damaged = done.failures
    for file in archives:
        members, failures = verify_archive(file, jobs)
        done.results += members.results
        done.seconds += members.seconds
        if failures:
            say(f"spikey: {file}: {failures:,} damaged; {len(members.done):,} intact")
            damaged += 1
    lossy = {file: verify_telemetry(file, as_json or is_quiet()) for file in telemetry}
    damaged += sum(not whole for whole in lossy.values())
    for each, outcome in done.done:
        if outcome.note:
            note(f"{each.source} {outcome.note}")
    if as_json:
        facts = done.facts() | {"telemetry": lossy, "missing": missing, "failures": damaged}
        typer.echo(json.dumps(facts, indent=2))
    elif done.done and not is_quiet():
        typer.echo(summary([outcome for _, outcome in done.done], done.seconds, "verified"))
    if damaged:
        say(f"spikey: {damaged:,} of {len(files):,} files are damaged")
    if missing:
        say(f"spikey: {len(missing):,} of {len(files) + len(missing):,} files could not be found")
    if damaged or missing:
        raise typer.Exit(1)


def restored_size(file: str) -> int:
    """A file's samples in bytes, 0 where only decoding would show them."""
    from spikey.base.errors import SpikeyError
    from spikey.container.reader import Reader

    try:
        with Reader(file, lossy=True, correction=True) as reader:
            return reader.frames * reader.layout.frame_bytes
    except SpikeyError:
        return 0

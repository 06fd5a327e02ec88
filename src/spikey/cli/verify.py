"""`spikey verify`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.cli.common import run_files, say, summary
from spikey.cli.together import verify as verify_archive
from spikey.errors import UsageError
from spikey.recording.remote import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikey.files import Outcome


def command(
    paths: Annotated[list[str], typer.Argument(help="Compressed files or addresses of them, or folders.")],
    jobs: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
) -> None:
    """Decode compressed files and check every sum; exit status 1 when anything is damaged."""
    addresses = {Path(path): path for path in paths if is_address(path)}
    files = [f for p in map(Path, paths) for f in (sorted(p.rglob("*.spk[yt]")) if p.is_dir() else [p])]
    if not files:
        raise UsageError(f"{', '.join(paths)}: no files that end in .spky or .spkt")
    from spikey.cli.telemetry_decode import verify as verify_telemetry
    from spikey.container.archive import is_archive
    from spikey.files import verify_file
    from spikey.telemetry.file import is_telemetry

    within = jobs if len(files) == 1 else 1

    def one(source: Path, _: Path, bar: Callable[[int], None] | None) -> Outcome:
        return verify_file(addresses.get(source, source), within, bar)

    start = time.perf_counter()
    archives = [file for file in files if is_archive(addresses.get(file, file))]
    telemetry = [file for file in files if is_telemetry(addresses.get(file, file))]
    single = [file for file in files if file not in archives and file not in telemetry]
    done, failures = run_files([(file, file) for file in single], one, jobs) if single else ([], 0)
    for archive in archives:
        whole, damaged = verify_archive(addresses.get(archive, archive), jobs)
        done += whole
        if damaged:
            say(f"spikey: {archive}: {damaged:,} damaged; {len(whole):,} whole")
            failures += 1
    failures += sum(not verify_telemetry(addresses.get(file, file)) for file in telemetry)
    for source, outcome in done:
        if outcome.note:
            say(f"note: {source} {outcome.note}")
    if done:
        typer.echo(summary(done, time.perf_counter() - start, "verified"))
    if failures:
        say(f"spikey: {failures} of {len(files)} files are damaged")
        raise typer.Exit(1)

"""`spikey decompress`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.cli.common import in_and_out, pairs, run_files, say, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikey.files import Outcome


def command(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="IN... OUT", help="Files or folders, and where to.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Not needed; accepted for symmetry.")] = None,
    input_file: Annotated[Path | None, typer.Option("--input_file", help="The same as IN.")] = None,
    output_file: Annotated[Path | None, typer.Option("--output_file", help="The same as OUT.")] = None,
    salvage: Annotated[bool, typer.Option("--salvage", help="Recover what is whole; lost parts become zeros.")] = False,
    jobs: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
) -> None:
    """Restore recordings byte for byte. The file itself says how it was coded."""
    inputs, output = in_and_out(paths, input_file, output_file)
    work = pairs(inputs, output, (".spky", ".bin"), _restored_name)
    from spikey.files import decompress_file, describe_lost

    within = jobs if len(work) == 1 else 1
    damaged = []

    def one(source: Path, target: Path, bar: Callable[[int], None] | None) -> Outcome:
        outcome, lost = decompress_file(source, target, salvage=salvage, jobs=within, progress=bar)
        if lost:
            damaged.append(f"{source}: {describe_lost(lost)}; zeros stand for what is lost, the rest is whole")
        return outcome

    if config is not None:
        _check_config(config, [source for source, _ in work])
    start = time.perf_counter()
    done, failures = run_files(work, one, jobs)
    if done:
        typer.echo(summary(done, time.perf_counter() - start, "restored"))
    for text in sorted(damaged):
        say(f"spikey: {text}")
    if failures or damaged:
        raise typer.Exit(1)


def _restored_name(path: Path) -> str:
    """a.spky becomes a.wav, a.dat.spky becomes a.dat."""
    bare = path.with_suffix("")
    return bare.name if bare.suffix.lower() in (".wav", ".raw", ".dat", ".bin") else path.with_suffix(".wav").name


def _check_config(config: Path, sources: list[Path]) -> None:
    """A configuration is not needed; one that disagrees with a file is named and ignored."""
    from spikey.cli.info import describe
    from spikey.config import load
    from spikey.errors import SpikeyError

    stated = load(config)
    for source in sources:
        try:
            facts = describe(source)
        except SpikeyError:
            continue  # decompressing says what is wrong
        coder = facts.get("coder")
        if coder not in (None, stated.bitstream_encoding.type):
            say(f"warning: {source} is coded with {coder}; ignored: {config} says {stated.bitstream_encoding.type}")

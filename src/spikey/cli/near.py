"""`spikey telemetry near-lossless`, `hybrid` and `restore`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar, raw_layout
from spikey.cli.progress import Meter
from spikey.cli.run import summary

if TYPE_CHECKING:
    from spikey.files.settings import Settings
    from spikey.lossy.near_lossless import Written

Input = Annotated[Path, typer.Argument(metavar="IN", help="WAV, or raw with --channels, --rate and --dtype.")]
Output = Annotated[Path, typer.Argument(metavar="OUT.spky", help="The lossy file.")]
Preset = Annotated[str, typer.Option(help=f"{options.PRESETS}.")]
Channels = Annotated[int | None, typer.Option(help="Channels of a raw input.")]
Rate = Annotated[float | None, typer.Option(help="Sampling rate of a raw input in Hz.")]
Dtype = Annotated[str | None, typer.Option(help="Type of a raw input: int16, uint16, int8, int24.")]
Jobs = Annotated[int, typer.Option(help="Threads.", min=1)]
Verify = Annotated[bool, typer.Option(help="Decode what was written and hold every sample against the promise.")]


def near_lossless(
    path: Input,
    output: Output,
    error: Annotated[int, typer.Option(help="The largest error of any sample, in codes of the converter.", min=1)],
    preset: Preset = "balanced",
    channels: Channels = None,
    rate: Rate = None,
    dtype: Dtype = None,
    jobs: Jobs = 1,
    keep_partial: options.KeepPartial = False,
    verify: Verify = True,
    force: options.Force = False,
) -> None:
    """LOSSY: compress a recording so that no sample is off by more than so many codes."""
    from spikey.lossy.near_lossless import near_lossless as write

    start = time.perf_counter()
    settings = _settings(preset, (channels, rate, dtype), keep_partial, jobs, verify)
    with progress_bar(size_of(path), "bytes") as advance:
        written = write(path, output, error, settings, Meter(advance), force)
    _say(output, written, time.perf_counter() - start)


def hybrid(
    path: Input,
    output: Output,
    bits: Annotated[float, typer.Option(help="Bits per sample that the file may take, all its bytes counted.")],
    correction: Annotated[
        Path | None, typer.Option(help="A second file, with which the original comes back bit for bit.")
    ] = None,
    preset: Preset = "balanced",
    channels: Channels = None,
    rate: Rate = None,
    dtype: Dtype = None,
    jobs: Jobs = 1,
    keep_partial: options.KeepPartial = False,
    verify: Verify = True,
    force: options.Force = False,
) -> None:
    """LOSSY: compress a recording into given bits per sample, with as little error as they allow."""
    from spikey.lossy.near_lossless import hybrid as write

    start = time.perf_counter()
    settings = _settings(preset, (channels, rate, dtype), keep_partial, jobs, verify)
    with progress_bar(size_of(path), "bytes") as advance:
        written = write(path, output, bits, settings, Meter(advance), correction, force)
    seconds = time.perf_counter() - start
    _say(output, written, seconds)
    if correction is not None and written.correction is not None:
        typer.echo(summary([written.correction], seconds, "correction of"))


def restore(
    path: Annotated[Path, typer.Argument(metavar="IN.spky", help="A lossy file.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The WAV or raw file to write.")],
    correction: Annotated[Path | None, typer.Option(help="Its correction file: the original is restored.")] = None,
    jobs: Jobs = 1,
    force: options.Force = False,
) -> None:
    """Decode a lossy file; with its correction file, the original byte for byte."""
    from spikey.lossy.near_lossless import restore as decode

    prepare_kernels()
    start = time.perf_counter()
    with progress_bar(None, "bytes") as advance:
        outcome, bins = decode(path, output, correction, jobs, Meter(advance), force)
    typer.echo(summary([outcome], time.perf_counter() - start, "restored"))
    typer.echo(f"{output}: " + ("the original, bit for bit" if correction else f"not the original: {bins.words()}"))


def _settings(
    preset: str, raw: tuple[int | None, float | None, str | None], keep_partial: bool, jobs: int, verify: bool
) -> Settings:
    from spikey.files.settings import Settings

    prepare_kernels()
    return Settings(preset=preset, raw=raw_layout(*raw), keep_partial=keep_partial, jobs=jobs, verify=verify)


def size_of(path: Path) -> int | None:
    """A file's size in bytes, for the progress."""
    return path.stat().st_size if path.is_file() else None


def _say(output: Path, written: Written, seconds: float) -> None:
    """What was written, and that it is lossy."""
    typer.echo(summary([written.outcome], seconds, "compressed"))
    typer.echo(f"{output}: LOSSY, {written.bins.words()}")

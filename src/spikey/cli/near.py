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
Output = Annotated[Path, typer.Argument(metavar="OUT.spky", help="The lossy file to write.")]
Preset = Annotated[str, typer.Option(help=f"{options.PRESETS}, each smaller and slower.")]
Verify = Annotated[bool, typer.Option(help="Decode the output and check the error of every sample.")]


def near_lossless(
    path: Input,
    output: Output,
    error: Annotated[int, typer.Option(help="Largest error of any sample, in codes of the ADC.", min=1)],
    preset: Preset = "balanced",
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.Dtype = None,
    jobs: options.Jobs = 1,
    keep_partial: options.KeepPartial = False,
    verify: Verify = True,
    force: options.Force = False,
) -> None:
    """LOSSY: compress with a bound on the error of every sample.

    Examples
    --------
    spikey telemetry near-lossless a.wav a.spky --error 2
    """
    from spikey.lossy.near_lossless import near_lossless as write

    start = time.perf_counter()
    settings = _settings(preset, (channels, rate, dtype), keep_partial, jobs, verify)
    with progress_bar(size_of(path), "bytes") as advance:
        written = write(path, output, error, settings, Meter(advance), force)
    _say(output, written, time.perf_counter() - start)


def hybrid(
    path: Input,
    output: Output,
    bits: Annotated[float, typer.Option(help="Size of the file in bits per sample, all its bytes counted.")],
    correction: Annotated[
        Path | None, typer.Option(help="Second file, with which the original is restored bit for bit. Default: none.")
    ] = None,
    preset: Preset = "balanced",
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.Dtype = None,
    jobs: options.Jobs = 1,
    keep_partial: options.KeepPartial = False,
    verify: Verify = True,
    force: options.Force = False,
) -> None:
    """LOSSY: compress to a given size with the smallest error.

    Examples
    --------
    spikey telemetry hybrid a.wav a.spky --bits 2.5
    spikey telemetry hybrid a.wav a.spky --bits 2.5 --correction a.fix.spky
    """
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
    path: Annotated[Path, typer.Argument(metavar="IN.spky", help="The lossy file.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The WAV or raw file to write.")],
    correction: Annotated[
        Path | None, typer.Option(help="Correction file, with which the original is restored. Default: none.")
    ] = None,
    jobs: options.Jobs = 1,
    force: options.Force = False,
) -> None:
    """Decode a lossy file; with its correction file, restore the original.

    Examples
    --------
    spikey telemetry restore a.spky approximate.wav
    spikey telemetry restore a.spky original.wav --correction a.fix.spky
    """
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

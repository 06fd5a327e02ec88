"""`spikey compress`."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.cli.cluster import compress_on_cluster, named_pairs
from spikey.cli.common import cut, in_and_out, pairs, run_batches, run_files, say, settings_from, summary
from spikey.cli.recordings import is_vendors, vendors_parts, warnings_said
from spikey.cli.together import compress as compress_together_in
from spikey.errors import UsageError
from spikey.recording.remote import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from spikey.files import Outcome
    from spikey.integrations.vendors import Part


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="IN... OUT", help="Files or folders, and where to; addresses with --scheduler."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML configuration.")] = None,
    name: Annotated[str | None, typer.Option(help="Which of its documents; default: the first.")] = None,
    input_file: Annotated[Path | None, typer.Option("--input_file", help="The same as IN.")] = None,
    output_file: Annotated[Path | None, typer.Option("--output_file", help="The same as OUT.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="realtime, balanced, archive or archive-max; default: balanced, realtime for inputs over 100 MB."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A trained model by name (spikey models) or file.")] = None,
    embed_model: Annotated[
        bool | None,
        typer.Option(
            "--embed-model/--no-embed-model",
            help="Write the model into the output; default: if it is your own and takes at most 1 % of it.",
        ),
    ] = None,
    calibration: Annotated[str | None, typer.Option(help="auto, n1, none or a calibration file.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels of a raw input.")] = None,
    rate: Annotated[float | None, typer.Option(help="Sampling rate of a raw input in Hz.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of a raw input: int16, uint16, int8, int24, float32.")] = None,
    stream: Annotated[str | None, typer.Option(help="Which stream of a vendor's folder; default: all.")] = None,
    reader: Annotated[
        str | None, typer.Option(help="SpikeInterface's name of a vendor's format, where it is not told by itself.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Threads; with --scheduler local processes.", min=1)] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, as tcp://host:8786, or local: a cluster on this machine.")
    ] = None,
    together: Annotated[
        bool,
        typer.Option(
            "--together", help="One archive; recordings made at the same instant help each other (preset archive)."
        ),
    ] = False,
    verify: Annotated[bool, typer.Option(help="Decode what was written and compare.")] = True,
) -> None:
    """Compress recordings without losing a bit.

    A folder is searched for WAV files (with --channels, --rate and --dtype for .raw, .dat and .bin files) and mirrored;
    with --together one archive is written.
    Other files and folders (SpikeGLX, Open Ephys, Intan, Blackrock, NWB, ...) are read with SpikeInterface.
    """
    inputs, output = in_and_out([Path(path) for path in paths or []], input_file, output_file)
    settings = settings_from(config, name, preset, model, calibration, (channels, rate, dtype))
    if embed_model and settings.model is None:
        raise UsageError("--embed-model needs a trained model: give --model or a configuration of one")
    suffixes = (".wav",) if settings.raw is None else (".raw", ".dat", ".bin")
    chosen = stream is not None or reader is not None
    if chosen and settings.raw is not None:
        raise UsageError(
            "--stream and --reader are for vendors' formats; --channels, --rate and --dtype for raw samples"
        )
    if together:
        if scheduler is not None or chosen:
            raise UsageError("--together is for WAV and raw files on this machine, without --scheduler and --stream")
        if addresses := [text for text in paths or [] if is_address(text)]:
            raise UsageError(f"{addresses[0]}: addresses are for --scheduler, not for --together")
        each = replace(settings, embed_model=embed_model, jobs=jobs or 1, verify=verify)
        compress_together_in(inputs, output, each, suffixes)
        return
    if scheduler is not None:
        texts = paths or [str(input_file), str(output_file)]
        local = [Path(text) for text in texts[:-1] if not is_address(text)]
        if chosen or (settings.raw is None and any(map(is_vendors, local))):
            raise UsageError("--scheduler is for WAV and raw files; vendors' formats are compressed without it")
        each = replace(settings, embed_model=embed_model, verify=verify)
        start = time.perf_counter()
        named = named_pairs(texts[:-1], texts[-1], suffixes, _compressed_name)
        done, failures = compress_on_cluster(named, each, scheduler, jobs)
        _conclude(done, failures, len(named), time.perf_counter() - start)
        return
    if addresses := [text for text in paths or [] if is_address(text)]:
        raise UsageError(f"{addresses[0]}: addresses are for --scheduler tcp://... or --scheduler local")
    threads = jobs or 1
    foreign = [path for path in inputs if settings.raw is None and (chosen or is_vendors(path))]
    parts: dict[Path, Part] = {}
    with warnings_said():
        for path in foreign:
            found = vendors_parts(path, output, len(inputs) == 1, stream, reader)
            if taken := next((target for target in found if target in parts), None):
                raise UsageError(f"{path}: would be written to {taken}, like an input before it")
            parts |= found
    work = [(Path(part.name), target) for target, part in parts.items()]
    if len(foreign) < len(inputs):
        work += pairs([path for path in inputs if path not in foreign], output, suffixes, _compressed_name)
    from spikey.batch import AT_ONCE, compress_together
    from spikey.files import compress_file

    each = replace(settings, embed_model=embed_model, jobs=1 if len(work) > 1 else threads, verify=verify)
    start = time.perf_counter()
    if each.model is not None and len(work) > 1 and not parts:
        done, failures = run_batches(cut(work, threads, AT_ONCE), lambda batch: compress_together(batch, each), threads)
    else:

        def one(source: Path, target: Path, bar: Callable[[int], None] | None) -> Outcome:
            if target in parts:
                return parts[target].compress(target, each, bar)
            return compress_file(source, target, each, bar)

        with warnings_said():
            done, failures = run_files(work, one, threads)
    _conclude(done, failures, len(work), time.perf_counter() - start)


def _conclude(done: list[tuple[Path, Outcome]], failures: int, files: int, seconds: float) -> None:
    """Say what became of all files; exit status 1 where one failed."""
    notes = []
    for source, outcome in done:
        if outcome.note:
            notes.append(outcome.note + ("" if outcome.samples else "; kept losslessly as plain bytes"))
        elif not outcome.samples:
            notes.append(f"{source} holds no samples")
    for note in dict.fromkeys(notes):  # of many files coded with one model each says the same
        say(f"note: {note}")
    if done:
        typer.echo(summary(done, seconds, "compressed"))
    if failures:
        say(f"spikey: {failures} of {files} files could not be compressed")
        raise typer.Exit(1)


def _compressed_name(path: Path) -> str:
    """a.wav becomes a.spky; of others the suffix stays, so that it comes back: a.dat becomes a.dat.spky."""
    return path.with_suffix(".spky").name if path.suffix.lower() == ".wav" else f"{path.name}.spky"

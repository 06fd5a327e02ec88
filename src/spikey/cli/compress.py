"""`spikey compress`."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import OutputExistsError, SpikeyError, UsageError
from spikey.cli import options
from spikey.cli.arguments import Arguments, check_inputs, parse, spooled
from spikey.cli.cluster import compress_on_cluster, named_pairs
from spikey.cli.common import prepare_kernels, settings_from
from spikey.cli.messages import note, say, set_level
from spikey.cli.packing import Plan, Planned, make_folders, plan, remove, say_unstored, stamp
from spikey.cli.run import Run, Task, run
from spikey.cli.together import compress as compress_together_in
from spikey.cli.warned import warnings_said
from spikey.files.names import packed_name
from spikey.recording.output import is_input, is_taken
from spikey.recording.remote import is_address

if TYPE_CHECKING:
    from spikey.cli.packing import Stamp
    from spikey.files.settings import Outcome, Progress, Settings


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="IN... [OUT]", help="Files or folders, and where to; addresses with --scheduler."),
    ] = None,
    output: options.Output = None,
    config: options.Config = None,
    name: options.Name = None,
    input_file: options.InputFile = None,
    output_file: options.OutputFile = None,
    preset: Annotated[
        str | None,
        typer.Option(help=f"{options.EXPLAINED} (one core). Default: the first, or max with --together up to 100 MB."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A trained model by name (spikey models) or file.")] = None,
    embed_model: Annotated[
        bool | None,
        typer.Option(
            "--embed-model/--no-embed-model",
            help="Write the model into the output; default: if it is your own and takes at most 1 % of it.",
        ),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="auto, none, a shipped one by name (n1, intan-rhd2000) or a calibration file.")
    ] = None,
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.Dtype = None,
    keep_partial: options.KeepPartial = False,
    stream: Annotated[str | None, typer.Option(help="Which stream of a vendor's folder; default: all.")] = None,
    reader: Annotated[
        str | None, typer.Option(help="SpikeInterface's name of a vendor's format, where it is not recognised.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Threads; with --scheduler local processes.", min=1)] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask scheduler, as tcp://host:8786, or local: a cluster on this machine.")
    ] = None,
    together: Annotated[
        bool,
        typer.Option(
            "--together", help="One archive; recordings made at the same instant help each other (preset max)."
        ),
    ] = False,
    verify: Annotated[bool, typer.Option(help="Decode what was written and compare.")] = True,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="Store every file of a folder, derived ones too, or refuse."),
    ] = False,
    remove_inputs: Annotated[
        bool,
        typer.Option("--rm", help="Remove inputs once all outputs are verified and on the disk; implies --complete."),
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Compress recordings without losing a bit.

    `spikey compress a.wav` writes a.spky beside it; `spikey compress session1/ packed/` writes packed/session1/...

    Every recording in a folder is compressed: WAV files, those of vendors (SpikeGLX, Open Ephys, Intan, Blackrock, NWB,
    ...; read with SpikeInterface), with --channels, --rate and --dtype also .raw, .dat and .bin files. What is not
    stored is named. An output that exists is never replaced without --force. With --together one archive is written.
    """
    set_level(quiet, verbose)
    arguments = parse(paths, output, input_file, output_file, packs=True, archive=together)
    if as_json and arguments.to_stdout:
        raise UsageError("--json and the compressed data cannot both go to standard output")
    settings = settings_from(config, name, preset, model, calibration, (channels, rate, dtype))
    if embed_model and settings.model is None:
        raise UsageError("--embed-model needs a trained model: give --model or a configuration of one")
    if keep_partial and settings.raw is None:
        raise UsageError("--keep-partial is for raw inputs, with --channels, --rate and --dtype")
    if (stream is not None or reader is not None) and settings.raw is not None:
        raise UsageError(
            "--stream and --reader are for vendors' formats; --channels, --rate and --dtype for raw samples"
        )
    if remove_inputs and not verify:
        raise UsageError("--rm removes nothing that was not verified: leave out --no-verify")
    if remove_inputs and (scheduler is not None or arguments.to_stdout):
        raise UsageError("--rm is for outputs that are files on this machine")
    complete = complete or remove_inputs
    force = force or arguments.documented
    settings = replace(settings, embed_model=embed_model, jobs=jobs or 1, verify=verify, keep_partial=keep_partial)
    if scheduler is not None:
        if stream is not None or reader is not None or together or complete or skip_existing:
            raise UsageError(
                "--scheduler is for WAV and raw files, without --stream, --reader, --together, --complete and "
                "--skip-existing"
            )
        _on_cluster(arguments, settings, scheduler, jobs, force, as_json)
        return
    if addresses := [text for text in (*arguments.inputs, arguments.output or "") if is_address(text)]:
        raise UsageError(f"{addresses[0]}: addresses are for --scheduler tcp://... or --scheduler local")
    check_inputs(arguments.inputs)
    with spooled(arguments.inputs) as places, warnings_said():
        if together:
            if stream is not None or reader is not None or skip_existing:
                raise UsageError("--together is for WAV and raw files, without --stream, --reader and --skip-existing")
            compress_together_in(arguments, places, settings, force, complete, remove_inputs, as_json)
            return
        raw = settings.raw is not None
        found = plan(arguments, places, raw=raw, stream=stream, reader=reader, complete=complete)
        _compress(found, arguments, settings, force, skip_existing, remove_inputs, as_json)


def _compress(
    found: Plan,
    arguments: Arguments,
    settings: Settings,
    force: bool,
    skip_existing: bool,
    remove_inputs: bool,
    as_json: bool,
) -> None:
    """Compress all that is planned."""
    alone = len(found.outputs) == 1 and not as_json
    threads = settings.jobs
    each = replace(settings, jobs=threads if len(found.outputs) == 1 else 1)
    stamps = {path: stamp(path) for path in found.inputs()}
    if alone and not (force or skip_existing) and is_taken(found.outputs[0].target):
        raise OutputExistsError(found.outputs[0].target)
    say_unstored(found)
    make_folders(found, arguments)
    prepare_kernels()

    def task(planned: Planned) -> Task:
        def do(progress: Progress) -> Outcome:
            if not force and is_taken(planned.target):
                if skip_existing and (same := _same(planned, each.jobs)) is not None:
                    return same
                other = ", and does not restore this input" if skip_existing else ""
                raise OutputExistsError(planned.target, other)
            return _pack(planned, each, progress, force)

        item = planned.item
        return Task(str(item.path or planned.root / item.name), planned.target, item.size, do)

    tasks = [task(planned) for planned in found.outputs]
    passes = 2 if settings.verify else 1
    networks = settings.model is not None and not alone and not skip_existing
    if networks and all(p.item.path is not None and p.item.kind != "bytes" and not p.name for p in found.outputs):
        from spikey.files.batch import AT_ONCE, compress_together

        def several(batch: list[Task]) -> list[Outcome | SpikeyError]:
            pairs = [(Path(each.source), Path(each.target)) for each in batch]
            return [outcome for _, outcome in compress_together(pairs, each, overwrite=force)]

        done = run(tasks, "compressed", threads, together=several, most=AT_ONCE)
    else:
        done = run(tasks, "compressed", threads, passes, alone)
    for result, planned in zip(done.results, found.outputs, strict=True):
        outcome = result.outcome
        if outcome is None or outcome.samples or outcome.note or outcome.skipped or planned.item.kind == "bytes":
            continue
        note(f"{result.task.source} contains no samples")
    done.failures += len(found.failed)
    if remove_inputs:
        done.extra["removed"] = [str(path) for path in _remove(found, done, stamps)]
    done.extra["not_stored"] = [
        {"file": str(left.path), "bytes": left.size, "reason": left.reason} for left in found.unstored
    ]
    done.conclude(as_json, arguments.to_stdout)


def _pack(planned: Planned, settings: Settings, progress: Progress, force: bool) -> Outcome:
    """Compress one output's input."""
    from spikey.files.compress import compress_bytes, compress_file

    item = planned.item
    if item.part is not None:
        return item.part.compress(planned.target, settings, progress, overwrite=force)
    assert item.path is not None
    if item.kind == "bytes":
        return compress_bytes(item.path, planned.target, settings, progress, overwrite=force, name=planned.name)
    return compress_file(item.path, planned.target, settings, progress, overwrite=force, name=planned.name)


def _same(planned: Planned, jobs: int) -> Outcome | None:
    """The outcome where the output was made from this input: same modification time, same bytes when restored.

    Where only samples are stored, no file can be compared: the size must be the same, and every checksum right.
    """
    from spikey.files.decompress import verify_file
    from spikey.files.matching import matches, same_file_time

    part = planned.item.part
    if not planned.item.covers:
        if part is None or part.origin is None or not same_file_time(part.origin, planned.target):
            return None
        with suppress(SpikeyError):
            found = verify_file(planned.target, jobs)
            return replace(found, skipped=True) if found.original == part.sample_bytes else None
        return None
    original = planned.item.covers[0]
    if not same_file_time(original, planned.target):
        return None
    return matches(planned.target, original, planned.root if planned.item.part is not None else None, jobs)


def _remove(found: Plan, done: Run, stamps: dict[Path, Stamp]) -> list[Path]:
    """Remove the inputs of which all is compressed; what cannot be removed is a failure."""
    removed: list[Path] = []
    failed = {id(result.task) for result in done.results if result.outcome is None}
    at = 0
    for text, taken in found.inventories:
        results = done.results[at : at + len(taken.items)]
        at += len(taken.items)
        if any(id(result.task) in failed for result in results) or any(left.failed for left in taken.unstored):
            say(f"spikey: {text}: nothing was removed, as not all of it could be compressed")
            continue
        covered = [path for item in taken.items for path in item.covers]
        if not os.path.isdir(text):  # of a single input nothing else, such as its side files
            covered = [path for path in covered if is_input(path, (text,))]
        gone, failures = remove(covered, stamps)
        removed += gone
        for failure in failures:
            say(f"spikey: {failure}")
        done.failures += len(failures)
    return removed


def _on_cluster(
    arguments: Arguments, settings: Settings, scheduler: str, jobs: int | None, force: bool, as_json: bool
) -> None:
    """Compress WAV and raw files on a Dask cluster."""
    if arguments.output is None:
        raise UsageError("--scheduler needs an output: a file, a folder that ends in /, or an address")
    suffixes = (".wav",) if settings.raw is None else (".raw", ".dat", ".bin")
    local = [text for text in arguments.inputs if not is_address(text)]
    check_inputs(tuple(local))
    if settings.raw is None:
        from spikey.integrations.vendors import take_inventory

        if any(item.kind == "vendor" for text in local for item in take_inventory(Path(text)).items):
            raise UsageError("--scheduler is for WAV and raw files; vendors' formats are compressed without it")
    pairs = named_pairs(arguments, suffixes, lambda path: packed_name(path.name))
    start = time.perf_counter()
    done = compress_on_cluster(pairs, replace(settings, jobs=1), scheduler, jobs, overwrite=force)
    done.seconds = time.perf_counter() - start
    done.conclude(as_json)

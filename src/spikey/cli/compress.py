"""`spikey compress`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import OutputExistsError, UsageError
from spikey.cli import options
from spikey.cli.addresses import STAND_IN, compress_addresses, compress_pairs, retarget
from spikey.cli.arguments import Arguments, check_inputs, parse, spooled
from spikey.cli.cluster import compress_on_cluster
from spikey.cli.common import settings_from
from spikey.cli.compression import compress_plan, removable
from spikey.cli.messages import say, set_level
from spikey.cli.packing import Plan, make_folders, plan, remove, stamp
from spikey.cli.together import compress as compress_together_in
from spikey.cli.warned import warnings_said
from spikey.recording.output import is_taken
from spikey.recording.remote import is_address

if TYPE_CHECKING:
    from spikey.files.settings import Settings


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IN... [OUT]", help="Files or folders, and where to; or addresses, as s3://bucket/folder/."
        ),
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
    addresses = [text for text in (*arguments.inputs, arguments.output or "") if is_address(text)]
    if addresses and (together or skip_existing or remove_inputs):
        raise UsageError(f"{addresses[0]}: an address, with which --together, --skip-existing and --rm cannot be used")
    check_inputs(arguments.inputs)
    if any(is_address(text) for text in arguments.inputs):
        _from_addresses(arguments, settings, force, complete or stream is not None or reader is not None, as_json)
        return
    with spooled(arguments.inputs) as places, warnings_said():
        if together:
            if stream is not None or reader is not None or skip_existing:
                raise UsageError("--together is for WAV and raw files, without --stream, --reader and --skip-existing")
            compress_together_in(arguments, places, settings, force, complete, remove_inputs, as_json)
            return
        raw = settings.raw is not None
        options: Any = {"raw": raw, "stream": stream, "reader": reader, "complete": complete}
        if addresses:
            found = plan(replace(arguments, output=STAND_IN), places, **options)
            retarget(found, addresses[-1])
        else:
            found = plan(arguments, places, **options)
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
    """Compress all that is planned, remove what is asked for, and write what became of it."""
    alone = len(found.outputs) == 1 and not as_json
    stamps = {path: stamp(path) for path in found.inputs()}
    if alone and not (force or skip_existing) and is_taken(found.outputs[0].target):
        raise OutputExistsError(found.outputs[0].target)
    if arguments.output is None or (arguments.folder and not is_address(arguments.output)):
        make_folders(found)  # the folder of an output that was named as a file must exist
    done = compress_plan(found, settings, force=force, skip_existing=skip_existing, alone=alone)
    if remove_inputs:
        removed, failures = remove(removable(found, done), stamps)
        for failure in failures:
            say(f"spikey: {failure}")
        done.failures += len(failures)
        done.extra["removed"] = [str(path) for path in removed]
    done.extra["not_stored"] = [
        {"file": str(left.path), "bytes": left.size, "reason": left.reason} for left in found.unstored
    ]
    done.conclude(as_json, arguments.to_stdout)


def _from_addresses(arguments: Arguments, settings: Settings, force: bool, vendors: bool, as_json: bool) -> None:
    """Compress WAV and raw files that lie in stores."""
    if vendors:
        raise UsageError(
            "--stream, --reader and --complete are for folders on this machine; in stores, WAV and raw files are read"
        )
    if arguments.output is None:
        raise UsageError(f"{arguments.inputs[0]}: name an output: a file, a folder that ends in /, or an address")
    start = time.perf_counter()
    done = compress_addresses(compress_pairs(arguments, settings), settings, overwrite=force)
    done.seconds = time.perf_counter() - start
    done.conclude(as_json)


def _on_cluster(
    arguments: Arguments, settings: Settings, scheduler: str, jobs: int | None, force: bool, as_json: bool
) -> None:
    """Compress WAV and raw files on a Dask cluster."""
    if arguments.output is None:
        raise UsageError("--scheduler needs an output: a file, a folder that ends in /, or an address")
    check_inputs(arguments.inputs)
    pairs = compress_pairs(arguments, settings)
    start = time.perf_counter()
    done = compress_on_cluster(pairs, replace(settings, jobs=1), scheduler, jobs, overwrite=force)
    done.seconds = time.perf_counter() - start
    done.conclude(as_json)

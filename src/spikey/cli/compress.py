"""`spikey compress`."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import OutputExistsError, UsageError
from spikey.cli import options
from spikey.cli.addresses import STAND_IN, compress_addresses, compress_pairs, retarget
from spikey.cli.arguments import Arguments, check_inputs, parse, spooled
from spikey.cli.cluster import compress_on_cluster, compress_plan_on_cluster
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

METHOD, VENDORS = "Method", "Vendors' formats"  # groups of options


def command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IN... [OUT]", help="Files or folders, and the output; or addresses such as s3://bucket/folder/."
        ),
    ] = None,
    output: options.Output = None,
    input_file: options.InputFile = None,
    output_file: options.OutputFile = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"{options.EXPLAINED} (one core). Default: the first; with --together, max up to 100 MB.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Trained model, by name (see spikey models) or file. Default: none.", rich_help_panel=METHOD),
    ] = None,
    embed_model: Annotated[
        bool | None,
        typer.Option(
            "--embed-model/--no-embed-model",
            help="Write the model into the output. Default: if it is your own and takes at most 1 % of it.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            help="Code widths of the ADC: auto, none, a name (n1, intan-rhd2000) or a calibration file. Default: auto.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file (YAML). Default: none.", rich_help_panel=METHOD)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the document in the configuration file. Default: the first.", rich_help_panel=METHOD
        ),
    ] = None,
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="Write one archive, in which simultaneous recordings are predicted from each other.",
            rich_help_panel=METHOD,
        ),
    ] = False,
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.Dtype = None,
    keep_partial: options.KeepPartial = False,
    stream: Annotated[
        str | None,
        typer.Option(help="Name of one stream to compress. Default: all streams.", rich_help_panel=VENDORS),
    ] = None,
    reader: Annotated[
        str | None,
        typer.Option(
            help="Name of SpikeInterface's reader. Default: the format is recognised.", rich_help_panel=VENDORS
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Number of threads; with --scheduler, of local processes. Default: 1.", min=1)
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Dask scheduler, as tcp://host:8786, or local for this machine. Default: none."),
    ] = None,
    verify: options.Verify = True,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    complete: Annotated[
        bool,
        typer.Option(
            "--complete", help="Store every file of a folder, derived ones too; refuse if one cannot be stored."
        ),
    ] = False,
    remove_inputs: Annotated[
        bool,
        typer.Option(
            "--rm", help="Remove the inputs after all outputs are verified and on the disk; implies --complete."
        ),
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
) -> None:
    """Compress recordings without loss.

    Of a folder every recording is compressed: WAV files, the formats of vendors (SpikeGLX, Open Ephys, Intan,
    Neuralynx, Blackrock, EDF and others; NWB and more with SpikeInterface), and with --channels, --rate and --dtype raw
    files (.raw, .dat, .bin). Files that are not stored are listed. An existing output is not replaced without --force.

    Examples
    --------
    spikey compress a.wav                      # writes a.spky
    spikey compress session1/ packed/ --jobs 2 # writes packed/session1/...
    spikey compress a.dat --channels 384 --rate 30000 --dtype int16
    spikey compress session1/ packed/ --rm     # removes the verified inputs
    spikey compress data/ all.spky --together  # one archive
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
        if together or complete or skip_existing:
            raise UsageError("--scheduler cannot be used with --together, --complete and --skip-existing")
        cluster: Any = {"scheduler": scheduler, "jobs": jobs}
        if any(not is_address(text) and _has_vendors(text, settings, reader) for text in arguments.inputs):
            _vendors_on_cluster(arguments, settings, cluster, {"stream": stream, "reader": reader}, force, as_json)
        elif stream is not None or reader is not None:
            raise UsageError("--stream and --reader are for vendors' formats, and the inputs contain none")
        else:
            _on_cluster(arguments, settings, cluster, force, as_json)
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
        found = _plan(arguments, places, settings, {"stream": stream, "reader": reader, "complete": complete})
        _compress(found, arguments, settings, force, skip_existing, remove_inputs, as_json)


def _plan(arguments: Arguments, places: dict[str, Path], settings: Settings, options: Any) -> Plan:
    """The outputs of inputs on this machine; below an address, where the output is one."""
    raw = settings.raw is not None
    if arguments.output is None or not is_address(arguments.output):
        return plan(arguments, places, raw=raw, **options)
    found = plan(replace(arguments, output=STAND_IN), places, raw=raw, **options)
    retarget(found, arguments.output)
    return found


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
    done.extra["not_stored"] = facts_of(found)
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


def _has_vendors(text: str, settings: Settings, reader: str | None) -> bool:
    """Whether an input is, or contains, a vendor's recording."""
    from spikey.integrations.vendors import take_inventory

    if settings.raw is not None:
        return False
    return any(item.kind == "vendor" for item in take_inventory(Path(text), reader=reader).items)


def _vendors_on_cluster(
    arguments: Arguments, settings: Settings, cluster: Any, options: Any, force: bool, as_json: bool
) -> None:
    """Compress inputs of any kind on a Dask cluster whose workers see them, each output by one of them."""
    if arguments.output is None:
        raise UsageError("--scheduler needs an output: a file, a folder that ends in /, or an address")
    if address := next(filter(is_address, arguments.inputs), None):
        raise UsageError(f"{address}: is in a store, and vendors' formats are read from folders")
    check_inputs(arguments.inputs)
    start = time.perf_counter()
    places = {text: Path(os.path.abspath(text)) for text in arguments.inputs}
    found = _plan(arguments, places, settings, {**options, "complete": False})
    if not is_address(arguments.output) and arguments.folder:
        make_folders(found)
    found.outputs[:] = [
        each if is_address(each.target) else each._replace(target=os.path.abspath(each.target))
        for each in found.outputs
    ]
    done = compress_plan_on_cluster(found, replace(settings, jobs=1), **cluster, overwrite=force)
    done.seconds = time.perf_counter() - start
    done.extra["not_stored"] = facts_of(found)
    done.conclude(as_json)


def facts_of(found: Plan) -> list[dict[str, Any]]:
    """The files that no output restores, for programs."""
    return [{"file": str(left.path), "bytes": left.size, "reason": left.reason} for left in found.unstored]


def _on_cluster(arguments: Arguments, settings: Settings, cluster: Any, force: bool, as_json: bool) -> None:
    """Compress WAV and raw files on a Dask cluster."""
    if arguments.output is None:
        raise UsageError("--scheduler needs an output: a file, a folder that ends in /, or an address")
    check_inputs(arguments.inputs)
    pairs = compress_pairs(arguments, settings)
    start = time.perf_counter()
    done = compress_on_cluster(pairs, replace(settings, jobs=1), **cluster, overwrite=force)
    done.seconds = time.perf_counter() - start
    done.conclude(as_json)

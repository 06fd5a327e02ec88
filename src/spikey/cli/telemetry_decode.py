"""`spikey telemetry decode`, and the descriptions of telemetry files for `spikey info` and `spikey verify`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import DataError, UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar, say
from spikey.cli.key import KeyFile, key_of
from spikey.recording.output import is_input, refuse_existing
from spikey.recording.remote import is_address

if TYPE_CHECKING:
    from spikey.telemetry.decoded import Telemetry
    from spikey.telemetry.survey import Survey

FORMS = ("npz", "csv", "nwb", "wav", "zarr")
NAMED = 3  # spans of missing frames that are printed


def command(
    path: Annotated[str, typer.Argument(metavar="IN.spkt", help="A telemetry file, or its address.")],
    output: Annotated[
        str | None,
        typer.Argument(metavar="[OUT]", help="Output, whose kind its ending selects: .npz, .csv, .nwb, .wav or .zarr."),
    ] = None,
    npz: Annotated[str | None, typer.Option(help="NumPy file for everything. Default: none.")] = None,
    csv: Annotated[
        str | None, typer.Option(help="CSV file for threshold crossings and their waveforms. Default: none.")
    ] = None,
    nwb: Annotated[
        str | None, typer.Option(help="NWB file for units, spike-band power and the LFP band. Default: none.")
    ] = None,
    wav: Annotated[str | None, typer.Option(help="WAV file for the reconstructed signal. Default: none.")] = None,
    zarr: Annotated[str | None, typer.Option(help="Zarr group (folder) for everything. Default: none.")] = None,
    noise: Annotated[
        int | None,
        typer.Option(
            help="With WAV: seed of artificial noise between the waveforms, for spike sorters. Default: no noise.",
            min=0,
        ),
    ] = None,
    volts_per_code: Annotated[
        float | None, typer.Option(help="With NWB: size of a code of the ADC in V. Default: values in codes.")
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="With NWB: start of the recording. Default: 1970, with a remark.")
    ] = None,
    key_file: KeyFile = None,
    force: options.Force = False,
    summary: Annotated[
        bool,
        typer.Option(
            "--summary",
            help="Print a description of the file, as without OUT.",
            rich_help_panel=options.MESSAGES,
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the description as JSON, for programs.", rich_help_panel=options.MESSAGES),
    ] = False,
) -> None:
    """Convert a telemetry file (lossy) to other formats, or describe it.

    The outputs contain threshold crossings, waveforms, spike-band power and the LFP band, and no more: the recording
    itself cannot be restored.

    Examples
    --------
    spikey telemetry decode a.spkt             # describes the file
    spikey telemetry decode a.spkt a.npz
    spikey telemetry decode a.spkt --csv a.csv --wav a.wav
    """
    targets = _targets(output, {"npz": npz, "csv": csv, "nwb": nwb, "wav": wav, "zarr": zarr})
    if "nwb" in targets:
        from spikey.integrations.nwb import need_pynwb, refuse_address

        need_pynwb()
        refuse_address(targets["nwb"])
    elif volts_per_code is not None or start is not None:
        raise UsageError("--volts-per-code and --start are for NWB; add --nwb FILE")
    if volts_per_code is not None and not 0 < volts_per_code < float("inf"):
        raise UsageError(f"--volts-per-code must be more than 0, not {volts_per_code:g}")
    if noise is not None and "wav" not in targets:
        raise UsageError("--noise is for a WAV; add --wav FILE")
    if "zarr" in targets:
        from spikey.integrations.telemetry_zarr import need_zarr, refuse_zarr

        need_zarr()
        refuse_zarr(targets["zarr"], force, path)
    from spikey.telemetry.check import facts, inspect
    from spikey.telemetry.file import iter_telemetry

    key = key_of(key_file)
    prepare_kernels()
    for form, target in targets.items():
        if form != "zarr" and not is_address(target):
            refuse_existing(target, force or is_input(target, (path,)))
    with progress_bar(_size(path) * (1 + bool(targets)), "bytes") as advance:
        known, counted = inspect(path, advance, key)
        if targets and _size(path) != counted.size:
            raise DataError(f"{path}: has grown or shrunk while it was read; decode it when it is complete")
        with ExitStack() as stack:
            outputs = [
                stack.enter_context(_output(form, known, target, path, volts_per_code, start, noise, force))
                for form, target in targets.items()
            ]
            for part in iter_telemetry(path, progress=advance, key=key) if outputs else ():
                for add in outputs:
                    add(part)
    for target in targets.values():
        say(f"{target}: written; lossy, {known.events:,} events of {known.description.channels:,} channels")
    if as_json:
        typer.echo(json.dumps(facts(path, known, counted), indent=2))
    elif summary or not targets:
        _show(facts(path, known, counted))
    if not counted.whole:
        say(f"note: {path}: {counted.words()}")


def describe(path: str) -> dict[str, Any]:
    """The facts about one file, by name."""
    from spikey.telemetry.check import facts, inspect

    prepare_kernels()
    with progress_bar(_size(path), "bytes") as advance:
        return facts(path, *inspect(path, advance))


def verify(path: str | Path, quiet: bool = False) -> bool:
    """Check every packet of a file and, unless quiet, print the result; return whether it is intact."""
    from spikey.telemetry.check import check

    with progress_bar(_size(str(path)), "bytes") as advance:
        counted = check(path, advance)
    if counted.whole:
        if not quiet:
            typer.echo(f"{path}: lossy telemetry; {counted.words()}")
    else:
        say(f"spikey: {path}: lossy telemetry; {counted.words()}")
    return counted.whole


def _targets(output: str | None, options: dict[str, str | None]) -> dict[str, str]:
    """Each form that is asked for, with its file."""
    targets = {form: target for form, target in options.items() if target is not None}
    if output is not None:
        form = Path(output).suffix.lower().removeprefix(".")
        if form not in FORMS:
            raise UsageError(f"{output}: must end in .npz, .csv, .nwb, .wav or .zarr, or be given as --npz, --csv, …")
        if form in targets:
            raise UsageError(f"{output} and {targets[form]} are both {form.upper()} outputs; give one")
        targets[form] = output
    places = [target if is_address(target) else str(Path(target).resolve()) for target in targets.values()]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice}: cannot be of two kinds; give each its own name")
    return targets


def _size(path: str) -> int:
    """Bytes of a file, or of one at an address."""
    from spikey.recording.opened import open_file

    file, _, size = open_file(path)
    file.close()
    return size


def _output(
    form: str,
    known: Survey,
    target: str,
    source: str,
    volts_per_code: float | None,
    start: datetime | None,
    noise: int | None,
    force: bool,
) -> AbstractContextManager[Callable[[Telemetry], None]]:
    """What writes a form: a context that gives what is called with each part of the stream."""
    if form == "nwb":
        from spikey.integrations.nwb import nwb_output

        return nwb_output(known, target, volts_per_code, start, source, overwrite=force)
    if form == "zarr":
        from spikey.integrations.telemetry_zarr import zarr_output

        return zarr_output(known, target, source, overwrite=force)
    from spikey.telemetry import export
    from spikey.telemetry.npz import npz_output

    if form == "csv":
        return export.csv_output(known.description, target, source, overwrite=force)
    if form == "wav":
        return export.wav_output(known, target, source, noise=noise, overwrite=force)
    return npz_output(known, target, source, overwrite=force)


def _show(facts: dict[str, Any]) -> None:
    """Facts for a person."""
    from spikey.cli.info import show

    show(words(facts))


def words(facts: dict[str, Any]) -> dict[str, Any]:
    """The same facts with the first of the missing spans in words."""
    spans = facts["missing_spans"]
    shown = [f"{first} to {end}" for first, end in spans[:NAMED]]
    more = [f"and {len(spans) - NAMED} more"] if len(spans) > NAMED else []
    return facts | {"missing_spans": ", ".join(shown + more) or "none"}

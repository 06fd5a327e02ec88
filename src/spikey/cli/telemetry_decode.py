"""`spikey telemetry decode`, and what `spikey info` and `spikey verify` say of telemetry files."""

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
NAMED = 3  # spans of missing frames that are named


def command(
    path: Annotated[str, typer.Argument(metavar="IN.spkt", help="A telemetry file, or an address of one.")],
    output: Annotated[
        str | None,
        typer.Argument(metavar="OUT", help="Where to; .npz, .csv, .nwb, .wav or .zarr says what it becomes."),
    ] = None,
    npz: Annotated[str | None, typer.Option(help="Write all that is known as NumPy arrays.")] = None,
    csv: Annotated[str | None, typer.Option(help="Write a table of events, each with its waveform.")] = None,
    nwb: Annotated[str | None, typer.Option(help="Write NWB: units, spike-band power, low band.")] = None,
    wav: Annotated[str | None, typer.Option(help="Write the signal as it can be reconstructed, to look at.")] = None,
    noise: Annotated[
        int | None,
        typer.Option(help="Seed of artificial noise between the waveforms of the WAV, as spike sorters need.", min=0),
    ] = None,
    zarr: Annotated[str | None, typer.Option(help="Write all that is known as a Zarr group, a folder.")] = None,
    volts_per_code: Annotated[float | None, typer.Option(help="With which NWB is in volts; else in codes.")] = None,
    start: Annotated[datetime | None, typer.Option(help="When the recording began, for NWB.")] = None,
    key_file: KeyFile = None,
    force: options.Force = False,
    summary: Annotated[bool, typer.Option("--summary", help="Say what the file holds; also done without OUT.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say it for programs: one JSON object.")] = False,
) -> None:
    """Turn a telemetry file (lossy) into files of other kinds, or say what it holds.

    The file is decoded in pieces, twice where something is written: first to count what there is of each.

    Events, waveforms, spike-band power and the low band are what was kept of a recording; no form has more than these.
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
    """Check every packet of a file, and say what was found, unless quiet; whether it is whole."""
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
            raise UsageError(f"{output} and {targets[form]} are both to be {form.upper()}; give one")
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

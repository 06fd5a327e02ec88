"""`spikey calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar, recordings_in
from spikey.recording.output import refuse_existing

if TYPE_CHECKING:
    from spikey.model.calibration import Calibration
    from spikey.report.calibration_report import Report


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN... OUT.safetensors", help="WAV, raw or .spky files or folders, and the output."),
    ],
    leave_out: Annotated[
        int,
        typer.Option(
            help="Leave out every Nth file in sorted order, from the first, and its simultaneous recordings; 0: none.",
            min=0,
        ),
    ] = 0,
    rounds: Annotated[int, typer.Option(help="Rounds of expectation-maximisation.", min=1)] = 6,
    device: Annotated[str, typer.Option(help="Name of the device, stored in the file.")] = "unknown",
    note: Annotated[str, typer.Option(help="Licence or origin of the recordings, stored in the file.")] = "",
    picture: Annotated[
        Path | None,
        typer.Option(help="File for a picture of widths and savings: PNG, SVG or PDF. Default: no picture."),
    ] = None,
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.Dtype = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure the code widths (DNL) of an ADC from its recordings, and what they save.

    The saving is measured on a quarter of the recordings with code widths from the others; the file contains those of
    all recordings. Use it with: spikey compress --calibration OUT.safetensors

    Examples
    --------
    spikey calibrate data/ device.safetensors --device "my headstage"
    spikey compress a.wav --calibration device.safetensors
    """
    *inputs, output = paths
    if not inputs or output.suffix != ".safetensors":
        raise UsageError(f"{output}: the last path is the calibration to write, and must end in .safetensors")
    refuse_existing(output, force)
    if any(value is None for value in (channels, rate, dtype)) and (channels, rate, dtype) != (None, None, None):
        raise UsageError("raw inputs need all three of --channels, --rate and --dtype", code="raw-options")
    raw = (channels, rate, dtype) if channels is not None and rate is not None and dtype is not None else None
    files = [file for path in inputs for file in (recordings_in(path, raw is not None) if path.is_dir() else [path])]
    if picture is not None:
        from spikey.report.calibration_picture import check_picture

        check_picture(picture)
    from spikey.codec.code_widths import Round
    from spikey.files.devices import device_of, opener, training_files
    from spikey.recording.output import atomic_output
    from spikey.report.calibration_report import study

    prepare_kernels()
    opened = opener(raw)
    chosen = training_files(files, leave_out, opened)
    if not chosen:
        raise UsageError(f"--leave-out {leave_out} leaves no files to learn from")
    recordings = device_of(chosen, opened)
    metadata = {"device": device, "note": note, **recordings.levels.describe()}
    with progress_bar(2 * rounds, "rounds") as advance:

        def report_round(done: Round) -> None:
            advance(1, f"{done.bits_per_sample:.4f} bits per sample")

        calibration, report = study(recordings, rounds, metadata, report_round)
    with atomic_output(output, *files, overwrite=force) as (file, _):
        file.write(calibration.to_bytes())
    if picture is not None:
        from spikey.report.calibration_picture import draw_calibration

        draw_calibration(picture, report, "Code widths" if device == "unknown" else f"Code widths: {device}")
    if as_json:
        facts = {"file": str(output), "calibration": calibration.id.hex(), **report.to_json()}
        typer.echo(json.dumps(facts, indent=2))
    else:
        _say(output, calibration, report)


def _say(output: Path, calibration: Calibration, report: Report) -> None:
    """The report for a person."""
    levels = ", ".join(str(value) if name == "levels" else f"{name} {value}" for name, value in report.levels.items())
    left = f" ({report.left_out} left out: digital, silent or off the grid)" if report.left_out else ""
    period, missing, spread = report.period, report.missing, report.percentiles
    listed = ", ".join(map(str, missing[:8])) + (" ..." if len(missing) > 8 else "")
    counts = report.counts
    lines = {
        "recordings": f"{report.files:,} files, {report.channels:,} channels{left}, {report.samples:,} samples",
        "levels": f"{levels}; {len(counts):,} codes",
        "converters": f"{report.converters}" + (f"; {report.family}" if report.family else ""),
        "codes seen": f"{(counts > 0).sum():,}; often enough to measure their width: {len(report.known):,}",
        "widths": "; ".join(f"{name} % {value:.2f}" for name, value in spread.items()) + " LSB"
        if spread
        else "unknown",
        "period": f"{period[0]} codes (correlation {period[1]:.2f})" if period else "none found",
        "missing codes": f"{len(missing)}" + (f": {listed}" if len(missing) else ""),
    }
    if report.rounds:
        bits = " > ".join(f"{bits:.4f}" for bits in report.rounds)
        lines["rounds"] = f"{bits} bits per sample (ideal code length)"
    if report.measured:
        held = f"{report.plain:.4f} bits per sample without, {report.plain - report.saving:.4f} with a calibration"
        lines["held out"] = f"{len(report.measured):,} recordings: {held}; due to widths: {report.of_widths:.4f}"
    for name, text in lines.items():
        typer.echo(f"{name:>14}  {text}")
    typer.echo(report.verdict())
    typer.echo(f"{output}: calibration {calibration.id.hex()} of {calibration.alphabet:,} codes")

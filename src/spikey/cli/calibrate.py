"""`spikey calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikey.cli.common import in_and_out, prepare_kernels, progress_bar
from spikey.errors import UsageError


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="IN... OUT.safetensors", help="WAV files, folders; output.")],
    leave_out: Annotated[
        int, typer.Option(help="Leave out every Nth sorted file, from the first, and what was recorded with it.", min=0)
    ] = 0,
    rounds: Annotated[int, typer.Option(help="Rounds of expectation-maximisation.", min=1)] = 6,
    device: Annotated[str, typer.Option(help="The device's name, for the record.")] = "unknown",
    note: Annotated[str, typer.Option(help="Licence or origin of the recordings, for the record.")] = "",
) -> None:
    """Estimate the code widths of a device's converter from recordings made with it.

    Use the result with: spikey compress --calibration OUT.safetensors ...
    """
    inputs, output = in_and_out(paths, None, None)
    files = sorted(f for p in inputs for f in (p.rglob("*.wav") if p.is_dir() else [p]))
    if not files:
        raise UsageError(f"{', '.join(map(str, inputs))}: no WAV files to learn from")
    import numpy as np

    from spikey.analysis.devices import device_of, training_files
    from spikey.coding.calibrate import Round, calibrate
    from spikey.files import complete_file

    prepare_kernels()
    files = training_files(files, leave_out)
    if not files:
        raise UsageError(f"--leave-out {leave_out} leaves no files to learn from")
    recordings = device_of(files)
    metadata = {"device": device, "note": note, **recordings.levels.describe()}
    seen: list[Round] = []
    with progress_bar(rounds, "rounds") as advance:

        def report(done: Round) -> None:
            seen.append(done)
            advance(1, f"{done.bits_per_sample:.4f} bits per sample")

        calibration = calibrate(recordings, recordings.levels.codes, rounds, metadata=metadata, progress=report)
    with complete_file(output) as (file, _):
        file.write(calibration.to_bytes())
    for done in seen:
        typer.echo(f"round {done.number}: {done.bits_per_sample:.4f} bits per sample (ideal code length)")
    widths = np.diff(calibration.edges) / 64
    typer.echo(
        f"{output}: calibration {calibration.id.hex()} of {calibration.codes} codes from {len(files)} files, "
        f"widths {np.percentile(widths, 1):.2f} to {np.percentile(widths, 99):.2f} LSB (1st to 99th percentile)"
    )

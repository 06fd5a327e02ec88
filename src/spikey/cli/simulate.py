"""`spikey simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli import options


def command(
    output: Annotated[Path, typer.Argument(metavar="OUT.wav", help="The WAV file to write.")],
    seconds: Annotated[float, typer.Option(help="Length in s.", min=0.0)] = 5.0,
    channels: Annotated[int, typer.Option(help="Number of channels.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.", min=0)] = 0,
    profile: Annotated[str, typer.Option(help="Device: n1, neuropixels, openephys or intan.")] = "n1",
    artifacts: Annotated[bool, typer.Option("--artifacts", help="Add rare large steps.")] = False,
    rails: Annotated[bool, typer.Option("--rails", help="Let the ADC clip.")] = False,
    force: options.Force = False,
) -> None:
    """Write a simulated recording with the statistics of a real one.

    It contains noise, spikes and field potentials, digitised by an ADC with differential nonlinearity.

    Examples
    --------
    spikey simulate a.wav
    spikey simulate probe.wav --profile neuropixels --channels 384 --seconds 1
    """
    from spikey.recording.layout import Layout
    from spikey.recording.output import atomic_output, refuse_existing
    from spikey.recording.simulate import rate_of, simulate
    from spikey.recording.source import Sink
    from spikey.recording.wav import canonical_head

    if not seconds <= 1e6:
        raise UsageError(f"--seconds must be at most 1,000,000, not {seconds}")
    refuse_existing(output, force)
    layout = Layout(channels, rate_of(profile), "int16")
    frames = round(seconds * layout.rate)
    head = canonical_head(layout, frames)
    samples = simulate(frames, channels, layout.rate, seed, profile=profile, artifacts=artifacts, rails=rails)
    with atomic_output(output, overwrite=force) as (file, _):
        sink = Sink(file, layout)
        sink.write_head(head)
        sink.write(samples)
    typer.echo(f"{output}: {frames:,} frames of {channels} channel{'s' * (channels > 1)} at {layout.rate:g} Hz, int16")

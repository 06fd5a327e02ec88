"""`spikey telemetry encode`."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar, raw_layout
from spikey.cli.key import KeyFile, TagBytes, key_of

if TYPE_CHECKING:
    from spikey.telemetry.settings import Settings
    from spikey.telemetry.write import Encoded

_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}

# Options of every command that encodes telemetry.
CONTENT, PACKETS = "Contents", "Packets"  # groups of options
Budget = Annotated[
    str | None,
    typer.Option(help="Bit rate of all channels together, such as 1Mbit/s. Default: 977 bit/s for each channel."),
]
Ratio = Annotated[
    float | None,
    typer.Option(help="Instead of --budget: ratio to the output of the ADC (N1: 10 bits per sample). Default: none."),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Threshold of crossings, in standard deviations of the noise. Default: 4.5.", rich_help_panel=CONTENT
    ),
]
Match = Annotated[
    float | None,
    typer.Option(
        help="Threshold of weaker spikes, in standard deviations of the matched filter's output; 0: none. Default: 5.",
        rich_help_panel=CONTENT,
    ),
]
Neighbours = Annotated[
    int | None,
    typer.Option(
        help="Preceding channels of the file that record the same cells, on dense probes: 0 to 8. Default: 0.",
        rich_help_panel=CONTENT,
    ),
]
Column = Annotated[
    int | None,
    typer.Option(
        help="Channels in a column of such a probe, if one column follows another in the file; 0: no. Default: 0.",
        rich_help_panel=CONTENT,
    ),
]
Polarity = Annotated[
    str | None,
    typer.Option(help="Polarity of crossings: negative, positive or both. Default: negative.", rich_help_panel=CONTENT),
]
RefractoryMs = Annotated[
    float | None,
    typer.Option(
        help="Time after a crossing without another of the channel, in ms. Default: 1.", rich_help_panel=CONTENT
    ),
]
Band = Annotated[
    tuple[float, float] | None,
    typer.Option(help="Lower and upper edge of the spike band, in Hz. Default: 300 5000.", rich_help_panel=CONTENT),
]
ResolutionMs = Annotated[
    float | None,
    typer.Option(
        help="Resolution of the times of crossings, in ms; 0: one sample. Default: 0.", rich_help_panel=CONTENT
    ),
]
Waveforms = Annotated[
    bool | None, typer.Option(help="Send the waveforms of crossings. Default: yes.", rich_help_panel=CONTENT)
]
PowerMs = Annotated[
    float | None,
    typer.Option(help="Bins of spike-band power, in ms; 0: no power. Default: 50.", rich_help_panel=CONTENT),
]
LowHigh = Annotated[
    float | None,
    typer.Option(help="Upper edge of the LFP band, in Hz; 0: no LFP. Default: 250.", rich_help_panel=CONTENT),
]
PacketMs = Annotated[
    float | None,
    typer.Option(help="Length of a packet, in ms. Default: as short as the bit rate allows.", rich_help_panel=PACKETS),
]
BufferMs = Annotated[
    float | None,
    typer.Option(help="How far packets may run ahead of the bit rate, in ms. Default: 10.", rich_help_panel=PACKETS),
]
Config = Annotated[
    Path | None, typer.Option(help="Configuration file, whose section telemetry is read. Default: none.")
]
Name = options.Name

LEFT_OUT = ("events", "waveforms", "values of power", "blocks of the LFP band")


def bit_rate(text: str) -> float:
    """A bit rate in bit/s from its text; UsageError for another text.

    >>> bit_rate("1Mbit/s"), bit_rate("500 kbit/s"), bit_rate("1e6")
    (1000000.0, 500000.0, 1000000.0)
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([kmg]?)(?:bit/s|bits/s|bps|b/s)?\s*", text, re.IGNORECASE)
    try:
        assert found is not None
        return float(found[1]) * _UNITS[found[2].lower()]
    except (AssertionError, ValueError):
        raise UsageError(f"--budget must be a bit rate such as 1Mbit/s or 500kbit/s, not {text}") from None


def command(
    path: Annotated[Path, typer.Argument(metavar="IN", help="WAV, or raw with --channels, --rate and --dtype.")],
    output: Annotated[Path, typer.Argument(metavar="OUT.spkt", help="The telemetry file to write.")],
    budget: Budget = None,
    ratio: Ratio = None,
    config: Config = None,
    name: Name = None,
    force: options.Force = False,
    threshold: Threshold = None,
    match: Match = None,
    neighbours: Neighbours = None,
    column: Column = None,
    polarity: Polarity = None,
    refractory_ms: RefractoryMs = None,
    band: Band = None,
    resolution_ms: ResolutionMs = None,
    waveforms: Waveforms = None,
    power_ms: PowerMs = None,
    low_high: LowHigh = None,
    packet_ms: PacketMs = None,
    buffer_ms: BufferMs = None,
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.StreamDtype = None,
    keep_partial: options.KeepPartial = False,
    key_file: KeyFile = None,
    tag_bytes: TagBytes = None,
    as_json: options.AsJson = False,
) -> None:
    """LOSSY: encode spikes, spike-band power and the LFP band within a bit rate.

    The file contains threshold crossings, waveforms, spike-band power and the LFP band, from which the recording cannot
    be restored. Options take precedence over the configuration.

    Examples
    --------
    spikey telemetry encode a.wav a.spkt
    spikey telemetry encode a.wav a.spkt --budget 500kbit/s --threshold 5
    """
    from spikey.files.settings import Settings as Recordings
    from spikey.telemetry.write import encode_file

    settings, stated = settings_of(
        config,
        name,
        budget,
        ratio,
        threshold=threshold,
        match=match,
        neighbours=neighbours,
        column=column,
        polarity=polarity,
        refractory_ms=refractory_ms,
        band=band,
        resolution_ms=resolution_ms,
        waveforms=waveforms,
        power_ms=power_ms,
        low_high=low_high,
        packet_ms=packet_ms,
        buffer_ms=buffer_ms,
        tag_bytes=tag_bytes,
    )
    key = key_of(key_file)
    prepare_kernels()
    start = time.perf_counter()
    with progress_bar(None, "samples") as advance:
        encoded = encode_file(
            path,
            output,
            settings,
            ratio=ratio,
            usual_budget=not stated,
            recordings=Recordings(raw=raw_layout(channels, rate, dtype), keep_partial=keep_partial),
            progress=lambda n: advance(n),
            overwrite=force,
            key=key,
        )
    if as_json:
        typer.echo(json.dumps(facts(encoded), indent=2))
        return
    typer.echo("\n".join(_lines(output, encoded, time.perf_counter() - start)))


def settings_of(
    config: Path | None, name: str | None, budget: str | None, ratio: float | None, **given: Any
) -> tuple[Settings, bool]:
    """Settings of a configuration and of the options; and whether any of them contains a budget."""
    from spikey.config.documents import load
    from spikey.telemetry.settings import Settings

    if budget is not None and ratio is not None:
        raise UsageError("give either --budget or --ratio")
    given["budget"] = bit_rate(budget) if budget is not None else None
    wanted: dict[str, Any] = {}
    if config is not None:
        wanted = load(config, name).telemetry.model_dump()
        wanted["band"] = wanted.pop("band_low"), wanted.pop("band_high")
    elif name is not None:
        raise UsageError("--name chooses a document of a configuration, which --config gives")
    wanted |= {key: value for key, value in given.items() if value is not None}
    stated = wanted.get("budget") is not None
    if not stated:
        wanted.pop("budget", None)
    return Settings(**wanted), stated


def facts(encoded: Encoded) -> dict[str, Any]:
    """For programs."""
    bits = (
        {purpose: round(each / encoded.seconds, 1) for purpose, each in encoded.spent.items()} if encoded.frames else {}
    )
    return {
        "lossy": True,
        "channels": encoded.shape.channels,
        "rate": encoded.shape.rate,
        "seconds": encoded.seconds,
        "budget_bits_per_second": encoded.settings.budget,
        "bits_per_second": 8 * encoded.size / encoded.seconds if encoded.frames else None,
        "bytes": encoded.size,
        "original_bits_per_sample": encoded.bits,
        "ratio": encoded.ratio,
        "packet_ms": 1000 * encoded.shape.frames / encoded.shape.rate,
        "events": encoded.events,
        "bits_per_second_by_purpose": bits,
        "left_out": dict(zip(LEFT_OUT, encoded.dropped, strict=True)),
    }


def _lines(output: Path, encoded: Encoded, seconds: float) -> list[str]:
    """For a person."""
    of_all = sum(encoded.spent.values()) or 1
    shares = ", ".join(f"{purpose} {100 * bits / of_all:.0f} %" for purpose, bits in encoded.spent.items())
    left_out = ", ".join(f"{n:,} {what}" for n, what in zip(encoded.dropped, LEFT_OUT, strict=True) if n)
    rate = 8 * encoded.size / encoded.seconds if encoded.frames else 0.0
    return [
        f"{output}: LOSSY telemetry of {encoded.seconds:.2f} s of {encoded.shape.channels:,} channels, "
        f"{encoded.size:,} bytes: {rate:,.0f} bit/s of {encoded.settings.budget:,.0f}, "
        f"ratio {encoded.ratio:.1f} against {encoded.bits} bits a sample; {seconds:.2f} s",
        f"{encoded.events:,} events; packets of {1000 * encoded.shape.frames / encoded.shape.rate:.2f} ms; {shares}",
        f"left out for want of bits: {left_out or 'nothing'}",
    ]

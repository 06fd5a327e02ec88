"""`spikey telemetry send` and `receive`."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import DataError, UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, raw_layout, say
from spikey.cli.key import KeyFile, SeenFile, ShortestTag, TagBytes, key_of, seen_of
from spikey.cli.listen import From, Idle, SocketMbit, SocketMs, StreamNumber, listen, losses, note_losses, refused
from spikey.cli.live import Live, Rows, live_view, stopping
from spikey.cli.telemetry_encode import (
    PACKETS,
    Band,
    Budget,
    BufferMs,
    Column,
    Config,
    LowHigh,
    Match,
    Name,
    Neighbours,
    PacketMs,
    Polarity,
    PowerMs,
    Ratio,
    RefractoryMs,
    ResolutionMs,
    Threshold,
    Waveforms,
    settings_of,
)

if TYPE_CHECKING:
    from spikey.stream.arrivals import Source
    from spikey.stream.sender import Sent
    from spikey.telemetry.link import Receiver

MOST_LISTED = 10  # missing spans
SIMULATED = "Simulated faults"  # a group of options
LONGEST_STEP = 0.5  # seconds between two looks that count as silence; over that, this process stood still


def send(
    path: Annotated[Path, typer.Argument(metavar="IN", help="WAV, or raw with --channels, --rate and --dtype.")],
    to: Annotated[str, typer.Option(help="Receiver: udp://host:port, tcp://host:port, or - for standard output.")],
    speed: Annotated[
        float | None,
        typer.Option(
            help="Speed as a multiple of the sampling rate; 0: as fast as possible. Default: 1 for udp, else 0.",
            min=0.0,
        ),
    ] = None,
    budget: Budget = None,
    ratio: Ratio = None,
    config: Config = None,
    name: Name = None,
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
    stream: Annotated[
        int | None,
        typer.Option(
            help="Number of the stream. Default: a random number.", min=0, max=(1 << 32) - 1, rich_help_panel=PACKETS
        ),
    ] = None,
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.StreamDtype = None,
    key_file: KeyFile = None,
    tag_bytes: TagBytes = None,
    loss: Annotated[
        float,
        typer.Option(
            help="Simulate packet loss: fraction of packets to drop (0 to 1).",
            min=0.0,
            max=1.0,
            rich_help_panel=SIMULATED,
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers of --loss.", rich_help_panel=SIMULATED)] = 0,
    as_json: options.AsJson = False,
) -> None:
    """LOSSY: send the telemetry of a recording over a network.

    Options take precedence over the configuration.

    Examples
    --------
    spikey telemetry send a.wav --to udp://127.0.0.1:9001
    spikey telemetry send a.wav --to udp://host:9001 --budget 1Mbit/s
    """
    from spikey.files.compress import open_recording
    from spikey.files.settings import Settings as Recordings
    from spikey.stream.sender import Link, Sent
    from spikey.stream.transport import open_sink, parse
    from spikey.telemetry.encoder import TelemetryEncoder
    from spikey.telemetry.link import send as send_all
    from spikey.telemetry.prepare import prepare
    from spikey.telemetry.write import budgeted

    address = parse(to)
    if as_json and address.kind == "pipe":
        raise UsageError("--json and packets cannot both go to standard output")
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
    speed = float(address.kind == "udp") if speed is None else speed
    prepare_kernels()
    prepare()
    with open_recording(path, Recordings(raw=raw_layout(channels, rate, dtype))) as source, stopping() as stop:
        settings, bits = budgeted(source, str(path), settings, ratio=ratio, usual_budget=not stated)
        layout = source.layout
        encoder = TelemetryEncoder(
            layout.channels, layout.rate, layout.dtype, settings=settings, stream=stream, key=key
        )
        sink, report = open_sink(address), Sent()
        try:
            with live_view() as live:
                send_all(
                    source,
                    encoder,
                    Link(sink, report, loss=loss, seed=seed),
                    speed=speed,
                    stop=stop,
                    watch=lambda report: live(lambda: _sending(report, layout.rate)),
                )
        finally:
            sink.close()
        whole = not stop.is_set()
    facts = _sent(report, encoder, bits) | {"complete": whole}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        say(
            f"sent LOSSY telemetry of {facts['seconds']:.2f} s of {layout.channels:,} channels in "
            f"{report.packets:,} packets, {report.sent:,} bytes: {facts['bits_per_second'] or 0:,.0f} bit/s of "
            f"{encoder.settings.budget:,.0f}; {encoder.events:,} events; {_losses(report)}"
        )
    if not whole:
        say("spikey: interrupted; the stream was ended")
        raise typer.Exit(1)


def receive(
    address: Annotated[
        str,
        typer.Argument(
            metavar="AT", help="Where to listen: udp://host:port, tcp://host:port, or - for standard input."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.spkt", help="The telemetry file to write.")],
    force: options.Force = False,
    only: From = None,
    stream: StreamNumber = None,
    idle: Idle = 10.0,
    socket_ms: SocketMs = 500.0,
    socket_mbit: SocketMbit = 10.0,
    key_file: KeyFile = None,
    tag_bytes: ShortestTag = None,
    seen: SeenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """LOSSY: record telemetry that arrives to a file.

    Recording ends with the stream's end packet, after --idle seconds without packets, or by Ctrl-C; the file then
    contains what arrived, and the exit status is 1 if the end packet is missing.

    Examples
    --------
    spikey telemetry receive udp://0.0.0.0:9001 out.spkt
    """
    from spikey.recording.output import atomic_output, refuse_existing
    from spikey.telemetry.link import Receiver, facts
    from spikey.telemetry.packet import MARKS, SHORTEST
    from spikey.telemetry.prepare import prepare

    refuse_existing(output, force)
    key = key_of(key_file)
    secured: dict[str, Any] = {"key": key, "tag_bytes": tag_bytes, "seen": seen_of(seen, key, "telemetry")}
    prepare_kernels()
    prepare()
    with listen(address, only, socket_ms, socket_mbit, marks=MARKS, least=SHORTEST) as source, stopping() as stop:
        with atomic_output(output, overwrite=force) as (file, _), live_view() as live:
            receiver = Receiver(file, stream=stream, log=say, **secured)
            say(f"listening to {source.address}")
            record(source, receiver, idle, stop, live)
            if receiver.description is None:
                more = refused(receiver.unauthenticated, key)
                raise DataError(
                    f"{address}: no telemetry key packet arrived, so nothing could be decoded{more}",
                    code="wrong-key" if receiver.unauthenticated else "no-stream",
                )
        found = facts(receiver)
        found["packets"]["foreign"] += source.foreign
        found["packets"] |= losses(source)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        typer.echo("\n".join(_lines(output, found)))
        note_losses(found["packets"])
    if not found["complete"]:
        say(
            f"{output}: the stream did not end ({found['end']}); the file contains frames up to {found['frames']:,}; "
            "later ones are missing"
        )
        raise typer.Exit(1)


def record(source: Source, receiver: Receiver, idle: float, stop: threading.Event, live: Live) -> None:
    """Take packets until the stream is over."""
    silence, known, looked = 0.0, 0, time.monotonic()
    end = "its connection was closed"
    while not receiver.done and not receiver.closed and not source.buffer.finished:
        receiver.take(source.take(0.05))
        step, looked = time.monotonic() - looked, time.monotonic()
        silence += min(step, LONGEST_STEP)
        if receiver.description is None or receiver.written > known:
            silence, known = 0.0, receiver.written
        if stop.is_set() or silence > idle:
            end = "it was interrupted" if stop.is_set() else f"nothing came for {idle:g} s"
            break
        live(lambda: _receiving(receiver, source))
    receiver.finish(end)


def _sent(report: Sent, encoder: Any, bits: int) -> dict[str, Any]:
    """For programs."""
    seconds = report.frames / encoder.rate
    samples = report.frames * encoder.channels
    return {
        "lossy": True,
        "stream": encoder.stream,
        "channels": encoder.channels,
        "rate": encoder.rate,
        "frames": report.frames,
        "seconds": seconds,
        "budget_bits_per_second": encoder.settings.budget,
        "bits_per_second": 8 * report.sent / seconds if seconds else None,
        "ratio": samples * bits / (8 * report.sent) if samples else None,
        "events": encoder.events,
        "packets": report.packets,
        "bytes": report.sent,
        "lost_on_purpose": report.lost_on_purpose,
        "refused": report.refused,
        "encode_ms": report.encode.milliseconds(),
    }


def _losses(report: Sent) -> str:
    lost = f", {report.lost_on_purpose:,} dropped by --loss" if report.lost_on_purpose else ""
    return f"{report.refused:,} packets refused{lost}"


def _sending(report: Sent, rate: float) -> Rows:
    took = report.encode.milliseconds()
    return [
        ("sent", f"{report.frames / rate:.1f} s, {report.packets:,} packets, {report.sent / 1e6:.2f} MB"),
        ("encoding", f"{took['p50']:.2f} ms a packet, {took['p99']:.2f} ms for 99 %, {took['max']:.1f} ms at most"),
        ("losses", _losses(report)),
    ]


def _receiving(receiver: Receiver, source: Source) -> Rows:
    known = receiver.description
    if known is None:
        return [("waiting", f"for a key at {source.address}; {receiver.early:,} packets before one")]
    return [
        ("received", f"{receiver.last_frame / known.rate:.1f} s of {known.channels:,} channels"),
        ("events", f"{receiver.events:,}, {receiver.weak:,} of them weak; {receiver.waves:,} waveforms"),
        ("packets", f"{receiver.written:,}, {receiver.decoder.counts.lost:,} lost, {receiver.late:,} late"),
        ("others", f"{source.foreign + receiver.foreign:,} foreign, {receiver.damaged:,} damaged"),
    ]


def _lines(output: Path, found: dict[str, Any]) -> list[str]:
    """For a person."""
    packets, rate, budget = found["packets"], found["rate"], found["budget_bits_per_second"]
    lines = [
        f"{output}: LOSSY telemetry of {found['seconds']:.2f} s of {found['channels']:,} channels, "
        f"{found['bytes']:,} bytes: {found['bits_per_second'] or 0:,.0f} bit/s of {budget:,.0f}",
        f"{found['events']:,} events, {found['weak_events']:,} of them weak; {found['waveforms']:,} waveforms; "
        + ("complete" if found["complete"] else "the stream did not end"),
        f"{packets['written']:,} packets written; "
        + ", ".join(f"{packets[n]:,} {n}" for n in ("lost", "late", "damaged", "foreign", "early", "dropped")),
    ]
    for first, end in found["missing"][:MOST_LISTED]:
        lines.append(f"missing: {first / rate:.4f} to {end / rate:.4f} s")
    if len(found["missing"]) > MOST_LISTED:
        lines.append(f"and {len(found['missing']) - MOST_LISTED:,} more; --json lists them")
    return lines

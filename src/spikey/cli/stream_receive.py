"""`spikey stream receive`."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import DataError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, say
from spikey.cli.key import KeyFile, SeenFile, ShortestTag, key_of, seen_of
from spikey.cli.listen import (
    LINK,
    From,
    Idle,
    SocketMbit,
    SocketMs,
    StreamNumber,
    listen,
    losses,
    note_losses,
    refused,
)
from spikey.cli.live import Live, Rows, live_view, stopping

if TYPE_CHECKING:
    from spikey.stream.arrivals import Source
    from spikey.stream.receiver import Receiver

MOST_LISTED = 10  # gaps
LOOK = 0.05  # seconds after which the receiver looks which streams are over
LOOK_FOR_REPAIR = 0.005  # and what is to be asked for


def receive(
    address: Annotated[
        str,
        typer.Argument(
            metavar="AT", help="Where to listen: udp://host:port, tcp://host:port, or - for standard input."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.spky", help="The compressed file to write.")],
    jobs: Annotated[int, typer.Option(help="Number of threads that compress.", min=1)] = 1,
    force: options.Force = False,
    only: From = None,
    stream: StreamNumber = None,
    idle: Idle = 10.0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Ask the sender for lost packets (udp).", rich_help_panel=LINK)
    ] = False,
    socket_ms: SocketMs = 500.0,
    socket_mbit: SocketMbit = 200.0,
    key_file: KeyFile = None,
    tag_bytes: ShortestTag = None,
    seen: SeenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Record a stream to a compressed file.

    Recording ends with the stream's end packet, after --idle seconds without packets, or by Ctrl-C; the file then
    contains what arrived, and the exit status is 1 if the end packet is missing. A second stream is recorded beside the
    first, as OUT-2.spky.

    Examples
    --------
    spikey stream receive udp://0.0.0.0:9000 out.spky
    spikey stream receive udp://0.0.0.0:9000 out.spky --repair --from 10.0.0.5
    """
    from spikey.recording.output import refuse_existing
    from spikey.stream.prepare import prepare_receiving
    from spikey.stream.receiver import Receiver
    from spikey.stream.recording import facts

    refuse_existing(output, force)
    key = key_of(key_file)
    secured: dict[str, Any] = {"key": key, "tag_bytes": tag_bytes, "seen": seen_of(seen, key, "stream")}
    prepare_kernels()
    prepare_receiving()
    with listen(address, only, socket_ms, socket_mbit) as source, stopping() as stop:
        with (
            Receiver(output, jobs=jobs, idle=idle, stream=stream, log=say, overwrite=force, **secured) as receiver,
            live_view() as live,
        ):
            say(f"listening to {source.address}")
            record(source, receiver, repair, stop, live)
        facts_of = [facts(stream) for stream in receiver.streams]
        packets = {
            "foreign": source.foreign + receiver.foreign,
            "damaged": receiver.damaged,
            "late": receiver.late,
            "unauthenticated": receiver.unauthenticated
            + sum(each.decoder.counts.unauthenticated for each in receiver.streams),
            "requests": receiver.requests,
        } | losses(source)
    ended = bool(facts_of) and all(each["ended"] for each in facts_of)
    if as_json:
        typer.echo(json.dumps({"complete": ended, "streams": facts_of, "packets": packets}, indent=2))
    if not facts_of:
        raise DataError(
            f"{address}: no stream arrived{refused(receiver.unauthenticated, key)}",
            code="wrong-key" if receiver.unauthenticated else "no-stream",
        )
    for each in facts_of:
        _report(each, as_json)
    if not as_json:
        note_losses(packets)
    if not ended:
        raise typer.Exit(1)


def record(source: Source, receiver: Receiver, repair: bool, stop: threading.Event, live: Live) -> None:
    """Take packets until all streams that came are over."""
    while not stop.is_set() and not receiver.done and not source.buffer.finished:
        receiver.take(source.take(LOOK_FOR_REPAIR if repair else LOOK))
        if repair:
            for request, sender in receiver.wanted():
                source.ask(request, sender)
        live(lambda: _receiving(receiver, source))
    receiver.finish("it was interrupted" if stop.is_set() else "its connection was closed")


def _report(facts: dict[str, Any], as_json: bool) -> None:
    """Print the result of a stream for a person; with --json only that it did not end."""
    from spikey.container.salvage import describe

    gaps, name = facts["gaps"], facts["file"]
    if not facts["ended"]:
        say(
            f"{name}: the stream did not end ({facts['end']}); the file contains frames up to {facts['frames']:,}; "
            "later ones are missing"
        )
    if as_json:
        return
    missing = f"{facts['missing_samples']:,} samples are missing" if gaps else "nothing is missing"
    say(
        f"{name}: {facts['frames']:,} frames of {facts['channels']:,} channels, received as "
        f"{facts['received_bytes']:,} bytes: ratio {facts['ratio']:.4f}; "
        + (missing if facts["ended"] else f"{missing} before frame {facts['frames']:,}")
    )
    if facts["first_frame"]:
        say(f"{name}: begins with frame {facts['first_frame']:,} of the stream; earlier frames were not received")
    if facts["plain_blocks"]:
        say(
            f"{name}: {facts['plain_blocks']:,} blocks could not be compressed and verified, and are stored as they are"
        )
    for gap in gaps[:MOST_LISTED]:
        typer.echo(f"missing: {describe(tuple(gap))}")
    if len(gaps) > MOST_LISTED:
        typer.echo(f"and {len(gaps) - MOST_LISTED:,} more; --json lists them")


def _receiving(receiver: Receiver, source: Source) -> Rows:
    if not receiver.streams:
        return [("waiting", f"at {source.address}; {source.foreign + receiver.foreign:,} packets of others")]
    stream = max(receiver.streams, key=lambda each: each.heard)
    recorder, counts, took = stream.recorder, stream.decoder.counts, stream.decode.milliseconds()
    raw = recorder.samples * recorder.layout.itemsize
    seconds = recorder.frames / recorder.layout.rate if recorder.layout.rate else 0.0
    unread = source.dropped_by_system
    return [
        ("received", f"{seconds:.1f} s of {recorder.layout.channels:,} channels, {stream.bytes / 1e6:.1f} MB"),
        ("ratio", f"{raw / max(stream.bytes, 1):.4f}"),
        ("decoding", f"{took['p50']:.2f} ms a packet, {took['p99']:.2f} ms for 99 %, {took['max']:.1f} ms at most"),
        (
            "buffer",
            f"{100 * source.buffer.held / source.buffer.limit:.0f} % full, {source.dropped:,} packets dropped"
            + ("" if unread is None else f", {unread:,} by the system"),
        ),
        ("losses", f"{counts.lost:,} packets lost, {counts.recovered:,} recovered, {receiver.requests:,} requests"),
        ("missing", f"{recorder.missing:,} samples in {len(recorder.gaps):,} gaps"),
        ("others", f"{source.foreign + receiver.foreign:,} foreign, {counts.damaged + receiver.damaged:,} damaged"),
    ]

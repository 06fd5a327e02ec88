"""`spikey stream`: send, receive, bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli import stream_receive
from spikey.cli.common import prepare_kernels, say
from spikey.cli.key import KeyFile, TagBytes, key_of
from spikey.cli.live import Rows, live_view, stopping

if TYPE_CHECKING:
    from spikey.recording.layout import Layout
    from spikey.stream.sender import Sent
    from spikey.stream.transport import Buffer

ENOUGH = 1.0  # seconds of a stream after which its ratio is judged

app = typer.Typer(
    help="Send recordings as packets as they come, receive them, and measure how long that takes.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(stream_receive.receive)


@app.command()
def send(
    file: Annotated[Path, typer.Argument(help="A recording: WAV, or raw with --channels, --rate and --dtype.")],
    to: Annotated[str, typer.Option(help="udp://host:port, tcp://host:port or - for standard output.")],
    channels: Annotated[int | None, typer.Option(help="Channels of a raw input.")] = None,
    rate: Annotated[float | None, typer.Option(help="Sampling rate of a raw input in Hz.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of a raw input: int16, uint16, int8 or uint8.")] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="The same as --speed 1 --when-full drop.")] = False,
    speed: Annotated[
        float | None,
        typer.Option(help="Times the recording's rate; 0: as fast as possible; default: 1 for udp, else 0.", min=0.0),
    ] = None,
    when_full: Annotated[
        str | None, typer.Option("--when-full", help="wait, or drop: skip frames that there is no time for.")
    ] = None,
    buffer_ms: Annotated[float, typer.Option(help="Samples that wait for the coder, in ms.", min=1.0)] = 250.0,
    packet_ms: Annotated[float, typer.Option(help="Samples encoded at once, in ms.", min=0.01)] = 1.0,
    packet_bytes: Annotated[
        int | None, typer.Option(help="The largest packet; 0: one a thread; default: 1400 for udp, else 0.", min=0)
    ] = None,
    key_interval: Annotated[float, typer.Option(help="Seconds between packets that one may begin at.")] = 1.0,
    parity: Annotated[int, typer.Option(help="Parity packets for every 12 others or fewer.", min=0)] = 0,
    repair: Annotated[bool, typer.Option("--repair", help="Send again what a receiver asks for (udp).")] = False,
    jobs: Annotated[int, typer.Option(help="Threads.", min=1)] = 1,
    stream: Annotated[
        int | None, typer.Option(help="The stream's number; default: a random one.", min=0, max=(1 << 32) - 1)
    ] = None,
    key_file: KeyFile = None,
    tag_bytes: TagBytes = None,
    loss: Annotated[float, typer.Option(help="Share of packets to lose, for trying.", min=0.0, max=1.0)] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of --loss.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="A summary for programs.")] = False,
) -> None:
    """Send a recording's samples as packets."""
    from spikey.files.compress import open_recording
    from spikey.files.settings import Settings
    from spikey.stream.encoder import DATAGRAM, Encoder
    from spikey.stream.prepare import prepare_sending
    from spikey.stream.sender import Link, Sent
    from spikey.stream.sender import send as send_all
    from spikey.stream.transport import LARGEST_DATAGRAM, open_sink, parse

    address = parse(to)
    datagrams = address.kind == "udp"
    if packet_bytes is None:
        packet_bytes = DATAGRAM if datagrams else 0
    if datagrams and not 0 < packet_bytes <= LARGEST_DATAGRAM:
        raise UsageError(f"--packet-bytes must be 1 to {LARGEST_DATAGRAM:,} for datagrams, not {packet_bytes}")
    if when_full not in (None, "wait", "drop"):
        raise UsageError(f"--when-full must be wait or drop, not {when_full}")
    if as_json and address.kind == "pipe":
        raise UsageError("--json and packets cannot both go to standard output")
    if speed is None:
        speed = 1.0 if realtime or datagrams else 0.0
    raw = [value for value in (channels, rate, dtype) if value is not None]
    if raw and len(raw) < 3:
        raise UsageError("a raw input needs all three of --channels, --rate and --dtype")
    key = key_of(key_file)
    prepare_kernels()
    prepare_sending()
    settings = Settings(raw=(channels, rate, dtype) if channels and rate and dtype else None)
    with open_recording(file, settings) as source, stopping() as stop, live_view() as live:
        layout = source.layout
        encoder = Encoder(
            layout.channels,
            layout.rate,
            layout.dtype,
            packet_bytes=packet_bytes or None,
            key_interval=key_interval,
            parity=parity,
            jobs=jobs,
            stream=stream,
            key=key,
            tag_bytes=tag_bytes,
        )
        sink, report, noted = open_sink(address), Sent(), False

        def watch(report: Sent, buffer: Buffer) -> None:
            nonlocal noted
            if not noted and report.sent > report.original and report.frames >= ENOUGH * layout.rate:
                noted = True
                _note_larger(report, layout)
            live(lambda: _sending(report, buffer, layout))

        try:
            send_all(
                source,
                encoder,
                sink,
                Link(sink, report, loss=loss, seed=seed, repair=repair),
                push=max(round(packet_ms * layout.rate / 1000), 1),
                speed=speed,
                drop=when_full == "drop" or (realtime and when_full is None),
                buffer_bytes=max(int(buffer_ms * layout.rate / 1000 * layout.frame_bytes), 1),
                stop=stop,
                watch=watch,
            )
        finally:
            sink.close()
        whole = not stop.is_set()
        if not noted and report.sent > report.original > 0:
            _note_larger(report, layout)
    if as_json:
        names = ["frames", "skipped", "original", "packets", "sent", "lost_on_purpose", "refused", "asked", "repairs"]
        counts = {name: getattr(report, name) for name in [*names, "ends", "unauthenticated"]}
        facts = {"stream": encoder.stream, "complete": whole, "ratio": round(report.ratio, 4)} | counts
        typer.echo(json.dumps(facts | {"encode_ms": report.encode.milliseconds()}, indent=2))
    else:
        say(
            f"sent {report.frames:,} frames of {layout.channels:,} channels in {report.packets:,} packets, "
            f"{report.sent:,} bytes: ratio {report.ratio:.4f}; {_sending_losses(report)}"
        )
    if not whole:
        say("spikey: interrupted; the stream was ended there")
        raise typer.Exit(1)


@app.command()
def bench(
    paths: Annotated[list[Path] | None, typer.Argument(help="WAV files or folders; default: simulated ones.")] = None,
    channels: Annotated[int, typer.Option(help="Channels.", min=1)] = 1024,
    rate: Annotated[float, typer.Option(help="Frames per second.", min=1000.0)] = 20_000.0,
    seconds: Annotated[float, typer.Option(help="Length, without the warm-up.", min=0.1)] = 10.0,
    packet_ms: Annotated[float, typer.Option(help="Samples encoded at once, in ms.", min=0.01)] = 1.0,
    parts: Annotated[int, typer.Option(help="Parts in which a packet's samples are handed over.", min=1)] = 2,
    packet_bytes: Annotated[int, typer.Option(help="The largest packet; 0: one a thread.", min=0)] = 1400,
    jobs: Annotated[int, typer.Option(help="Threads that encode, and that decode.", min=1)] = 1,
    key_interval: Annotated[float, typer.Option(help="Seconds between packets that one may begin at.")] = 1.0,
    parity: Annotated[int, typer.Option(help="Parity packets for every 12 others or fewer.", min=0)] = 0,
    udp: Annotated[bool, typer.Option("--udp", help="Decode in another process, datagrams between the two.")] = False,
    pace: Annotated[bool, typer.Option(help="In real time, or else as fast as it goes.")] = True,
    stage: Annotated[str, typer.Option(help="encode, decode, both, together.")] = "both",
    against_file: Annotated[
        bool, typer.Option("--against-file", help="Also the ratio of the same samples as a file, by predictor lpc.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="Draw the latencies; needs matplotlib.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure ratio and latency: every channel is one of the recordings, shifted.

    Stages: encode or decode alone; both, each as if alone, a second of one and then of the other; together, at once.
    """
    files = sorted(f for p in paths or () for f in (p.rglob("*.wav") if p.is_dir() else [p]))
    if paths and not files:
        raise UsageError(f"{', '.join(map(str, paths))}: no WAV files")
    if stage not in ("encode", "decode", "both", "together"):
        raise UsageError(f"--stage must be encode, decode, both or together, not {stage}")
    if udp and (stage != "both" or packet_bytes == 0):
        raise UsageError("--udp measures both stages at once, and needs --packet-bytes")
    from spikey.report.stream.bench import Plan, channels_of, file_ratio, measure
    from spikey.report.stream.picture import draw
    from spikey.report.stream.udp import measure_udp

    plan = Plan(
        channels=channels,
        rate=rate,
        seconds=seconds,
        milliseconds=packet_ms,
        parts=parts,
        packet_bytes=packet_bytes or None,
        jobs=jobs,
        key_interval=key_interval,
        parity=parity,
        pace=pace,
        stage=stage,
    )
    prepare_kernels()
    loop = channels_of(files, plan)
    row = (measure_udp if udp else measure)(loop, plan)
    if against_file:
        row["file_ratio"] = file_ratio(loop, rate)
    if picture is not None:
        draw(row, picture)
    if as_json:
        typer.echo(json.dumps(row, indent=2))
        return
    for name, value in row.items():
        shown = ", ".join(f"{key} {each:,}" for key, each in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name.replace('_', ' '):>26}  {shown}")


def _note_larger(report: Sent, layout: Layout) -> None:
    channels = f"{layout.channels:,} channel{'s' if layout.channels > 1 else ''}"
    say(
        f"note: packets take more bytes than the samples in them (ratio {report.ratio:.2f}), as each has few "
        f"samples of {channels}; a longer --packet-ms makes them smaller"
    )


def _sending(report: Sent, buffer: Buffer, layout: Layout) -> Rows:
    took = report.encode.milliseconds()
    return [
        ("sent", f"{report.frames / layout.rate:.1f} s of {layout.channels:,} channels, {report.sent / 1e6:.1f} MB"),
        ("ratio", f"{report.ratio:.4f}"),
        ("until sent", f"{took['p50']:.2f} ms median, {took['p99']:.2f} ms for 99 %, {took['max']:.1f} ms at most"),
        ("buffer", f"{100 * buffer.held / buffer.limit:.0f} % full, {100 * buffer.most / buffer.limit:.0f} % at most"),
        ("losses", _sending_losses(report)),
    ]


def _sending_losses(report: Sent) -> str:
    parts = [
        f"{report.skipped:,} frames skipped",
        f"{report.refused:,} packets refused",
        f"{report.lost_on_purpose:,} lost on purpose" if report.lost_on_purpose else "",
        f"{report.repairs:,} sent again" if report.asked else "",
    ]
    return ", ".join(filter(None, parts))

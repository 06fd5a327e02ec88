"""`spikey stream`: send, receive, bench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli import options, stream_receive
from spikey.cli.common import prepare_kernels, say
from spikey.cli.key import KeyFile, TagBytes, key_of
from spikey.cli.live import Rows, live_view, stopping
from spikey.cli.options import HELP_OPTIONS, Command

if TYPE_CHECKING:
    from spikey.recording.layout import Layout
    from spikey.stream.sender import Sent
    from spikey.stream.transport import Buffer

ENOUGH = 1.0  # seconds of a stream after which its ratio is judged
PACKETS, SIMULATED = "Packets", "Simulated faults"  # groups of options

# Options of several commands that send.
KeyInterval = Annotated[
    float,
    typer.Option(help="Time between key packets (random-access points), in s.", rich_help_panel=PACKETS),
]
Parity = Annotated[
    int,
    typer.Option(help="Parity packets for every 12 other packets, or fewer.", min=0, rich_help_panel=PACKETS),
]
Loss = Annotated[
    float,
    typer.Option(
        help="Simulate packet loss: fraction of packets to drop (0 to 1).", min=0.0, max=1.0, rich_help_panel=SIMULATED
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the random numbers of --loss.", rich_help_panel=SIMULATED)]

app = typer.Typer(
    help="Send recordings as packets in real time, receive them, and measure the latency.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
app.command(cls=Command)(stream_receive.receive)


@app.command(cls=Command)
def send(
    file: Annotated[
        Path, typer.Argument(metavar="IN", help="A recording: WAV, or raw with --channels, --rate and --dtype.")
    ],
    to: Annotated[str, typer.Option(help="Receiver: udp://host:port, tcp://host:port, or - for standard output.")],
    speed: Annotated[
        float | None,
        typer.Option(
            help="Speed as a multiple of the sampling rate; 0: as fast as possible. Default: 1 for udp, else 0.",
            min=0.0,
        ),
    ] = None,
    when_full: Annotated[
        str | None,
        typer.Option("--when-full", help="When the buffer is full: wait, or drop to skip frames. Default: wait."),
    ] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="The same as --speed 1 --when-full drop.")] = False,
    buffer_ms: Annotated[float, typer.Option(help="Buffer of samples before the encoder, in ms.", min=1.0)] = 250.0,
    jobs: options.Jobs = 1,
    packet_ms: Annotated[
        float, typer.Option(help="Samples encoded at a time, in ms.", min=0.01, rich_help_panel=PACKETS)
    ] = 1.0,
    packet_bytes: Annotated[
        int | None,
        typer.Option(
            help="Size of the largest packet in bytes; 0: one packet for each thread. Default: 1400 for udp, else 0.",
            min=0,
            rich_help_panel=PACKETS,
        ),
    ] = None,
    key_interval: KeyInterval = 1.0,
    parity: Parity = 0,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Send packets again that the receiver asks for (udp).", rich_help_panel=PACKETS),
    ] = False,
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
    loss: Loss = 0.0,
    seed: Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Send the samples of a recording as packets.

    Examples
    --------
    spikey stream send a.wav --to udp://127.0.0.1:9000
    spikey stream send a.wav --to tcp://host:9000 --realtime
    spikey stream send a.wav --to udp://host:9000 --loss 0.01 --repair
    """
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
        raise UsageError("a raw input needs all three of --channels, --rate and --dtype", code="raw-options")
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
        say("spikey: interrupted; the stream was ended")
        raise typer.Exit(1)


@app.command(cls=Command)
def bench(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IN]...", help="WAV files or folders. Default: simulated recordings."),
    ] = None,
    channels: Annotated[int, typer.Option(help="Number of channels.", min=1)] = 1024,
    rate: Annotated[float, typer.Option(help="Sampling rate in Hz.", min=1000.0)] = 20_000.0,
    seconds: Annotated[float, typer.Option(help="Length in s, without the warm-up.", min=0.1)] = 10.0,
    stage: Annotated[str, typer.Option(help="What is measured: encode, decode, both or together.")] = "both",
    pace: Annotated[bool, typer.Option(help="Measure in real time; otherwise as fast as possible.")] = True,
    udp: Annotated[
        bool, typer.Option("--udp", help="Decode in another process, with datagrams between the two.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Number of threads that encode, and that decode.", min=1)] = 1,
    packet_ms: Annotated[
        float, typer.Option(help="Samples encoded at a time, in ms.", min=0.01, rich_help_panel=PACKETS)
    ] = 1.0,
    parts: Annotated[
        int, typer.Option(help="Number of parts in which a packet's samples arrive.", min=1, rich_help_panel=PACKETS)
    ] = 2,
    packet_bytes: Annotated[
        int,
        typer.Option(
            help="Size of the largest packet in bytes; 0: one packet for each thread.", min=0, rich_help_panel=PACKETS
        ),
    ] = 1400,
    key_interval: KeyInterval = 1.0,
    parity: Parity = 0,
    against_file: Annotated[
        bool,
        typer.Option("--against-file", help="Also measure the ratio of the same samples as a file (predictor lpc)."),
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file for a picture of the latencies; needs matplotlib. Default: none.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure ratio and latency of a stream.

    Every channel is one of the recordings, shifted in time. Stages: encode or decode alone; both, alternating each
    second, each measured as if alone; together, both at the same time.

    Examples
    --------
    spikey stream bench --seconds 5
    spikey stream bench data/ --seconds 60 --udp
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
        f"note: packets take more bytes than their samples (ratio {report.ratio:.2f}) because each contains few "
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
        f"{report.lost_on_purpose:,} dropped by --loss" if report.lost_on_purpose else "",
        f"{report.repairs:,} sent again" if report.asked else "",
    ]
    return ", ".join(filter(None, parts))

"""`spikey telemetry`: modes that lose something, each clearly labelled in the file and by every command."""

from __future__ import annotations

import typer

from spikey.cli import near, telemetry_decode, telemetry_encode, telemetry_link, telemetry_report
from spikey.cli.options import Command

app = typer.Typer(
    help="Lossy modes, for where lossless is too much; their files say so and are restored by these commands only.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("encode")(telemetry_encode.command)
app.command("decode")(telemetry_decode.command)
app.command("report")(telemetry_report.command)
app.command("send")(telemetry_link.send)
app.command("receive")(telemetry_link.receive)
app.command("near-lossless", cls=Command)(near.near_lossless)
app.command("hybrid", cls=Command)(near.hybrid)
app.command("restore")(near.restore)

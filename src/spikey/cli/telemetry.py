"""`spikey telemetry`: lossy modes, labelled as such in the file and by every command."""

from __future__ import annotations

import typer

from spikey.cli import near, telemetry_decode, telemetry_encode, telemetry_link, telemetry_report
from spikey.cli.options import HELP_OPTIONS, Command

app = typer.Typer(
    help="Lossy modes for low bit rates; their files are labelled lossy and read only by these commands.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)
app.command("encode", cls=Command)(telemetry_encode.command)
app.command("decode", cls=Command)(telemetry_decode.command)
app.command("report", cls=Command)(telemetry_report.command)
app.command("send", cls=Command)(telemetry_link.send)
app.command("receive", cls=Command)(telemetry_link.receive)
app.command("near-lossless", cls=Command)(near.near_lossless)
app.command("hybrid", cls=Command)(near.hybrid)
app.command("restore", cls=Command)(near.restore)

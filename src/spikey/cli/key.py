"""`spikey key`, and the options of commands that authenticate packets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli.messages import say
from spikey.cli.options import HELP_OPTIONS, Command

if TYPE_CHECKING:
    from spikey.stream.seen import Seen

AUTHENTICATION = "Authentication"
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="Key file (see spikey key new) with which packets are authenticated. Default: no authentication.",
        rich_help_panel=AUTHENTICATION,
    ),
]
TagBytes = Annotated[
    int | None,
    typer.Option(
        help="With --key-file: tag of each packet, 4, 8 or 16 bytes. Default: 8 in streams, 4 in telemetry.",
        rich_help_panel=AUTHENTICATION,
    ),
]
ShortestTag = Annotated[
    int | None,
    typer.Option(
        "--tag-bytes",
        help="With --key-file: shortest accepted tag, 4, 8 or 16 bytes. Default: 8 in streams, 4 in telemetry.",
        rich_help_panel=AUTHENTICATION,
    ),
]
SeenFile = Annotated[
    Path | None,
    typer.Option(
        "--seen",
        help="With --key-file: file that lists the received streams, which are refused as replays. Default: none.",
        rich_help_panel=AUTHENTICATION,
    ),
]

app = typer.Typer(
    help="Create keys that authenticate streams and telemetry.",
    no_args_is_help=True,
    context_settings=HELP_OPTIONS,
)


@app.callback()
def _group() -> None:
    pass


@app.command(cls=Command)
def new(path: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; an existing one is refused.")]) -> None:
    """Write a random key to a file that only you can read.

    Anyone who has the key can send and receive as you.

    Examples
    --------
    spikey key new lab.key
    spikey stream send a.wav --to udp://10.0.0.2:9000 --key-file lab.key
    """
    from spikey.stream.key_file import new_key

    new_key(path)
    say(f"{path}: new key; copy it to the other end only")


def key_of(path: Path | None) -> bytes | None:
    """The key of --key-file."""
    if path is None:
        return None
    from spikey.stream.key_file import read_key

    return read_key(path)


def seen_of(path: Path | None, key: bytes | None, kind: str) -> Seen | None:
    """The list of --seen; kind: of streams."""
    if path is None:
        return None
    if key is None:
        raise UsageError("--seen needs --key-file: without tags a replay cannot be recognised")
    from spikey.stream.seen import Seen

    return Seen(path, kind)

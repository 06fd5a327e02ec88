"""`spikey key`, and the options of commands that authenticate packets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli.messages import say

if TYPE_CHECKING:
    from spikey.stream.seen import Seen

KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Authenticate packets with the key in this file (see spikey key).")
]
TagBytes = Annotated[int | None, typer.Option(help="Of the tag of each packet: 4, 8 or 16; with --key-file.")]
ShortestTag = Annotated[
    int | None, typer.Option("--tag-bytes", help="Of the shortest tag that is taken: 4, 8 or 16; with --key-file.")
]
SeenFile = Annotated[
    Path | None,
    typer.Option("--seen", help="Refuse streams that this file lists, and list those received; with --key-file."),
]

app = typer.Typer(
    help="Keys with which streams and telemetry are authenticated.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _group() -> None:
    pass


@app.command()
def new(path: Annotated[Path, typer.Argument(metavar="FILE", help="A new file; one that exists is kept.")]) -> None:
    """Make a random key, in a file that only you can read. Whoever has it can send and receive as you."""
    from spikey.stream.key_file import new_key

    new_key(path)
    say(f"{path}: a new key; copy it to the other end, and to nobody else")


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
        raise UsageError("--seen needs --key-file: without tags nothing tells a replay from a stream")
    from spikey.stream.seen import Seen

    return Seen(path, kind)

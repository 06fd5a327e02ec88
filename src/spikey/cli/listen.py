"""Options and messages that `stream receive` and `telemetry receive` share."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.cli.common import say

if TYPE_CHECKING:
    from spikey.stream.arrivals import Source

LINK = "Network"
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="HOST[:PORT]",
        help="Accept packets of this sender only. Default: of every sender.",
        rich_help_panel=LINK,
    ),
]
StreamNumber = Annotated[
    int | None,
    typer.Option(
        "--stream",
        help="Accept the stream of this number only (see send). Default: every stream.",
        min=0,
        max=(1 << 32) - 1,
        rich_help_panel=LINK,
    ),
]
Idle = Annotated[
    float, typer.Option(help="Time in s without packets after which a stream is over.", min=0.0, rich_help_panel=LINK)
]
SocketMs = Annotated[
    float,
    typer.Option(
        help="Buffer of the operating system for unread datagrams, in ms at --socket-mbit.",
        min=1.0,
        rich_help_panel=LINK,
    ),
]
SocketMbit = Annotated[
    float, typer.Option(help="Rate in Mbit/s that --socket-ms refers to.", min=0.01, rich_help_panel=LINK)
]


def listen(
    address: str, only: str | None, milliseconds: float, megabits: float, *, marks: Collection[int] = (), least: int = 0
) -> Source:
    """Listen at an address; a line where the system grants a smaller buffer than is wanted.

    marks, least: of telemetry's packets, where it is these.
    """
    from spikey.stream.arrivals import Source, peer
    from spikey.stream.receive_buffer import bytes_for
    from spikey.stream.transport import parse

    kind: dict[str, Any] = {"marks": marks, "least": least} if marks else {}
    wanted = bytes_for(milliseconds / 1000, megabits)
    source = Source(parse(address), only=None if only is None else peer(only), socket_bytes=wanted, **kind)
    if source.address.kind == "udp" and source.granted < wanted:
        held = source.granted / megabits / 125  # ms
        say(
            f"note: the system buffers {source.granted:,} bytes of datagrams, {held:.0f} ms at {megabits:g} Mbit/s, "
            f"not {milliseconds:g} ms; raise its limit (Linux: sudo sysctl -w net.core.rmem_max={wanted})"
        )
    return source


def losses(source: Source) -> dict[str, Any]:
    """For programs: what was dropped before it was read, and the sizes of the buffers; None where it is unknown."""
    return {
        "unwanted": source.unwanted,
        "dropped": source.dropped,
        "dropped_by_system": source.dropped_by_system,
        "buffer_bytes_most": source.buffer.most,
        "socket_buffer_bytes": source.granted,
        "socket_buffer_bytes_wanted": source.wanted if source.address.kind == "udp" else 0,
    }


def refused(count: int, key: bytes | None) -> str:
    """What to add where nothing arrived but packets without a valid tag, or with a tag that nothing verifies."""
    if not count:
        return ""
    if key is None:
        return f", but {count:,} packets of an authenticated one; give its key with --key-file"
    return f", but {count:,} packets without a valid tag of this key; give the sender's --key-file and --tag-bytes"


def note_losses(ignored: dict[str, Any]) -> None:
    """A line for a person where packets were ignored or dropped."""
    if any(ignored[name] for name in ("foreign", "unwanted", "damaged")):
        others = ignored["foreign"] + ignored["unwanted"]
        say(f"ignored {others:,} packets of others and {ignored['damaged']:,} damaged ones")
    if ignored["unauthenticated"]:
        say(f"ignored {ignored['unauthenticated']:,} packets without a valid tag, or with a tag but without --key-file")
    if ignored["dropped"]:
        say(f"{ignored['dropped']:,} packets were dropped, because the buffer of packets for the decoder was full")
    if ignored["dropped_by_system"]:
        say(
            f"{ignored['dropped_by_system']:,} packets were dropped by the system because its buffer was full; "
            "give a larger --socket-ms"
        )

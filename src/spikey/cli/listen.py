"""What `stream receive` and `telemetry receive` share: who is heard, and the system's buffer."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.cli.common import say

if TYPE_CHECKING:
    from spikey.stream.arrivals import Source

From = Annotated[
    str | None, typer.Option("--from", metavar="HOST[:PORT]", help="Take packets of this sender only; default: of all.")
]
StreamNumber = Annotated[
    int | None,
    typer.Option("--stream", help="Take the stream of this number only (see send).", min=0, max=(1 << 32) - 1),
]
Idle = Annotated[float, typer.Option(help="A stream is over after so many seconds without packets.", min=0.0)]
SocketMs = Annotated[
    float, typer.Option(help="The system is to hold datagrams of so many ms while they are not read.", min=1.0)
]
SocketMbit = Annotated[float, typer.Option(help="The rate that --socket-ms is meant for, in Mbit/s.", min=0.01)]


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
            f"note: the system holds {source.granted:,} bytes of datagrams, {held:.0f} ms at {megabits:g} Mbit/s, not "
            f"{milliseconds:g} ms; raise its limit (Linux: sudo sysctl -w net.core.rmem_max={wanted})"
        )
    return source


def losses(source: Source) -> dict[str, Any]:
    """For programs: what was dropped before it was read, and the sizes of the buffers; None where it is not known."""
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
        say(f"ignored {ignored['unauthenticated']:,} packets without a valid tag, or with one where there is no key")
    if ignored["dropped"]:
        say(f"{ignored['dropped']:,} packets were dropped, as the buffer of packets that wait for the decoder was full")
    if ignored["dropped_by_system"]:
        say(
            f"{ignored['dropped_by_system']:,} packets were dropped by the system, as its buffer was full; "
            "a larger --socket-ms holds more"
        )

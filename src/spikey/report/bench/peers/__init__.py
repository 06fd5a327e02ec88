"""Other codecs, each as its users have it, for measuring them beside Spikey: one file a group, one contract for all.

`contract` specifies a peer; `forms` makes its input from samples. Only `bench` imports from here,
and nothing here imports a peer's package before the peer is used.
"""

from __future__ import annotations

from functools import cache

from spikey.base.errors import UsageError
from spikey.report.bench.peers.contract import Peer

SELECTIONS = ("fast", "all", "none")


@cache
def known() -> dict[str, Peer]:
    """Every peer by its title, whether it can be used here or not."""
    from spikey.report.bench.peers import chunked, general, numerical, programs

    found = [peer for module in (numerical, general, chunked, programs) for peer in module.peers()]
    return {peer.title: peer for peer in found}


def choose(selection: str) -> tuple[list[Peer], list[Peer]]:
    """The peers of a selection that can be used here, and those that are missing.

    selection: "fast" for the Python packages that keep up, "all" for the slow ones and other programs too, "none", or
    parts of names with commas between them, as in "pcodec, flac -8 codes". Raises UsageError where a part names none.
    """
    if selection == "none":
        return [], []
    peers = list(known().values())
    if selection == "fast":
        wanted = [peer for peer in peers if peer.fast]
    elif selection == "all":
        wanted = peers
    else:
        parts = [part.strip().lower() for part in selection.split(",")]
        for part in parts:
            if not part or not any(part in _plain(peer) for peer in peers):
                names = ", ".join(sorted({peer.title.split()[0] for peer in peers}))
                raise UsageError(f"--peers {selection}: give {', '.join(SELECTIONS)} or names of {names}")
        wanted = [peer for peer in peers if any(part in _plain(peer) for part in parts)]
    here = [peer for peer in wanted if not peer.missing()]
    return here, [peer for peer in wanted if peer.missing()]


def _plain(peer: Peer) -> str:
    """A peer's title as it is looked for: without the commas that part names."""
    return peer.title.lower().replace(",", "")

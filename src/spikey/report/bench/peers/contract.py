"""What a peer is: it turns a recording in memory into bytes, and these bytes back, or raises DoesNotApply.

Every peer passes the same tests (tests/report/test_peers.py). The decoder has the layout and the number of frames,
so that no peer has to store them; maps from codes to samples, and corrections, are stored and counted.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from spikey.base.errors import DataError
from spikey.recording.layout import Layout
from spikey.report.bench.recordings import Loaded

FILE, SAMPLES, CODES, DELTA8 = "file", "samples", "codes", "delta8"
CORRECTED, ORDERED = "corrected", "corrected and ordered"


class DoesNotApply(DataError):
    """A peer does not support recordings of this kind; the text names those it supports."""


class Shape(NamedTuple):
    """What is known without the compressed bytes."""

    layout: Layout
    frames: int


@dataclass(frozen=True)
class Peer:
    """A codec of other people's.

    name: with its settings, as in tables. given: `file`, the bytes of the file as it is; `samples`, integers (frames,
    channels); `codes`, each channel's dense converter codes; `delta8`, one byte for each difference of codes;
    `corrected`, samples divided by their step without their medians, of channels in order or `and ordered`.
    encode: a recording's bytes; decode: the bytes of its file where that was given, else of its samples. Both may raise
    anything; DoesNotApply means that the peer does not support such a recording.
    packages, programs: what it needs, all of these. fast: whether it is measured unless more is asked for.
    """

    name: str
    given: str
    encode: Callable[[Loaded], bytes]
    decode: Callable[[bytes, Shape], bytes]
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    fast: bool = True

    @property
    def title(self) -> str:
        """Name and what it was given; no two peers have the same."""
        return f"{self.name}, {self.given}"

    def missing(self) -> list[str]:
        """Packages and programs that are not there."""
        found = [name for name in self.packages if importlib.util.find_spec(name) is None]
        return found + [name for name in self.programs if shutil.which(name) is None]


def wanted(peer: Peer, recording: Loaded) -> bytes:
    """What `decode` has to give back."""
    return recording.file_bytes() if peer.given == FILE else recording.payload

"""Which codec to record with, to archive with and to sort from: the smallest one that is fast enough for each."""

from __future__ import annotations

from typing import Any, NamedTuple

from spikey.report.bench.measure import Result
from spikey.report.bench.ranking import ranked

TERABYTE = 1e12
RECORDING_HOURS = 8.0  # to encode a terabyte of recordings, in one thread, at most
ARCHIVE_HOURS = 100.0
SORTING_HOURS = 4.0  # to decode one: sorters read a recording several times
SPARE = 2.0  # times as fast as the samples come, at least, to record


class Purpose(NamedTuple):
    """A codec for a purpose, and what it makes of a terabyte. slow: none is fast enough; this is the fastest."""

    purpose: str
    codec: str
    gigabytes: float
    hours: float
    verb: str
    slow: bool

    @property
    def words(self) -> str:
        """What it comes to, in words."""
        enough = ", the fastest, though none is fast enough" if self.slow else ""
        return f"{self.codec} for {self.purpose} ({self.gigabytes:.0f} GB, {_hours(self.hours)} to {self.verb}{enough})"

    def facts(self) -> dict[str, Any]:
        """For programs; gigabytes, and hours in one thread, of a terabyte."""
        return {
            "codec": self.codec,
            "gigabytes": round(self.gigabytes, 1),
            "hours": round(self.hours, 2),
            "verb": self.verb,
            "fast_enough": not self.slow,
        }


def recommended(results: list[Result], facts: dict[str, Any]) -> list[Purpose]:
    """What to use for recording, archive and sorting; nothing where no codec restores every recording.

    facts: what `spikey bench --json` has, of which the rates of the recordings are used.
    """
    complete = ranked([result for result in results if result.complete])
    if not complete:
        return []
    arriving = max((kind["channels"] * kind["rate"] for kind in facts["kinds"]), default=0.0)
    return [
        _purpose("recording", "encode", complete, RECORDING_HOURS, SPARE * arriving),
        _purpose("the archive", "encode", complete, ARCHIVE_HOURS, 0.0),
        _purpose("sorting", "decode", complete, SORTING_HOURS, 0.0),
    ]


def _purpose(purpose: str, verb: str, results: list[Result], most: float, least: float) -> Purpose:
    """The smallest of results in at most so many hours a terabyte, and of at least so many samples a second."""

    def seconds(result: Result) -> float:
        return max(result.encode_seconds if verb == "encode" else result.decode_seconds, 1e-9)

    def hours(result: Result) -> float:
        return TERABYTE / max(result.original, 1) * seconds(result) / 3600

    fast = [one for one in results if hours(one) <= most and one.samples / seconds(one) >= least]
    found = fast[0] if fast else min(results, key=hours)
    gigabytes = 1000 * found.compressed / max(found.original, 1)
    return Purpose(purpose, found.codec, gigabytes, hours(found), verb, not fast)


def sentence(purposes: list[Purpose]) -> str:
    """The recommendation in one sentence."""
    if not purposes:
        return "For these recordings no codec that was measured restores every one of them."
    *others, last = (purpose.words for purpose in purposes)
    return (
        f"For these recordings use {', '.join(others)} and {last}; each of a terabyte, in one thread of this machine."
    )


def _hours(hours: float) -> str:
    """So many hours, in words.

    >>> _hours(0.5), _hours(12.3)
    ('30 minutes', '12 hours')
    """
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 10 else f"{hours:,.0f} hours"

"""The results of all codecs in order, and what they come to in a sentence."""

from __future__ import annotations

from typing import Any

from spikey.report.bench.measure import Result

NEAR = 0.02  # of the best ratio that a faster codec may give up


def ranked(results: list[Result]) -> list[Result]:
    """Smallest first; those that do not hold every recording after all that do."""

    def key(result: Result) -> tuple[bool, bool, float]:
        return not result.complete, not result.recordings, -result.original / max(result.compressed, 1)

    return sorted(results, key=key)


def frontier(results: list[Result], seconds: str) -> list[Result]:
    """Those than which nothing is both smaller and faster; seconds: `encode_seconds` or `decode_seconds`."""
    best, found = float("inf"), []
    for result in ranked([each for each in results if each.complete]):
        took = getattr(result, seconds) / result.samples
        if took < best:
            best = took
            found.append(result)
    return found


def sentence(results: list[Result], facts: dict[str, Any]) -> str:
    """What makes the smallest files, what is fastest near that, how far the noise floor is.

    Empty where no codec holds every recording.

    facts: of `spikey bench --json`.
    """
    complete = ranked([result for result in results if result.complete])
    if not complete:
        return ""
    best = complete[0]
    ratio = best.original / best.compressed
    near = [each for each in complete if each.original / each.compressed >= (1 - NEAR) * ratio]
    fast = min(near, key=lambda each: each.encode_seconds + each.decode_seconds)
    text = f"{best.codec} makes the smallest files (ratio {ratio:.4f}, {_speeds(best)})"
    if fast is not best:
        loss = 100 * (1 - fast.original / fast.compressed / ratio)
        text += (
            f"; {fast.codec} is the fastest within {100 * NEAR:.0f} % of that "
            f"({fast.original / fast.compressed:.4f}, {loss:.1f} % less, {_speeds(fast)})"
        )
    floor = facts.get("floor")
    if floor and floor["bits_per_sample"] > 0:
        above = 100 * (8 * best.compressed / best.samples / floor["bits_per_sample"] - 1)
        side = f"{above:.1f} % above" if above >= 0 else f"{-above:.1f} % below"
        text += (
            f"; the smallest is {side} the estimate of the noise floor, {floor['bits_per_sample']:.4f} bits per sample"
        )
    return text + "."


def counted(recordings: int) -> str:
    """So many recordings, in words.

    >>> counted(1)
    '1 recording'
    """
    return f"{recordings:,} recording{'s' if recordings != 1 else ''}"


def notes(result: Result) -> str:
    """What did not go as it should, in words; empty where all did."""
    said = [f"FAILED on {count}: {reason}" for reason, count in result.failed.items()]
    said += [f"not for {count}: {reason}" for reason, count in result.skipped.items()]
    return "; ".join(said)


def _speeds(result: Result) -> str:
    encode, decode = (result.samples / max(took, 1e-9) / 1e6 for took in (result.encode_seconds, result.decode_seconds))
    return f"{encode:.1f} and {decode:.1f} million samples/s to encode and decode"

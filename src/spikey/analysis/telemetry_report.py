"""Puts a telemetry report together: measures sets of recordings, and writes the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikey.analysis.report import check_report as check_page
from spikey.analysis.telemetry_fidelity import Original, measure
from spikey.analysis.telemetry_table import facts_of


def check_report(page: Path | None, sort: bool) -> None:
    """UsageError where something is missing here that the report needs, before anything is measured for it."""
    if page is not None:
        check_page(page)


def report(
    sets: dict[str, Callable[[], list[Original]]],
    ratios: list[float],
    sort: bool,
    page: Path | None,
    advance: Callable[..., None],
) -> dict[str, Any]:
    """What was found of each set, by its name; the page is written where one is wanted."""
    result: dict[str, Any] = {}
    for name, load in sets.items():
        originals = load()
        tallies, _ = measure(originals, ratios, advance=advance)
        result[name] = {
            "what": originals[0].name if len(originals) == 1 else f"{len(originals)} recordings",
            "channels": sum(original.samples.shape[1] for original in originals),
            "seconds": tallies[0].seconds,
            "rate": originals[0].rate,
            "ratios": [facts_of(tally) for tally in tallies],
        }
    return result

"""Puts a telemetry report together: measures sets of recordings, sorts, and writes the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spikey.report.bench.page import check_report as check_page
from spikey.report.telemetry.fidelity import Original, Shown, Tally, Waves, measure
from spikey.report.telemetry.reference import Reference
from spikey.report.telemetry.table import SORTERS, facts_of, from_target
from spikey.telemetry.settings import Settings

SORTED_TOO = 500.0  # a ratio at which known units are sorted as well


def check_report(page: Path | None, sort: bool, sorters: Sequence[str]) -> None:
    """UsageError where something is missing here that the report needs, before anything is measured for it."""
    if page is not None:
        check_page(page)
    if sort:
        from spikey.report.telemetry.sorting import check_sorting

        check_sorting(sorters)


def report(
    sets: dict[str, Callable[[], list[Original]]],
    ratios: list[float],
    sort: bool = False,
    sorters: Sequence[str] = SORTERS[:2],
    page: Path | None = None,
    advance: Callable[..., None] = lambda amount, note="": None,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """What was found of each set, by its name; the page is written where one is wanted."""
    result: dict[str, Any] = {}
    shown: Shown | None = None

    def clusters(tally: Tally, original: Original, reference: Reference, waves: Waves) -> None:
        from spikey.report.telemetry.sorting import compare_clusters

        compare_clusters(tally, waves, original.samples.shape[1])

    for name, load in sets.items():
        originals = load()
        tallies, first = measure(originals, ratios, settings, advance=advance, each=clusters if sort else None)
        shown = shown or first
        if sort and name == "simulated":
            from spikey.report.telemetry.sorting import sort_known

            aimed = min(tallies, key=lambda tally: from_target(tally.ratio))
            sort_known([tally for tally in tallies if tally is aimed or tally.ratio == SORTED_TOO], sorters, advance)
        result[name] = {
            "what": originals[0].name if len(originals) == 1 else f"{len(originals)} recordings",
            "channels": sum(original.samples.shape[1] for original in originals),
            "seconds": tallies[0].seconds,
            "rate": originals[0].rate,
            "ratios": [facts_of(tally) for tally in tallies],
        }
    if page is not None and shown is not None:
        from spikey.report.telemetry.page import write_page
        from spikey.report.telemetry.pictures import draw_telemetry

        write_page(page, result, draw_telemetry(result, shown, sort))
    return result

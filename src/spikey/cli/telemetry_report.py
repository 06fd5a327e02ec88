"""`spikey telemetry report`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar, some
from spikey.cli.telemetry_encode import Column, Neighbours

if TYPE_CHECKING:
    from spikey.report.telemetry.fidelity import Original

RATIOS = (50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
SIMULATED = 256  # channels, unless given


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IN]...", help="WAV files or folders. Default: simulated recordings."),
    ] = None,
    every: Annotated[int, typer.Option(help="Measure only every Nth file in sorted order, from the first.", min=1)] = 1,
    channels: Annotated[
        int | None,
        typer.Option(
            help="Tile the recordings to this number of channels, each shifted in time. "
            "Default: as they are; simulated: 256.",
            min=1,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Length of each recording that is measured, in s.", min=0.5)] = 5.0,
    ratio: Annotated[
        list[float] | None,
        typer.Option(
            help="Ratio to 10-bit samples; can be repeated. Default: 50, 100, 200, 500, 1000 and 2000.", min=1
        ),
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Also measure simulated recordings with known spikes.")
    ] = False,
    sort: Annotated[
        bool, typer.Option("--sort/--no-sort", help="Cluster waveforms, and sort recordings with known spikes.")
    ] = True,
    sorter: Annotated[
        list[str] | None,
        typer.Option(
            help="Spike sorter: tridesclous2, spykingcircus2 or mountainsort5; can be repeated. Default: the first two."
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", help="HTML file for a report with pictures. Default: none.")
    ] = None,
    neighbours: Neighbours = None,
    column: Column = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure the fidelity of telemetry at several bit rates.

    Recordings are encoded, decoded and compared with the original.

    Examples
    --------
    spikey telemetry report --ratio 200
    spikey telemetry report data/ --every 5 --channels 1024 --html report.html
    """
    from spikey.report.telemetry.report import check_report, report
    from spikey.report.telemetry.table import SORTERS
    from spikey.telemetry.settings import Settings

    sorters = tuple(dict.fromkeys(sorter or SORTERS[:2]))
    unknown = [name for name in sorters if name not in SORTERS]
    if unknown:
        raise UsageError(f"--sorter must be {', '.join(SORTERS)}, not {unknown[0]}")
    check_report(page, sort, sorters)
    settings = Settings(neighbours=neighbours or 0, column=column or 0)
    ratios = sorted(set(ratio or RATIOS))
    sets: dict[str, Callable[[], list[Original]]] = {}
    if paths:
        files = _files(paths, every)
        sets["recordings"] = lambda: _tiled(files, channels, seconds) if channels else _each(files, seconds)
    if simulated or not paths:
        sets["simulated"] = lambda: [_simulated(channels or SIMULATED, seconds)]
    prepare_kernels()
    with progress_bar(None, "steps") as advance:
        result = report(sets, ratios, sort, sorters, page, advance, settings)
    typer.echo(json.dumps(result, indent=2) if as_json else "\n".join(_text(result)))


def _files(paths: list[Path], every: int) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".wav" and file.is_file())
            some(inside, path, (".wav",))
            found += inside
        else:
            found.append(path)
    return sorted(found)[::every]


def _tiled(files: list[Path], channels: int, seconds: float) -> list[Original]:
    from spikey.report.stream.bench import Plan, channels_of
    from spikey.report.telemetry.fidelity import Original

    plan = Plan(channels=channels, seconds=seconds)
    samples = channels_of(files, plan, most=1 << 40)[: round(seconds * plan.rate)]
    return [Original(f"{len(files)} recordings tiled to {channels} channels", samples, plan.rate)]


def _each(files: list[Path], seconds: float) -> list[Original]:
    from spikey.recording.wav import open_wav
    from spikey.report.telemetry.fidelity import Original

    found = []
    for file in files:
        with open_wav(file) as source:
            rate = source.layout.rate
            if rate is None or source.layout.memory_dtype.kind == "f":
                raise UsageError(f"{file}: telemetry takes integer samples at a known rate")
            found.append(Original(file.name, source.read(0, min(source.frames, round(seconds * rate))), rate))
    return found


def _simulated(channels: int, seconds: float) -> Original:
    from spikey.recording.simulate import Spikes, simulate
    from spikey.report.telemetry.fidelity import Original

    rate = 20_000.0
    spikes: list[Spikes] = []
    samples = simulate(round(seconds * rate), channels, rate, spikes_into=spikes)
    return Original(f"{channels} simulated channels", samples, rate, spikes)


def _text(result: dict[str, Any]) -> list[str]:
    """Tables for a person."""
    from spikey.report.telemetry.table import table

    lines = []
    for about in result.values():
        lines += [f"{about['what']}: {about['channels']:,} channels, {about['seconds']:.4g} s", ""]
        cells = table(about["ratios"])
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        for line in cells:
            columns = zip(line[1:], widths[1:], strict=True)
            lines.append((line[0].ljust(widths[0]) + "".join(f"  {cell:>{width}}" for cell, width in columns)).rstrip())
        lines.append("")
    return lines[:-1]

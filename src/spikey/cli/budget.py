"""`spikey budget`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar

if TYPE_CHECKING:
    from spikey.report.budget import Row

_FITS = {"no": "no", "memory": "yes", "banks": "with banks", "registers": "with registers"}


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IN]...", help="WAV files or folders to measure ratios on. Default: published ratios."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="With recordings: trained model, by name or file; can be repeated. Default: none."),
    ] = None,
    every: Annotated[int, typer.Option(help="Measure only every Nth file in sorted order, from the first.", min=1)] = 1,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file for a picture of power (mW) against ratio. Default: none.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Estimate energy, power, memory and radio of a circuit on an implant.

    Operations were counted in the codec's own kernels; ratios are those of docs/results.md, or of the given recordings.
    Energy is in pJ for each sample, power in mW.

    Examples
    --------
    spikey budget
    spikey budget data/ --every 5 --picture power.png
    """
    from spikey.report.budget import as_json as table_as_json
    from spikey.report.budget import rows

    if paths is None and model:
        raise UsageError("--model is for measuring: give recordings too")
    table = rows(None if paths is None else _measured(paths, model or [], every))
    if picture is not None:
        from spikey.report.budget_picture import draw_budget

        draw_budget(picture, table)
    if as_json:
        typer.echo(json.dumps(table_as_json(table), indent=2))
        return
    typer.echo(
        "\n".join(
            [*_table(table), "", *_shared(table), "", *_links(table), "", *_telemetry(), "", *_conclusions(table)]
        )
    )


def _measured(paths: list[Path], models: list[str], every: int) -> dict[str, float | None]:
    """Bits per sample of recordings, by predictor."""
    from spikey.codec.registry import configured, ranked
    from spikey.files.settings import Settings
    from spikey.model.trained import named
    from spikey.report.bench.measure import measure, spikey_codec
    from spikey.report.budget import operation_counts
    from spikey.report.counted import NETWORKS

    files = sorted(f for p in paths for f in (p.rglob("*.wav") if p.is_dir() else [p]))[::every]
    if not files:
        raise UsageError(f"{', '.join(map(str, paths))}: no WAV files")
    counted = operation_counts()
    adaptive = [name for name, model in configured().items() if model is None]
    settings = {name: Settings(predictor=name) for name in adaptive if name in counted}
    settings |= {preset: Settings(preset=preset) for preset in ranked() if preset in counted}
    for each in map(named, models):
        network = next((name for name, built in NETWORKS.items() if built == each.architecture), None)
        if network is None:
            raise UsageError(f"model {each.name}: only {', '.join(NETWORKS)} are counted, not {each.architecture}")
        settings[network] = Settings(model=each)
    names = {f"spikey {predictor}": predictor for predictor in settings}
    chosen = {codec: spikey_codec(settings[predictor]) for codec, predictor in names.items()}
    prepare_kernels()
    with progress_bar(len(files) * len(chosen), "files") as advance:
        results = measure(files, chosen, 1, advance)
    return {names[result.codec]: result.row()["bits_per_sample"] for result in results}


def _table(table: list[Row]) -> list[str]:
    """The cost of every predictor: counts, then power at each node."""
    from spikey.report.budget import LAYOUTS, constants, radio_power, samples_a_second, verdict

    device = constants()["device"]
    each = device["power"] / samples_a_second() * 1e9
    lines = [
        f"{device['name']}: {device['electrodes']:,} channels at {device['rate']:,} Hz; "
        f"{device['power']:g} mW with the radio, {each:.0f} pJ a sample.",
        "",
        f"{'':30}{'operations a sample':>21}{'state, bytes':>15}{'memory':>9}",
        f"{'predictor':16}{'bits':>7}{'ratio':>7}{'multiply':>12}{'other':>9}{'a channel':>15}{'KB':>9}",
    ]
    for row in table:
        bits = f"{row.bits:7.3f}{row.ratio:7.3f}" if row.bits else f"{'-':>7}{'-':>7}"
        line = f"{row.predictor:16}{bits}{row.multiplications:12,.0f}{row.others:9,.0f}"
        lines.append(f"{line}{row.channel_bytes:15,}{row.bytes / 1024:9,.0f}")
    for node in constants()["nodes"]:
        lines += [
            "",
            f"{node:16}{'pJ a sample':>12}   mW of computing, with the state of the channels",
            f"{'predictor':16}{'operations':>12}"
            + "".join(f"{layout:>11}" for layout in LAYOUTS)
            + f"{'radio':>8}   fits",
        ]
        for row in table:
            power = row.power[node]
            line = f"{row.predictor:16}{power.arithmetic:12,.0f}"
            line += "".join(f"{_short(value):>11}" for value in power.milliwatts.values())
            lines.append(f"{line}{radio_power(row.bits):8.2f}   {_FITS[verdict(row, node)]}")
    return [*lines, "", *(f"{name:11}{what}" for name, what in LAYOUTS.items())]


def _short(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _shared(table: list[Row]) -> list[str]:
    """Power of the networks where each weight is read once for all channels."""
    lines = ["networks, with registers and each weight read once for all channels, mW"]
    for row in table:
        if row.counts["memory"]["weight"]:
            powers = ", ".join(f"{node} {_short(power.shared)}" for node, power in row.power.items())
            lines.append(f"  {row.predictor:16}{powers}")
    return lines


def _links(table: list[Row]) -> list[str]:
    from spikey.report.budget import links

    best = min((row.bits for row in table if row.bits), default=None)
    lines = [f"{'radio':28}{'stream':14}{'Mbit/s':>9}{'mW':>11}"]
    for link in links(best):
        note = "" if link.carries else "faster than was shown"
        note += "" if link.affordable else f"{', ' if note else ''}beyond the power"
        lines.append(
            f"{link.name:28}{link.stream:14}{link.rate / 1e6:9.1f}{_short(link.milliwatts):>11}  {note}".rstrip()
        )
    return lines


def _telemetry() -> list[str]:
    """The cost of the lossy mode, with every radio."""
    from spikey.report.budget import LAYOUTS, constants, telemetry, wholes

    row, device = telemetry(), constants()["device"]
    computing = ", ".join(f"{power.arithmetic:.0f} pJ at {node}" for node, power in row.power.items())
    lines = [
        f"telemetry, LOSSY, at {device['radio'] / 1e6:g} Mbit/s: {row.bits:.4f} bits a sample, ratio {row.ratio:.0f}",
        f"  {row.multiplications:.0f} multiplications and {row.others:.0f} other operations a sample: {computing}",
        f"  state of {row.channel_bytes:,} bytes a channel; {row.bytes / 1024:,.0f} KB of memory",
        f"{'mW with the radio':42}" + "".join(f"{layout:>11}" for layout in LAYOUTS) + f"{'radio':>8}   fits",
    ]
    for whole in wholes():
        powers = "".join(f"{_short(power):>11}" for power in whole.milliwatts.values())
        lines.append(f"{whole.link:28}{whole.node:14}{powers}{whole.radio:8.2f}   {_FITS[whole.fits]}")
    return lines


def _met() -> str:
    """With which radio telemetry meets the device's power."""
    from spikey.report.budget import constants, wholes

    device = constants()["device"]
    both = f"{device['power']:g} mW and {device['radio'] / 1e6:g} Mbit/s"
    fitting: dict[str, list[str]] = {}
    alone = dict[str, float]()
    for whole in wholes():
        if whole.fits != "no":
            fitting.setdefault(whole.link, []).append(f"{whole.milliwatts['registers']:.2f} mW at {whole.node}")
        elif whole.radio > device["power"]:
            alone[whole.link] = whole.radio
    if not fitting:
        return f"Telemetry, which is lossy, does not meet {both} with any radio here."
    how = "; ".join(f"with {link} {', '.join(each)}" for link, each in fitting.items())
    beyond = " or ".join(f"{link} ({power:.1f} mW alone)" for link, power in alone.items())
    return (
        f"Telemetry, which is lossy, is where {both} can be met: {how}, with registers"
        + (f"; not with {beyond}" if beyond else "")
        + "."
    )


def _conclusions(table: list[Row]) -> list[str]:
    """Conclusions, in sentences."""
    from spikey.report.budget import constants, radio_power, samples_a_second, verdict

    device = constants()["device"]
    lines = []
    for node in constants()["nodes"]:
        answers: dict[str, list[str]] = {}
        for row in table:
            answers.setdefault(verdict(row, node), []).append(row.predictor)
        for layout in ("memory", "banks", "registers", "no"):
            if layout in answers:
                what = "does not fit" if layout == "no" else f"fits with {layout}"
                lines.append(f"At {node} {what}: {', '.join(answers[layout])}.")
    lines.append(
        "The preset max is not for implants: its regression is solved again every 1,024 "
        "samples of each channel or more often, in float64."
    )
    lines.append(_met())
    best = min((row.bits for row in table if row.bits), default=None)
    if best is None:
        return lines
    needed = samples_a_second() * device["bits"] / device["radio"]
    lines.append(
        f"A lossless stream cannot meet {device['radio'] / 1e6:g} Mbit/s: that needs a ratio of {needed:.0f}, and "
        f"the best here is {device['bits'] / best:.2f} (of {device['bits']}-bit samples; {16 / best:.2f} of 16-bit "
        "files). Noise alone takes more than 4 bits a sample."
    )
    saved = radio_power(None) - radio_power(best)
    least = min(min(power.milliwatts.values()) for row in table for power in row.power.values())
    lines.append(
        f"Ultra-wideband carries the stream as it is for {radio_power(None):.2f} mW; compression saves {saved:.2f} mW "
        f"of that and takes at least {least:.2f} mW itself."
    )
    return lines

"""`spikey bench`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikey.base.errors import DataError, SpikeyError, UsageError, install
from spikey.cli import options
from spikey.cli.common import prepare_kernels, progress_bar, recordings_in, say

if TYPE_CHECKING:
    from spikey.report.bench.floor import Floor
    from spikey.report.bench.measure import Result
    from spikey.report.bench.worker import Order

Raw = tuple[int, float, str]
SHORT = 1.0  # seconds of the longest recording, below which fixed costs are a large part of the time


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="IN...", help="WAV, raw or .spky files, or folders of them.")],
    preset: Annotated[
        list[str] | None,
        typer.Option(help=f"Preset to measure, {options.PRESETS}; can be repeated. Default: all."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Trained model to measure too, by name or file; can be repeated. Default: none."),
    ] = None,
    peers: Annotated[
        str,
        typer.Option(help="Other codecs: fast, all (slow ones and programs too), none, or names."),
    ] = "fast",
    no_peers: Annotated[bool, typer.Option("--no-peers", help="The same as --peers none.")] = False,
    every: Annotated[int, typer.Option(help="Measure only every Nth file in sorted order, from the first.", min=1)] = 1,
    seconds: Annotated[
        float | None, typer.Option(help="Measure only the first seconds of each recording. Default: all of it.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Number of timings; the fastest counts.", min=1)] = 3,
    floor: Annotated[bool, typer.Option(help="Also estimate the noise floor, a bound on lossless ratios.")] = True,
    together: Annotated[
        int, typer.Option(help="Measure only the models, on this number of WAV files at once; 0: no.", min=0)
    ] = 0,
    fallback: Annotated[
        bool, typer.Option(help="With --together: use the adaptive predictors where they are smaller, as usual.")
    ] = True,
    picture: Annotated[
        Path | None, typer.Option(help="PNG file for a picture of each recording's gain over fast. Default: none.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="HTML file for a report with pictures. Default: none.")] = None,
    csv: Annotated[Path | None, typer.Option(help="CSV file for the table. Default: none.")] = None,
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.Dtype = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure ratio, speed and memory of every preset and of other codecs on your recordings.

    Each codec runs in one thread of its own process, after a warm-up; everything is decoded and compared.

    Examples
    --------
    spikey bench data/
    spikey bench data/ --every 5 --peers all --html report.html
    spikey bench a.dat --channels 384 --rate 30000 --dtype int16 --seconds 10
    """
    from spikey.codec.registry import DEFAULT_PRESET, ranked
    from spikey.model.trained import named
    from spikey.report.bench.measure import measure_together
    from spikey.report.bench.recommendation import recommended
    from spikey.report.bench.recommendation import sentence as in_words

    raw = _raw(channels, rate, dtype)
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--seconds {seconds}: give a positive number")
    files = sorted(f for p in paths for f in (recordings_in(p, raw is not None) if p.is_dir() else [p]))[::every]
    for name in preset or ():
        if name not in ranked():
            raise UsageError(f"there is no preset {name!r}; there are {', '.join(ranked())}", code="unknown-preset")
    if html is not None:
        from spikey.report.bench.page import check_report

        check_report(html)
    models = [named(name) for name in model or ()]
    if together and not models:
        raise UsageError("--together is for trained models: name one with --model")
    if together and (raw is not None or html is not None):
        raise UsageError("--together is for WAV files, and without --html")
    orders = [] if together else _orders(preset, model, "none" if no_peers else peers)
    files, facts = _usable(files, raw, seconds)
    prepare_kernels()
    found: Floor | None = None
    with progress_bar(len(files) * (len(models) if together else len(orders) + floor), "files") as advance:
        if together:
            results = [measure_together(files, each, together, fallback, advance) for each in models]
        else:
            from spikey.report.bench.floor import floor_of_files
            from spikey.report.bench.worker import measure_apart

            results = measure_apart(files, orders, repeats, raw, seconds, advance)
            if floor:
                found = floor_of_files(files, raw, seconds, advance)
    answer = facts | {"repeats": repeats, "rows": [result.row() for result in results]}
    answer["floor"] = None if found is None else found.row(facts["original"])
    purposes = recommended(results, facts)
    answer["recommended"] = {purpose.purpose: purpose.facts() for purpose in purposes}
    if picture is not None:
        from spikey.report.bench.gains import draw_gains

        draw_gains(picture, results, f"spikey {DEFAULT_PRESET}")
    if csv is not None:
        _write_csv(csv, results, found)
    if html is not None:
        from spikey.report.bench.page import write_report

        write_report(html, answer, results, files, raw, seconds)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        typer.echo(in_words(purposes))
        _say(answer, results, found, bool(together))


def _raw(channels: int | None, rate: float | None, dtype: str | None) -> Raw | None:
    if channels is not None and rate is not None and dtype is not None:
        return channels, rate, dtype
    if (channels, rate, dtype) != (None, None, None):
        raise UsageError("raw inputs need all three of --channels, --rate and --dtype", code="raw-options")
    return None


def _orders(preset: list[str] | None, model: list[str] | None, peers: str) -> list[Order]:
    """What is measured, in order; a note lists what is missing."""
    from spikey.codec.registry import ranked
    from spikey.report.bench.peers import choose
    from spikey.report.bench.worker import Order, orders_of

    here, missing = choose(peers)
    lacking = sorted({name for peer in missing for name in peer.missing() if name in peer.packages})
    if lacking:
        say(f"note: {', '.join(lacking)}: not installed, so not measured: {install('bench,stores')}")
    programs = sorted({name for peer in missing for name in peer.missing() if name in peer.programs})
    if programs:
        say(f"note: {', '.join(programs)}: no such program was found, so codecs that need it are not measured")
    return orders_of(preset or ranked(), model or []) + [Order(peer.title, peer.given) for peer in here]


def _usable(files: list[Path], raw: Raw | None, seconds: float | None) -> tuple[list[Path], dict[str, Any]]:
    """The files that are recordings, and their totals; a note lists the others. Raise DataError if there are none."""
    from spikey.report.bench.interpolation import interpolation_of
    from spikey.report.bench.ranking import counted
    from spikey.report.bench.recordings import load

    usable, kinds, original, samples, cut = [], set[tuple[int, float, str]](), 0, list[int](), 0
    longest = 0.0  # seconds
    interpolated = Counter[int]()
    for file in files:
        try:
            recording = load(file, raw, seconds)
        except SpikeyError as error:
            if len(files) == 1:
                raise
            say(f"note: left out: {error}")
            continue
        usable.append(file)
        kinds.add((recording.layout.channels, recording.layout.rate, recording.layout.dtype))
        original += recording.size
        samples.append(recording.samples.size)
        longest = max(longest, recording.frames / max(recording.layout.rate, 1e-9))
        factor = interpolation_of(recording.samples)
        interpolated += Counter([factor] if factor else [])
        cut += recording.cut
    if not usable:
        raise DataError(f"none of {len(files)} files is a recording of integers")
    if cut:
        say(f"note: measured on the beginning alone: {cut} of {counted(len(usable))}")
    if longest < SHORT:
        say(f"note: no recording is longer than {longest:.2g} s; fixed costs slow codecs, so measure longer ones")
    from spikey.report.bench.machine import machine

    facts = {
        "recordings": len(usable),
        "left_out": len(files) - len(usable),
        "cut": cut,
        "original": original,
        "samples": sum(samples),
        "samples_each": samples,
        "interpolated": {str(factor): count for factor, count in sorted(interpolated.items())},
        "kinds": [{"channels": c, "rate": r, "dtype": d} for c, r, d in sorted(kinds)],
    }
    return usable, facts | machine()


def _write_csv(path: Path, results: list[Result], floor: Floor | None) -> None:
    import csv
    import io

    from spikey.recording.output import report_output

    columns = ["codec", "given", "recordings", "original", "compressed", "samples", "ratio", "bits_per_sample"]
    columns += ["encode_ms_s", "decode_ms_s", "memory", "skipped", "failed"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = result.row()
        for name in ("skipped", "failed"):
            row[name] = "; ".join(f"{count}: {reason}" for reason, count in row[name].items())
        writer.writerow(row)
    if floor is not None:
        original = max(result.original for result in results)
        writer.writerow({"codec": "estimate of the noise floor"} | floor.row(original))
    with report_output(path) as (file, _):
        file.write(text.getvalue().encode())


def _say(answer: dict[str, Any], results: list[Result], floor: Floor | None, together: bool) -> None:
    """The table for a person, smallest first."""
    from spikey.report.bench.interpolation import words
    from spikey.report.bench.ranking import counted, notes, ranked, sentence

    head = f"{counted(answer['recordings'])}, {answer['original']:,} bytes; one thread"
    typer.echo(head if together else f"{head}, best of {answer['repeats']}; million samples/s; MB held at most")
    wide = max(28, *(len(result.codec) + 1 for result in results))
    typer.echo(f"{'':{wide}}{'ratio':>8}{'bits/sample':>13}{'encode':>9}{'decode':>9}{'memory':>9}")
    if floor is not None:
        row = answer["floor"]
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.4f}"
        typer.echo(f"{'estimate of the noise floor':{wide}}{ratio:>8}{row['bits_per_sample']:13.4f}")
    for result in ranked(results):
        row = result.row()
        if not result.recordings:
            typer.echo(f"{result.codec:{wide}}{'-':>8}{'-':>13}{'-':>9}{'-':>9}{'-':>9}  {notes(result)}")
            continue
        memory = "-" if result.memory is None else f"{result.memory / 1e6:.1f}"
        typer.echo(
            f"{result.codec:{wide}}{row['ratio']:8.4f}{row['bits_per_sample']:13.4f}"
            f"{row['encode_ms_s']:9.2f}{row['decode_ms_s']:9.2f}{memory:>9}  {notes(result)}".rstrip()
        )
    if text := sentence(results, answer):
        typer.echo(text)
    if answer.get("interpolated"):
        typer.echo(words(answer["interpolated"]))

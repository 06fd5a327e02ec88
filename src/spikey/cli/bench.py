"""`spikey bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from spikey.cli.common import prepare_kernels, progress_bar, say
from spikey.errors import UsageError


def command(
    paths: Annotated[list[Path], typer.Argument(help="WAV files or folders of them.")],
    preset: Annotated[list[str] | None, typer.Option(help="Only these presets.")] = None,
    coder: Annotated[list[str] | None, typer.Option(help="arithmetic, rice, huffman; default: arithmetic.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Trained models too, by name or file.")] = None,
    together: Annotated[int, typer.Option(help="Only the models, on so many recordings at once.", min=0)] = 0,
    fallback: Annotated[
        bool, typer.Option(help="With --together: the adaptive predictors where they are better, as usual.")
    ] = True,
    every: Annotated[int, typer.Option(help="Every Nth file, from the first, of the sorted names.", min=1)] = 1,
    repeats: Annotated[int, typer.Option(help="Times each is timed; the best counts.", min=1)] = 3,
    peers: Annotated[bool, typer.Option(help="Measure pcodec too, when it is installed.")] = True,
    picture: Annotated[Path | None, typer.Option(help="Draw each recording's gain over realtime, as PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure ratio and speed on recordings: one process, one thread, after a warm-up, decoded and compared."""
    files = sorted(f for p in paths for f in (p.rglob("*.wav") if p.is_dir() else [p]))[::every]
    if not files:
        raise UsageError(f"{', '.join(map(str, paths))}: no WAV files")
    from spikey.analysis.bench import codecs, measure, measure_together
    from spikey.coding.block import CODER_NAMES
    from spikey.files import PRESETS
    from spikey.model.trained import named

    for names, known, what in ((preset, tuple(PRESETS), "preset"), (coder, CODER_NAMES, "coder")):
        for name in names or ():
            if name not in known:
                raise UsageError(f"there is no {what} {name!r}; there are {', '.join(known)}")
    prepare_kernels()
    models = [named(name) for name in model or ()]
    if together and not models:
        raise UsageError("--together is for trained models: name one with --model")
    chosen = {} if together else codecs(preset or list(PRESETS), coder or ["arithmetic"], peers, models)
    if chosen and peers and not any(name.startswith("pcodec") for name in chosen):
        say('note: pcodec is not installed; pip install "spikey-codec[bench]" measures it side by side')
    with progress_bar(len(files) * max(len(chosen), len(models)), "files") as advance:
        results = measure(files, chosen, repeats, advance)
        if together:
            results = [measure_together(files, each, together, fallback, advance) for each in models]
    if picture is not None:
        from spikey.analysis.gains import draw_gains

        draw_gains(picture, results, "spikey realtime")
    rows = [result.row() for result in results]
    if as_json:
        json.dump(rows, sys.stdout, indent=2)
        typer.echo("")
        return
    head = f"{rows[0]['recordings']:,} recordings, {rows[0]['original']:,} bytes; one thread"
    typer.echo(head if together else f"{head}, best of {repeats}")
    typer.echo(f"{'':28}{'ratio':>8}{'bits/sample':>13}{'encode':>9}{'decode':>9}  million samples/s")
    for row in rows:
        typer.echo(
            f"{row['codec']:28}{row['ratio']:8.4f}{row['bits_per_sample']:13.4f}"
            f"{row['encode_ms_s']:9.2f}{row['decode_ms_s']:9.2f}"
        )

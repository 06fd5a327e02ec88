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
    every: Annotated[int, typer.Option(help="Every Nth file, from the first, of the sorted names.", min=1)] = 1,
    repeats: Annotated[int, typer.Option(help="Times each is timed; the best counts.", min=1)] = 3,
    peers: Annotated[bool, typer.Option(help="Measure pcodec too, when it is installed.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure ratio and speed on recordings: one process, one thread, after a warm-up, decoded and compared."""
    files = sorted(f for p in paths for f in (p.rglob("*.wav") if p.is_dir() else [p]))[::every]
    if not files:
        raise UsageError(f"{', '.join(map(str, paths))}: no WAV files")
    from spikey.analysis.bench import codecs, measure
    from spikey.coding.block import CODER_NAMES
    from spikey.files import PRESETS

    for names, known, what in ((preset, tuple(PRESETS), "preset"), (coder, CODER_NAMES, "coder")):
        for name in names or ():
            if name not in known:
                raise UsageError(f"there is no {what} {name!r}; there are {', '.join(known)}")
    prepare_kernels()
    chosen = codecs(preset or list(PRESETS), coder or ["arithmetic"], peers)
    if peers and not any(name.startswith("pcodec") for name in chosen):
        say('note: pcodec is not installed; pip install "spikey-codec[bench]" measures it side by side')
    with progress_bar(len(files) * len(chosen), "files") as advance:
        rows = [result.row() for result in measure(files, chosen, repeats, advance)]
    if as_json:
        json.dump(rows, sys.stdout, indent=2)
        typer.echo("")
        return
    typer.echo(f"{rows[0]['recordings']:,} recordings, {rows[0]['original']:,} bytes; one thread, best of {repeats}")
    typer.echo(f"{'':28}{'ratio':>8}{'bits/sample':>13}{'encode':>9}{'decode':>9}  million samples/s")
    for row in rows:
        typer.echo(
            f"{row['codec']:28}{row['ratio']:8.4f}{row['bits_per_sample']:13.4f}"
            f"{row['encode_ms_s']:9.2f}{row['decode_ms_s']:9.2f}"
        )

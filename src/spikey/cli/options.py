"""Options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

PRESETS = "{presets}"  # in a help text: the names of the presets, which are looked up when the help is printed
EXPLAINED = "{explained}"  # and what each of them is for


class Command(TyperCommand):
    """A command whose help texts may contain `PRESETS` or `EXPLAINED`; other calls need not import what knows them."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from spikey.codec.registry import explained, listed

        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text and (PRESETS in text or EXPLAINED in text):
                text = text.replace(PRESETS, listed()).replace(EXPLAINED, explained())
                parameter.help = text  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


Config = Annotated[Path | None, typer.Option(help="A YAML configuration.")]
Name = Annotated[str | None, typer.Option(help="Which of its documents; default: the first.")]
InputFile = Annotated[str | None, typer.Option("--input_file", help="The same as IN.")]
OutputFile = Annotated[
    str | None, typer.Option("--output_file", help="The same as OUT, which is replaced where it exists.")
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", help="The output: a file, a folder (ends in /), - for standard output.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace outputs that exist; never an input.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Skip inputs whose output exists and restores the same bytes.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also a line for each file.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result for programs: one JSON object.")]
Channels = Annotated[int | None, typer.Option(help="Channels of a raw input.")]
Rate = Annotated[float | None, typer.Option(help="Sampling rate of a raw input in Hz.")]
Dtype = Annotated[str | None, typer.Option(help="Type of a raw input: int16, uint16, int8, int24, float32.")]
KeepPartial = Annotated[
    bool, typer.Option("--keep-partial", help="Store a raw input that ends within a frame, instead of refusing it.")
]

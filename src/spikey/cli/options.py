"""Options that several commands share, declared once, and the class of all commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

PRESETS = "{presets}"  # in a help text: the names of the presets, which are looked up when the help is printed
EXPLAINED = "{explained}"  # and what each of them is for
EXAMPLES = "\n\nExamples\n--------\n"  # the heading in a docstring

# Groups of options in a help text.
RAW = "Raw inputs: all three of --channels, --rate and --dtype"
MESSAGES = "Messages"
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command whose help is its docstring: lines are joined to paragraphs, examples are listed at the end.

    Help texts may contain `PRESETS` or `EXPLAINED`, so that only printing them imports what lists the presets.
    """

    examples: list[str]

    def __init__(self, *arguments: Any, help: str | None = None, **options: Any):
        text, _, examples = (help or "").partition(EXAMPLES)
        self.examples = examples.splitlines()
        paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
        super().__init__(*arguments, help="\n\n".join(paragraphs), **options)

    def fill_in(self) -> None:
        """Replace `PRESETS` and `EXPLAINED` in the help texts of all options."""
        from spikey.codec.registry import explained, listed

        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text and (PRESETS in text or EXPLAINED in text):
                text = text.replace(PRESETS, listed()).replace(EXPLAINED, explained())
                parameter.help = text  # type: ignore[attr-defined]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.fill_in()
        super().format_help(ctx, formatter)
        if not self.examples:
            return
        if formatter.getvalue():  # without Rich
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.examples))
            return
        from rich.console import Console
        from rich.panel import Panel
        from rich.text import Text

        panel = Panel(Text("\n".join(self.examples)), title="Examples", title_align="left", border_style="dim")
        Console().print(panel)


Config = Annotated[Path | None, typer.Option(help="Configuration file (YAML). Default: none.")]
Name = Annotated[
    str | None, typer.Option(help="Name of the document in the configuration file. Default: the first document.")
]
InputFile = Annotated[str | None, typer.Option("--input_file", help="Input file, instead of IN. Default: IN.")]
OutputFile = Annotated[
    str | None,
    typer.Option("--output_file", help="Output file, instead of OUT; an existing one is replaced. Default: OUT."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="Output: a file, a folder (ends in /), or - for standard output. Default: beside the input.",
    ),
]
Jobs = Annotated[int, typer.Option(help="Number of threads.", min=1)]
Verify = Annotated[bool, typer.Option(help="Decode the output and compare it with the input.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace existing outputs; inputs are never replaced.")]
SkipExisting = Annotated[
    bool,
    typer.Option("--skip-existing", help="Skip inputs whose output exists and restores the same bytes."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.", rich_help_panel=MESSAGES)]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also print a line for each file.", rich_help_panel=MESSAGES)
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, for programs.", rich_help_panel=MESSAGES)
]
Channels = Annotated[int | None, typer.Option(help="Number of channels.", rich_help_panel=RAW)]
Rate = Annotated[float | None, typer.Option(help="Sampling rate in Hz.", rich_help_panel=RAW)]
Dtype = Annotated[
    str | None,
    typer.Option(help="Type of the samples: int16, uint16, int8, int24, float32 and others.", rich_help_panel=RAW),
]
StreamDtype = Annotated[
    str | None,
    typer.Option("--dtype", help="Type of the samples: int16, uint16, int8 or uint8.", rich_help_panel=RAW),
]
KeepPartial = Annotated[
    bool,
    typer.Option(
        "--keep-partial",
        help="Store a raw input that ends within a frame, instead of refusing it.",
        rich_help_panel=RAW,
    ),
]

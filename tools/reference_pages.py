"""Write the pages of the site that are made from the code: commands and configuration.

python -m tools.reference_pages build/reference
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

from spikey.base.errors import UsageError
from tools.commands_page import OPTIONS, Option, Page, pages
from tools.configuration_page import configuration_page

HEAD = """# Commands

`spikey COMMAND --help` prints the same text, and `make man` writes it as manual pages. Every command has `-h` and
`--help`. Exit status: 0 after success, 1 for a fault in the data or an interrupted stream, 2 for a fault in the call,
130 after Ctrl-C. Errors are listed in [Errors](errors.md).
"""


def commands_page(commands: list[Page]) -> str:
    """The reference of all commands as Markdown."""
    parts = [HEAD]
    grouped = [(panel, list(each)) for panel, each in groupby(commands, lambda page: page.panel)]
    rows = [f"| {panel} | {', '.join(_link(page) for page in each)} |" for panel, each in grouped]
    parts.append("\n".join(["| group | commands |", "|---|---|", *rows, ""]))
    for panel, each in grouped:
        parts.append(f"## {panel}\n")
        parts += map(_section, each)
    return "\n".join(parts)


def _link(page: Page) -> str:
    return f"[{' '.join(page.words)}](#{page.name.replace(' ', '-')})"


def _section(page: Page) -> str:
    lines = [f"### {page.name}\n", f"```\n{page.synopsis}\n```\n", *(f"{_escaped(text)}\n" for text in page.paragraphs)]
    if page.arguments:
        lines += ["| argument | description |", "|---|---|"]
        lines += [f"| {_code(each.names[0])} | {_escaped(each.help)} |" for each in page.arguments]
        lines.append("")
    for name, options in page.options.items():
        lines += [] if name == OPTIONS else [f"**{_escaped(name)}**\n"]
        lines += ["| option | value | default | description |", "|---|---|---|---|", *map(_row, options), ""]
    if page.examples:
        lines += ["```", *page.examples, "```\n"]
    return "\n".join(lines)


def _row(option: Option) -> str:
    names = ", ".join(map(_code, option.names))
    value = _escaped(option.value).replace(" ", "&nbsp;")
    default = "required" if option.required else _escaped(option.default)
    return f"| {names} | {value} | {default} | {_escaped(option.help)} |"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text in which nothing is Markdown."""
    for character in "\\|_*<[":
        text = text.replace(character, f"\\{character}")
    return text


def write(folder: Path) -> None:
    """Write the pages."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "commands.md").write_text(commands_page(pages()), encoding="utf-8")
    (folder / "configuration.md").write_text(configuration_page(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder")
    write(folder)


if __name__ == "__main__":
    main()

"""Write a manual page for each command, and one that lists them.

python -m tools.man_pages build/man
man -l build/man/spikey-compress.1
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

from spikey.base.version import __version__
from tools.commands_page import OPTIONS, Option, Page, pages

STATUS = {
    "0": "Success.",
    "1": "A fault in the data: damaged, missing or of another kind; or an interrupted stream.",
    "2": "A fault in the call: an argument, an option or a configuration.",
    "130": "Interrupted with Ctrl-C or SIGTERM.",
}


def escaped(text: str) -> str:
    """Text in which nothing is a request or an escape of roff.

    >>> print(escaped(".a -b \\\\ ≥ 1"))
    \\&.a \\-b \\e \\[u2265] 1
    """
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(each if ord(each) < 127 else f"\\[u{ord(each):04X}]" for each in text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def manual(page: Page, others: list[Page]) -> str:
    """The manual page of a command."""
    brief, *rest = page.paragraphs
    lines = [_title(page.name), ".SH NAME", f"{_file(page)} \\- {escaped(brief.removesuffix('.'))}"]
    lines += [".SH SYNOPSIS", f".B {escaped(page.synopsis)}", ".SH DESCRIPTION", escaped(brief)]
    lines += [line for text in rest for line in (".PP", escaped(text))]
    if page.arguments:
        lines += [".SH ARGUMENTS", *(line for each in page.arguments for line in _entry(each))]
    for name, options in page.options.items():
        lines.append(".SH OPTIONS" if name == OPTIONS else f".SS {escaped(name)}")
        lines += [line for each in options for line in _entry(each)]
    if page.examples:
        lines += [".SH EXAMPLES", ".nf", *map(escaped, page.examples), ".fi"]
    return _ended(lines, others)


def overview(commands: list[Page]) -> str:
    """The manual page `spikey`, which lists the commands."""
    lines = [_title("spikey"), ".SH NAME", "spikey \\- lossless compression of raw neural recordings"]
    lines += [".SH SYNOPSIS", ".B spikey COMMAND [OPTIONS] [ARGUMENTS]", ".SH COMMANDS"]
    for panel, each in groupby(commands, lambda page: page.panel):
        lines.append(f".SS {escaped(panel)}")
        for page in each:
            lines += [".TP", f".BR {_file(page)} (1)", escaped(page.paragraphs[0])]
    return _ended(lines, [])


def _title(name: str) -> str:
    return f'.TH "{name.upper().replace(" ", "-")}" 1 "" "spikey {__version__}" "Spikey manual"'


def _file(page: Page) -> str:
    return escaped(page.name.replace(" ", "-"))


def _entry(option: Option) -> list[str]:
    """An option or argument, its value, its help and its default."""
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in option.names)
    value = f" \\fI{escaped(option.value)}\\fR" if option.value else ""
    default = f" Default: {escaped(option.default)}." if option.default else ""
    return [".TP", names + value, escaped(option.help) + default]


def _ended(lines: list[str], others: list[Page]) -> str:
    lines = [*lines, ".SH EXIT STATUS"]
    for status, meaning in STATUS.items():
        lines += [".TP", f".B {status}", escaped(meaning)]
    if others:
        names = [".BR spikey (1)", *(f".BR {_file(page)} (1)" for page in others)]
        lines += [".SH SEE ALSO", *(f"{name}," for name in names[:-1]), names[-1]]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> list[Path]:
    """Write all manual pages; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    commands = pages()
    written = {folder / "spikey.1": overview(commands)}
    for page in commands:
        others = [each for each in commands if each.panel == page.panel and each is not page]
        written[folder / f"{page.name.replace(' ', '-')}.1"] = manual(page, others)
    for path, text in written.items():
        path.write_text(text, encoding="ascii")
    return list(written)


def main() -> None:
    """Write the manual pages below the folder that is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(f"{len(write(parser.parse_args().folder))} manual pages")


if __name__ == "__main__":
    main()

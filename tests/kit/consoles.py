"""Pages of the documentation that show commands with their output: run from top to bottom, and compared.

A block of the language `console` has lines that begin with `$ `, which are commands, each followed by what it prints.
`...` in a line stands for anything, and a line that is only `...` for any number of lines. Blocks of the language
`python` are run in the same folder, in one session, unless `not run` follows the language; other blocks are not run.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kit.commands import ENVIRONMENT, without_notices
from kit.pages import Block

Run = Callable[..., tuple[int, str, str]]
_SHELL = re.compile(r"[|&><;*$]|\bcd ")


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a `console` block, each with what follows it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while command.endswith("\\"):
            more, _, output = output.partition("\n")
            command = command[:-1] + more.strip()
        yield command, output


def shown(stated: str, printed: str) -> bool:
    """Whether a page shows what was printed, `...` aside."""
    lines = [r"(?:.*\n)*?" if line == "..." else _line(line) + r"\n" for line in stated.rstrip().splitlines()]
    return re.fullmatch("".join(lines), printed.rstrip() + "\n" if printed.strip() else "") is not None


def _line(text: str) -> str:
    return ".*".join(re.escape(part) for part in text.rstrip().split("...")) + r"[ \t]*"


def follow(page: list[Block], run: Run, folder: Path) -> list[str]:
    """Do what a page describes in the current folder; a list of what is not printed as shown."""
    names: dict[str, object] = {"__name__": "page"}
    wrong, after = [], iter([*page[1:], None])
    for block in page:
        following = next(after)
        if block.language == "console":
            for command, stated in commands(block.text):
                printed = _printed(command, run, folder)
                if not shown(stated, printed):
                    wrong.append(f"`{command}` prints\n{printed}where the page shows\n{stated}")
        elif block.language == "python" and block.note != "not run":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile("\n" * (block.line - 1) + block.text, "page", "exec"), names)
            stated = following.text if following is not None and following.language == "text" else ""
            if not shown(stated, output.getvalue()):
                wrong.append(f"line {block.line} prints\n{output.getvalue()}where the page shows\n{stated}")
    return wrong


def _printed(command: str, run: Run, folder: Path) -> str:
    """What a command prints: in this process where it is one of Spikey, else in a shell that has `spikey`."""
    if command.startswith("spikey ") and not _SHELL.search(command):
        _, out, error = run(*shlex.split(command)[1:])
        return _quiet(out + error)
    tools = folder / "bin"
    if not tools.exists():
        tools.mkdir(parents=True)
        (tools / "spikey").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spikey "$@"\n')
        (tools / "spikey").chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
    return _quiet(done.stdout)


def _quiet(text: str) -> str:
    """Without what a terminal overwrites or prints once."""
    return "".join(line for line in without_notices(text).splitlines(keepends=True) if not line.startswith("progress:"))

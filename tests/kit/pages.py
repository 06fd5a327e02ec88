"""Pages of the documentation taken apart: code, what it is said to print, links and anchors."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass

from kit.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?![\w])")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what follows that, its text, and the line of the page that the text begins on."""

    language: str
    note: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """All fenced blocks in order."""
    return [
        Block(found[1], found[2].strip(), found[3], page[: found.start(3)].count("\n") + 1)
        for found in _FENCE.finditer(page)
    ]


def tolerance(note: str) -> float:
    """What a note such as `±2%` lets numbers differ by, as a share; 0 without one."""
    found = re.fullmatch(r"±(\d+)\s?%", note)
    return int(found[1]) / 100 if found else 0.0


def agrees(stated: str, printed: str, share: float = 0.0) -> bool:
    """Whether what was printed is what is stated, where `...` stands for anything within a line.

    share: by which each number may differ from the one that is stated.
    """
    wanted, found = (text.rstrip().splitlines() for text in (stated, printed))
    return len(wanted) == len(found) and all(map(_line_agrees, wanted, found, [share] * len(wanted)))


def _line_agrees(wanted: str, found: str, share: float) -> bool:
    if share == 0 or "..." in wanted:
        pattern = ".*".join(re.escape(part) for part in wanted.rstrip().split("..."))
        return re.fullmatch(pattern, found.rstrip()) is not None
    if [part.strip() for part in _NUMBER.split(wanted)] != [part.strip() for part in _NUMBER.split(found)]:
        return False
    numbers = ([float(one.replace(",", "")) for one in _NUMBER.findall(line)] for line in (wanted, found))
    return all(abs(one - other) <= share * abs(one) for one, other in zip(*numbers, strict=True))


def without_code(page: str) -> str:
    """The page without fenced blocks and code within lines, in which brackets mean something else."""
    return re.sub(r"`[^`\n]*`", "code", _FENCE.sub("", page))


def links(page: str) -> list[str]:
    """The targets of all links and pictures but web addresses."""
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(page))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(page: str) -> set[str]:
    """The names under which GitHub lets a page's headings be linked to."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?)\s*$", _FENCE.sub("", page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (unique := name if not number else f"{name}-{number}") in names:
            number += 1
        names.add(unique)
    return names


def walk(page: list[Block]) -> list[str]:
    """Run the page in the current folder; a list of what is not printed as stated."""
    names: dict[str, object] = {"__name__": "walkthrough"}
    wrong = []
    for number, block in enumerate(page):
        if block.language != "python":
            continue
        printed = io.StringIO()
        # Lines are numbered as on the page, which is what a traceback names.
        code = compile("\n" * (block.line - 1) + block.text, "walkthrough", "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        following = page[number + 1] if number + 1 < len(page) else None
        stated, share = "", 0.0
        if following is not None and following.language == "text":
            stated, share = following.text, tolerance(following.note)
        if not agrees(stated, printed.getvalue(), share):
            wrong.append(f"line {block.line} prints\n{printed.getvalue()}where the page says\n{stated}")
    return wrong

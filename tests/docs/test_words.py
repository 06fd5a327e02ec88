"""Words that a reader would have to translate are not used; docs/glossary.md has the terms, one for each thing.

Checked are documents, the configuration's comments, and of the package all comments and all strings of several words:
docstrings, messages and the texts of `--help`.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.pages import PAGES
from kit.paths import ROOT

# Regular expressions of whole words, in either case, and what to write instead.
FORBIDDEN = {
    r"uneven (code )?widths|uneven (codes|converters?)|(?<!code )widths of (the )?(converters?|ADCs?)": (
        "differential nonlinearity (DNL); code widths"
    ),
    r"low[- ]band": "LFP band",
    r"tells?|told|telling": "shows, contains, determines, distinguishes",
    r"says|said": "contains, specifies, reports",
    r"knows|knew|does not know": "uses, has, supports",
    r"states (the|that|its|how|what|which|an?|in|it|no|one|them|where)|stated(?!\()": "contains, specifies",
    r"check[- ]sums?": "checksum",
    r"is no (archive|WAV|address|recording|number|file|text|sample type)": "is not a ...",
    r"(takes|gets) its name|passing name": "is renamed; temporary path",
    r"(recordings|files|electrodes) made (together|at once)|made at the same instant": "simultaneous recordings",
    r"one may begin at": "key packets (random-access points)",
    r"(comes?|came|coming) back": "is restored",
    r"refers? to another recording badly": "invalid reference to another recording",
    r"share of packets to lose": "fraction of packets to drop (0 to 1)",
    r"for trying": "simulate",
    r"anew": "again; rewrite, recompress, restart",
    r"goes? (on|along)|going on": "continues",
    r"next to nothing": "almost no space, almost nothing",
    r"what (it|that|prediction|the filter) leaves|(what|that|which) is left of": "residual, error, remainder",
    r"to be had": "is possible",
    r"who(so)?ever": "the user, the reader, anyone who",
    r"at hand": "available, current",
    r"what is whole|nothing was kept": "what is intact; no output was written",
    r"one's own": "your own",
    r"with a sentence|gives? a sentence": "with an error",
    r"(is|are) called (by|after)": "is named after",
    r"hand(s|ed)? over": "passes, returns, pushes",
}

# Not yet rewritten.
NOT_CHECKED = (
    "README.md",
    "docs/telemetry.md",
    "docs/telemetry-files.md",
    "docs/telemetry-links.md",
    "src/spikey/cli/",
    "src/spikey/telemetry/",
)
# A file, and words of a line of it that may have a forbidden one.
ALLOWED: set[tuple[str, str]] = set()

TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "config.yaml"]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
_WORDS = [(re.compile(rf"(?i)\b(?:{words})\b"), instead) for words, instead in FORBIDDEN.items()]


def checked(paths: list[Path]) -> list[Path]:
    return [path for path in paths if not path.relative_to(ROOT).as_posix().startswith(NOT_CHECKED)]


def prose(name: str, text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines: of a page without code, of YAML the comments, of Python comments and strings of several words."""
    if name.endswith(".md"):
        yield from enumerate(_without_code(text).splitlines(), 1)
    elif name.endswith(".yaml"):
        yield from ((number, line.partition("#")[2]) for number, line in enumerate(text.splitlines(), 1))
    else:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = tokenize.tok_name[token.type]
            if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string):
                for number, line in enumerate(token.string.splitlines(), token.start[0]):
                    yield number, re.sub(r"`[^`]*`|\{[^{}]*\}", "x", line)


def _without_code(page: str) -> str:
    """The page with fenced blocks, code within lines and the targets of links blanked, on the same lines."""
    page = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"`[^`]*`", lambda code: "x" + "\n" * code[0].count("\n"), page)
    return re.sub(r"\]\([^)]*\)", "]", page)


def forbidden(name: str, text: str) -> list[str]:
    """The forbidden words of a file, each with its line and what to write instead."""
    return [
        f"{name}:{number}: {found[0]!r}, write: {instead}"
        for number, line in prose(name, text)
        if not any(file == name and words in line for file, words in ALLOWED)
        for pattern, instead in _WORDS
        for found in pattern.finditer(line)
    ]


@pytest.mark.parametrize("paths", [TEXTS, SOURCES], ids=["documents", "package"])
def test_plain_words(paths):
    found = [each for path in checked(paths) for each in forbidden(_name(path), path.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.md", "The file\ntells it.\n", [2]),
        ("a.md", "```\ntells\n```\n`is told`, [a](tells.md) says\n", [4]),
        ("a.md", "Code widths of the ADC, uneven widths, states of a coder.\n", [1]),
        ("a.yaml", "told: 1\nb: 2  # told\n", [2]),
        ("a.py", 'tells = "tells"\nb = "it tells"  # says\n', [2, 2]),
        ("a.py", '"""One line.\n\nIt {tells} Anew.\n"""\nc = f"{says} is no archive"\n', [3, 5]),
    ],
)
def test_a_forbidden_word_is_noticed(name, text, lines):
    assert [int(each.split(":")[1]) for each in forbidden(name, text)] == lines


def test_exceptions_are_needed():
    for name in NOT_CHECKED:
        assert (ROOT / name).exists(), f"{name} does not exist"
    for name, words in ALLOWED:
        assert words in (ROOT / name).read_text(encoding="utf-8"), f"{name} has no {words!r}"


def test_the_glossary_is_in_order():
    """One line for each term, in alphabetical order, none twice."""
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = [row.split("|")[1].strip().lower() for row in page.splitlines() if row.startswith("| ")][1:]
    assert len(terms) > 50 and terms == sorted(set(terms))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()

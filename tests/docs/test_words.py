"""Words of the documents, the help, docstrings, comments and messages: plain technical English, one word for each thing.

`FORBIDDEN` has the words that a reader would have to translate, each with what is written instead; docs/glossary.md
defines the terms. A word that is right in one place has an entry in `ALLOWED`.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from kit.paths import ROOT
from spikey.cli import app

# A regular expression of whole words, upper or lower case, and what is written instead.
FORBIDDEN = {
    r"uneven (code )?widths|uneven (codes|converters?)|(?<!code )widths of (the )?(converters?|ADCs?)": "differential nonlinearity "
    "(DNL); code widths",
    r"low[- ]band": "LFP band",
    r"tells?|told|telling": "shows, contains, determines, reports",
    r"says?|said": "contains, specifies, reports",
    r"knows|knew": "uses, has, supports; is available",
    r"states (the|that|its|how|what|which|a|an|in|it|no|one|them|where)|stated(?!\()": "contains, specifies, gives",
    r"check[- ]sums?": "checksum",
    r"is no (archive|WAV|address|recording|number|file)": "is not a ...",
    r"(takes|gets) its name|passing name": "is renamed; temporary path",
    r"(recordings|files|electrodes) made (together|at once)|made at the same instant": "simultaneous recordings",
    r"packets that one may begin at": "key packets (random-access points)",
    r"recording does not come back|(comes?|came) back": "is restored; decodes to other samples",
    r"(refers|refer) badly": "invalid reference",
    r"share of packets to lose": "fraction of packets to drop (0 to 1)",
    r"for trying": "simulate",
    r"anew": "again; rewrite, recompress, restart",
    r"goes? (on|along)": "continues",
    r"next to nothing": "almost no space",
    r"what (it )?leaves|is left of": "residual, error, remainder",
    r"there to be had": "is possible",
    r"who(so)?ever": "the user, the reader",
    r"at hand": "available",
    r"in vain": "without success",
    r"by (it|them)selves": "alone, automatically",
    r"of one's own|one's own": "your own",
    r"with a sentence|gives? a sentence": "with an error",
    r"(is|are) called (by|after)": "is named",
    r"hand(s|ed)? over": "passes, returns",
}

# Pages and folders that are not checked, and single places where a word is right: (file, words around it).
NOT_CHECKED = (
    "README.md",
    "docs/telemetry.md",
    "docs/telemetry-files.md",
    "docs/telemetry-links.md",
    "src/spikey/cli/",
    "src/spikey/telemetry/",
)
ALLOWED: dict[str, tuple[str, ...]] = {}


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page without code; of YAML the comments; of Python comments and strings of several words."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from enumerate(without_fences(text).splitlines(), 1)
    elif path.suffix == ".yaml":
        for number, line in enumerate(text.splitlines(), 1):
            if "#" in line:
                yield number, line.partition("#")[2]
    else:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = tokenize.tok_name[token.type]
            if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string):
                for number, line in enumerate(token.string.splitlines(), token.start[0]):
                    yield number, re.sub(r"`[^`]*`|\{[^{}]*\}", "x", line)


def without_fences(page: str) -> str:
    """The page with its fenced blocks, code within lines and link targets blanked; lines stay where they are."""
    page = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), page, flags=re.DOTALL | re.MULTILINE)
    page = re.sub(r"(?<!`)`[^`]*`(?!`)", lambda code: "x" + "\n" * code[0].count("\n"), page)
    return re.sub(r"\]\([^)]*\)", "]", page)

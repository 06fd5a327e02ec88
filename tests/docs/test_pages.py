"""The documentation holds together: links lead somewhere, pictures are small, walkthrough.md prints what it says."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from kit.pages import PAGES, ROOT, agrees, anchors, blocks, links, walk

WALK = ROOT / "docs" / "walkthrough.md"
DRAWN = {"prediction.png": "prediction.png", "training.png": "models/Tiny/training.png"}  # shown, and as it is made
LARGEST_PICTURE = 120_000  # bytes
MADE = ("commands.md", "configuration.md")  # when the site is built: tests/docs/test_site.py


def broken(path: Path, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    lost = []
    for link in links(text):
        name, _, anchor = link.partition("#")
        if name in MADE and path.parent.name == "docs":
            continue
        target = path.parent / name if name else path
        found = not name or target.exists()
        if found and anchor:
            found = anchor in anchors(text if target == path else target.read_text(encoding="utf-8"))
        if not found:
            lost.append(link)
    return lost


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    assert broken(path, path.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_noticed():
    text = "# One `two`, 3\n[a](#one-two-3) [b](#four) [c](none.md) ![d](none.png)\n"
    text += "[e](README.md#install) [f](README.md#no)"
    assert broken(ROOT / "x.md", text) == ["#four", "none.md", "none.png", "README.md#no"]
    assert broken(ROOT / "x.md", "`[a](b)` [c](https://d.e/f)\n```\n[g](h)\n```\n") == []
    assert anchors("# A b\n## A b\n```\n# no\n```\n") == {"a-b", "a-b-1"}


def test_every_picture_beside_a_page_is_shown_and_small():
    for folder in ("how-it-works", "walkthrough"):
        shown = {link for link in links((ROOT / "docs" / f"{folder}.md").read_text(encoding="utf-8")) if ".png" in link}
        there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs" / folder).iterdir()}
        assert there <= shown, "pictures that nothing shows"
        assert all((ROOT / "docs" / name).stat().st_size < LARGEST_PICTURE for name in there)


@pytest.mark.parametrize(
    ("stated", "printed", "share", "same"),
    [
        ("a 1,000\n", "a 1,000", 0, True),
        ("a 1,000", "a 1,001", 0, False),
        ("a 1,000", "a 1,009", 0.01, True),
        ("a 1,000", "a 1,011", 0.01, False),
        ("a 1,000", "b 1,000", 0.01, False),
        ("a 1\nb", "a 1", 0.01, False),
        ("model ..., 4 bits", "model 81b75c39, 4 bits", 0, True),
        ("model ..., 4 bits", "model 81b75c39, 5 bits", 0, False),
        ("100.0 %  x", "99.5 % x", 0.01, False),
        ("100.0 % x", " 99.5 % x", 0.01, True),
    ],
)
def test_what_counts_as_printed(stated, printed, share, same):
    assert agrees(stated, printed, share) is same


@pytest.mark.filterwarnings("ignore")
def test_the_walkthrough_prints_what_it_says(tmp_path, monkeypatch):
    for module in ("torch", "lightning", "matplotlib"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    page = blocks(WALK.read_text(encoding="utf-8"))
    assert sum(block.language == "python" for block in page) >= 8
    assert "\n".join(walk(page)) == ""
    for made in DRAWN.values():
        assert (tmp_path / made).read_bytes()[1:4] == b"PNG"


def test_a_page_that_says_something_else_is_noticed():
    page = blocks(
        "```python\na = 1\nprint(a)\n```\n\n```text\n1\n```\n\n```python\nprint(a + 1)\n```\n\n```text\n3\n```\n"
    )
    (wrong,) = walk(page)
    assert "line 11 prints\n2" in wrong


if __name__ == "__main__":  # draws the pictures of the page anew, and says what it should print
    import os

    from tools.explain.style import small

    os.chdir(tempfile.mkdtemp())
    sys.stdout.write("\n".join(walk(blocks(WALK.read_text(encoding="utf-8")))))
    for shown, made in DRAWN.items():
        (WALK.with_suffix("") / shown).write_bytes(small(Path(made).read_bytes()))

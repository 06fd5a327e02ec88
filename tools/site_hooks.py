"""Hooks of MkDocs for `make docs`: generated pages, GitHub's anchors, links to files that are not pages."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "build" / "reference"  # what tools.reference_pages writes
PAGES = ("commands.md", "configuration.md")
PROJECT = {"CHANGELOG.md": "project/changelog.md", "CONTRIBUTING.md": "project/contributing.md"}
INSTALL = "index.md#install"  # where the site has what README.md has
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FILE = re.compile(r"[\w/.-]+\.md")
_NOTE = re.compile(r"^(```[a-z]+) [^\n]*$", re.MULTILINE)  # as in "```text ±2%"
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.DOTALL | re.MULTILINE)


def slug(text: str, separator: str = "-") -> str:
    """The anchor that GitHub gives a heading.

    >>> slug("In stores, beside `other` codecs")
    'in-stores-beside-other-codecs'
    """
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


def on_config(config: Any) -> Any:
    """Headings get the anchors that they have on GitHub."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages and those that lie in the root of the repository."""
    for name in PAGES:
        path = GENERATED / name
        if not path.is_file():
            raise PluginError(f"{path} is missing: build the site with `make docs`")
        files.append(File.generated(config, name, content=path.read_text(encoding="utf-8")))
    for name, page in PROJECT.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Have links to files that are not pages of the site lead to pages, or be text; notes for tests go."""
    markdown = _NOTE.sub(r"\1", markdown)
    place = PurePosixPath(page.file.src_uri)
    home = next((PurePosixPath(name) for name, uri in PROJECT.items() if uri == str(place)), "docs" / place)
    parts = _CODE.split(markdown)  # code stands at odd places
    parts[::2] = [_relinked(part, home, place) for part in parts[::2]]
    if "::: " not in markdown:  # not a page of the API: a[i][j] is not a reference
        parts[::2] = [part.replace("][", "]&#91;") for part in parts[::2]]
    return "".join(parts)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Refuse a page with a code block that was not recognised."""
    if "<p>```" in html:
        raise PluginError(f"{page.file.src_uri}: a code block is not recognised")
    return html


def _relinked(text: str, home: PurePosixPath, place: PurePosixPath) -> str:
    """Rewrite the links of a page that is `home` in the repository and `place` on the site."""

    def link(found: re.Match[str]) -> str:
        picture, label, target = found.groups()
        if re.match(r"[a-z]+:|#|/", target):
            return found[0]
        name, _, anchor = target.partition("#")
        path = _normal(home.parent / name)
        anchor = f"#{anchor}" if anchor else ""
        if path == "README.md":
            page = INSTALL if anchor == "#install" else "index.md"
        elif path in PROJECT:
            page = PROJECT[path] + anchor
        elif path.startswith("docs/"):
            page = path.removeprefix("docs/") + anchor
        else:
            return label
        if _FILE.fullmatch(label):  # [bench.md](bench.md)
            label = _title(ROOT / path, label)
        return f"{picture}[{label}]({'../' * (len(place.parts) - 1)}{page})"

    return _LINK.sub(link, text)


def _title(path: Path, label: str) -> str:
    """The first heading of a page; the label where there is none."""
    found = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE) if path.is_file() else None
    return found[1] if found else label


def _normal(path: PurePosixPath) -> str:
    """A path without `..`."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)

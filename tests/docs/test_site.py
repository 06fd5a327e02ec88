"""The site: every page is in the navigation once, every public name is described on one page of the API."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import spikey
from kit.pages import anchors
from kit.paths import ROOT
from tools.reference_pages import write

DOCS = ROOT / "docs"
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
MADE = {"commands.md", "configuration.md", "project/changelog.md", "project/contributing.md"}  # by tools/site_hooks.py
API = {path.stem: re.findall(r"^::: (\S+)$", path.read_text(), re.MULTILINE) for path in (DOCS / "api").glob("*.md")}
INTEGRATIONS = ("dask", "hdf5", "numcodecs", "nwb", "spikeinterface", "telemetry", "telemetry_zarr", "vendors", "zarr")
SECTION = re.compile(r"^(\w+)\n-{3,}$", re.MULTILINE)
VALUES = {"spikey.integrations.hdf5.FILTER_ID", "spikey.integrations.hdf5.FILTER_NAME"}


def leaves(entry: object) -> Iterator[str]:
    """The pages below an entry of the navigation."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, dict):
        for each in entry.values():
            yield from leaves(each)
    else:
        for each in entry:
            yield from leaves(each)


def test_every_page_is_in_the_navigation_once():
    pages = list(leaves(SITE["nav"]))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert len(pages) == len(set(pages))
    assert set(pages) == there | MADE


def test_the_site_fails_on_warnings_and_fetches_nothing():
    assert SITE["strict"] is True and SITE["theme"]["font"] is False
    assert set(SITE["validation"]["links"].values()) == set(SITE["validation"]["nav"].values()) == {"warn"}
    assert not re.search(r"https?://", (ROOT / "mkdocs.yml").read_text())
    for path in (DOCS / "assets").iterdir():
        assert not re.search(r"url\(|https?://(?!www\.w3\.org/)", path.read_text(encoding="utf-8")), path.name


def test_links_between_generated_and_written_pages(tmp_path):
    """What tests/docs/test_pages.py does not see: pages made at build time, and those below docs/api."""
    write(tmp_path)
    texts = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
    texts |= {name: (tmp_path / name).read_text(encoding="utf-8") for name in ("commands.md", "configuration.md")}
    wrong = []
    for page, text in texts.items():
        if page not in ("commands.md", "configuration.md", "errors.md", "index.md") and not page.startswith("api/"):
            continue
        for target in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
            name, _, anchor = target.partition("#")
            other = (Path("/", page).parent / name).resolve().relative_to("/").as_posix() if name else page
            if (DOCS / other).is_file() and other not in texts:
                continue  # a picture
            if name.startswith("../") and (DOCS / name).is_file():
                continue  # of the repository, which tools/site_hooks.py replaces
            if other not in texts or (anchor and anchor not in anchors(texts[other])):
                wrong.append(f"{page}: {target}")
    assert wrong == []


def public_names() -> list[str]:
    names = [f"spikey.{name}" for name in spikey.__all__]
    for module in INTEGRATIONS:
        source = (ROOT / "src" / "spikey" / "integrations" / f"{module}.py").read_text(encoding="utf-8")
        listed = re.search(r"^__all__ = \[(.*?)\]", source, re.DOTALL | re.MULTILINE)
        names += [f"spikey.integrations.{module}.{name}" for name in re.findall(r'"(\w+)"', listed[1])]
    return names


def test_every_public_name_is_on_one_page_of_the_api():
    shown = sorted(name for names in API.values() for name in names)
    assert shown == sorted(public_names())


def found(path: str) -> object:
    """The object of a public name; skips where its package is missing."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("path", [name for name in public_names() if name not in VALUES])
def test_a_public_docstring_has_the_sections_it_needs(path):
    thing = found(path)
    text = inspect.getdoc(thing)
    sections = set(SECTION.findall(text))
    if isinstance(thing, type) and issubclass(thing, Exception):
        return
    parameters = [name for name in inspect.signature(thing).parameters if name not in ("args", "kwargs")]
    if isinstance(thing, type):
        assert sections & {"Parameters", "Attributes"} or not parameters
        return
    assert "Parameters" in sections or not parameters
    result = str(inspect.signature(thing).return_annotation)
    assert sections & {"Returns", "Yields"} or result == "None"


@pytest.mark.parametrize("path", [name for name in public_names() if name not in VALUES])
def test_a_public_docstring_describes_every_parameter(path):
    thing = found(path)
    text = inspect.getdoc(thing)
    described = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-{3,}$|\Z)", text, re.DOTALL | re.MULTILINE)
    if described is None:
        return
    heads = re.findall(r"^(\S.*)$", described[1], re.MULTILINE)
    names = {name.strip(" *") for head in heads for name in head.partition(" : ")[0].split(",")}
    assert set(inspect.signature(thing).parameters) - {"args", "kwargs"} == names

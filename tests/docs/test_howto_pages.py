"""The how-to pages do what they show, on files of vendors' software and on simulated recordings."""

from __future__ import annotations

import shutil

import pytest

from kit.consoles import commands, follow, shown
from kit.pages import blocks
from kit.paths import DATA, ROOT

VENDORS = DATA / "vendors"
# The pages that are followed, and what lies in the folder before: a name there, and where it is in VENDORS.
PAGES = {
    "spikeglx": {"Noise4Sam_g0": "spikeglx/Noise4Sam_g0"},
    "howto-open-ephys": {
        "session": "openephysbinary/v0.6.x_neuropixels_multiexp_multistream",
        "legacy": "openephys/OpenEphys_SampleData_2_(multiple_starts)",
    },
    "howto-intan": {name: f"intan/{name}" for name in ("intan_fps_test_231117_052500", "intan_fpc_test_231117_052630")},
    "watch": {"data/Noise4Sam_g0": "spikeglx/Noise4Sam_g0"},
    "howto-nwb": {},
    "howto-sorting": {},
    "howto-implant-link": {},
    "howto-telemetry": {},
    "howto-training": {},
}
NEEDED = {
    "howto-nwb": ("h5py", "pynwb"),
    "howto-sorting": ("spikeinterface", "numcodecs", "zarr"),
    "howto-training": ("torch", "lightning", "matplotlib"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.slow if page == "howto-training" else ()) for page in PAGES]
)
def test_a_page_does_what_it_shows(page, run, tmp_path, monkeypatch):
    for name in NEEDED.get(page, ()):
        pytest.importorskip(name)
    here = tmp_path / "here"
    here.mkdir()
    for name, place in PAGES[page].items():
        if not (VENDORS / place).exists():
            pytest.skip(f"no {place} in ../shared/data/vendors")
        shutil.copytree(VENDORS / place, here / name, copy_function=shutil.copyfile)
        for path in (here / name, *(here / name).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.chdir(here)
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert any(block.language == "console" for block in blocks(text))
    assert "\n".join(follow(blocks(text), run, tmp_path)) == ""


def test_every_howto_page_is_followed():
    assert {path.stem for path in (ROOT / "docs").glob("howto-*.md")} <= set(PAGES)


def test_commands_and_what_follows_them():
    assert list(commands("$ a b\nc\nd\n$ e \\\n    f\n$ g\n")) == [("a b", "c\nd\n"), ("e f", ""), ("g", "")]


@pytest.mark.parametrize(
    ("stated", "printed", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("", "", True),
        ("", "a\n", False),
        ("a\n", "", False),
        ("a ... c\n", "a b c\n", True),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nb\nc\n", False),
        ("...\nb\n", "b\n", True),
    ],
)
def test_what_a_page_shows(stated, printed, same):
    assert shown(stated, printed) is same


def test_a_page_that_shows_something_else_is_noticed(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = "```console\n$ echo a > b\n$ cat b\nc\n$ spikey info b\nspikey: b: ...\n```\n"
    page += "```python\nprint(1)\n```\n```text\n2\n```\n"
    wrong = follow(blocks(page), run, tmp_path)
    assert [text.partition("\n")[0] for text in wrong] == ["`cat b` prints", "line 9 prints"]

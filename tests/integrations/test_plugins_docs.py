"""The examples of docs/plugins.md for stores run with the versions that they name, and what README.md shows of NWB."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pytest
from packaging.requirements import Requirement

from kit.pages import blocks
from kit.paths import ROOT

PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETUP, *EXAMPLES = (block.text for block in blocks(PAGE) if block.language == "python")
WRAPPED = re.findall(r"`(H5DataIO\(.*?\))` \| `hdf5`, and pynwb \|$", README, re.MULTILINE)
STORES = ("zarr", "h5py", "hdmf_zarr", "pynwb")
ENVIRONMENTS = ("requirements.txt", "requirements-new.txt")


def needed(example: str) -> list[Requirement]:
    """The versions that the first line of an example names, as `# with zarr>=3.1.3, h5py>=3.12`."""
    first = example.partition("\n")[0]
    return [Requirement(text) for text in first.removeprefix("# with ").split(",")] if "# with " in first else []


def skip_unless(requirements: list[Requirement]) -> None:
    for each in requirements:
        try:
            found = version(each.name)
        except PackageNotFoundError:
            pytest.skip(f"{each.name} is not installed")
        if not each.specifier.contains(found, prereleases=True):
            pytest.skip(f"{each}, and {found} is installed")


def pinned(name: str) -> dict[str, str]:
    """The versions of a file of requirements, for Python 3.13."""
    lines = [Requirement(line) for line in (ROOT / name).read_text().splitlines() if "==" in line]
    return {
        each.name.lower(): str(next(iter(each.specifier)).version)
        for each in lines
        if each.marker is None or each.marker.evaluate({"python_version": "3.13"})
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.partition("\n")[0].removeprefix("# with "))
def test_example(example, tmp_path, monkeypatch):
    skip_unless(needed(example))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(SETUP, names)
    exec(example, names)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_every_example_names_versions_that_one_of_the_environments_has(example):
    imported = {
        name.partition(".")[0]
        for line in re.findall(r"^(?:import|from) (.*)", example, re.M)
        for name in line.split(", ")
    }
    imported = {name.partition(" ")[0] for name in imported} & set(STORES)
    named = {each.name.replace("-", "_") for each in needed(example)}
    assert imported and named and imported <= named | {"pynwb"}, "the first line names the versions of what is imported"
    environments = [pinned(name) for name in ENVIRONMENTS]
    assert any(
        all(each.name in pins and each.specifier.contains(pins[each.name]) for each in needed(example))
        for pins in environments
    )


@pytest.mark.filterwarnings("ignore")
def test_nwb_as_the_readme_shows_it(tmp_path):
    import datetime

    pynwb = pytest.importorskip("pynwb")
    pytest.importorskip("h5py")
    (how,) = WRAPPED
    names: dict[str, object] = {"samples": (np.arange(40_000) % 251).astype("int16").reshape(10_000, 4)}
    exec("import spikey.integrations.hdf5\nfrom hdmf.backends.hdf5.h5_utils import H5DataIO", names)
    file = pynwb.NWBFile("a session", "1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    series = pynwb.TimeSeries(name="raw", data=eval(how, names), unit="V", rate=30_000.0)
    file.add_acquisition(series)
    path = str(tmp_path / "a.nwb")
    with pynwb.NWBHDF5IO(path, "w") as opened:
        opened.write(file)
    with pynwb.NWBHDF5IO(path, "r") as opened:
        np.testing.assert_array_equal(opened.read().acquisition["raw"].data[:], names["samples"])

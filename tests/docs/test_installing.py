"""Commands that install something, in documents and errors: they work from a checkout and name real extras."""

from __future__ import annotations

import re
import tomllib

import pytest
from typer.testing import CliRunner

from kit.paths import ROOT
from spikey.base.errors import install
from spikey.cli import app

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("requirements*.txt"))]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_nothing_is_installed_from_an_index_by_the_name_of_a_release():
    wrong = re.compile(r"pip install[^\n#]*(spikey-codec|['\"]spikey|-U spikey)")
    assert [str(path) for path in DOCUMENTS + SOURCES if wrong.search(path.read_text())] == []


def test_the_code_has_one_place_to_change_after_a_release():
    found = [path.name for path in SOURCES if re.search(r"pip install -e|\[plot\]|spikey-codec", path.read_text())]
    assert found == ["errors.py"]


def test_every_extra_that_is_named_exists():
    named = {
        extra
        for path in DOCUMENTS + SOURCES
        for found in re.findall(
            r'pip install -e "\.\[([\w,]+)\]"|\binstall\("([\w,]+)"|\binstall\(\'([\w,]+)\'', path.read_text()
        )
        for extra in "".join(found).split(",")
    }
    assert {"plot", "spikeinterface", "dask", "zarr", "hdf5"} < named
    assert named <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ((), "pip install -e ."),
        (("plot",), 'pip install -e ".[plot]"'),
        (("numcodecs", "zarr"), 'pip install -e ".[numcodecs]" zarr'),
    ],
)
def test_the_command_is_given_with_its_place(arguments, command):
    assert install(*arguments) == f"{command} in Spikey's checkout"


def test_the_lowest_versions_that_are_allowed_are_those_that_make_test_lowest_tries():
    allowed = dict(requirement.split(">=") for requirement in PROJECT["dependencies"])
    lines = (ROOT / "requirements-lowest.txt").read_text().splitlines()
    assert dict(line.split("==") for line in lines if "==" in line) == allowed
    assert "requirements-lowest.txt" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("arguments", [[], ["compress"], ["telemetry"], ["stream", "send"]])
def test_help_is_printed_with_the_typer_that_is_installed(arguments):
    done = CliRunner().invoke(app, [*arguments, "--help"])
    assert done.exit_code == 0 and "Usage" in done.output

"""`--help`: groups of commands, examples that parse and of which the cheap ones run, defaults and units."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from kit.paths import ROOT
from spikey.cli import app
from spikey.cli.options import RAW
from tools.commands_page import Page, pages

COMMANDS = pages()
GROUP = typer.main.get_command(app)
EXAMPLES = [(page.name, line) for page in COMMANDS for line in page.examples]
UNITS = {"ms": r"\bms\b", "mbit": r"Mbit/s", "bytes": r"\bbytes?\b", "seconds": r"\b(s|seconds)\b", "rate": r"\bHz\b"}
UNITS |= {"minutes": r"\bminutes\b", "cache": r"\bMB\b", "interval": r"\bs\b", "idle": r"\bs\b", "band": r"\bHz\b"}
UNITS |= {"high": r"\bHz\b", "error": r"\bcodes\b", "bits": r"\bbits\b", "code": r"\bV\b", "budget": r"\bbit/s\b"}
UNITS |= {"threshold": "standard deviations", "match": "standard deviations", "loss": "fraction"}
# What is run, in this order, in one folder; `spikey simulate a.wav` writes what the others read.
RUN = [
    "spikey simulate a.wav",
    "spikey compress a.wav                      # writes a.spky",
    "spikey info a.spky",
    "spikey verify a.spky",
    "spikey telemetry near-lossless a.wav near.spky --error 2",
    "spikey telemetry restore near.spky approximate.wav",
    "spikey key new lab.key",
    "spikey models",
    "spikey budget",
]


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


def parse(line: str) -> None:
    """Parse an example as the command line does, without running it; raises what the command line would print."""
    _, name, *rest = words(line)
    command = GROUP.commands[name]
    if hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context(name, rest).close()


def options(page: Page) -> list[tuple[str, object]]:
    command = GROUP
    for word in page.words:
        command = command.commands[word]
    return [(each.opts[0], each) for each in command.params if each.param_type_name == "option"]


def test_every_command_is_in_a_group_of_the_help(run):
    status, out, _ = run("--help")
    panels = dict.fromkeys(page.panel for page in COMMANDS)
    assert status == 0 and len(panels) == 6 and "None" not in panels
    assert all(panel in out for panel in panels)


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.name)
def test_a_command_begins_with_one_sentence_and_ends_with_examples(page, run):
    assert page.paragraphs[0].endswith(".") and len(page.paragraphs[0]) <= 90
    assert page.examples and all(len(line) <= 76 for line in page.examples)
    assert any(line.startswith(page.name) for line in page.examples)
    status, out, _ = run(*page.words, "--help")
    assert status == 0 and "Examples" in out and all(line in out for line in page.examples)


@pytest.mark.parametrize(("name", "line"), EXAMPLES, ids=[line.partition("#")[0].strip() for _, line in EXAMPLES])
def test_an_example_parses(name, line):
    assert line.startswith("spikey ")
    parse(line)


def test_an_example_that_does_not_parse_is_noticed():
    with pytest.raises(Exception, match="no-such-option"):
        parse("spikey compress a.wav --no-such-option")


def test_cheap_examples_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in RUN:
        status, _, err = run(*words(line)[1:])
        assert status == 0, (line, err)
    assert (tmp_path / "a.wav").stat().st_size == (tmp_path / "approximate.wav").stat().st_size


@pytest.mark.parametrize("page", COMMANDS, ids=lambda page: page.name)
def test_every_option_has_a_sentence_a_default_and_a_unit(page):
    for name, option in options(page):
        text = option.help
        assert text and text[0].isupper() | text.startswith(("{", "fast")) and text.endswith("."), name
        if not option.is_flag and option.default is None and not option.required and option.rich_help_panel != RAW:
            assert " Default: " in text, name
        unit = UNITS.get(name.rpartition("-")[2])
        if not option.is_flag and unit is not None:
            assert re.search(unit, text, re.IGNORECASE), (name, unit)


def test_documented_forms_parse():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    forms = [line for line in readme.splitlines() if line.startswith("python cli.py ")]
    assert len(forms) >= 2 and all("--input_file" in form and "--output_file" in form for form in forms)
    for form in forms:
        parse(form.replace("python cli.py", "spikey"))


def test_examples_name_no_place_of_this_machine():
    for _, line in EXAMPLES:
        assert not any(Path(word).is_absolute() for word in words(line) if "://" not in word)

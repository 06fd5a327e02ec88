"""The generated reference: commands as a page and as manual pages, and the configuration."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from spikey.config.schema import SECTIONS, Config
from tools import man_pages
from tools.commands_page import Page, pages
from tools.configuration_page import configuration_page
from tools.reference_pages import commands_page

COMMANDS = pages()


def named(name: str) -> Page:
    return next(page for page in COMMANDS if page.name == name)


def test_a_command_is_described():
    page = named("spikey stream send")
    assert page.synopsis == "spikey stream send --to TEXT [OPTIONS] IN"
    options = {option.names[0]: option for group in page.options.values() for option in group}
    assert options["--to"].required
    assert (options["--speed"].value, options["--speed"].default) == ("NUMBER ≥ 0", "1 for udp, else 0")
    assert (options["--loss"].value, options["--loss"].default) == ("NUMBER, 0 to 1.0", "0")
    assert options["--realtime"].value == options["--realtime"].default == ""
    verify = next(each for each in named("spikey compress").options["Options"] if "--verify" in each.names)
    assert verify.names == ("--verify", "--no-verify") and verify.default == "--verify"
    contents = {option.names[0]: option for option in named("spikey telemetry encode").options["Contents"]}
    assert contents["--band"].value == "NUMBER NUMBER"


def test_the_page_lists_every_command_with_its_options():
    text = commands_page(COMMANDS)
    for page in COMMANDS:
        assert f"### {page.name}\n" in text
        section = text.split(f"### {page.name}\n")[1].split("\n### ")[0]
        assert page.synopsis in section and all(line in section for line in page.examples)
        for group in page.options.values():
            for option in group:
                assert f"| `{option.names[0]}`" in section
    assert "{presets}" not in text and "{explained}" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} <= {3, 5}


def test_the_configuration_page_describes_every_key():
    text = configuration_page()
    models = [Config, *SECTIONS.values()]
    for model in models:
        for name, field in model.model_fields.items():
            if name in SECTIONS:
                assert f"\n## {name}\n" in text
            else:
                assert field.description and field.description.endswith("."), name
                assert f"| `{name}` | " in text and field.description in text
    assert "| `split_ratio` | number > 0, < 1 | `0.8` |" in text
    assert "| `polarity` | `negative`, `positive`, `both` | `negative` |" in text
    assert "| `epochs` | whole number ≥ 1, ≤ 1,000,000,000 | `10` |" in text
    assert "| `minutes` | number > 0 | `null` |" in text


def test_units_are_given():
    for model in SECTIONS.values():
        for name, field in model.model_fields.items():
            unit = {"ms": "ms", "s": " s", "minutes": "minutes"}.get(name.rpartition("_")[2])
            assert unit is None or f"in {unit.strip()}" in field.description, name


@pytest.fixture(scope="module")
def manuals(tmp_path_factory):
    return man_pages.write(tmp_path_factory.mktemp("man"))


def test_there_is_a_manual_page_for_every_command(manuals):
    names = {path.name for path in manuals}
    assert names == {"spikey.1", *(f"{page.name.replace(' ', '-')}.1" for page in COMMANDS)}


def test_a_manual_page_has_its_sections(manuals):
    text = next(path for path in manuals if path.name == "spikey-stream-send.1").read_text(encoding="ascii")
    sections = re.findall(r"^\.SH (.+)$", text, re.MULTILINE)
    assert sections == [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "ARGUMENTS",
        "OPTIONS",
        "EXAMPLES",
        "EXIT STATUS",
        "SEE ALSO",
    ]
    assert (
        "\\fB\\-\\-packet\\-ms\\fR \\fINUMBER \\[u2265] 0.01\\fR\nSamples encoded at a time, in ms. Default: 1." in text
    )
    requests = set(re.findall(r"^\.(\w+)", text, re.MULTILINE))
    assert requests <= {"TH", "SH", "SS", "TP", "PP", "B", "BR", "nf", "fi"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is missing")
def test_groff_formats_every_manual_page_without_a_warning(manuals):
    for path in manuals:
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", path], capture_output=True, text=True, check=True)
        assert done.stderr == "", path.name
        assert "Spikey manual" in done.stdout


def test_text_that_looks_like_roff_is_escaped():
    assert man_pages.escaped(".x") == "\\&.x" and man_pages.escaped("a\\b") == "a\\eb"

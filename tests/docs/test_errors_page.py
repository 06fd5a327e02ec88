"""Every code of an error in the source has a section in docs/errors.md and vice versa; real errors have their codes."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest

import spikey
from kit.commands import wav
from kit.paths import ROOT
from spikey.base.errors import DamagedError, OutputExistsError, SpikeyError, UsageError
from spikey.files.acquisition_writer import WAIT

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")}
CODE = re.compile(r"\[([a-z-]+)\]$")


def codes_in_source() -> set[str]:
    found: set[str] = set()
    for text in SOURCES.values():
        for line in re.findall(r"\bcode ?= ?([^\n]+)", text):
            found |= set(re.findall(r'(?<!f)"([a-z]+(?:-[a-z]+)*)"', line))
    found |= {"no-space", "cannot-write"}  # of failed_write
    return found | {"missing-model", "missing-calibration"}  # of tensor_file.find


def test_codes_have_sections():
    sections = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == codes_in_source()
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        assert len(section.split()) > 12, section


def test_the_computed_codes_are_those_that_the_functions_give():
    text = next(text for path, text in SOURCES.items() if path.name == "errors.py")
    assert '"no-space" if' in text and 'else "cannot-write"' in text
    calls = [re.findall(r'tensor_file\.find\(.*"(\w+)"\)', text) for text in SOURCES.values()]
    assert sorted(each for found in calls for each in found) == ["calibration", "model"]


def test_a_code_ends_the_text_once():
    error = UsageError("a: exists", code="exists")
    assert str(error) == "a: exists [exists]" and str(UsageError(f"b: {error}", code="exists")).count("[exists]") == 1
    assert str(UsageError("a")) == "a" and UsageError("a").code == ""


@pytest.mark.parametrize(
    "error",
    [UsageError("a", code="exists"), DamagedError("b", [(0, 1, 2, 3)]), OutputExistsError("c", ", and more")],
    ids=lambda error: type(error).__name__,
)
def test_a_code_survives_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.exit_status) == (str(error), error.code, error.exit_status)
    assert vars(again) == vars(error)


CASES = {  # code: command, with {f}: a folder with a.wav, a.spky and what follows
    "not-found": "compress {f}/none.wav",
    "not-wav": "compress {f}/text.wav {f}/x.spky",
    "raw-options": "compress {f}/a.wav {f}/x.spky --channels 2",
    "partial-frame": "compress {f}/odd.dat {f}/x.spky --channels 3 --rate 1000 --dtype int16",
    "nothing-found": "decompress {f}/empty {f}/x",
    "exists": "compress {f}/a.wav {f}/a.spky",
    "same-file": "compress {f}/a.wav -o {f}/a.wav --force",
    "not-spikey": "decompress {f}/text.wav {f}/x.wav",
    "newer-version": "decompress {f}/newer.spky {f}/x.wav",
    "truncated": "decompress {f}/cut.spky {f}/x.wav",
    "damaged": "decompress {f}/damaged.spky {f}/x.wav",
    "damaged-index": "decompress {f}/index.spky {f}/x.wav",
    "lossy-file": "decompress {f}/lossy.spky {f}/x.wav",
    "unknown-preset": "compress {f}/a.wav {f}/x.spky --preset best",
    "unknown-model": "compress {f}/a.wav {f}/x.spky --model none",
    "configuration": "compress {f}/a.wav {f}/x.spky --config {f}/text.wav",
    "not-restorable": "compress {f}/linked {f}/x/ --complete",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("errors")
    (folder / "a.wav").write_bytes(wav(1000))
    (folder / "text.wav").write_bytes(b"key: value\nno samples\n")
    (folder / "odd.dat").write_bytes(bytes(7))
    for name in ("empty", "linked"):
        (folder / name).mkdir()
    (folder / "linked" / "a.wav").write_bytes(wav(1000))
    (folder / "linked" / "b.wav").symlink_to(folder / "a.wav")
    with spikey.create(folder / "blocks.spky", 2, 1000, block_frames=256, on_full=WAIT) as writer:
        writer.append(np.random.default_rng(0).integers(-50, 50, (1000, 2)).astype("int16"))
    data = (folder / "blocks.spky").read_bytes()
    single = spikey.compress(np.arange(1000, dtype="int16"), 1000)
    (folder / "a.spky").write_bytes(single)
    changed = {"newer": (single, 4), "damaged": (data, len(data) // 2), "index": (data, 10)}
    for name, (source, at) in changed.items():
        (folder / f"{name}.spky").write_bytes(source[:at] + bytes([source[at] ^ 0x55]) + source[at + 1 :])
    (folder / "cut.spky").write_bytes(single[:8])
    return folder


@pytest.mark.parametrize("code", CASES)
def test_an_error_has_its_code(code, folder, run, monkeypatch):
    monkeypatch.chdir(folder)
    if code == "lossy-file" and not (folder / "lossy.spky").exists():
        assert run("telemetry", "near-lossless", folder / "a.wav", folder / "lossy.spky", "--error", 1)[0] == 0
    status, _, err = run(*(word.format(f=folder) for word in CASES[code].split()))
    assert status in (1, 2)
    last = err.strip().splitlines()[-1]
    assert CODE.search(last), last
    assert CODE.search(last)[1] == code, last


def test_classes_without_a_code_have_none():
    assert SpikeyError.code == ""

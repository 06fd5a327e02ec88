"""What is going to be sent to register Spikey's names: as the command writes it, and true."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from kit.paths import ROOT

pytest.importorskip("h5py")

from spikey.base.errors import UsageError
from spikey.integrations.calibrations import TEXT
from spikey.integrations.chunk import decode_chunk, options_from
from spikey.model.calibration import n1
from tools import registration

FOLDER = ROOT / registration.CODEC
EXAMPLE = ROOT / registration.EXAMPLE


def test_the_command_gives_what_is_committed():
    assert registration.differing(registration.made(), ROOT) == []
    done = subprocess.run([sys.executable, "-m", "tools.registration", "--check"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_what_was_changed_is_missing_or_is_too_much_is_noticed(tmp_path):
    shutil.copytree(ROOT / registration.FOLDER, tmp_path / registration.FOLDER)
    files = registration.made()
    assert registration.differing(files, tmp_path) == []
    (tmp_path / registration.REQUEST).write_text("x")
    (tmp_path / registration.CODEC / "schema.json").unlink()
    (tmp_path / registration.CODEC / "more").write_text("x")
    changed = [registration.REQUEST, f"{registration.CODEC}/more", f"{registration.CODEC}/schema.json"]
    assert registration.differing(files, tmp_path) == changed


def test_all_texts_are_marked_as_not_to_be_sent_yet():
    marked = [name for name, content in registration.made().items() if b"Not to be sent before format 1.0" in content]
    texts = [name for name in registration.made() if name.endswith((".md", "schema.json"))]
    assert sorted(marked) == sorted(texts) and len(texts) == 3


def test_the_page_specifies_the_chunk_as_the_documentation_does():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "| mark | 3 bytes | `b5 53 43` |" in text and "A reader must refuse" in text and "](" not in text


def test_the_example_decodes_to_the_samples_that_the_page_describes():
    wanted = np.array(
        [[((c + 3) ** 2 * t**2 // 7) % 129 - 64 for c in range(3)] for t in range(96)], dtype="<i2"
    )  # as the page words it
    found = np.concatenate([decode_chunk((EXAMPLE / "c" / str(number) / "0").read_bytes()) for number in range(2)])
    np.testing.assert_array_equal(found[:96], wanted)
    assert not found[96:].any()


def test_zarr_opens_the_example_and_writes_the_same_metadata(tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3")
    from spikey.integrations.zarr import SpikeyCodec

    np.testing.assert_array_equal(zarr.open_array(EXAMPLE, mode="r")[:], registration.example())
    options = {"chunks": registration.CHUNK, "serializer": SpikeyCodec(), "compressors": None}
    zarr.create_array(tmp_path / "a", data=registration.example(), **options)
    ours, theirs = (json.loads((path / "zarr.json").read_text()) for path in (EXAMPLE, tmp_path / "a"))
    assert {name: value for name, value in theirs.items() if value} == {n: v for n, v in ours.items() if v}
    for number in range(2):
        assert (EXAMPLE / f"c/{number}/0").read_bytes() == (tmp_path / f"a/c/{number}/0").read_bytes()


CONFIGURATIONS = [
    ({}, True),
    ({"preset": "balanced", "jobs": 2, "verify": False}, True),
    ({"model": "n1-fixed", "calibration": "none"}, True),
    ({"calibration": "intan-rhd2000"}, True),
    ({"calibration": TEXT + base64.b64encode(n1().to_bytes()).decode()}, True),
    ({"preset": "none"}, False),
    ({"jobs": 0}, False),
    ({"jobs": "2"}, False),
    ({"verify": 1}, False),
    ({"model": 3}, False),
    ({"ahead": 1}, False),
]


@pytest.mark.parametrize(("configuration", "valid"), CONFIGURATIONS)
def test_the_schema_takes_what_the_codec_takes(configuration, valid):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FOLDER / "schema.json").read_text())
    written = {"name": "spikey", "configuration": configuration}
    assert jsonschema.Draft202012Validator(schema).is_valid(written) is valid
    if valid:
        options_from(configuration)
    else:
        with pytest.raises(UsageError):
            options_from(configuration)


def test_the_schema_takes_the_name_alone_and_no_other():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))
    assert validator.is_valid({"name": "spikey"})
    assert not validator.is_valid({"name": "spiky"}) and not validator.is_valid({"configuration": {}})

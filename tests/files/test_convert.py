"""One compressed file into another: the same bytes, metadata and side files; nothing replaced or half written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.archives import FAST, noise, wav
from spikey.base.errors import DamagedError, DataError, OutputExistsError, UsageError
from spikey.container.archive import Archive
from spikey.container.extra import Extra, side_file
from spikey.container.reader import Reader
from spikey.files.compress import Output, compress_file, write_recording
from spikey.files.convert import convert_file
from spikey.files.decompress import decompress_file
from spikey.files.settings import Settings
from spikey.files.side_files import side_files_of
from spikey.lossy.near_lossless import near_lossless
from spikey.recording.readable import ArraySource

SAMPLES = np.random.default_rng(3).normal(0, 30, (5000, 5)).astype("int16")
LPC = Settings(predictor="lpc")


def methods(path: Path) -> set[str]:
    with Reader(path) as reader:
        return {str(reader.facts(block).method["predictor"]) for block in reader.structure.blocks if block.kind == 0}


@pytest.fixture
def packed(tmp_path) -> Path:
    (tmp_path / "a.wav").write_bytes(wav(noise(1)) + b"LIST after")
    compress_file(tmp_path / "a.wav", tmp_path / "a.spky", FAST)
    os.utime(tmp_path / "a.spky", (1_700_000_000, 1_700_000_000))
    return tmp_path / "a.spky"


def test_a_recording_with_another_preset(packed, tmp_path):
    outcome = convert_file(packed, tmp_path / "b.spky", LPC)
    assert outcome.original == (tmp_path / "a.wav").stat().st_size
    assert outcome.compressed == (tmp_path / "b.spky").stat().st_size
    assert methods(tmp_path / "b.spky") == {"lpc"} and methods(packed) == {"wide"}
    assert (tmp_path / "b.spky").stat().st_mtime == 1_700_000_000
    decompress_file(tmp_path / "b.spky", tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    convert_file(tmp_path / "b.spky", tmp_path / "c.spky", FAST)
    assert (tmp_path / "c.spky").read_bytes() == packed.read_bytes()


def test_metadata_and_side_files_come_along(tmp_path):
    (tmp_path / "x.meta").write_bytes(b"side file" * 4000)
    (tmp_path / "y.txt").write_bytes(b"")
    files = (side_file("in/x.meta", tmp_path / "x.meta"), side_file("y.txt", tmp_path / "y.txt"))
    source = ArraySource(SAMPLES, 20_000)
    source.name = "array"
    metadata = {"source": {"file": "name.dat"}, "other": [1, 2]}
    write_recording(source, Output(tmp_path / "a.spky"), FAST, extra=Extra(metadata, files))
    convert_file(tmp_path / "a.spky", tmp_path / "b.spky", LPC)
    with Reader(tmp_path / "a.spky") as one, Reader(tmp_path / "b.spky") as other:
        assert other.metadata == one.metadata and other.metadata["source"] == metadata["source"]
        found = {name: b"".join(pieces) for name, pieces in side_files_of(other)}
        assert found == {"in/x.meta": b"side file" * 4000, "y.txt": b""}
        np.testing.assert_array_equal(other[:], SAMPLES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.spky", "b.spky", "x.meta", "y.txt"]


def test_bytes_and_an_archive(tmp_path):
    from spikey.files.archives import compress_archive

    (tmp_path / "plain.wav").write_bytes(b"RIFFxxxxWAVE no recording" * 100)
    names = ["a.wav", "b.wav"]
    for seed, name in enumerate(names):
        (tmp_path / name).write_bytes(wav(noise(9) + noise(seed) / 9))
    compress_archive([(name, tmp_path / name) for name in names], tmp_path / "all.spky", FAST)
    convert_file(tmp_path / "all.spky", tmp_path / "max.spky", Settings(preset="max"))
    with Archive(tmp_path / "max.spky") as archive:
        assert archive.names == names
        for name in names:
            decompress_file(
                tmp_path / "max.spky", tmp_path / "out", opened=archive.open(archive.entry(name).number), overwrite=True
            )
            assert (tmp_path / "out").read_bytes() == (tmp_path / name).read_bytes()
        assert any(archive.companions(name) for name in names)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nothing_is_replaced_or_half_written(packed, tmp_path):
    (tmp_path / "there.spky").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="exists"):
        convert_file(packed, tmp_path / "there.spky", LPC)
    assert (tmp_path / "there.spky").read_bytes() == b"mine"
    before = packed.read_bytes()
    with pytest.raises(UsageError):
        convert_file(packed, packed, LPC, overwrite=True)
    assert packed.read_bytes() == before
    broken = bytearray(before)
    broken[len(broken) // 2] ^= 1
    (tmp_path / "broken.spky").write_bytes(bytes(broken))
    for bad, kind in (("broken.spky", DamagedError), ("a.wav", DataError), ("missing.spky", DataError)):
        with pytest.raises(kind):
            convert_file(tmp_path / bad, tmp_path / "out.spky", LPC)
        assert not (tmp_path / "out.spky").exists()
    convert_file(packed, tmp_path / "there.spky", LPC, overwrite=True)
    assert methods(tmp_path / "there.spky")


def test_lossy_files_are_refused(packed, tmp_path):
    near_lossless(tmp_path / "a.wav", tmp_path / "lossy.spky", 2)
    with pytest.raises(UsageError, match="is lossy"):
        convert_file(tmp_path / "lossy.spky", tmp_path / "b.spky")


def test_the_command(packed, tmp_path, run):
    status, out, _ = run("convert", packed, tmp_path / "b.spky", "--preset", "balanced")
    assert status == 0 and out.startswith("converted ")
    assert run("convert", packed, tmp_path / "b.spky", "--preset", "balanced")[0] == 2
    assert run("convert", packed, tmp_path / "b.spky", "--preset", "fast", "--force", "--json")[0] == 0
    assert (tmp_path / "b.spky").read_bytes() == packed.read_bytes()
    folder = tmp_path / "many" / "deep"
    folder.mkdir(parents=True)
    for name in ("x.spky", "y.spky"):
        (folder / name).write_bytes(packed.read_bytes())
    assert run("convert", tmp_path / "many", tmp_path / "out", "--preset", "balanced")[0] == 0
    found = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.spky"))
    assert found == [Path("deep/x.spky"), Path("deep/y.spky")]
    status, _, error = run("convert", tmp_path / "many", tmp_path / "many" / "out")
    assert status == 2 and "outside" in error
    assert run("convert", tmp_path / "none.spky", tmp_path / "c.spky")[0] == 1
    assert spikey.open(tmp_path / "out" / "deep" / "x.spky").frames

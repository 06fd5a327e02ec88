"""Warnings about samples that were probably meant otherwise: one line each, where it helps and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

import spikey
from kit.paths import SOURCE
from spikey.integrations.chunk import decode_chunk, encode_chunk
from spikey.recording.hints import warn_of_shape

INTEGERS = np.random.default_rng(0).integers(-99, 99, (4, 3000)).astype("int16")
FLOATS = np.random.default_rng(1).standard_normal((3000, 4)).astype("float32")

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}


def caught(function, *arguments, **options):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # of files that earlier tests left to the garbage collector
        function(*arguments, **options)
    assert all(each.category is UserWarning for each in found), found
    return found


@pytest.mark.parametrize("shape", [(4, 3000), (384, 30_000), (1024, 70_000), (1, 30_000), (5000, 6000)])
def test_channels_first_is_suspected(shape):
    (found,) = caught(warn_of_shape, *shape, "give samples.T")
    assert f"shape ({shape[0]}, {shape[1]})" in str(found.message) and "give samples.T" in str(found.message)


@pytest.mark.parametrize("shape", [(0, 3000), (30_000, 384), (10, 384), (30, 1024), (1, 1024), (4096, 4096), (2, 99)])
def test_pieces_of_recordings_are_not_suspected(shape):
    assert caught(warn_of_shape, *shape, "") == []


def test_compress_warns_of_channels_first():
    (found,) = caught(spikey.compress, INTEGERS, rate=20_000)
    assert "4 frames of 3,000 channels; if channels come first, give samples.T" in str(found.message)
    assert found.filename == __file__
    assert caught(spikey.compress, INTEGERS.T, rate=20_000) == []


def test_compress_warns_of_floats_that_are_not_scaled_integers():
    (found,) = caught(spikey.compress, FLOATS, rate=20_000)
    assert "hardly shrink; compress the integers that were recorded" in str(found.message)
    assert found.filename == __file__
    scaled = INTEGERS.T.astype("float32") * np.float32(0.195)
    assert caught(spikey.compress, scaled, rate=20_000) == []


def test_chunks_warn_of_both():
    (found,) = caught(encode_chunk, INTEGERS)
    assert "store the array transposed, as (time, channels)" in str(found.message) and found.filename == __file__
    large = np.tile(FLOATS, (8, 1))
    (found,) = caught(encode_chunk, large)
    assert str(found.message).startswith("chunks of float32 samples hardly shrink") and found.filename == __file__
    for plain in (INTEGERS.T, INTEGERS[:1], FLOATS, large[:, 0], large.astype("complex64")):
        assert caught(encode_chunk, plain) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (decode_chunk(encode_chunk(INTEGERS)) == INTEGERS).all()


def test_spikeinterface_recordings_warn_once_of_both(tmp_path):
    core = pytest.importorskip("spikeinterface.core")
    from spikey.integrations.spikeinterface import write_spikey

    recording = core.NumpyRecording([FLOATS], 30_000)
    (found,) = caught(write_spikey, recording, tmp_path / "a.spky")
    assert "hardly shrink; compress the integers that were recorded" in str(found.message)
    assert found.filename == __file__
    (found,) = caught(write_spikey, core.NumpyRecording([INTEGERS], 30_000), tmp_path / "b.spky")
    assert "4 frames of 3,000 channels" in str(found.message) and found.filename == __file__
    assert caught(write_spikey, core.NumpyRecording([INTEGERS.T], 30_000), tmp_path / "c.spky") == []


def test_a_command_prints_each_once_as_a_note(tmp_path):
    core = pytest.importorskip("spikeinterface.core")

    core.NumpyRecording([FLOATS], 30_000).save(folder=tmp_path / "floats", verbose=False)
    core.NumpyRecording([INTEGERS], 30_000).save(folder=tmp_path / "first", verbose=False)
    for folder, text in (("floats", "hardly shrink"), ("first", "if channels come first")):
        command = [sys.executable, "-m", "spikey", "compress", tmp_path / folder, tmp_path / f"{folder}.spky"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env=ENVIRONMENT)
        assert [line[:5] for line in done.stderr.splitlines() if text in line] == ["note:"]

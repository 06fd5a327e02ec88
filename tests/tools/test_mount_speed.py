"""The measurement of mounts runs, and compares what it reads."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from tools import mount_speed

pytestmark = pytest.mark.fuse


def test_it_measures_and_compares(tmp_path, monkeypatch, capsys):
    samples = np.random.default_rng(0).integers(-50, 50, (60_000, 16)).astype("<i2")
    original, packed = tmp_path / "a.dat", tmp_path / "a.dat.spky"
    samples.tofile(original)
    compress_file(original, packed, Settings(preset="fast", raw=(16, 30_000, "int16")))
    arguments = [str(packed), "--original", str(original), "--seconds", "1", "--reads", "3"]
    monkeypatch.setattr(sys, "argv", ["mount_speed", *arguments])
    mount_speed.main()
    said = capsys.readouterr().out
    assert "one thread decodes" in said and "in order: " in said and "3 random reads of 1 MB" in said
    original.write_bytes(bytes(samples.nbytes))
    with pytest.raises(AssertionError):
        mount_speed.at_random(packed, original, 1)

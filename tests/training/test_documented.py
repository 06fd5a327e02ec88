"""The documented configuration in the documented forms: train, compress, restore, in a folder of one's own."""

from __future__ import annotations

import pytest
import yaml

from kit.commands import process, wav
from kit.documented import CONFIGURATION
from kit.paths import ROOT
from spikey.model.trained import load

pytest.importorskip("torch")
pytest.importorskip("lightning")

CONFIG = ("--config", "config.yaml")
COMPRESS = (ROOT / "cli.py", "compress", *CONFIG, "--input_file", "in.wav", "--output_file", "out.bin")
DECOMPRESS = (ROOT / "cli.py", "decompress", *CONFIG, "--input_file", "out.bin", "--output_file", "back.wav")


@pytest.mark.parametrize("kind", [pytest.param("lstm", marks=pytest.mark.slow), "fixed_input_nn"])
def test_the_documented_configuration_trains_and_restores(kind, tmp_path):
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    for seed in range(4):
        (recordings / f"{seed}.wav").write_bytes(wav(2000, seed=seed))
    (tmp_path / "in.wav").write_bytes(wav(2000, seed=9))

    # Only these change. Nothing is downloaded: the address leads nowhere any more, and the folder has recordings.
    changed = CONFIGURATION.replace("type: lstm #", f"type: {kind} #")
    changed = changed.replace("epochs: 10 ", "epochs: 1 ").replace("directory: data ", "directory: recordings ")
    expected = yaml.safe_load(CONFIGURATION)
    expected["predictor"]["type"] = kind
    expected["training"]["epochs"] = 1
    expected["data"]["directory"] = "recordings"
    assert yaml.safe_load(changed) == expected
    (tmp_path / "config.yaml").write_text(changed)

    out, err = process(ROOT / "main.py", "config.yaml", "Test", cwd=tmp_path)
    assert out.startswith("models/Test.safetensors: model ") and "3 recordings to learn from, 1 to test on" in err
    assert "download" not in err
    built = load(tmp_path / "models" / "Test.safetensors").architecture
    seen = 1 if kind == "lstm" else 10
    assert (built.type, built.alone, built.lags, built.hidden, built.layers) == (kind, True, seen, 128, 2)

    for _ in range(2):  # the documented forms can be repeated
        out, err = process(*COMPRESS, cwd=tmp_path)
        assert "ratio" in out and "is missing" not in err
        out, _ = process(*DECOMPRESS, cwd=tmp_path)
        assert "restored" in out
        assert (tmp_path / "back.wav").read_bytes() == (tmp_path / "in.wav").read_bytes()
        (tmp_path / "in.wav").write_bytes(wav(1500, seed=8))  # the second time of another recording

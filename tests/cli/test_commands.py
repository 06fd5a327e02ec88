"""The commands around the codec: simulate, calibrate, bench, doctor, train, and the challenge's programs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.paths import ROOT
from spikey.base.errors import SpikeyError, UsageError
from spikey.cli import app
from spikey.cli.train import train
from spikey.model.calibration import load
from spikey.report.bench.measure import codecs, measure
from spikey.report.probe import trace
from tools.evaluation import counted

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two simulated recordings of a second each."""
    path = tmp_path_factory.mktemp("recordings")
    for seed in (1, 2):
        done = runner.invoke(app, ["simulate", str(path / f"{seed}.wav"), "--seconds", "1", "--seed", str(seed)])
        assert done.exit_code == 0, done.output
    return path


def test_simulate_is_reproducible_and_refuses_unknown_profiles(folder, tmp_path):
    runner.invoke(app, ["simulate", str(tmp_path / "again.wav"), "--seconds", "1", "--seed", "1"])
    assert (tmp_path / "again.wav").read_bytes() == (folder / "1.wav").read_bytes()
    done = runner.invoke(app, ["simulate", str(tmp_path / "x.wav"), "--profile", "n2"])
    assert isinstance(done.exception, UsageError) and "n1" in str(done.exception)
    assert not (tmp_path / "x.wav").exists()


def test_calibrate_finds_the_widths_of_the_simulated_converter(folder, tmp_path):
    from spikey.recording.simulate import adc_edges

    wav = tmp_path / "long.wav"
    runner.invoke(app, ["simulate", str(wav), "--seconds", "30", "--seed", "3"])
    out = tmp_path / "device.safetensors"
    done = runner.invoke(app, ["calibrate", str(wav), str(out), "--rounds", "3", "--device", "simulated"])
    assert done.exit_code == 0, done.output
    calibration = load(out)
    assert calibration.metadata["device"] == "simulated"
    assert calibration.metadata["recordings"] == 1
    seen = slice(500, 525)
    found, true = np.diff(calibration.edges)[seen] / 64, np.diff(adc_edges())[seen]
    assert np.corrcoef(found, true)[0, 1] > 0.8

    packed = [tmp_path / name for name in ("with.spky", "without.spky")]
    for path, options in zip(packed, (["--calibration", str(out)], ["--calibration", "none"]), strict=True):
        done = runner.invoke(app, ["compress", str(wav), str(path), "--preset", "fast", *options])
        assert done.exit_code == 0, done.output
    assert packed[0].stat().st_size < 0.99 * packed[1].stat().st_size
    done = runner.invoke(app, ["decompress", str(packed[0]), str(tmp_path / "back.wav")])  # the calibration is inside
    assert done.exit_code == 0, done.output
    assert (tmp_path / "back.wav").read_bytes() == wav.read_bytes()


def test_bench_measures_what_files_take(folder, tmp_path):
    done = runner.invoke(app, ["bench", str(folder), "--preset", "fast", "--repeats", "1", "--json", "--no-peers"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["rows"]
    assert row["recordings"] == 2 and row["original"] == sum(f.stat().st_size for f in folder.glob("*.wav"))
    runner.invoke(app, ["compress", str(folder), f"{tmp_path}/", "--preset", "fast"])
    assert row["compressed"] == sum(f.stat().st_size for f in tmp_path.rglob("*.spky"))
    assert row["ratio"] == pytest.approx(row["original"] / row["compressed"])


def test_bench_measures_pcodec_side_by_side(folder):
    pytest.importorskip("pcodec")
    chosen = codecs(["fast"], "pcodec conv1(16)")
    results = {result.codec: result for result in measure([folder / "1.wav"], chosen, 1)}
    assert results["spikey fast"].compressed < results["pcodec conv1(16), level 12, codes"].compressed


def test_bench_measures_models(folder, tmp_path):
    picture = tmp_path / "gains.png"
    options = ["--model", "n1-fixed", "--preset", "fast", "--repeats", "1", "--json", "--no-peers"]
    done = runner.invoke(app, ["bench", str(folder), *options, "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    alone, fast = json.loads(done.stdout)["rows"]
    assert alone["codec"] == "spikey n1-fixed" and alone["compressed"] <= fast["compressed"]
    assert picture.read_bytes()[1:4] == b"PNG"
    sizes = {}
    for option in ("--fallback", "--no-fallback"):
        done = runner.invoke(app, ["bench", str(folder), "--model", "n1-fixed", "--together", "2", option, "--json"])
        assert done.exit_code == 0, done.output
        sizes[option] = json.loads(done.stdout)["rows"][0]["sizes"]
    assert sizes["--fallback"] == alone["sizes"]
    assert all(one <= other for one, other in zip(sizes["--fallback"], sizes["--no-fallback"], strict=True))


def test_bench_refuses_unknown_presets(folder):
    done = runner.invoke(app, ["bench", str(folder), "--preset", "best"])
    assert isinstance(done.exception, UsageError) and "fast" in str(done.exception)


def test_doctor_finds_nothing_wrong():
    done = runner.invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "all is well" in done.output


def test_trace_adds_up():
    values = (np.cumsum(np.random.default_rng(0).integers(-3, 4, 2000)) * 3).astype(np.int16)
    positions, predictions, residuals = trace(values)
    np.testing.assert_allclose(predictions + residuals, positions)
    assert residuals[500:].std() < np.diff(positions).std() * 1.1


def test_train_says_what_there_is_to_train(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(f"name: A\n---\nname: B\npredictor: {{type: lstm}}\ndata: {{url: {tmp_path / 'none.zip'}}}\n")
    assert "nothing to train" in train(str(config), "A")
    with pytest.raises(SpikeyError, match=r"none\.zip|training needs"):
        train(str(config), "B")


@pytest.mark.skipif(shutil.which("bash") is None, reason="eval.sh needs bash")
@pytest.mark.parametrize("how", [[], ["--each"]])
def test_evaluation_of_the_challenge(folder, tmp_path, how):
    """From a copy of the programs whose env/bin/python is the one that runs the tests."""
    for name in ("encode", "decode", "eval.sh", "cli.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / "env" / "bin").mkdir(parents=True)
    (tmp_path / "env" / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "env" / "bin" / "python").chmod(0o755)
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(folder / "1.wav", data)
    done = subprocess.run(["bash", "eval.sh", *how], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ratios = [float(s.rsplit(" ", 1)[1]) for s in done.stdout.splitlines() if s.startswith(("ratio", "honest"))]
    by_rules, honest, alone = ratios
    assert honest < by_rules < alone
    assert "all recordings recovered" in done.stdout
    everything = sum(counted(tmp_path).values())  # as the documents' table counts
    assert f"{everything} bytes): {honest:.4f}" in done.stdout


@pytest.mark.parametrize("preset", ["fast", "balanced"])
def test_a_second_process_compiles_nothing(folder, tmp_path, preset):
    command = [sys.executable, str(ROOT / "cli.py"), "compress", "--preset", preset, str(folder / "1.wav")]
    for name in ("first.spky", "second.spky"):
        done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, check=True)
    assert "compiling" not in done.stderr

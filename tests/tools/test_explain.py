"""The pictures and figures of docs/how-it-works.md: made by the command, of a simulated recording or of a given one."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from kit.pages import ROOT, agrees, blocks, links, tolerance
from spikey.base.errors import DataError
from spikey.codec.code_widths import edges_of
from spikey.codec.encode import encode_block
from spikey.codec.method import Method
from spikey.levels.registry import find_levels
from spikey.model.calibration import Calibration, n1
from spikey.recording.simulate import adc_edges, simulate
from tools.explain.__main__ import main
from tools.explain.pictures import PICTURES
from tools.explain.probe import follow
from tools.explain.recording import colour, entropy, gaussian_bits, spectrum, usual_deviation

PAGE = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n"


def write_wav(path: Path, samples: np.ndarray, rate: int = 30_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.mark.slow
def test_the_command_makes_the_pictures_and_the_figures_of_the_page(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main([str(tmp_path / "made")]) == 0
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert set(made) == set(PICTURES)
    assert all(data.startswith(PNG) and len(data) < 120_000 for data in made.values())
    shown = {Path(link).name for link in links(PAGE) if link.startswith("how-it-works/")}
    assert shown == set(PICTURES)
    assert len(list((ROOT / "docs" / "how-it-works").iterdir())) == len(PICTURES)
    (stated,) = [block for block in blocks(PAGE) if block.language == "text"]
    assert tolerance(stated.note) == 0.03
    printed = capsys.readouterr().out
    assert agrees(stated.text, printed, tolerance(stated.note)), printed


@pytest.mark.slow
@pytest.mark.data("neuralink")
def test_a_real_recording(real_recordings, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main([str(tmp_path), str(real_recordings[0])]) == 0
    assert all((tmp_path / name).read_bytes().startswith(PNG) for name in PICTURES)
    said = capsys.readouterr().out
    assert real_recordings[0].name in said and "as calibrated from 412 recordings" in said
    assert "noise alone" not in said


def test_another_converter(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    steps = write_wav(tmp_path / "a.wav", simulate(30_000, profile="neuropixels"))
    assert main([str(tmp_path), str(steps)]) == 0
    assert "found from this very recording: 1.00 to 1.00 LSB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(30_000), "one value"),
        (np.arange(30_000), "30000 codes in steps of 1"),
        (np.zeros(300), "at least 20,000"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(tmp_path, capsys, samples, reason):
    pytest.importorskip("matplotlib")
    path = write_wav(tmp_path / "a.wav", samples)
    assert main([str(tmp_path / "out"), str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"spikey: {path}: ") and reason in said and said.count("\n") == 1
    assert not list((tmp_path / "out").iterdir())


def test_as_a_command_without_matplotlib_or_a_place(tmp_path):
    """A module that cannot be imported stands before the real one."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError\n")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tools.explain.__main__ import main; main()"
    for before, arguments, reason in (
        (tmp_path, [str(tmp_path / "out")], "pictures need matplotlib"),
        (tmp_path, [], "the following arguments are required"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("main()", "sys.exit(main())"), str(before), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and reason in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_ledger_costs_what_the_coder_writes(calibrated):
    samples = simulate(20_000, seed=4)
    codes = find_levels(samples[:, 0]).to_codes(samples[:, 0])[0]
    edges = edges_of(np.diff(adc_edges())).astype(np.int32)
    calibration = Calibration(edges, n1().prior, {"levels": "n1"}) if calibrated else None
    followed = follow(codes, 1024, calibration)
    payload = encode_block(samples, Method("lpc", lanes=1), calibration)
    assert 0 <= 8 * len(payload) - followed.bits.sum() < 8 * 16
    places = np.arange(1024) if calibration is None else ((edges[:-1] + edges[1:]) >> 1) / 64
    np.testing.assert_array_equal(followed.positions, places[codes])
    np.testing.assert_allclose(followed.residuals, followed.positions - followed.locations)
    assert (followed.low >= 0).all() and (followed.low + followed.mass <= 1).all() and (followed.mass > 0).all()
    with pytest.raises(DataError, match="at most 4,096 codes, not 5,000"):
        follow(codes, 5000)


def test_figures_by_their_definitions():
    noise = np.random.default_rng(1).normal(0, 6, 200_000)
    # Rounding at a random place adds the variance of a step.
    assert gaussian_bits(6.0) == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * (36 + 1 / 12)), abs=1e-4)
    assert entropy(np.unique(np.rint(noise), return_counts=True)[1]) == pytest.approx(gaussian_bits(6.0), abs=5e-3)
    assert gaussian_bits(0.05) < 0.2
    spiked = np.where(np.arange(200_000) % 100 == 0, 500, noise)
    assert usual_deviation(spiked) == pytest.approx(6, rel=0.03) and spiked.std() > 40
    assert usual_deviation(np.zeros(9)) == 1 / 64
    frequency, power = spectrum(noise, 20_000.0)
    assert frequency[0] == pytest.approx(20_000 / 1024) and power.mean() == pytest.approx(36 / 10_000, rel=0.02)
    assert colour(noise) < 0.01
    filtered = np.zeros(200_000)
    for at in range(1, len(filtered)):
        filtered[at] = 0.9 * filtered[at - 1] + noise[at]
    # The variance of such noise is 1 / (1 - 0.81) of what drives it.
    assert colour(filtered) == pytest.approx(-0.5 * np.log2(1 - 0.81), rel=0.02)

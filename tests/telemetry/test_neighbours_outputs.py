"""Scaled waveforms in all forms of decoded telemetry, and the settings `neighbours` and `column` in commands."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit.dense import dense
from spikey.base.errors import UsageError
from spikey.cli import telemetry
from spikey.cli.telemetry_encode import settings_of
from spikey.recording.layout import Layout, pack
from spikey.recording.wav import canonical_head
from spikey.report.telemetry.fidelity import Original
from spikey.report.telemetry.report import report
from spikey.telemetry import export
from spikey.telemetry.packet import MAGIC
from spikey.telemetry.settings import Settings

RATE, CHANNELS = 20_000.0, 9
runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return dense(1.2, CHANNELS, seed=2)


@pytest.fixture(scope="module")
def path(samples, tmp_path_factory):
    path = tmp_path_factory.mktemp("neighbours") / "a.spkt"
    encoder = spikey.TelemetryEncoder(CHANNELS, RATE, settings=Settings(budget=18e3, neighbours=4), stream=1)
    path.write_bytes(MAGIC + b"".join(encoder.push(samples) + encoder.close()))
    return path


@pytest.fixture(scope="module")
def decoded(path) -> spikey.Telemetry:
    decoded = spikey.read_telemetry(path)
    assert decoded.event_scaled.dtype == np.bool_ and 20 < decoded.event_scaled.sum() < len(decoded.waveforms) - 20
    assert not (decoded.event_scaled & decoded.event_weak).any()
    return decoded


def test_parts_have_what_the_whole_has(path, decoded):
    parts = list(spikey.iter_telemetry(path, seconds=0.1))
    assert len(parts) > 10
    np.testing.assert_array_equal(np.concatenate([part.event_scaled for part in parts]), decoded.event_scaled)
    part = spikey.read_telemetry(path, start=0.4, end=0.9)
    own = (decoded.event_frames >= 8000) & (decoded.event_frames < 18_000)
    np.testing.assert_array_equal(part.event_scaled, decoded.event_scaled[own])


def test_npz_and_csv(decoded, tmp_path):
    assert np.array_equal(export.arrays(decoded)["event_scaled"], decoded.event_scaled)
    export.write_csv(decoded, tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        assert [line["scaled"] for line in csv.DictReader(file)] == [str(int(each)) for each in decoded.event_scaled]


def test_zarr(decoded, tmp_path):
    zarr = pytest.importorskip("zarr")
    from spikey.integrations.telemetry_zarr import write_zarr

    write_zarr(decoded, tmp_path / "a.zarr")
    assert np.array_equal(zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["events/scaled"][:], decoded.event_scaled)


def test_nwb(decoded, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    from spikey.integrations.nwb import write_nwb

    write_nwb(decoded, tmp_path / "a.nwb")
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as opened:
        units = opened.read().units
        for row, channel in enumerate(units.id[:]):
            own = decoded.event_channels == channel
            assert units["scaled"][row].tolist() == decoded.event_scaled[own].tolist()


def test_options_come_before_the_configuration(tmp_path):
    config = tmp_path / "a.yaml"
    config.write_text("telemetry:\n  neighbours: 3\n  column: 32\n")
    settings = settings_of(config, None, None, None)[0]
    assert (settings.neighbours, settings.column) == (3, 32)
    assert settings_of(config, None, None, None, neighbours=5)[0].neighbours == 5
    assert settings_of(None, None, None, None)[0].neighbours == 0
    config.write_text("telemetry:\n  neighbours: 9\n")
    with pytest.raises(UsageError, match="neighbours"):
        settings_of(config, None, None, None)


def test_the_options_of_encode_and_send(samples, tmp_path):
    wav, out, layout = tmp_path / "a.wav", tmp_path / "a.spkt", Layout(CHANNELS, RATE, "int16")
    wav.write_bytes(canonical_head(layout, len(samples)) + pack(samples, layout))
    words = ["encode", str(wav), str(out), "--budget", "18k", "--neighbours", "2", "--column", "4"]
    done = runner.invoke(telemetry.app, words)
    assert done.exit_code == 0, done.output
    known = json.loads(runner.invoke(telemetry.app, ["decode", str(out), "--json"]).stdout)
    assert (known["settings"]["neighbours"], known["settings"]["column"]) == (2, 4)
    out.unlink()
    for words in (["encode", str(wav), str(out)], ["send", str(wav), "--to", "udp://127.0.0.1:9"]):
        done = runner.invoke(telemetry.app, [*words, "--neighbours", "9"])
        assert isinstance(done.exception, UsageError) and "neighbours" in str(done.exception) and not out.exists()


def test_the_report_takes_them(samples):
    original = Original("dense", samples, RATE)
    with_waves = []
    for neighbours in (0, 4):
        found = report({"recordings": lambda: [original]}, [100.0], settings=Settings(neighbours=neighbours))
        with_waves.append(found["recordings"]["ratios"][0]["with_waveform"])
    assert with_waves[1] > with_waves[0] + 0.1

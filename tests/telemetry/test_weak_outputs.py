"""Which events of a telemetry stream are weak, and the setting `match` in options and configurations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spikey import TelemetryEncoder, TelemetrySettings
from spikey.base.errors import UsageError
from spikey.cli import telemetry
from spikey.cli.telemetry_encode import settings_of
from spikey.config.schema import Telemetry as Section
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from spikey.telemetry.contents import PacketContents
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.pieces import parts
from spikey.telemetry.record import collect, joined

RATE, CHANNELS, FRAMES = 20_000.0, 4, 40_000
runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, seed=6, spikes_per_second=60)


def encoded(samples: np.ndarray, **options: float) -> list[bytes]:
    chosen = TelemetrySettings(**{"budget": 1e5, **options})
    encoder = TelemetryEncoder(CHANNELS, RATE, settings=chosen, stream=2)
    return encoder.push(samples) + encoder.close()


def test_crossings_are_the_events_that_are_not_weak(samples):
    with_weak, without = collect(encoded(samples)), collect(encoded(samples, match=0.0))
    strong = ~with_weak.event_weak
    assert with_weak.event_weak.dtype == np.bool_ and not without.event_weak.any()
    assert 50 < strong.sum() < len(strong) - 50
    np.testing.assert_array_equal(with_weak.event_frames[strong], without.event_frames)
    np.testing.assert_array_equal(with_weak.event_channels[strong], without.event_channels)
    rows = with_weak.waveform_of[with_weak.event_weak]
    np.testing.assert_array_equal(with_weak.trough_frames[rows], with_weak.event_frames[with_weak.event_weak])


def test_a_weak_event_belongs_to_the_part_of_its_trough(samples):
    """Also where the packet that it comes with belongs to the next one."""
    packets = encoded(samples)
    whole, decoder = collect(packets), TelemetryDecoder()
    items = [item for packet in packets for item in decoder.push(packet)]
    before = [
        frame
        for item in items
        if isinstance(item, PacketContents) and item.weak
        for frame in item.event_frames[-item.weak :].tolist()
        if frame < item.first_frame
    ]
    assert len(before) > 10
    seconds = decoder.shape.frames / RATE  # so that parts end where packets do
    found = list(parts(packets, seconds))
    assert sum(np.isin(part.event_frames[part.event_weak], before).sum() for part in found) >= len(before)
    for name in ("event_frames", "event_channels", "event_weak"):
        np.testing.assert_array_equal(np.concatenate([getattr(part, name) for part in found]), getattr(whole, name))
    for part in found[:-1]:
        assert ((part.event_frames >= part.first_frame) & (part.event_frames < part.end_frame)).all()


def test_a_crossing_and_a_weak_event_at_the_same_frame_have_their_own_waveforms():
    """No encoder sends these; whatever does, nothing is mixed up."""
    first = TelemetryEncoder(CHANNELS, RATE, settings=TelemetrySettings(budget=1e5), stream=2)
    decoder = TelemetryDecoder()
    packets = first.push(np.zeros((2000, CHANNELS), dtype=np.int16)) + first.close()
    items = [item for packet in packets for item in decoder.push(packet)]
    shape, contents = decoder.shape, items[0]
    assert isinstance(contents, PacketContents)
    both, waves = np.array([5, 5]), np.stack([np.full(shape.snippet, value << 10) for value in (70, 30)])
    items[0] = replace(
        contents,
        event_frames=both,
        event_channels=both * 0,
        wave_frames=both,
        wave_channels=both * 0,
        trough_frames=both + np.array([3, 0]),
        waves=waves.astype(np.int32),
        wave_scaled=np.zeros(2, dtype=np.bool_),
        weak=1,
    )
    found = joined(decoder, items)
    assert found.event_weak.tolist() == [False, True] and found.waveform_of.tolist() == [0, 1]
    assert found.waveforms[:, 0].tolist() == [70, 30] and found.trough_frames.tolist() == [8, 5]


# The setting


def test_a_configuration_has_the_defaults_of_the_settings():
    section, usual = Section().model_dump(), TelemetrySettings()
    band = section.pop("band_low"), section.pop("band_high")
    assert section.pop("budget") is None and band == usual.band
    assert section == {name: getattr(usual, name) for name in section} and section["match"] == 5.0


def test_options_come_before_the_configuration(tmp_path):
    config = tmp_path / "a.yaml"
    config.write_text("telemetry:\n  match: 6.5\n")
    assert settings_of(None, None, None, None)[0].match == 5.0
    assert settings_of(config, None, None, None)[0].match == 6.5
    assert settings_of(config, None, None, None, match=0.0)[0].match == 0.0


@pytest.fixture(scope="module")
def wav(samples, tmp_path_factory) -> Path:
    path, layout = tmp_path_factory.mktemp("telemetry") / "a.wav", Layout(CHANNELS, RATE, "int16")
    path.write_bytes(canonical_head(layout, len(samples)) + pack(samples, layout))
    return path


def test_the_option_is_taken_and_shown(wav, tmp_path):
    path, counts = tmp_path / "a.spkt", []
    for match in ("0", "5", "8"):
        words = [str(wav), str(path), "--budget", "100k", "--match", match, "--force"]
        assert runner.invoke(telemetry.app, ["encode", *words]).exit_code == 0
        done = runner.invoke(telemetry.app, ["decode", str(path), "--json"])
        known = json.loads(done.stdout)
        assert known["settings"]["match"] == float(match)
        counts.append(known["weak_events"])
        text = runner.invoke(telemetry.app, ["decode", str(path)]).stdout
        assert f"match {match}" in text and f"weak events  {counts[-1]:,}" in text
    assert counts[0] == 0 < counts[2] < counts[1]


@pytest.mark.parametrize("wrong", ["-0.5", "101", "nan"])
def test_impossible_values_are_refused(wav, tmp_path, wrong):
    for words in (["encode", str(wav), str(tmp_path / "a.spkt")], ["send", str(wav), "--to", "udp://127.0.0.1:9"]):
        done = runner.invoke(telemetry.app, [*words, "--match", wrong])
        assert isinstance(done.exception, UsageError)
        assert str(done.exception) == f"match of a telemetry stream must lie from 0 to 100, not {float(wrong):g}"
    config = tmp_path / "a.yaml"
    config.write_text(f"telemetry:\n  match: {'.nan' if wrong == 'nan' else wrong}\n")
    with pytest.raises(UsageError, match="match"):
        settings_of(config, None, None, None)
    assert list(tmp_path.iterdir()) == [config]

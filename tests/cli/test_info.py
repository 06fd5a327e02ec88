"""`spikey info` of files of many channels: counted for people, channel by channel for programs."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spikey
from kit.interpolated import interpolated, sampled, windowed_sinc

CHANNELS = 40


@pytest.fixture
def file(tmp_path):
    random = np.random.default_rng(5)
    samples = np.cumsum(random.normal(size=(900, 1)) * 20, axis=0) + random.normal(size=(900, CHANNELS)) * 6
    samples[:, 7] = 3
    path = tmp_path / "a.spky"
    path.write_bytes(spikey.compress(samples.round().astype(np.int16), 30_000))
    return path


def test_programs_get_what_was_chosen_for_each_channel(run, file):
    (facts,) = json.loads(run("info", "--json", file)[1])
    assert facts["predictor"] == "wide" and facts["lanes"] in (8, 32)
    assert sorted(channel for group in facts["groups"] for channel in group) == list(range(CHANNELS))
    assert max(map(len, facts["groups"])) <= 32 and len(facts["groups"]) == 2
    assert facts["constant"] == [7] and facts["orders"][7] == 0 and facts["references"][7] == []
    for key in ("orders", "scale_rates", "shapes", "references"):
        assert len(facts[key]) == CHANNELS
    place = {channel: place for group in facts["groups"] for place, channel in enumerate(group)}
    group = {channel: number for number, group in enumerate(facts["groups"]) for channel in group}
    for channel, others in enumerate(facts["references"]):
        assert all(group[other] == group[channel] and place[other] < place[channel] for other in others)
    assert sum(map(len, facts["references"])) > CHANNELS  # they resemble each other


def test_people_get_a_line_each(run, file):
    status, said, _ = run("info", file)
    lines = {line[:20].strip(): line[22:] for line in said.splitlines()}
    assert status == 0 and max(map(len, lines.values())) < 160
    assert lines["groups"].startswith("2, of up to 20 channels: ")
    assert lines["constant"] == "1"
    for key in ("orders", "scale rates", "shapes", "references"):
        assert " channels)" in lines[key]
        assert sum(int(part.split("(")[1].split()[0].rstrip(")")) for part in lines[key].split(", ")) == CHANNELS


def test_an_interpolated_recording(run, tmp_path):
    samples = interpolated(sampled(3000, 5), windowed_sinc(3, 8), phase=1).astype(np.int16)
    path = tmp_path / "a.spky"
    path.write_bytes(spikey.compress(samples, 30_000))
    (facts,) = json.loads(run("info", "--json", path)[1])
    assert facts["predictor"] == "interpolated" and facts["interpolated_by"] == 3
    assert facts["interpolated"] == list(range(5)) and facts["phases"] == [{"first": 0, "phase": 1}]
    assert np.array(facts["taps"]).shape == (2, 16)
    lines = {line[:20].strip(): line[22:] for line in run("info", path)[1].splitlines()}
    assert lines["interpolated by"] == "3" and lines["interpolated"] == "5" and lines["phases"] == "1"
    assert lines["taps"].count(";") == 1 and lines["taps"].startswith("... ")
    assert lines["bytes"].startswith("sampled ") and max(map(len, lines.values())) < 240

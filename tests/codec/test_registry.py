"""What is registered is seen by commands, configurations, files and benchmarks, without a change anywhere else."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import MISSING, fields

import numpy as np
import pytest
from dummy_levels import RECORD as LEVELS
from dummy_levels import Halved
from dummy_predictor import RECORD as PREDICTOR
from dummy_preset import RECORD as PRESET

import spikey
from spikey.base.errors import UsageError
from spikey.base.registry import Registry
from spikey.codec import registry
from spikey.codec.registry import PREDICTORS, PRESETS, Predictor, Preset
from spikey.config.documents import load
from spikey.container.reader import Reader
from spikey.container.records import RECORDS, ExtensionRecord
from spikey.levels.contract import LEVEL_MAPS, LevelMap
from spikey.recording.layout import Layout, pack
from spikey.recording.wav import canonical_head
from spikey.report.bench import worker


@pytest.fixture
def dummies():
    for record in (LEVELS, PREDICTOR, PRESET):
        registry.register(record)
    yield
    LEVEL_MAPS.remove(LEVELS.name)
    PREDICTORS.remove(PREDICTOR.name)
    PRESETS.remove(PRESET.name)


@pytest.fixture
def recording(tmp_path):
    walk = np.cumsum(np.random.default_rng(0).integers(-6, 7, (3000, 1)), axis=0)
    samples = (np.abs(walk) % 257 * 2).astype(np.int16)
    samples[:2, 0] = 0, 512
    path = tmp_path / "a.wav"
    path.write_bytes(
        canonical_head(Layout(1, 20_000, "int16"), len(samples)) + pack(samples, Layout(1, 20_000, "int16"))
    )
    return path


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_preset_is_seen_by_the_command_line(dummies, recording, run, tmp_path, monkeypatch):
    forked = multiprocessing.get_context("fork")
    packed = tmp_path / "a.spky"
    assert run("compress", recording, packed, "--preset", "simplest")[0] == 0
    status, said, _ = run("info", packed, "--json")
    facts = json.loads(said)[0]
    assert (status, facts["predictor"], facts["levels"]) == (0, "last", "halved values")
    assert run("decompress", packed, tmp_path / "b.wav")[0] == 0
    assert (tmp_path / "b.wav").read_bytes() == recording.read_bytes()
    monkeypatch.setattr(worker.multiprocessing, "get_context", lambda _: forked)  # which has the dummies as well
    status, said, _ = run("bench", recording, "--preset", "simplest", "--no-peers", "--no-floor", "--repeats", 1)
    assert status == 0 and "spikey simplest" in said
    assert "simplest" in run("compress", "--help")[1]


def test_a_predictor_is_seen_by_configurations(dummies, recording, run, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("name: A\npredictor: {type: last}\n")
    assert load(config).predictor.type == "last"
    assert run("compress", "--config", config, recording, tmp_path / "a.spky")[0] == 0
    with Reader(tmp_path / "a.spky") as reader:
        assert reader.method_byte(reader.structure.blocks[0])[0] & 15 == PREDICTOR.number
    config.write_text("name: A\npreset: simplest\n")
    assert load(config).preset == "simplest"
    config.write_text("name: A\npreset: simpler\n")
    with pytest.raises(UsageError, match="must be one of simplest, fast, balanced, max, not 'simpler'"):
        load(config)


def test_a_level_map_is_used_where_it_fits(dummies):
    values = np.arange(0, 514, 2, dtype=np.int16).repeat(3)
    packed = spikey.compress(values, 20_000, "simplest")
    np.testing.assert_array_equal(spikey.decompress(packed).samples[:, 0], values)
    with spikey.open(packed) as reader:
        assert reader.levels(reader.structure.blocks[0]) == ["halved values"]
    assert Halved().words() == "halved values"


def test_files_of_what_is_not_registered_are_refused(recording, tmp_path):
    for record in (LEVELS, PREDICTOR, PRESET):
        registry.register(record)
    data = spikey.compress(np.arange(0, 514, 2, dtype=np.int16).repeat(3), 20_000, "simplest")
    LEVEL_MAPS.remove(LEVELS.name)
    with pytest.raises(spikey.DataError, match="levels of kind 6"):
        spikey.decompress(data)
    PREDICTORS.remove(PREDICTOR.name)
    PRESETS.remove(PRESET.name)
    with pytest.raises(spikey.DataError, match="method that this version does not support"):
        spikey.decompress(data)


@pytest.mark.parametrize("kind", [Predictor, Preset, LevelMap, ExtensionRecord])
def test_a_missing_field_fails_by_name(kind):
    for field in fields(kind):
        assert field.default is MISSING and field.default_factory is MISSING
        others = {each.name: None for each in fields(kind) if each is not field}
        with pytest.raises(TypeError, match=f"'{field.name}'"):
            kind(**others)


def test_names_and_numbers_are_taken_once():
    known: Registry[ExtensionRecord] = Registry("thing", most=3)
    one = ExtensionRecord(name="a", number=1, critical=True, lossy=False, about="")
    known.register(one)
    for name, number, words in (("a", 2, "already"), ("b", 1, "taken"), ("c", 4, "not one of 0 to 3")):
        with pytest.raises(ValueError, match=words):
            known.register(ExtensionRecord(name=name, number=number, critical=True, lossy=False, about=""))
    with pytest.raises(ValueError, match="taken"):
        registry.register(Predictor(**{**vars(PREDICTOR), "name": "x", "number": 5}))
    assert RECORDS.numbered(1) is not None and RECORDS.numbered(99) is None

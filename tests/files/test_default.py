"""The default preset, and what does not follow it: a preset `fast` of another method shows which is which."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import spikey
from kit.networks import wav
from spikey.cli.common import settings_from
from spikey.codec.method import LPC, Method
from spikey.codec.payload import predictor_in
from spikey.codec.registry import DEFAULT_PRESET, PRESETS, Preset, ranked
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.integrations.chunk import Options, decode_chunk, encode_chunk, means_of
from spikey.lossy.near_lossless import hybrid, near_lossless
from spikey.recording.simulate import simulate
from spikey.report.stream.bench import file_ratio
from spikey.stream.decoder import Decoder
from spikey.stream.encoder import Encoder
from spikey.stream.recorder import Recorder

OTHER = Method("refined", lanes=1, references=4)
SAMPLES = simulate(3000, 1, seed=2)


@pytest.fixture
def other(monkeypatch):
    """A preset `fast` that is not the predictor lpc."""
    record = Preset(name=DEFAULT_PRESET, rank=0, method=OTHER, about="another one", use="tests", hours=(1, 1))
    monkeypatch.setitem(PRESETS._records, DEFAULT_PRESET, record)
    means_of.cache_clear()
    yield
    means_of.cache_clear()


def predictor_of(file) -> str:
    """The predictor of a file's first block."""
    with spikey.open(file, lossy=True) as reader:
        return predictor_in(reader.method_byte(reader.structure.blocks[0]))


def test_the_default_is_the_fastest_preset():
    assert ranked()[0] == DEFAULT_PRESET == Options().preset == "fast"


def test_functions_codecs_and_commands_use_the_default(other, tmp_path, run):
    assert predictor_of(spikey.compress(SAMPLES, 20_000)) == "refined"
    assert means_of(Options()).method == OTHER
    (tmp_path / "a.wav").write_bytes(wav(SAMPLES))
    assert run("compress", tmp_path / "a.wav", tmp_path / "a.spky")[0] == 0
    assert json.loads(run("info", "--json", tmp_path / "a.spky")[1])[0]["predictor"] == "refined"


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("name: A\n", OTHER),
        ("preprocessing: {use_delta_encoding: false}\n", replace(OTHER, delta=False)),
        ("preset: fast\n", OTHER),
        ("predictor: {type: lpc}\n", LPC),
        ("predictor: {type: lpc}\npreset: fast\n", OTHER),
        ("predictor: {type: lpc}\npreprocessing: {use_delta_encoding: false}\n", Method("lpc", delta=False, lanes=2)),
    ],
)
def test_a_configuration_is_followed(other, tmp_path, text, method):
    (tmp_path / "c.yaml").write_text(text)
    chosen = settings_from(tmp_path / "c.yaml", None, None, None, None, (None, None, None))
    assert chosen.method() == method


def test_lossy_files_keep_their_predictors(other, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(SAMPLES))
    for settings, wanted in (
        (Settings(), "balanced"),
        (Settings(preset="fast"), "lpc"),
        (Settings(preset="balanced"), "balanced"),
        (Settings(predictor="lpc"), "lpc"),
    ):
        near_lossless(tmp_path / "a.wav", tmp_path / "n.spky", 2, settings, overwrite=True)
        hybrid(tmp_path / "a.wav", tmp_path / "h.spky", 3.0, settings, overwrite=True)
        assert [predictor_of(tmp_path / name) for name in ("n.spky", "h.spky")] == [wanted, wanted]


def test_recorded_streams_follow_the_default_and_their_comparison_keeps_lpc(other, tmp_path):
    encoder = Encoder(1, 20_000, "int16")
    packets = encoder.push(SAMPLES) + encoder.flush()
    decoder = Decoder()
    items = [each for packet in packets for each in decoder.push(packet)] + decoder.finish()
    assert decoder.description is not None
    with Recorder(tmp_path / "a.spky", decoder.description) as recorder:
        recorder.take(items)
    assert predictor_of(tmp_path / "a.spky") == "refined"
    same = spikey.compress(SAMPLES, 20_000)
    assert file_ratio(SAMPLES, 20_000) != round(SAMPLES.nbytes / len(same), 4)
    assert np.array_equal(spikey.open(tmp_path / "a.spky")[:], SAMPLES)


@pytest.mark.parametrize("preset", ["balanced", "max"])
def test_a_slower_preset_is_never_larger_on_many_channels(preset, tmp_path):
    """`fast` takes all channels together, which the others do not."""
    random = np.random.default_rng(7)
    common = random.normal(0, 30, (2000, 3)) @ random.normal(0, 1, (3, 48))
    samples = np.rint(common + random.normal(0, 2, (2000, 48)))[:, random.permutation(48)].astype(np.int16)
    fast, slow = (len(spikey.compress(samples, 20_000, each)) for each in ("fast", preset))
    assert slow <= fast
    chunks = [encode_chunk(samples, Options(preset=each)) for each in ("fast", preset)]
    assert len(chunks[1]) <= len(chunks[0])
    np.testing.assert_array_equal(decode_chunk(chunks[1]), samples)
    path = tmp_path / "a.dat"
    path.write_bytes(samples.tobytes())
    settings = Settings(preset=preset, raw=(48, 20_000, "int16"))
    outcome = compress_file(path, tmp_path / "a.spky", settings)
    assert outcome.compressed == (tmp_path / "a.spky").stat().st_size == slow
    with spikey.open(tmp_path / "a.spky") as reader:
        np.testing.assert_array_equal(reader[:, :], samples)

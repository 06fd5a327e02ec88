"""Files coded with trained networks: found, embedded, damaged, many at once, and on the command line."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit import reference
from kit.golden import LSTM
from kit.networks import ALONE_MODEL, DENSE_MODEL, GENTLE, LENGTHS, NONSENSE, one_sentence, wav
from kit.writing import cut_into
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.cli import app
from spikey.container import embedding
from spikey.container import layout as lay
from spikey.container.blocks import BlockDecoder
from spikey.container.reader import Reader
from spikey.files import compress, decompress
from spikey.files.batch import compress_together, decompress_together
from spikey.files.decompress import verify_file
from spikey.files.settings import Settings
from spikey.model import trained
from spikey.model.calibration import n1
from spikey.model.trained import Model, load
from spikey.recording.simulate import simulate
from spikey.report.self_test import known_signal

pytestmark = pytest.mark.usefixtures("nothing_in_use", "no_comparison")


runner = CliRunner()
# Outputs are written again and again.
compress_file, decompress_file = (
    partial(do, overwrite=True) for do in (compress.compress_file, decompress.decompress_file)
)


def test_a_model_that_is_missing(tmp_path, monkeypatch):
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    path.write_bytes(wav(simulate(700, 1, seed=5)))
    compress_file(path, packed, Settings(model=GENTLE, calibration=n1()))
    monkeypatch.setattr(trained, "_in_use", {})
    with Reader(packed) as reader:
        assert reader.model_id == GENTLE.id and len(reader.header.record(lay.MODEL)) == 4
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other.safetensors").write_bytes(DENSE_MODEL.file)
    (tmp_path / "models" / "junk.safetensors").write_bytes(b"junk")
    monkeypatch.setenv("SPIKEY_MODELS", os.pathsep.join([str(tmp_path / "models"), str(tmp_path / "none")]))
    for salvage in (False, True):
        with pytest.raises(DataError) as error:
            decompress_file(packed, out, salvage=salvage)
        parts = (packed, GENTLE.id.hex(), trained.SHIPPED, tmp_path / "models", tmp_path / "none", "SPIKEY_MODELS")
        one_sentence(error.value, *map(str, parts))
        assert not isinstance(error.value, DamagedError) and not out.exists()
    with pytest.raises(DataError, match=GENTLE.id.hex()):
        verify_file(packed)
    (tmp_path / "models" / "mine.safetensors").write_bytes(GENTLE.file)
    decompress_file(packed, out)
    assert out.read_bytes() == path.read_bytes()
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1()))
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.delenv("SPIKEY_MODELS")
    decompress_file(packed, out)
    assert out.read_bytes() == path.read_bytes()


def test_an_embedded_model_that_was_tampered_with(tmp_path):
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    path.write_bytes(wav(simulate(700, 1, seed=5)))
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1()))
    data = packed.read_bytes()
    with Reader(packed) as reader:
        record = reader.header.record(lay.MODEL)
    start = data.index(record)
    for at in [*range(start, start + 12), *range(start + 12, start + len(record), 41), start + len(record) - 1]:
        packed.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(DataError) as error:
            decompress_file(packed, out)
        one_sentence(error.value, str(packed))
        assert not out.exists()
        ((_, result),) = decompress_together([(packed, out)])
        one_sentence(result, str(packed))
    for end in range(start, start + len(record), 173):
        packed.write_bytes(data[:end])
        with pytest.raises(DataError) as error:
            decompress_file(packed, out, salvage=True)
        one_sentence(error.value, str(packed))


def test_a_model_too_large_to_embed(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(simulate(700, 1, seed=5)))
    monkeypatch.setattr(embedding, "LARGEST_RECORD", 1000)
    with pytest.raises(UsageError, match="at most 1,000 can be embedded"):
        compress_file(path, tmp_path / "a.spky", Settings(model=GENTLE, embed_model=True, calibration=n1()))
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    compress_file(path, tmp_path / "a.spky", Settings(model=GENTLE, calibration=n1()))


@pytest.mark.parametrize("jobs", [1, 2])
def test_blocks_of_several_channels(tmp_path, monkeypatch, jobs):
    cut_into(monkeypatch, 64, 2)
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    samples = simulate(300, 3, seed=2)
    path.write_bytes(wav(samples))
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1(), jobs=jobs))
    decompress_file(packed, out, jobs=jobs)
    assert out.read_bytes() == path.read_bytes()
    assert reference.decode(packed.read_bytes(), [n1().to_bytes()]) == path.read_bytes()
    assert verify_file(packed, jobs).original == path.stat().st_size
    with Reader(packed) as reader:
        assert len(reader.structure.blocks) == 10
        assert {reader.method_byte(block)[0] & 15 for block in reader.structure.blocks} >= {4}
        np.testing.assert_array_equal(reader[70:200:7, 1:], samples[70:200:7, 1:])


def test_a_damaged_block_harms_no_other(tmp_path, monkeypatch, unguarded):
    cut_into(monkeypatch, 64, 2)
    ahead = []
    monkeypatch.setattr(BlockDecoder, "provide", _counted(BlockDecoder.provide, ahead))
    path, packed, out = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    samples = simulate(300, 3, seed=2)
    path.write_bytes(wav(samples))
    compress_file(path, packed, Settings(model=GENTLE, embed_model=True, calibration=n1()))
    assert len(ahead) == 10
    data = packed.read_bytes()
    with Reader(packed) as reader:
        blocks = reader.structure.blocks
    victim, front = blocks[2], data[: blocks[0].offset - 40]
    assert GENTLE.id in front
    for at, byte in [
        (victim.offset, 0x05),  # another method
        (victim.offset + 1, 7),  # lanes
        (victim.offset + 4, 255),  # what a channel is like, or the size of a stream
        (victim.offset + victim.size // 2, None),  # a stream
        (victim.offset + victim.size - 1, None),
    ]:
        wrong = bytearray(data)
        wrong[at] = wrong[at] ^ 1 if byte is None else byte
        packed.write_bytes(wrong)
        with pytest.raises(DamagedError) as error:
            decompress_file(packed, out)
        assert error.value.ranges == [victim.extent] and not out.exists()
        _, lost = decompress_file(packed, out, salvage=True)
        assert lost == [victim.extent]
        wanted = samples.copy()
        wanted[64:128, :2] = 0
        assert out.read_bytes() == wav(wanted)
        out.unlink()
        with pytest.raises(DamagedError) as error:
            verify_file(packed)
        assert error.value.ranges == [victim.extent]
    packed.write_bytes(data[:-30])  # no index
    _, lost = decompress_file(packed, out, salvage=True)
    assert not lost and out.read_bytes() == path.read_bytes()


def _counted(provide, calls):
    def counted(decoder, block, samples):
        calls.append(block)
        provide(decoder, block, samples)

    return counted


# ---------------------------------------------------------------- many recordings


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Recordings of all lengths and kinds, and what is none."""
    path = tmp_path_factory.mktemp("recordings")
    for length in LENGTHS:
        (path / f"{length:03}.wav").write_bytes(wav(simulate(length, 1, seed=length)))
    for seed in range(3):
        (path / f"long{seed}.wav").write_bytes(wav(simulate(600 + seed, 1 + seed, seed=seed)))
    even = (known_signal(400) // 64).astype(np.int16)
    (path / "even.wav").write_bytes(wav(even))
    content = wav(even)
    (path / "float.wav").write_bytes(content.replace(b"\x10\0\0\0\1\0", b"\x10\0\0\0\3\0", 1))
    (path / "bad.wav").write_bytes(b"RIFF")
    (path / "tail.wav").write_bytes(content + b"and more" * 9)
    (path / "long tail.wav").write_bytes(content + bytes(70_000))
    return path


@pytest.mark.parametrize("model", [GENTLE, NONSENSE[1]], ids=["gentle", "nonsense"])
@pytest.mark.parametrize("verify", [True, False])
def test_many_recordings_at_once(folder, tmp_path, model, verify):
    settings = Settings(model=model, embed_model=True, verify=verify)
    sources = [*sorted(folder.glob("*.wav")), folder / "none.wav"]
    if model is not GENTLE:
        sources = sources[:4]
    (tmp_path / "one").mkdir()
    work = [(source, tmp_path / source.with_suffix(".spky").name) for source in sources]
    results = compress_together(work, settings)
    assert [source for source, _ in results] == sources
    used = 0
    for (source, result), (_, packed) in zip(results, work, strict=True):
        alone = tmp_path / "one" / packed.name
        if source.stem in ("bad", "none"):
            assert isinstance(result, DataError) and str(source) in str(result) and not packed.exists()
            continue
        assert result == compress_file(source, alone, settings), source
        assert packed.read_bytes() == alone.read_bytes()
        assert bool(result.note) == (source.stem == "float")
        with Reader(packed) as reader:
            used += bool(reader.model_id)
    assert used >= 3 if model is GENTLE else used == 0
    packed = sorted(tmp_path.glob("*.spky"))
    victim = tmp_path / "long1.spky" if model is GENTLE else packed[-1]
    data = bytearray(victim.read_bytes())
    data[-9] ^= 1
    victim.write_bytes(data)
    (tmp_path / "text.spky").write_bytes(b"once upon a time")
    packed += [tmp_path / "text.spky", tmp_path / "none.spky"]
    restored = [(path, tmp_path / f"{path.stem}.wav") for path in packed]
    for (path, target), (name, result) in zip(restored, decompress_together(restored), strict=True):
        assert path == name
        if path.stem in (victim.stem, "text", "none"):
            assert isinstance(result, DataError) and str(path) in str(result) and not target.exists()
        else:
            assert target.read_bytes() == (folder / target.name).read_bytes()
            assert result == decompress_file(path, target)


def test_one_recording_twice_and_outputs_that_cannot_be(folder, tmp_path):
    source, missing = folder / "long0.wav", tmp_path / "no" / "a"
    work = [(source, tmp_path / "a"), (source, missing), (source, tmp_path / "b")]
    settings = Settings(model=GENTLE, embed_model=True)
    first, wrong, second = (result for _, result in compress_together(work, settings))
    assert first == second and isinstance(wrong, UsageError) and str(missing) in str(wrong)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    work = [(tmp_path / "a", tmp_path / "c"), (tmp_path / "a", missing), (tmp_path / "a", tmp_path / "d")]
    first, wrong, second = (result for _, result in decompress_together(work))
    assert first == second and isinstance(wrong, UsageError)
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes() == source.read_bytes()


# ---------------------------------------------------------------- the command line


def run(*arguments: str | Path, fails: type[SpikeyError] | None = None) -> str:
    """What a command says on standard output, or the error it ends with."""
    force = ["--force"] if arguments[0] in ("compress", "decompress") else []
    done = runner.invoke(app, [*(str(argument) for argument in arguments), *force])
    if fails is not None:
        assert isinstance(done.exception, fails), (done.output, done.exception)
        assert "\n" not in str(done.exception)
        return str(done.exception)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """A folder of models that is known."""
    path = tmp_path / "models"
    path.mkdir()
    gentle = Model(LSTM, GENTLE.tensors, {"name": "gentle"})
    (path / "a.safetensors").write_bytes(gentle.file)
    (path / "b.safetensors").write_bytes(b"junk")
    (path / "notes.txt").write_text("not a model")
    monkeypatch.setenv("SPIKEY_MODELS", str(path))
    return path


def test_models_are_listed(models, monkeypatch):
    text = run("models")
    model = load(models / "a.safetensors")
    for part in ("gentle", model.id.hex(), "lstm", "2 x 8", "unusable", "b.safetensors"):
        assert part in text
    first, second = json.loads(run("models", "--json"))
    assert (first["name"], first["id"], first["bytes"]) == ("gentle", model.id.hex(), len(model.file))
    assert first["architecture"] == asdict(LSTM) and second["problem"].startswith(str(models / "b.safetensors"))
    monkeypatch.delenv("SPIKEY_MODELS")
    assert "no models" in run("models") and json.loads(run("models", "--json")) == []


def test_the_options_of_models(folder, models, tmp_path, monkeypatch):
    source, packed, out = folder / "long0.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    model = load(models / "a.safetensors")
    for name, embed in (("gentle", False), (models / "a.safetensors", True)):
        run("compress", source, packed, "--model", name, *["--embed-model"] * embed)
        (facts,) = json.loads(run("info", "--json", packed))
        expected = {"predictor": "learned", "model": model.id.hex(), "model_embedded": embed, "lanes": 1}
        assert expected.items() <= facts.items()
        run("decompress", packed, out)
        assert out.read_bytes() == source.read_bytes()
    assert "learned" in run("info", packed)
    for options, says in [
        (["--model", "gentle", "--preset", "balanced"], "--preset or --model"),
        (["--embed-model"], "--embed-model needs a trained model"),
        (["--embed-model", "--preset", "balanced"], "--embed-model needs a trained model"),
        (["--model", "gently"], "gentle"),
    ]:
        assert says in run("compress", source, tmp_path / "x", *options, fails=UsageError)
    junk_path = models / "b.safetensors"
    assert str(junk_path) in run("compress", source, tmp_path / "x", "--model", junk_path, fails=DataError)
    assert not (tmp_path / "x").exists()
    run("compress", source, packed, "--model", "gentle")
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.delenv("SPIKEY_MODELS")
    assert model.id.hex() in run("decompress", packed, out, fails=DataError)
    run("decompress", packed, out, "--model", models / "a.safetensors")
    assert out.read_bytes() == source.read_bytes()


def test_folders_of_recordings(folder, models, tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    for path in sorted(folder.glob("*.wav")):
        if path.stem not in ("bad", "float"):
            (good / path.name).write_bytes(path.read_bytes())
    run("compress", good, tmp_path / "out", "--model", "gentle", "--jobs", "2")
    run("compress", good / "long0.wav", tmp_path / "long0.spky", "--model", "gentle")
    assert (tmp_path / "long0.spky").read_bytes() == (tmp_path / "out" / "good" / "long0.spky").read_bytes()
    run("decompress", tmp_path / "out", tmp_path / "back", "--jobs", "2")
    assert {p.name for p in (tmp_path / "back" / "good").iterdir()} == {p.name for p in good.iterdir()}
    for path in good.iterdir():
        assert (tmp_path / "back" / "good" / path.name).read_bytes() == path.read_bytes()
    run("verify", tmp_path / "out")


def test_configurations_of_networks(folder, models, tmp_path, monkeypatch):
    source, packed, out = folder / "long0.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    monkeypatch.setenv("SPIKEY_MODELS", "")
    config = tmp_path / "c.yaml"
    sizes = "{type: lstm, input_size: 13, hidden_size: 8, num_layers: 2}"
    config.write_text(f"name: Mine\npredictor: {sizes}\ntraining: {{save_path: {tmp_path / 'made'}}}\n")
    command = ["compress", "--config", config, source, packed]
    trained.SHIPPED.mkdir()
    stand_in = trained.SHIPPED / "n1-lstm-small.safetensors"
    stand_in.write_bytes(ALONE_MODEL.file)
    done = runner.invoke(app, list(map(str, command)))
    assert done.exit_code == 0, done.exception
    for part in ("Mine.safetensors is missing", f"main.py {config} Mine", "n1-lstm-small"):
        assert part in done.output
    packed.unlink()
    stand_in.unlink()
    run(*command, "--preset", "fast")  # the predictor is not needed then
    run(*command, "--model", models / "a.safetensors")
    run("decompress", "--config", config, packed, out)
    assert out.read_bytes() == source.read_bytes()
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "Mine.safetensors").write_bytes(DENSE_MODEL.file)
    assert "train it again" in run(*command, fails=UsageError)
    (tmp_path / "made" / "Mine.safetensors").write_bytes(GENTLE.file)
    run(*command)
    with Reader(packed) as reader:
        assert reader.model_id == GENTLE.id
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.setattr(trained, "_places", [])
    assert GENTLE.id.hex() in run("decompress", packed, out, fails=DataError)
    run("decompress", "--config", config, packed, out)
    assert out.read_bytes() == source.read_bytes()

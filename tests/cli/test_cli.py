"""The command line: the documented forms as real processes, and one sentence for everything that can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kit.commands import ENVIRONMENT, names, process, refused, wav, without_notices
from kit.golden import known_model
from kit.paths import ROOT
from kit.writing import cut_into, write_file
from spikey.cli.common import settings_from
from spikey.codec.encode import encode_block
from spikey.codec.method import LPC
from spikey.container.reader import Reader
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import Calibration
from spikey.model.trained import SHIPPED, Architecture, Model
from spikey.model.trained import load as load_model
from spikey.recording.layout import Layout, pack
from spikey.recording.readable import ArraySource
from spikey.recording.wav import canonical_head

SMALL = Architecture("lstm", alone=True, lags=1, hidden=5, layers=1)

# ---------------------------------------------------------------- real processes


def test_the_documented_forms(tmp_path):
    content = wav()
    (tmp_path / "a.wav").write_bytes(content)
    config = ["--config", ROOT / "config.yaml"]
    command = [ROOT / "cli.py", "compress", *config, "--input_file", "a.wav", "--output_file", "a.bin"]
    out, err = process(*command, cwd=tmp_path)
    assert "ratio" in out
    (note,) = [line for line in err.splitlines() if not line.startswith("progress: ")]
    assert note == (
        f"note: models/Test.safetensors is missing (train it with: python main.py {ROOT / 'config.yaml'} Test); "
        "the shipped model n1-lstm-small is used instead"
    )
    (tmp_path / "models").mkdir()
    built = Architecture("lstm", alone=True, lags=1, hidden=128, layers=2)
    (tmp_path / "models" / "Test.safetensors").write_bytes(known_model(built).file)
    out, err = process(*command, cwd=tmp_path)
    assert "ratio" in out and not err
    out, err = process(
        ROOT / "cli.py", "decompress", *config, "--input_file", "a.bin", "--output_file", "b.wav", cwd=tmp_path
    )
    assert "restored" in out and not err
    assert (tmp_path / "b.wav").read_bytes() == content
    assert names(tmp_path) == {"a.wav", "a.bin", "b.wav", "models/Test.safetensors"}


def test_folders_with_several_jobs(tmp_path):
    files = {"x/1.wav": wav(300), "x/2.WAV": wav(300, 2), "3.wav": wav(0), "bad.wav": b"RIFF", "notes.txt": b"hello"}
    for name, content in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    command = ["-m", "spikey", "compress", tmp_path / "in", tmp_path / "out", "--jobs", "2", "--preset", "fast"]
    out, err = process(*command, status=1)
    assert "3 files" in out
    assert sorted(err.splitlines()) == sorted(
        [
            f"spikey: {tmp_path / 'in' / 'bad.wav'} ends after 4 bytes, within the header of a WAV file [truncated]",
            f"note: 1 file is not stored (5 bytes): {tmp_path / 'in' / 'notes.txt'} (not a recording)",
            f"note: {tmp_path / 'in' / '3.wav'} contains no samples",
            "spikey: 1 of 4 files could not be compressed",
        ]
    )
    assert names(tmp_path / "out") == {"in/x/1.spky", "in/x/2.spky", "in/3.spky"}
    process("-m", "spikey", "decompress", tmp_path / "out", tmp_path / "back", "--jobs", "2")
    for name in ("x/1.wav", "x/2.WAV", "3.wav"):
        assert (tmp_path / "back" / "in" / name).read_bytes() == files[name]


@pytest.mark.parametrize("many", [False, True])
def test_an_interrupt_leaves_nothing(tmp_path, many):
    samples = np.random.default_rng(0).integers(-9000, 9000, 8_000_000).astype(np.int16)
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    for name in ("a.raw", "b.raw") if many else ("a.raw",):
        (tmp_path / "in" / name).write_bytes(samples.tobytes())
    what = [tmp_path / "in", out, "--jobs", "2"] if many else [tmp_path / "in" / "a.raw", out]
    kind = ["--channels", "1", "--rate", "30000", "--dtype", "int16"]
    command = [sys.executable, "-m", "spikey", "compress", *map(str, what), *kind, "--preset", "fast"]
    running = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not any(path.stat().st_size > 100_000 for path in parts(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.01)
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert without_notices(err) == "spikey: interrupted; no unfinished output was kept\n"
    assert not parts(tmp_path) and not names(tmp_path) - {"in/a.raw", "in/b.raw"}


def parts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_disk_that_fills_up(tmp_path):
    import resource

    (tmp_path / "a.wav").write_bytes(wav(20_000))
    _, err = process(
        ROOT / "cli.py",
        "compress",
        tmp_path / "a.wav",
        tmp_path / "a.spky",
        status=2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
    )
    assert err == f"spikey: {tmp_path / 'a.spky'}: cannot be written (File too large) [cannot-write]\n"
    assert names(tmp_path) == {"a.wav"}


# ---------------------------------------------------------------- in this process


def test_info(tmp_path, run):
    (tmp_path / "a.wav").write_bytes(wav(500, 2))
    (tmp_path / "float.wav").write_bytes(wav(500).replace(b"\x10\0\0\0\1\0", b"\x10\0\0\0\3\0", 1))
    for name in ("a", "float"):
        assert run("compress", tmp_path / f"{name}.wav", tmp_path / f"{name}.spky", "--preset", "fast")[0] == 0
    status, out, err = run("info", "--json", tmp_path / "a.spky", tmp_path / "float.spky")
    assert (status, err) == (0, "")
    first, second = json.loads(out)
    size = (tmp_path / "a.spky").stat().st_size
    expected = {
        "file": str(tmp_path / "a.spky"),
        "format_version": 1,
        "holds": "canonical wav",
        "compressed_bytes": size,
        "channels": 2,
        "rate": 19531.0,
        "frames": 500,
        "dtype": "int16",
        "sample_bytes": 2000,
        "predictor": "wide",
        "coder": "rANS",
    }
    assert expected.items() <= first.items()
    assert second["holds"] == "bytes" and "without a model" in second["note"] and second["original_bytes"] == 1044
    status, out, _ = run("info", tmp_path / "a.spky")
    assert status == 0 and "canonical wav" in out


def test_verify(tmp_path, run):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.wav").write_bytes(wav(400, seed=ord(name)))
    assert run("compress", tmp_path, "--preset", "fast", "--jobs", "2")[0] == 0
    status, out, err = run("verify", tmp_path)
    assert (status, err) == (0, "") and out.startswith("verified 3 files")
    data = bytearray((tmp_path / "b.spky").read_bytes())
    data[-20] ^= 1
    (tmp_path / "b.spky").write_bytes(data)
    refused(run("verify", tmp_path / "b.spky"), 1, tmp_path / "b.spky", "damaged", "frames 0 to 400")
    status, out, err = run("verify", tmp_path)
    assert status == 1 and out.startswith("verified 2 files")
    assert err.endswith("spikey: 1 of 3 files are damaged\n") and str(tmp_path / "b.spky") in err
    (tmp_path / "none").mkdir()
    refused(run("verify", tmp_path / "none"), 2, tmp_path / "none", "no files")


def test_raw_files_keep_their_names(tmp_path, run):
    content = np.arange(3002, dtype=np.int16).tobytes()
    for name in ("a.dat", "b.raw"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    kind = ["--channels", 2, "--rate", "30000.5", "--dtype", "int16", "--preset", "fast"]
    assert run("compress", tmp_path / "in", tmp_path / "out", *kind)[0] == 0
    assert names(tmp_path / "out") == {"in/a.dat.spky", "in/b.raw.spky"}
    assert run("decompress", tmp_path / "out", tmp_path / "back")[0] == 0
    assert names(tmp_path / "back") == {"in/a.dat", "in/b.raw"}
    assert (tmp_path / "back" / "in" / "a.dat").read_bytes() == content


def test_the_fallback_is_announced(tmp_path, run):
    (tmp_path / "a.wav").write_bytes(wav(500).replace(b"\x10\0\0\0\1\0", b"\x10\0\0\0\7\0", 1))
    status, out, err = run("compress", tmp_path / "a.wav", tmp_path / "a.spky")
    assert status == 0 and "ratio" in out
    assert err.startswith("note: ") and "mu-law" in err and "plain bytes" in err
    shutil.copy(tmp_path / "a.wav", tmp_path / "c.wav")
    assert run("compress", tmp_path / "c.wav")[0] == 0  # no name is stored that follows
    assert (tmp_path / "c.spky").read_bytes() == (tmp_path / "a.spky").read_bytes()
    assert run("decompress", tmp_path / "a.spky", tmp_path / "b.wav")[0] == 0
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


def test_files_that_are_not_restored_are_counted_but_for_the_journal(tmp_path, run):
    (tmp_path / "a.wav").write_bytes(wav())
    (tmp_path / "packed").mkdir()
    assert run("compress", tmp_path / "a.wav", tmp_path / "packed")[0] == 0
    (tmp_path / "packed" / ".spikey-watch.jsonl").write_text("{}\n")
    assert "not restored" not in "".join(run("decompress", tmp_path / "packed", tmp_path / "one/")[1:])
    (tmp_path / "packed" / "notes.txt").write_text("a")
    assert "1 file is not compressed and not restored" in run("decompress", tmp_path / "packed", tmp_path / "two/")[2]


def test_a_configuration_chooses_and_is_not_needed_to_restore(tmp_path, run):
    (tmp_path / "a.wav").write_bytes(wav(500))
    config = tmp_path / "c.yaml"
    config.write_text(
        "predictor: {type: lpc}\nbitstream_encoding: {type: arithmetic}\npreprocessing: {use_delta_encoding: false}\n"
    )
    assert run("compress", "--config", config, tmp_path / "a.wav", tmp_path / "a.spky")[0] == 0
    facts = json.loads(run("info", "--json", tmp_path / "a.spky")[1])[0]
    assert (facts["predictor"], facts["coder"], facts["delta_encoding"]) == ("lpc", "arithmetic", False)
    status, _, err = run("decompress", "--config", ROOT / "config.yaml", tmp_path / "a.spky", tmp_path / "b.wav")
    assert (status, err) == (0, "")
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    config.write_text("presett: fast\n")
    refused(run("compress", "--config", config, tmp_path / "a.wav", tmp_path / "x"), 2, config, "preset")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("kind", "shipped"), [("lstm", "n1-lstm-small"), ("fixed_input_nn", "n1-fixed")])
def test_a_shipped_model_stands_in_for_one_that_is_not_trained_yet(kind, shipped, tmp_path, run, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my configuration.yaml").write_text(f"predictor: {{type: {kind}, hidden_size: 9}}\n")
    configuration = Path("my configuration.yaml")
    # One of the same name in ./models is not the shipped one.
    (tmp_path / "models").mkdir()
    other = Model(SMALL, known_model(SMALL).tensors, {"name": shipped})
    (tmp_path / "models" / f"{shipped}.safetensors").write_bytes(other.file)
    chosen = settings_from(configuration, None, None, None, None, (None, None, None))
    assert chosen.model is not None and chosen.model.id == load_model(SHIPPED / f"{shipped}.safetensors").id
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("note: models/default.safetensors is missing ")
    assert "(train it with: python main.py 'my configuration.yaml')" in said and shipped in said

    (tmp_path / "models" / "default.safetensors").write_bytes(known_model(SMALL).file)
    (tmp_path / "a.wav").write_bytes(wav(300))
    parts = ("is a model of", "train it again with: python main.py 'my configuration.yaml'")
    refused(run("compress", "--config", configuration, "a.wav", "x"), 2, *parts)
    assert not (tmp_path / "x").exists()


def test_bad_inputs_of_compress(tmp_path, run):
    out = tmp_path / "out.spky"
    bad = {
        "empty.wav": (b"", "is empty"),
        "text.wav": (b"once upon a time, there was", "not a WAV file"),
        "header.wav": (wav()[:36], "no data chunk"),
        "short.wav": (wav()[:20], ""),
        "flac.wav": (b"fLaC" + bytes(40), "FLAC"),
    }
    for name, (content, says) in bad.items():
        (tmp_path / name).write_bytes(content)
        refused(run("compress", tmp_path / name, out), 1, tmp_path / name, says)
    refused(run("compress", tmp_path / "none.wav", out), 1, tmp_path / "none.wav", "does not exist")
    (tmp_path / "hollow").mkdir()
    refused(run("compress", tmp_path / "hollow", out), 2, tmp_path / "hollow", "no files")
    good = tmp_path / "good.wav"
    good.write_bytes(wav(100))
    kind = ("--channels", "1", "--rate", "100", "--dtype", "int16")
    for wrong, says in [
        (("--preset", "quick"), "fast"),
        (("--calibration", tmp_path / "none"), tmp_path / "none"),
        (("--calibration", good), good),
        (("--channels", "2"), "--rate"),
        ((*kind[:5], "float16"), "float16"),
        (("--channels", "0", *kind[2:]), "channel"),
        (("--channels", "1", "--rate", "nan", *kind[4:]), "rate"),
        (("--channels", "1", "--rate", "0", *kind[4:]), "rate"),
        (("--config", tmp_path / "none.yaml"), "none.yaml"),
    ]:
        status = 1 if wrong[0] == "--calibration" else 2
        refused(run("compress", good, out, *wrong), status, says)
    refused(run("compress"), 2, "an input")
    refused(run("compress", good, out, "--input_file", good), 2, "--output_file")
    refused(run("compress", good, "-o", good), 2, good, "read and written at once")
    refused(run("compress", good, tmp_path / "no" / "a.spky"), 2, tmp_path / "no" / "a.spky", "cannot be written")
    refused(run("compress", good, "/dev/full"), 2, "/dev/full")
    refused(run("compress", good, good, f"{tmp_path}/out/"), 2, "would both be written")
    refused(run("compress", good, bad_folder(tmp_path), "-o", good), 2, good, "is a file")
    assert names(tmp_path) == {*bad, "good.wav", "folder/1.wav"}


def bad_folder(folder: Path) -> Path:
    (folder / "folder").mkdir()
    (folder / "folder" / "1.wav").write_bytes(wav(5))
    return folder / "folder"


def test_bad_inputs_of_the_other_commands(tmp_path, run, monkeypatch):
    mine = Calibration(np.arange(1025, dtype=np.int32) * 64, np.array([1 << 16], np.int32))
    codes = np.random.default_rng(0).integers(500, 520, (90, 1))
    assert encode_block(N1_VALUES[codes], LPC, mine) is not None
    (tmp_path / "mine.safetensors").write_bytes(mine.to_bytes())
    layout = Layout(1, 19_531, "int16")
    (tmp_path / "a.wav").write_bytes(canonical_head(layout, 90) + pack(N1_VALUES[codes], layout))
    packed, out = tmp_path / "a.spky", tmp_path / "b.wav"
    options = ["--calibration", tmp_path / "mine.safetensors", "--preset", "fast"]
    assert run("compress", tmp_path / "a.wav", packed, *options)[0] == 0
    assert run("decompress", packed, out)[0] == 0  # it travels with the file
    out.unlink()
    data = packed.read_bytes()
    cut_into(monkeypatch, 30, 1)
    assert run("compress", tmp_path / "a.wav", packed, "--preset", "balanced", "--force")[0] == 0
    blocks = packed.read_bytes()
    with Reader(packed) as reader:
        at = reader.structure.blocks[1].offset + 5
    bad = {
        "empty.spky": (b"", "is empty"),
        "text.spky": (b"once upon a time", "not a Spikey file"),
        "version.spky": (data[:4] + b"\x07" + data[5:], "format version 7"),
        "truncated.spky": (blocks[:-30], "truncated"),
        "cut.spky": (data[:-30], ""),
        "damaged.spky": (blocks[:at] + bytes([blocks[at] ^ 1]) + blocks[at + 1 :], "frames 30 to 60"),
        "random.spky": (np.random.default_rng(0).bytes(500), "not a Spikey file"),
    }
    before = {*names(tmp_path), *bad}
    for name, (content, says) in bad.items():
        (tmp_path / name).write_bytes(content)
        refused(run("decompress", tmp_path / name, out), 1, tmp_path / name, says)
        refused(run("verify", tmp_path / name), 1, tmp_path / name)
    for command in (("decompress", tmp_path / "none", out), ("info", tmp_path / "none"), ("verify", tmp_path / "none")):
        refused(run(*command), 1, tmp_path / "none", "does not exist")
    refused(run("info", tmp_path), 1, tmp_path, "is a folder")
    refused(run("decompress", packed, tmp_path / "no" / "b.wav"), 2, "cannot be written")
    assert run("simulate", out, "--seconds", "nan")[0] == run("simulate", out, "--seconds", "inf")[0] == 2
    refused(run("simulate", tmp_path / "no" / "b.wav"), 2, "cannot be written")
    assert names(tmp_path) == before

    status, said, err = run("decompress", "--salvage", tmp_path / "damaged.spky", out)
    assert status == 1 and "restored" in said
    assert err.count("\n") == 1 and "1 block is damaged or missing: frames 30 to 60" in err and "zeros" in err
    wanted = bytearray((tmp_path / "a.wav").read_bytes())
    wanted[44 + 60 : 44 + 120] = bytes(60)
    assert out.read_bytes() == wanted


def test_a_missing_calibration(tmp_path, run, monkeypatch):
    edges = np.arange(1025, dtype=np.int32) * 64
    mine = Calibration(edges, np.array([1 << 16], np.int32))
    samples = N1_VALUES[np.random.default_rng(0).integers(500, 520, (90, 1))]
    with (tmp_path / "a.spky").open("wb") as file:
        write_file(ArraySource(samples, 20_000), file, LPC, mine)
    for command in (["decompress", tmp_path / "a.spky", tmp_path / "b.wav"], ["verify", tmp_path / "a.spky"]):
        refused(run(*command), 1, tmp_path / "a.spky", mine.id.hex(), "SPIKEY_CALIBRATIONS")
    refused(run("decompress", "--salvage", tmp_path / "a.spky", tmp_path / "b.wav"), 1, mine.id.hex())
    assert names(tmp_path) == {"a.spky"}
    (tmp_path / "a.safetensors").write_bytes(mine.to_bytes())
    monkeypatch.setenv("SPIKEY_CALIBRATIONS", str(tmp_path))
    assert run("decompress", tmp_path / "a.spky", tmp_path / "b.raw")[0] == 0
    assert (tmp_path / "b.raw").read_bytes() == samples.tobytes()


def test_help_and_wrong_commands(run):
    status, out, _ = run("--help")
    assert status == 0 and all(name in out for name in ("compress", "decompress", "info", "verify", "simulate"))
    status, _, err = run("compres")
    assert status == 2 and "compres" in err
    status, _, err = run("compress", "--jobs", "0", "a", "b")
    assert status == 2 and "jobs" in err


@pytest.mark.skipif(shutil.which("mkfifo") is None, reason="needs named pipes")
def test_pipes_are_refused_rather_than_waited_for(tmp_path, run):
    os.mkfifo(tmp_path / "pipe")
    for command in ("compress", "decompress"):
        refused(run(command, tmp_path / "pipe", tmp_path / "out"), 1, tmp_path / "pipe", "not a regular file")

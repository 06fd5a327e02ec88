"""`spikey compress` and `decompress` from and to an S3 server: the same bytes, no leftovers, whatever step fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit import vendors
from kit.commands import wav
from spikey.recording import store as stores
from spikey.recording.simulate import simulate

pytestmark = pytest.mark.network
FILES = {"a.wav": (2000, 1), "day/b.wav": (30_000, 4), "day/C.WAV": (500, 2)}


@pytest.fixture
def recordings(s3) -> dict[str, bytes]:
    """WAV files in the bucket `input`, beside another file."""
    data = {name: wav(frames, channels, seed=len(name)) for name, (frames, channels) in FILES.items()}
    for name, content in data.items():
        s3.system.pipe(f"input/{name}", content)
    s3.system.pipe("input/notes.txt", b"nothing")
    return data


def test_from_bucket_to_bucket_and_back(run, s3, recordings, tmp_path):
    status, out, err = run("compress", "s3://input/", "s3://output/")
    assert status == 0, err
    assert "1 other file, not ending in .wav, not read" in err and "3 files" in out
    assert s3.names("output") == ["output/input/a.spky", "output/input/day/C.spky", "output/input/day/b.spky"]
    assert run("decompress", "s3://output/", "s3://output/back/")[0] == 0
    back = {name: s3.system.cat_file(f"output/back/input/{name}") for name in recordings}
    assert back == recordings
    assert run("decompress", "s3://output/", tmp_path / "here")[0] == 0
    assert {name: (tmp_path / "here" / "input" / name).read_bytes() for name in recordings} == recordings
    assert s3.unfinished("output") == []


def test_the_bytes_are_those_of_local_files(run, s3, recordings, tmp_path):
    (tmp_path / "b.wav").write_bytes(recordings["day/b.wav"])
    assert run("compress", tmp_path / "b.wav", tmp_path / "b.spky")[0] == 0
    assert run("compress", "s3://input/day/b.wav", "s3://output/b.spky")[0] == 0
    assert run("compress", tmp_path / "b.wav", "s3://output/from here/")[0] == 0
    local = (tmp_path / "b.spky").read_bytes()
    assert s3.system.cat_file("output/b.spky") == s3.system.cat_file("output/from here/b.spky") == local
    with spikey.open("s3://output/b.spky") as reader:
        assert reader.shape == (30_000, 4)
    assert run("decompress", "s3://output/b.spky", "s3://output/again.wav")[0] == 0
    assert s3.system.cat_file("output/again.wav") == recordings["day/b.wav"]
    assert run("decompress", "s3://output/b.spky", tmp_path / "c.wav")[0] == 0
    assert (tmp_path / "c.wav").read_bytes() == recordings["day/b.wav"]


def test_raw_samples(run, s3, tmp_path):
    samples = simulate(5000, 3, seed=1)
    s3.system.pipe("input/x.dat", samples.astype("<i2").tobytes())
    raw = ["--channels", "3", "--rate", "20000", "--dtype", "int16"]
    assert run("compress", "s3://input/", "s3://output", *raw)[0] == 0
    assert run("decompress", "s3://output/input/", tmp_path / "back")[0] == 0
    assert (tmp_path / "back" / "x.dat").read_bytes() == samples.astype("<i2").tobytes()


def test_a_vendors_folder_to_a_bucket_and_back(run, s3, tmp_path):
    pytest.importorskip("spikeinterface")
    vendors.spikeglx(tmp_path / "run", triggers=1, lf=False)
    status, _, err = run("compress", tmp_path / "run", "s3://output/packed/")
    assert status == 0, err
    assert all(name.endswith(".spky") for name in s3.names("output")) and len(s3.names("output")) == 2
    assert run("decompress", "s3://output/packed/", tmp_path / "back")[0] == 0
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert (tmp_path / "back" / path.relative_to(tmp_path)).read_bytes() == path.read_bytes()
    status, _, err = run("decompress", "s3://output/packed/", "s3://output/back/")
    assert status == 1 and "restore it into a folder on this machine" in err


def test_what_exists_stays(run, s3, recordings):
    assert run("compress", "s3://input/a.wav", "s3://output/a.spky")[0] == 0
    status, _, err = run("compress", "s3://input/a.wav", "s3://output/a.spky")
    assert status == 2 and "s3://output/a.spky: exists" in err
    assert run("compress", "s3://input/a.wav", "s3://output/a.spky", "--force")[0] == 0
    status, _, err = run("decompress", "s3://output/a.spky", "s3://input/a.wav")
    assert status == 2 and "exists" in err
    assert s3.system.cat_file("input/a.wav") == recordings["a.wav"]


def test_one_that_fails_does_not_stop_the_others(run, s3, recordings):
    s3.system.pipe("input/bad.wav", b"nonsense")
    status, out, err = run("compress", "s3://input/", "s3://output/", "--json")
    assert status == 1 and "1 of 4 files" in err and "bad.wav" in err
    facts = json.loads(out)
    assert facts["failures"] == 1 and sum("ratio" in each for each in facts["files"]) == 3
    assert len(s3.names("output")) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compress", "s3://input/", "s3://output/", "--rm"], "--rm cannot be used"),
        (["compress", "s3://input/", "s3://output/", "--together"], "--together"),
        (["compress", "s3://input/", "s3://output/", "--stream", "a"], "folders on this machine"),
        (["compress", "s3://input/"], "name an output"),
        (["compress", "s3://input/none.wav", "s3://output/a.spky"], "does not exist"),
        (["compress", "s3://nobody/", "s3://output/"], "no such folder"),
        (["decompress", "s3://input/", "s3://output/"], "contains no files that end in .spky"),
        (["decompress", "s3://output/a.spky", "s3://output/b/", "--skip-existing"], "--skip-existing"),
    ],
)
def test_what_cannot_be_is_one_sentence(run, recordings, arguments, said):
    status, _, err = run(*arguments)
    assert status in (1, 2) and said in err and err.count("spikey:") == 1 and "Traceback" not in err


STEPS = ["HEAD", "LIST", "GET", "PUT", "COPY", "DELETE"]
PARTS = ["BEGIN", "PART", "COMPLETE"]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_twice_is_done_again(run, s3, recordings, step):
    s3.fails[step] = 2
    status, _, err = run("compress", "s3://input/", "s3://output/")
    assert status == 0, err
    s3.fails[step] = 2
    assert run("decompress", "s3://output/", "s3://output/back/")[0] == 0
    assert {name: s3.system.cat_file(f"output/back/input/{name}") for name in recordings} == recordings
    assert not [name for name in s3.names("output") if name.endswith(".part")]


@pytest.fixture
def small_parts(monkeypatch, s3):
    """Uploads in parts of 5 MiB, the smallest that S3 takes, rather than of 50."""
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "default_block_size", 5 << 20)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def noise(s3) -> bytes:
    """A recording that stays larger than two parts when it is compressed."""
    samples = np.random.default_rng(0).integers(-32_768, 32_767, (1_500_000, 4)).astype("<i2")
    s3.system.pipe("input/noise.dat", samples.tobytes())
    return samples.tobytes()


RAW = ["--channels", "4", "--rate", "30000", "--dtype", "int16"]


@pytest.mark.slow
@pytest.mark.parametrize("step", PARTS)
def test_an_upload_in_parts_of_which_a_step_fails_twice(run, s3, small_parts, noise, step):
    s3.fails[step] = 2
    status, _, err = run("compress", "s3://input/noise.dat", "s3://output/noise.spky", *RAW)
    assert status == 0, err
    assert s3.asked["PART"] >= 3 and s3.unfinished("output") == []
    assert run("decompress", "s3://output/noise.spky", "s3://output/noise.dat")[0] == 0
    assert s3.system.cat_file("output/noise.dat") == noise


@pytest.mark.slow
@pytest.mark.parametrize("step", [*PARTS, "COPY"])
def test_an_upload_that_fails_for_good_leaves_nothing(run, s3, small_parts, noise, step):
    s3.fails[step] = 1000
    status, _, err = run("compress", "s3://input/noise.dat", "s3://output/noise.spky", *RAW)
    assert status == 2 and "s3://output/noise.spky: cannot be written" in err and err.count("spikey:") == 1
    s3.fails.clear()
    assert s3.names("output") == [] and s3.unfinished("output") == []


def test_an_interrupted_upload_leaves_nothing(s3, small_parts, tmp_path):
    with pytest.raises(KeyboardInterrupt), stores.atomic_address("s3://output/a.bin") as (file, _):
        file.write(bytes(12 << 20))
        assert s3.unfinished("output") != []
        raise KeyboardInterrupt
    assert s3.names("output") == [] and s3.unfinished("output") == []


@pytest.mark.slow
@pytest.mark.parametrize("step", ["GET", "HEAD"])
def test_an_input_that_fails_for_good_is_one_sentence(run, s3, recordings, step, tmp_path):
    assert run("compress", "s3://input/a.wav", tmp_path / "a.spky")[0] == 0
    s3.fails[step] = 1000
    status, _, err = run("compress", "s3://input/a.wav", tmp_path / "b.spky")
    assert status in (1, 2) and "s3://input/a.wav" in err and err.count("spikey:") == 1
    assert not Path(tmp_path / "b.spky").exists()


@pytest.mark.slow
def test_with_dask(run, s3, recordings, tmp_path):
    pytest.importorskip("distributed")
    status, _, err = run("compress", "s3://input/", "s3://output/", "--scheduler", "local", "--jobs", "2")
    assert status == 0, err
    assert run("compress", "s3://input/", "s3://output/alone/")[0] == 0
    for name in ("a", "day/b"):  # the cluster stores no names, so C.WAV is not the same
        one, other = (s3.system.cat_file(f"output/{place}input/{name}.spky") for place in ("", "alone/"))
        assert one == other
    assert run("decompress", "s3://output/alone/", tmp_path / "back")[0] == 0
    assert {name: (tmp_path / "back" / "input" / name).read_bytes() for name in recordings} == recordings

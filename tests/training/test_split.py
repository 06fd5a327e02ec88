"""Recordings of one instant stay on one side of every split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kit.zips import WAV, noise, wav_bytes
from spikey.base.errors import DataError, UsageError
from spikey.files.devices import training_files
from spikey.recording import simultaneous as simultaneous_module
from spikey.recording.simultaneous import groups, simultaneous
from spikey.training.data import split

# Splits


def written(folder: Path, **samples: np.ndarray) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in samples.items():
        (folder / f"{name}.wav").write_bytes(wav_bytes(content))
    return sorted(folder.rglob("*.wav"))


@pytest.fixture
def twelve(tmp_path) -> list[Path]:
    """a0 to a3 are one instant, b0 and b1 another (related through b2 only), six more are alone."""
    common = noise(100)
    mixed = {f"a{i}": common // 2 + noise(i) // 2 for i in range(4)}
    one, other = noise(200), noise(201)
    chain = {"b0": one, "b1": other, "b2": one // 2 + other // 2}
    alone = {f"c{i}": noise(300 + i) for i in range(3)}
    shorter = {"d0": common[:-1], "d1": noise(400, channels=2)}
    return written(tmp_path / "set", **mixed, **chain, **alone, **shorter)


def names(paths: list[Path]) -> str:
    return " ".join(path.stem for path in paths)


def test_groups(twelve):
    assert list(map(names, groups(twelve))) == ["a0 a1 a2 a3", "b0 b1 b2", "c0", "c1", "c2", "d0", "d1"]
    assert [(twelve[i].stem, twelve[j].stem) for i, j in simultaneous(twelve) if i > 3] == [("b0", "b2"), ("b1", "b2")]
    assert list(map(names, groups(twelve[::-1])))[-1] == "a3 a2 a1 a0"


def test_groups_do_not_depend_on_what_is_read_at_once(twelve, monkeypatch):
    whole = simultaneous(twelve)
    reads = []
    real = simultaneous_module.open_wav
    monkeypatch.setattr(simultaneous_module, "ROOM", 9 * 1024)
    monkeypatch.setattr(simultaneous_module, "open_wav", lambda path: reads.append(path) or real(path))
    assert simultaneous(twelve) == whole
    assert len(reads) > 10 * len(twelve)


def test_correlations_are_numpys(tmp_path):
    samples = [noise(1)[:, 0], (noise(1) // 3 + noise(2))[:, 0], noise(3)[:, 0]]
    paths = written(tmp_path, **{f"r{i}": content[:, None] for i, content in enumerate(samples)})
    changes = np.diff(np.array(samples, np.float64))
    size = np.linalg.norm(changes, axis=1)
    got = simultaneous_module._correlations(paths, len(samples[0]), 1000)
    assert np.allclose(got, changes @ changes.T / np.outer(size, size), atol=1e-6)


def test_a_faint_common_part_is_enough_and_chance_is_not(tmp_path):
    common = noise(9) * 0.3
    paths = written(tmp_path / "faint", a=(noise(1) + common).astype("<i2"), b=(noise(2) + common).astype("<i2"))
    assert simultaneous(paths) == [(0, 1)]  # 0.083
    opposite = written(tmp_path / "opposite", a=noise(1), b=-noise(1))
    assert simultaneous(opposite) == [(0, 1)]
    short = written(tmp_path / "short", **{f"s{i}": noise(i, 1000) for i in range(30)})
    assert simultaneous(short) == []  # where the largest of 435 correlations is beyond 0.05
    same = written(tmp_path / "same", a=noise(1, 20), b=noise(1, 20), c=noise(1, 1), d=noise(1, 1), e=noise(1, 0))
    assert simultaneous(same) == [(0, 1)]
    silent = written(tmp_path / "silent", a=np.zeros((9, 1), "<i2"), b=np.zeros((9, 1), "<i2"))
    assert simultaneous(silent) == []


def test_training_files_leave_out_what_is_directly_related_only(twelve):
    assert names(training_files(twelve, 0)) == names(twelve)
    assert names(training_files(twelve, 5)) == "b0 c0 c1 c2 d1"  # a0, b1 and d0 are held out
    left = training_files([path for path in twelve if path.stem in ("b0", "b1", "b2", "c0")], 4)
    assert names(left) == "b1 c0"  # b0 is held out, b2 related to it, b1 to b2 alone


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.8, 0.99])
def test_split(twelve, seed, ratio):
    training, validation = split(twelve, ratio, seed)
    assert sorted(training + validation) == twelve and training and validation
    assert training == sorted(training) and validation == sorted(validation)
    for letter in "ab":
        assert len({path in training for path in twelve if path.stem.startswith(letter)}) == 1
    assert ratio * 12 - 4 < len(training) <= max(ratio * 12 + 0.5, 1)


def test_split_depends_on_the_seed_and_on_names_alone(twelve, tmp_path):
    # Fixed for ever: a change here changes what the validation figures of trained models mean.
    assert names(split(twelve, 0.75, 0)[1]) == "b0 b1 b2"
    assert names(split(twelve, 0.5, 1)[0]) == "b0 b1 b2 c0 c1 d0"
    assert split(twelve[::-1] + twelve, 0.75, 0) == split(twelve, 0.75, 0)
    assert len({names(split(twelve, 0.75, seed)[1]) for seed in range(10)}) > 3
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(twelve[0].parent, moved)
    assert names(split(sorted(moved.iterdir()), 0.75, 0)[1]) == names(split(twelve, 0.75, 0)[1])


def test_nearly_the_ratio_of_many(tmp_path):
    paths = written(tmp_path, **{f"r{i}": noise(i, 50) for i in range(100)})
    assert [len(side) for side in split(paths, 0.8, 5)] == [80, 20]


def test_groups_larger_than_the_ratio(tmp_path):
    paths = written(tmp_path, a=noise(1), b=noise(1), c=noise(2), d=noise(2), e=noise(2))
    assert [names(side) for side in split(paths, 0.1, 0)] == ["a b", "c d e"]


def test_too_few_to_split(tmp_path):
    paths = written(tmp_path, a=noise(1), b=noise(1))
    for given, says in (
        ([], "no recordings"),
        (paths[:1], "the only recording"),
        (paths, "all 2 recordings are simultaneous"),
    ):
        with pytest.raises(UsageError, match=says):
            split(given, 0.8, 0)
    for ratio in (0, 1, -1, float("nan")):
        with pytest.raises(UsageError, match="between 0 and 1"):
            split(paths, ratio, 0)


@pytest.mark.parametrize("content", [b"", b"RIFF", WAV[:20] + b"\3" + WAV[21:]])
def test_recordings_that_cannot_be_read_are_named(tmp_path, content):
    paths = written(tmp_path, a=noise(1), b=noise(2), broken=noise(3))
    paths[2].write_bytes(content)
    with pytest.raises(DataError, match="broken.wav"):
        split(paths, 0.5, 0)


@pytest.mark.data("neuralink")
def test_real_recordings_pair_up(real_recordings):
    few = real_recordings[:60]
    found = groups(few)
    assert max(map(len, found)) == 2 and len(found) < len(few)
    training, validation = split(few, 0.8, 0)
    assert [len(training), len(validation)] == [48, 12]

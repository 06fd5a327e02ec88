"""`compress --together` and the commands on archives, and `topology`: what they say, and what can go wrong."""

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

import spikey
from kit.archives import noise, wav
from kit.paths import SOURCE
from kit.writing import write_file
from spikey.base.errors import UsageError
from spikey.codec.method import LPC, Method
from spikey.container.archive import Archive
from spikey.container.extra import Extra
from spikey.recording.readable import ArraySource
from spikey.report.topology import Link, Topology, of_channels, of_recordings, opener
from spikey.report.topology_picture import draw_topology

FRAMES = 2000


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two recordings of one instant, a copy, one alone, and a file that is no recording."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    common = noise(0, FRAMES)
    (root / "a.wav").write_bytes(wav(common + noise(1, FRAMES)))
    (root / "sub" / "b.wav").write_bytes(wav(common + noise(2, FRAMES)))
    shutil.copy(root / "a.wav", root / "copy.wav")
    (root / "alone.wav").write_bytes(wav(noise(3, FRAMES)))
    (root / "notes.txt").write_text("not a recording")
    return root


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def recordings(root: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(root).items() if name.endswith(".wav")}


@pytest.fixture
def archive(folder, run, tmp_path) -> Path:
    out = tmp_path / "all.spky"
    assert run("compress", folder, out, "--together", "--preset", "fast")[0] == 0
    return out


def broken(path: Path, name: str) -> Path:
    """The archive with a byte in the middle of a recording changed."""
    with Archive(path) as opened:
        entry = opened.entry(name)
    data = bytearray(path.read_bytes())
    data[entry.offset + entry.size // 2] ^= 0x40
    path.write_bytes(bytes(data))
    return path


def test_there_and_back(folder, run, tmp_path):
    out = tmp_path / "all.spky"
    status, said, err = run("compress", folder, out, "--together", "--preset", "fast", "--jobs", 2)
    assert status == 0 and "4 files (1 group of simultaneous recordings)" in said
    assert err.startswith("note: 1 other file left out, as only .wav files are taken: ") and err.endswith("notes.txt\n")
    size = sum(map(len, recordings(folder).values()))
    assert f"{size:,} bytes as {out.stat().st_size:,}" in said
    status, said, err = run("decompress", out, tmp_path / "back", "--jobs", 2)
    assert (status, err) == (0, "") and files(tmp_path / "back") == recordings(folder)
    assert run("verify", out)[:1] == (0,)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "all.spky", "back"}


def test_single_recordings(archive, folder, run, tmp_path):
    assert run("decompress", archive, tmp_path / "one.wav", "--member", "sub/b.wav")[0] == 0
    assert (tmp_path / "one.wav").read_bytes() == (folder / "sub" / "b.wav").read_bytes()
    some = ("--member", "copy.wav", "--member", "sub/b.wav")
    assert run("decompress", archive, tmp_path / "some", *some)[0] == 0
    assert set(files(tmp_path / "some")) == {"copy.wav", "sub/b.wav"}
    assert run("decompress", archive, f"{tmp_path}/into/", "--member", "a.wav")[0] == 0
    assert set(files(tmp_path / "into")) == {"a.wav"}
    status, _, err = run("decompress", archive, tmp_path / "x.wav", "--member", "b.wav")
    assert status == 2 and "holds no b.wav; did you mean sub/b.wav?" in err and not (tmp_path / "x.wav").exists()


def test_wrong_calls(archive, folder, run, tmp_path):
    for arguments, words in (
        (
            ("compress", folder, tmp_path / "x", "--together", "--scheduler", "local"),
            "--scheduler cannot be used with --together",
        ),
        (("compress", folder, tmp_path / "in", "--together"), "is a folder; name a file"),
        (("compress", tmp_path / "in" / "sub", "s3://a/b", "--together"), "an address, with which --together"),
        (("decompress", archive, archive, tmp_path / "x.wav"), "no such file; a folder for outputs ends in /"),
        (("decompress", archive, folder / "notes.txt"), "is a file; an archive needs a folder"),
        (("topology", archive, folder), "is an archive; give it by itself"),
        (("topology", folder / "a.wav"), "has 1 channel"),
        (("topology", folder, "--picture", tmp_path / "x.txt"), "must end in"),
    ):
        status, out, err = run(*arguments)
        assert (status, out) == (2, "") and words in err and err.count("\n") == 1, err
    (tmp_path / "none").mkdir()
    status, _, err = run("compress", tmp_path / "none", tmp_path / "x.spky", "--together")
    assert status == 2 and "contains no files that end in .wav" in err
    spky = tmp_path / "a.spky"
    spky.write_bytes(spikey.compress(noise(1).astype("int16"), rate=1000))
    status, _, err = run("decompress", spky, tmp_path / "x.wav", "--member", "a")
    assert status == 2 and "is not an archive" in err


def test_bad_recordings_are_named_and_left_out(folder, run, tmp_path):
    (folder / "bad.wav").write_bytes(b"RIFF")
    out = tmp_path / "x.spky"
    status, said, err = run("compress", folder, out, "--together", "--preset", "fast")
    assert status == 1 and "4 files" in said
    assert (
        "bad.wav ends after 4 bytes" in err and f"1 of 5 files could not be compressed and are not in {tmp_path}" in err
    )


def test_raw_files(run, tmp_path):
    (tmp_path / "in").mkdir()
    content = noise(1, channels=2).astype("<i2").tobytes() + b"!"
    (tmp_path / "in" / "a.dat").write_bytes(content)
    raw = ("--channels", 2, "--rate", 30_000, "--dtype", "int16", "--preset", "fast", "--keep-partial")
    assert run("compress", tmp_path / "in", tmp_path / "x.spky", "--together", *raw)[0] == 0
    assert run("decompress", tmp_path / "x.spky", tmp_path / "back")[0] == 0
    assert files(tmp_path / "back") == {"a.dat": content}


def test_info(archive, run):
    status, said, _ = run("info", archive, "--json")
    (facts,) = json.loads(said)
    assert status == 0 and facts["recordings"] == 4 and facts["compressed_bytes"] == archive.stat().st_size
    known = {member["name"]: member for member in facts["members"]}
    assert known["copy.wav"]["coded"] == "copy" and known["copy.wav"]["companions"][0]["name"] == "a.wav"
    assert known["alone.wav"]["frames"] == FRAMES
    status, said, _ = run("info", archive)
    assert status == 0 and "copy of a.wav" in said and "sub/b.wav" in said


def test_verify_names_what_is_lost_and_with_what(archive, run):
    broken(archive, "a.wav")
    status, said, err = run("verify", archive)
    lines = err.splitlines()
    assert status == 1 and "verified" in said
    assert any(f"{archive}, a.wav: 1 block is damaged or missing" in line and "lost with" not in line for line in lines)
    assert any(f"{archive}, copy.wav: " in line and "lost with a.wav" in line for line in lines)
    assert "alone.wav" not in err
    data = bytearray(archive.read_bytes())
    data[-10] ^= 1
    archive.write_bytes(bytes(data))
    status, said, err = run("verify", archive.parent)
    assert status == 1 and "its directory is damaged" in err and "copy.wav" in err and "alone.wav" not in err


def test_damage_and_salvage(archive, folder, run, tmp_path):
    broken(archive, "a.wav")
    status, _, err = run("decompress", archive, tmp_path / "back")
    assert status == 1 and "of 4 files could not be restored" in err and "copy.wav: needs a.wav" in err
    got = files(tmp_path / "back")
    assert {"alone.wav"} <= set(got) and "copy.wav" not in got
    assert all(content == recordings(folder)[name] for name, content in got.items())
    data = archive.read_bytes()
    archive.write_bytes(data[:-30])
    status, _, err = run("decompress", archive, tmp_path / "more")
    assert status == 1 and "--salvage" in err and not (tmp_path / "more").exists()
    status, _, err = run("decompress", archive, tmp_path / "more", "--salvage")
    assert status == 1 and "a single" not in err
    assert (tmp_path / "more" / "alone.wav").read_bytes() == (folder / "alone.wav").read_bytes()


def test_an_interrupted_run_leaves_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    for index in range(40):
        (tmp_path / "in" / f"{index}.wav").write_bytes(wav(noise(index, 100_000)))
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    arguments = [
        sys.executable,
        "-m",
        "spikey",
        "compress",
        "in",
        "x.spky",
        "--together",
        "--jobs",
        "2",
        "--preset",
        "fast",
    ]
    run = subprocess.Popen(arguments, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.02)
    assert any(path.name.endswith(".part") for path in tmp_path.iterdir())
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# ---------------------------------------------------------------- topology


def test_topology_of_a_folder_and_of_its_archive(folder, archive, run, tmp_path):
    status, said, err = run("topology", folder, "--picture", tmp_path / "x.png")
    assert status == 0 and "4 recordings: 3 simultaneous in 1 group, 1 alone" in said and "picture" in err
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads(run("topology", folder, "--json")[1])
    assert facts["groups"] == [["a.wav", "copy.wav", "sub/b.wav"]]
    nodes = {node["name"]: node["coded_with"] for node in facts["nodes"]}
    assert nodes["copy.wav"][0]["copy"] and nodes["copy.wav"][0]["name"] == "a.wav"
    (link,) = nodes["a.wav"] + nodes["sub/b.wav"]
    assert 0.4 < link["correlation"] < 0.6 and not link["copy"] and nodes["alone.wav"] == []
    written = json.loads(run("topology", archive, "--json")[1])
    assert written["links"] == "archive" and ["a.wav", "copy.wav"] in written["groups"]


def test_topology_of_channels(run, tmp_path):
    common = noise(0, 9000, 3)
    samples = (np.concatenate([common, common[:, :2] + noise(1, 9000, 2) / 2], axis=1)).astype("int16")
    with open(tmp_path / "a.spky", "wb") as out:
        write_file(ArraySource(samples, 20_000), out, Method("lpc", lanes=1, references=4))
    (tmp_path / "a.dat").write_bytes(samples.tobytes())
    raw = ("--channels", 5, "--rate", 20_000, "--dtype", "int16")
    for arguments in ((tmp_path / "a.spky",), (tmp_path / "a.dat", *raw)):
        status, said, _ = run("topology", *arguments)
        rows = [line.split() for line in said.splitlines()]
        assert status == 0 and ["3", "0", "(+0.895)"] in rows and ["4", "1", "(+0.888)"] in rows
        assert ["2"] in rows and "5 channels, 2 references" in said


def test_topology_knows_the_probe(tmp_path):
    samples = noise(0, 500, 3).astype("int16")
    probe = {"probes": [{"contact_positions": [[0, 0], [0, 20], [16, 10]], "device_channel_indices": [2, 0, 1]}]}
    metadata = {"streams": [{"name": "", "columns": [0, 1, 2], "probe": probe}]}
    with open(tmp_path / "a.spky", "wb") as out:
        write_file(ArraySource(samples, 20_000), out, LPC, extra=Extra(metadata))
    found = of_channels(tmp_path / "a.spky", opener())
    assert found.positions is not None and found.positions.tolist() == [[0, 20], [16, 10], [0, 0]]
    draw_topology(tmp_path / "x.png", found, "probe")
    metadata["streams"][0]["probe"] = {"probes": [{"contact_positions": "x"}]}
    with open(tmp_path / "b.spky", "wb") as out:
        write_file(ArraySource(samples, 20_000), out, LPC, extra=Extra(metadata))
    assert of_channels(tmp_path / "b.spky", opener()).positions is None


def test_topology_reads_compressed_recordings_too(folder, tmp_path):
    paths = [folder / "a.wav", folder / "sub" / "b.wav"]
    same = []
    for path in paths:
        same.append(tmp_path / f"{path.stem}.spky")
        from spikey.files.compress import compress_file
        from spikey.files.settings import Settings

        compress_file(path, same[-1], Settings(preset="fast"))
    one, other = (of_recordings(["a", "b"], each, opener()) for each in (paths, same))
    assert one.links == other.links and len(one.links) == 1
    assert np.allclose(one.correlations, other.correlations)


@pytest.mark.parametrize("count", [0, 1, 150])
def test_pictures_of_few_and_many(count, tmp_path):
    names = [f"{index}.wav" for index in range(2 * count + 1)]
    values = np.eye(len(names))
    links = [Link(2 * index + 1, 2 * index, 0.1 + index / 1000) for index in range(count)]
    found = Topology("recordings", "measured", names, [9] * len(names), values, links)
    draw_topology(tmp_path / "x.svg", found, "x")
    assert b"<svg" in (tmp_path / "x.svg").read_bytes() and len(found.groups()) == count
    with pytest.raises(UsageError, match="folder does not exist"):
        draw_topology(tmp_path / "no" / "x.png", found, "x")


def _found(of: str, count: int, groups: list[list[int]], correlation: float = 0.5, copies: bool = False) -> Topology:
    values = np.eye(count)
    links = []
    for group in groups:
        values[np.ix_(group, group)] = correlation
        pairs = [(node, other) for place, node in enumerate(group) for other in group[max(place - 4, 0) : place]]
        links += [Link(node, other, correlation, None if copies else 0) for node, other in pairs]
    np.fill_diagonal(values, 1)
    return Topology(of, "measured", [f"{n}.wav" for n in range(count)], [9] * count, values, links)


PICTURES = {
    "nothing": _found("recordings", 6, []),
    "one recording": _found("recordings", 1, []),
    "a pair": _found("recordings", 6, [[1, 4]]),
    "all": _found("recordings", 8, [list(range(8))]),
    "copies": _found("recordings", 30, [list(range(30))], 1.0, copies=True),
    "mixed": _found("recordings", 9, [[0, 3, 5], [1, 2]]),
    "no channels": _found("channels", 16, []),
    "none of many channels": _found("channels", 128, []),
    "all channels": _found("channels", 128, [list(range(128))], 0.97),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_picture_is_neither_blank_nor_one_colour(case, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    draw_topology(tmp_path / "x.png", PICTURES[case], "title")
    pixels = image.imread(tmp_path / "x.png")[:, :, :3]
    height, width = pixels.shape[:2]
    for half in (pixels[:, : width // 2], pixels[:, width // 2 :]):
        below = half[height // 6 :]  # the titles
        assert (below.min(axis=2) < 0.9).sum() > 20  # something is drawn
        deep = (below[:, :, 0] > 0.3) & (below[:, :, 1] < 0.15)  # the scale's deepest red
        assert deep.mean() < 0.35


def test_a_picture_puts_into_words_what_it_cannot_show(tmp_path):
    expected = {
        "nothing": ["None of the 6 recordings", "No recording is coded with another (6 alone)"],
        "a pair": ["all 0.50", "1 group, 4 alone"],
        "copies": ["all 1.00"],
        "all channels": ["all 0.97", "of 502 links, the strongest of each"],
        "none of many channels": ["No channel refers to another (128 alone)"],
    }
    for case, texts in expected.items():
        draw_topology(tmp_path / "x.svg", PICTURES[case], "title")
        drawn = (tmp_path / "x.svg").read_text()  # in which matplotlib repeats every text as a comment
        assert [text for text in texts if text not in drawn] == []


@pytest.mark.data("neuralink")
def test_real_recordings_of_one_instant_are_found(real_recordings):
    names = [path.name for path in real_recordings[:120]]
    found = of_recordings(names, real_recordings[:120], opener())
    groups = found.groups()
    assert groups and all(len(group) == 2 for group in groups)
    assert all(0.05 < abs(link.correlation) < 0.6 for link in found.links)

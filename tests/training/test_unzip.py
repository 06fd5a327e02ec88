"""Recordings at hand and archives of them, which are not trusted."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kit.zips import GOOD, WAV, Bars, FullDisk, everything, noise, sentence, zip_bytes
from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.training import unzip as archive_module
from spikey.training.data import recordings

# Local recordings


def test_recordings_at_hand_are_used(at):
    for name in ("data/b.wav", "data/sub/a.WAV", "data/.hidden/c.wav", "data/__MACOSX/._a.wav", "data/._b.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(WAV)
    Path("data/d.wav").mkdir()
    assert recordings(at("http://127.0.0.1:1/never asked")) == [Path("data/b.wav"), Path("data/sub/a.WAV")]


def test_local_folder_is_used_as_it_is(at, tmp_path):
    Path("there").mkdir()
    Path("there/a.wav").write_bytes(WAV)
    assert recordings(at("there")) == [Path("there/a.wav")]
    assert recordings(at(tmp_path / "there")) == [tmp_path / "there/a.wav"]
    assert recordings(at((tmp_path / "there").as_uri())) == [tmp_path / "there/a.wav"]
    assert everything() == ["there", "there/a.wav"]


@pytest.mark.parametrize("form", [str, Path.as_uri, lambda path: path.name])
def test_local_archive_is_unpacked_and_kept(at, tmp_path, form):
    path = tmp_path / "re cord#ings%.zip"
    path.write_bytes(GOOD)
    said: list[str] = []
    bars = Bars()
    found = recordings(at(form(path)), bars, said.append)
    assert found == [Path("data/recordings/set/B.WAV"), Path("data/recordings/set/a.wav")]
    assert found[1].read_bytes() == WAV and path.read_bytes() == GOOD
    assert said == [f"{form(path) if form is not Path.as_uri else path}: 2 recordings unpacked to data/recordings, "
                    "2 other members left out"]  # fmt: skip
    assert bars.seen == [(size := sum(path.stat().st_size for path in found), "bytes unpacked", size)]
    assert not [name for name in everything() if name.endswith(".part")]
    assert recordings(at("nowhere")) == found


def test_archive_inside_the_directory(at):
    Path("data").mkdir()
    Path("data/mine.zip").write_bytes(GOOD)
    Path("data/recordings").mkdir()
    assert len(recordings(at("data/mine.zip"))) == 2


def test_what_names_no_recordings(at, tmp_path):
    assert "data.url does not exist" in sentence(UsageError, at("nowhere.zip"))
    assert "data.url does not exist" in sentence(UsageError, at("x" * 300))
    assert "data.url does not exist" in sentence(UsageError, at("file:///nowhere.zip"))
    assert "another machine" in sentence(UsageError, at("file://nowhere/a.zip"))
    assert "cannot be fetched" in sentence(UsageError, at("ftp://127.0.0.1/a.zip"))
    Path("empty").mkdir()
    assert "a folder without WAV files" in sentence(UsageError, at("empty"))
    Path("a.zip").write_bytes(GOOD)
    Path("data/recordings/x").mkdir(parents=True)
    assert "are to be unpacked" in sentence(UsageError, at("a.zip"))
    shutil.rmtree("data")
    Path("data").write_bytes(b"")
    assert "not a folder" in sentence(UsageError, at("a.zip"))


# Archives


def refused(at, content: bytes, kind: type[SpikeyError] = DataError) -> str:
    """The sentence for an archive, after which nothing but the archive is there."""
    Path("a.zip").write_bytes(content)
    text = sentence(kind, at("a.zip"))
    assert everything(Path("..") / Path.cwd().name) == [f"../{Path.cwd().name}/a.zip"]
    return text


def linked() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link.wav")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "name",
    [
        "../a.wav",
        "x/../../a.wav",
        "/a.wav",
        "//host/share/a.wav",
        "x//a.wav",
        "C:/a.wav",
        "C:a.wav",
        "..\\a.wav",
        "x\\a.wav",
        "CON/a.wav",
        "nul.wav",
        "com1.x.wav",
        "aux .wav",
        "x./a.wav",
        "x /a.wav",
        "a\n.wav",
        "a:b.wav",
        "..\\..\\.hidden.wav",
        "d/" * 20 + "a.wav",
        "x" * 256 + ".wav",
    ],
)
def test_names_that_lead_elsewhere(at, name):
    assert "leads elsewhere" in refused(at, zip_bytes({"fine.wav": WAV, name: WAV}))


def test_nul_in_a_name_hides_nothing(at):
    damaged = zip_bytes({"good.wav": WAV, "evilQ.wav": WAV}).replace(b"evilQ.wav", b"evil\0.wav")
    assert "leads elsewhere" in refused(at, damaged)


def test_links_and_devices(at):
    assert "a link or a device" in refused(at, zip_bytes({linked(): "/etc/passwd"}))


def test_odd_but_honest_names(at):
    Path("a.zip").write_bytes(zip_bytes({"./x/a..b.wav": WAV, "ö ü.wav": WAV, ".x/h.wav": WAV, "d.wav/": ""}))
    assert recordings(at("a.zip")) == [Path("data/recordings/x/a..b.wav"), Path("data/recordings/ö ü.wav")]


@pytest.mark.parametrize("names", [("a.wav", "A.WAV"), ("a.wav", "a.wav/b.wav"), ("X.wav/b.wav", "x.wav")])
def test_names_that_meet(at, names):
    assert "occurs twice" in refused(at, zip_bytes(dict.fromkeys(names, WAV)))


def test_same_name_twice(at):
    twice = zip_bytes({zipfile.ZipInfo("a.wav"): WAV, zipfile.ZipInfo("a.wav"): WAV})
    assert "occurs twice" in refused(at, twice)


def test_bombs(at, monkeypatch):
    silence = bytes(3 << 20)
    assert "as no recording does" in refused(at, zip_bytes({"a.wav": silence}))
    monkeypatch.setattr(archive_module, "MOST_BYTES", 1500)
    assert "more than the 1,500 bytes allowed" in refused(at, GOOD)
    monkeypatch.setattr(archive_module, "MOST_MEMBERS", 3)
    assert "has 4 members, more than the 3 allowed" in refused(at, GOOD)


def test_small_silence_is_no_bomb(at):
    Path("a.zip").write_bytes(zip_bytes({"a.wav": bytes(1 << 20)}))
    assert len(recordings(at("a.zip"))) == 1


def test_overlapping_members(at):
    """Two entries of the directory lead to the same bytes."""
    content = zip_bytes({"a.wav": noise(5).tobytes()}, zipfile.ZIP_STORED)
    start = content.index(b"PK\1\2")
    end = content.index(b"PK\5\6")
    entry = content[start:end]
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, 2 * len(entry), start, 0)
    assert "overlap" in refused(at, content[:start] + entry + entry.replace(b"a.wav", b"b.wav") + tail)


def with_size(content: bytes, size: int) -> bytes:
    """The archive of one member, with another size of it, unpacked, in the directory at its end."""
    at = content.index(b"PK\1\2") + 24
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def test_sizes_that_lie(at):
    one = zip_bytes({"a.wav": WAV})
    refused(at, with_size(one, len(WAV) + 1))
    refused(at, with_size(one, len(WAV) - 1))
    refused(at, with_size(one, 0))
    assert not Path("data").exists()


def test_what_is_written_is_counted(at, monkeypatch):
    """Even where zipfile would give more than those in the archive."""
    reads: list[int] = []
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, count: reads.append(count) or bytes(count))
    assert "not of the size" in refused(at, zip_bytes({"a.wav": WAV}))
    assert len(reads) == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_bounds(at, method):
    assert "neither stored nor deflated" in refused(at, zip_bytes({"a.wav": WAV}, method))


def test_encrypted(at):
    content = bytearray(zip_bytes({"a.wav": WAV}))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    assert "is encrypted" in refused(at, bytes(content))


def test_damage(at):
    assert "not a zip archive" in refused(at, b"")
    assert "not a zip archive" in refused(at, b"hello" * 1000)
    assert "not a zip archive" in refused(at, GOOD[: len(GOOD) // 2])
    stored = bytearray(zip_bytes({"a.wav": WAV}, zipfile.ZIP_STORED))
    stored[500] ^= 1
    assert "Bad CRC-32" in refused(at, bytes(stored))
    assert "contains no WAV files (1 other member)" in refused(at, zip_bytes({"a.txt": "x"}))


def test_any_damage_gives_one_sentence_or_the_recordings(at):
    content = zip_bytes({"a.wav": WAV[:100], "b/c.wav": WAV[:60]})
    generator = np.random.default_rng(3)
    failures = 0
    for _ in range(400):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 2):
            damaged[place] = generator.integers(256)
        Path("a.zip").write_bytes(damaged[: generator.integers(1, 4 * len(content))])
        try:
            found = recordings(at("a.zip"))
            assert all(Path("data/recordings") in path.parents for path in found)
            shutil.rmtree("data")
        except SpikeyError as error:
            failures += 1
            assert "\n" not in str(error)
        assert everything() == ["a.zip"]
    assert failures > 100


def test_interrupted_unpacking_leaves_nothing(at):
    Path("a.zip").write_bytes(GOOD)
    with pytest.raises(KeyboardInterrupt):
        recordings(at("a.zip"), Bars(len(WAV) + 1, "bytes unpacked"))
    assert everything() == ["a.zip"]
    Path("data").mkdir()
    with pytest.raises(KeyboardInterrupt):
        recordings(at("a.zip"), Bars(1, "bytes unpacked"))
    assert everything() == ["a.zip", "data"]


def test_full_disk_while_unpacking(at, monkeypatch):
    monkeypatch.setattr(archive_module, "open", FullDisk(len(WAV) + 10), raising=False)
    assert refused(at, GOOD, UsageError) == "data/recordings: cannot be written (the disk is full)"


def test_room_is_asked_for_before_unpacking(at, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 0, 100))
    monkeypatch.setattr(archive_module, "_write", None)
    assert "its disk has 100 bytes free" in refused(at, GOOD, UsageError)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_folder_that_may_not_be_written(at):
    Path("a.zip").write_bytes(GOOD)
    Path("data").mkdir(0o500)
    assert "cannot be written (Permission denied)" in sentence(UsageError, at("a.zip"))

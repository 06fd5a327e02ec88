"""The data side of training: downloads that continue where they stopped, archives that are not trusted, and splits."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import struct
import threading
import warnings
import wave
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.config.schema import Data
from spikey.files.devices import training_files
from spikey.recording import simultaneous as simultaneous_module
from spikey.recording.simultaneous import groups, simultaneous
from spikey.training import download as download_module
from spikey.training import unzip as archive_module
from spikey.training.data import recordings, split


def noise(seed: int, frames: int = 20_000, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-500, 500, (frames, channels)).astype("<i2")


def wav_bytes(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((samples.shape[1], 2, 20_000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return out.getvalue()


def zip_bytes(members: dict, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of members, given by name or ZipInfo."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that occurs twice
        for name, content in members.items():
            if isinstance(name, zipfile.ZipInfo):
                name.compress_type = method
            file.writestr(name, content)
    return out.getvalue()


WAV = wav_bytes(noise(0, 500))
GOOD = zip_bytes({"set/a.wav": WAV, "set/B.WAV": wav_bytes(noise(1, 600)), "set/read.me": "x", "__MACOSX/._a.wav": "x"})


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A function: data with this url, and the directory `data` of an empty working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download_module, "PAUSE", 0)
    return lambda url: Data(url=str(url), directory="data")


def sentence(kind: type[SpikeyError], data: Data, **options) -> str:
    """The sentence with which `recordings` fails, checked for form."""
    with pytest.raises(kind) as caught:
        recordings(data, **options)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 700
    return text


def everything(folder: Path = Path()) -> list[str]:
    return sorted(path.as_posix() for path in folder.rglob("*"))


class Bars:
    """Progress that remembers, and that interrupts once so many bytes are done."""

    def __init__(self, interrupt_at: float = float("inf"), unit: str = "bytes downloaded"):
        self.interrupt_at, self.unit = interrupt_at, unit
        self.seen: list[tuple[int | None, str, int]] = []

    @contextmanager
    def __call__(self, total: int | None, unit: str):
        done = 0

        def advance(amount: int) -> None:
            nonlocal done
            done += amount
            if unit == self.unit and done >= self.interrupt_at:
                raise KeyboardInterrupt

        yield advance
        self.seen.append((total, unit, done))


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
    assert "is in the way" in sentence(UsageError, at("a.zip"))
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
    """Even where zipfile would give more than the archive states."""
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


class FullDisk:
    """Opens files that take `room` bytes more, all of them together, and then none."""

    def __init__(self, room: int):
        self.room = room

    def __call__(self, path, mode="r", *arguments, **options):
        file = open(path, mode, *arguments, **options)  # noqa: SIM115 (whoever asks closes it)
        if "r" in mode:
            return file
        real = file.write

        def write(data: bytes) -> int:
            self.room -= len(data)
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(data)

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

        full = Full()
        full.write = write  # type: ignore[attr-defined]
        return full


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


# Downloads


class Server(ThreadingHTTPServer):
    """Serves `body` and misbehaves as told; `asked` holds the Range of every request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, body: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.headers = body, {"ETag": '"1"'}
        self.status = 200
        self.ranges = True  # it heeds Range
        self.conditions = True  # it heeds If-Range
        self.cuts: list[int] = []  # bytes of the next answers after which the connection ends
        self.shift = 0  # by which it misses the start of a range
        self.least = 1 << 40  # bytes of a range it gives at most
        self.length = True  # it states the length
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/some data.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server, body = self.server, self.server.body
        wanted = self.headers["Range"]
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        first, status = 0, 200
        unchanged = self.headers["If-Range"] in server.headers.values() or not server.conditions
        if wanted and server.ranges and unchanged:
            first = int(wanted.removeprefix("bytes=").removesuffix("-")) + server.shift
            status = 206
            if first >= len(body):
                self.send_error(416)
                return
        self.send_response(status)
        rest = body[first : first + server.least] if status == 206 else body
        for name, value in server.headers.items():
            self.send_header(name, value)
        if server.length:
            self.send_header("Content-Length", str(len(rest)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(rest) - 1}/{len(body)}")
        self.end_headers()
        self.wfile.write(rest[: server.cuts.pop(0)] if server.cuts else rest)

    def log_message(self, *_):
        pass


BIG = zip_bytes({"a.wav": wav_bytes(noise(7, 150_000)), "b.wav": WAV}, zipfile.ZIP_STORED)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(BIG) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(download_module, "PIECE", 4096)


def interrupted(at, server: Server, after: int) -> Path:
    """Interrupt a download and give what is left of it."""
    with pytest.raises(KeyboardInterrupt):
        recordings(at(server.url), Bars(after))
    (part,) = Path("data").glob("*.part")
    assert after <= part.stat().st_size < len(BIG) and BIG.startswith(part.read_bytes())
    server.asked.clear()
    return part


def complete(found: list[Path]) -> bool:
    """Whether the recordings are there and nothing else."""
    assert found == [Path("data/recordings/a.wav"), Path("data/recordings/b.wav")]
    assert found[0].read_bytes() == wav_bytes(noise(7, 150_000)) and found[1].read_bytes() == WAV
    return everything() == ["data", "data/recordings", "data/recordings/a.wav", "data/recordings/b.wav"]


def test_download(at, server):
    said: list[str] = []
    bars = Bars()
    assert complete(recordings(at(server.url), bars, said.append))
    assert server.asked == [None]
    assert f"{server.url}: {len(BIG):,} bytes, SHA-256 {hashlib.sha256(BIG).hexdigest()}" in said
    assert bars.seen[0] == (len(BIG), "bytes downloaded", len(BIG))
    server.status = 500
    assert complete(recordings(at(server.url)))


@pytest.mark.parametrize("headers", [{"ETag": '"x"'}, {"Last-Modified": "Sun, 01 Jan 2023 00:00:00 GMT"}])
def test_download_goes_on(at, server, small_pieces, headers):
    server.headers = headers
    have = interrupted(at, server, 100_000).stat().st_size
    bars = Bars()
    assert complete(recordings(at(server.url), bars))
    assert server.asked == [f"bytes={have}-"] and bars.seen[0] == (len(BIG), "bytes downloaded", len(BIG))


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_what_cannot_be_told_apart_starts_anew(at, server, small_pieces, headers):
    server.headers = headers
    interrupted(at, server, 100_000)
    assert complete(recordings(at(server.url)))
    assert server.asked == [None]


# What the server does differently when it is asked again; its file is another one then, or its ranges are wrong.
CHANGES = {
    "the file has changed": {"headers": {"ETag": '"2"'}},
    "ranges are ignored": {"headers": {"ETag": '"2"'}, "ranges": False},
    "conditions are ignored": {"headers": {"ETag": '"2"'}, "conditions": False},
    "only the size tells": {"headers": {}, "conditions": False, "body": BIG},
    "the range starts elsewhere": {"conditions": False, "shift": 1},
    "there is no such range": {"conditions": False, "shift": 1 << 30},
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_splice(at, server, small_pieces, change):
    server.body = bytes(len(BIG) + ("body" in CHANGES[change]))
    with pytest.raises(KeyboardInterrupt):
        recordings(at(server.url), Bars(100_000))
    server.body, server.asked = BIG, []
    for name, value in CHANGES[change].items():
        setattr(server, name, value)
    assert complete(recordings(at(server.url)))
    assert len(server.asked) == 2 and server.asked[0].startswith("bytes=1") and server.asked[1] is None


def test_another_address_is_not_continued(at, server, small_pieces):
    interrupted(at, server, 100_000)
    assert len(recordings(at(server.url + "?2"))) == 2
    assert server.asked == [None]


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"validator": "a\\r\\nX: y", "size": 9}', '{"validator": 1}'])
def test_unusable_state_starts_anew(at, server, small_pieces, state):
    part = interrupted(at, server, 100_000)
    part.with_name(part.name + ".json").write_text(state)
    assert complete(recordings(at(server.url)))
    assert server.asked == [None]


def test_lost_connections_are_taken_up_again(at, server):
    server.cuts = [70_000, 100_000]
    assert complete(recordings(at(server.url)))
    assert server.asked == [None, "bytes=70000-", "bytes=170000-"]


def test_pieces_of_a_range_are_not_taken_for_all(at, server):
    server.cuts, server.least = [70_000], 100_000
    assert complete(recordings(at(server.url)))
    assert server.asked == [None, "bytes=70000-", "bytes=170000-", "bytes=270000-"]


def test_truncated_body(at, server):
    server.cuts = [50_000] * 9  # of which every other one answers a range with everything
    server.ranges = False
    said = sentence(DataError, at(server.url))
    assert f"the connection ended after 50,000 of {len(BIG):,} bytes; run again to continue" in said
    server.ranges = True
    assert complete(recordings(at(server.url))) and server.asked[-1] == "bytes=50000-"


def test_truncated_body_of_unstated_length(at, server):
    server.length, server.cuts = False, [50_000]
    assert "not a zip archive, or a damaged" in sentence(DataError, at(server.url))
    assert complete(recordings(at(server.url)))


def test_download_that_is_no_archive_is_not_kept(at, server):
    server.body = b"<html>" * 100
    said = sentence(DataError, at(server.url))
    assert "not a zip archive" in said and f"the download from {server.url} is deleted again" in said
    assert everything() == ["data"]


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (404, UsageError, "is not there (any more), the server answers 404 Not Found; give data.directory a folder"),
        (410, UsageError, "or data.url the path of a local zip archive or folder"),
        (403, UsageError, "answers 403 Forbidden"),
        (503, DataError, "answers 503 Service Unavailable; try again later"),
        (204, DataError, "answers with status 204"),
    ],
)
def test_refusals(at, server, status, kind, says):
    server.status = status
    assert says in sentence(kind, at(server.url))
    assert everything() == []


def test_unreachable(at, server):
    url = server.url
    server.shutdown()
    server.server_close()
    assert "cannot be reached (Connection refused)" in sentence(DataError, at(url))
    assert "cannot be reached (" in sentence(DataError, at("http://127.0.0.1:port/"))
    assert "cannot be reached (" in sentence(DataError, at("http://"))
    assert "cannot be reached (" in sentence(DataError, at("https://[x/"))
    assert everything() == []


def test_silent_server(at, monkeypatch, server):
    monkeypatch.setattr(download_module, "TIMEOUT", 0.1)
    wait = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda self: wait.wait(5))
    assert "cannot be reached (timed out)" in sentence(DataError, at(server.url))
    wait.set()


def test_too_large_for_the_disk_or_the_limit(at, server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 0, 100))
        assert f"data: needs {len(BIG):,} bytes more" in sentence(UsageError, at(server.url))
        assert everything() == []
    monkeypatch.setattr(download_module, "MOST_BYTES", 200_000)
    assert "more than the 200,000 bytes allowed" in sentence(DataError, at(server.url))
    assert everything() == []
    server.length = False
    assert "more than the 200,000 bytes allowed" in sentence(DataError, at(server.url))
    assert sum(path.stat().st_size for path in Path("data").iterdir()) < 201_000


def test_full_disk_while_downloading(at, server, monkeypatch, small_pieces):
    with monkeypatch.context() as patch:
        patch.setattr(download_module, "open", FullDisk(100_000), raising=False)
        assert "cannot be written (the disk is full)" in sentence(UsageError, at(server.url))
    assert complete(recordings(at(server.url)))
    assert server.asked[-1] is not None  # what had come was used


def test_full_disk_after_the_download_keeps_it(at, server, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(archive_module, "open", FullDisk(1000), raising=False)
        assert "the disk is full" in sentence(UsageError, at(server.url))
    assert [path.suffix for path in Path("data").iterdir()] == [".zip"]
    assert complete(recordings(at(server.url)))
    assert server.asked == [None]


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
        (paths, "all 2 recordings were made"),
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

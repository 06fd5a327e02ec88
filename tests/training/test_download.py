"""Downloads that go on where they stopped, and never splice two versions."""

from __future__ import annotations

import hashlib
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kit.zips import WAV, Bars, FullDisk, everything, noise, sentence, wav_bytes, zip_bytes
from spikey.base.errors import DataError, UsageError
from spikey.training import download as download_module
from spikey.training import unzip as archive_module
from spikey.training.data import recordings

pytestmark = pytest.mark.network

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

"""Reading over fsspec: a real HTTP server that counts, the memory file system, and what can go wrong."""

from __future__ import annotations

import io
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit.paths import SOURCE
from kit.writing import write_file
from spikey.cli import app
from spikey.codec.method import LPC
from spikey.container.extra import Extra, side_file
from spikey.container.reader import Reader
from spikey.files.decompress import decompress_file, verify_file
from spikey.recording import remote
from spikey.recording.readable import ArraySource

pytestmark = pytest.mark.network

fsspec = pytest.importorskip("fsspec")
SAMPLES = np.random.default_rng(0).normal(0, 20, (60_000, 8)).astype(np.int16)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> bytes:
    """Forty blocks and a side file."""
    path = tmp_path_factory.mktemp("side") / "a.meta"
    path.write_bytes(b"key=value")
    out = io.BytesIO()
    extra = Extra({"source": {"file": "a.bin"}}, (side_file("a.meta", path),))
    write_file(ArraySource(SAMPLES, 30_000), out, LPC, extra=extra, block_frames=1500)
    return out.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `files`; lists the ranges it was asked for. mode: "ranges", "whole", "silent" on ranges, or "broken"."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], mode: str = "ranges"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.mode = files, mode
        self.asked: list[tuple[int, int]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        content = self.server.files.get(self.path)
        if content is None or (self.server.mode == "broken" and body and self.server.asked):
            self.send_response(404 if content is None else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted and self.server.mode in ("ranges", "broken"):
            first, last = int(wanted[1]), min(int(wanted[2]), len(content) - 1)
            self.server.asked.append((first, last + 1))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        if self.server.mode != "silent":
            self.send_header("Accept-Ranges", "none" if self.server.mode == "whole" else "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            try:
                self.wfile.write(content)
            except OSError:  # whoever asked has seen enough
                self.close_connection = True


@contextmanager
def serving(files: dict[str, bytes], mode: str = "ranges"):
    server = Server(files, mode)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def http():
    pytest.importorskip("aiohttp")
    fsspec.filesystem("http").clear_instance_cache()


def test_only_what_is_needed_is_fetched(data, http, monkeypatch):
    monkeypatch.setattr("spikey.container.input.GLANCE", 4096)
    monkeypatch.setattr(remote, "CLOSE", 1024)
    with serving({"/a.spky": data}) as server, spikey.open(f"{server.address}/a.spky") as reader:
        assert reader.shape == SAMPLES.shape and reader.files == {"a.meta": 9}
        assert len(server.asked) == 2  # the front, and index and footer
        assert sum(end - first for first, end in server.asked) == 2 * 4096
        server.asked.clear()
        np.testing.assert_array_equal(reader[20_000:24_000, [3, 1]], SAMPLES[20_000:24_000, [3, 1]])
        touched = [
            block for block in reader.structure.blocks if block.extent[1] > 20_000 and block.first_frame < 24_000
        ]
        assert len(server.asked) == 1  # the blocks lie side by side
        fetched = sum(end - first for first, end in server.asked)
        assert fetched < sum(block.size for block in touched if block.kind == 0) + 1000 < len(data) / 10
        server.asked.clear()
        np.testing.assert_array_equal(reader[20_500, :], SAMPLES[20_500])
        assert not server.asked  # decoded already


def test_of_wide_blocks_only_the_groups_that_are_needed_are_fetched(http, monkeypatch):
    monkeypatch.setattr("spikey.container.input.GLANCE", 4096)
    monkeypatch.setattr("spikey.container.blocks.FRONT", 4096)
    monkeypatch.setattr(remote, "CLOSE", 1024)
    random = np.random.default_rng(1)
    samples = (
        random.normal(size=(60_000, 3))[:, np.arange(96) % 3] * 30 + random.normal(size=(60_000, 96)) * 5
    ).astype("i2")
    data = spikey.compress(samples, 30_000)
    with serving({"/a.spky": data}) as server, spikey.open(f"{server.address}/a.spky") as reader:
        blocks = len(reader.structure.blocks)
        assert blocks == 2
        server.asked.clear()
        np.testing.assert_array_equal(reader[:, 41], samples[:, 41])
        assert len(server.asked) == 2 * blocks  # a block's beginning, and a group
        assert sum(end - first for first, end in server.asked) < len(data) * 0.45
        np.testing.assert_array_equal(reader[100:], samples[100:])


def test_whatever_is_asked_for_is_right(data, http, monkeypatch):
    monkeypatch.setattr(remote, "LONGEST", 30_000)
    monkeypatch.setattr(remote, "KEPT", 60_000)
    monkeypatch.setattr("spikey.container.blocks.AHEAD", 50_000)
    with serving({"/a.spky": data}) as server:
        with spikey.open(f"{server.address}/a.spky") as reader:
            np.testing.assert_array_equal(reader[::-7, ::2], SAMPLES[::-7, ::2])
            np.testing.assert_array_equal(reader[[59_999, 3], 1], SAMPLES[[59_999, 3], 1])
            np.testing.assert_array_equal(reader.read(0, 60_000, jobs=2), SAMPLES)
        recording = spikey.decompress(f"{server.address}/a.spky", jobs=2)
        np.testing.assert_array_equal(recording.samples, SAMPLES)
        assert verify_file(f"{server.address}/a.spky").samples == SAMPLES.size
        assert max(end - first for first, end in server.asked) <= 65_536


def test_threads_share_a_remote_file(data, http):
    wrong = []

    def read(seed: int) -> None:
        for first in np.random.default_rng(seed).integers(0, 59_000, 10).tolist():
            if not np.array_equal(reader[first : first + 1000], SAMPLES[first : first + 1000]):
                wrong.append(first)

    with serving({"/a.spky": data}) as server, spikey.open(f"{server.address}/a.spky") as reader:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_the_commands_take_addresses(data, http, tmp_path):
    run = CliRunner()
    with serving({"/b/a.spky": data}) as server:
        address = f"{server.address}/b/a.spky"
        assert f"{SAMPLES.size * 2:,}" in run.invoke(app, ["info", address]).output
        assert run.invoke(app, ["verify", address]).exit_code == 0
        done = run.invoke(app, ["decompress", address, f"{tmp_path}/out/"])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "out/a.bin").read_bytes() == SAMPLES.tobytes()
    assert (tmp_path / "out/a.meta").read_bytes() == b"key=value"


def test_short_and_long_headers(http):
    short, long = io.BytesIO(), io.BytesIO()
    write_file(ArraySource(SAMPLES[:50], 30_000), short, LPC)
    noise = np.random.default_rng(0).bytes(70_000).hex()  # a header beyond what is fetched first
    write_file(ArraySource(SAMPLES[:50], 30_000), long, LPC, extra=Extra({"a": noise}))
    assert len(long.getvalue()) > 66_000
    with serving({"/short": short.getvalue(), "/long": long.getvalue(), "/none": b""}) as server:
        np.testing.assert_array_equal(spikey.open(f"{server.address}/short")[:], SAMPLES[:50])
        with spikey.open(f"{server.address}/long") as reader:
            assert reader.metadata == {"a": noise}
        with pytest.raises(spikey.DataError, match="is empty|no byte ranges"):
            spikey.open(f"{server.address}/none")


@pytest.mark.parametrize("mode", ["whole", "silent"])
def test_a_server_without_ranges_is_named(data, http, mode):
    with serving({"/a.spky": data}, mode) as server, pytest.raises(spikey.DataError, match="no byte ranges"):
        spikey.open(f"{server.address}/a.spky")


def test_what_goes_wrong_on_the_way_is_said(data, http, monkeypatch):
    monkeypatch.setattr("spikey.container.input.GLANCE", 4096)
    files = {"/a.spky": data}
    with serving(files) as server:
        with pytest.raises(spikey.DataError, match="does not exist"):
            spikey.open(f"{server.address}/b.spky")
        with spikey.open(f"{server.address}/a.spky") as reader:
            files.clear()
            with pytest.raises(spikey.DataError, match=r"vanished|cannot be read at byte \d+"):
                reader[30_000]
        files["/a.spky"] = data
        server.mode = "broken"
        server.asked.clear()
        with pytest.raises(spikey.DataError, match="cannot be read at byte"):
            spikey.open(f"{server.address}/a.spky")
        server.mode = "ranges"
        with spikey.open(f"{server.address}/a.spky") as reader:
            files["/a.spky"] = data[: len(data) // 2] + bytes(len(data) - len(data) // 2)  # another file in its place
            with pytest.raises(spikey.DamagedError):
                reader[50_000]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        with pytest.raises(spikey.DataError, match="cannot be reached"):
            spikey.open(f"http://127.0.0.1:{free.getsockname()[1]}/a.spky")


def test_memory_and_local_files(data, tmp_path):
    fsspec.filesystem("memory").pipe("/folder/a.spky", data)
    (tmp_path / "a b.spky").write_bytes(data)
    for address in ("memory://folder/a.spky", f"file://{tmp_path}/a b.spky"):
        with spikey.open(address) as reader:
            np.testing.assert_array_equal(reader[100:50_000:11], SAMPLES[100:50_000:11])
            assert reader.name == address
        out = tmp_path / "a.bin"
        decompress_file(address, out, overwrite=True)
        assert out.read_bytes() == SAMPLES.tobytes()
    with pytest.raises(spikey.DataError, match="memory://none does not exist"):
        spikey.open("memory://none")
    damaged = bytearray(data)
    damaged[-20] ^= 1
    fsspec.filesystem("memory").pipe("/damaged.spky", bytes(damaged))
    with pytest.raises(spikey.DataError, match="index is damaged"):
        spikey.open("memory://damaged.spky")
    with Reader("memory://damaged.spky", salvage=True) as reader:
        np.testing.assert_array_equal(reader[:], SAMPLES)


def test_unknown_and_missing_protocols():
    with pytest.raises(spikey.DataError, match="nope"):
        spikey.open("nope://a")
    if "s3fs" not in sys.modules:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "s3fs", None)
            with pytest.raises(spikey.UsageError, match=r'pip install -e "\.\[remote\]"'):
                spikey.open("s3://bucket/a.spky")


def test_without_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(spikey.UsageError, match=r'needs fsspec: pip install -e "\.\[remote\]"'):
        spikey.open("http://127.0.0.1/a.spky")


def test_local_paths_never_import_it(data, tmp_path):
    (tmp_path / "a.spky").write_bytes(data)
    script = f"import sys, spikey; spikey.open({str(tmp_path / 'a.spky')!r})[0]; print('fsspec' in sys.modules)"
    root = SOURCE
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, timeout=120)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_forked_processes_open_an_address_again(data, http):
    def wrong(seed: int) -> int:
        firsts = np.random.default_rng(seed).integers(0, 59_000, 8).tolist()
        reader.cache.room = 1
        return sum(not np.array_equal(reader[first : first + 99], SAMPLES[first : first + 99]) for first in firsts)

    with serving({"/a.spky": data}) as server, spikey.open(f"{server.address}/a.spky") as reader:
        assert not wrong(0)
        children = []
        for seed in range(1, 4):
            child = os.fork()
            if child == 0:
                status = 255
                try:
                    status = wrong(seed)
                finally:
                    os._exit(status)
            children.append(child)
        assert not wrong(4)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


def test_readers_of_addresses_are_pickled(data):
    memory = fsspec.filesystem("memory")
    memory.pipe("/folder/a.spky", data)
    with spikey.open("memory://folder/a.spky") as reader:
        pickled = pickle.dumps(reader)
    with pickle.loads(pickled) as again:
        assert again.name == "memory://folder/a.spky"
        np.testing.assert_array_equal(again[9:99], SAMPLES[9:99])
    memory.pipe("/folder/a.spky", data + b"more")
    with pytest.raises(spikey.DataError, match="open it again"):
        pickle.loads(pickled)

"""What compressed files restore as a tree, and its operations without a mount: names, readers, decoding ahead."""

from __future__ import annotations

import errno
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.archives import noise, wav
from spikey.container.archive import Archive
from spikey.container.layout import BLOCK_SAMPLES
from spikey.container.reader import Reader
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.files.shared_cache import SharedCache
from spikey.integrations import mount, packed_files
from spikey.integrations import packed_tree as packed_tree_module
from spikey.integrations.mount import View
from spikey.integrations.packed_files import OpenReaders, Packed
from spikey.integrations.packed_tree import PackedTree, packed_tree

QUICK = Settings(preset="fast", block_frames=2000)


class Shown:
    """A tree with what belongs to it, and the operations of the file system."""

    def __init__(self, source: Path | str, limit: int = 1 << 26, most: int = 8):
        self.said: list[str] = []
        self.cache = SharedCache(limit)
        self.readers = OpenReaders(self.cache, 1, most)
        self.tree = packed_tree(str(source), self.readers, self.cache, self.said.append)
        self.begun: list[str] = []
        self.view = View(self.tree, self.readers, self.cache, lambda: self.begun.append("ready"), self.said.append)
        self.view.init_with_config(None, None)

    def read(self, path: str, first: int = 0, count: int = 1 << 24) -> bytes:
        handle = self.view.open(path, os.O_RDONLY)
        try:
            return self.view.read(path, count, first, handle)
        finally:
            self.view.release(path, handle)

    def contents(self) -> dict[str, bytes]:
        return {path: self.read(path) for path in self.tree.files}


@pytest.fixture
def packed(tmp_path) -> tuple[Path, dict[str, bytes]]:
    """Three WAV files in two folders, packed."""
    originals = {}
    for number, name in enumerate(("a.wav", "in/b.wav", "in/deep/c.wav")):
        data = wav(noise(number, 10_000))
        path = tmp_path / "packed" / Path(name).with_suffix(".spky")
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x.wav").write_bytes(data)
        compress_file(tmp_path / "x.wav", path, QUICK)
        originals["/" + name] = data
    return tmp_path / "packed", originals


def test_a_folder(packed):
    folder, originals = packed
    (folder / "in" / "notes.txt").write_text("not a recording")
    (folder / "empty").mkdir()
    shown = Shown(folder)
    assert shown.contents() == originals and not shown.said and shown.begun == ["ready"]
    assert shown.tree.folders == {
        "/": {"a.wav": True, "in": False},
        "/in": {"b.wav": True, "deep": False},
        "/in/deep": {"c.wav": True},
    }
    assert shown.tree.size == sum(map(len, originals.values()))
    assert [name for name, *_ in shown.view.readdir("/in", 0)] == [".", "..", "b.wav", "deep"]
    for path, data in originals.items():
        assert shown.view.getattr(path)["st_size"] == len(data)


def test_a_file_and_an_old_name(packed, tmp_path):
    folder, originals = packed
    assert Shown(folder / "a.spky").contents() == {"/a.wav": originals["/a.wav"]}
    (tmp_path / "old").mkdir()
    shutil.copy(folder / "a.spky", tmp_path / "old" / "a.bin")
    (tmp_path / "old" / "raw.bin").write_bytes(b"no compressed file")
    assert Shown(tmp_path / "old").contents() == {"/a.wav": originals["/a.wav"]}


def test_addresses(packed):
    fsspec = pytest.importorskip("fsspec", reason='fsspec is missing: pip install -e ".[remote]"')
    folder, originals = packed
    store = fsspec.filesystem("memory")
    for path in folder.rglob("*.spky"):
        store.pipe(f"/mount-test/{path.relative_to(folder).as_posix()}", path.read_bytes())
    store.pipe("/mount-test/notes.txt", b"not a recording")
    try:
        shown = Shown("memory://mount-test/")
        assert shown.contents() == originals and not shown.said
        assert abs(shown.view.getattr("/a.wav")["st_mtime"] / 1e9 - time.time()) < 100
        assert shown.view.getattr("/a.wav")["st_mode"] & 0o777 == 0o444
        assert Shown("memory://mount-test/in/b.spky").contents() == {"/b.wav": originals["/in/b.wav"]}
        store.rm("/mount-test/a.spky")
        with pytest.raises(OSError) as failed:
            Shown("memory://mount-test/in").read("/none")
        assert failed.value.errno == errno.ENOENT
        for address, words in (
            ("memory://mount-test/a.spky", "does not exist"),
            ("memory://no", "does not exist|contains no"),
        ):
            with pytest.raises(spikey.SpikeyError if "no" in words else spikey.DataError, match=words):
                Shown(address)
    finally:
        store.rm("/mount-test", recursive=True)


def test_an_address_with_a_signature(packed, monkeypatch):
    """What follows a question mark belongs neither to the name nor to its suffix, and nothing is listed for it."""
    folder, originals = packed

    class Store:
        def info(self, path):
            return {"LastModified": datetime.fromtimestamp(1_600_000_000, UTC)}

    address = "https://example.org/x/a.spky?key=1"
    monkeypatch.setattr(packed_tree_module, "find_store", lambda _: (Store(), address))
    monkeypatch.setattr(packed_tree_module, "is_archive", lambda _: False)
    monkeypatch.setattr(packed_files, "Reader", lambda _: Reader(folder / "a.spky"))
    shown = Shown(address)
    assert shown.contents() == {"/a.wav": originals["/a.wav"]}
    assert shown.view.getattr("/a.wav")["st_mtime"] == 1_600_000_000 * 10**9


def test_members_share_what_is_decoded_of_others(archive, folder):
    """Recordings that others were coded with are decoded once for both."""
    shown = Shown(archive)
    originals = {"/" + p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert shown.contents() == originals
    with Archive(archive) as members:
        wanted = sum(
            block.frames * block.channels * reader.dtype.itemsize
            for reader in (members[name] for name in members)
            for block in reader.structure.blocks
            if block.kind == BLOCK_SAMPLES
        )
        plain = sum(len(data) for name, data in originals.items() if members[name[1:]].frames == len(data))
    assert shown.cache.used == wanted + plain


def test_two_files_of_one_path(packed, tmp_path):
    folder, originals = packed
    shutil.copy(folder / "in/b.spky", folder / "a.wav.spky")  # restores a.wav
    (folder / "z").mkdir()
    shutil.copy(folder / "in/b.spky", folder / "z.wav.spky")
    (folder / "z.wav").mkdir()
    shutil.copy(folder / "a.spky", folder / "z.wav" / "c.spky")  # in a folder called like the file before
    shown = Shown(folder)
    assert shown.contents()["/a.wav"] == originals["/a.wav"]
    assert len(shown.said) == 2
    assert all("which is there already; only the first appears" in line for line in shown.said)
    assert str(folder / "a.wav.spky") in shown.said[0] and "restores z.wav" in "".join(shown.said)


def test_paths_that_are_taken():
    tree = PackedTree()
    from pathlib import PurePosixPath as At

    assert tree.add(At("/a/b"), None) and not tree.add(At("/a/b"), None)
    assert not tree.add(At("/a"), None) and not tree.add(At("/a/b/c/d"), None)
    assert tree.add(At("/a/c"), None) and set(tree.folders) == {"/", "/a"}


def test_nothing_to_show(packed, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(spikey.UsageError, match="contains no files that end in"):
        Shown(tmp_path / "none")
    (tmp_path / "none" / "a.spky").write_bytes(b"?")
    with pytest.raises(spikey.DataError, match="none: contains nothing that can be restored"):
        Shown(tmp_path / "none")
    with pytest.raises(spikey.DataError, match=r"a\.spky: is not a Spikey file"):
        Shown(tmp_path / "none" / "a.spky")
    with pytest.raises(spikey.DataError, match="gone does not exist"):
        Shown(tmp_path / "gone")


def test_a_recording_that_is_still_written(tmp_path):
    samples = np.random.default_rng(0).integers(-99, 99, (5000, 4)).astype("int16")
    writer = spikey.create(tmp_path / "a.spky", channels=4, rate=1000, block_frames=1000)
    writer.append(samples[:3000])
    writer.flush()
    writer.flush()
    shown = Shown(tmp_path)
    there = shown.view.getattr("/a.dat")["st_size"]
    assert there and there % 8 == 0 and "has no index" in shown.said[0]
    writer.append(samples[3000:])
    writer.close()
    assert shown.read("/a.dat", 0, there) == samples.tobytes()[:there]


def test_few_readers_are_open(packed, monkeypatch):
    folder, originals = packed
    shown = Shown(folder, most=1)
    opened = []
    once = packed_files.Reader

    def counted(*arguments, **options):
        opened.append(once(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(packed_files, "Reader", counted)
    for _ in range(2):
        assert shown.contents() == originals
    closed = [reader for reader in opened if reader.input.opened.closed]
    assert len(opened) >= 5 and len(opened) - len(closed) == 1
    entries = list(shown.tree.files.values())
    with shown.readers.restored(entries[0].packed) as files, shown.readers.restored(entries[1].packed) as others:
        assert files[0].read(0, 99) and others[0].read(0, 99)  # both stay open while they are used
    shown.readers.close()
    assert all(reader.input.opened.closed for reader in opened)


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time(packed):
    """A store gives nothing but the file: another one is found by its end."""
    folder, _ = packed
    found = Packed(str(folder / "a.spky"), 0)
    found.open().close()
    data = bytearray((folder / "a.spky").read_bytes())
    data[-1] ^= 1
    data[-14] ^= 1
    found._first = None
    (folder / "a.spky").write_bytes(data)
    with pytest.raises(spikey.DataError):
        found.open()
    shutil.copy(folder / "in/b.spky", folder / "a.spky")
    with pytest.raises(spikey.DataError, match="has changed since it was mounted"):
        found.open()


def test_operations_on_what_is_not_there(packed):
    shown = Shown(packed[0])
    for attempt in (
        lambda: shown.view.getattr("/none"),
        lambda: shown.view.open("/in", 0),
        lambda: shown.view.readdir("/a.wav", 0),
    ):
        with pytest.raises(OSError) as failed:
            attempt()
        assert failed.value.errno == errno.ENOENT
    with pytest.raises(OSError) as failed:
        shown.view.open("/a.wav", os.O_RDWR)
    assert failed.value.errno == errno.EROFS
    assert shown.view.opened == 0


def test_files_that_are_open_are_counted(packed, monkeypatch):
    view = Shown(packed[0]).view
    first, second = (view.open("/a.wav", os.O_RDONLY) for _ in range(2))
    assert view.opened == 2
    view.flush("/a.wav", first)
    assert view.opened == 1
    monkeypatch.setattr(mount, "RELEASED", 0.0)  # some time later another process still has it open
    assert view.opened == 2
    for handle in (first, second):
        view.release("/a.wav", handle)
    assert view.opened == 0


def test_errors_are_said_once_and_no_program_ends(packed, monkeypatch):
    shown = Shown(packed[0])
    for error, words in (
        (spikey.DamagedError("a is damaged"), "a.wav: a is damaged [damaged]"),
        (MemoryError(), "a.wav: there is not enough memory"),
        (RuntimeError("odd"), "a.wav: RuntimeError: odd"),
    ):

        def fail(*_arguments, error=error):
            raise error

        monkeypatch.setattr("spikey.files.restored_view.RestoredFile.read", fail)
        for _ in range(3):
            with pytest.raises(OSError) as failed:
                shown.read("/a.wav")
            assert failed.value.errno == errno.EIO
        assert shown.said.count(words) == 1
    assert len(shown.said) == 3 and shown.view.opened == 0


def decoded(shown: Shown, path: Path) -> list[int]:
    """Which blocks of a packed file are in the cache."""
    with Reader(path) as reader:
        blocks = [block for block in reader.structure.blocks if block.kind == BLOCK_SAMPLES]
    return [number for number, block in enumerate(blocks) if shown.cache.has((str(path), 0), block.offset)]


def test_blocks_are_decoded_ahead_of_who_reads_in_order(packed, monkeypatch):
    folder, originals = packed
    monkeypatch.setattr(mount, "SEQUENTIAL", 1000)
    monkeypatch.setattr(mount, "OUT_OF_ORDER", 400)
    shown = Shown(folder)
    path = folder / "a.spky"
    handle = shown.view.open("/a.wav", os.O_RDONLY)
    for first in (0, 9000, 44, 9000):  # here and there
        assert shown.view.read("/a.wav", 400, first, handle) == originals["/a.wav"][first : first + 400]
    time.sleep(0.2)
    assert decoded(shown, path) == [0, 2]
    for first in range(0, 1600, 400):  # in order, all in the first block
        shown.view.read("/a.wav", 400, first, handle)
    end = time.monotonic() + 10
    while decoded(shown, path) != [0, 1, 2, 3, 4]:
        assert time.monotonic() < end
        time.sleep(0.01)
    shown.view.destroy("/")
    assert shown.view.read("/a.wav", 400, 1600, handle) == originals["/a.wav"][1600:2000]


def test_no_more_is_decoded_ahead_than_there_is_room_for(packed, monkeypatch):
    folder, _ = packed
    monkeypatch.setattr(mount, "SEQUENTIAL", 1000)
    shown = Shown(folder, limit=4 * 4000 * 2 + 3)  # a quarter is two blocks
    handle = shown.view.open("/a.wav", os.O_RDONLY)
    for first in range(0, 2000, 400):
        shown.view.read("/a.wav", 400, first, handle)
    end = time.monotonic() + 10
    while decoded(shown, folder / "a.spky") != [0, 1, 2]:
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.2)
    assert decoded(shown, folder / "a.spky") == [0, 1, 2]


def test_the_cache_is_bounded_over_all_files(packed):
    folder, originals = packed
    shown = Shown(folder, limit=9000)
    for first in range(0, 20_000, 1500):
        for path, data in originals.items():
            assert shown.read(path, first, 1500) == data[first : first + 1500]
            assert shown.cache.used <= 9000

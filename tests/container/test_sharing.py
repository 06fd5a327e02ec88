"""One reader in several threads and processes: forked, pickled, and where a disk cannot read everything."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.writing import write_file
from spikey.base.errors import DamagedError, DataError
from spikey.codec.method import LPC
from spikey.container import layout as lay
from spikey.container.archive import Archive
from spikey.container.extra import Extra, side_file
from spikey.container.reader import Reader
from spikey.container.salvage import find_blocks
from spikey.files.settings import Settings
from spikey.lossy.near_lossless import hybrid
from spikey.recording.layout import Layout
from spikey.recording.opened import File
from spikey.recording.raw import open_raw
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head

FRAMES, BLOCK = 60_000, 500
SAMPLES = np.random.default_rng(0).normal(0, 20, (FRAMES, 4)).astype(np.int16)
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")


@pytest.fixture(scope="module")
def data() -> bytes:
    """120 blocks."""
    out = io.BytesIO()
    write_file(ArraySource(SAMPLES, 30_000), out, LPC, block_frames=BLOCK)
    return out.getvalue()


@pytest.fixture
def path(data, tmp_path) -> Path:
    (tmp_path / "a.spky").write_bytes(data)
    return tmp_path / "a.spky"


def wrong_reads(reader: Reader, wanted: np.ndarray, seed: int, reads: int = 150) -> int:
    """How many of some reads fail or give other samples."""
    reader.cache.room = 1
    wrong = 0
    for first in np.random.default_rng(seed).integers(0, len(wanted) - 50, reads).tolist():
        try:
            wrong += not np.array_equal(reader[first : first + 50], wanted[first : first + 50])
        except spikey.SpikeyError:
            wrong += 1
    return wrong + len(reader.lost)


def forked(do, count: int = 3) -> list[int]:
    """What `do(number)` gives, a number from 0 to 255, in so many forked children at once, and in this process."""
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            status = 255
            try:
                status = min(do(number), 254)
            finally:
                os._exit(status)
        children.append(child)
    here = do(count)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] + [here]


@forks
@pytest.mark.parametrize("salvage", [False, True])
def test_forked_processes_share_a_reader(path, salvage):
    with Reader(path, salvage=salvage) as reader:
        assert np.array_equal(reader[:100], SAMPLES[:100])  # and everything is compiled
        assert forked(lambda number: wrong_reads(reader, SAMPLES, number)) == [0] * 4


@forks
def test_forked_processes_share_an_archive(archive):
    with spikey.open_archive(archive) as opened:
        wanted = {name: opened[name][:] for name in ("a0.wav", "a3.wav")}
        assert (
            forked(lambda number: sum(wrong_reads(opened[name], wanted[name], number, 20) for name in wanted))
            == [0] * 4
        )


@forks
def test_forked_processes_share_a_recording(tmp_path):
    path = tmp_path / "a.dat"
    path.write_bytes(SAMPLES.tobytes())

    def wrong(number: int) -> int:
        firsts = np.random.default_rng(number).integers(0, FRAMES - 9, 3000).tolist()
        return sum(not np.array_equal(source.read(first, 9), SAMPLES[first : first + 9]) for first in firsts)

    with open_raw(path, 4, 30_000, "int16") as source:
        assert forked(wrong) == [0] * 4


@forks
def test_a_lock_that_another_thread_held_does_not_stop_a_child(path):
    with Reader(path) as reader, reader.cache.lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(reader[:9], SAMPLES[:9]) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("positioned", [True, False])
def test_threads_share_a_reader(path, positioned, monkeypatch):
    if not positioned:
        monkeypatch.delattr(os, "pread", raising=False)  # as on Windows
    wrong = []
    with Reader(path) as reader:
        assert isinstance(reader.input.opened, File) and reader.input.opened._plain == positioned
        threads = [
            threading.Thread(target=lambda seed=seed: wrong.append(wrong_reads(reader, SAMPLES, seed)))
            for seed in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == [0] * 4


# ---------------------------------------------------------------- pickled


def copy(reader):
    return pickle.loads(pickle.dumps(reader))


def test_a_reader_is_pickled_by_its_path(path, data, monkeypatch):
    monkeypatch.chdir(path.parent)
    with spikey.open("a.spky") as reader:
        pickled = pickle.dumps(reader)
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    with pickle.loads(pickled) as again:
        assert again.name == "a.spky" and again.shape == SAMPLES.shape
        np.testing.assert_array_equal(again[100:700, 2], SAMPLES[100:700, 2])
    with copy(spikey.open(data)) as again:
        np.testing.assert_array_equal(again[:9], SAMPLES[:9])


def test_options_are_pickled(path, data):
    damaged = bytearray(data)
    with spikey.open(data) as reader:
        block = reader.structure.blocks[3]
    damaged[block.offset + 5] ^= 1
    path.write_bytes(damaged)
    with Reader(path) as reader, copy(reader) as again, pytest.raises(DamagedError):
        again[:]
    with Reader(path, salvage=True) as reader, copy(reader) as again:
        again.cache.room = 7
        assert not again[block.first_frame : block.extent[1]].any() and again.lost == [block.extent]
        with copy(again) as third:
            assert third.cache.room == 7 and third.salvage and third.lost == []


def test_lossy_readers_and_their_corrections_are_pickled(tmp_path):
    samples = simulate(3000, 1, seed=3)
    raw = tmp_path / "a.wav"
    layout = Layout(1, 20_000, "int16")
    raw.write_bytes(canonical_head(layout, len(samples)) + samples.tobytes())
    hybrid(raw, tmp_path / "a.spky", 3.0, Settings(preset="fast"), correction=tmp_path / "b.spky")
    with spikey.open(tmp_path / "a.spky", lossy=True) as reader, Reader(tmp_path / "b.spky", correction=True) as rests:
        np.testing.assert_array_equal(copy(reader)[:], reader[:])
        reader.correct(rests)
        np.testing.assert_array_equal(copy(reader)[:], samples)


def test_archives_and_their_readers_are_pickled(archive):
    with spikey.open_archive(archive) as opened, copy(opened) as again:
        assert again.names == opened.names
        for name in ("a0.wav", "a3.wav", "deep/same.wav"):
            np.testing.assert_array_equal(copy(opened[name])[100:200], opened[name][100:200])
            np.testing.assert_array_equal(again[name][:9], opened[name][:9])


def test_a_file_that_has_changed_is_not_taken_for_the_same(path, data):
    with spikey.open(path) as reader:
        pickled = pickle.dumps(reader)
    other = io.BytesIO()
    write_file(ArraySource(SAMPLES[::-1], 30_000), other, LPC, block_frames=BLOCK)
    changed = other.getvalue()
    for content in (changed, changed[: len(data)].ljust(len(data), b"\0"), data + b"\0"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="a.spky"):
            pickle.loads(pickled)
    path.unlink()
    with pytest.raises(DataError, match="does not exist"):
        pickle.loads(pickled)


def total(reader: Reader, first: int) -> int:
    return int(reader[first : first + 100].astype(np.int64).sum())


def test_other_processes_take_readers(path):
    with (
        spikey.open(path) as reader,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        sums = list(pool.map(total, [reader] * 4, [0, 700, 30_000, 59_900]))
    assert sums == [int(SAMPLES[at : at + 100].astype(np.int64).sum()) for at in (0, 700, 30_000, 59_900)]


# ---------------------------------------------------------------- what a disk cannot read


@pytest.fixture
def sector(monkeypatch):
    """Makes bytes of all files unreadable: a function that takes where they begin and end."""
    if not hasattr(os, "pread"):
        pytest.skip("files are not read by position here")
    pread, bad = os.pread, []

    def read(descriptor: int, count: int, offset: int) -> bytes:
        if any(offset < end and offset + count > first for first, end in bad):
            raise OSError(errno.EIO, "Input/output error")
        return pread(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", read)
    return lambda first, end: bad.append((first, end))


def test_sound_blocks_are_salvaged_where_the_index_cannot_be_read(path, data, sector):
    with spikey.open(path) as reader:
        end = reader.structure.blocks[-1].offset + reader.structure.blocks[-1].size
    sector(end, len(data))
    with pytest.raises(DataError, match="cannot be read"):
        spikey.open(path)
    with Reader(path, salvage=True) as reader:
        np.testing.assert_array_equal(reader[:], SAMPLES)
        assert reader.lost == []


def test_only_blocks_in_what_cannot_be_read_are_lost(path, data, sector):
    with spikey.open(path) as reader:
        blocks = reader.structure.blocks
    places = [blocks[40].offset + 9, blocks[90].offset + 9, len(data) - 9]
    for place in places:
        sector(place, place + 1)
    with Reader(path, salvage=True) as reader:
        found = reader[:]
        assert set(reader.lost) == {blocks[40].extent, blocks[90].extent}
        kept = np.ones(FRAMES, dtype=bool)
        for first, end, _, _ in reader.lost:
            kept[first:end] = False
        np.testing.assert_array_equal(found[kept], SAMPLES[kept])
        assert not found[~kept].any()


def test_a_front_that_cannot_be_read_beyond_the_header(path, data, sector):
    sector(len(data) - 9, len(data))
    sector(9000, 9001)  # within what is read first
    with Reader(path, salvage=True) as reader:
        assert reader.shape == SAMPLES.shape
        np.testing.assert_array_equal(reader[-30_000:], SAMPLES[-30_000:])


def test_recordings_of_an_archive_whose_directory_cannot_be_read(archive, sector):
    size = archive.stat().st_size
    with spikey.open_archive(archive) as opened:
        wanted = {name: opened[name][:] for name in ("a0.wav", "a3.wav")}
    sector(size - 9, size)
    with pytest.raises(DataError):
        Archive(archive)
    with Archive(archive, salvage=True) as opened:
        assert all(np.array_equal(opened[name][:], samples) for name, samples in wanted.items())


# ---------------------------------------------------------------- blocks of other files


def test_a_file_that_another_was_appended_to(path, data):
    other = io.BytesIO()
    write_file(ArraySource(SAMPLES[::-1], 30_000), other, LPC, block_frames=BLOCK)
    path.write_bytes(data + other.getvalue())
    with pytest.raises(DataError):
        spikey.open(path)
    with Reader(path, salvage=True) as reader:
        np.testing.assert_array_equal(reader[:], SAMPLES)
        assert reader.lost == []


def test_a_file_whose_end_is_an_earlier_files(path, data):
    """As when a copy in place breaks off: the end is still that of what was there before."""
    earlier = io.BytesIO()
    write_file(ArraySource(SAMPLES[:-1] + 1, 30_000), earlier, LPC, block_frames=BLOCK)
    path.write_bytes(data[:100_000] + earlier.getvalue()[100_000:])
    with pytest.raises(DataError, match="of two files"):
        spikey.open(path)
    with Reader(path, salvage=True) as reader:
        found = reader[:]
        ((first, end, _, _),) = {extent for extent in reader.lost if extent[1] == FRAMES}
        kept = np.ones(FRAMES, dtype=bool)
        for low, high, _, _ in reader.lost:
            kept[low:high] = False
        assert kept[: FRAMES // 4].all() and first < end and not found[~kept].any()
        np.testing.assert_array_equal(found[kept], SAMPLES[kept])


def test_a_block_that_no_file_of_this_shape_has_hides_none(data):
    with Reader(data) as reader:
        last = reader.structure.blocks[-1]
        start = reader.structure.blocks[0].offset - len(reader.structure.blocks[0].write())
    strange = replace(last, first_frame=FRAMES, size=3)
    damaged = data[:start] + strange.write() + b"abc" + data[start:-9]
    with Reader(damaged, salvage=True) as reader:
        np.testing.assert_array_equal(reader[:], SAMPLES)


def test_blocks_within_a_side_file_are_not_the_recordings(data, tmp_path):
    other = io.BytesIO()
    write_file(ArraySource(SAMPLES[::-1], 30_000), other, LPC, block_frames=BLOCK)
    (tmp_path / "b.bin").write_bytes(other.getvalue())
    out = io.BytesIO()
    extra = Extra({}, (side_file("b.bin", tmp_path / "b.bin"),))
    write_file(ArraySource(SAMPLES, 30_000), out, LPC, extra=extra, block_frames=BLOCK)
    damaged = bytearray(out.getvalue())
    with Reader(out.getvalue()) as reader:
        side = next(block for block in reader.structure.blocks if block.kind == lay.BLOCK_FILES)
        victim = reader.structure.blocks[7]
    damaged[side.offset - 9] ^= 1  # so that its blocks are found
    damaged[victim.offset - 9] ^= 1
    damaged[-9] ^= 1
    with Reader(bytes(damaged), salvage=True) as reader:
        found = reader[:]
        first, end, *_ = victim.extent
        assert reader.lost == [victim.extent] and not found[first:end].any()
        np.testing.assert_array_equal(np.delete(found, np.s_[first:end], 0), np.delete(SAMPLES, np.s_[first:end], 0))


def test_marks_without_blocks_take_little_time():
    data = lay.SYNC * 300_000
    start = time.process_time()
    assert list(find_blocks(lambda at, count: data[at : at + count], len(data), "marks")) == []
    assert time.process_time() - start < 20

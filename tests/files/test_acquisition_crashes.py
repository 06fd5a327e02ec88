"""Recordings whose program is killed, whose disk is full, or which a child of their process has as well."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.commands import ENVIRONMENT
from spikey import DataError, UsageError
from spikey.container import growing
from spikey.container.layout import BLOCK_SAMPLES, checked_block
from spikey.files.decompress import verify_file
from spikey.files.repair import repair_file
from spikey.recording.simulate import simulate

CHANNELS, RATE, BLOCK = 3, 20_000, 500
SAMPLES = simulate(4000, CHANNELS, RATE, seed=1)
# Appends the same samples over and over; prints how many frames are on the disk.
PROGRAM = """
import resource, sys
import numpy as np, spikey
path, samples, limit = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
try:
    with spikey.create(path, samples.shape[1], 20_000, block_frames=500) as writer:
        for number in range(1_000_000):
            if number == 4 and limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            writer.append(samples[number % 40 * 100 : (number % 40 + 1) * 100])
            if number % 17 == 3:
                writer.flush()
                print(writer.frames, flush=True)
except spikey.DataError as error:
    print(error)
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.spky"


def repeated(frames: int) -> np.ndarray:
    return np.tile(SAMPLES, (frames // len(SAMPLES) + 1, 1))[:frames]


def assert_is_a_beginning(path: Path, complete: bool) -> int:
    with spikey.open(path) as reader:
        assert reader.complete is complete
        np.testing.assert_array_equal(reader[:], repeated(len(reader)))
        return len(reader)


def started(path: Path, limit: int = 0) -> subprocess.Popen[str]:
    np.save(path.with_suffix(".npy"), SAMPLES)
    command = [sys.executable, "-c", PROGRAM, str(path), str(path.with_suffix(".npy")), str(limit)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(5, 50))])
def test_a_killed_program_leaves_a_recording(path, seed):
    running = started(path)
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.2))
    running.send_signal(signal.SIGKILL)
    flushed = [int(line) for line in running.communicate()[0].split()]
    frames = assert_is_a_beginning(path, complete=False)
    assert frames >= max(flushed, default=0)
    assert verify_file(path).samples == frames * CHANNELS
    assert repair_file(path).frames == frames == assert_is_a_beginning(path, complete=True)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("end", ["", "raise ZeroDivisionError", "import sys; sys.exit(3)"])
def test_a_program_that_ends_without_closing_leaves_a_complete_recording(path, jobs, end):
    np.save(path.with_suffix(".npy"), SAMPLES)
    program = (
        "import sys, numpy as np, spikey\nsamples = np.load(sys.argv[2])\n"
        f"spikey.create(sys.argv[1], 3, 20_000, jobs={jobs}, block_frames=500).append(samples[:1234])\n{end}"
    )
    command = [sys.executable, "-c", program, str(path), str(path.with_suffix(".npy"))]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == (0 if not end else 3 if "exit" in end else 1), done.stderr
    assert assert_is_a_beginning(path, complete=True) == 1234
    with spikey.open(path) as reader:
        assert sum(block.size for block in reader.structure.blocks) < 1234 * CHANNELS  # coded, not stored


@pytest.mark.parametrize("limit", [30_000, 50_001])
def test_a_full_disk(path, limit):
    running = started(path, limit)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    last = out.splitlines()[-1]
    assert f"{path}: cannot be written (File too large); frames up to" in last and last.endswith("[cannot-write]")
    with spikey.open(path) as reader:
        frames = assert_is_a_beginning(path, reader.complete)
    assert f"frames up to {frames:,} are in the file" in out.splitlines()[-1] and frames >= BLOCK
    assert path.stat().st_size <= limit


class Disk:
    """Has room for so many bytes more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int):
        self.room, self._write, self._truncate = room, os.write, os.ftruncate
        monkeypatch.setattr(growing.os, "write", self.write)
        monkeypatch.setattr(growing.os, "ftruncate", self.truncate)

    def write(self, handle: int, data: bytes) -> int:
        if handle <= 2:
            return self._write(handle, data)
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: min(len(data), self.room, 1000)]  # systems may write less than they were given
        self.room -= len(part)
        return self._write(handle, part)

    def truncate(self, handle: int, size: int) -> None:
        self.room += max(os.fstat(handle).st_size - size, 0)
        self._truncate(handle, size)


def test_a_disk_that_fills_up_leaves_what_was_written_and_its_index(path, monkeypatch):
    writer = spikey.create(path, CHANNELS, RATE, block_frames=BLOCK)
    Disk(monkeypatch, 9000)
    with pytest.raises(DataError, match="No space left on device") as error, writer:
        for _ in range(3):
            writer.append(SAMPLES)
        writer.flush()
    assert str(path) in str(error.value)
    frames = assert_is_a_beginning(path, complete=True)
    assert frames and f"frames up to {frames:,} are in the file" in str(error.value)
    for call in (writer.flush, lambda: writer.append(SAMPLES)):
        with pytest.raises(UsageError, match="closed"):
            call()


def test_every_call_says_that_the_disk_is_full(path, monkeypatch):
    Disk(monkeypatch, 5000)
    writer = spikey.create(path, CHANNELS, RATE, block_frames=BLOCK)
    for _ in range(3):
        with pytest.raises(DataError, match="No space left"):
            writer.append(SAMPLES)
            writer.flush()
    with pytest.raises(DataError, match="No space left"):
        writer.close()
    writer.close()
    assert_is_a_beginning(path, complete=True)


def test_without_room_for_the_index_the_file_is_left_without_one(path, monkeypatch):
    writer = spikey.create(path, CHANNELS, RATE, block_frames=BLOCK)
    writer.append(SAMPLES)
    writer.flush()
    Disk(monkeypatch, 20)
    size = path.stat().st_size
    with pytest.raises(DataError, match="No space left"):
        writer.close()
    assert path.stat().st_size == size
    assert assert_is_a_beginning(path, complete=False) == len(SAMPLES)
    with pytest.raises(DataError, match="No space left"):
        repair_file(path)
    assert path.stat().st_size == size and assert_is_a_beginning(path, complete=False) == len(SAMPLES)
    monkeypatch.undo()
    repair_file(path)
    assert assert_is_a_beginning(path, complete=True) == len(SAMPLES)


def test_a_disk_without_room_for_the_header(path, monkeypatch):
    Disk(monkeypatch, 5)
    with pytest.raises(DataError, match="No space left"):
        spikey.create(path, CHANNELS, RATE)
    assert not path.exists()


@pytest.mark.parametrize("at", ["write", "index"])
def test_an_interrupt_while_it_is_written_leaves_no_half_block(path, monkeypatch, at):
    writer = spikey.create(path, CHANNELS, RATE, block_frames=BLOCK)
    writer.append(SAMPLES[:BLOCK])
    writer.flush()
    size, file, real = path.stat().st_size, writer._file, os.write

    def write(handle: int, data: bytes) -> int:
        if handle > 2:
            real(handle, data[:50])
            raise KeyboardInterrupt
        return real(handle, data)

    monkeypatch.setattr(growing.os, "write", write)
    with pytest.raises(KeyboardInterrupt):
        if at == "index":
            file.finish()
        else:
            file.add([(checked_block(BLOCK_SAMPLES, (BLOCK, 1, 0, CHANNELS), bytes(7), bytes(6)), bytes(7))])
    assert path.stat().st_size == size
    monkeypatch.undo()
    if at == "write":
        writer.append(SAMPLES[BLOCK:])
        writer.close()
        assert assert_is_a_beginning(path, complete=True) == len(SAMPLES)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "was removed"),
        (lambda path: os.replace(path.with_suffix(".other"), path), "was removed"),
        (lambda path: os.truncate(path, 100), "was changed by another program"),
        (lambda path: path.open("ab").write(b"x"), "was changed by another program"),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_a_file_that_is_removed_replaced_or_changed_while_it_is_written(path, change, says, last):
    path.with_suffix(".other").write_bytes(b"precious")
    writer = spikey.create(path, CHANNELS, RATE, block_frames=BLOCK)
    writer.append(SAMPLES[:BLOCK])
    writer.flush()
    change(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(DataError, match=says):
        if not last:
            writer.append(SAMPLES)
        writer.close()
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_file_that_is_renamed_goes_on(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with spikey.create("a.spky", CHANNELS, RATE, block_frames=BLOCK) as writer:
        writer.append(SAMPLES[:BLOCK])
        writer.flush()
        path.rename(path.with_name("b.spky"))
        monkeypatch.chdir("/")
        writer.append(SAMPLES[BLOCK:])
    assert assert_is_a_beginning(path.with_name("b.spky"), complete=True) == len(SAMPLES)


def child_of(do) -> int:
    """The exit status of a forked child that does something."""
    child = os.fork()
    if not child:
        status = 99
        try:
            status = do()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_writes_nothing(path):
    with spikey.create(path, CHANNELS, RATE, block_frames=BLOCK) as writer:
        writer.append(SAMPLES[:BLOCK])
        writer.flush()
        writer.append(SAMPLES[BLOCK : BLOCK + 10])

        def refused() -> int:
            found = 0
            for call in (
                lambda: writer.append(SAMPLES),
                writer.flush,
                writer.close,
                lambda: writer.__exit__(None, None, None),
            ):
                try:
                    call()
                except UsageError as error:
                    found += "another process" in str(error)
            return found

        size = path.stat().st_size
        assert child_of(refused) == 4
        assert path.stat().st_size == size
        with pytest.raises(DataError, match="is being written"):
            repair_file(path)  # the child has not taken the lock along
        writer.append(SAMPLES[BLOCK + 10 :])
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    assert not repair_file(path).needed  # although a child lives that had the file open
    os.write(writing, b"x")
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
    assert assert_is_a_beginning(path, complete=True) == len(SAMPLES)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_lock_ends_with_the_recording_not_with_its_children(path, monkeypatch):
    monkeypatch.setattr(growing.GrowingFile, "finish", lambda self: self._file.close())  # as without room for the index
    writer = spikey.create(path, CHANNELS, RATE, block_frames=BLOCK)
    writer.append(SAMPLES)
    monkeypatch.setattr(growing._Handle, "forked", lambda self: None)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)  # so that it ends with this process in any case
        os.read(reading, 1)
        os._exit(0)
    writer.close()
    assert repair_file(path).needed
    os.write(writing, b"x")
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)

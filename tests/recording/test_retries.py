"""Stores that fail: what may pass is tried again, what does not is not; nothing is left of what is not finished."""

from __future__ import annotations

import pytest

from spikey.base.errors import DataError, UsageError
from spikey.recording import retries, store
from spikey.recording.remote import open_address
from spikey.recording.store import atomic_address

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(retries, "DELAYS", (0.0, 0.0, 0.0))


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


class Step:
    """Fails a number of times, then does what it replaces."""

    def __init__(self, fails: int, error: type[Exception] = OSError, then=lambda *_, **__: "done"):
        self.fails, self.error, self.then, self.calls = fails, error, then, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls <= self.fails:
            raise self.error("for a moment")
        return self.then(*arguments, **options)


@pytest.mark.parametrize("fails", [0, 1, 3])
def test_what_passes_is_tried_again(fails):
    step = Step(fails)
    assert retries.persist(step) == "done" and step.calls == fails + 1


def test_what_does_not_pass_is_raised_in_the_end():
    step = Step(9)
    with pytest.raises(OSError, match="for a moment"):
        retries.persist(step)
    assert step.calls == 4


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, ValueError, DataError])
def test_what_another_attempt_does_not_change_is_raised_at_once(error):
    step = Step(1, error)
    with pytest.raises(error):
        retries.persist(step)
    assert step.calls == 1


@pytest.mark.parametrize("name", ["exists", "isdir", "open", "mv"])
def test_every_step_of_writing(memory, monkeypatch, name):
    step = Step(2, then=getattr(memory, name))
    monkeypatch.setattr(memory, name, step)
    with atomic_address("memory://a/b.bin") as (file, _):
        file.write(b"content")
    assert memory.cat_file("/a/b.bin") == b"content" and step.calls > 2
    assert memory.find("/") == ["/a/b.bin"]


@pytest.mark.parametrize("name", ["exists", "open", "mv"])
def test_a_store_that_fails_for_good_keeps_nothing(memory, monkeypatch, name):
    monkeypatch.setattr(memory, name, Step(99))
    said = r"b\.bin: cannot be written \(for a moment\)"
    with pytest.raises(UsageError, match=said), atomic_address("memory://a/b.bin") as (file, _):
        file.write(b"content")
    assert memory.find("/") == []


def test_a_rename_whose_answer_is_lost_has_been_done(memory, monkeypatch):
    def lost(source, target):
        memory_move(source, target)
        raise OSError("no answer")

    memory_move = memory.mv
    monkeypatch.setattr(memory, "mv", lost)
    with atomic_address("memory://a/b.bin") as (file, _):
        file.write(b"content")
    assert memory.cat_file("/a/b.bin") == b"content"


def test_reading_tries_again(memory, monkeypatch):
    memory.pipe("/a.bin", b"0123456789")
    monkeypatch.setattr(memory, "open", Step(2, then=memory.open))
    file, _, size = open_address("memory://a.bin")
    assert size == 10
    monkeypatch.setattr(file._file, "read", Step(2, then=file._file.read))
    held = bytearray(4)
    assert file.read_into(3, memoryview(held)) == 4 and bytes(held) == b"3456"
    monkeypatch.setattr(file._file, "read", Step(99))
    with pytest.raises(DataError, match="cannot be read at byte 0: for a moment"):
        file.read_into(0, memoryview(held))


def test_a_file_that_is_not_finished_is_discarded_even_if_closing_it_failed():
    class File:
        closed, discarded = True, False

        def discard(self):
            self.discarded = True

    file = File()
    store._discard(file)
    assert file.discarded
    store._discard(None)

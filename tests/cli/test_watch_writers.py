"""`spikey watch` while programs write: nothing is touched that is not finished."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from kit import vendors
from kit.watching import SOON, contents, events, restored, small, wait_for, watcher, writer

pytest.importorskip("spikeinterface.core")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="seen on Linux only")
def test_what_a_process_has_open_for_writing_is_not_touched(places, run):
    raw, packed = places
    original = small(raw / "s")
    process = writer(original, pieces=1, pause=60, hold=True, size=0)
    try:
        wait_for(lambda: str(original) in {os.path.realpath(p) for p in Path(f"/proc/{process.pid}/fd").iterdir()})
        status, out, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
        assert (status, out) == (0, "") and "s is still written" in err
        assert events(packed) == ["seen"] and original.exists()
    finally:
        process.kill()
        process.wait()
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    assert events(packed) == ["seen", "started", "done", "removing", "removed"]


def test_what_is_written_is_not_touched_and_then_compressed(places, tmp_path, run):
    """Whether it is opened once or for each piece."""
    raw, packed = places
    vendors.spikeglx(raw, frames=60, lf=False, nidq=False)
    vendors.open_ephys(raw / "oe", frames=60)
    small(raw / "s")
    frames = {"run_g0": 2 * 385, "oe": 2 * 8, "s": 2 * 4}  # bytes
    paths = [next(raw.rglob(name)) for name in ("*.ap.bin", "Acq*/continuous.dat", "amplifier.dat")]
    before = contents(raw)
    held = (False, True, False)
    writing = [writer(path, 8, 0.25, *how) for path, *how in zip(paths, held, frames.values(), strict=True)]
    with watcher(raw, "--into", packed, "--minutes", "0.01", "--rm"):
        while all(each.poll() is None for each in writing):
            assert set(events(packed)) <= {"seen"} and all(path.exists() for path in paths)
            time.sleep(0.02)
        wait_for(lambda: all("removed" in events(packed, name) for name in frames))
    assert not contents(raw) and "failed" not in events(packed)
    for path, size in zip(paths, frames.values(), strict=True):
        before[path.relative_to(raw).as_posix()] += bytes(range(256)) * size * 8
    assert restored(run, packed, tmp_path / "back") == before


def test_a_pause_longer_than_one_look_does_not_end_a_session(places):
    raw, packed = places
    path = small(raw / "s")
    size = path.stat().st_size + 3 * 256 * 8
    writing = writer(path, pieces=3, pause=1.2, size=8)  # looks are 0.9 s apart
    with watcher(raw, "--into", packed, "--minutes", "0.015"):
        while writing.poll() is None:
            assert set(events(packed)) <= {"seen"} or path.stat().st_size == size  # in the last pause
            time.sleep(0.02)
        wait_for(lambda: "done" in events(packed))
    assert events(packed) == ["seen", "started", "done"]


def test_a_session_that_changes_while_it_is_compressed_is_tried_again(places, run, monkeypatch):
    from spikey.cli import watched

    raw, packed = places
    original = small(raw / "s")
    real = watched.compress_plan

    def meddle(*arguments, **options):
        done = real(*arguments, **options)
        (raw / "s" / "late.txt").write_text("written late")
        return done

    monkeypatch.setattr(watched, "compress_plan", meddle)
    status, _, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert status == 1 and "s: changed while it was compressed" in err
    assert original.exists() and not list(packed.rglob("*.spky"))
    monkeypatch.setattr(watched, "compress_plan", real)
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    assert events(packed)[-1] == "removed" and not contents(raw)


def test_a_session_that_changes_while_another_is_compressed_is_not_begun(places, run, monkeypatch):
    from spikey.cli import watched

    raw, packed = places
    small(raw / "a")
    small(raw / "b")
    real = watched.compress_plan

    def meddle(*arguments, **options):
        (raw / "b" / "late.txt").write_text("written late")
        return real(*arguments, **options)

    monkeypatch.setattr(watched, "compress_plan", meddle)
    status, _, err = run("watch", raw, "--into", packed, "--once", *SOON)
    assert status == 0 and "b is still written" in err
    assert events(packed, "a")[-1] == "done" and events(packed, "b") == ["seen"]


def test_files_that_no_output_restores_are_not_removed_with_the_others(places, run, monkeypatch):
    from spikey.cli import watched

    raw, packed = places
    vendors.spikeglx(raw, frames=60, lf=False)
    before = contents(raw)
    real = watched.plan_below

    def plan(*arguments, **options):
        found = real(*arguments, **options)
        found.outputs.pop()
        return found

    monkeypatch.setattr(watched, "plan_below", plan)
    status, _, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert status == 1 and "run_g0: would not be restored: " in err
    assert contents(raw) == before and not list(packed.rglob("*.spky"))


def test_outputs_are_on_the_disk_before_anything_is_removed(places, run, monkeypatch):
    from spikey.cli import watched

    raw, packed = places
    small(raw / "s")
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0  # the output is there already then
    synced = []
    monkeypatch.setattr(watched, "sync_folder", lambda path: synced.append((path, events(packed)[-1])))
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    assert synced == [(packed / "s/amplifier.dat.spky", "done"), (packed / "s", "done")]


def test_an_original_that_changes_before_it_is_removed_stays(places, run, monkeypatch):
    from spikey.cli import watched

    raw, packed = places
    original = small(raw / "s")
    real = watched.remove

    def meddle(*arguments):
        original.write_bytes(b"something else")
        return real(*arguments)

    monkeypatch.setattr(watched, "remove", meddle)
    status, _, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert status == 1 and "amplifier.dat: changed while it was compressed, and was not removed" in err
    assert original.read_bytes() == b"something else"
    assert events(packed)[-2:] == ["removing", "left"]
    monkeypatch.setattr(watched, "remove", real)
    run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert original.read_bytes() == b"something else" and "removed" in events(packed)

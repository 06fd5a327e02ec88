"""`spikey watch`: what is compressed when, and what becomes of the originals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from kit import vendors
from kit.commands import refused
from kit.watching import JOURNAL, contents, events, lines, wait_for, watcher, writer
from spikey.files.journal import Journal
from spikey.recording.output import remove_abandoned

pytest.importorskip("spikeinterface.core")
SOON = ("--minutes", "0.001")


@pytest.fixture(autouse=True)
def _usual_priority(monkeypatch):
    monkeypatch.setattr(os, "nice", lambda by: 0)


@pytest.fixture
def places(tmp_path) -> tuple[Path, Path]:
    """A folder to watch, and one for outputs."""
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw", tmp_path / "packed"


def small(folder: Path) -> Path:
    """A session of two files, small enough to be compressed at once; the larger one's path."""
    vendors.intan_folder(folder, frames=200)
    return folder / "amplifier.dat"


def restored(run, packed: Path, back: Path) -> dict[str, bytes]:
    """What the compressed files below a folder restore."""
    shutil.rmtree(back, ignore_errors=True)
    if not list(packed.rglob("*.spky")):
        return {}
    status, _, err = run("decompress", packed, f"{back}/", "-q")
    assert status == 0, err
    return contents(back)


def test_sessions_of_every_vendor_are_compressed_once(places, tmp_path, run):
    raw, packed = places
    vendors.spikeglx(raw / "day", frames=60, lf=False)
    vendors.open_ephys(raw / "oe", frames=60)
    small(raw / "intan")
    vendors.blackrock(raw / "b.ns5", frames=60)
    (raw / "loud.wav").write_bytes(b"RIFF")
    before = contents(raw)
    status, out, err = run("watch", raw, "--into", packed, "--once", *SOON)
    assert status == 0, err
    assert contents(raw) == before
    assert set(events(packed)) == {"seen", "started", "done"}
    assert {line["run"] for line in lines(packed)} == {"day/run_g0", "oe", "intan", "b.ns5"}
    before.pop("loud.wav")
    assert restored(run, packed, tmp_path / "back") == before
    assert (packed / "day/run_g0/run_g0_t0.nidq.bin.spky").is_file()
    number = r"\d+(\.\d)? [kMG]?B|\d+ bytes"
    for line in out.splitlines():
        assert re.fullmatch(rf"\S+  ({number}) -> ({number}) in \d+ s \(saved ({number})\)", line), line
    assert len(out.splitlines()) == 4
    assert "not watched: loud.wav; only SpikeGLX" in err and err.count("not watched") == 1
    done = lines(packed, "oe")[-1]
    assert done["before"] == sum(len(data) for name, data in before.items() if name.startswith("oe/"))
    assert done["after"] == sum(len(data) for name, data in contents(packed).items() if name.startswith("oe/"))
    assert list(raw.glob(".spikey*")) == []  # the lock is gone
    written = lines(packed)
    assert run("watch", raw, "--into", packed, "--once", *SOON)[:2] == (0, "")
    assert lines(packed) == written


def test_originals_go_only_with_rm_and_only_of_sessions_of_which_everything_is_stored(places, tmp_path, run):
    raw, packed = places
    vendors.spikeglx(raw, frames=60, nidq=False)
    (raw / "run_g0" / "notes.txt").write_text("a note")
    (raw / "run_g0" / "empty").touch()
    (raw / "run_g0" / "kilosort4").mkdir()
    (raw / "run_g0" / "kilosort4" / "spike_times.npy").write_bytes(b"derived")
    small(raw / "linked")
    (raw / "linked" / "link").symlink_to("info.rhd")
    small(raw / "whole")
    before = contents(raw)
    status, out, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert status == 1
    assert err.count("spikey: ") == 1 and "linked: could not be restored file for file: " in err and "link" in err
    left = {name: data for name, data in before.items() if name.startswith("linked/")}
    assert contents(raw) == left
    assert not (packed / "linked").exists()
    assert restored(run, packed, tmp_path / "back") == {n: d for n, d in before.items() if n not in left}
    assert events(packed, "whole") == ["seen", "started", "done", "removing", "removed"]
    assert events(packed, "linked") == ["seen", "started", "left"]
    assert all(line.endswith("), originals removed") for line in out.splitlines()) and len(out.splitlines()) == 2
    status, _, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert status == 1 and "linked: could not be restored file for file" in err  # named, but not tried again
    assert events(packed, "linked") == ["seen", "started", "left"]
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0  # without --rm it can be compressed
    assert events(packed, "linked")[-1] == "done" and contents(raw) == left


def test_outputs_lie_beside_the_originals_without_into(places, tmp_path, run):
    raw, _ = places
    small(raw / "s")
    before = contents(raw)
    assert run("watch", raw, "--once", *SOON)[0] == 0
    assert set(contents(raw)) == {*before, "s/amplifier.dat.spky"}
    written = lines(raw)
    assert run("watch", raw, "--once", *SOON)[0] == 0 and lines(raw) == written
    assert run("watch", raw, "--once", "--rm", *SOON)[0] == 0
    assert set(contents(raw)) == {"s/amplifier.dat.spky"}
    shutil.copytree(raw / "s", tmp_path / "only" / "s")
    assert restored(run, tmp_path / "only", tmp_path / "back") == before


def test_the_folder_itself_may_be_a_session_and_contain_the_outputs(places, tmp_path, run):
    raw, _ = places
    small(raw / "s")
    before = contents(raw / "s")
    assert run("watch", raw / "s", "--into", raw / "s" / "packed", "--once", "--rm", *SOON)[0] == 0
    assert set(contents(raw / "s")) == {"packed/amplifier.dat.spky"}
    shutil.move(raw / "s" / "packed", tmp_path / "packed")
    assert restored(run, tmp_path / "packed", tmp_path / "back") == before


@pytest.mark.parametrize("year", [1971, 2120])
def test_times_of_another_clock_do_not_matter(places, run, year):
    raw, packed = places
    original = small(raw / "s")
    for path in raw.rglob("*"):
        os.utime(path, (31_557_600 * (year - 1970),) * 2)
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    assert not original.exists() and events(packed)[-1] == "removed"


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


def test_a_failure_is_tried_again_when_the_session_has_changed(places, run):
    raw, packed = places
    vendors.intan(raw / "a.rhd", blocks=2)
    whole = (raw / "a.rhd").read_bytes()
    (raw / "a.rhd").write_bytes(b"\0" * len(whole))
    for _ in range(2):
        status, _, err = run("watch", raw, "--into", packed, "--once", *SOON)
        assert status == 1 and "spikey: a.rhd: " in err and "Traceback" not in err
    assert events(packed) == ["seen", "started", "failed"]
    assert "a.rhd" in lines(packed)[-1]["reason"]
    (raw / "a.rhd").write_bytes(whole)
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    assert events(packed) == ["seen", "started", "failed", "seen", "started", "done"]


def test_one_session_that_fails_does_not_stop_the_others(places, run, monkeypatch):
    from spikey.cli import watched

    raw, packed = places
    for name in "abc":
        small(raw / name)
    real = watched.plan_below

    def plan(place: Path, *arguments, **options):
        if place.name == "a":
            raise OSError(5, "Input/output error")
        if place.name == "b":
            raise ZeroDivisionError("a defect")
        return real(place, *arguments, **options)

    monkeypatch.setattr(watched, "plan_below", plan)
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 1
    assert [events(packed, name)[-1] for name in "abc"] == ["failed", "failed", "done"]
    monkeypatch.setattr(watched, "plan_below", real)
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 1
    assert [events(packed, name)[-1] for name in "abc"] == ["done", "failed", "done"]  # that of the machine only


def test_an_output_of_something_else_is_not_replaced(places, run):
    raw, packed = places
    original = small(raw / "s")
    output = packed / "s" / "amplifier.dat.spky"
    output.parent.mkdir(parents=True)
    output.write_bytes(b"precious")
    status, _, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert status == 1 and "exists, and does not restore this input" in err
    assert output.read_bytes() == b"precious" and original.exists()
    output.unlink()
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0 and not original.exists()


def test_outputs_that_exist_and_restore_the_session_are_taken_as_done(places, run):
    raw, packed = places
    original = small(raw / "s")
    assert run("compress", raw / "s", f"{packed}/")[0] == 0
    (output,) = packed.rglob("*.spky")
    before = output.stat()
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    assert output.stat().st_ino == before.st_ino and not original.exists()


@pytest.mark.parametrize("data", [b"", b"a note"])
def test_a_file_that_was_added_later_is_stored_before_it_is_removed(places, tmp_path, run, data):
    """What exists restores all but that file, and is written anew; `spikey compress` refuses to."""
    raw, packed = places
    small(raw / "s")
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    (raw / "s" / "later.txt").write_bytes(data)
    before = contents(raw)
    status, _, err = run("compress", raw / "s", f"{packed}/", "--skip-existing", "--rm")
    assert status == 2 and "does not restore this input" in err and contents(raw) == before
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    assert not contents(raw)
    assert restored(run, packed, tmp_path / "back") == before


def test_recordings_that_are_added_to_a_session(places, tmp_path, run):
    raw, packed = places
    vendors.open_ephys(raw / "oe", frames=60)
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    vendors.open_ephys(tmp_path / "more", frames=60, recordings=2)
    node = Path("Record Node 101")
    shutil.copytree(tmp_path / "more" / node / "experiment1/recording2", raw / "oe" / node / "experiment1/recording2")
    (raw / "oe" / node / "settings_2.xml").write_text("<SETTINGS/>")
    before = contents(raw)
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    assert not contents(raw) and restored(run, packed, tmp_path / "back") == before


def test_a_session_without_samples_waits_for_them(places, run):
    raw, packed = places
    vendors.spikeglx(raw, frames=60, lf=False, nidq=False)
    path = next(raw.rglob("*.bin"))
    samples = path.read_bytes()
    path.write_bytes(b"")
    for _ in range(2):
        status, _, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
        assert status == 1 and "run_g0: " in err
    assert events(packed).count("started") == 1 and path.exists() and not list(packed.rglob("*.spky"))
    path.write_bytes(samples)
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0 and not path.exists()


def test_one_watcher_a_folder(places, tmp_path, run):
    raw, packed = places
    with watcher(raw, "--into", packed, "--minutes", "5"):
        wait_for(lambda: list(raw.glob(".spikey-watch-*.lock")))
        refused(run("watch", raw, "--into", tmp_path / "other", "--once", *SOON), 2, "another spikey watch", raw)
        (tmp_path / "more").mkdir()
        assert run("watch", tmp_path / "more", "--into", packed, "--once", *SOON)[0] == 0
    assert list(raw.glob(".spikey-watch-*.lock"))  # it was killed
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    assert not list(raw.glob(".spikey-watch-*.lock"))


def test_a_folder_that_cannot_be_written_to_is_locked_beside_the_outputs(places, run, monkeypatch):
    raw, packed = places
    small(raw / "s")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != raw and real(path, mode))
    with watcher(raw, "--into", packed, "--minutes", "5"):  # which can write there
        wait_for(lambda: list(raw.glob(".spikey-watch-*.lock")))
        before = set(raw.iterdir())
        assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
        assert set(raw.iterdir()) == before and not list(packed.glob("*.lock"))
    assert events(packed)[-1] == "done"


def test_two_folders_may_share_their_outputs_and_the_journal(places, tmp_path, run):
    raw, packed = places
    for folder, name in ((raw, "a"), (tmp_path / "second", "b")):
        folder.mkdir(exist_ok=True)
        small(folder / name)
        assert run("watch", folder, "--into", packed, "--once", "--rm", *SOON)[0] == 0
        assert not contents(folder)
    assert events(packed, "a") == events(packed, "b") and len(list(packed.rglob("*.spky"))) == 2


def interrupted(raw: Path, packed: Path, run) -> tuple[Path, Path, Path]:
    """A session whose removal was cut short after the first file: the two originals and the output."""
    amplifier = small(raw / "s")
    header, clock = raw / "s" / "info.rhd", raw / "s" / "time.dat"
    held = {path: (path.read_bytes(), path.stat()) for path in (amplifier, header, clock)}
    assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
    for path in (header, clock):
        path.write_bytes(held[path][0])
        os.utime(path, ns=(held[path][1].st_atime_ns, held[path][1].st_mtime_ns))
    journal = packed / JOURNAL
    whole = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole[:-1]) + whole[-1][:20])  # torn within "removed"
    return header, clock, packed / "s" / "amplifier.dat.spky"


def test_a_removal_that_was_interrupted_is_finished(places, tmp_path, run):
    raw, packed = places
    header, clock, _ = interrupted(raw, packed, run)
    status, out, err = run("watch", raw, "--into", packed, "--once", *SOON)
    assert status == 1 and not out and "its removal was interrupted; --rm finishes it" in err
    assert header.exists() and clock.exists()
    clock.write_bytes(b"another recording's")  # which is no longer what was compressed
    status, out, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert not header.exists() and clock.read_bytes() == b"another recording's"
    assert "s  originals removed" in out and "removed" in events(packed)
    clock.unlink()
    assert len(restored(run, packed, tmp_path / "back")) == 3


@pytest.mark.parametrize("damage", ["one byte", "missing", "another size"])
def test_nothing_more_is_removed_where_an_output_is_damaged(places, run, damage):
    raw, packed = places
    header, clock, output = interrupted(raw, packed, run)
    data = bytearray(output.read_bytes())
    if damage == "one byte":
        data[len(data) // 2] ^= 1
    output.unlink()
    if damage != "missing":
        output.write_bytes(data + bytes(damage == "another size"))
    for _ in range(2):
        status, out, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
        assert status == 1 and not out and "goes on no further" in err and str(output) in err
        assert header.exists() and clock.exists() and events(packed).count("started") == 1


def test_a_torn_journal_is_gone_on_with(places, run):
    raw, packed = places
    small(raw / "s")
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    journal = packed / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-30])  # without what was done last
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    assert events(packed) == ["seen", "started", "started", "done"]
    assert len(journal.read_bytes().splitlines()) == 5


def test_what_a_dead_process_left_unfinished_is_removed(places, run):
    raw, packed = places
    small(raw / "s")
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    (output,) = packed.rglob("*.spky")
    part = output.with_name(f".{output.name}.0123abcd.part")
    part.write_bytes(output.read_bytes()[:50])
    with Journal(packed / JOURNAL) as journal:
        journal.add(folder=str(raw), run="s", event="started")
    remove_abandoned.cache_clear()  # as in a new process
    assert run("watch", raw, "--into", packed, "--once", *SOON)[0] == 0
    assert not part.exists() and output.exists() and events(packed)[-1] == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_an_interrupt_leaves_no_unfinished_output(places):
    raw, packed = places
    vendors.spikeglx(raw, frames=30_000, lf=False, nidq=False)
    before = contents(raw)
    with watcher(raw, "--into", packed, "--minutes", "0.001", "--rm") as process:
        wait_for(lambda: list(packed.rglob("*.part")))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130 and "Traceback" not in err, err
        assert err.endswith("interrupted; no unfinished output was kept\n")
    assert contents(raw) == before and not list(packed.rglob("*.part"))
    assert not list(raw.glob(".spikey*"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_an_interrupt_while_it_waits(places):
    raw, packed = places
    with watcher(raw, "--into", packed, "--minutes", "5") as process:
        wait_for(lambda: (packed / JOURNAL).exists())
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 130


def test_the_journal_for_programs(places, run):
    raw, packed = places
    small(raw / "s")
    status, out, _ = run("watch", raw, "--into", packed, "--once", "--json", *SOON)
    assert status == 0 and [json.loads(line) for line in out.splitlines()] == lines(packed)
    assert run("watch", raw, "--into", packed, "--once", "--rm", "-q", *SOON)[:2] == (0, "")


def test_bad_calls(places, run):
    raw, packed = places
    refused(run("watch", raw / "none"), 1, "no such folder")
    refused(run("watch", raw, "--minutes", "0"), 2, "--minutes")
    refused(run("watch", raw, "--minutes", "nan"), 2, "--minutes")
    refused(run("watch", raw, "--preset", "none"), 2, "none")
    packed.write_bytes(b"a file")
    refused(run("watch", raw, "--into", packed, "--once"), 2, packed)


class Died(BaseException):
    """Stands for the end of the process."""


def test_wherever_it_ends_nothing_is_lost_and_the_next_process_goes_on(places, tmp_path, run, monkeypatch):
    """After each line of the journal and each file that is removed."""
    raw, packed = places
    small(raw / "s")
    kept = tmp_path / "kept"
    shutil.copytree(raw, kept)
    originals = contents(raw)
    left = 0

    def dying(real):
        def call(*arguments, **options):
            nonlocal left
            done = real(*arguments, **options)
            left -= 1
            if left == 0:
                raise Died
            return done

        return call

    ends = []
    for steps in range(1, 20):
        shutil.rmtree(raw)
        shutil.rmtree(packed, ignore_errors=True)
        shutil.copytree(kept, raw)
        left = steps
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "add", dying(Journal.add))
            patched.setattr(Path, "unlink", dying(Path.unlink))
            try:
                assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
                break
            except Died:
                ends.append((events(packed)[-1], len(contents(raw))))
        check_nothing_is_lost(run, raw, packed, tmp_path / "back", originals)
        assert run("watch", raw, "--into", packed, "--once", "--rm", *SOON)[0] == 0
        assert not contents(raw) and restored(run, packed, tmp_path / "back") == originals
    removing = [("removing", 3), ("removing", 2), ("removing", 1), ("removing", 0)]
    assert ends == [("seen", 3), ("started", 3), ("done", 3), *removing, ("removed", 0)]


def check_nothing_is_lost(run, raw: Path, packed: Path, back: Path, originals: dict[str, bytes]) -> None:
    """Each original is there unchanged, or is restored by the outputs."""
    there = contents(raw)
    assert all(originals[name] == data for name, data in there.items())
    missing = {name for name in originals if name not in there}
    if missing:
        found = restored(run, packed, back)
        assert all(found.get(name) == originals[name] for name in missing), missing


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize(
    "seed, kills", [(0, 5), *(pytest.param(seed, 9, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_killed_at_random_points(places, tmp_path, run, seed, kills):
    """Most of the kills come soon after a step that the journal lists, the others at any time."""
    random = np.random.default_rng(seed)
    raw, packed = places
    for name in "abc":
        vendors.spikeglx(raw, run=name, frames=400, lf=False)
        for number in range(40):
            (raw / f"{name}_g0" / f"note {number}.txt").write_text(f"{name} {number}")
    originals = contents(raw)
    count = 0
    while count < kills:
        step = ("removing", "started", "done", "", "removing", "seen")[count % 6]
        wanted = events(packed).count(step) + 1
        with watcher(raw, "--into", packed, "--rm", "--once", *SOON) as process:
            if step:
                wait_for(lambda: process.poll() is not None or events(packed).count(step) >= wanted, every=0.0002)  # noqa: B023
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=random.exponential(0.002) if step else random.uniform(0.5, 3))
            count += process.poll() is None
        check_nothing_is_lost(run, raw, packed, tmp_path / "back", originals)
        if not any(raw.rglob("*.bin")):  # all is done: begin anew with the same sessions
            shutil.rmtree(packed)
            for name, data in originals.items():
                (raw / name).write_bytes(data)
    status, _, err = run("watch", raw, "--into", packed, "--rm", "--once", *SOON)
    assert status == 0, err
    assert not contents(raw) and not list(packed.rglob("*.part"))
    assert restored(run, packed, tmp_path / "back") == originals

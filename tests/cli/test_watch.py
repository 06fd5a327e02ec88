"""`spikey watch`: what is compressed, what becomes of the originals, and what is shown."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from kit import vendor_intan, vendors
from kit.commands import refused
from kit.vendor_files import FORMS
from kit.watching import SOON, contents, events, lines, restored, small, wait_for, watcher

pytest.importorskip("spikeinterface.core")


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


def test_sessions_of_every_form_go_and_come_back(places, tmp_path, run):
    """Those that share a folder with each other too: recordings of one minute each, a name with several rates."""
    raw, packed = places
    for name in ("spikeglx", "open ephys binary", "open ephys legacy", "neuralynx", "intan signals", "intan channels"):
        (raw / name).mkdir()
        FORMS[name][1](raw / name)
    for name in ("minute1.rhd", "minute2.rhd"):
        vendor_intan.intan_single(raw / name)
    vendors.blackrock(raw / "b.ns5", frames=60)
    vendors.blackrock(raw / "b.ns2", frames=60, channels=2)
    for name, size in (("b.nev", 1000), ("b.ccf", 10), ("minute2.txt", 10)):
        (raw / name).write_bytes(bytes(size))
    (raw / "notes.txt").write_text("of no session")
    before = contents(raw)
    status, _, err = run("watch", raw, "--into", packed, "--once", "--rm", *SOON)
    assert status == 0, err
    assert contents(raw) == {"notes.txt": before.pop("notes.txt")}
    assert events(packed, "b.ns5") == ["seen", "started", "done", "removing", "removed"]
    assert restored(run, packed, tmp_path / "back") == before


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


def test_what_is_not_stored_is_counted(places, run):
    raw, packed = places
    small(raw / "s")
    (raw / "s" / "link").symlink_to("info.rhd")
    (raw / "s" / "kilosort4").mkdir()
    (raw / "s" / "kilosort4" / "spike_times.npy").write_bytes(b"derived")
    status, out, err = run("watch", raw, "--into", packed, "--once", *SOON)
    assert status == 0 and out.endswith("), 2 files are not stored\n") and "note: 2 files are not stored" in err
    assert lines(packed)[-1]["not_stored"] == 2
    (raw / "s" / "kilosort4" / "spike_times.npy").write_bytes(b"sorted anew")
    assert run("watch", raw, "--into", packed, "--once", *SOON)[:2] == (0, "")  # which is no reason to look again


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
    refused(run("watch", raw, "--minutes", "inf"), 2, "--minutes")
    refused(run("watch", raw, "--preset", "none"), 2, "none")
    packed.write_bytes(b"a file")
    refused(run("watch", raw, "--into", packed, "--once"), 2, packed)

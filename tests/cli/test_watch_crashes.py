"""`spikey watch` interrupted, killed and broken off anywhere: nothing is lost, and the next process goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from kit import vendors
from kit.watching import JOURNAL, SOON, contents, events, restored, small, wait_for, watcher
from spikey.files.journal import Journal
from spikey.recording.output import remove_abandoned

pytest.importorskip("spikeinterface.core")


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
        assert status == 1 and not out and "cannot continue" in err and str(output) in err
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

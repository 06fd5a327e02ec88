"""Which recording sessions lie below a folder, what belongs to each, and when one is finished."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit import vendors
from spikey.integrations.runs import Found, Run, look_again, runs_in
from spikey.integrations.watching import UNCHANGED, History, Looks, fingerprint


def names(found: Found) -> dict[str, set[str]]:
    return {run.name: set(run.files) for run in found.runs}


def below(folder: Path, name: str) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in (folder / name).rglob("*") if not p.is_dir() or p.is_symlink()}


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")


def test_sessions_of_every_vendor_with_all_their_files(tmp_path):
    vendors.spikeglx(tmp_path / "day", run="first", triggers=2, frames=50)
    vendors.spikeglx(tmp_path / "day", run="second", frames=50)
    vendors.open_ephys(tmp_path / "oe", recordings=2, frames=50)
    vendors.intan_folder(tmp_path / "one per signal", frames=50)
    touch(tmp_path / "legacy" / "100_CH1.continuous", tmp_path / "cheetah" / "CSC1.ncs", tmp_path / "cheetah" / "a.nev")
    touch(tmp_path / "day/first_g0/notes.txt", tmp_path / "day/first_g0/kilosort4/temp_wh.dat")
    (tmp_path / "day/first_g0/link").symlink_to("nowhere")
    folders = {"day/first_g0", "day/second_g0", "oe", "one per signal", "legacy", "cheetah"}
    found = runs_in(tmp_path)
    assert names(found) == {name: below(tmp_path, name) for name in folders}
    assert all(run.place == tmp_path / run.name and not found.others for run in found.runs)
    first = found.runs[1]
    assert first.name == "day/first_g0" and first.derived == {"day/first_g0/kilosort4/temp_wh.dat"}
    assert first.files["day/first_g0/notes.txt"][0] == 4
    assert first.size == sum(os.lstat(tmp_path / name).st_size for name in first.files)


def test_gates_are_sessions_of_their_own(tmp_path):
    for gate in (0, 1):
        for stream in ("imec0.ap", "imec1.ap"):
            probe = tmp_path / f"run_g{gate}" / f"run_g{gate}_{stream[:5]}"
            touch(probe / f"run_g{gate}_t0.{stream}.bin", probe / f"run_g{gate}_t0.{stream}.meta")
    catgt = tmp_path / "catgt_run_g0" / "run_g0_imec0" / "run_g0_tcat.imec0.ap.bin"
    touch(catgt, catgt.with_suffix(".meta"))
    assert set(names(runs_in(tmp_path))) == {"run_g0", "run_g1", "catgt_run_g0"}
    assert names(runs_in(tmp_path / "run_g1")) == {".": below(tmp_path / "run_g1", ".")}  # the folder itself is one


def test_files_that_share_a_folder_are_sessions_with_their_companions(tmp_path):
    touch(*(tmp_path / f"a_{minute}.rhd" for minute in ("1200", "1201")), tmp_path / "a_1200.txt")
    touch(*(tmp_path / "x" / f"b.{end}" for end in ("ns2", "ns6", "nev", "ccf", "wav")), tmp_path / "x" / "b2.nev")
    touch(*(tmp_path / f"r_g0_t{n}.imec0.ap.{end}" for n in (0, 1) for end in ("bin", "meta")))
    found = runs_in(tmp_path)
    assert names(found) == {
        "a_1200.rhd": {"a_1200.rhd", "a_1200.txt"},
        "a_1201.rhd": {"a_1201.rhd"},
        "x/b.ns6": {f"x/b.{end}" for end in ("ns2", "ns6", "nev", "ccf")},
        **{f"r_g0_t{n}.imec0.ap.bin": {f"r_g0_t{n}.imec0.ap.{end}" for end in ("bin", "meta")} for n in (0, 1)},
    }
    assert [path.name for path in found.others] == ["b.wav"]


def test_no_file_belongs_to_two_sessions(tmp_path):
    vendors.open_ephys(tmp_path / "oe", frames=20)
    vendors.intan(tmp_path / "oe" / "inner.rhd")
    touch(tmp_path / "oe" / "video.wav", tmp_path / "oe" / "more" / "CSC1.ncs")
    found = runs_in(tmp_path)
    assert names(found) == {"oe": below(tmp_path, "oe")} and not found.others


def test_other_formats_are_listed(tmp_path):
    touch(tmp_path / "a.nwb", tmp_path / "b.wav", tmp_path / "tdt" / "t.tsq", tmp_path / "c.dat", tmp_path / "d.h5")
    found = runs_in(tmp_path)
    assert not found.runs
    assert [path.relative_to(tmp_path).as_posix() for path in found.others] == ["a.nwb", "b.wav", "tdt"]


def test_what_is_excluded_and_spikeys_own_files_are_no_part_of_a_session(tmp_path):
    touch(tmp_path / "s" / "CSC1.ncs", tmp_path / "s" / "packed" / "CSC1.ncs", tmp_path / "s" / ".journal")
    (tmp_path / "s" / "CSC1.ncs.spky").write_bytes(b"SPKY1")
    (tmp_path / "s" / ".CSC1.ncs.spky.0123abcd.part").write_bytes(b"SPKY")
    found = runs_in(tmp_path, [tmp_path / "s/packed", tmp_path / "s/.journal"])
    assert names(found) == {"s": {"s/CSC1.ncs"}}


@pytest.mark.parametrize("make", ["folder", "file"])
def test_looking_again_finds_what_the_first_look_would(tmp_path, make):
    if make == "folder":
        vendors.intan_folder(tmp_path / "s", frames=20)
        place, extra = tmp_path / "s", tmp_path / "s" / "new.txt"
    else:
        touch(tmp_path / "b.ns2", tmp_path / "b.nev", tmp_path / "b.wav", tmp_path / "other.ns2")
        place, extra = tmp_path / "b.ns2", tmp_path / "b.ccf"

    def found() -> Run:
        return next(run for run in runs_in(tmp_path).runs if run.place == place)

    run = found()
    assert look_again(run, tmp_path) == run
    touch(extra)
    assert look_again(run, tmp_path) == found() != run
    next(tmp_path.rglob("*.dat" if make == "folder" else "b.nev")).write_bytes(b"longer than it was")
    assert look_again(run, tmp_path) == found()


def session(size: int = 4, time: int = 7, name: str = "s", **more: tuple[int, int]) -> Run:
    return Run(name, Path(name), {"s/a": (size, time), **more})


@pytest.mark.parametrize("other", [session(5), session(time=8), session(time=6), session(b=(0, 0)), session(name="t")])
def test_a_session_is_settled_after_enough_looks_without_any_change(other):
    looks = Looks()
    for count in range(UNCHANGED + 2):
        looks.add([session()])
        assert looks.settled(session()) == (count >= UNCHANGED)
    looks.add([other])
    for _ in range(UNCHANGED):
        assert not looks.settled(session()) and not looks.settled(other)
        looks.add([session()])
    assert not looks.settled(session())
    looks.add([session()])
    assert looks.settled(session())


def line(event: str, run: Run, rm: bool = False, **more: object) -> dict[str, object]:
    return {"event": event, "run": run.name, "folder": "/f", "state": fingerprint(run, rm), "rm": rm, **more}


def test_what_is_due_after_which_line():
    run = session()
    for event in ("seen", "started", "removing", "removed"):
        assert History("/f", [line(event, run)]).is_due(run, False), event
    for event in ("done", "failed", "left"):
        history = History("/f", [line("started", run), line(event, run, reason="r")])
        assert not history.is_due(run, False) and history.is_due(session(5), False), event
        assert history.reason(run) == (None if event == "done" else "r")
        assert history.is_due(run, True), event  # all of it is to be stored then
    assert History("/f", [line("done", run, rm=True)]).is_due(run, True)  # it has not been removed
    assert not History("/f", [line("left", run, rm=True)]).is_due(run, True)
    assert History("/other", [line("done", run)]).is_due(run, False)


def test_failures_of_the_machine_are_forgotten_by_the_next_process():
    run, failed = session(), line("failed", session(), again=True)
    history = History("/f", [failed])
    assert history.is_due(run, False)
    history.add(failed)
    assert not history.is_due(run, False)


def test_removals_that_did_not_end():
    run = session()
    removing = line("removing", run, files=[])
    assert History("/f", [removing, line("left", run)]).removing == {"s": removing}
    assert not History("/f", [removing, line("removed", run)]).removing
    assert History("/f", [line("done", run), line("started", run)]).begun() == ["s"]


def test_derived_files_count_only_where_they_are_stored():
    derived = Run("s", Path("s"), {"s/a": (1, 1), "s/ks/b": (2, 2)}, frozenset({"s/ks/b"}))
    without = Run("s", Path("s"), {"s/a": (1, 1)})
    assert fingerprint(derived, False) == fingerprint(without, False) != fingerprint(derived, True)

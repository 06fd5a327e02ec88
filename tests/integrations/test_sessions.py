"""Folders as vendors' software leaves them, whole or damaged: every file comes back, or the report names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.commands import run as run
from kit.paths import DATA
from kit.vendor_files import FORMS

pytestmark = pytest.mark.filterwarnings("ignore")
DATA_FILES = (".bin", ".dat", ".continuous", ".ncs", ".rhd", ".rhs", ".edf", ".bdf", ".eeg", ".trc", ".cbin")
COMPANIONS = (".meta", ".oebin", ".ch", ".vhdr", "info.rhd", "info.rhs", "settings.xml", "time.dat")


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def data_files(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in DATA_FILES or p.suffix[1:3] == "ns")
    return [p for p in found if p.name not in COMPANIONS]


def there_and_back(run, folder: Path, out: Path, *options: str) -> tuple[int, list[str], dict[str, bytes]]:
    """Compress and restore a folder: the exit status, names of files that were not stored, what was restored."""
    status, said, errors = run("compress", folder, f"{out}/packed/", "--json", *options)
    assert status in (0, 1), errors
    report = json.loads(said) if said else {"not_stored": []}
    left = [str(Path(each["file"]).relative_to(folder)) for each in report["not_stored"]]
    assert all(each["reason"] for each in report["not_stored"])
    if not any((out / "packed").rglob("*.spky")):
        assert status == 1 and str(folder) in errors
        return status, list(files_of(folder)), {}
    again, _, errors = run("decompress", out / "packed", f"{out}/back/")
    assert again == 0, errors
    return status, left, files_of(out / "back" / folder.name)


def assert_all_accounted_for(run, folder: Path, out: Path) -> None:
    """By default what is not restored is named; with --complete everything comes back."""
    before = files_of(folder)
    status, left, back = there_and_back(run, folder, out / "default")
    assert {name for name, data in before.items() if back.get(name) != data} <= set(left)
    assert not set(left) & set(back)
    status, left, back = there_and_back(run, folder, out / "complete", "--complete")
    assert (status, left, back) == (0, [], before)
    assert files_of(folder) == before


OFTEN = ("spikeglx", "neuralynx", "blackrock ptp", "intan rhd")
PARAMETERS = [
    pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow)
    for name in FORMS
    if not name.startswith("mtscomp")
]


@pytest.fixture(params=PARAMETERS)
def session(request, tmp_path):
    folder = tmp_path / "Versuch µV 测试"
    folder.mkdir()
    FORMS[request.param][1](folder)
    return folder


def test_whole(run, session, tmp_path):
    status, left, back = there_and_back(run, session, tmp_path / "out")
    assert status == 0 and back == files_of(session) and not left
    status, said, _ = run("compress", session, f"{tmp_path}/out/packed/", "--skip-existing", "--json")
    assert status == 0 and all(each["status"] == "skipped" for each in json.loads(said)["files"])
    status, _, errors = run("compress", session, f"{tmp_path}/out/packed/")
    assert status == (1 if len(list((tmp_path / "out/packed").rglob("*.spky"))) > 1 else 2) and "exists" in errors


def cut(folder: Path) -> None:
    for number, path in enumerate(data_files(folder)):
        path.write_bytes(path.read_bytes()[: -1 - 7 * (number % 3)])


def halved(folder: Path) -> None:
    path = data_files(folder)[0]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(folder: Path) -> None:
    data_files(folder)[-1].write_bytes(b"")


def shortened_to_nothing(folder: Path) -> None:
    path = data_files(folder)[0]
    path.write_bytes(path.read_bytes()[:10])


def lengthened(folder: Path) -> None:
    for path in data_files(folder)[:2]:
        path.write_bytes(path.read_bytes() + b"\0more after the end")


def without_companions(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.name.endswith(COMPANIONS):
            path.unlink()


def with_more(folder: Path) -> None:
    (folder / "Notiz µ 测试.txt").write_text("a note")
    (folder / "pictures").mkdir()
    (folder / "pictures/a b.png").write_bytes(b"\x89PNG")
    (folder / "empty").write_bytes(b"")
    (data_files(folder)[0].parent / "other.bin").write_bytes(bytes(99))


def with_other_line_ends(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.suffix in (".meta", ".oebin", ".vhdr", ".xml", ".ch"):
            data = path.read_bytes()
            path.write_bytes(data.replace(b"\r\n", b"\n") if b"\r\n" in data else data.replace(b"\n", b"\r\n"))


def with_damaged_text(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.suffix in (".meta", ".oebin", ".vhdr"):
            path.write_text("once upon a time")
            return


CHANGES: list[Callable[[Path], None]] = [
    cut,
    halved,
    emptied,
    shortened_to_nothing,
    lengthened,
    without_companions,
    with_more,
    with_other_line_ends,
    with_damaged_text,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_changed(run, session, change, tmp_path):
    change(session)
    assert_all_accounted_for(run, session, tmp_path / "out")


@pytest.mark.parametrize("name", ["spikeglx", "open ephys legacy", "intan signals", "neuralynx"])
def test_partial_frames_are_complete(run, name, tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    FORMS[name][1](folder)
    cut(folder)
    status, left, back = there_and_back(run, folder, tmp_path / "out")
    assert status == 0 and not left and back == files_of(folder)


def test_links_are_named_and_refuse_a_complete_copy(run, session, tmp_path):
    (session / "link.dat").symlink_to("nothing")
    status, left, back = there_and_back(run, session, tmp_path / "out")
    assert status == 0 and left == ["link.dat"] and back == files_of(session)
    status, _, errors = run("compress", session, f"{tmp_path}/again/", "--complete")
    assert status == 2 and "symbolic link" in errors and not (tmp_path / "again").exists()
    before = files_of(session)
    status, _, errors = run("compress", session, f"{tmp_path}/again/", "--rm")
    assert status == 2 and files_of(session) == before


def test_originals_are_removed_as_a_whole(run, session, tmp_path):
    before = files_of(session)
    status, _, errors = run("compress", session, f"{tmp_path}/packed/", "--rm")
    assert status == 0, errors
    assert not files_of(session)
    run("decompress", tmp_path / "packed", f"{tmp_path}/back/")
    assert files_of(tmp_path / "back" / session.name) == before


@pytest.mark.parametrize("name", [name for name in FORMS if name.startswith("mtscomp")])
def test_mtscomp_is_restored_as_the_original_and_never_removed(run, name, tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    (samples,) = FORMS[name][1](folder)
    before = files_of(folder)
    status, left, back = there_and_back(run, folder, tmp_path / "out")
    assert status == 0 and {Path(each).suffix for each in left} == {".cbin", ".ch"}
    (restored,) = [data for path, data in back.items() if path.endswith(".bin")]
    assert restored == samples.astype("<i2").tobytes()
    for option in ("--complete", "--rm"):
        status, _, errors = run("compress", folder, f"{tmp_path}/again/", option)
        assert status == 2 and "restored as" in errors and files_of(folder) == before
    (cbin,) = folder.glob("*.cbin")
    status, _, errors = run("compress", cbin, tmp_path / "a.spky", "--rm")
    assert status == 2 and files_of(folder) == before


def test_a_bad_part_does_not_hinder_the_others(run, tmp_path):
    """Several runs in one folder; of one the samples are empty, of another the metadata are not readable."""
    folder = tmp_path / "day"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        FORMS["spikeglx"][1](folder / name)
    next((folder / "a").rglob("*.ap.bin")).write_bytes(b"")
    next((folder / "b").rglob("*.lf.meta")).write_text("nSavedChans=many\r\n")
    FORMS["blackrock 2.3"][1](folder)
    (folder / "a.nev").write_bytes(b"NEURALEV and events")
    (folder / "bad.ns5").write_bytes(b"NEURALCD")
    before = files_of(folder)
    status, left, back = there_and_back(run, folder, tmp_path / "out")
    assert status == 1 and left == ["bad.ns5"]
    assert back == {name: data for name, data in before.items() if name != "bad.ns5"}
    status, left, back = there_and_back(run, folder, tmp_path / "whole", "--complete")
    assert status == 0 and back == before


def test_recordings_without_samples_are_stored_as_they_are(run, tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    FORMS["neuralynx"][1](folder)
    for path in folder.glob("*.ncs"):
        path.write_bytes(path.read_bytes()[: 1 << 14])
    (folder / "a.ns5").write_bytes(b"")
    (folder / "a.edf").write_bytes(b"")
    assert there_and_back(run, folder, tmp_path / "out") == (0, [], files_of(folder))
    status, _, errors = run("compress", next(folder.glob("*.ncs")), tmp_path / "a.spky")
    assert status == 0 and not errors


@pytest.mark.parametrize("name", ["a.ncs", "a.vhdr", "a.cbin", "a.TRC", "a.rhd", "a.ns5", "a.edf", "a.continuous"])
def test_files_that_are_none_are_refused_by_their_formats_name(run, name, tmp_path):
    (tmp_path / name).write_bytes(b"nothing of the kind")
    status, _, errors = run("compress", tmp_path / name, tmp_path / "a.spky")
    assert status == 1 and errors.count("\n") == 1 and "WAV" not in errors
    assert "cannot be read as a recording (" in errors and "--reader names another format" in errors


@pytest.mark.data("vendors")
@pytest.mark.parametrize(
    "kind", ["blackrock", "intan", "neuralynx", "openephys", "openephysbinary", "spikeglx", "axon"]
)
def test_real_folders_come_back(run, kind, tmp_path):
    pytest.importorskip("spikeinterface.core")
    folder = tmp_path / kind
    shutil.copytree(DATA / "vendors" / kind, folder)
    assert_all_accounted_for(run, folder, tmp_path / "out")

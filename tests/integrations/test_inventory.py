"""What becomes of every file in a folder: each is restored by one output, or listed as not stored."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit import vendors
from kit.paths import DATA, ROOT, SOURCE
from spikey.base.errors import install
from spikey.cli.info import describe
from spikey.container.reader import Reader
from spikey.files.compress import compress_file
from spikey.files.decompress import decompress_file, decompress_files
from spikey.files.names import stored_name
from spikey.files.settings import Settings
from spikey.files.side_files import write_side_files
from spikey.integrations.inventory import SAMPLES
from spikey.integrations.vendors import Inventory, take_inventory
from spikey.recording.layout import Layout
from spikey.recording.tree import DERIVED_FILES, DERIVED_FOLDERS
from spikey.recording.wav import canonical_head

REAL = DATA / "vendors"
KINDS = ("axon", "blackrock", "intan", "neuralynx", "nwb", "openephys", "openephysbinary", "spikeglx", "wav")


def wav(path: Path, frames: int = 300) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(canonical_head(Layout(1, 20_000, "int16"), frames) + vendors.noise(frames, 1).tobytes())
    return path


def accounted(found: Inventory, root: Path) -> dict[str, str]:
    """Why each file that is not stored is not, by name; every file below `root` is stored once or listed."""
    covers = Counter(path for item in found.items for path in item.covers)
    left = {each.path for each in found.unstored}
    there = {p for p in root.rglob("*") if not p.is_dir() or p.is_symlink()}
    assert not covers or max(covers.values()) == 1
    assert not left & set(covers) and left | set(covers) == there
    assert len({item.name for item in found.items}) == len(found.items)
    assert found.complete() == (not left)
    return {each.path.relative_to(root).as_posix(): each.reason for each in found.unstored}


def there_and_back(found: Inventory, folder: Path) -> None:
    """Write every output, restore it, and compare each file that it is to restore."""
    for number, item in enumerate(found.items):
        packed, back = folder / f"{number}.spky", folder / str(number)
        back.mkdir(parents=True)
        if item.part is None:
            assert item.kind == "wav" and item.path is not None
            compress_file(item.path, packed)
        else:
            item.part.compress(packed, Settings())
        with Reader(packed) as reader:
            name = stored_name(reader) or item.name
            if item.covers and (reader.file_map is None or len(reader.file_map.names) == 1):
                assert name == item.name
            target = back / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if reader.file_map is not None:
                decompress_files(packed, back)
            else:
                decompress_file(packed, target)
            write_side_files(reader, back)
        for path in item.covers:
            assert (back / path.relative_to(found.root)).read_bytes() == path.read_bytes(), path
        if item.covers:
            assert sum(p.is_file() for p in back.rglob("*")) == len(item.covers)
        shutil.rmtree(back)


@pytest.fixture
def session(tmp_path):
    """A folder with recordings of many kinds, and other files."""
    pytest.importorskip("spikeinterface.core")
    root = tmp_path / "session"
    vendors.spikeglx(root / "probes", run="first", frames=300)
    vendors.spikeglx(root / "probes", run="second", frames=300, lf=False)
    vendors.open_ephys(root / "ephys", recordings=2)
    vendors.intan_folder(root / "intan")
    vendors.intan(root / "probes" / "a.rhd")
    vendors.nwb(root / "probes" / "a.nwb")
    vendors.blackrock(root / "b.ns5")
    vendors.blackrock(root / "b.ns2", channels=2)
    (root / "b.nev").write_bytes(b"events")
    wav(root / "probes/first_g0/voice_note.wav")
    wav(root / "LOUD.WAV")
    (root / "notes.txt").write_text("a note")
    (root / "ephys/Record Node 101/experiment1/recording1/notes.txt").write_text("a note")
    (root / "lonely.bin").write_bytes(bytes(100))
    (root / "probes/first_g0/first_g0_ct_offsets.txt").write_text("sec_imap0: 0 1")
    (root / "probes/first_g0/first_g0_t0.imec1.ap.meta").write_text("typeThis=imec")
    return root


LEFT = {
    "notes.txt": "not a recording",
    "probes/a.nwb": SAMPLES,
    "lonely.bin": "not a recording; raw samples need --channels, --rate and --dtype",
}


def test_every_recording_in_a_folder_is_stored_whatever_its_kind(session, tmp_path):
    found = take_inventory(session)
    assert accounted(found, session) == LEFT
    assert not any(each.failed for each in found.unstored) and not found.complete()
    kinds = {item.name: item.kind for item in found.items}
    assert kinds.pop("LOUD.WAV") == kinds.pop("probes/first_g0/voice_note.wav") == "wav"
    assert set(kinds.values()) == {"vendor"}
    node = "ephys/Record Node 101/experiment1"
    assert set(kinds) == {
        *(f"probes/first_g0/first_g0_imec0/first_g0_t0.imec0.{band}.bin" for band in ("ap", "lf")),
        "probes/first_g0/first_g0_t0.nidq.bin",
        "probes/second_g0/second_g0_imec0/second_g0_t0.imec0.ap.bin",
        "probes/second_g0/second_g0_t0.nidq.bin",
        *(
            f"{node}/recording{number}/continuous/{stream}/continuous.dat"
            for number in (1, 2)
            for stream in ("Acquisition_Board-100.Rhythm Data", "Neuropix-PXI-103.ProbeA")
        ),
        "intan/amplifier.dat",
        "probes/a.rhd",
        "probes/a.nwb",
        "b.ns5",
        "b.ns2",
    }
    there_and_back(found, tmp_path / "out")


def test_a_file_that_streams_share_is_stored_once(session):
    found = take_inventory(session)
    stored = Counter(file.name for item in found.items if item.part for file in item.part.files)
    assert max(stored.values()) == 1
    assert stored["probes/first_g0/first_g0_ct_offsets.txt"] == 1  # a run's folder is stored as a whole
    assert stored["probes/first_g0/first_g0_t0.imec1.ap.meta"] == 1
    assert stored["b.nev"] == stored["ephys/Record Node 101/settings.xml"] == 1
    assert stored["ephys/Record Node 101/experiment1/recording2/structure.oebin"] == 1


def test_complete_stores_everything_else_once_or_is_not_complete(session):
    found = take_inventory(session, complete=True)
    assert accounted(found, session) == {"probes/a.nwb": SAMPLES}
    assert {item.name for item in found.items if item.kind == "bytes"} == set(LEFT) - {"probes/a.nwb"}
    (session / "probes/a.nwb").unlink()
    assert take_inventory(session, complete=True).complete()
    (session / "broken.wav").write_bytes(b"no sound")
    assert {i.kind for i in take_inventory(session, complete=True).items if i.name == "broken.wav"} == {"bytes"}
    (session / "link.txt").symlink_to("notes.txt")
    assert accounted(take_inventory(session, complete=True), session) == {"link.txt": "symbolic link"}


def test_what_was_not_stored_is_in_the_first_file(session, tmp_path):
    found = take_inventory(session)
    parts = [item.part for item in found.items if item.part is not None]
    assert [bool(part.not_stored) for part in parts] == [True] + [False] * (len(parts) - 1)
    parts[0].compress(tmp_path / "a.spky", Settings())
    facts = describe(tmp_path / "a.spky")
    assert facts["not_stored"] == sorted(LEFT) and facts["not_stored_count"] == len(LEFT)
    for number in range(150):
        (session / f"{number}.txt").write_text("")
    part = next(item.part for item in take_inventory(session).items if item.part is not None)
    part.compress(tmp_path / "b.spky", Settings())
    facts = describe(tmp_path / "b.spky")
    assert len(facts["not_stored"]) == 100 and facts["not_stored_count"] == 150 + len(LEFT)


def test_derived_files_are_skipped_and_reported_or_stored_once(tmp_path):
    pytest.importorskip("spikeinterface.core")
    root = tmp_path / "session"
    vendors.open_ephys(root)
    wav(root / "a.wav")
    home = root / "Record Node 101/experiment1/recording1"
    stream = home / "continuous/Neuropix-PXI-103.ProbeA"
    for name in ("kilosort4/temp_wh.dat", "kilosort4/params.py", "spikeinterface_output/a/b.npy", "temp_wh.dat"):
        (stream / name).parent.mkdir(parents=True, exist_ok=True)
        (stream / name).write_bytes(bytes(1000))
    wav(root / "phy/sound.wav")
    found = take_inventory(root)
    left = {name.rpartition("ProbeA/")[2]: why for name, why in accounted(found, root).items()}
    assert left == {
        "kilosort4/temp_wh.dat": "derived (kilosort4)",
        "kilosort4/params.py": "derived (kilosort4)",
        "spikeinterface_output/a/b.npy": "derived (spikeinterface_output)",
        "temp_wh.dat": "derived (temp_wh.dat)",
        "phy/sound.wav": "derived (phy)",
    }
    whole = take_inventory(root, complete=True)
    assert accounted(whole, root) == {} and whole.complete()
    assert {item.name for item in whole.items if item.kind == "bytes"} == {"phy/sound.wav"}
    part = next(item for item in whole.items if item.name.endswith("ProbeA/continuous.dat"))
    assert stream / "kilosort4/temp_wh.dat" in part.covers
    there_and_back(Inventory(root, (part,), ()), tmp_path / "out")


def test_the_table_of_derived_files_is_documented():
    text = (ROOT / "docs" / "recordings.md").read_text()
    for name in (*DERIVED_FOLDERS, *DERIVED_FILES):
        assert f"`{name}`" in text, name


def test_what_spikey_wrote_is_never_packed(tmp_path):
    pytest.importorskip("spikeinterface.core")
    root = tmp_path / "session"
    samples = vendors.open_ephys(root)
    home = (root / next(iter(samples))).parent
    for magic in ("SPKY", "SPKA", "SPKT"):
        (home / f"{magic}.npy").write_bytes(magic.encode() + bytes(50))
    (home / ".continuous.dat.spky.0123abcd.part").write_bytes(bytes(50))
    (home / "packed/session").mkdir(parents=True)
    (home / "packed/session/a.json").write_text("{}")
    (home / "report.html").write_text("")
    found = take_inventory(root, complete=True, exclude=[home / "packed", home / "report.html"])
    assert {Path(each.path).name: each.reason for each in found.unstored} == {
        "SPKY.npy": "compressed already",
        "SPKA.npy": "compressed already",
        "SPKT.npy": "compressed already",
        ".continuous.dat.spky.0123abcd.part": "unfinished output of Spikey",
    }
    assert not any("packed" in path.parts or path.name == "report.html" for i in found.items for path in i.covers)
    with pytest.raises(spikey.DataError, match="compressed already"):
        take_inventory(home / "SPKY.npy")


def test_links_and_special_files_are_reported_and_not_followed(tmp_path):
    root = tmp_path / "in"
    wav(root / "a.wav")
    wav(tmp_path / "elsewhere/b.wav")
    (root / "there").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "c.wav").symlink_to("a.wav")
    (root / "gone.wav").symlink_to("nothing")
    os.mkfifo(root / "pipe.wav")
    for complete in (False, True):
        found = take_inventory(root, complete=complete)
        assert [item.name for item in found.items] == ["a.wav"]
        assert accounted(found, root) == {
            **dict.fromkeys(("there", "loop", "c.wav", "gone.wav"), "symbolic link"),
            "pipe.wav": "not a regular file",
        }


def test_what_cannot_be_read_does_not_hinder_the_rest(session, tmp_path):
    (session / "probes/bad.rhd").write_bytes(b"abc" * 100)
    meta = session / "probes/first_g0/first_g0_imec0/first_g0_t0.imec0.lf.meta"
    meta.write_text("once upon a time")
    (session / "notes.h5").write_bytes(b"not HDF5")
    found = take_inventory(session)
    left = accounted(found, session)
    failed = {each.path.name for each in found.unstored if each.failed}
    assert failed == {"bad.rhd"}
    assert left["probes/bad.rhd"].startswith("cannot be read (") and left["notes.h5"] == "not a recording"
    first = next(item for item in found.items if item.name.endswith("first_g0_t0.imec0.ap.bin"))
    assert {path.name for path in first.covers} >= {"first_g0_t0.imec0.lf.bin", "first_g0_t0.imec0.lf.meta"}
    assert first.part is not None and "first_g0_t0.imec0.lf.bin is stored as it is (" in str(first.part.notes)
    whole = take_inventory(session, complete=True)
    assert {item.kind for item in whole.items if item.name == "probes/bad.rhd"} == {"bytes"}


def test_raw_samples_that_are_described(session, tmp_path):
    found = take_inventory(session, raw=True)
    raw = [item for item in found.items if item.kind == "raw"]
    assert [item.name for item in raw] == ["lonely.bin"] and raw[0].path == raw[0].covers[0]
    assert {item.kind for item in found.items if item.name == "intan/amplifier.dat"} == {"vendor"}
    assert set(accounted(found, session)) == set(LEFT) - {"lonely.bin"}
    bare = tmp_path / "bare"
    for name in ("a.raw", "b/c.dat", "d.bin", "e.txt"):
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        (bare / name).write_bytes(bytes(64))
    assert [item.name for item in take_inventory(bare, raw=True).items] == ["a.raw", "b/c.dat", "d.bin"]
    with pytest.raises(spikey.DataError, match="contains no recording"):
        take_inventory(bare)


def test_one_stream(session):
    found = take_inventory(session, stream="imec0.lf")
    assert [item.name.rpartition("/")[2] for item in found.items] == ["first_g0_t0.imec0.lf.bin"]
    left = accounted(found, session)
    assert left["LOUD.WAV"] == left["b.ns5"] == "does not contain the stream 'imec0.lf'"
    name = "Record Node 101#Neuropix-PXI-103.ProbeA"
    one = take_inventory(session / "ephys", stream=name)
    files = {Path(path).name for item in one.items for path in item.covers}
    assert "structure.oebin" in files and len(one.items) == 2  # what it shares goes with the stream that is chosen
    with pytest.raises(spikey.UsageError, match="no stream 'x'; there are: .*imec0.ap"):
        take_inventory(session, stream="x")


def test_a_single_file(session, tmp_path):
    name = "probes/first_g0/first_g0_imec0/first_g0_t0.imec0.ap.bin"
    (item,) = take_inventory(session / name).items
    assert [path.name for path in item.covers] == [f"first_g0_t0.imec0.ap.{end}" for end in ("bin", "meta")]
    found = take_inventory(session / "probes/a.nwb")
    assert [(each.path.name, each.reason) for each in found.unstored] == [("a.nwb", SAMPLES)]
    (item,) = take_inventory(session / "intan/info.rhd").items
    assert len(item.covers) == 3
    stream = session / "ephys/Record Node 101/experiment1/recording2/continuous/Neuropix-PXI-103.ProbeA/continuous.dat"
    found = take_inventory(stream)
    assert [item.name for item in found.items] == ["continuous/Neuropix-PXI-103.ProbeA/continuous.dat"]
    there_and_back(found, tmp_path / "out")
    (item,) = take_inventory(session / "notes.txt", complete=True).items
    assert item.kind == "bytes"
    with pytest.raises(spikey.DataError, match="give --channels"):
        take_inventory(session / "lonely.bin")
    with pytest.raises(spikey.DataError, match="does not exist"):
        take_inventory(session / "none")
    (session / "empty").mkdir()
    with pytest.raises(spikey.UsageError, match="contains no files"):
        take_inventory(session / "empty")


def test_paths_that_lead_through_links_or_upwards(session, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(session)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    wanted = [item.name for item in take_inventory(session).items]
    for path in (tmp_path / "link", Path("../session"), tmp_path / "here" / ".." / "session"):
        found = take_inventory(path)
        assert [item.name for item in found.items] == wanted and accounted(found, path) == LEFT
    monkeypatch.chdir(session)
    assert [item.name for item in take_inventory(Path()).items] == wanted


@pytest.mark.parametrize("rest", [1, 2, 769])
def test_an_incomplete_last_frame_is_kept_and_reported(rest, tmp_path):
    pytest.importorskip("spikeinterface.core")
    root = tmp_path / "in"
    vendors.spikeglx(root, frames=200, lf=False)
    vendors.open_ephys(root)
    vendors.intan_folder(root / "intan")
    for path in [*root.rglob("*.bin"), *root.rglob("continuous.dat"), root / "intan/amplifier.dat"]:
        data = path.read_bytes()
        path.write_bytes(data + bytes(rest) if rest < 3 else data[:-1])
    found = take_inventory(root)
    assert accounted(found, root) == {} and len(found.items) == 5
    for item in found.items:
        assert item.part is not None
        note = item.part.compress(tmp_path / "a.spky", Settings(), overwrite=True).note
        assert "after the last whole frame" in note, note
    there_and_back(found, tmp_path / "out")


@pytest.mark.parametrize("change", [b"", b"more"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_recording_that_grows_or_shrinks_is_an_error(when, change, session, tmp_path):
    for name in ("b.ns5", "probes/a.rhd", "probes/a.nwb"):  # a flat file, one of records, and samples only
        (item,) = take_inventory(session / name).items
        path = session / name
        data = path.read_bytes()

        def alter(*_: object, path: Path = path, data: bytes = data) -> None:
            path.write_bytes(data + change if change else data[:-1])

        if when == "before":
            alter()
        with pytest.raises(
            spikey.DataError, match=rf"{path.name}: had [\d,]+ bytes when it was found and has|ended at"
        ):
            item.part.compress(tmp_path / "a.spky", Settings(), alter)
        path.write_bytes(data)
    (item,) = take_inventory(session / "probes/second_g0/second_g0_imec0").items
    (session / "probes/second_g0/second_g0_imec0/second_g0_t0.imec0.ap.meta").open("a").write("more")
    with pytest.raises(spikey.DataError, match="bytes when it was found and has"):
        item.part.compress(tmp_path / "a.spky", Settings())
    assert not (tmp_path / "a.spky").exists()


def test_nwb_written_with_spikeys_own_filter(tmp_path):
    pytest.importorskip("pynwb")
    pytest.importorskip("spikeinterface.core")
    import subprocess

    path = tmp_path / "a.nwb"
    samples = vendors.nwb(path, compressed=True)
    script = (
        "import sys; from pathlib import Path; from spikey.integrations.vendors import take_inventory\n"
        "from spikey.files.settings import Settings\n"
        "take_inventory(Path(sys.argv[1])).items[0].part.compress(Path(sys.argv[2]), Settings())"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "a.spky")]  # where nothing has the filter yet
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    with Reader(tmp_path / "a.spky") as reader:
        np.testing.assert_array_equal(reader[:], samples)


def test_without_spikeinterface_the_rest_is_stored(tmp_path, monkeypatch):
    for name in ("vendor_parts", "streams"):
        monkeypatch.setitem(sys.modules, f"spikey.integrations.{name}", None)  # importing it raises ImportError
    wav(tmp_path / "in/a.wav")
    (tmp_path / "in/b.dat").write_bytes(bytes(64))
    vendors.intan(tmp_path / "in/c.rhd")
    (tmp_path / "in/d.h5").write_bytes(b"data")
    (tmp_path / "in/e.nwb").write_bytes(b"data")
    found = take_inventory(tmp_path / "in", raw=True)
    assert [item.name for item in found.items] == ["a.wav", "b.dat", "c.rhd"]
    assert found.items[2].part is not None and "needs SpikeInterface" in str(found.items[2].part.notes)
    assert [(each.path.name, each.failed) for each in found.unstored] == [("d.h5", False), ("e.nwb", True)]
    assert found.unstored[1].reason == f"needs SpikeInterface: {install('spikeinterface')}"
    with pytest.raises(spikey.UsageError, match="needs SpikeInterface: pip install -e"):
        take_inventory(tmp_path / "in/e.nwb")
    assert take_inventory(tmp_path / "in", complete=True).complete()


def test_a_folder_of_wav_files_imports_nothing(tmp_path):
    import subprocess

    wav(tmp_path / "a.wav")
    (tmp_path / "b.json").write_text("{}")
    script = (
        "import sys; from pathlib import Path; from spikey.integrations.vendors import take_inventory\n"
        "take_inventory(Path(sys.argv[1]))\n"
        "assert not {'spikeinterface', 'neo'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- files of vendors' own software


@pytest.mark.data("vendors")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_real_folders_are_accounted_for(kind, tmp_path):
    pytest.importorskip("spikeinterface.core")
    root = REAL / kind
    found = take_inventory(root)
    left = accounted(found, root)
    assert not any(each.failed for each in found.unstored)
    assert set(left.values()) <= {SAMPLES, "not a recording"}
    whole = take_inventory(root, complete=True)
    assert set(accounted(whole, root).values()) <= {SAMPLES}
    assert whole.complete() == (kind != "nwb")
    if kind not in ("wav", "nwb"):  # WAV files have tests of their own; the reader fails on the other
        there_and_back(found, tmp_path)


@pytest.mark.data("vendors")
@pytest.mark.filterwarnings("ignore")
def test_all_real_folders_at_once():
    pytest.importorskip("spikeinterface.core")
    found = take_inventory(REAL)
    accounted(found, REAL)
    singly = [item for kind in KINDS for item in take_inventory(REAL / kind).items]
    assert len(found.items) == len(singly) and sum(i.size for i in found.items) == sum(i.size for i in singly)


@pytest.mark.data("vendors")
@pytest.mark.filterwarnings("ignore")
def test_real_metadata_of_spikeglx(tmp_path):
    pytest.importorskip("spikeinterface.core")
    for meta in sorted((REAL / "spikeglx_meta").glob("*.meta")):
        count = next(line for line in meta.read_text().splitlines() if line.startswith("nSavedChans="))
        shutil.copy(meta, tmp_path)
        channels = int(count.partition("=")[2])
        (tmp_path / meta.name).with_suffix(".bin").write_bytes(vendors.noise(100, channels).tobytes())
    found = take_inventory(tmp_path)
    accounted(found, tmp_path)
    assert len(found.items) == 22 and found.complete()
    there_and_back(found, tmp_path / "out")

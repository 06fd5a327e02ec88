"""`spikey mount`: other processes read the original files, and get a proper error for what cannot be read."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kit.archives import damaged, noise, wav
from kit.commands import refused
from kit.commands import run as run
from kit.mounting import ENVIRONMENT, Mount, is_mounted, mounted
from kit.vendor_files import FORMS
from kit.vendors import spikeglx
from spikey.container.layout import BLOCK_SAMPLES
from spikey.container.reader import Reader
from spikey.files.compress import compress_file
from spikey.files.settings import Settings

pytestmark = [pytest.mark.fuse, pytest.mark.filterwarnings("ignore")]
QUICK = Settings(preset="fast", block_frames=20_000)
PAGE = mmap.PAGESIZE


@pytest.fixture
def view(tmp_path) -> Path:
    return tmp_path / "view of it"


@pytest.fixture
def packed(tmp_path) -> tuple[Path, bytes]:
    """A folder with a WAV of 10 blocks, packed."""
    data = wav(noise(3, 200_000))
    folder = tmp_path / "packed"
    folder.mkdir()
    (tmp_path / "a.wav").write_bytes(data)
    os.utime(tmp_path / "a.wav", ns=(1_600_000_000_123_456_789,) * 2)
    os.chmod(tmp_path / "a.wav", 0o640)
    compress_file(tmp_path / "a.wav", folder / "a.spky", QUICK)
    return folder, data


def tree(folder: Path) -> dict[str, tuple[bytes, int, int, int]]:
    """The bytes, size, mode and time of every file below a folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            status = path.stat()
            facts = status.st_size, stat.S_IMODE(status.st_mode), status.st_mtime_ns
            found[path.relative_to(folder).as_posix()] = (path.read_bytes(), *facts)
    return found


@pytest.mark.parametrize(
    "form", ["spikeglx", "open ephys binary", "intan channels", "neuralynx", "blackrock ptp", "intan rhd"]
)
def test_a_session_appears_as_it_was(form, run, view, tmp_path):
    folder = tmp_path / "Versuch 测试"
    folder.mkdir()
    FORMS[form][1](folder)
    for number, path in enumerate(p for p in folder.rglob("*") if p.is_file()):
        path.chmod(0o640)
        os.utime(path, ns=(0, 1_600_000_000_000_000_000 + number))
    assert run("compress", folder, f"{tmp_path}/packed/", "--complete")[0] == 0
    (tmp_path / "packed" / "notes.txt").write_text("not a recording")
    with mounted(tmp_path / "packed", view):
        back, before = tree(view / folder.name), tree(folder)
        assert [path.name for path in view.iterdir()] == [folder.name]
        assert {name: facts[:3] for name, facts in back.items()} == {name: facts[:3] for name, facts in before.items()}
        for path in (tmp_path / "packed").rglob("*.spky"):  # side files have the time of what they are stored in
            with Reader(path) as reader:
                first = reader.metadata["source"]["file"] if reader.file_map is None else reader.file_map.names[0]
            assert back[first][3] == before[first][3]


def test_recordings_and_an_archive(archive, folder, view, tmp_path):
    """A folder with an archive, and the archive by itself."""
    (tmp_path / "packed" / "inner").mkdir(parents=True)
    shutil.copy(archive, tmp_path / "packed" / "inner" / "all.spky")
    compress_file(folder / "two.wav", tmp_path / "packed" / "two.spky", QUICK)
    originals = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with mounted(tmp_path / "packed", view) as mount:
        back = {name: facts[0] for name, facts in tree(view).items()}
        assert back == {"two.wav": originals["two.wav"]} | {f"inner/all/{n}": d for n, d in originals.items()}
        assert mount.end() == 0
    with mounted(archive, view):
        assert {name: facts[0] for name, facts in tree(view).items()} == originals


def test_relative_paths(packed, tmp_path, monkeypatch):
    _, data = packed
    monkeypatch.chdir(tmp_path)
    with mounted("packed", Path("view")) as mount:
        assert (tmp_path / "view" / "a.wav").read_bytes() == data
        assert mount.end() == 0
        assert not (tmp_path / "view").exists()


def test_an_address(packed, view):
    folder, data = packed
    with mounted(f"file://{folder}", view):
        assert (view / "a.wav").read_bytes() == data
        assert abs((view / "a.wav").stat().st_mtime - (folder / "a.spky").stat().st_mtime) < 1


def test_any_bytes_by_several_readers(packed, view):
    folder, data = packed
    with mounted(folder, view, "--cache", "1", "--jobs", "2"):

        def read(seed: int) -> None:
            rng = np.random.default_rng(seed)
            with open(view / "a.wav", "rb", buffering=0) as file:
                for _ in range(60):
                    first = int(rng.integers(0, len(data)))
                    count = int(rng.choice([1, 100, 5000, 150_000]))
                    assert os.pread(file.fileno(), count, first) == data[first : first + count]

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(read, range(6)))
        done = subprocess.run(["cmp", view / "a.wav", folder.parent / "a.wav"], capture_output=True, check=False)
        assert done.returncode == 0 and not done.stderr


def test_numpy_maps_it(packed, view):
    folder, data = packed
    with mounted(folder, view):
        samples = np.memmap(view / "a.wav", "<i2", "r", offset=44)
        wanted = np.frombuffer(data, "<i2", offset=44)
        assert np.array_equal(samples[150_000:150_100], wanted[150_000:150_100])
        assert np.array_equal(samples[::-777], wanted[::-777]) and np.array_equal(samples, wanted)


def test_spikeinterface_and_neo_read_it(run, view, tmp_path):
    full = pytest.importorskip("spikeinterface.full", reason="SpikeInterface is missing: pip install spikeinterface")
    neo = pytest.importorskip("neo.rawio", reason="Neo is missing: pip install neo")
    written = spikeglx(tmp_path / "raw")
    assert run("compress", tmp_path / "raw", f"{tmp_path}/packed/")[0] == 0
    with mounted(tmp_path / "packed", view):
        before, there = (
            full.read_spikeglx(root / "run_g0", stream_id="imec0.ap") for root in (tmp_path / "raw", view / "raw")
        )
        assert np.array_equal(there.get_traces(), before.get_traces())
        assert np.array_equal(there.get_channel_locations(), before.get_channel_locations())
        reader = neo.SpikeGLXRawIO(str(view / "raw"))
        reader.parse_header()
        names = list(reader.header["signal_streams"]["name"])
        for name, samples in written.items():
            stream = names.index(name.split("_t0.")[1].removesuffix(".bin"))
            chunk = reader.get_analogsignal_chunk(0, 0, 0, len(samples), stream_index=stream)
            assert np.array_equal(chunk, samples[:, : chunk.shape[1]])


def test_a_damaged_block_is_an_error_for_its_bytes_only(packed, view, tmp_path):
    folder, data = packed
    path = folder / "a.spky"
    with Reader(path) as reader:
        block = [block for block in reader.structure.blocks if block.kind == BLOCK_SAMPLES][4]
    bad = damaged(path, tmp_path, block.offset + block.size // 2)
    shutil.copy(bad, path)
    first, end = (44 + 2 * frame for frame in (block.first_frame, block.extent[1]))
    with mounted(folder, view) as mount, open(view / "a.wav", "rb", buffering=0) as file:
        for at in range(0, len(data), PAGE):
            if at + PAGE <= first or at >= end:
                assert os.pread(file.fileno(), PAGE, at) == data[at : at + PAGE]
            else:
                with pytest.raises(OSError) as failed:
                    os.pread(file.fileno(), PAGE, at)
                assert failed.value.errno == errno.EIO
        extent = f"frames {block.first_frame} to {block.extent[1]} of channels 0 to 0"
        (line,) = mount.said_of("frames")
        assert line.startswith("spikey: a.wav: ") and extent in line


def test_nothing_can_be_written(packed, view):
    folder, _ = packed
    with mounted(folder, view):
        file, new = view / "a.wav", view / "new"
        for attempt in (
            lambda: file.write_bytes(b"b"),
            lambda: os.open(file, os.O_RDWR),
            lambda: os.open(file, os.O_APPEND | os.O_WRONLY),
            lambda: new.touch(),
            lambda: os.truncate(file, 3),
            lambda: new.mkdir(),
            lambda: file.unlink(),
            lambda: file.rename(new),
            lambda: file.chmod(0o600),
            lambda: os.chown(file, 0, 0),
            lambda: os.utime(file),
            lambda: new.symlink_to(file),
            lambda: os.link(file, new),
            lambda: os.setxattr(file, "user.a", b"b"),
        ):
            with pytest.raises(OSError) as failed:
                attempt()
            assert failed.value.errno == errno.EROFS
        with pytest.raises(FileNotFoundError):
            new.stat()
        with pytest.raises(FileNotFoundError):
            new.read_bytes()
        facts = os.statvfs(view)
        assert facts.f_bfree == facts.f_bavail == 0
        assert facts.f_blocks * facts.f_frsize >= file.stat().st_size > (facts.f_blocks - 1) * facts.f_frsize


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts(packed, view, number):
    folder, data = packed
    with mounted(folder, view) as mount:
        assert (view / "a.wav").read_bytes() == data
        assert mount.end(number) == 0
        assert not is_mounted(view) and not view.exists()
        assert mount.said.count("\n") == 1 and "shows 1 file" in mount.said
    view.mkdir()
    with mounted(folder, view) as mount:
        assert mount.end(number) == 0
        assert view.is_dir() and not list(view.iterdir())  # which was there before


def test_a_signal_unmounts_though_files_are_open(packed, view):
    folder, data = packed
    with mounted(folder, view) as mount:
        file = os.open(view / "a.wav", os.O_RDONLY)
        assert os.pread(file, 100, 0) == data[:100]
        assert mount.end(signal.SIGTERM) == 0
        assert not is_mounted(view) and not view.exists()
        assert mount.said.endswith(f"spikey: {view} is unmounted; 1 file was still open and can no longer be read\n")
        with pytest.raises(OSError):
            os.pread(file, 100, 300_000)
        with pytest.raises(OSError):
            os.close(file)


def test_unmounting_ends_it(packed, view):
    folder, _ = packed
    with mounted(folder, view) as mount:
        tool = "fusermount3" if shutil.which("fusermount3") else "umount"
        subprocess.run([tool, *(["-u"] if tool != "umount" else []), view], check=True)
        assert mount.process.wait(30) == 0
        assert not view.exists()


@pytest.mark.parametrize("cached", [False, True])
def test_a_killed_mount_is_cleared_by_the_next(packed, view, cached):
    folder, data = packed
    with mounted(folder, view) as mount:
        list(view.iterdir())
        if cached:
            view.stat()
        mount.end(signal.SIGKILL)
        with pytest.raises(OSError) as failed:
            os.listdir(view)
        assert failed.value.errno == errno.ENOTCONN
        with mounted(folder, view):
            assert (view / "a.wav").read_bytes() == data


def ended(packed: Path | str, view: Path) -> tuple[int, str]:
    mount = Mount(packed, view, view.with_name("other.log"))
    return mount.process.wait(60), mount.said


def test_folders_that_cannot_be_used(packed, view, tmp_path):
    folder, _ = packed
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("stays")
    for place, words in ((tmp_path / "full", "is not empty"), (tmp_path / "a.wav", "is not a folder")):
        status, said = ended(folder, place)
        assert status == 2 and said.startswith(f"spikey: {place}: {words}") and said.count("\n") == 1
    with mounted(folder, view) as mount:
        status, said = ended(folder, view)
        assert status == 2 and said.count("\n") == 1
        command = f"fusermount3 -u '{view}'"
        assert said == f"spikey: {view}: something is mounted there already; {command} unmounts it\n"
        assert [path.name for path in view.iterdir()] == ["a.wav"]
        assert mount.end() == 0
    for source, words in ((tmp_path / "none", "does not exist"), (tmp_path / "full", "contains no files that end in")):
        status, said = ended(source, view)
        assert status == (1 if "exist" in words else 2) and words in said and said.count("\n") == 1
        assert not view.exists()


def test_what_cannot_be_opened_is_named(packed, view, tmp_path):
    folder, data = packed
    (folder / "b.spky").write_bytes(b"SPKY, but not really")
    (folder / "a.wav.spky").write_bytes((folder / "a.spky").read_bytes())
    with mounted(folder, view) as mount:
        assert [path.name for path in view.iterdir()] == ["a.wav"]
        assert (view / "a.wav").read_bytes() == data
        lines = [line for line in mount.said.splitlines() if line.startswith("spikey: ")]
        assert len(lines) == 2
        assert "restores a.wav, which is there already; only the first appears" in mount.said
        assert lines[1].startswith(f"spikey: {folder / 'b.spky'}: ")
        assert lines[1].endswith("what it restores does not appear")
    status, said = ended(folder / "b.spky", view)
    assert status == 1 and said.count("\n") == 1


@pytest.mark.parametrize("what", ["removed", "written to", "replaced"])
def test_a_file_that_changes_under_the_mount(packed, view, what):
    folder, data = packed
    with mounted(folder, view) as mount, open(view / "a.wav", "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 10, 0) == data[:10]
        path = folder / "a.spky"
        if what == "removed":
            path.unlink()
        elif what == "replaced":
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
        else:
            path.chmod(0o600)
            with open(path, "ab") as more:
                more.write(b"?")
        with pytest.raises(OSError) as failed:
            os.pread(file.fileno(), 10, 300_000)
        assert failed.value.errno == errno.EIO
        mount.said_of("a.wav: ")
        word = "was there when it was mounted (No such file or directory now)"
        assert f"{path}: {word if what == 'removed' else 'has changed since it was mounted'}" in mount.said


MISSING = {
    "": ("ImportError('No module named mfusepy')", 'pip install -e ".[mount]"'),
    "FUSE": ("OSError('Unable to find libfuse')", "sudo apt-get install fuse3"),
    "version": ("AttributeError('too old')", "sudo apt-get install fuse3"),
}


@pytest.mark.parametrize("what", MISSING)
def test_missing_packages(what, packed, view, tmp_path, monkeypatch):
    error, remedy = MISSING[what]
    (tmp_path / "lacks").mkdir()
    (tmp_path / "lacks" / "mfusepy.py").write_text(f"raise {error}")
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", f"{tmp_path / 'lacks'}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}")
    status, said = ended(packed[0], view)
    assert status == 2 and said.count("\n") == 1 and said.startswith("spikey: spikey mount needs ")
    assert remedy in said and not view.exists()


def test_a_machine_without_fuse(packed, view, run, monkeypatch):
    from spikey.integrations import mount_point

    monkeypatch.setattr(mount_point, "DEVICE", "/dev/no such device")
    refused(run("mount", packed[0], view), 2, "needs /dev/no such device", "sudo modprobe fuse", "--device")
    monkeypatch.undo()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    refused(run("mount", packed[0], view), 2, "needs fusermount3: sudo apt-get install fuse3")
    monkeypatch.setattr(sys, "platform", "win32")
    refused(run("mount", packed[0], view), 2, "on Windows")
    assert not view.exists()


def test_fuse_that_does_not_mount(packed, view, run, monkeypatch):
    """What the library writes is part of the one sentence."""
    import mfusepy

    def fails(*_arguments, **_options):
        os.write(2, b"fuse: failed to open /dev/fuse: Permission denied\n")
        raise RuntimeError(1)

    monkeypatch.setattr(mfusepy, "FUSE", fails)
    refused(run("mount", packed[0], view), 2, f"{view}: cannot be mounted (fuse: failed to open /dev/fuse: Permission")
    assert not view.exists()


def test_reading_in_order(packed, view):
    folder, data = packed
    with mounted(folder, view), open(view / "a.wav", "rb", buffering=0) as file:
        parts = []
        while part := file.read(60_000):
            parts.append(part)
            time.sleep(0.001)
        assert b"".join(parts) == data

"""Outputs: told from inputs by one grammar, complete or absent, on the disk, and never over a file unasked."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kit.commands import ENVIRONMENT, names, refused, wav
from spikey.base.errors import UsageError
from spikey.cli.arguments import parse
from spikey.files.names import derived_name, packed_name

QUICK = ("--preset", "fast")
RAW = ("--channels", 2, "--rate", 30000, "--dtype", "int16")


# ---------------------------------------------------------------- which path is the output


def test_the_grammar_of_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "b.wav", "a.spky", "b.spky", "file"):
        Path(name).write_bytes(b"x")
    for name in ("in", "out"):
        Path(name).mkdir()
    for packs, given, inputs, output, folder in [
        (True, ["a.wav"], ["a.wav"], None, False),
        (True, ["a.wav", "b.wav"], ["a.wav", "b.wav"], None, False),
        (True, ["a.wav", "b.spky"], ["a.wav"], "b.spky", False),
        (True, ["a.wav", "new.spky"], ["a.wav"], "new.spky", False),
        (True, ["a.wav", "new"], ["a.wav"], "new", False),
        (True, ["a.wav", "file"], ["a.wav", "file"], None, False),
        (True, ["a.wav", "out"], ["a.wav"], "out", True),
        (True, ["a.wav", "new/"], ["a.wav"], "new/", True),
        (True, ["a.wav", "b.wav", "new/"], ["a.wav", "b.wav"], "new/", True),
        (True, ["in", "new"], ["in"], "new", True),
        (True, ["in", "new.spky"], ["in"], "new.spky", False),
        (True, ["a.wav", "-"], ["a.wav"], "/dev/stdout", False),
        (True, ["-"], ["-"], "/dev/stdout", False),
        (False, ["a.spky"], ["a.spky"], None, False),
        (False, ["a.spky", "b.spky"], ["a.spky", "b.spky"], None, False),
        (False, ["a.spky", "b.wav"], ["a.spky"], "b.wav", False),
        (False, ["a.spky", "out"], ["a.spky"], "out", True),
        (False, ["in", "new"], ["in"], "new", True),
    ]:
        found = parse(given, packs=packs)
        assert (list(found.inputs), found.output, found.folder) == (inputs, output, folder), given
    assert parse(["a.wav", "b.wav"], "elsewhere/", packs=True).output == "elsewhere/"
    for packs, given in [
        (True, ["a.wav", "b.wav", "typo.wav"]),
        (True, ["a.wav", "b.wav", "new.spky"]),
        (False, ["a.spky", "b.spky", "typo.spky"]),
        (False, ["a.spky", "b.spky", "new.wav"]),
    ]:
        with pytest.raises(UsageError, match="no such file; a folder for outputs ends in /"):
            parse(given, packs=packs)
    for given in (["a.wav", ""], [""], []):
        with pytest.raises(UsageError, match="input|empty path"):
            parse(given, packs=True)


def test_names_follow_from_each_other():
    for name, kind in [("a.wav", "wav"), ("a.dat", "raw"), ("a.raw", "raw"), ("notes.txt", "bytes"), ("a", "bytes")]:
        assert derived_name(packed_name(name), kind) == name
        assert derived_name(packed_name(name, whole=True), kind) == name
    assert derived_name("day.spky", "raw") == "day.dat"


# ---------------------------------------------------------------- the commands


def test_compressing_all_of_a_folder_by_name_changes_no_recording(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {f"{n}.wav": wav(300, seed=n) for n in (1, 2)}
    for name, data in content.items():
        Path(name).write_bytes(data)
    assert run("compress", "1.wav", "2.wav", *QUICK)[0] == 0
    assert names(tmp_path) == {"1.wav", "2.wav", "1.spky", "2.spky"}
    packed = Path("1.spky").read_bytes()
    status, _, err = run("compress", "1.wav", "2.wav", *QUICK)
    assert status == 1 and "1.spky: exists" in err and "2.spky: exists" in err
    refused(run("compress", "1.wav", *QUICK), 2, "1.spky: exists")
    assert run("compress", "1.wav", "2.wav", "3.wav", *QUICK)[0] == 2
    assert run("decompress", "1.spky", "2.spky")[0] == 1
    for name, data in content.items():
        assert Path(name).read_bytes() == data
        Path(name).unlink()
    assert Path("1.spky").read_bytes() == packed
    assert run("decompress", "1.spky", "2.spky")[0] == 0
    assert all(Path(name).read_bytes() == data for name, data in content.items())


def test_two_sessions_in_one_folder_stay_apart(tmp_path, run):
    for session in ("one", "two"):
        (tmp_path / session / "node").mkdir(parents=True)
        (tmp_path / session / "node" / "a.wav").write_bytes(wav(300, seed=ord(session[0])))
    for session in ("one", "two"):
        assert run("compress", f"{tmp_path / session}/", f"{tmp_path}/packed/", *QUICK)[0] == 0
    assert names(tmp_path / "packed") == {"one/node/a.spky", "two/node/a.spky"}
    assert run("decompress", f"{tmp_path}/packed/", f"{tmp_path}/restored/")[0] == 0
    for session in ("one", "two"):
        restored = tmp_path / "restored" / session / "node" / "a.wav"
        assert restored.read_bytes() == (tmp_path / session / "node" / "a.wav").read_bytes()


def test_a_dot_stands_for_the_folders_name_and_outputs_are_no_inputs(tmp_path, run, monkeypatch):
    (tmp_path / "session").mkdir()
    (tmp_path / "session" / "a.wav").write_bytes(wav(300))
    monkeypatch.chdir(tmp_path / "session")
    sizes = []
    for _ in range(3):
        run("compress", ".", "packed/", *QUICK)
        sizes.append(sorted((p.name, p.stat().st_size) for p in Path("packed").rglob("*") if p.is_file()))
    assert sizes[0] == sizes[1] == sizes[2]
    assert names(tmp_path / "session") == {"a.wav", "packed/session/a.spky"}


def test_inputs_that_share_an_outputs_name_keep_their_suffix(tmp_path, run):
    for name in ("a.wav", "a.WAV"):
        (tmp_path / name).write_bytes(wav(300, seed=len(names(tmp_path))))
    (tmp_path / "b.dat").write_bytes(bytes(400))
    assert run("compress", tmp_path / "a.wav", tmp_path / "a.WAV", f"{tmp_path}/out/", *QUICK)[0] == 0
    assert names(tmp_path / "out") == {"a.wav.spky", "a.WAV.spky"}
    assert run("decompress", f"{tmp_path}/out", f"{tmp_path}/back")[0] == 0
    for name in ("a.wav", "a.WAV"):
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / name).read_bytes()
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "a.wav", tmp_path / "other")
    both = run("compress", tmp_path / "a.wav", tmp_path / "other" / "a.wav", f"{tmp_path}/apart/", *QUICK)
    refused(both, 2, "would both be written to")
    assert not (tmp_path / "apart").exists()


def test_names_are_stored_where_they_do_not_follow(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = wav(500)
    for name in ("a.wav", "copy.wav", "A.WAV"):
        Path(name).write_bytes(content)
    assert run("compress", "a.wav", "copy.wav", "A.WAV", *QUICK)[0] == 0
    assert run("compress", "a.wav", "renamed.spky", *QUICK)[0] == 0
    assert run("compress", "--input_file", "a.wav", "--output_file", "a.bin", *QUICK)[0] == 0
    plain = Path("a.spky").read_bytes()
    assert Path("copy.spky").read_bytes() == plain == Path("a.bin").read_bytes()
    assert Path("A.spky").stat().st_size > len(plain) < Path("renamed.spky").stat().st_size
    Path("back").mkdir()
    assert run("decompress", "A.spky", "back")[0] == 0 and run("decompress", "renamed.spky", "back")[0] == 0
    assert names(tmp_path / "back") == {"A.WAV", "a.wav"}


def test_raw_recordings_get_their_suffix_back(tmp_path, run):
    (tmp_path / "a.dat").write_bytes(bytes(range(200)) * 4)
    assert run("compress", tmp_path / "a.dat", f"{tmp_path}/p/", *RAW, *QUICK)[0] == 0
    assert run("compress", tmp_path / "a.dat", tmp_path / "p" / "b.spky", *RAW, *QUICK)[0] == 0
    (tmp_path / "p" / "b.spky").rename(tmp_path / "p" / "c.spky")
    (tmp_path / "d.spky").write_bytes(__import__("spikey").compress(__import__("numpy").zeros((9, 2), "int16"), 1000))
    assert run("decompress", f"{tmp_path}/p/a.dat.spky", tmp_path / "d.spky", f"{tmp_path}/q/")[0] == 0
    assert names(tmp_path / "q") == {"a.dat", "d.dat"}


def test_mode_and_time_go_with_the_recording(tmp_path, run):
    source, packed, back = tmp_path / "a.wav", tmp_path / "a.spky", tmp_path / "b.wav"
    source.write_bytes(wav(300))
    os.utime(source, ns=(10**18, 1_234_567_890_123_456_789))
    source.chmod(0o600)
    assert run("compress", source, *QUICK)[0] == 0
    assert run("decompress", packed, back)[0] == 0
    for path in (packed, back):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_mtime_ns == 1_234_567_890_123_456_789
    source.chmod(0o400)
    assert run("compress", source, "--force", *QUICK)[0] == 0
    assert stat.S_IMODE(packed.stat().st_mode) == 0o400


def test_skip_existing(tmp_path, run):
    folder = tmp_path / "in"
    folder.mkdir()
    for n in (1, 2):
        (folder / f"{n}.wav").write_bytes(wav(300, seed=n))
    command = ("compress", folder, f"{tmp_path}/out/", *QUICK)
    assert run(*command)[0] == 0
    assert run(*command)[0] == 1
    assert run(*command, "--skip-existing")[0] == 0
    one = folder / "1.wav"
    times = one.stat().st_atime_ns, one.stat().st_mtime_ns
    data = bytearray(one.read_bytes())
    data[-3] ^= 1
    one.write_bytes(data)
    os.utime(one, ns=times)  # the same size and time
    status, _, err = run(*command, "--skip-existing")
    assert status == 1 and "does not restore this input" in err
    one.write_bytes(wav(300, seed=1))
    status, _, err = run(*command, "--skip-existing")  # another time
    assert status == 1 and "1.spky: exists" in err
    packed = tmp_path / "out" / "in" / "2.spky"
    back = ("decompress", f"{tmp_path}/out", f"{tmp_path}/back")
    assert run(*back)[0] == 0 and run(*back)[0] == 1 and run(*back, "--skip-existing")[0] == 0
    (tmp_path / "back" / "in" / "2.wav").write_bytes(b"other")
    os.utime(tmp_path / "back" / "in" / "2.wav", ns=(0, packed.stat().st_mtime_ns))
    assert run(*back, "--skip-existing")[0] == 1


def test_removing_inputs(tmp_path, run, monkeypatch):
    folder = tmp_path / "in"
    (folder / "x").mkdir(parents=True)
    content = {"a.wav": wav(300), "x/b.WAV": wav(200, 2), "notes.txt": b"hello", "x/odd.wav": wav(9)[:60] + b"?"}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    command = ("compress", folder, f"{tmp_path}/out/", "--rm", *QUICK)
    refused(run(*command, "--no-verify"), 2, "--rm")
    (folder / "link").symlink_to("a.wav")
    refused(run(*command), 2, "link", "symbolic link")
    assert names(tmp_path / "in") - {"link"} == set(content) and not (tmp_path / "out").exists()
    (folder / "link").unlink()
    assert run(*command)[0] == 0
    assert not names(folder)
    assert run("decompress", f"{tmp_path}/out", f"{tmp_path}/back")[0] == 0
    assert {name: (tmp_path / "back" / "in" / name).read_bytes() for name in names(tmp_path / "back" / "in")} == content


def test_nothing_of_a_folder_is_removed_when_a_file_fails(tmp_path, run):
    folder = tmp_path / "in"
    folder.mkdir()
    for n in (1, 2):
        (folder / f"{n}.wav").write_bytes(wav(300, seed=n))
    (tmp_path / "out" / "in").mkdir(parents=True)
    (tmp_path / "out" / "in" / "2.spky").write_bytes(b"something else")
    status, _, err = run("compress", folder, f"{tmp_path}/out/", "--rm", *QUICK)
    assert status == 1 and "nothing was removed" in err
    assert names(folder) == {"1.wav", "2.wav"}
    assert (tmp_path / "out" / "in" / "2.spky").read_bytes() == b"something else"


def test_removal_follows_verification_and_the_disk(tmp_path, run, monkeypatch):
    (tmp_path / "a.wav").write_bytes(wav(300))
    order = []
    for name, function in (("fsync", os.fsync), ("link", os.link)):
        monkeypatch.setattr(os, name, lambda *a, _f=function, _n=name: (order.append(_n), _f(*a))[1])
    unlink = Path.unlink

    def removed(self: Path, missing_ok: bool = False) -> None:
        if self.suffix == ".wav":
            order.append("remove")
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", removed)
    assert run("compress", tmp_path / "a.wav", "--rm", *QUICK)[0] == 0
    assert order[:4] == ["fsync", "link", "fsync", "remove"]
    assert names(tmp_path) == {"a.spky"}


def test_a_recording_that_grows_is_an_error(tmp_path, run, monkeypatch):
    from spikey.files import compress

    source = tmp_path / "a.wav"
    source.write_bytes(wav(3000))
    compare = compress.compare

    def grows(*arguments, **options):
        compare(*arguments, **options)
        with source.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(compress, "compare", grows)
    refused(run("compress", source, *QUICK), 1, "changed its size while it was read")
    assert names(tmp_path) == {"a.wav"}


def test_a_frame_that_is_not_whole(tmp_path, run):
    source = tmp_path / "run.bin"
    source.write_bytes(bytes(384 * 2 * 10))
    kind = ("--channels", 385, "--rate", 30000, "--dtype", "int16", *QUICK)
    refused(run("compress", source, *kind), 2, "multiple of 770 bytes", "750 bytes remain", "--keep-partial")
    assert run("compress", source, *kind, "--keep-partial")[0] == 0
    assert run("decompress", tmp_path / "run.bin.spky", tmp_path / "back.bin")[0] == 0
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()
    many = ("--channels", 16_777_217, *kind[2:], "--no-verify", "--keep-partial")
    refused(run("compress", source, tmp_path / "x.spky", *many), 2, "channels")


def test_an_incomplete_archive_replaces_no_complete_one(tmp_path, run):
    folder = tmp_path / "in"
    folder.mkdir()
    for n in (1, 2):
        (folder / f"{n}.wav").write_bytes(wav(300, seed=n))
    all_of_it = tmp_path / "all.spky"
    command = ("compress", folder, all_of_it, "--together", *QUICK)
    assert run(*command)[0] == 0
    before = all_of_it.read_bytes()
    refused(run(*command), 2, "all.spky: exists")
    (folder / "2.wav").write_bytes(b"RIFF")
    status, _, err = run(*command, "--force")
    assert status == 1 and "was not replaced" in err
    assert all_of_it.read_bytes() == before
    refused(run("compress", "--together", folder / "1.wav", folder / "2.wav", *QUICK), 2, "name it")


# ---------------------------------------------------------------- pipes, standard streams


def test_pipes(tmp_path):
    content = wav(500)
    (tmp_path / "a.wav").write_bytes(content)
    spikey = [sys.executable, "-m", "spikey"]
    options = {"env": ENVIRONMENT, "cwd": tmp_path, "capture_output": True, "timeout": 300, "check": True}
    packed = subprocess.run([*spikey, "compress", "-", *QUICK], input=content, **options).stdout
    assert packed[:4] == b"SPKY"
    assert subprocess.run([*spikey, "decompress", "-"], input=packed, **options).stdout == content
    assert subprocess.run([*spikey, "compress", "a.wav", "-", *QUICK], **options).stdout == packed
    subprocess.run([*spikey, "decompress", "-", "b.wav"], input=packed, **options)
    assert (tmp_path / "b.wav").read_bytes() == content
    (tmp_path / "a.spky").write_bytes(packed)
    command = f'"{sys.executable}" -m spikey decompress a.spky /dev/stdout'
    (tmp_path / "log").write_bytes(b"kept")
    subprocess.run(f"{command} >> log", shell=True, **options)
    assert (tmp_path / "log").read_bytes() == b"kept" + content
    os.mkfifo(tmp_path / "fifo")
    reader = subprocess.Popen(["cat", "fifo"], cwd=tmp_path, stdout=subprocess.PIPE)
    subprocess.run([*spikey, "decompress", "a.spky", "fifo"], **options)
    assert reader.communicate(timeout=60)[0] == content and stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_standard_streams_that_are_closed_or_full(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(500))
    options = {"env": ENVIRONMENT, "cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300, "shell": True}
    spikey = f'"{sys.executable}" -m spikey'
    done = subprocess.run(f"{spikey} compress a.wav --preset fast 2>&- >&-", **options)
    assert done.returncode == 0
    data = (tmp_path / "a.spky").read_bytes()
    assert data[:4] == b"SPKY" and b"compiling" not in data and b"compressed" not in data
    for command in ("info a.spky", "info --json a.spky", "--help", "verify a.spky"):
        done = subprocess.run(f"{spikey} {command} > /dev/full", **options)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.endswith("spikey: standard output: No space left on device\n")


# ---------------------------------------------------------------- what programs and logs see


def test_json_of_compress_decompress_and_verify(tmp_path, run):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav(300))
    (folder / "bad.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_bytes(b"hello")
    status, out, err = run("compress", folder, f"{tmp_path}/out/", "--json", "-q", *QUICK)
    facts = json.loads(out)
    assert status == 1 and "note" not in err
    assert [file["status"] for file in facts["files"]] == ["compressed", "failed"]
    assert facts["not_stored"] == [{"file": str(folder / "notes.txt"), "bytes": 5, "reason": "not a recording"}]
    packed = tmp_path / "out" / "in" / "a.spky"
    assert facts["compressed_bytes"] == packed.stat().st_size and facts["original_bytes"] == 644
    facts = json.loads(run("decompress", packed, f"{tmp_path}/back/", "--json")[1])
    assert facts["files"][0]["status"] == "restored" and facts["files"][0]["original_bytes"] == 644
    facts = json.loads(run("verify", packed, "--json")[1])
    assert facts["files"][0]["status"] == "verified" and facts["failures"] == 0
    status, out, err = run("verify", packed, tmp_path / "none.spky")
    assert status == 1 and "none.spky: does not exist" in err and "damaged" not in err
    facts = json.loads(run("doctor", "--json")[1])
    assert facts["well"] is True


def test_info_of_a_truncated_file(tmp_path, run):
    (tmp_path / "a.wav").write_bytes(wav(3000))
    assert run("compress", tmp_path / "a.wav", *QUICK)[0] == 0
    data = (tmp_path / "a.spky").read_bytes()
    (tmp_path / "a.spky").chmod(0o600)
    for size in (len(data) // 2, len(data) - 1, 20):
        (tmp_path / "a.spky").write_bytes(data[:size])
        status, out, err = run("info", tmp_path / "a.spky")
        assert status == 1 and not out and str(tmp_path / "a.spky") in err


def test_progress_in_a_log_and_quiet(tmp_path, capsys, monkeypatch):
    from spikey.cli import messages, progress

    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.progress_bar(1000, "bytes") as advance:
        meter = progress.Meter(advance, passes=2)
        meter(500, 100)
        meter(500, 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("progress: 250 of 1,000 bytes (25 %), ") and lines[0].endswith("ratio 5.000")
    assert "MB/s" in lines[0] and "left" in lines[0] and "50 %" in lines[1]
    messages.set_level(quiet=True, verbose=False)
    with progress.progress_bar(1000, "bytes") as advance:
        advance(500)
    messages.set_level(quiet=False, verbose=False)
    assert not capsys.readouterr().err


# ---------------------------------------------------------------- faults found by use


def tree(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def test_recordings_below_the_output_folder_are_not_left_out(tmp_path, run):
    (tmp_path / "S" / "data").mkdir(parents=True)
    for name in ("one.wav", "data/two.wav"):
        (tmp_path / "S" / name).write_bytes(wav(300, seed=len(name)))
    for _ in range(2):
        run("compress", "--complete", tmp_path / "S", tmp_path / "S" / "data", *QUICK)
        assert {name for name in names(tmp_path / "S") if name.endswith(".spky")} == {
            "data/S/one.spky",
            "data/S/data/two.spky",
        }


def test_names_that_cannot_be_stored_and_files_that_only_look_like_wav(tmp_path, run):
    folder = tmp_path / "F"
    folder.mkdir()
    (folder / "rec:1.WAV").write_bytes(wav(300))
    (folder / "video.avi").write_bytes(b"RIFF\x10\0\0\0AVI LIST")
    (folder / "odd.bytes").write_bytes(wav(300))
    (folder / ".a.spky.0123abcd.part").write_bytes(b"left by a run that was killed")
    content = {name: data for name, data in tree(folder).items() if not name.endswith(".part")}
    assert run("compress", "--rm", folder, f"{tmp_path}/out/", *QUICK)[0] == 0
    assert names(folder) == {".a.spky.0123abcd.part"}
    assert run("decompress", f"{tmp_path}/out", f"{tmp_path}/back")[0] == 0
    assert tree(tmp_path / "back" / "F") == content
    raw = tmp_path / "rec:2.i16"
    raw.write_bytes(bytes(400))
    assert run("compress", raw, *RAW, *QUICK)[0] == 0
    raw.rename(tmp_path / "other")
    assert run("decompress", tmp_path / "rec:2.i16.spky")[0] == 0 and raw.read_bytes() == bytes(400)


def test_modes_are_never_wider_than_those_of_the_inputs(tmp_path, run):
    for name, mode in (("a.wav", 0o600), ("b.wav", 0o644)):
        (tmp_path / name).write_bytes(wav(300, seed=mode))
        (tmp_path / name).chmod(mode)
    packed = tmp_path / "all.spky"
    assert run("compress", "--together", tmp_path / "a.wav", tmp_path / "b.wav", packed, *QUICK)[0] == 0
    assert run("decompress", packed, "--member", "b.wav", "-o", tmp_path / "c.wav")[0] == 0
    assert run("telemetry", "encode", tmp_path / "a.wav", tmp_path / "a.spkt")[0] == 0
    assert run("telemetry", "decode", tmp_path / "a.spkt", tmp_path / "a.npz")[0] == 0
    for name in ("all.spky", "c.wav", "a.spkt", "a.npz"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


def test_archives_of_several_inputs_and_beside_other_files(tmp_path, run):
    for name in ("s1/a.wav", "s2/a.wav", "c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(wav(300, seed=len(names(tmp_path))))
    content = tree(tmp_path)
    inputs = [tmp_path / name for name in ("s1", "s2", "c.wav")]
    packed = tmp_path / "p" / "all.spky"
    packed.parent.mkdir()
    for options in ([], ["--force"]):
        assert run("compress", "--together", *inputs, packed, *QUICK, *options)[0] == 0
    assert run("compress", tmp_path / "c.wav", f"{tmp_path}/p/", *QUICK)[0] == 0
    status, out, _ = run("decompress", f"{tmp_path}/p", f"{tmp_path}/back", "--json")
    assert status == 0 and json.loads(out)["failures"] == 0
    expected = {f"all/{name}": data for name, data in content.items()} | {"c.wav": content["c.wav"]}
    assert tree(tmp_path / "back") == expected
    inputs_of = {file["input"] for file in json.loads(run("verify", packed, "--json")[1])["files"]}
    assert inputs_of == {f"{packed}, {name}" for name in content}


def test_long_names(tmp_path, run):
    name = "記" * 80
    (tmp_path / f"{name}.wav").write_bytes(wav(300))
    assert run("compress", tmp_path / f"{name}.wav", *QUICK)[0] == 0
    assert names(tmp_path) == {f"{name}.wav", f"{name}.spky"}


def test_json_of_a_single_failure_and_of_what_cannot_be_removed(tmp_path, run):
    (tmp_path / "bad.spky").write_bytes(b"SPKY" + bytes(50))
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    for command in (("verify", "bad.spky"), ("decompress", "bad.spky"), ("compress", "bad.wav")):
        status, out, _ = run(command[0], tmp_path / command[1], "--json")
        assert status == 1 and json.loads(out)["failures"] == 1, command
    for name in ("a", "b"):
        (tmp_path / f"{name}.wav").write_bytes(wav(300, seed=ord(name)))
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
    both = (tmp_path / "link.wav", tmp_path / "b.wav", tmp_path / "all.spky")
    status, out, err = run("compress", "--together", "--rm", "--json", *both, *QUICK)
    assert status == 1 and "link.wav: is a link" in err
    assert json.loads(out)["removed"] == [str(tmp_path / "b.wav")] and (tmp_path / "a.wav").exists()

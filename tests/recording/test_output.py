"""Atomic outputs: two processes for one, file systems without links, interrupts, abandoned temporary files."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
import time

import pytest

from kit.commands import ENVIRONMENT, names, wav
from spikey.base.errors import OutputExistsError, UsageError
from spikey.files.compress import compress_file
from spikey.files.decompress import decompress_file
from spikey.files.settings import Settings
from spikey.recording import output as output_module
from spikey.recording.output import atomic_output, is_tmp_name, report_output, tmp_name

QUICK = ("--preset", "fast")
RAW = ("--channels", 2, "--rate", 30000, "--dtype", "int16")


def test_two_processes_for_one_output(tmp_path):
    """Both start while the output does not exist; one of them gets the name, the other is refused."""
    target = tmp_path / "out"
    started, errors = threading.Barrier(2), []

    def write(data: bytes) -> None:
        try:
            with atomic_output(target) as (file, _):
                file.write(data)
                started.wait()
        except OutputExistsError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(data,)) for data in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1 and target.read_bytes() in (b"one", b"two")
    assert names(tmp_path) == {"out"}


def test_two_real_processes_for_one_output(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(2000))
    command = [sys.executable, "-m", "spikey", "compress", "a.wav", "out.spky", *QUICK]
    both = [subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE) for _ in range(2)]
    statuses = sorted(each.wait(timeout=300) for each in both)
    for each in both:
        each.stderr.close()
    assert statuses == [0, 2] and names(tmp_path) == {"a.wav", "out.spky"}


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    def unsupported(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    with atomic_output(tmp_path / "a") as (file, _):
        file.write(b"x")
    with pytest.raises(OutputExistsError), atomic_output(tmp_path / "b") as (file, _):
        (tmp_path / "b").write_bytes(b"came meanwhile")
    assert names(tmp_path) == {"a", "b"} and (tmp_path / "b").read_bytes() == b"came meanwhile"


def test_unfinished_outputs_of_ended_processes_are_removed(tmp_path):
    abandoned, mine = tmp_path / tmp_name("a.spky"), tmp_path / ".a.part"
    abandoned.write_bytes(b"half")
    mine.write_bytes(b"a user's")
    running = tmp_path / "running"
    code = (
        "import sys, time\nfrom spikey.recording.output import atomic_output\n"
        f"with atomic_output({str(running)!r}) as (file, _):\n    file.write(b'x'); file.flush()\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    other = subprocess.Popen([sys.executable, "-c", code], **pipes)
    assert other.stdout.readline() == "ready\n"
    assert not abandoned.exists()  # its own start has removed it
    output_module.remove_abandoned.cache_clear()
    with atomic_output(tmp_path / "b") as (file, _):
        file.write(b"x")
    assert len([path for path in tmp_path.iterdir() if is_tmp_name(path.name)]) == 1  # of the running process
    other.communicate("\n", timeout=60)
    assert running.read_bytes() == b"x" and mine.exists()
    killed = subprocess.Popen([sys.executable, "-c", code.replace("running", "killed")], **pipes)
    assert killed.stdout.readline() == "ready\n"
    killed.kill()
    killed.communicate()
    assert any(is_tmp_name(path.name) for path in tmp_path.iterdir())
    output_module.remove_abandoned.cache_clear()
    with atomic_output(tmp_path / "c") as (file, _):
        file.write(b"x")
    assert not any(is_tmp_name(path.name) for path in tmp_path.iterdir())


def test_reports_replace_reports_but_no_recording(tmp_path):
    for data, replaced in ((b"<html>", True), (wav(5), False), (b"SPKY....", False)):
        (tmp_path / "a").write_bytes(data)
        try:
            with report_output(tmp_path / "a") as (file, _):
                file.write(b"report")
        except UsageError as error:
            assert not replaced and "recording" in str(error)
        assert ((tmp_path / "a").read_bytes() == b"report") == replaced


def test_functions_that_write_refuse_to_overwrite(tmp_path):
    for package in ("spikeinterface", "distributed"):
        pytest.importorskip(package)
    source, packed = tmp_path / "a.wav", tmp_path / "a.spky"
    source.write_bytes(wav(300))
    quick = Settings(preset="fast")
    compress_file(source, packed, quick)
    for call in (lambda: compress_file(source, packed, quick), lambda: decompress_file(packed, source)):
        with pytest.raises(OutputExistsError):
            call()
    from spikey.files import archives, extraction
    from spikey.integrations import dask, nwb
    from spikey.integrations.spikeinterface import write_spikey
    from spikey.lossy import near_lossless as near
    from spikey.stream.recorder import Recorder
    from spikey.telemetry import export, write

    for function in (
        compress_file,
        decompress_file,
        archives.compress_archive,
        extraction.restore,
        dask.compress,
        dask.compress_files,
        nwb.write_nwb,
        write_spikey,
        Recorder,
        export.write_csv,
        export.write_npz,
        export.write_wav,
        near.near_lossless,
        near.hybrid,
        near.restore,
        write.encode_file,
    ):
        assert inspect.signature(function).parameters["overwrite"].default is False, function


def test_an_interrupt_has_its_own_status(tmp_path):
    import signal

    (tmp_path / "a.raw").write_bytes(os.urandom(16_000_000))
    kind = ["--channels", "1", "--rate", "30000", "--dtype", "int16", *QUICK]
    command = [sys.executable, "-m", "spikey", "compress", str(tmp_path / "a.raw"), str(tmp_path / "out.spky"), *kind]
    running = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not any(is_tmp_name(path.name) for path in tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130 and names(tmp_path) == {"a.raw"}


def test_a_running_processs_output_is_not_taken_for_an_abandoned_one(tmp_path, monkeypatch):
    """Another process that sweeps the folder has locked the temporary file before its owner could."""
    real, seen = output_module.try_lock, []

    def taken_once(handle: int) -> bool | None:
        seen.append(handle)
        return False if len(seen) == 1 else real(handle)

    output_module.remove_abandoned(str(tmp_path))
    monkeypatch.setattr(output_module, "try_lock", taken_once)
    with atomic_output(tmp_path / "a") as (file, _):
        file.write(b"x")
    assert (tmp_path / "a").read_bytes() == b"x" and len(seen) == 2


def test_an_interrupt_does_not_wait_for_long_work(tmp_path):
    """Threads that do not end within seconds are left; nothing unfinished and no lock file stays."""
    code = (
        "import os, signal, sys, time\nfrom spikey import cli\nfrom spikey.base.locks import lock_file\n"
        "from spikey.files import compress\n"
        "cli.PATIENCE = 0.5\n"
        "def slow(*_, **__):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while True:\n        time.sleep(60)\n"
        "compress.compare = slow\n"
        f"sys.argv = ['spikey', 'compress', {str(tmp_path)!r}, {str(tmp_path / 'out')!r}, *{QUICK}]\n"
        f"with lock_file({str(tmp_path / 'x.lock')!r}) as locked:\n    assert locked\n    cli.main()\n"
    )
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(wav(300))
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 130 and time.monotonic() - start < 40 and "interrupted" in done.stderr
    assert names(tmp_path) == {"a.wav", "b.wav"}

"""Clusters: worker processes of a real one, here, write what one machine writes, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit import vendors
from kit.vendor_files import FORMS
from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.cli import app
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head

pytest.importorskip("distributed")
fsspec = pytest.importorskip("fsspec")

from distributed import Client, LocalCluster  # noqa: E402

from spikey.integrations import dask as spikey_dask  # noqa: E402
from spikey.integrations import dask_client, dask_job, dask_tasks  # noqa: E402
from spikey.integrations.dask_job import stretches  # noqa: E402

pytestmark = pytest.mark.network

RATE = 20_000
RAW = Settings(preset="fast", raw=(20, RATE, "int16"))
runner = CliRunner()


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def written(path: Path, frames: int, channels: int, seed: int) -> Path:
    samples = np.tile(simulate(min(frames, 70_000), channels, RATE, seed=seed), (-(-frames // 70_000), 1))[:frames]
    layout = Layout(channels, RATE, "int16")
    path.write_bytes(canonical_head(layout, frames) + pack(samples, layout))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "deep").mkdir()
    written(folder / "long.wav", 300_000, 20, 1)
    written(folder / "deep" / "wide.wav", 3000, 70, 2)
    written(folder / "short.wav", 2000, 1, 3)
    return folder


@pytest.mark.parametrize("name", ["long.wav", "deep/wide.wav", "short.wav"])
@pytest.mark.parametrize("ship", [False, True])
def test_the_bytes_are_those_of_one_machine(client, folder, tmp_path, name, ship):
    settings = Settings(preset="fast")
    alone = compress_file(folder / name, tmp_path / "a.spky", settings)
    counted: list[int] = []
    there = spikey_dask.compress(
        folder / name, tmp_path / "b.spky", settings=settings, client=client, ship=ship, progress=counted.append
    )
    assert (tmp_path / "a.spky").read_bytes() == (tmp_path / "b.spky").read_bytes()
    assert there == alone and sum(counted) == alone.samples
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.spky", "b.spky"]


def test_samples_in_memory_and_floats_go_as_well(client, tmp_path):
    samples = simulate(140_000, 3, RATE, seed=4)
    for array in (
        samples,
        samples.astype("float32") * np.float32(0.195),
        np.random.default_rng(0).normal(size=samples.shape),
    ):
        spikey_dask.compress(array, tmp_path / "a.spky", rate=RATE, preset="fast", client=client, overwrite=True)
        assert np.array_equal(spikey.decompress(str(tmp_path / "a.spky")).samples, array)
    with pytest.raises(UsageError, match="rate"):
        spikey_dask.compress(samples, tmp_path / "b.spky", client=client)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_time_and_nothing_else(client, folder, tmp_path):
    settings = Settings(preset="balanced")
    compress_file(folder / "long.wav", tmp_path / "a.spky", settings)
    before = client.run(os.getpid)
    begun, killed = threading.Event(), []

    def kill() -> None:
        assert begun.wait(60)
        pid = next(iter(before.values()))
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    spikey_dask.compress(
        folder / "long.wav", tmp_path / "b.spky", settings=settings, client=client, progress=lambda _: begun.set()
    )
    killer.join()
    assert killed and (tmp_path / "a.spky").read_bytes() == (tmp_path / "b.spky").read_bytes()
    until = time.monotonic() + 30
    while len(client.run(os.getpid)) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert killed[0] not in client.run(os.getpid).values()


def test_one_recording_that_fails_does_not_stop_the_others(client, folder, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"nonsense")
    work = [(tmp_path / "bad.wav", tmp_path / "bad.spky"), (folder / "short.wav", tmp_path / "short.spky")]
    results = list(spikey_dask.compress_files(work, client=client))
    assert isinstance(results[0][1], DataError) and not isinstance(results[1][1], SpikeyError)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.wav", "short.spky"]


def test_a_recording_that_changes_is_noticed(client, folder, tmp_path):
    path = written(tmp_path / "a.wav", 2000, 2, 5)
    with dask_tasks.open_recording(path, Settings()) as source:
        recording = dask_tasks.Recording.of(source, str(path), Settings())
    written(path, 1000, 2, 5)
    with pytest.raises(DataError, match="changed"):
        recording.open()


@pytest.mark.slow
def test_nobody_listens_and_workers_of_other_versions(client, monkeypatch):
    start = time.monotonic()
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9.*dask scheduler"):
        spikey_dask.compress(np.zeros((9, 1), np.int16), "memory://a", rate=1, scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - start < 30
    with pytest.raises(UsageError, match=r"here it is 0.0.9; install the same version everywhere: pip install -e \."):
        dask_tasks.check_version("0.0.9")
    monkeypatch.setattr(dask_client, "__version__", "9.9")
    with pytest.raises(UsageError, match=r"the worker at .* has spikey .* and here it is 9.9"):
        dask_client.check_workers(client)


class Failing(fsspec.get_filesystem_class("memory")):
    """A store that gives up after some writes."""

    protocol = "failing"
    left = 0

    def _open(self, path, mode="rb", **options):
        file = super()._open(path, mode, **options)
        if "w" in mode:
            write = file.write

            def count(data):
                Failing.left -= 1
                if Failing.left < 0:
                    raise OSError("the store is full")
                return write(data)

            file.write = count
        return file


def test_a_store_that_fails_half_way_keeps_nothing(client, folder):
    fsspec.register_implementation("failing", Failing, clobber=True)
    store, root = fsspec.core.url_to_fs("failing://out")
    for writes in (0, 1, 4):
        Failing.left = writes
        with pytest.raises(UsageError, match="the store is full"):
            spikey_dask.compress(folder / "long.wav", "failing://out/a.spky", preset="fast", client=client)
        assert not store.find(root)
    Failing.left = 1000
    spikey_dask.compress(folder / "long.wav", "failing://out/a.spky", preset="fast", client=client)
    assert [Path(name).name for name in store.find(root)] == ["a.spky"]


def test_the_command_line_mirrors_folders_and_takes_addresses(folder, tmp_path):
    (folder / "bad.wav").write_bytes(b"nonsense")
    try:
        options = ["compress", str(folder), "--preset", "fast", "--jobs", "2"]
        alone = runner.invoke(app, [*options, str(tmp_path / "alone")])
        store = runner.invoke(app, [*options[:2], f"file://{tmp_path}/there", *options[2:], "--scheduler", "local"])
    finally:
        (folder / "bad.wav").unlink()
    assert alone.exit_code == store.exit_code == 1, store.output
    assert "1 of 4 files" in store.output and "dashboard: http" in store.output
    found = {p.relative_to(tmp_path / "alone"): p.read_bytes() for p in (tmp_path / "alone").rglob("*.spky")}
    assert found == {p.relative_to(tmp_path / "there"): p.read_bytes() for p in (tmp_path / "there").rglob("*.spky")}
    assert len(found) == 3
    raw = tmp_path / "a.dat"
    raw.write_bytes(simulate(90_000, 2, RATE, seed=6).astype("<i2").tobytes())
    options = ["--channels", "2", "--rate", "20000", "--dtype", "int16", "--scheduler", "local", "--jobs", "1"]
    done = runner.invoke(app, ["compress", str(raw), str(tmp_path / "a.spky"), *options])
    assert done.exit_code == 0 and spikey.open(tmp_path / "a.spky").shape == (90_000, 2)
    alone = runner.invoke(app, ["compress", str(folder / "short.wav"), "memory://from here/a.spky"])
    assert alone.exit_code == 0, alone.output
    with spikey.open("memory://from here/a.spky") as reader:
        assert reader.shape == (2000, 1)


@pytest.mark.filterwarnings("ignore")
def test_folders_of_vendors_by_command(tmp_path):
    """Each output by one worker: records, several files, what only SpikeInterface reads, a WAV file."""
    pytest.importorskip("spikeinterface.core")
    pytest.importorskip("pynwb")
    folder = tmp_path / "day"
    vendors.spikeglx(folder, frames=60, lf=False)
    (folder / "csc").mkdir()
    FORMS["neuralynx"][1](folder / "csc")
    vendors.nwb(folder / "a.nwb")
    written(folder / "b.wav", 900, 1, 8)
    (folder / "bad.ns5").write_bytes(b"NEURALCD")
    runner = CliRunner()
    there = runner.invoke(app, ["compress", str(folder), f"{tmp_path}/there/", "--scheduler", "local", "--jobs", "2"])
    assert there.exit_code == 1 and "bad.ns5: cannot be read" in there.output, there.output
    alone = runner.invoke(app, ["compress", str(folder), f"{tmp_path}/alone/"])
    assert alone.exit_code == 1
    found = {p.relative_to(tmp_path / "alone"): p.read_bytes() for p in (tmp_path / "alone").rglob("*.spky")}
    assert found == {p.relative_to(tmp_path / "there"): p.read_bytes() for p in (tmp_path / "there").rglob("*.spky")}
    assert len(found) == 5
    back = runner.invoke(app, ["decompress", f"{tmp_path}/there", f"{tmp_path}/back/"])
    assert back.exit_code == 0, back.output
    for path in (path for path in folder.rglob("*") if path.is_file() and path.name not in ("bad.ns5", "a.nwb")):
        assert (tmp_path / "back/day" / path.relative_to(folder)).read_bytes() == path.read_bytes()
    again = runner.invoke(app, ["compress", str(folder), f"{tmp_path}/there/", "--scheduler", "local", "--jobs", "1"])
    assert again.exit_code == 1 and "exists" in again.output
    (folder / "bad.ns5").unlink()
    stream = ["--stream", "imec0.ap", "--scheduler", "local", "--jobs", "1"]
    one = runner.invoke(app, ["compress", str(folder), str(tmp_path / "ap.spky"), *stream])
    assert one.exit_code == 0, one.output
    refused = runner.invoke(app, ["compress", str(folder / "b.wav"), str(tmp_path / "b.spky"), *stream])
    assert refused.exit_code != 0


def test_a_trained_network_travels_with_the_tasks(client, tmp_path):
    from spikey.model.trained import named

    settings = Settings(model=named("n1-fixed"))
    path = written(tmp_path / "a.wav", 150_000, 1, 8)
    compress_file(path, tmp_path / "one.spky", settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dask_job, "WHOLE_BYTES", 0)
        spikey_dask.compress(path, tmp_path / "two.spky", settings=settings, client=client)
    assert (tmp_path / "two.spky").read_bytes() == (tmp_path / "one.spky").read_bytes()


def test_an_unexpected_failure_of_a_worker_is_a_sentence(client):
    class Owner:
        name = "day.wav"

    owner = Owner()
    window = dask_client.Window(client, iter([dask_client.Call(owner, int, ("no number",))]))
    with pytest.raises(SpikeyError, match=r"day\.wav: a worker failed with ValueError: invalid literal"):
        list(window.results(owner))
    window.close()


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """A recording of several tasks."""
    path = tmp_path_factory.mktemp("raw") / "long.raw"
    np.tile(simulate(50_000, 20, RATE, seed=7), (6, 1)).astype("<i2").tofile(path)
    return path


@pytest.mark.slow
def test_no_workers(raw, tmp_path, monkeypatch):
    """A cluster without workers is waited for, but only so long."""
    from distributed import LocalCluster

    monkeypatch.setattr(dask_client.Window.__init__, "__defaults__", (3.0,))
    with (
        LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as empty,
        spikey_dask.connect(empty.scheduler_address) as client,
        pytest.raises(spikey_dask.ClusterError, match="has had no workers for 3 seconds"),
    ):
        spikey_dask.compress(raw, tmp_path / "a.spky", settings=RAW, client=client)
    assert list(tmp_path.iterdir()) == []


def test_a_scheduler_that_dies_is_noticed(raw, tmp_path):
    """A scheduler and a worker as people start them, and both are killed in the middle."""
    import distributed

    program = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(tmp_path / "s.json")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    scheduler = subprocess.Popen([*program, *options], **quiet)
    worker_program = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1"]
    worker = subprocess.Popen([*worker_program, "--scheduler-file", str(tmp_path / "s.json")], **quiet)
    try:
        end = time.monotonic() + 30
        while not (tmp_path / "s.json").exists() and time.monotonic() < end:
            time.sleep(0.1)
        client = distributed.Client(scheduler_file=str(tmp_path / "s.json"), timeout=20)
        client.wait_for_workers(1, timeout=30)
        start = time.monotonic()
        with pytest.raises(spikey_dask.ClusterError, match="Dask scheduler"):
            spikey_dask.compress(
                raw, tmp_path / "a.spky", settings=RAW, client=client, progress=lambda _: scheduler.kill()
            )
        assert time.monotonic() - start < 30
        assert list(tmp_path.iterdir()) == [tmp_path / "s.json"]
        client.close(timeout=1)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()


def wait_for_line(process, text: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        line = process.stderr.readline()
        if text in line:
            return
    pytest.fail(f"{text} was not said in {seconds} seconds")


@pytest.mark.skipif(os.name != "posix", reason="signals to a group of processes")
def test_interrupted(raw, tmp_path):
    """Ctrl-C reaches the command and its workers alike; nothing is left, and what is said is one sentence."""
    options = ["--channels", "20", "--rate", str(RATE), "--dtype", "int16"]
    call = [sys.executable, "-m", "spikey", "compress", str(raw), str(tmp_path / "a.spky"), *options]
    process = subprocess.Popen(
        [*call, "--scheduler", "local"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_line(process, "dashboard", 60)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".*.part")) and time.monotonic() < deadline:  # kernels are loaded
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_zarr_chunk_by_chunk(client, folder, tmp_path):
    zarr = pytest.importorskip("zarr")
    out = tmp_path / "a.zarr"
    outcome = spikey_dask.to_zarr(folder / "long.wav", out, client=client)
    array = zarr.open(str(out), mode="r")
    with dask_tasks.open_recording(folder / "long.wav", Settings()) as source:
        assert np.array_equal(array[:], source.read(0, source.frames))
    assert array.chunks == (RATE, 20) and array.attrs["rate"] == RATE and outcome.ratio > 1.5
    with pytest.raises(UsageError, match="exists; a Zarr array is never replaced"):
        spikey_dask.to_zarr(folder / "long.wav", out, client=client)
    with pytest.raises(UsageError, match="preset"):
        spikey_dask.to_zarr(folder / "long.wav", tmp_path / "b.zarr", codec={"preset": "none"}, client=client)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("channels", [1, 4, 64, 5000])
@pytest.mark.parametrize("frames", [100, 70_000, 1_000_000])
@pytest.mark.parametrize("threads", [1, 2, 500])
def test_stretches_cover_a_recording_once_at_the_edges_of_blocks(channels, frames, threads):
    layout = Layout(channels, RATE, "int16")
    seen, last = 0, (0, 0)
    for rows, columns in stretches(layout, frames, threads):
        assert (rows.start, columns.start) >= last
        last = rows.start, columns.start
        seen += len(rows) * len(columns)
    assert seen == frames * channels

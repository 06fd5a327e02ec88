"""SpikeInterface and vendors' formats, against the real packages; the vendors' files are made by `kit/vendors.py`."""

from __future__ import annotations

import filecmp
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit import vendors
from kit.paths import DATA, SOURCE
from kit.vendor_files import FORMS
from kit.writing import write_file
from spikey.cli import app
from spikey.codec.method import LPC
from spikey.container.extra import Extra
from spikey.container.reader import Reader
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.integrations.vendors import take_inventory
from spikey.recording.layout import DTYPES
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate

si = pytest.importorskip("spikeinterface.core")
from spikeinterface.core import TimeSeriesChunkExecutor  # noqa: E402

from spikey.integrations.description import describe  # noqa: E402
from spikey.integrations.spikeinterface import _threads, read_spikey, write_spikey  # noqa: E402

LOCUST = DATA / "locust" / "locust_trial_01.raw"


def made(channels: int = 6, frames: tuple[int, ...] = (40_000, 25_000)) -> si.BaseRecording:
    """A recording of several segments with everything that SpikeInterface knows of one."""
    samples = [vendors.noise(count, channels, seed=seed) for seed, count in enumerate(frames)]
    recording = si.NumpyRecording(samples, 30_000.5, channel_ids=[f"AP{c}" for c in range(channels)])
    recording.set_dummy_probe_from_locations(np.column_stack([np.zeros(channels), 20.0 * np.arange(channels)]))
    recording.set_property("gain_to_uV", np.linspace(2, 3, channels))
    recording.set_property("offset_to_uV", np.full(channels, -0.1))
    recording.set_property("quality", np.array(["good", "dead", "µ"])[np.arange(channels) % 3])
    recording.set_property("maps", np.arange(2.0 * channels).reshape(channels, 2) * np.nan)
    recording.set_property("bad", np.arange(channels) % 2 == 0)
    recording.annotate(is_filtered=True, surgeon="none", counts=[0, 1, 2])
    recording.shift_times(12.5, segment_index=len(frames) - 1)
    return recording


def assert_same(found: si.BaseRecording, wanted: si.BaseRecording, segment: int | None = None) -> None:
    """Samples, ids, gains, offsets, properties, probe and times; `segment`: of `wanted`, the only one in `found`."""
    assert found.channel_ids.tolist() == wanted.channel_ids.tolist() and found.dtype == wanted.dtype
    assert found.sampling_frequency == wanted.sampling_frequency
    pairs = [(0, segment)] if segment is not None else [(s, s) for s in range(wanted.get_num_segments())]
    assert found.get_num_segments() == len(pairs)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(found.get_traces(ours), wanted.get_traces(theirs))
        assert found.get_start_time(ours) == wanted.get_start_time(theirs)
    assert set(found.get_property_keys()) == set(wanted.get_property_keys())
    for key in wanted.get_property_keys():
        np.testing.assert_array_equal(found.get_property(key), wanted.get_property(key))
    assert found.has_probe() == wanted.has_probe()
    if wanted.has_probe():
        ours, theirs = (each.get_probegroup().to_dict(array_as_list=True) for each in (found, wanted))
        assert json.dumps(ours, default=lambda item: item.tolist()) == json.dumps(
            theirs, default=lambda item: item.tolist()
        )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A recording, and the files it was written to."""
    recording = made()
    return recording, write_spikey(recording, tmp_path_factory.mktemp("pair") / "a.spky", threads=2)


def test_everything_is_kept(pair):
    recording, paths = pair
    assert [path.name for path in paths] == ["a_seg0.spky", "a_seg1.spky"]
    found = read_spikey(paths)
    assert_same(found, recording)
    assert found.get_annotation("surgeon") == "none" and found.get_annotation("counts") == [0, 1, 2]
    assert found.is_filtered()
    assert_same(read_spikey(paths[0].parent), recording)  # the folder of both


def test_traces_are_the_originals(pair):
    recording, paths = pair
    found = read_spikey([str(path) for path in paths])
    ids = ["AP5", "AP0", "AP3"]
    for arguments in (
        {"segment_index": 0, "start_frame": 30_000, "end_frame": 33_000},
        {"segment_index": 1, "start_frame": 24_990, "channel_ids": ids},
        {"segment_index": 0, "end_frame": 10, "channel_ids": ids[:1]},
        {"segment_index": 0, "start_frame": 500, "end_frame": 900, "return_in_uV": True},
        {"segment_index": 1, "start_frame": 7, "end_frame": 7},
        {"segment_index": 1, "start_frame": 0, "end_frame": 100, "order": "F"},
    ):
        np.testing.assert_array_equal(found.get_traces(**arguments), recording.get_traces(**arguments))
    selected = found.select_channels(ids)
    np.testing.assert_array_equal(selected.get_traces(1), recording.get_traces(1, channel_ids=ids))


def test_it_travels(pair, tmp_path):
    recording, paths = pair
    found = read_spikey(paths)
    assert_same(pickle.loads(pickle.dumps(found)), recording)
    assert_same(si.load(found.to_dict(include_properties=True, include_annotations=True)), recording)
    found.dump(tmp_path / "r.json")
    assert_same(si.load(tmp_path / "r.json"), recording)
    found.dump(tmp_path / "r.pkl")
    assert_same(si.load(tmp_path / "r.pkl"), recording)
    found.dump(paths[0].parent / "relative.json", relative_to=paths[0].parent)
    assert "a_seg0.spky" in (paths[0].parent / "relative.json").read_text()
    assert_same(si.load(paths[0].parent / "relative.json", base_folder=paths[0].parent), recording)


def test_saving_as_binary_with_processes(pair, tmp_path):
    recording, paths = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = read_spikey(paths).save(folder=tmp_path / "saved", n_jobs=2, chunk_size=5000, progress_bar=False)
    assert_same(saved, recording)
    loaded = si.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.get_traces(1), recording.get_traces(1))


def sums(segment_index: int, start_frame: int, end_frame: int, context: dict) -> tuple[int, int, int, bool]:
    """What a worker makes of a chunk: whether it reads with one thread as well."""
    traces = context["recording"].get_traces(segment_index, start_frame, end_frame)
    return segment_index, start_frame, int(traces.astype(np.int64).sum()), _threads() == 1


def opened(recording: si.BaseRecording | dict) -> dict:
    return {"recording": si.load(recording) if isinstance(recording, dict) else recording}


@pytest.mark.parametrize("engine", ["process", "thread"])
def test_workers_read_the_same(pair, engine):
    recording, paths = pair
    found = read_spikey(paths)
    found.get_traces(0, 0, 10)  # opened in the parent already
    executor = TimeSeriesChunkExecutor(
        found, sums, opened, (found,), n_jobs=2, chunk_size=7000, pool_engine=engine, handle_returns=True
    )
    for segment, start, total, single in executor.run():
        wanted = recording.get_traces(segment, start, start + 7000).astype(np.int64).sum()
        assert (total, single) == (wanted, True)
    assert _threads() == min(os.cpu_count() or 1, 8)


def test_a_forked_worker_opens_its_own(pair):
    import multiprocessing

    recording, paths = pair
    found = read_spikey(paths)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.starmap(found.get_traces, [(0, first, first + 500) for first in range(0, 40_000, 500)])
    np.testing.assert_array_equal(np.concatenate(results), recording.get_traces(0))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "int8"])
def test_types(dtype, tmp_path):
    samples = (vendors.noise(3000, 2).astype(np.int64) + (1000 if dtype == "uint16" else 0)).clip(-128, 2000)
    samples = samples.clip(*((-128, 127) if dtype == "int8" else (-(2**31), 2**31 - 1))).astype(dtype)
    recording = si.NumpyRecording([samples], 1000.0)
    found = read_spikey(write_spikey(recording, tmp_path / "a.spky"))
    assert_same(found, recording)
    assert found.dtype == dtype


def test_files_of_other_origin_open_too(tmp_path):
    samples = simulate(3000, 4, seed=1)
    (tmp_path / "a.spky").write_bytes(spikey.compress(samples, 19_531))
    found = read_spikey(tmp_path / "a.spky")
    assert found.channel_ids.tolist() == [0, 1, 2, 3] and found.sampling_frequency == 19_531
    np.testing.assert_array_equal(found.get_traces(channel_ids=[2, 0]), samples[:, [2, 0]])


@pytest.mark.parametrize(
    "changed",
    [{"columns": [0, 9]}, {"channel_ids": 3}, {"probe": {}}, {"properties": {"a": {"dtype": "x", "values": []}}}],
)
def test_metadata_that_describe_no_recording(changed, tmp_path):
    stream = describe(made(2, (50,)), 0, "", [0, 1]) | changed
    out = io.BytesIO()
    write_file(ArraySource(vendors.noise(50, 2), 1), out, LPC, extra=Extra({"streams": [stream]}))
    (tmp_path / "a.spky").write_bytes(out.getvalue())
    with pytest.raises(spikey.DataError, match="describe no recording"):
        read_spikey(tmp_path / "a.spky")


def test_over_an_address(pair):
    fsspec = pytest.importorskip("fsspec")
    recording, paths = pair
    for path in paths:
        fsspec.filesystem("memory").pipe(f"/{path.name}", path.read_bytes())
    found = read_spikey([f"memory://{path.name}" for path in paths])
    assert_same(found, recording)
    assert_same(si.load(found.to_dict(include_properties=True)), recording)


def test_what_does_not_fit_is_said(pair, tmp_path):
    recording, paths = pair
    with pytest.raises(spikey.DataError, match="does not exist"):
        read_spikey(tmp_path / "none.spky")
    with pytest.raises(spikey.UsageError, match="no files that end in .spky"):
        read_spikey(tmp_path)
    with pytest.raises(spikey.UsageError, match="no stream 'x'; there are"):
        read_spikey(paths, stream_name="x")
    other = write_spikey(made(5, (1000,)), tmp_path / "b.spky")
    with pytest.raises(spikey.UsageError, match="other channels"):
        read_spikey([paths[0], *other])
    with pytest.raises(spikey.DataError, match="samples of type complex64"):
        write_spikey(si.NumpyRecording([np.zeros((9, 2), np.complex64)], 1.0), tmp_path / "f.spky")
    with pytest.raises(spikey.UsageError, match="no preset 'quick'"):
        write_spikey(recording, tmp_path / "f.spky", preset="quick")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.spky"]


def test_what_json_cannot_hold_is_warned_of(tmp_path):
    recording = si.NumpyRecording([np.zeros((50, 2), np.int16)], 10.0)
    recording.set_property("when", np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]"))
    recording.annotate(thing=object())
    recording.set_times(np.arange(50) ** 1.5)
    with pytest.warns(UserWarning) as said:
        found = read_spikey(write_spikey(recording, tmp_path / "a.spky"))
    text = " ".join(str(each.message) for each in said)
    assert all(word in text for word in ("'when'", "'thing'", "times of the single frames"))
    assert "when" not in found.get_property_keys()


def test_a_recording_that_fails_half_way_leaves_nothing(tmp_path):
    class Failing(si.BaseRecordingSegment):
        def get_num_samples(self):
            return 100_000

        def get_traces(self, start_frame, end_frame, channel_indices):
            if start_frame > 50_000:
                raise RuntimeError("the disk is gone")
            return np.zeros((end_frame - start_frame, 2), np.int16)

    recording = si.BaseRecording(100.0, [0, 1], "int16")
    recording.add_recording_segment(Failing(sampling_frequency=100.0))
    with pytest.raises(spikey.DataError, match="cannot be read: the disk is gone"):
        write_spikey(recording, tmp_path / "a.spky")
    assert not list(tmp_path.iterdir())


def test_zarr_with_the_codec(pair, tmp_path):
    numcodecs = pytest.importorskip("numcodecs")
    try:
        codec = numcodecs.get_codec({"id": "spikey"})
    except Exception:
        pytest.skip("the numcodecs codec 'spikey' is not there")
    recording, paths = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = read_spikey(paths).save(
            folder=tmp_path / "saved.zarr",
            format="zarr",
            compressor=codec,
            n_jobs=2,
            chunk_size=8000,
            progress_bar=False,
        )
    assert_same(saved, recording)


@pytest.mark.data("locust/locust_trial_01.raw")
def test_a_real_recording(tmp_path):
    samples = np.fromfile(LOCUST, "<i2").reshape(-1, 4)[:150_000]
    recording = si.NumpyRecording([samples], 15_000.0, channel_ids=["a", "b", "c", "d"])
    paths = write_spikey(recording, tmp_path / "a.spky", preset="balanced")
    assert_same(read_spikey(paths), recording)
    assert paths[0].stat().st_size < samples.nbytes / 1.5


# ---------------------------------------------------------------- vendors' formats


def compressed(path: Path, out: Path, **options: str) -> dict[str, Path]:
    """Compress all parts of a vendor's folder or file, compare each stream; return what was written by name."""
    written = {}
    for item in take_inventory(path, **options).items:
        part = item.part
        target = out / f"{item.name}.spky"
        target.parent.mkdir(parents=True, exist_ok=True)
        part.compress(target, Settings())
        written[item.name] = target
        for stream in part.streams:
            assert_same(read_spikey(target, stream_name=stream.name), stream.recording, part.segment)
    return written


def run(*arguments: str | Path, status: int = 0) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        assert isinstance(done.exception, spikey.SpikeyError), done.exception
        assert done.exception.exit_status == status, done.exception
        return str(done.exception)
    assert done.exit_code == status, done.output
    return done.output


def assert_same_folders(one: Path, other: Path) -> None:
    names = {p.relative_to(one) for p in one.rglob("*") if p.is_file()}
    assert names == {p.relative_to(other) for p in other.rglob("*") if p.is_file()} and names
    for name in names:
        assert filecmp.cmp(one / name, other / name, shallow=False), name


def test_spikeglx(tmp_path):
    samples = vendors.spikeglx(tmp_path / "run")
    written = compressed(tmp_path / "run", tmp_path / "packed")
    assert set(written) == set(samples)
    for name, path in written.items():
        with Reader(path) as reader:
            np.testing.assert_array_equal(reader[:], samples[name])  # with the sync channel, or the digital word
            assert list(reader.files) == [name.replace(".bin", ".meta")]
    probe = next(path for name, path in written.items() if ".ap." in name)
    found = read_spikey(probe)
    assert found.get_num_channels() == 384 and found.channel_ids[0] == "imec0.ap#AP0"
    assert found.get_probe().annotations["part_number"] == "NP1010"
    assert read_spikey(probe, stream_name="imec0.ap-SYNC").get_traces().max() == 64


def test_spikeglx_there_and_back_by_command(tmp_path):
    vendors.spikeglx(tmp_path / "run", triggers=2, lf=False)
    assert "4 files" in run("compress", tmp_path / "run", tmp_path / "packed")
    for out in ("whole", "again"):
        run("decompress", tmp_path / "packed", tmp_path / out)
        assert_same_folders(tmp_path / "run", tmp_path / out / "run")
    from spikeinterface.extractors import read_spikeglx

    original = read_spikeglx(tmp_path / "whole" / "run", stream_name="imec0.ap")  # restored, read by the real reader
    assert_same(read_spikey(tmp_path / "packed", stream_name="imec0.ap"), original)


def test_one_stream_of_spikeglx(tmp_path):
    samples = vendors.spikeglx(tmp_path / "run")
    home = tmp_path / "run" / "run_g0"
    said = run("compress", home, tmp_path / "a.spky", status=2)
    assert "contains 3 recordings" in said and "imec0.ap, imec0.ap-SYNC, imec0.lf, imec0.lf-SYNC, nidq" in said
    assert "no stream 'imec1.ap'" in run("compress", home, tmp_path / "a.spky", "--stream", "imec1.ap", status=2)
    assert not (tmp_path / "a.spky").exists()
    run("compress", home, tmp_path / "a.spky", "--stream", "imec0.ap")
    assert "run_g0_t0.imec0.ap.meta" in run("decompress", tmp_path / "a.spky", tmp_path / "a.bin")
    name = next(name for name in samples if ".ap." in name)
    assert (tmp_path / "a.bin").read_bytes() == samples[name].tobytes()
    run("compress", tmp_path / "run" / name, tmp_path / "b.spky")  # the file itself
    with Reader(tmp_path / "b.spky") as reader:
        np.testing.assert_array_equal(reader[:], samples[name])


def test_open_ephys_there_and_back(tmp_path):
    samples = vendors.open_ephys(tmp_path / "session", recordings=2)
    written = compressed(tmp_path / "session", tmp_path / "packed")
    assert set(written) == set(samples)
    for name, path in written.items():
        with Reader(path) as reader:
            np.testing.assert_array_equal(reader[:], samples[name])
            assert len(reader.files) == (2 if "Neuropix" in name else 7 + ("recording1" in name))  # shared ones once
    adc = read_spikey(tmp_path / "packed", stream_name="Record Node 101#Acquisition_Board-100.Rhythm Data_ADC")
    assert adc.channel_ids.tolist() == ["ADC1", "ADC2"] and adc.get_num_segments() == 2
    run("decompress", tmp_path / "packed", f"{tmp_path}/back/")
    assert_same_folders(tmp_path / "session", tmp_path / "back")


def test_intan(tmp_path):
    samples = vendors.intan(tmp_path / "a.rhd")
    (path,) = compressed(tmp_path / "a.rhd", tmp_path / "packed").values()
    np.testing.assert_array_equal(read_spikey(path).get_traces(), samples)
    assert read_spikey(path).channel_ids.tolist() == ["A-000", "A-001", "A-002", "A-003"]
    run("compress", tmp_path / "a.rhd", tmp_path / "a.spky")
    run("decompress", tmp_path / "a.spky", tmp_path / "b.rhd")
    assert (tmp_path / "b.rhd").read_bytes() == (tmp_path / "a.rhd").read_bytes()


def test_intan_in_a_file_per_signal(tmp_path):
    samples = vendors.intan_folder(tmp_path / "session")
    (name,) = compressed(tmp_path / "session", tmp_path / "packed")
    assert name == "amplifier.dat"
    with Reader(tmp_path / "packed" / "amplifier.dat.spky") as reader:
        np.testing.assert_array_equal(reader[:], samples)
    run("decompress", tmp_path / "packed", tmp_path / "back")
    assert_same_folders(tmp_path / "session", tmp_path / "back")


def test_blackrock_comes_back_whole(tmp_path):
    samples = vendors.blackrock(tmp_path / "a.ns5")
    (path,) = compressed(tmp_path / "a.ns5", tmp_path / "packed").values()
    np.testing.assert_array_equal(read_spikey(path).get_traces(), samples)
    run("decompress", path, f"{tmp_path}/back/")
    assert (tmp_path / "back/a.ns5").read_bytes() == (tmp_path / "a.ns5").read_bytes()


@pytest.mark.parametrize("form", ["edf", "bdf", "brainvision", "micromed"])
def test_names_and_gains_that_spikey_reads_itself(form, tmp_path):
    (tmp_path / "in").mkdir()
    FORMS[form][1](tmp_path / "in")
    (path,) = compressed(tmp_path / "in", tmp_path / "packed").values()
    found = read_spikey(path)
    names, gain, offset = {
        "edf": (["Fp1", "Fp2", "C3"], 0.1, 0.0),
        "bdf": (["Fp1", "Fp2", "C3"], 0.1, 0.0),
        "brainvision": (["E1", "E2", "E3", "E4"], 0.1, 0.0),
        "micromed": (["E0", "E1", "E2", "E3", "E4"], 6400 / 65536, -3200.0),
    }[form]
    assert found.channel_ids.tolist() == names == found.get_property("channel_name").tolist()
    np.testing.assert_allclose(found.get_channel_gains(), gain)
    np.testing.assert_allclose(found.get_channel_offsets(), offset, atol=1e-9)


def test_nwb(tmp_path):
    pytest.importorskip("pynwb")
    samples = vendors.nwb(tmp_path / "a.nwb")
    (path,) = compressed(tmp_path / "a.nwb", tmp_path / "packed").values()
    found = read_spikey(path)
    np.testing.assert_array_equal(found.get_traces(), samples)
    np.testing.assert_allclose(found.get_property("gain_to_uV"), 0.2)
    samples = vendors.nwb(tmp_path / "f.nwb", dtype="float64")
    if "float64" in DTYPES:
        (path,) = compressed(tmp_path / "f.nwb", tmp_path / "packed").values()
        np.testing.assert_array_equal(read_spikey(path).get_traces(), samples)
    else:
        assert "float64" in run("compress", tmp_path / "f.nwb", tmp_path / "f.spky", status=1)


def test_what_spikeinterface_saved(tmp_path):
    recording = made(3, (2000,))
    recording.save(folder=tmp_path / "saved", progress_bar=False, verbose=False)
    (name,) = compressed(tmp_path / "saved", tmp_path / "packed")
    assert name == "traces_cached_seg0.raw"
    run("decompress", tmp_path / "packed", tmp_path / "back")
    assert_same_folders(tmp_path / "saved", tmp_path / "back")
    assert_same(si.load(tmp_path / "back"), si.load(tmp_path / "saved"))


def test_folders_of_files_and_several_inputs(tmp_path):
    for name in ("a/1.rhd", "a/b/2.rhd", "3.ns5"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (vendors.intan if name.endswith("rhd") else vendors.blackrock)(tmp_path / name)
    assert "3 files" in run("compress", tmp_path / "a", tmp_path / "3.ns5", f"{tmp_path}/out/")
    names = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.spky")}
    assert names == {"a/1.rhd.spky", "a/b/2.rhd.spky", "3.ns5.spky"}


def test_bad_vendors_files_are_said(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("nothing")
    (tmp_path / "a.rhd").write_bytes(b"abc" * 100)
    (tmp_path / "a.dat").write_bytes(bytes(100))
    vendors.spikeglx(tmp_path / "cut", lf=False, nidq=False)
    meta = next((tmp_path / "cut").rglob("*.meta"))
    meta.write_text("once upon a time")
    out = tmp_path / "out"
    for name, why in (("text", "contains no"), ("a.rhd", "cannot be"), ("a.dat", "contains no"), ("cut", "cannot be")):
        said = run("compress", tmp_path / name, out, status=1)
        assert str(tmp_path / name) in said and f"{why} " in said and "\n" not in said
    assert "give --channels" in run("compress", tmp_path / "a.dat", out, status=1)
    assert "no reader 'x'" in run("compress", tmp_path / "a.rhd", out, "--reader", "x", status=2)
    assert "does not exist" in run("compress", tmp_path / "none", out, "--reader", "intan", status=1)
    raw = ("--channels", "1", "--rate", "1", "--dtype", "int16")
    assert "--stream" in run("compress", tmp_path / "a.dat", out, *raw, "--stream", "x", status=2)
    assert not out.exists()


def test_a_file_that_ends_too_early_comes_back_as_it_is(tmp_path):
    samples = vendors.blackrock(tmp_path / "a.ns5")
    data = (tmp_path / "a.ns5").read_bytes()[: -samples.nbytes // 2]
    (tmp_path / "a.ns5").write_bytes(data)
    run("compress", tmp_path / "a.ns5", tmp_path / "a.spky")
    run("decompress", tmp_path / "a.spky", tmp_path / "b.ns5")
    assert (tmp_path / "b.ns5").read_bytes() == data


def test_without_spikeinterface(tmp_path):
    """As a real process in which SpikeInterface cannot be imported."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.nwb").write_bytes(bytes(100))
    (tmp_path / "a.dat").write_bytes(bytes(100))
    block = (
        "import sys, importlib.util as u; f = u.find_spec; "
        "u.find_spec = lambda n, *a: None if n == 'spikeinterface' else f(n, *a); "
        "sys.modules['spikeinterface'] = sys.modules['spikeinterface.core'] = None; "
        "from spikey.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    for name, options, status, says in (
        ("folder", [], 2, "contains no files"),
        ("a.nwb", [], 2, 'pip install -e ".[spikeinterface]"'),
        ("a.nwb", ["--reader", "nwb"], 2, 'pip install -e ".[spikeinterface]"'),
        ("a.dat", [], 1, "give --channels"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", block, "compress", str(tmp_path / name), str(tmp_path / "o.spky"), *options],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
        assert done.returncode == status and says in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"spikey: {tmp_path / name}")


def test_plain_files_never_import_it(tmp_path):
    from spikey.recording.wav import canonical_head

    layout = spikey.container.writer.Layout(1, 20_000, "int16")
    (tmp_path / "a.wav").write_bytes(canonical_head(layout, 30) + vendors.noise(30, 1).tobytes())
    compress_file(tmp_path / "a.wav", tmp_path / "a.spky")
    script = (
        "import sys; sys.argv = ['spikey', 'info', sys.argv[1]]\n"
        "import atexit; atexit.register(lambda: print('imported', 'spikeinterface' in sys.modules))\n"
        "from spikey.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", script, str(tmp_path / "a.spky")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.endswith("imported False\n"), done.stdout + done.stderr

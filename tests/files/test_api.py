"""What `import spikey` offers: compress, decompress, open, and errors that say what is wrong."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import spikey
from kit.paths import SOURCE
from spikey.base import jit_cache as kernel_cache
from spikey.model.calibration import Calibration, n1
from spikey.recording.simulate import simulate

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32"]


@given(
    hnp.arrays(
        st.sampled_from(DTYPES).flatmap(lambda name: st.just(np.dtype(name))),
        st.tuples(st.integers(0, 60), st.integers(1, 4)),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_samples_come_back(samples):
    recording = spikey.decompress(spikey.compress(samples, rate=30_000, preset="fast"))
    assert recording.samples.dtype == samples.dtype
    np.testing.assert_array_equal(recording.samples, samples)
    assert (recording.rate, recording.channels) == (30_000, samples.shape[1])


@pytest.mark.parametrize("length", [0, 1, 2, 3, 255, 256, 257, 512, 513])
def test_lengths_of_one_channel(length):
    samples = simulate(length, seed=length)[:, 0]
    data = spikey.compress(samples, 19_531)
    assert spikey.decompress(data).samples.tobytes() == samples.tobytes()
    with spikey.open(data) as reader:
        assert reader.shape == (length, 1) and reader.dtype == np.int16


@pytest.mark.parametrize(
    "arranged", [np.asfortranarray, lambda x: x[::2, ::-1], lambda x: x.astype(">i2"), lambda x: x.tolist()]
)
def test_any_arrangement_in_memory(arranged):
    samples = arranged(simulate(400, 3, seed=2))
    if isinstance(samples, list):
        samples = np.array(samples, dtype=np.int32)
    np.testing.assert_array_equal(spikey.decompress(spikey.compress(samples, 1)).samples, samples)


def test_presets_calibrations_and_threads():
    samples = simulate(3000, seed=3)
    sizes = {}
    for preset in ("fast", "balanced"):
        for name, calibration in (("auto", "auto"), ("none", None), ("given", n1())):
            data = spikey.compress(samples, 20_000, preset, calibration, jobs=2)
            np.testing.assert_array_equal(spikey.decompress(data, jobs=2).samples, samples)
            sizes[preset, name] = len(data)
    assert sizes["balanced", "auto"] == sizes["balanced", "given"]
    assert spikey.compress(samples, 20_000) == spikey.compress(samples, 20_000, "fast")


def test_from_a_path(tmp_path):
    samples = simulate(100, 2, seed=1)
    path = tmp_path / "a.spky"
    path.write_bytes(spikey.compress(samples, 20_000))
    for form in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes())):
        np.testing.assert_array_equal(spikey.decompress(form).samples, samples)
        np.testing.assert_array_equal(spikey.open(form)[10:20, 1], samples[10:20, 1])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((np.zeros(5, np.float16), 1), "float16"),
        ((np.zeros(5, np.int64), 1), "int64"),
        ((np.zeros(5, bool), 1), "bool"),
        ((np.zeros((2, 2, 2), np.int16), 1), "shape"),
        ((np.zeros((2, 0), np.int16), 1), "channel"),
        ((np.int16(3), 1), "shape"),
        (([1, 2.5j], 1), "complex128"),
        ((np.zeros(5, np.int16), -1), "rate"),
        ((np.zeros(5, np.int16), float("nan")), "rate"),
        ((np.zeros(5, np.int16), 1, "quick"), "fast"),
    ],
)
def test_wrong_calls_say_what_is_wrong(arguments, says):
    with pytest.raises(spikey.UsageError, match=says):
        spikey.compress(*arguments)


def test_wrong_data_say_what_is_wrong(tmp_path):
    for data, says in [(b"", "is empty"), (b"RIFF", "not a Spikey file"), (tmp_path / "none", "does not exist")]:
        with pytest.raises(spikey.DataError, match=says) as error:
            spikey.decompress(data)
        assert isinstance(error.value, spikey.SpikeyError)
    data = bytearray(spikey.compress(simulate(200, seed=1), 20_000))
    data[-9] ^= 4
    with pytest.raises(spikey.DamagedError) as damage:
        spikey.decompress(bytes(data))
    assert damage.value.ranges == [(0, 200, 0, 1)]


def test_a_users_calibration_travels_with_the_file():
    # Every second code twice as wide as the others.
    edges = np.concatenate([[0], np.cumsum(np.tile([86, 43], 50))])[:101].astype(np.int32)
    prior = np.array([2, -1, 0], np.int32) << 16  # of the differences of white noise
    mine = Calibration(edges, prior, metadata={"levels": "affine", "offset": -50, "step": 2})
    position = np.random.default_rng(0).normal(3200, 600, 80_000)
    samples = (np.clip(np.searchsorted(edges, position) - 1, 0, 99) * 2 - 50).astype(np.int16)
    data = spikey.compress(samples, 20_000, "fast", mine)
    assert len(data) < len(spikey.compress(samples, 20_000, "fast", None))
    with spikey.open(data) as reader:
        assert reader.header.calibration == mine.id
        np.testing.assert_array_equal(reader[:, 0], samples)


def test_importing_is_light():
    script = (
        "import sys, spikey; print(sorted({'numpy', 'numba', 'typer', 'yaml'} & set(sys.modules)), "
        "sorted(name for name in sys.modules if name.startswith('spikey')), spikey.__version__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"[] ['spikey'] {spikey.__version__}\n"


def test_public_names_are_these_and_each_is_there():
    assert spikey.__all__ == [
        "Archive",
        "DamagedError",
        "DataError",
        "Decoder",
        "Encoder",
        "Gap",
        "Missing",
        "PacketContents",
        "QueueFullError",
        "Reader",
        "Recording",
        "Segment",
        "SpikeyError",
        "Telemetry",
        "TelemetryDecoder",
        "TelemetryEncoder",
        "TelemetrySettings",
        "UsageError",
        "Writer",
        "compress",
        "create",
        "decompress",
        "iter_telemetry",
        "open",
        "open_archive",
        "read_key",
        "read_telemetry",
    ]
    namespace = {}
    exec("from spikey import *", namespace)
    assert set(spikey.__all__) <= set(namespace) and set(spikey.__all__) <= set(dir(spikey))
    with pytest.raises(AttributeError, match="'spikey' has no attribute 'nothing'"):
        _ = spikey.nothing


def test_the_version_is_that_of_the_installed_package():
    assert importlib.metadata.version("spikey-codec") == spikey.__version__


def test_kernels_of_other_sources_are_cleared(tmp_path):
    tag = f"py{sys.version_info.major}{sys.version_info.minor}"
    stamp = kernel_cache.STAMP
    mine = [f"loop.run-7.{tag}.{stamp}.nbi", f"loop.run-7.{tag}.{stamp}.1.nbc", "other.nbi", "a.pyc"]
    stale = [f"loop.run-9.{tag}.0123456789ab.nbi", f"loop.run-9.{tag}.0123456789ab.12.nbc"]
    for name in mine + stale:
        (tmp_path / name).touch()
    kernel_cache.clear(str(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(mine)

"""The numcodecs codec: numcodecs' own test kit, Zarr 2 arrays, SpikeInterface's and NWB's ways to use them."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kit.paths import GOLDEN

numcodecs = pytest.importorskip("numcodecs")
kit = pytest.importorskip("numcodecs.tests.common")

from spikey.base.errors import DamagedError, DataError, UsageError  # noqa: E402
from spikey.integrations.numcodecs import Spikey  # noqa: E402
from spikey.recording.simulate import simulate  # noqa: E402

FOLDER = GOLDEN / "chunks"
CODECS = [Spikey(), Spikey(preset="balanced"), Spikey(calibration="none", jobs=2, verify=False)]
ARRAYS = [
    np.arange(1000, dtype="i4"),
    np.linspace(1000, 1001, 1000, dtype="f8"),
    simulate(500, 6, seed=1),
    np.asfortranarray(simulate(500, 6, seed=2)),
    simulate(500, 6, seed=3).astype("u2").reshape(500, 3, 2),
    np.random.default_rng(0).integers(0, 200, size=1000, dtype="u1"),
    np.random.default_rng(0).integers(-(2**63), -(2**63) + 20, size=500, dtype="i8").view("M8[ns]"),
    np.random.default_rng(0).integers(0, 2, size=300).astype(bool),
    np.array([b"ab", b"cde"] * 20),
]
FIXTURES = [ARRAYS[index][:100] for index in (0, 1, 2, 6)]
FIXTURES.append(np.asfortranarray(FIXTURES[2]))


@pytest.mark.parametrize(("array", "codec"), list(itertools.product(ARRAYS, CODECS)))
def test_encode_decode(array, codec):
    kit.check_encode_decode(array, codec)
    kit.check_encode_decode_array(array, codec)


def test_config():
    for codec in CODECS:
        kit.check_config(codec)
    assert Spikey().get_config() == {"id": "spikey"}
    assert numcodecs.get_codec({"id": "spikey", "preset": "balanced"}) == CODECS[1]


def test_repr():
    assert repr(Spikey()) == "Spikey()"
    for codec in CODECS:
        assert eval(repr(codec)) == codec


def test_chunks_of_earlier_versions(monkeypatch):
    """numcodecs' convention: arrays, configurations and encoded bytes in a folder `fixture`, made where missing."""
    monkeypatch.chdir(FOLDER)
    assert len(list(Path("fixture/spikey").glob("codec.*/encoded.*.dat"))) == len(CODECS) * len(FIXTURES)
    kit.check_backwards_compatibility("spikey", FIXTURES, CODECS)


def test_objects():
    with pytest.raises(TypeError):
        Spikey().encode(np.array(["foo", "bar", None], dtype=object))
    kit.check_err_decode_object_buffer(Spikey())


def test_out_of_the_wrong_size_is_refused():
    encoded = Spikey().encode(ARRAYS[2])
    with pytest.raises(DataError, match="expected"):
        Spikey().decode(encoded, out=np.empty((499, 6), "i2"))


def test_the_package_is_found_without_importing_it():
    program = "import numcodecs; print(numcodecs.get_codec({'id': 'spikey'}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Spikey()"


def test_few_modules_of_the_package_are_loaded_and_numba_late():
    """A codec in someone's pipeline loads what a chunk needs, and compiled code when there is something to code."""
    program = """
import sys
import numpy as np
from spikey.integrations.numcodecs import Spikey

codec, array = Spikey(), (np.arange(4000) % 97).astype("<i2").reshape(1000, 4)
assert "numba" not in sys.modules, "Numba is imported with the codec"
encoded = codec.encode(array)
assert "numba" in sys.modules, "nothing has been compiled"
assert (codec.decode(encoded) == array).all()
found = sorted(m for m in sys.modules if m == "spikey" or m.startswith("spikey."))
assert len(found) <= 78, f"{len(found)} modules: {' '.join(found)}"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr


def test_a_configuration_of_the_future():
    with pytest.raises(UsageError, match="git pull, then pip install -e"):
        numcodecs.get_codec({"id": "spikey", "lookahead": 3})


# --- Zarr's format 2, by either version of zarr-python ---


def _zarr2(path: Path, array: np.ndarray, order: str, codec: Spikey, chunks: tuple[int, ...]) -> None:
    zarr = pytest.importorskip("zarr")
    if zarr.__version__.startswith("2."):
        options = {"mode": "w", "compressor": codec}
        stored = zarr.open(str(path), shape=array.shape, dtype=array.dtype, chunks=chunks, order=order, **options)
    else:
        options = {"zarr_format": 2, "compressors": codec}
        stored = zarr.create_array(
            str(path), shape=array.shape, dtype=array.dtype, chunks=chunks, order=order, **options
        )
    stored[:] = array


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i2", ">u2", "<f4", "<i8", "M8[s]"])
def test_zarr_2_arrays(tmp_path, order, dtype):
    zarr = pytest.importorskip("zarr")
    array = (simulate(2500, 5, seed=4).astype("i4") + 9999).astype(dtype)
    _zarr2(tmp_path / "a", array, order, Spikey(), (1000, 5))
    stored = zarr.open(str(tmp_path / "a"), mode="r+")
    np.testing.assert_array_equal(stored[:], array)
    np.testing.assert_array_equal(stored[900:1100, 2], array[900:1100, 2])
    stored[990:1010, 3] = array[:20, 3]
    array[990:1010, 3] = array[:20, 3]
    np.testing.assert_array_equal(zarr.open(str(tmp_path / "a"), mode="r")[:], array)
    meta = json.loads((tmp_path / "a" / ".zarray").read_text())
    assert (meta["compressor"], meta["order"]) == ({"id": "spikey"}, order)


def _golden_array() -> np.ndarray:
    time = np.arange(700)[:, None]
    return (200 * np.sin(time / (5 + np.arange(3)))).astype("<i2")


@pytest.mark.parametrize("name", ["zarr2", "zarr2_fortran"])
def test_arrays_that_zarr_python_2_wrote_are_read(name):
    zarr = pytest.importorskip("zarr")
    np.testing.assert_array_equal(zarr.open(str(FOLDER / name), mode="r")[:], _golden_array())


def test_a_damaged_chunk_on_disk(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = simulate(2000, 2, seed=5)
    _zarr2(tmp_path / "a", array, "C", Spikey(), (1000, 2))
    chunk = tmp_path / "a" / "1.0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    stored = zarr.open(str(tmp_path / "a"), mode="r")
    np.testing.assert_array_equal(stored[:1000], array[:1000])
    with pytest.raises(DamagedError, match="restore it from a copy"):
        stored[1500]
    chunk.write_bytes(b"")
    with pytest.raises(DataError):
        stored[1500]


# --- SpikeInterface and NWB, which use Zarr's format 2 ---


def test_spikeinterface_saves_and_loads(tmp_path):
    core = pytest.importorskip("spikeinterface.core")
    segments = [simulate(6000, 4, seed=6), simulate(3000, 4, seed=7)]
    recording = core.NumpyRecording(segments, sampling_frequency=20_000)
    options = {"n_jobs": 1, "chunk_size": 2000, "verbose": False}
    recording.save(format="zarr", folder=tmp_path / "a.zarr", compressor=Spikey(), **options)
    loaded = core.load(tmp_path / "a.zarr")
    for index, segment in enumerate(segments):
        np.testing.assert_array_equal(loaded.get_traces(segment_index=index), segment)


def test_nwb_through_hdmf_zarr(tmp_path):
    hdmf_zarr = pytest.importorskip("hdmf_zarr")
    pynwb = pytest.importorskip("pynwb")
    array = simulate(5000, 4, seed=8)
    file = pynwb.NWBFile("a test", "1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    data = hdmf_zarr.ZarrDataIO(array, chunks=(2500, 4), compressor=Spikey())
    file.add_acquisition(pynwb.TimeSeries(name="raw", data=data, unit="V", rate=20_000.0))
    with hdmf_zarr.NWBZarrIO(str(tmp_path / "a.nwb.zarr"), "w") as io:
        io.write(file)
    with hdmf_zarr.NWBZarrIO(str(tmp_path / "a.nwb.zarr"), "r") as io:
        read = io.read().acquisition["raw"].data
        assert read.compressor == Spikey()
        np.testing.assert_array_equal(read[:], array)


if __name__ == "__main__":  # with zarr-python 2
    os.chdir(FOLDER)
    kit.check_backwards_compatibility("spikey", FIXTURES, CODECS)
    for name, order in (("zarr2", "C"), ("zarr2_fortran", "F")):
        if not (FOLDER / name).exists():
            _zarr2(FOLDER / name, _golden_array(), order, Spikey(), (400, 3))

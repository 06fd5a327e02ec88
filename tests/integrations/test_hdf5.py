"""The HDF5 filter, against h5py: datasets of every type, other filters beside it, NWB, failures on either side of C."""

from __future__ import annotations

import datetime
import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

import spikey.integrations.hdf5  # noqa: E402
from spikey.base.errors import DataError, UsageError  # noqa: E402
from spikey.integrations import hdf5  # noqa: E402
from spikey.integrations.hdf5 import FILTER_ID, Filter  # noqa: E402
from spikey.recording.simulate import simulate  # noqa: E402

DTYPES = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">u4", "i8", "f4", ">f8", "c8", "?", "S5", "i2,f8"]


def _of(dtype: str, channels: int = 5) -> np.ndarray:
    array = simulate(2500, channels, seed=1)
    if "," in dtype:
        made = np.zeros(array.shape, dtype)
        made["f0"] = array
        return made
    return array.astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_datasets(tmp_path, dtype):
    array = _of(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=(1000, 5), **Filter())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        dataset = file["a"]
        assert list(dataset._filters) == [str(FILTER_ID)]
        assert dataset.id.get_storage_size() < array.nbytes
        assert all(not dataset.id.get_chunk_info(k).filter_mask for k in range(3))  # none stored as it is
        assert dataset[:].tobytes() == array.tobytes()
        assert dataset[990:1010, 2].tobytes() == array[990:1010, 2].tobytes()
        dataset[5:1300, 1] = array[:1295, 1]
    array[5:1300, 1] = array[:1295, 1].copy()
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["a"][:].tobytes() == array.tobytes()


@pytest.mark.parametrize("options", [{"preset": "balanced"}, {"jobs": 2}, {"model": "n1-fixed"}, {"verify": False}])
def test_options(tmp_path, options):
    array = simulate(2000, 40, seed=2)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=(1000, 40), **Filter(**options))
        values = file["a"]._filters[str(FILTER_ID)]
        if len(values) <= 16 or h5py.version.version_tuple >= (3, 16):  # older ones show the first 16 alone
            assert hdf5.from_values(values) == {"options": options, "dtype": "<i2", "chunk": [1000, 40]}
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["a"][:], array)


@pytest.mark.parametrize("shape", [(5000,), (40, 50, 7), (1, 3000)])
def test_any_number_of_axes(tmp_path, shape):
    array = np.resize(simulate(5000, 1, seed=3), shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=True, **Filter())
        file.flush()
        np.testing.assert_array_equal(file["a"][:], array)


def test_growing_dataset_and_chunks_that_stick_out(tmp_path):
    array = simulate(2500, 3, seed=4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", (0, 3), "i2", chunks=(700, 2), maxshape=(None, 3), **Filter())
        for first in range(0, 2500, 500):
            dataset.resize(first + 500, axis=0)
            dataset[first:] = array[first : first + 500]
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["a"][:], array)


def test_beside_other_filters(tmp_path):
    array = simulate(2000, 3, seed=5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=(1000, 3), shuffle=True, fletcher32=True, **Filter())
        file.create_dataset("b", data=array, chunks=(1000, 3), compression=FILTER_ID)  # without parameters
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["a"][:], array)
        np.testing.assert_array_equal(file["b"][:], array)


def test_ratio_is_that_of_the_codec(tmp_path):
    array = simulate(20_000, 4, seed=6)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=(20_000, 4), **Filter())
        file.flush()
        assert file["a"].id.get_storage_size() < len(spikey.compress(array, 20_000, "fast", calibration="none")) + 100


def _damaged(path, index: int = 1) -> None:
    with h5py.File(path) as file:
        chunk = file["a"].id.get_chunk_info(index)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)


def test_damage_loses_its_chunk_alone_and_says_why(tmp_path, caplog):
    array = simulate(3000, 3, seed=7)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=array, chunks=(1000, 3), **Filter())
    _damaged(path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["a"][:1000], array[:1000])
        with pytest.raises(OSError, match="filter returned failure|damaged"):
            file["a"][1500]
        assert "restore it from a copy" in spikey.integrations.hdf5.last_error()
        assert "restore it from a copy" in caplog.text
        np.testing.assert_array_equal(file["a"][2000:], array[2000:])


def test_a_chunk_that_cannot_be_encoded_is_stored_as_it_is(tmp_path, monkeypatch, caplog):
    """HDF5 does so with optional filters, and h5py declares all as optional: nothing is lost."""
    array = simulate(2000, 3, seed=8)

    def fails(content, options):
        raise MemoryError("no room")

    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", array.shape, "i2", chunks=(1000, 3), **Filter())
        dataset[:1000] = array[:1000]
        file.flush()
        monkeypatch.setattr(hdf5, "encode_chunk", fails)
        dataset[1000:] = array[1000:]
        file.flush()
        assert [dataset.id.get_chunk_info(k).filter_mask for k in range(2)] == [0, 1]
    assert "no room" in caplog.text
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["a"][:], array)


def test_parameters_that_are_not_ours_are_refused(tmp_path):
    with (
        h5py.File(tmp_path / "a.h5", "w") as file,
        pytest.raises(ValueError, match="not those of Spikey's"),
    ):
        file.create_dataset("a", (10,), "i2", chunks=(5,), compression=FILTER_ID, compression_opts=(3, 4))
    for values in ((2, 32123), (0,), (99, 1)):  # {}, nothing, and less than is said
        with pytest.raises(DataError, match="damaged"):
            hdf5.from_values(values)


def test_impossible_options_are_refused_at_once():
    with pytest.raises(UsageError, match="fast, balanced"):
        Filter(preset="quick")
    with pytest.raises(UsageError, match="none-such"):
        Filter(model="none-such")
    with pytest.raises(UsageError, match="none-such.safetensors: no such file"):
        Filter(calibration="none-such.safetensors")


def test_a_file_left_open_is_complete(tmp_path):
    """What is still in caches when Python ends is written before the filter goes."""
    program = (
        "import sys, h5py, numpy, spikey.integrations.hdf5\n"
        "file = h5py.File(sys.argv[1], 'w')\n"
        "array = numpy.arange(60000, dtype='i2').reshape(3000, 20)\n"
        "dataset = file.create_dataset('a', data=array, chunks=(1000, 20), **spikey.integrations.hdf5.Filter(jobs=2))\n"
        "dataset[:, 3] = 7\n"
    )
    path = tmp_path / "a.h5"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with h5py.File(path) as file:
        dataset = file["a"]
        wanted = np.arange(60000, dtype="i2").reshape(3000, 20)
        wanted[:, 3] = 7
        np.testing.assert_array_equal(dataset[:], wanted)
        assert not any(dataset.id.get_chunk_info(k).filter_mask for k in range(3))


def test_without_the_import_reading_fails_and_nothing_else(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=simulate(1000, 2, seed=9), chunks=(1000, 2), **Filter())
    program = "import sys, h5py; h5py.File(sys.argv[1])['a'][:]"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.h5")], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError: Can't" in done.stderr


def test_garbage_of_other_files_cannot_block_the_filter(tmp_path, monkeypatch):
    """Objects of h5py that the codec's threads happened to collect would wait for a lock that is held for them."""
    threshold, waited, original = gc.get_threshold(), [], hdf5.encode_chunk

    def encode(content, options):
        thread = threading.Thread(target=lambda: (gc.set_threshold(1, 1, 1), [[] for _ in range(10_000)]), daemon=True)
        thread.start()
        thread.join(timeout=5)
        waited.append(thread.is_alive())
        gc.set_threshold(*threshold)
        return original(content, options)

    monkeypatch.setattr(hdf5, "encode_chunk", encode)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", (1000, 4), "i2", chunks=(1000, 4), **Filter())
        gc.collect()
        gc.set_threshold(1_000_000)
        try:
            litter: dict = {"file": h5py.File(tmp_path / "litter.h5", "w", driver="core", backing_store=False)}
            litter["self"] = litter
            del litter
            dataset[:] = simulate(1000, 4, seed=10)
            file.flush()
        finally:
            gc.set_threshold(*threshold)
    assert waited == [False]


def test_nwb(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    from hdmf.backends.hdf5.h5_utils import H5DataIO

    array = simulate(5000, 4, seed=11)
    file = pynwb.NWBFile("a test", "1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    with pytest.warns(UserWarning, match="compression may not be available"):
        data = H5DataIO(array, chunks=(2500, 4), allow_plugin_filters=True, **Filter())
    file.add_acquisition(pynwb.TimeSeries(name="raw", data=data, unit="V", rate=20_000.0))
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(file)
    with pynwb.NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
        read = io.read().acquisition["raw"].data
        assert list(read._filters) == [str(FILTER_ID)]
        np.testing.assert_array_equal(read[:], array)


def many_channels() -> np.ndarray:
    """Chunks of it have three groups of channels."""
    return simulate(3000, 80, seed=6)


SELECTIONS = [
    np.s_[:, 7],
    np.s_[100:2400, [5, 3, 9]],
    np.s_[::7, ::50],
    np.s_[5],
    np.s_[5:9],
    np.s_[:, -1],
    np.s_[2990:900:-3, 1:60],
    np.s_[0:0, 3],
    np.s_[[3, 5, 2000, 5], 4],
    np.s_[990:1010, 10:12],
    np.s_[...],
]


def test_reading_some_channels_is_the_same(tmp_path):
    samples = many_channels()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        chunked = {"shape": (3000, 80), "dtype": "i2", "chunks": (1000, 50), "fillvalue": 3}
        dataset = file.create_dataset("a", data=samples, chunks=(1000, 50), **Filter())
        for selection in SELECTIONS:
            np.testing.assert_array_equal(hdf5.read(dataset, selection), samples[selection])
            np.testing.assert_array_equal(hdf5.read(dataset, selection, jobs=2), samples[selection])
        others = [
            file.create_dataset("b", data=samples, chunks=(1000, 50), shuffle=True, **Filter()),
            file.create_dataset("c", data=samples),
        ]
        for other in others:  # by h5py
            np.testing.assert_array_equal(hdf5.read(other, np.s_[100:2000, 7]), samples[100:2000, 7])
        empty = file.create_dataset("d", **chunked, **Filter())
        assert (hdf5.read(empty, np.s_[:, 7]) == 3).all()
        empty[:1000, :50] = samples[:1000, :50]
        expected = np.full(samples.shape, 3, "i2")
        expected[:1000, :50] = samples[:1000, :50]
        np.testing.assert_array_equal(hdf5.read(empty, np.s_[:, [7, 60]]), expected[:, [7, 60]])
        for bad in (np.s_[3000], np.s_[:, 80], np.s_["a"]):
            with pytest.raises((IndexError, TypeError, ValueError)):
                hdf5.read(dataset, bad)


def test_reading_some_channels_of_a_damaged_chunk(tmp_path):
    samples = many_channels()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=samples, chunks=(3000, 80), **Filter())
    with h5py.File(tmp_path / "a.h5") as file:
        info = file["a"].id.get_chunk_info(0)
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[info.byte_offset + info.size - 100] ^= 1  # in the last group
    (tmp_path / "a.h5").write_bytes(bytes(data))
    with h5py.File(tmp_path / "a.h5") as file:
        found = 0
        for channel in range(80):
            try:
                column = hdf5.read(file["a"], np.s_[:, channel])
            except DataError as error:
                assert "restore it from a copy" in str(error)
                continue
            np.testing.assert_array_equal(column, samples[:, channel])
            found += 1
        assert 40 <= found < 80

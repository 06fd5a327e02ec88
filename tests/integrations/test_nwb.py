"""Recordings in NWB files, in HDF5 and in Zarr, against the real packages of the environment, whichever those are."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from spikey.base.errors import DamagedError
from spikey.recording.simulate import simulate

pynwb = pytest.importorskip("pynwb")
pytestmark = pytest.mark.filterwarnings("ignore")
SAMPLES = simulate(9000, 34, seed=3)


def session(data: object) -> pynwb.NWBFile:
    """An NWB file in memory with one recording."""
    file = pynwb.NWBFile("a session", "1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    device = file.create_device("probe")
    group = file.create_electrode_group("shank", "one shank", "here", device)
    for _ in range(SAMPLES.shape[1]):
        file.add_electrode(group=group, location="here")
    every = file.create_electrode_table_region(list(range(SAMPLES.shape[1])), "all")
    file.add_acquisition(
        pynwb.ecephys.ElectricalSeries("raw", data, every, rate=30_000.0, conversion=2.34e-6, description="a recording")
    )
    return file


def written(path: Path, data: object, io: type) -> Path:
    with io(str(path), "w") as opened:
        opened.write(session(data))
    return path


@pytest.fixture
def hdf5(tmp_path) -> Path:
    """An NWB file in HDF5."""
    pytest.importorskip("h5py")
    from hdmf.backends.hdf5.h5_utils import H5DataIO

    from spikey.integrations.hdf5 import Filter

    data = H5DataIO(SAMPLES, chunks=(3000, 34), allow_plugin_filters=True, **Filter())
    return written(tmp_path / "a.nwb", data, pynwb.NWBHDF5IO)


def zarr_data(**layout: object) -> object:
    """The recording wrapped for the hdmf-zarr that is installed."""
    hdmf_zarr = pytest.importorskip("hdmf_zarr")
    if tuple(map(int, version("hdmf-zarr").split(".")[:2])) < (0, 14):
        from spikey.integrations.numcodecs import Spikey

        return hdmf_zarr.ZarrDataIO(SAMPLES, chunks=(3000, 34), compressor=Spikey(), **layout)
    from spikey.integrations.zarr import SpikeyCodec

    return hdmf_zarr.ZarrDataIO(SAMPLES, chunks=(3000, 34), serializer=SpikeyCodec(), compressors=False, **layout)


@pytest.fixture
def zarr(tmp_path) -> Path:
    """An NWB file in Zarr."""
    data = zarr_data()
    from hdmf_zarr import NWBZarrIO

    return written(tmp_path / "a.nwb.zarr", data, NWBZarrIO)


def test_in_hdf5(hdf5):
    assert hdf5.stat().st_size < SAMPLES.nbytes
    assert pynwb.validate(path=str(hdf5)) == []
    with pynwb.NWBHDF5IO(str(hdf5), "r") as opened:
        series = opened.read().acquisition["raw"]
        assert series.conversion == 2.34e-6 and len(series.electrodes) == 34
        np.testing.assert_array_equal(series.data[:], SAMPLES)
        np.testing.assert_array_equal(series.data[2990:3010, 7], SAMPLES[2990:3010, 7])


def test_in_hdf5_some_channels_at_a_time(hdf5):
    from spikey.integrations.hdf5 import read

    with pynwb.NWBHDF5IO(str(hdf5), "r") as opened:
        data = opened.read().acquisition["raw"].data
        np.testing.assert_array_equal(read(data, np.s_[2990:3010, 33]), SAMPLES[2990:3010, 33])


def codecs(path: Path) -> list[str]:
    """What a chunk of the recording goes through, by name."""
    array = path / "acquisition" / "raw" / "data"
    if (array / ".zarray").exists():
        return [json.loads((array / ".zarray").read_text())["compressor"]["id"]]
    return [codec["name"] for codec in json.loads((array / "zarr.json").read_text())["codecs"]]


def test_in_zarr(zarr):
    from hdmf_zarr import NWBZarrIO

    assert codecs(zarr) == ["spikey"]
    with NWBZarrIO(str(zarr), "r") as opened:
        series = opened.read().acquisition["raw"]
        assert series.conversion == 2.34e-6 and len(series.electrodes) == 34
        np.testing.assert_array_equal(series.data[:], SAMPLES)
        np.testing.assert_array_equal(series.data[2990:3010, 7], SAMPLES[2990:3010, 7])


def test_in_zarr_without_an_import_of_spikey(zarr):
    program = (
        "import sys, warnings; warnings.simplefilter('ignore'); from hdmf_zarr import NWBZarrIO\n"
        "with NWBZarrIO(sys.argv[1], 'r') as io: print(int(io.read().acquisition['raw'].data[:].astype(int).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(zarr)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == SAMPLES.astype(int).sum()


def test_in_zarr_in_shards(tmp_path):
    pytest.importorskip("zarr", minversion="3.4")
    data = zarr_data(shards=(6000, 34))
    from hdmf_zarr import NWBZarrIO

    path = written(tmp_path / "a.nwb.zarr", data, NWBZarrIO)
    assert codecs(path) == ["sharding_indexed"]
    with NWBZarrIO(str(path), "r") as opened:
        np.testing.assert_array_equal(opened.read().acquisition["raw"].data[5990:6010], SAMPLES[5990:6010])


def test_a_damaged_chunk_in_zarr(zarr):
    from hdmf_zarr import NWBZarrIO

    files = [path for path in (zarr / "acquisition" / "raw" / "data").rglob("*") if path.is_file()]
    chunk = next(path for path in files if path.read_bytes()[:3] == b"\xb5SC")
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with NWBZarrIO(str(zarr), "r") as opened, pytest.raises(DamagedError, match="restore it from a copy"):
        opened.read().acquisition["raw"].data[:]


def test_from_zarr_to_hdf5(zarr, tmp_path):
    """An export takes the samples along, whatever the copy is compressed with."""
    if version("hdmf-zarr").startswith("0.13."):
        pytest.skip("hdmf-zarr 0.13 exports references between tables as pickles, which numcodecs refuses to decode")
    from hdmf_zarr import NWBZarrIO

    with (
        NWBZarrIO(str(zarr), "r") as source,
        pynwb.NWBHDF5IO(str(tmp_path / "b.nwb"), "w") as out,
    ):
        out.export(src_io=source, write_args={"link_data": False})
    with pynwb.NWBHDF5IO(str(tmp_path / "b.nwb"), "r") as opened:
        np.testing.assert_array_equal(opened.read().acquisition["raw"].data[:], SAMPLES)


def test_from_hdf5_to_zarr(hdf5, tmp_path):
    """hdmf-zarr has no counterpart for the filter: the copy is whole, and compressed as Zarr's arrays usually are."""
    from hdmf_zarr import NWBZarrIO

    with pynwb.NWBHDF5IO(str(hdf5), "r") as source, NWBZarrIO(str(tmp_path / "b"), "w") as out:
        out.export(src_io=source, write_args={"link_data": False})
    assert "spikey" not in codecs(tmp_path / "b")
    with NWBZarrIO(str(tmp_path / "b"), "r") as opened:
        np.testing.assert_array_equal(opened.read().acquisition["raw"].data[:], SAMPLES)

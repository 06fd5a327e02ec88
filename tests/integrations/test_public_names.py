"""The public names of Spikey and of each integration, pinned: a change here is a change of the interface."""

from __future__ import annotations

import importlib
import re
from importlib.metadata import entry_points

import pytest

import spikey
from kit.paths import ROOT

SPIKEY = """
    Archive DamagedError DataError Decoder Encoder Gap Missing PacketContents QueueFullError Reader Recording Segment
    SpikeyError Telemetry TelemetryDecoder TelemetryEncoder TelemetrySettings UsageError Writer compress create
    decompress iter_telemetry open open_archive read_key read_telemetry
"""
INTEGRATIONS = {  # module below spikey.integrations, the package that it needs, public names
    "dask": ("distributed", "ClusterError compress compress_files connect to_zarr"),
    "hdf5": ("h5py", "FILTER_ID FILTER_NAME Filter last_error read register"),
    "numcodecs": ("numcodecs", "Spikey codec_for"),
    "nwb": ("pynwb", "nwb_output write_nwb"),
    "spikeinterface": ("spikeinterface", "SpikeyRecordingExtractor read_spikey write_spikey"),
    "telemetry": ("spikeinterface", "read_telemetry_recording read_telemetry_sorting telemetry_analyzer"),
    "telemetry_zarr": ("zarr", "write_zarr zarr_output"),
    "vendors": ("spikeinterface", "Inventory Item Unstored take_inventory"),
    "zarr": ("zarr.abc.codec", "SpikeyCodec codec_for"),
}
ENTRY_POINTS = {  # group: name and object
    "numcodecs.codecs": ("spikey", "spikey.integrations.numcodecs:Spikey"),
    "zarr.codecs": ("spikey", "spikey.integrations.zarr:SpikeyCodec"),
}
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


def test_public_names_of_spikey():
    assert spikey.__all__ == SPIKEY.split()


@pytest.mark.parametrize("name", INTEGRATIONS)
def test_public_names_of_an_integration(name):
    package, names = INTEGRATIONS[name]
    pytest.importorskip(package)
    module = importlib.import_module(f"spikey.integrations.{name}")
    assert module.__all__ == names.split()
    for each in module.__all__:
        assert getattr(module, each).__doc__, each


def test_the_documentation_lists_the_same_names():
    rows = re.findall(r"^\| `spikey\.integrations\.(\w+)` \|[^|]*\| ([^|]*) \|", PAGE, re.MULTILINE)
    assert {name: sorted(re.findall(r"`(\w+)`", names)) for name, names in rows} == {
        name: sorted(names.split()) for name, (_, names) in INTEGRATIONS.items()
    }


@pytest.mark.parametrize("group", ENTRY_POINTS)
def test_registered_entry_points(group):
    found = {(each.name, each.value) for each in entry_points(group=group) if each.value.startswith("spikey")}
    assert found == {ENTRY_POINTS[group]}


def test_registered_names():
    """Other programs' files contain these: they stay as they are for ever."""
    assert re.findall(r"^\| [^|]+ \| `([^`|]+)` \| in ", PAGE, re.MULTILINE) == ["spikey", "spikey", "spikey", "46419"]


def test_the_registered_name_of_the_hdf5_filter(tmp_path):
    h5py = pytest.importorskip("h5py")
    from spikey.integrations.hdf5 import FILTER_ID, FILTER_NAME, Filter

    assert (FILTER_ID, FILTER_NAME) == (46419, "spikey")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        created = file.create_dataset("a", (1000, 2), "i2", chunks=(1000, 2), **Filter()).id.get_create_plist()
        number, _, _, name = created.get_filter(0)
    assert (number, name) == (46419, b"spikey")


def test_the_registered_name_of_the_numcodecs_codec():
    numcodecs = pytest.importorskip("numcodecs")
    assert type(numcodecs.get_codec({"id": "spikey"})).__module__ == "spikey.integrations.numcodecs"


def test_the_registered_name_of_the_zarr_codec():
    pytest.importorskip("zarr", minversion="3")
    from zarr.registry import get_codec_class

    assert get_codec_class("spikey").__module__ == "spikey.integrations.zarr"

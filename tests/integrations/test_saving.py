"""SpikeInterface saves compressed recordings with workers of each kind, and what it saved is compressed again."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from spikey.integrations.spikeinterface import read_spikey, write_spikey

si = pytest.importorskip("spikeinterface.core")

from integrations.test_recordings import assert_same, made  # noqa: E402

WORKERS = {
    "fork": {"pool_engine": "process", "mp_context": "fork"},
    "spawn": {"pool_engine": "process", "mp_context": "spawn"},
    "threads": {"pool_engine": "thread"},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A recording of two segments with all metadata, and its files."""
    recording = made()
    return recording, write_spikey(recording, tmp_path_factory.mktemp("pair") / "a.spky", threads=2)


def saved(recording: si.BaseRecording, workers: str, **options: object) -> si.BaseRecording:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return recording.save(n_jobs=2, chunk_size=5000, progress_bar=False, **WORKERS[workers], **options)


@pytest.mark.parametrize("workers", WORKERS)
def test_saved_as_binary_and_loaded(pair, tmp_path, workers):
    recording, paths = pair
    found = read_spikey(paths)
    found.get_traces(0, 0, 10)  # opened in this process already
    assert_same(saved(found, workers, folder=tmp_path / "saved"), recording)
    loaded = si.load(tmp_path / "saved")
    assert_same(loaded, recording)
    assert loaded.get_annotation("surgeon") == "none" and loaded.is_filtered()


@pytest.mark.parametrize("workers", WORKERS)
def test_saved_as_zarr_with_the_codec_and_loaded(pair, tmp_path, workers):
    zarr = pytest.importorskip("zarr")
    from spikey.integrations.numcodecs import Spikey

    if not zarr.__version__.startswith("2."):
        pytest.skip("SpikeInterface saves as Zarr 2")
    recording, paths = pair
    path = tmp_path / "saved.zarr"
    assert_same(saved(read_spikey(paths), workers, folder=path, format="zarr", compressor=Spikey()), recording)
    assert_same(si.load(path), recording)
    assert zarr.open(str(path), mode="r")["traces_seg0"].compressor.codec_id == "spikey"


def test_what_was_saved_is_compressed_again(pair, tmp_path):
    recording, paths = pair
    saved(read_spikey(paths), "threads", folder=tmp_path / "saved")
    again = write_spikey(si.load(tmp_path / "saved"), tmp_path / "b.spky")
    assert_same(read_spikey(again), recording)
    for ours, theirs in zip(again, paths, strict=True):
        assert ours.stat().st_size == pytest.approx(theirs.stat().st_size, rel=0.01)


def test_preprocessing_of_a_compressed_recording(pair, tmp_path):
    preprocessing = pytest.importorskip("spikeinterface.preprocessing")
    recording, paths = pair
    ours, theirs = (preprocessing.common_reference(each) for each in (read_spikey(paths), recording))
    found = saved(ours, "fork", folder=tmp_path / "saved")
    for segment in range(2):
        np.testing.assert_array_equal(found.get_traces(segment), theirs.get_traces(segment))
    np.testing.assert_array_equal(found.get_property("quality"), recording.get_property("quality"))

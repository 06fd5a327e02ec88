"""The samples that the parsers find are those that Neo reads, of real files and of made ones."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in
from kit.paths import DATA
from kit.vendor_files import blackrock, brainvision, micromed, neuralynx, open_ephys_legacy
from kit.vendor_intan import intan_channels, intan_signals, intan_single
from spikey.recording.sample_map import Mapped

rawio = pytest.importorskip("neo.rawio")
REAL = DATA / "vendors"
ENDS = 100  # frames at the beginning and at the end of a segment that are compared


def streams(reader) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The name of each stream, and its samples by segment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.parse_header()
    for index, name in enumerate(reader.header["signal_streams"]["name"]):
        segments = []
        for segment in range(reader.segment_count(0)):
            segments.append(
                np.asarray(reader.get_analogsignal_chunk(block_index=0, seg_index=segment, stream_index=index))
            )
        yield name, segments


def same_ends(found: Mapped, segments: list[np.ndarray], whole: bool = True) -> None:
    """The segments are what was found, one after another."""
    there = samples_of(found)
    at = 0
    for segment in segments:
        part = there[at : at + len(segment)]
        np.testing.assert_array_equal(part[:ENDS], segment[:ENDS])
        np.testing.assert_array_equal(part[-ENDS:], segment[-ENDS:])
        at += len(segment)
    assert not whole or at == len(there)


@pytest.mark.data("vendors/spikeglx")
@pytest.mark.parametrize("name", ["NP2_with_sync", "Noise4Sam_g0"])
def test_spikeglx(name, tmp_path):
    shutil.copytree(REAL / "spikeglx" / name, tmp_path / name)
    for meta in (tmp_path / name).rglob("*.lf.meta"):
        meta.unlink()  # its .bin was too large for the collection
    found = mapped_in("spikeglx", tmp_path)
    compared = 0
    for stream, segments in streams(rawio.SpikeGLXRawIO(tmp_path / name)):
        if not stream.endswith("SYNC"):
            each = next(each for each in found if stream in each.files[0].path.name)
            there = samples_of(each)[:, : segments[0].shape[1]]  # Neo has the sync channel apart
            np.testing.assert_array_equal(there, segments[0])
            compared += 1
    assert compared == len(found) == 2


@pytest.mark.data("vendors/openephysbinary")
def test_open_ephys_binary():
    home = REAL / "openephysbinary" / "v0.6.x_neuropixels_multiexp_multistream"
    experiments = [mapped_in("openephysbinary", p) for p in sorted((home / "Record Node 101").glob("experiment*"))]
    assert [len(each) for each in experiments] == [3, 3, 3]
    compared = 0
    for reader_stream, segments in streams(rawio.OpenEphysBinaryRawIO(home)):
        for each in experiments[0]:
            if each.files[0].path.parent.name in reader_stream:
                same_ends(each, segments[:1])
                compared += 1
    assert compared == 3


@pytest.mark.data("vendors/openephys")
def test_open_ephys_legacy():
    home = REAL / "openephys" / "OpenEphys_SampleData_2_(multiple_starts)"
    found = mapped_in("openephyslegacy", home)
    (_, segments), *more = streams(rawio.OpenEphysRawIO(home))
    assert len(found) == len(segments) == 2 and not more
    record = np.dtype([("at", "<i8"), ("count", "<u2"), ("number", "<u2"), ("samples", ">i2", 1024), ("end", "u1", 10)])
    for each, segment in zip(found, segments, strict=True):
        # Neo fills gaps between starts with zeros.
        times = np.fromfile(each.files[0].path, record, offset=1024)["at"]
        filled = np.zeros((times[-1] - times[0] + 1024, 2), np.int16)
        for at, samples in zip(times, samples_of(each).reshape(-1, 1024, 2), strict=True):
            filled[at - times[0] : at - times[0] + 1024] = samples
        np.testing.assert_array_equal(filled, segment)


@pytest.mark.data("vendors/intan")
@pytest.mark.parametrize("name", ["intan_fpc_test_231117_052630", "intan_fps_test_231117_052500"])
def test_intan_folders(name):
    home = REAL / "intan" / name
    found = mapped_in("intan", home)
    compared = 0
    for stream, segments in streams(rawio.IntanRawIO(home / "info.rhd")):
        names = {"RHD2000 amplifier": "amp", "RHD2000 auxiliary": "aux", "USB board ADC": "analog"}
        if name := next((names[start] for start in names if stream.startswith(start)), None):
            same_ends(next(each for each in found if name in each.files[0].path.name.lower()), segments)
            compared += 1
    assert compared == 3 and len(found) == 4


@pytest.mark.data("vendors/neuralynx")
def test_neuralynx():
    home = REAL / "neuralynx" / "Cheetah_v5.4.0" / "original_data"
    (found,) = mapped_in("neuralynx", home)
    reader = rawio.NeuralynxRawIO(home, gap_tolerance_ms=1e9)
    ((_, segments),) = streams(reader)
    same_ends(found, segments[:1], whole=False)
    assert found.layout.rate == reader.header["signal_channels"]["sampling_rate"][0]


@pytest.mark.data("vendors/blackrock")
@pytest.mark.parametrize(
    "name", ["segment/PauseCorrect/pause_correct", "segment/ResetCorrect/reset", "blackrock_2_1/l101210-001"]
)
def test_blackrock(name):
    path = (REAL / "blackrock" / name).with_suffix(".ns2")
    found = next(each for each in mapped_in("blackrock", path.parent) if each.files[0].path == path)
    reader = rawio.BlackrockRawIO(path.as_posix(), nsx_to_load="all", gap_tolerance_ms=0.0)
    ((_, segments),) = streams(reader)
    segments = [segment for segment in segments if len(segment)]
    assert found.layout.rate == reader.header["signal_channels"]["sampling_rate"][0]
    same_ends(found, segments, whole="2_1" not in name)  # of specification 2.1, Neo leaves out the last frame
    assert found.frames - sum(map(len, segments)) <= 1


@pytest.mark.parametrize("version", [(1, 0), (1, 2), (1, 5), (2, 0), (3, 2)])
def test_intan_rhd_that_was_made(version, tmp_path):
    intan_single(tmp_path / "a.rhd", version=version, temperatures=0)
    _compare_intan(tmp_path / "a.rhd")


@pytest.mark.parametrize("dc", [False, True])
def test_intan_rhs_that_was_made(dc, tmp_path):
    intan_single(tmp_path / "a.rhs", stim=True, dc=dc)
    _compare_intan(tmp_path / "a.rhs")


def _compare_intan(path: Path) -> None:
    (found,) = mapped_in("intan", path.parent)
    there = samples_of(found)
    compared = 0
    for stream, segments in streams(rawio.IntanRawIO(path, ignore_integrity_checks=True)):
        full = len(segments[0]) == found.frames
        if full and "digital" not in stream and "Stim" not in stream:  # which Neo decodes
            columns = segments[0].shape[1]
            assert any((there[:, c : c + columns] == segments[0]).all() for c in range(there.shape[1])), stream
            compared += 1
    assert compared >= 2
    assert (there[:, :5] == next(streams(rawio.IntanRawIO(path)))[1][0]).all()  # amplifiers come first


def test_intan_folders_that_were_made(tmp_path):
    for name, make in (("signals", intan_signals), ("channels", intan_channels)):
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        assert len(mapped_in("intan", folder)) > 2
    amplifiers = next(
        each for each in mapped_in("intan", tmp_path / "signals") if "amplifier" in each.files[0].path.name
    )
    (_, segments), *_ = streams(rawio.IntanRawIO(tmp_path / "signals" / "info.rhd"))
    same_ends(amplifiers, segments)


def test_blackrock_that_was_made(tmp_path):
    blackrock(tmp_path / "a.ns6", spec=(3, 0), packets=(1,) * 500, resolution=10**9)
    (found,) = mapped_in("blackrock", tmp_path)
    ((_, segments),) = streams(rawio.BlackrockRawIO((tmp_path / "a.ns6").as_posix(), gap_tolerance_ms=1e9))
    same_ends(found, segments)


def test_neuralynx_that_was_made(tmp_path):
    neuralynx(tmp_path, channels=4)
    (found,) = mapped_in("neuralynx", tmp_path)
    ((_, segments),) = streams(rawio.NeuralynxRawIO(tmp_path, gap_tolerance_ms=1e9))
    np.testing.assert_array_equal(np.sort(samples_of(found)[:ENDS]), np.sort(segments[0][:ENDS]))  # in any order


def test_open_ephys_legacy_that_was_made(tmp_path):
    open_ephys_legacy(tmp_path, starts=(0, 1024, 2048))
    (found,) = mapped_in("openephyslegacy", tmp_path)
    ((_, segments),) = streams(rawio.OpenEphysRawIO(tmp_path))
    same_ends(found, segments, whole=False)


@pytest.mark.parametrize("orientation", ["MULTIPLEXED", "VECTORIZED"])
def test_brainvision_that_was_made(orientation, tmp_path):
    brainvision(tmp_path, orientation=orientation)
    (found,) = mapped_in("brainvision", tmp_path)
    ((_, segments),) = streams(rawio.BrainVisionRawIO((tmp_path / "subject.vhdr").as_posix()))
    same_ends(found, segments)


def test_micromed_that_was_made(tmp_path):
    micromed(tmp_path / "a.TRC")
    (found,) = mapped_in("micromed", tmp_path)
    reader = rawio.MicromedRawIO((tmp_path / "a.TRC").as_posix())
    ((_, segments),) = streams(reader)
    same_ends(found, segments)
    assert found.layout.rate == reader.header["signal_channels"]["sampling_rate"][0] == 512

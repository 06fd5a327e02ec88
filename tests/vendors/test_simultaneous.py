"""Channels that lie in files of their own: those that were recorded at the same times are one recording."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, parsed, reasons_in
from kit.vendor_files import neuralynx, open_ephys_legacy
from spikey.recording.sample_map import Rest, Run, Samples
from spikey.vendors import simultaneous


def names(found):
    return [[file.path.stem for file in each.files] for each in found]


def patch(path, offset, data):
    contents = bytearray(path.read_bytes())
    contents[offset : offset + len(data)] = data
    path.write_bytes(contents)


RECORD = 1044
HEAD = 1 << 14


def test_channels_in_the_natural_order_of_their_names(tmp_path):
    (samples,) = neuralynx(tmp_path, channels=4)
    (found,) = mapped_in("neuralynx", tmp_path)
    assert names([found]) == [["CSC8", "CSC9", "CSC10", "CSC11"]]
    for column, file in enumerate(found.files):
        fields = (Rest(8), Rest(4), Rest(4), Rest(4), Samples(512, column, 1))
        assert file.runs == (Run(1, (Rest(HEAD),)), Run(5, fields))
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize("at_once", [1, 2000, 1 << 22])
@pytest.mark.parametrize("record", [0, 2, 4])
@pytest.mark.parametrize(
    ("offset", "joined"), [(0, False), (7, False), (8, True), (12, False), (16, False), (20, True), (1043, True)]
)
def test_times_are_compared_in_every_record(at_once, record, offset, joined, tmp_path, monkeypatch):
    """Timestamp, rate and valid samples have to be the same; the channel's number and samples differ anyway."""
    monkeypatch.setattr(simultaneous, "AT_ONCE", at_once)
    neuralynx(tmp_path)
    path = tmp_path / "CSC9.ncs"
    at = HEAD + RECORD * record + offset
    patch(path, at, bytes([path.read_bytes()[at] ^ 1]))
    expected = [["CSC8", "CSC9", "CSC10"]] if joined else [["CSC8", "CSC10"], ["CSC9"]]
    assert names(mapped_in("neuralynx", tmp_path)) == expected


def test_files_that_are_cut_at_the_same_place_are_joined(tmp_path):
    (samples,) = neuralynx(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[: HEAD + 4 * RECORD + 20 + 7])
    (found,) = mapped_in("neuralynx", tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples[: 4 * 512 + 3])
    assert found.notes == ("3 bytes of incomplete records, which are stored as they are",)
    patch(tmp_path / "CSC9.ncs", HEAD + 4 * RECORD, b"\0")  # the time of the record that is cut
    assert names(mapped_in("neuralynx", tmp_path)) == [["CSC8", "CSC10"], ["CSC9"]]


@pytest.mark.parametrize("size", [HEAD + 1, HEAD + 21])
def test_files_that_are_cut_within_the_first_record(size, tmp_path):
    neuralynx(tmp_path)
    path = tmp_path / "CSC9.ncs"
    path.write_bytes(path.read_bytes()[:size])
    assert reasons_in("neuralynx", tmp_path) == {"CSC9.ncs": "contains no samples"}
    assert names(parsed("neuralynx", tmp_path).recordings) == [["CSC8", "CSC10"]]


def test_channels_of_other_rates_lengths_and_folders_are_apart(tmp_path):
    (tmp_path / "other").mkdir()
    neuralynx(tmp_path)
    neuralynx(tmp_path / "other")
    path = tmp_path / "CSC9.ncs"
    path.write_bytes(path.read_bytes().replace(b"-SamplingFrequency 32000", b"-SamplingFrequency 16000"))
    path = tmp_path / "CSC8.ncs"
    path.write_bytes(path.read_bytes()[:-RECORD])
    found = mapped_in("neuralynx", tmp_path)
    assert names(found) == [["CSC8"], ["CSC9"], ["CSC10"], ["CSC8", "CSC9", "CSC10"]]
    assert [each.layout.rate for each in found] == [32000, 16000, 32000, 32000]


def test_more_files_than_one_recording_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(simultaneous, "MOST_FILES", 2)
    neuralynx(tmp_path, channels=5)
    assert [len(each.files) for each in mapped_in("neuralynx", tmp_path)] == [2, 2, 1]


def test_processors_and_experiments_are_apart(tmp_path):
    open_ephys_legacy(tmp_path, ("100_CH1", "100_CH2", "100_CH10", "100_AUX1"))
    open_ephys_legacy(tmp_path, ("101_RhythmData-A_CH1", "101_RhythmData-A_CH2"))
    open_ephys_legacy(tmp_path, ("100_CH1_2", "100_CH2_2"))
    open_ephys_legacy(tmp_path, ("CH1", "notes"))
    assert names(mapped_in("openephyslegacy", tmp_path)) == [
        ["100_AUX1", "100_CH1", "100_CH2", "100_CH10"],
        ["100_CH1_2", "100_CH2_2"],
        ["101_RhythmData-A_CH1", "101_RhythmData-A_CH2"],
        ["CH1"],
        ["notes"],
    ]


def test_number_of_samples_and_of_the_recording(tmp_path):
    """Of Open Ephys' records, the time and the number of samples are compared."""
    open_ephys_legacy(tmp_path)
    patch(tmp_path / "100_CH2.continuous", 1024 + 10, struct.pack("<H", 7))
    assert names(mapped_in("openephyslegacy", tmp_path)) == [["100_CH1", "100_CH2", "100_CH10"]]
    patch(tmp_path / "100_CH2.continuous", 1024 + 2070 + 8, struct.pack("<H", 7))
    assert names(mapped_in("openephyslegacy", tmp_path)) == [["100_CH1", "100_CH10"], ["100_CH2"]]

"""Intan: blocks of all versions, and folders of one file per signal or per channel."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, parsed, reasons_in
from kit.vendor_intan import intan_channels, intan_header, intan_signals, intan_single
from spikey.recording.sample_map import Rest, Run, Samples
from spikey.vendors import intan_folder


def only(folder):
    (found,) = mapped_in("intan", folder)
    return found


@pytest.mark.parametrize("version", [(1, 0), (1, 1), (1, 2), (1, 3), (1, 5), (2, 0), (3, 2)])
def test_versions_of_rhd(version, tmp_path):
    samples = intan_single(tmp_path / "a.rhd", version=version)
    found = only(tmp_path)
    length = 128 if version >= (2, 0) else 60
    head, run = found.files[0].runs
    temperatures = [Rest(2)] * (0 if version == (1, 0) else 2)
    assert head == Run(1, (Rest(len(intan_header(version))),))
    assert run == Run(
        4,
        (
            Rest(4 * length),
            Samples(length, 0, 5, planar=True),
            *[Rest(length // 2)] * 3,  # auxiliary inputs, at a quarter of the rate
            Rest(2),  # the supply voltage
            *temperatures,
            Samples(length, 5, 4, planar=True),  # two analog inputs, a word for digital inputs, one for outputs
        ),
    )
    assert (found.layout.rate, found.layout.dtype) == (20_000, "uint16")
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize("dc", [False, True])
def test_rhs_has_all_signals_at_the_full_rate(dc, tmp_path):
    samples = intan_single(tmp_path / "a.RHS", stim=True, dc=dc)
    found = only(tmp_path)
    columns = 5 * (3 if dc else 2) + 2 + 1 + 2
    assert found.files[0].runs[1] == Run(4, (Rest(512), Samples(128, 0, columns, planar=True)))
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize("signals", [{"amplifier": 3}, {"analogin": 2}, {"amplifier": 1, "digitalin": 16}])
def test_signals_that_are_absent(signals, tmp_path):
    samples = intan_single(tmp_path / "a.rhd", signals=signals, temperatures=0)
    found = only(tmp_path)
    assert found.layout.channels == samples.shape[1]
    np.testing.assert_array_equal(samples_of(found), samples)


def test_an_incomplete_block_is_noted(tmp_path):
    path = tmp_path / "a.rhd"
    samples = intan_single(path)
    path.write_bytes(path.read_bytes()[:-3])
    found = only(tmp_path)
    left = found.files[0].runs[-1].rest
    assert found.notes == (f"{left:,} bytes of an incomplete block of data, which are stored as they are",)
    np.testing.assert_array_equal(samples_of(found), samples[:-128])


def damaged_header(path, change):
    intan_single(path)
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "contains no samples"),
        (lambda data: data[:5], "ends within its header"),
        (lambda data: data[:300], "ends within its header"),
        (lambda data: data[: len(intan_header())], "contains no samples"),
        (lambda data: data[: len(intan_header()) + 500], "contains no samples"),
        (lambda data: b"RIFF" + data[4:], "does not begin with the mark of an Intan file"),
        (lambda data: data[:8] + bytes(4) + data[12:], "the sampling rate in its header is not a sampling rate in Hz"),
        (
            lambda data: data[:8] + b"\0\0\xc0\x7f" + data[12:],
            "the sampling rate in its header is not a sampling rate in Hz",
        ),
    ],
)
def test_files_that_are_no_recordings(change, reason, tmp_path):
    damaged_header(tmp_path / "a.rhd", change)
    intan_single(tmp_path / "b.rhd")
    assert reasons_in("intan", tmp_path) == {"a.rhd": reason}
    assert len(parsed("intan", tmp_path).recordings) == 1


def test_a_file_of_slow_signals_only(tmp_path):
    intan_single(tmp_path / "a.rhd", signals={"auxiliary": 3})
    assert reasons_in("intan", tmp_path) == {"a.rhd": "contains no signal at the full sampling rate"}


@pytest.mark.parametrize(("stim", "number"), [(False, 6), (False, -1), (True, 1), (True, 7)])
def test_a_signal_of_an_unknown_type(stim, number, tmp_path):
    name = "a.rhs" if stim else "a.rhd"
    intan_single(tmp_path / name, stim=stim)
    data = (tmp_path / name).read_bytes()
    at = data.index("my amplifier 3".encode("utf-16-le")) + 28 + 4
    (tmp_path / name).write_bytes(data[:at] + struct.pack("<h", number) + data[at + 2 :])
    assert reasons_in("intan", tmp_path) == {name: f"lists a signal of the unknown type {number} in its header"}


def test_a_header_of_endless_channels_is_refused(tmp_path):
    """Of 5 groups of 32,767 channels, which are in the file."""
    head = intan_header(signals={"amplifier": 0})
    at = head.index("Port A".encode("utf-16-le")) - 6
    group = bytes(8) + b"\1\0\xff\x7f\0\0" + bytes(36 * 32767)
    (tmp_path / "a.rhd").write_bytes(head[:at] + b"\5\0" + group * 5 + bytes(1 << 20))
    assert reasons_in("intan", tmp_path) == {"a.rhd": "ends within its header"}


def test_one_file_per_signal(tmp_path):
    made = intan_signals(tmp_path)
    found = mapped_in("intan", tmp_path)
    layouts = {each.files[0].path.stem: (each.layout.channels, each.layout.dtype, each.layout.rate) for each in found}
    assert layouts == {
        "amplifier": (5, "int16", 20_000),
        "analogin": (2, "uint16", 20_000),
        "auxiliary": (3, "uint16", 20_000),
        "digitalin": (1, "uint16", 20_000),
        "digitalout": (1, "uint16", 20_000),
        "supply": (1, "uint16", 20_000),
    }
    for each, samples in zip(found, made, strict=True):
        np.testing.assert_array_equal(samples_of(each), samples)


def test_one_file_per_signal_with_stimulation(tmp_path):
    intan_signals(tmp_path, stim=True)
    channels = {each.files[0].path.stem: each.layout.channels for each in mapped_in("intan", tmp_path)}
    assert channels == {
        "amplifier": 5, "analogin": 2, "analogout": 1, "dcamplifier": 5, "digitalin": 1, "digitalout": 1, "stim": 5
    }  # fmt: skip


def test_filtered_amplifiers(tmp_path):
    """Samples of the low-pass filter are of a lower rate, which the header does not contain."""
    intan_signals(tmp_path)
    (tmp_path / "lowpass.dat").write_bytes((tmp_path / "amplifier.dat").read_bytes()[: 5 * 2 * 20])
    (tmp_path / "highpass.dat").write_bytes((tmp_path / "amplifier.dat").read_bytes())
    found = {each.files[0].path.stem: each for each in mapped_in("intan", tmp_path)}
    assert (found["lowpass"].frames, found["lowpass"].layout.rate, found["lowpass"].layout.dtype) == (20, 0, "int16")
    assert (found["highpass"].frames, found["highpass"].layout.rate) == (300, 20_000)


def test_a_file_per_signal_that_is_cut(tmp_path):
    intan_signals(tmp_path)
    for name, change in (("amplifier", lambda d: d[:-3]), ("supply", lambda d: b""), ("analogin", lambda d: d[:3])):
        (tmp_path / f"{name}.dat").write_bytes(change((tmp_path / f"{name}.dat").read_bytes()))
    found = parsed("intan", tmp_path)
    assert found.recordings[0].notes == ("7 bytes after the last whole frame, which are stored as they are",)
    assert reasons_in("intan", tmp_path) == dict.fromkeys(("supply.dat", "analogin.dat"), "contains no samples")
    assert len(found.recordings) == 4


def test_a_file_of_signals_that_the_header_does_not_list(tmp_path):
    intan_signals(tmp_path)
    (tmp_path / "info.rhd").write_bytes(intan_header(signals={"amplifier": 5}))
    reasons = reasons_in("intan", tmp_path)
    assert set(reasons.values()) == {"belongs to no channel that the header lists"} and len(reasons) == 5


def test_a_folder_without_or_with_a_damaged_header(tmp_path):
    intan_signals(tmp_path)
    (tmp_path / "info.rhd").write_bytes(b"")
    assert reasons_in("intan", tmp_path) == {"info.rhd": "ends within its header"}
    (tmp_path / "info.rhd").unlink()
    assert mapped_in("intan", tmp_path) == []


def test_one_file_per_channel(tmp_path):
    made = intan_channels(tmp_path)
    found = mapped_in("intan", tmp_path)
    names = [[file.path.name for file in each.files] for each in found]
    assert names == [
        ["amp-A-000.dat", "amp-A-001.dat", "amp-A-010.dat", "amp-B-000.dat", "amp-B-002.dat"],
        ["aux-A-AUX1.dat", "aux-A-AUX2.dat", "aux-A-AUX3.dat"],
        ["board-ANALOG-IN-2.dat", "board-ANALOG-IN-10.dat"],
        ["vdd-A-VDD1.dat"],
    ]
    assert [each.layout.dtype for each in found] == ["int16", "uint16", "uint16", "uint16"]
    for each, samples in zip(found, made, strict=True):
        np.testing.assert_array_equal(samples_of(each), samples)


def test_channels_of_another_size_are_a_recording_of_their_own(tmp_path):
    made = intan_channels(tmp_path)
    path = tmp_path / "amp-A-001.dat"
    path.write_bytes(path.read_bytes()[:-3])
    (tmp_path / "aux-A-AUX2.dat").write_bytes(b"")
    found = parsed("intan", tmp_path).recordings
    assert [len(each.files) for each in found] == [4, 1, 2, 2, 1]
    assert found[1].notes == ("1 byte after the last whole frame, which is stored as it is",)
    np.testing.assert_array_equal(samples_of(found[1])[:, 0], made[0][:-2, 1])
    assert reasons_in("intan", tmp_path) == {"aux-A-AUX2.dat": "contains no samples"}


def test_channels_of_more_files_than_one_recording_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(intan_folder, "MOST_FILES", 2)
    intan_channels(tmp_path)
    assert [len(each.files) for each in mapped_in("intan", tmp_path)] == [2, 2, 1, 2, 1, 2, 1]


def test_folders_below_one_are_told_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        intan_channels(tmp_path / name)
    intan_single(tmp_path / "a" / "old.rhd")
    assert len(mapped_in("intan", tmp_path)) == 9

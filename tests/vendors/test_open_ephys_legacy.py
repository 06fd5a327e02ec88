"""Open Ephys' first format: records of `.continuous`, with gaps."""

from __future__ import annotations

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, reasons_in
from kit.vendor_files import open_ephys_legacy
from spikey.recording.sample_map import Rest, Run, Samples


@pytest.mark.parametrize("length", [1024, 640])
def test_records_with_gaps_between_starts(length, tmp_path):
    (samples,) = open_ephys_legacy(tmp_path, length=length)
    (found,) = mapped_in("openephyslegacy", tmp_path)
    assert found.big_endian and found.layout.rate == 30_000
    assert found.files[1].runs == (
        Run(1, (Rest(1024),)),
        Run(4, (Rest(8), Rest(2), Rest(2), Samples(length, 1, 1), Rest(10))),
    )
    np.testing.assert_array_equal(samples_of(found), samples)


def test_records_of_the_first_version_have_no_number_of_the_recording(tmp_path):
    (samples,) = open_ephys_legacy(tmp_path, numbered=False)
    (found,) = mapped_in("openephyslegacy", tmp_path)
    assert found.files[0].runs[1] == Run(4, (Rest(8), Rest(2), Samples(1024, 0, 1), Rest(10)))
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize(("cut", "frames", "left"), [(3, 1024, 7), (10, 1024, 0), (11, 1023, 1), (2070 - 12, 0, 12)])
def test_an_incomplete_record(cut, frames, left, tmp_path):
    (samples,) = open_ephys_legacy(tmp_path, names=("100_CH1",))
    path = tmp_path / "100_CH1.continuous"
    path.write_bytes(path.read_bytes()[:-cut])
    (found,) = mapped_in("openephyslegacy", tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples[: 3 * 1024 + frames])
    assert bool(found.notes) == bool(left) and all(note.startswith(f"{left} byte") for note in found.notes)


@pytest.mark.parametrize("text", [b"blockLength = 512;", b"blockLength = 9999999999;", b"noBlockLength = 5;"])
def test_the_records_length_is_what_they_contain(text, tmp_path):
    (samples,) = open_ephys_legacy(tmp_path, names=("100_CH1",), length=640)
    path = tmp_path / "100_CH1.continuous"
    head = path.read_bytes()[:1024].rstrip().replace(b"blockLength = 640;", text)
    path.write_bytes(head.ljust(1024) + path.read_bytes()[1024:])
    (found,) = mapped_in("openephyslegacy", tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "contains no samples"),
        (lambda data: data[:500], "ends within its header"),
        (lambda data: data[:1024], "contains no samples"),
        (lambda data: data[:1036], "contains no samples"),
        (
            lambda data: data.replace(b"sampleRate", b"sampleRats"),
            "sampleRate in its header is not a sampling rate in Hz",
        ),
        (lambda data: data[:1024] + bytes(9000), "contains no record of an Open Ephys file after its header"),
        (
            lambda data: data.replace(b"header_bytes = 1024", b"header_bytes = -1"),
            "header_bytes in its header is not a whole number of 1 or more",
        ),
    ],
)
def test_files_that_are_no_recordings(change, reason, tmp_path):
    open_ephys_legacy(tmp_path, names=("100_CH1",))
    path = tmp_path / "100_CH1.continuous"
    path.write_bytes(change(path.read_bytes()))
    assert reasons_in("openephyslegacy", tmp_path) == {"100_CH1.continuous": reason}

"""EDF and BDF: which signals are columns, and records that are fewer or more than the header lists."""

from __future__ import annotations

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, reasons_in
from kit.vendor_files import edf
from spikey.recording.sample_map import Rest, Run, Samples


def only(folder):
    (found,) = mapped_in("edf", folder)
    return found


@pytest.mark.parametrize("bdf", [False, True])
def test_signals_of_the_usual_rate_are_columns(bdf, tmp_path):
    samples = edf(tmp_path / ("a.BDF" if bdf else "a.edf"), bdf=bdf)
    found = only(tmp_path)
    size = 3 if bdf else 2
    assert found.files[0].runs == (
        Run(1, (Rest(256 * 6),)),
        Run(7, (Samples(100, 0, 2, planar=True), Rest(30 * size), Rest(size), Samples(100, 2, 1, planar=True))),
    )
    assert (found.layout.rate, found.layout.dtype) == (200, "int24" if bdf else "int16")
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize(
    ("signals", "columns"),
    [
        ([("A", 10), ("B", 10), ("C", 50)], 2),
        ([("A", 50), ("B", 10)], 1),  # of equally usual rates, the higher
        ([("A", 50), ("BDF Annotations", 50), ("EDF Annotations", 50)], 1),
        ([("A", 50), ("EDF Annotations", 10), ("EDF Annotations", 10)], 1),
        ([("A", 50), ("empty", 0), ("empty", 0), ("B", 50)], 2),
    ],
)
def test_which_rate_is_usual(signals, columns, tmp_path):
    samples = edf(tmp_path / "a.edf", signals)
    found = only(tmp_path)
    assert found.layout.channels == columns == samples.shape[1]
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize("listed", [-1, 0, 3, 700])
def test_the_files_size_counts_and_not_the_header(listed, tmp_path):
    samples = edf(tmp_path / "a.edf", listed=listed)
    np.testing.assert_array_equal(samples_of(only(tmp_path)), samples)


def test_a_record_that_is_cut(tmp_path):
    path = tmp_path / "a.edf"
    samples = edf(path)
    path.write_bytes(path.read_bytes()[:-1])
    found = only(tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples[:-100])
    assert found.notes == ("661 bytes of an incomplete record, which are stored as they are",)


@pytest.mark.parametrize(("duration", "rate"), [("1", 100), ("0.25", 400), ("0", 0), ("", 0), ("nan", 0), ("-1", 0)])
def test_rate(duration, rate, tmp_path):
    edf(tmp_path / "a.edf", duration=duration)
    assert only(tmp_path).layout.rate == rate


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "contains no samples"),
        (lambda data: data[:255], "ends within its header"),
        (lambda data: data[: 256 * 6 - 1], "ends within its header"),
        (lambda data: data[: 256 * 6], "contains no samples"),
        (lambda data: data[: 256 * 6 + 99], "contains no samples"),
        (lambda data: b"RIFF" + data[4:], "does not begin with the mark of an EDF or BDF file"),
        (
            lambda data: data[:252] + b"0   " + data[256:],
            "the number of signals in its header is not a whole number of 1 or more",
        ),
        (
            lambda data: data[:252] + b"\xb2   " + data[256:],
            "the number of signals in its header is not a whole number of 1 or more",
        ),
        (lambda data: data.replace(b"100     ", b"99999999"), "contains no samples"),
        (
            lambda data: data.replace(b"100     ", b"-1      "),
            "a number of samples in its header is not a whole number of 0 or more",
        ),
    ],
)
def test_files_that_are_no_recordings(change, reason, tmp_path):
    path = tmp_path / "a.edf"
    edf(path)
    path.write_bytes(change(path.read_bytes()))
    assert reasons_in("edf", tmp_path) == {"a.edf": reason}


def test_a_file_of_annotations_only(tmp_path):
    edf(tmp_path / "a.edf", [("EDF Annotations", 50)])
    assert reasons_in("edf", tmp_path) == {"a.edf": "contains no samples"}


def test_records_that_are_too_large(tmp_path):
    path = tmp_path / "a.edf"
    edf(path, [(f"E{c}", 1) for c in range(5)], records=1)
    head = path.read_bytes()[: 256 * 6]
    at = 256 + 216 * 5
    path.write_bytes(head[:at] + b"9999999 " * 5 + head[at + 40 :])
    with open(path, "r+b") as file:
        file.truncate(1 << 27)
    assert reasons_in("edf", tmp_path) == {
        "a.edf": "has records of 99,999,990 bytes; those of more than 67,108,864 are not supported"
    }

"""Neuralynx: headers of all kinds of software, and none."""

from __future__ import annotations

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, reasons_in
from kit.vendor_files import neuralynx


def rewrite(path, header):
    path.write_bytes(header.ljust(1 << 14, b"\0") + path.read_bytes()[1 << 14 :])


@pytest.mark.parametrize(
    ("header", "rate"),
    [
        (b"######## Neuralynx Data File Header\r\n-SamplingFrequency 30303.0 \r\n-ADBitVolts 1", 30303),
        (b"######## Neuralynx Data File Header\n\t-SamplingFrequency\t1e4\n", 10_000),
        ("######## Neuralynx\n-Note µ\n-SamplingFrequency 25000\n".encode("latin-1"), 25_000),
        ("######## Neuralynx\n-Note µ\n-SamplingFrequency 25000\n".encode(), 25_000),
        (b"-SamplingFrequency 25000\n", 25_000),
        (b"######## Neuralynx Data File Header\n", 32_000),  # that of the first record
        (b"######## Neuralynx Data File Header\n-SamplingFrequency 0\n", 32_000),
        (b"######## Neuralynx Data File Header\n-SamplingFrequency e.e\n", 32_000),
    ],
)
def test_rate(header, rate, tmp_path):
    (samples,) = neuralynx(tmp_path, channels=1)
    rewrite(tmp_path / "CSC8.ncs", header)
    (found,) = mapped_in("neuralynx", tmp_path)
    assert found.layout.rate == rate
    np.testing.assert_array_equal(samples_of(found), samples)


def test_files_without_header(tmp_path):
    (samples,) = neuralynx(tmp_path, headers=False, rate=2000)
    (found,) = mapped_in("neuralynx", tmp_path)
    assert found.layout.rate == 2000
    np.testing.assert_array_equal(samples_of(found), samples)


def test_endings_in_capitals_and_other_files(tmp_path):
    neuralynx(tmp_path, channels=1)
    (tmp_path / "CSC8.ncs").rename(tmp_path / "CSC8.Ncs")
    (tmp_path / "Events.nev").write_bytes(b"########")
    assert len(mapped_in("neuralynx", tmp_path)) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "contains no samples"),
        (lambda data: data[:100], "contains no samples"),
        (lambda data: data[: 1 << 14], "contains no samples"),
        (lambda data: data[: (1 << 14) + 10], "contains no samples"),
        (
            lambda data: b"text of another kind, and some more of it" * 99,
            "contains neither the header nor the records of a Neuralynx file",
        ),
        (lambda data: bytes(5000), "contains neither the header nor the records of a Neuralynx file"),
    ],
)
def test_files_that_are_no_recordings(change, reason, tmp_path):
    neuralynx(tmp_path, channels=1)
    path = tmp_path / "CSC8.ncs"
    path.write_bytes(change(path.read_bytes()))
    assert reasons_in("neuralynx", tmp_path) == {"CSC8.ncs": reason}

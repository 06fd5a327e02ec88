"""Micromed's `.TRC`: samples of one and two bytes after the header."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, reasons_in
from kit.vendor_files import micromed
from spikey.recording.sample_map import Rest


def patch(path, form, offset, *values):
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)


@pytest.mark.parametrize(("itemsize", "dtype"), [(1, "uint8"), (2, "uint16"), (4, "uint32")])
@pytest.mark.parametrize("version", [3, 4])
def test_types_of_samples_and_of_headers(itemsize, dtype, version, tmp_path):
    samples = micromed(tmp_path / "a.TRC", itemsize=itemsize, version=version)
    (found,) = mapped_in("micromed", tmp_path)
    assert (found.layout.rate, found.layout.channels, found.layout.dtype) == (512, 5, dtype)
    assert found.files[0].runs[0].parts == (Rest(640 + 5 * 130 + 8),) and not found.notes
    np.testing.assert_array_equal(samples_of(found), samples)


def test_a_frame_that_is_cut(tmp_path):
    path = tmp_path / "a.trc"
    samples = micromed(path)
    path.write_bytes(path.read_bytes()[:-1])
    (found,) = mapped_in("micromed", tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples[:-1])
    assert found.notes == ("9 bytes after the last whole frame, which are stored as they are",)


@pytest.mark.parametrize("offset", [184, 200])
def test_areas_of_the_header_that_are_beyond_the_end(offset, tmp_path):
    """The rate is the slowest one then."""
    path = tmp_path / "a.TRC"
    micromed(path)
    patch(path, "<I", offset, 1 << 31)
    (found,) = mapped_in("micromed", tmp_path)
    assert found.layout.rate == 256


@pytest.mark.parametrize(
    ("form", "offset", "value", "reason"),
    [
        ("<I", 138, 100, "contains samples within its header"),
        ("<I", 138, 1 << 31, "contains no samples"),
        ("<H", 142, 0, "a recording has 1 to 16,777,216 channels, not 0"),
        ("<H", 148, 3, "contains samples of 3 bytes, which are not supported"),
        ("<B", 175, 1, "is not a Micromed file of the types 2 to 4"),
    ],
)
def test_headers_that_cannot_be_read(form, offset, value, reason, tmp_path):
    path = tmp_path / "a.TRC"
    micromed(path)
    patch(path, form, offset, value)
    assert reasons_in("micromed", tmp_path) == {"a.TRC": reason}


@pytest.mark.parametrize(
    ("size", "reason"), [(0, "contains no samples"), (170, "ends within its header"), (1298, "contains no samples")]
)
def test_files_that_end_early(size, reason, tmp_path):
    path = tmp_path / "a.TRC"
    micromed(path)
    path.write_bytes(path.read_bytes()[:size])
    assert reasons_in("micromed", tmp_path) == {"a.TRC": reason}

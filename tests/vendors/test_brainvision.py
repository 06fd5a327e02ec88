"""BrainVision: headers in all encodings, and the data files that they name."""

from __future__ import annotations

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, parsed, reasons_in
from kit.vendor_files import brainvision
from spikey.vendors import brainvision as parser
from spikey.vendors.find import find


def only(folder):
    (found,) = mapped_in("brainvision", folder)
    return found


def rewrite(folder, old, new):
    path = folder / "subject.vhdr"
    contents = path.read_bytes()
    assert old in contents
    path.write_bytes(contents.replace(old, new))


@pytest.mark.parametrize("form", ["INT_16", "UINT_16", "INT_32", "IEEE_FLOAT_32"])
@pytest.mark.parametrize("orientation", ["MULTIPLEXED", "VECTORIZED"])
def test_types_and_orders(form, orientation, tmp_path):
    (samples,) = brainvision(tmp_path, form, orientation)
    found = only(tmp_path)
    assert found.files[0].path.name == "subject.eeg"
    assert (found.layout.rate, found.layout.channels) == (5000, 4)
    assert len(found.files[0].runs) == 1 and not found.notes
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("lines", ["\n", "\r\n"])
def test_encodings(encoding, lines, tmp_path):
    (samples,) = brainvision(tmp_path, data_file="Müller.eeg", name="Müller", encoding=encoding, lines=lines)
    np.testing.assert_array_equal(samples_of(only(tmp_path)), samples)


@pytest.mark.parametrize(
    "listed", ["subject.eeg", "$b.eeg", "old-name.eeg", "SUBJECT.EEG", "C:\\data\\subject.eeg", "../../subject.eeg"]
)
def test_names_of_the_data_file(listed, tmp_path):
    """Of a path only the name counts; after renaming, the file that is named as the header."""
    (samples,) = brainvision(tmp_path, data_file=listed)
    np.testing.assert_array_equal(samples_of(only(tmp_path)), samples)


def test_other_endings_of_the_data_file(tmp_path):
    for ending in (".dat", ".avg"):
        folder = tmp_path / ending[1:]
        folder.mkdir()
        brainvision(folder, data_file=f"subject{ending}")
        (folder / "subject.eeg").rename(folder / f"subject{ending}")
        assert only(folder).files[0].path.suffix == ending


def test_a_data_file_that_is_beside_and_no_member(tmp_path):
    brainvision(tmp_path)
    found = find("brainvision", tmp_path / "subject.vhdr", [tmp_path / "subject.vhdr"])
    assert found is not None and found.recordings[0].files[0].path == tmp_path / "subject.eeg"


def test_two_headers_of_one_data_file(tmp_path):
    brainvision(tmp_path)
    (tmp_path / "a copy.vhdr").write_bytes((tmp_path / "subject.vhdr").read_bytes().replace(b"$b", b"subject"))
    only(tmp_path)


@pytest.mark.parametrize("listed", ["other.eeg", "", "sub\0ject.eeg", "/"])
def test_a_data_file_that_is_missing(listed, tmp_path):
    brainvision(tmp_path, data_file=listed)
    (tmp_path / "subject.eeg").unlink()
    reason = reasons_in("brainvision", tmp_path)["subject.vhdr"]
    name = listed.rpartition("/")[2]
    assert reason == (f"its data file {name} is missing" if name else "names no data file")


def test_an_offset_and_big_endian_samples(tmp_path):
    (samples,) = brainvision(tmp_path)
    rewrite(tmp_path, b"DataFormat=BINARY", b"DataFormat=BINARY\nDataOffset=6\nUseBigEndianOrder=YES")
    path = tmp_path / "subject.eeg"
    path.write_bytes(b"offset" + samples.astype(">i2").tobytes() + b"xyz")
    found = only(tmp_path)
    assert found.big_endian
    assert found.notes == ("3 bytes after the last whole frame, which are stored as they are",)
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"=BINARY", b"=ASCII", "contains samples as ASCII; only BINARY is supported"),
        (b"DataFormat=", b"Data=", "contains samples as an unknown format; only BINARY is supported"),
        (b"INT_16", b"INT_8", "contains samples of another type than INT_16, UINT_16, INT_32, IEEE_FLOAT_32"),
        (b"=MULTI", b"=OTHER", "contains samples in an order that is neither MULTIPLEXED nor VECTORIZED"),
        (b"=200", b"=0", "SamplingInterval in its .vhdr is not a sampling rate in Hz"),
        (b"Channels=4", b"Channels=x", "NumberOfChannels in its .vhdr is not a whole number of 1 or more"),
        (b"Channels=4", b"Channels=4000", "contains no samples"),
        (b"=200", b"=200\nDataOffset=-1", "DataOffset in its .vhdr is not a whole number of 0 or more"),
        (b"=200", b"=200\nDataOffset=4000", "contains no samples"),
    ],
)
def test_headers_that_do_not_suffice(old, new, reason, tmp_path):
    brainvision(tmp_path)
    rewrite(tmp_path, old, new)
    assert reasons_in("brainvision", tmp_path) == {"subject.eeg": reason}


def test_vectorized_samples_that_are_cut(tmp_path):
    brainvision(tmp_path, orientation="VECTORIZED")
    path = tmp_path / "subject.eeg"
    path.write_bytes(path.read_bytes()[:-8])
    cut = "is cut short within the samples of a channel (VECTORIZED), so that the others' are missing"
    assert reasons_in("brainvision", tmp_path) == {"subject.eeg": cut}
    rewrite(tmp_path, b"DataPoints=500", b"DataPoints=499")
    assert only(tmp_path).frames == 499
    path.write_bytes(path.read_bytes() + b"trailer")
    assert only(tmp_path).notes == ("7 bytes after the samples, which are stored as they are",)


def test_vectorized_samples_that_are_too_many(tmp_path, monkeypatch):
    brainvision(tmp_path, orientation="VECTORIZED")
    monkeypatch.setattr(parser, "LARGEST_RECORD", 3999)
    reason = "has its samples channel after channel (VECTORIZED) in more than 3,999 bytes, which is not supported"
    assert reasons_in("brainvision", tmp_path) == {"subject.eeg": reason}


def test_a_header_that_is_empty_hinders_no_other(tmp_path):
    brainvision(tmp_path)
    (tmp_path / "empty.vhdr").write_bytes(b"")
    assert reasons_in("brainvision", tmp_path) == {"empty.vhdr": "names no data file"}
    assert len(parsed("brainvision", tmp_path).recordings) == 1

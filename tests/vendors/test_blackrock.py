"""Blackrock: packets of all specifications, pauses, and files that were not finished."""

from __future__ import annotations

import numpy as np
import pytest

from kit.mapped import samples_of
from kit.parsing import mapped_in, reasons_in
from kit.vendor_files import blackrock
from spikey.recording.sample_map import Rest, Run, Samples
from spikey.vendors import blackrock as parser

FIELDS = (Rest(1), Rest(4), Rest(4))
FRAME = Samples(1, 0, 3)


def only(folder):
    (found,) = mapped_in("blackrock", folder)
    return found


def test_pauses_begin_packets(tmp_path):
    samples = blackrock(tmp_path / "a.ns5", packets=(300, 200))
    found = only(tmp_path)
    head = Run(1, (Rest(314 + 3 * 66),))
    assert found.files[0].runs == (head, Run(1, FIELDS), Run(300, (FRAME,)), Run(1, FIELDS), Run(200, (FRAME,)))
    assert found.layout.rate == 10_000
    np.testing.assert_array_equal(samples_of(found), samples)


def test_a_packet_for_each_frame_is_one_run(tmp_path):
    blackrock(tmp_path / "a.ns6", packets=(1,) * 900, spec=(3, 0), resolution=10**9)
    found = only(tmp_path)
    assert found.files[0].runs[1:] == (Run(900, (Rest(1), Rest(8), Rest(4), FRAME)),)
    assert found.layout.rate == 10_000  # whatever the resolution of timestamps is


@pytest.mark.parametrize("at_once", [1, 100, 1 << 22])
def test_packets_of_one_length_are_one_run_wherever_others_are(at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(parser, "AT_ONCE", at_once)
    samples = blackrock(tmp_path / "a.ns6", packets=(*(1,) * 70, 5, *(2,) * 80, *(1,) * 3, 90), spec=(3, 0))
    found = only(tmp_path)
    assert [run.count for run in found.files[0].runs] == [1, 70, 1, 5, 80, 3, 1, 90]
    np.testing.assert_array_equal(samples_of(found), samples)


@pytest.mark.parametrize("listed", [0, 201, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("before", [(), (300,), (300, 0)])
def test_a_packet_that_was_not_finished_has_the_rest_of_the_file(listed, before, tmp_path):
    samples = blackrock(tmp_path / "a.ns5", packets=(*before, 200), unfinished=listed)
    found = only(tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples)
    assert not found.notes


def test_an_empty_packet_before_one_that_is_cut(tmp_path):
    path = tmp_path / "a.ns5"
    samples = blackrock(path, packets=(0, 200))
    path.write_bytes(path.read_bytes()[:-8])
    np.testing.assert_array_equal(samples_of(only(tmp_path)), samples[:-2])


def test_bytes_after_the_packets_are_no_samples(tmp_path):
    samples = blackrock(tmp_path / "a.ns5", after=b"\0garbage")
    found = only(tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples)
    assert found.notes == ("8 bytes after the last whole frame of the last packet, which are stored as they are",)


@pytest.mark.parametrize("spec", [(2, 1), (2, 2), (2, 3), (3, 0)])
def test_specifications(spec, tmp_path):
    samples = blackrock(tmp_path / "a.NS2", packets=(300,), spec=spec)
    found = only(tmp_path)
    np.testing.assert_array_equal(samples_of(found), samples)
    assert found.layout.rate == (2_000 if spec == (2, 1) else 10_000)


def test_files_of_one_stem_and_events_beside(tmp_path):
    for name in ("a.ns2", "a.ns5", "a.ns6"):
        blackrock(tmp_path / name)
    for name in ("a.nev", "a.ccf", "a.ns0", "a.nsx"):
        (tmp_path / name).write_bytes(b"NEURALEV")
    assert [each.files[0].path.name for each in mapped_in("blackrock", tmp_path)] == ["a.ns2", "a.ns5", "a.ns6"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "contains no samples"),
        (lambda data: data[:300], "ends within its header"),
        (lambda data: data[:314], "ends within its header"),
        (lambda data: data[: 314 + 198], "contains no samples"),
        (lambda data: data[: 314 + 198 + 5], "contains no samples"),
        (lambda data: data[: 314 + 198 + 9], "contains no samples"),
        (lambda data: b"NEURALEV" + data[8:], "does not begin with the mark of a Blackrock file"),
        (lambda data: data[:310] + bytes(4) + data[314:], "a recording has 1 to 16,777,216 channels, not 0"),
        (lambda data: data[:10] + b"\xff" * 4 + data[14:], "ends within its header"),
    ],
)
def test_files_that_are_no_recordings(change, reason, tmp_path):
    path = tmp_path / "a.ns5"
    blackrock(path, packets=(300,))
    path.write_bytes(change(path.read_bytes()))
    assert reasons_in("blackrock", tmp_path) == {"a.ns5": reason}


def test_a_file_of_ever_changing_packets_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parser, "MOST_FORMS", 50)
    blackrock(tmp_path / "a.ns5", packets=(1, 2) * 25)
    blackrock(tmp_path / "b.ns5", packets=(1,) * 200)
    assert len(mapped_in("blackrock", tmp_path)) == 2
    blackrock(tmp_path / "a.ns5", packets=(1, 2) * 26)
    assert reasons_in("blackrock", tmp_path) == {"a.ns5": "changes the length of its packets more than 50 times"}

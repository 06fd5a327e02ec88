"""Open Ephys' binary format: streams that `structure.oebin` lists and that are there."""

from __future__ import annotations

import json

import pytest

from kit.parsing import mapped_in, parsed, reasons_in
from kit.vendors import open_ephys


@pytest.fixture
def session(tmp_path):
    open_ephys(tmp_path, frames=50, recordings=2)
    return tmp_path


def rewrite(session, change):
    """Change what `structure.oebin` of the first recording contains."""
    path = next(session.rglob("recording1/structure.oebin"))
    contents = json.loads(path.read_text())
    change(contents["continuous"])
    path.write_text(json.dumps(contents))
    return path.relative_to(session).as_posix()


def test_channels_and_rates(session):
    found = mapped_in("openephysbinary", session)
    assert [(each.layout.channels, each.layout.rate) for each in found] == [(8, 30000), (13, 30000)] * 2


def test_a_stream_without_samples(session):
    path = next(session.rglob("recording2/continuous/*ProbeA/continuous.dat"))
    path.write_bytes(b"")
    assert reasons_in("openephysbinary", session) == {path.relative_to(session).as_posix(): "contains no samples"}
    assert len(parsed("openephysbinary", session).recordings) == 3


def test_a_stream_that_is_missing(session):
    next(session.rglob("recording2/continuous/*ProbeA/continuous.dat")).unlink()
    assert len(mapped_in("openephysbinary", session)) == 3


def test_a_stream_that_is_not_listed_is_beside(session):
    rewrite(session, lambda streams: streams.pop())
    assert len(mapped_in("openephysbinary", session)) == 3


def test_a_partial_frame_is_noted(session):
    path = next(session.rglob("recording1/continuous/*ProbeA/continuous.dat"))
    path.write_bytes(path.read_bytes() + b"123")
    notes = [each.notes for each in mapped_in("openephysbinary", session)]
    assert notes == [(), ("3 bytes after the last whole frame, which are stored as they are",), (), ()]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON text"),
        ('{"continuous": [', "is not JSON text"),
        ('{"a":' * 100000, "is not JSON text"),
        ("[]", "does not describe a recording"),
        ('{"continuous": 3}', "does not describe a recording"),
    ],
)
def test_a_structure_that_is_damaged_hinders_no_other(text, reason, session):
    path = next(session.rglob("recording1/structure.oebin"))
    path.write_text(text)
    assert reasons_in("openephysbinary", session) == {path.relative_to(session).as_posix(): reason}
    assert len(parsed("openephysbinary", session).recordings) == 2


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("num_channels", 0, "num_channels in structure.oebin is not a whole number of 1 or more"),
        ("num_channels", True, "num_channels in structure.oebin is not a whole number of 1 or more"),
        ("num_channels", [8], "num_channels in structure.oebin is not a whole number of 1 or more"),
        ("num_channels", 10**400, "num_channels in structure.oebin is not a whole number of 1 or more"),
        ("sample_rate", "x", "sample_rate in structure.oebin is not a sampling rate in Hz"),
        ("sample_rate", 10**400, "sample_rate in structure.oebin is not a sampling rate in Hz"),
        ("sample_rate", None, "sample_rate in structure.oebin is not a sampling rate in Hz"),
    ],
)
def test_a_stream_that_is_described_wrongly(key, value, reason, session):
    rewrite(session, lambda streams: streams[0].update({key: value}))
    assert list(reasons_in("openephysbinary", session).values()) == [reason]
    assert len(parsed("openephysbinary", session).recordings) == 3


def test_names_of_streams_lead_only_to_files_of_the_unit(session):
    """Names of other folders, of none, the same folder twice, and Windows' separators."""

    def change(streams):
        streams[1]["folder_name"] = streams[1]["folder_name"].rstrip("/") + "\\"
        streams.append(streams[0])
        streams.append(streams[0] | {"folder_name": f"./x/../{streams[0]['folder_name']}"})
        streams += [{"folder_name": "../../../../../../etc"}, {"folder_name": 3}, {}, "text", {"folder_name": "a\0b"}]

    rewrite(session, change)
    assert len(mapped_in("openephysbinary", session)) == 4

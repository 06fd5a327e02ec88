"""What travels beside the samples, and the reader as something like an array."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import spikey
from kit import reference
from kit.writing import write_file
from spikey.cli import app
from spikey.cli.info import describe
from spikey.codec.method import LPC
from spikey.coding.packed_bytes import PIECE
from spikey.container.contents import packed_record
from spikey.container.extra import Extra, safe_name, side_file
from spikey.container.layout import BLOCK_FILES
from spikey.container.reader import Reader
from spikey.container.records import METADATA, RECORDS
from spikey.files.compress import Output, write_recording
from spikey.files.decompress import verify_file
from spikey.files.settings import Settings
from spikey.files.side_files import write_side_files
from spikey.recording.layout import Layout, pack
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate

SAMPLES = simulate(900, 3, seed=1)
METADATA_OF_A_TEST = {"source": {"file": "a/b.bin"}, "note": "µV", "streams": []}


def written(extra: Extra | None, block_frames: int | None = None) -> bytes:
    out = io.BytesIO()
    write_file(ArraySource(SAMPLES, 30_000), out, LPC, extra=extra, block_frames=block_frames)
    return out.getvalue()


@pytest.fixture
def side(tmp_path):
    """Side files of all sizes that matter, and what they hold."""
    long = bytes(range(256)) * (PIECE // 256) + b"z"
    contents = {"a/b.meta": b"key=value\r\n" * 50, "empty": b"", "times.npy": long, "a/ä b.txt": b"x"}
    files = []
    for number, (name, content) in enumerate(contents.items()):
        path = tmp_path / f"{number}"
        path.write_bytes(content)
        files.append(side_file(name, path))
    return Extra(METADATA_OF_A_TEST, tuple(files)), contents


def test_metadata_travel_in_one_piece_and_in_blocks():
    for block_frames in (None, 256):
        data = written(Extra(METADATA_OF_A_TEST), block_frames)
        with Reader(data) as reader:
            assert reader.metadata == METADATA_OF_A_TEST and reader.files == {}
            assert reader.header.single == (block_frames is None)
            np.testing.assert_array_equal(reader[:], SAMPLES)
        assert reference.decode(data) == pack(SAMPLES, Layout(3, 30_000, "int16"))
    with Reader(written(None)) as reader:
        assert reader.metadata == {}


def test_blocks_are_as_long_as_asked_for():
    with Reader(written(None, 256)) as reader:
        assert [block.extent[:2] for block in reader.structure.blocks] == [(0, 256), (256, 512), (512, 768), (768, 900)]
    out = io.BytesIO()
    write_file(ArraySource(SAMPLES[:, :1], 30_000), out, LPC, block_frames=500)
    with Reader(out.getvalue()) as reader:
        assert [block.frames for block in reader.structure.blocks] == [500, 400]


def test_side_files_come_back(side, tmp_path):
    extra, contents = side
    data = written(extra)
    assert reference.decode(data) == pack(SAMPLES, Layout(3, 30_000, "int16"))
    with Reader(data) as reader:
        assert reader.files == {name: len(content) for name, content in contents.items()}
        for _ in range(2):  # the second time they are there already
            paths = write_side_files(reader, tmp_path / "out")
            assert {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in paths} == contents
        assert len(list((tmp_path / "out").rglob("*.part"))) == 0
        (tmp_path / "out/empty").write_bytes(b"no more")
        (tmp_path / "out/a/b.meta").unlink()
        with pytest.raises(spikey.UsageError, match="empty: exists and differs"):
            write_side_files(reader, tmp_path / "out")
        assert not (tmp_path / "out/a/b.meta").exists()


def test_readers_of_before_skip_them(side, monkeypatch):
    data = written(side[0])
    monkeypatch.delitem(RECORDS._records, "metadata")
    with Reader(data) as reader:
        assert reader.metadata == {}
        np.testing.assert_array_equal(reader[:], SAMPLES)


def test_damaged_side_files_are_found(side, tmp_path):
    data = bytearray(written(side[0]))
    with Reader(bytes(data)) as reader:
        block = next(block for block in reader.structure.blocks if block.kind == BLOCK_FILES)
    data[block.offset + 5] ^= 1
    path = tmp_path / "a.spky"
    path.write_bytes(data)
    with pytest.raises(spikey.DamagedError, match="bytes 0 to"):
        verify_file(path)
    with Reader(path) as reader:
        with pytest.raises(spikey.DamagedError):
            write_side_files(reader, tmp_path / "out")
        np.testing.assert_array_equal(reader[:], SAMPLES)
    assert list((tmp_path / "out").rglob("*.part")) == []


def test_times_among_side_files_take_next_to_nothing(tmp_path):
    """Whatever lies before them, as in a folder of Open Ephys, and in files of several pieces."""
    frames, files = np.arange(600_000), []
    for name, content in (
        ("structure.oebin", b"{}" * 333),
        ("sample_numbers.npy", frames + 1_867_001),
        ("settings.xml", b"<x/>" * 99 + b"odd"),
        ("timestamps.npy", (frames + 1_867_001) / 30_000),
        ("short.npy", frames[:20]),
    ):
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
        files.append(side_file(name, path))
    with Reader(written(Extra(METADATA_OF_A_TEST, tuple(files)))) as reader:
        pieces = [block for block in reader.structure.blocks if block.kind == BLOCK_FILES]
        assert len(pieces) == 7 and sum(block.size for block in pieces) < 1500
        write_side_files(reader, tmp_path / "out")
    for file in files:
        assert (tmp_path / "out" / file.name).read_bytes() == (tmp_path / file.name).read_bytes()


class Named(ArraySource):
    name = "samples of a test"


def test_a_side_file_that_changes_is_noticed(side, tmp_path):
    extra, _ = side
    Path(extra.files[0].path).write_bytes(b"short")
    with pytest.raises(spikey.DataError, match="had 550 bytes when it was found and has 5 now"):
        written(extra)

    class Changing(Extra):
        def chunks(self):
            seen.append(b"xy"[len(seen) : len(seen) + 1])
            yield seen[-1]

    seen: list[bytes] = []
    Path(extra.files[0].path).write_bytes(b"x")
    changing = Changing({}, (side_file("x", extra.files[0].path),))
    with pytest.raises(spikey.SpikeyError, match="changed while it was read"):
        write_recording(Named(SAMPLES, 1), Output(tmp_path / "a.spky"), Settings(), extra=changing)
    assert not list(tmp_path.glob("*a.spky*"))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../up", "a//b", "a/./b", "", "C:/x", "a\\b", "nul", "a/COM1.txt", "a\nb", "x" * 1001, "a/"]
)
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(spikey.DataError, match="valid name"):
        safe_name(name)
    header = Reader(written(None)).header
    bad = json.dumps({"files": [{"name": name, "size": 3}]}).encode()
    header.records.append((METADATA, packed_record(bad)))
    with Reader(remade(header)) as reader, pytest.raises(spikey.DataError, match="has an invalid name of a side file"):
        _ = reader.metadata


def remade(header) -> bytes:
    """A file of no samples with this header."""
    import struct
    import zlib

    header.frames = 0
    front = header.write() + b"\0"
    return front + struct.pack("<I", zlib.crc32(front))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"files": 3}',
        b'{"files": [{"name": "a", "size": -1}]}',
        b'{"source": 1}',
        b'{"streams": [{"name": 3}]}',
        b"[" * 100_000,
    ],
)
def test_malformed_metadata_leave_the_samples_alone(text):
    header = Reader(written(None)).header
    header.records.append((METADATA, packed_record(text)))
    with Reader(remade(header)) as reader:
        assert reader[:].shape == (0, 3)
        with pytest.raises(spikey.DataError, match="malformed"):
            _ = reader.metadata


def test_what_cannot_be_kept_is_said():
    with pytest.raises(spikey.UsageError, match="JSON"):
        written(Extra({"a": object()}))
    with pytest.raises(spikey.UsageError, match="too many"):
        written(Extra({"a": "x" * (1 << 24)}))
    with pytest.raises(spikey.UsageError, match="packed"):
        written(Extra({"a": np.random.default_rng(0).bytes((1 << 20) + 4096).hex()}))


def test_the_commands_tell_and_restore_them(side, tmp_path):
    extra, contents = side
    path = tmp_path / "b.spky"
    write_recording(Named(SAMPLES, 30_000), Output(path), Settings(), extra=extra)
    assert describe(path)["side_files"] == {name: len(content) for name, content in contents.items()}
    run = CliRunner()
    assert "a/b.meta 550" in run.invoke(app, ["info", str(path)]).output
    done = run.invoke(app, ["decompress", str(path), str(tmp_path / "alone.bin")])
    assert done.exit_code == 0 and "also contains a/b.meta and 3 more files" in done.output
    done = run.invoke(app, ["decompress", str(path), f"{tmp_path}/whole/"])
    assert done.exit_code == 0, done.output
    found = {p.relative_to(tmp_path / "whole").as_posix(): p for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    assert {name: found.pop(name).read_bytes() for name in contents} == contents
    assert found.pop("a/b.bin").read_bytes() == pack(SAMPLES, Layout(3, 30_000, "int16")) and not found


def test_it_is_like_an_array():
    with Reader(written(None)) as reader:
        assert (reader.ndim, reader.size, reader.nbytes, len(reader)) == (2, 2700, 5400, 900)
        assert reader.file_size == len(written(None))
        assert np.asarray(reader, dtype=np.float32).dtype == np.float32
        with pytest.raises(ValueError, match="copy"):
            np.array(reader, copy=False)


indices = st.one_of(
    st.integers(-900, 899),
    st.slices(900),
    st.lists(st.integers(-900, 899), max_size=9),
    st.lists(st.booleans(), min_size=900, max_size=900).map(np.array),
)
channels = st.one_of(
    st.integers(-3, 2),
    st.slices(3),
    st.lists(st.integers(-3, 2), max_size=5),
    st.lists(st.booleans(), min_size=3, max_size=3),
)


@given(indices, channels)
@settings(max_examples=60, deadline=None)
def test_it_is_indexed_as_numpy_does(rows, columns):
    def plain(key):
        return np.array(key, dtype=int) if isinstance(key, list) and not key else key

    with Reader(BLOCKED) as reader:
        if isinstance(rows, list | np.ndarray) and isinstance(columns, list | np.ndarray):
            try:
                wanted = SAMPLES[plain(rows), plain(columns)]
            except IndexError:
                with pytest.raises(IndexError, match="do not make pairs"):
                    reader[rows, columns]
            else:
                np.testing.assert_array_equal(reader[rows, columns], wanted)
        else:
            np.testing.assert_array_equal(reader[rows, columns], SAMPLES[plain(rows)][..., plain(columns)])


BLOCKED = written(None, 100)


def test_the_blocks_of_one_time_stay_decoded():
    samples = np.random.default_rng(0).integers(-9, 9, (40_000, 300), dtype=np.int16)
    out = io.BytesIO()
    write_file(ArraySource(samples, 30_000), out, LPC, jobs=2)
    with Reader(out.getvalue()) as reader:
        decoded = []
        content = reader.decoder.content
        reader.decoder.content = lambda block: decoded.append(block) or content(block)
        for first in range(0, 40_000, 10_000):
            np.testing.assert_array_equal(reader[first : first + 10_000], samples[first : first + 10_000])
        assert len(decoded) == len(reader.structure.blocks)

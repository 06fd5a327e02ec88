"""`spikey repair`: recordings without an index are completed, and no file is made worse."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.commands import refused
from spikey import DamagedError, DataError, UsageError
from spikey.container.growing import GrowingFile
from spikey.container.layout import SYNC
from spikey.files.decompress import decompress_file
from spikey.files.repair import repair_file
from spikey.recording.simulate import simulate

CHANNELS, RATE, BLOCK = 3, 20_000, 500
SAMPLES = simulate(5 * BLOCK, CHANNELS, RATE, seed=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, list[tuple[int, int]]]:
    """A recording's file, and where its blocks begin and end."""
    path = tmp_path_factory.mktemp("whole") / "a.spky"
    with spikey.create(path, CHANNELS, RATE, block_frames=BLOCK) as writer:
        writer.append(SAMPLES)
    with spikey.open(path) as reader:
        places = [(block.offset - len(block.write()), block.offset + block.size) for block in reader.structure.blocks]
    return path.read_bytes(), places


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.spky"


def assert_complete(path: Path, samples: np.ndarray) -> None:
    with spikey.open(path) as reader:
        assert reader.complete
        np.testing.assert_array_equal(reader[:], samples)


def test_every_cut_is_completed(whole, path):
    """Within a block, between blocks, within the index: what is behind the last whole block is cut off."""
    data, places = whole
    begin, end = places[3]
    cuts = {begin, begin + 1, begin + 20, (begin + end) // 2, end - 1, end, end + 1, places[-1][1], len(data) - 1}
    for cut in sorted(cuts | {places[0][0]}):
        path.write_bytes(data[:cut])
        blocks = [place for place in places if place[1] <= cut]
        kept = blocks[-1][1] if blocks else places[0][0]
        done = repair_file(path)
        assert (done.needed, done.frames, done.cut) == (True, BLOCK * len(blocks), cut - kept)
        assert_complete(path, SAMPLES[: done.frames])
        assert path.read_bytes()[:kept] == data[:kept]
        assert path.read_bytes() == data or len(blocks) < len(places)


def test_it_may_be_another_file(whole, path, tmp_path):
    data, places = whole
    path.write_bytes(data[: places[3][1] - 7])
    os.utime(path, (1000, 1000))
    done = repair_file(path, tmp_path / "b.spky", jobs=2)
    assert done.frames == 3 * BLOCK and path.read_bytes() == data[: places[3][1] - 7]
    assert_complete(tmp_path / "b.spky", SAMPLES[: 3 * BLOCK])
    with pytest.raises(UsageError, match="exists"):
        repair_file(path, tmp_path / "b.spky")
    repair_file(path, tmp_path / "b.spky", overwrite=True)
    with pytest.raises(UsageError, match="read and written"):
        repair_file(path, path, overwrite=True)


def test_a_damaged_block_is_reported_and_nothing_changes(whole, path, tmp_path):
    data, places = whole
    damaged = bytearray(data[: places[-1][1]])
    damaged[(places[1][0] + places[1][1]) // 2] ^= 1
    path.write_bytes(damaged)
    for out in (None, tmp_path / "b.spky"):
        with pytest.raises(DamagedError, match=f"frames {BLOCK} to {2 * BLOCK}.*stays as it is") as error:
            repair_file(path, out)
        assert error.value.ranges == [(BLOCK, 2 * BLOCK, 0, CHANNELS)]
    assert path.read_bytes() == damaged and not (tmp_path / "b.spky").exists()
    outcome, lost = decompress_file(path, tmp_path / "a.dat", salvage=True)
    assert outcome.original == SAMPLES.nbytes and lost == [(BLOCK, 2 * BLOCK, 0, CHANNELS)]


def test_a_damaged_header_in_the_middle_is_reported(whole, path):
    data, places = whole
    damaged = bytearray(data[: places[-1][1]])
    damaged[places[2][0] + 6] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError):
        spikey.open(path)
    with pytest.raises(DamagedError, match=f"bytes {places[2][0]} to {places[2][1]}"):
        repair_file(path)
    assert path.read_bytes() == damaged


def test_damage_at_the_end_is_left_out_only_of_another_file(whole, path, tmp_path):
    data, places = whole
    for at in (places[-1][1] - 5, places[-1][0] + 6):  # in its payload, in its header
        damaged = bytearray(data[: places[-1][1]])
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(DamagedError, match="--output leaves out"):
            repair_file(path)
        assert path.read_bytes() == damaged
        assert repair_file(path, tmp_path / "b.spky", overwrite=True).frames == 4 * BLOCK
        assert_complete(tmp_path / "b.spky", SAMPLES[: 4 * BLOCK])


def test_zeros_that_a_power_failure_left_are_cut_off(whole, path):
    data, places = whole
    path.write_bytes(data[: places[2][1]] + bytes(100_000))
    done = repair_file(path)
    assert (done.frames, done.cut) == (3 * BLOCK, 100_000)
    assert_complete(path, SAMPLES[: 3 * BLOCK])


def test_a_mark_within_what_is_cut_off_is_no_block(whole, path):
    data, places = whole
    path.write_bytes(data[: places[2][1]] + SYNC + bytes(50))
    assert repair_file(path).frames == 3 * BLOCK
    assert_complete(path, SAMPLES[: 3 * BLOCK])


def test_what_is_complete_or_no_recording_stays(whole, path, tmp_path):
    data, _ = whole
    path.write_bytes(data)
    assert not repair_file(path).needed and path.read_bytes() == data
    blocked = spikey.compress(simulate(70_000, 20, RATE, seed=1), RATE)
    for content, says in (
        (b"RIFF....WAVE", "not a Spikey file"),
        (b"", "empty"),
        (data[:10], "too early"),
        (blocked[:-30], "--salvage"),
        (spikey.compress(SAMPLES, RATE)[:-30], "single|one piece|checksum|damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=says):
            repair_file(path)
            spikey.open(path)[:]
        assert path.read_bytes() == content
    with pytest.raises(DataError, match="does not exist"):
        repair_file(tmp_path / "none.spky")
    with pytest.raises(UsageError, match="download"):
        repair_file("https://example.org/a.spky")


def test_a_recording_that_is_written_is_refused(path, tmp_path):
    with spikey.create(path, CHANNELS, RATE, block_frames=BLOCK) as writer:
        writer.append(SAMPLES)
        writer.flush()
        for out in (None, tmp_path / "b.spky"):
            with pytest.raises(DataError, match="is being written by another program"):
                repair_file(path, out)
        writer.append(SAMPLES)
    assert_complete(path, np.tile(SAMPLES, (2, 1)))
    assert [each.name for each in tmp_path.iterdir()] == ["a.spky"]


def test_the_command(whole, path, tmp_path, run):
    data, places = whole
    path.write_bytes(data[: places[3][1] - 9])
    status, out, err = run("info", path)
    assert status == 0 and "complete  no" in out and "has no index" in err
    for command in (("verify", path), ("decompress", path, tmp_path / "a.dat")):
        status, out, err = run(*command)
        assert status == 0 and "has no index" in err and "spikey repair" in err, (command, err)
    assert (tmp_path / "a.dat").stat().st_size == 3 * BLOCK * CHANNELS * 2
    status, out, err = run("repair", path, "--output", tmp_path / "b.spky")
    assert status == 0 and "1,500 frames" in out and "bytes of an unfinished block were" in out
    refused(run("repair", path, "--output", tmp_path / "b.spky"), 2, "b.spky")
    assert run("repair", path, "--output", tmp_path / "b.spky", "--force")[0] == 0
    status, out, err = run("repair", path)
    assert status == 0 and "completed" in out
    status, out, err = run("repair", path)
    assert (status, out) == (0, f"{path}: is complete; nothing to do\n")
    status, out, err = run("info", path)
    assert "complete  yes" in out and "has no index" not in err
    assert_complete(path, SAMPLES[: 3 * BLOCK])


def test_the_command_with_what_cannot_be_completed(whole, path, tmp_path, run):
    data, places = whole
    path.write_bytes(data[: places[0][1] - 30] + bytes(30) + data[places[0][1] : places[-1][1]])
    other = tmp_path / "b.spky"
    other.write_bytes(data[: places[-1][1]])
    refused(run("repair", path), 1, path, "stays as it is")
    refused(run("repair", tmp_path / "none.spky"), 1, "none.spky")
    refused(run("repair", path, other, "-o", tmp_path / "c.spky"), 2, "--output")
    status, out, err = run("repair", path, other)
    assert status == 1 and "1 of 2 files could not be completed" in err and f"{other}: completed" in out
    assert_complete(other, SAMPLES)


def test_a_file_that_cannot_be_opened_for_writing_is_named(whole, path, monkeypatch):
    data, places = whole
    path.write_bytes(data[: places[1][1]])

    def denied(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("spikey.files.repair.os.open", denied)
    with pytest.raises(UsageError, match=r"a\.spky: cannot be written \(Permission denied\)"):
        repair_file(path)


def test_a_growing_file_without_blocks_is_removed_after_an_error(whole, path):
    with spikey.create(path.with_name("b.spky"), CHANNELS, RATE) as writer:
        header = writer._file._blocks
    assert header is not None
    with (
        spikey.open(path.with_name("b.spky")) as reader,
        pytest.raises(ZeroDivisionError),
        GrowingFile(path, reader.header),
    ):
        raise ZeroDivisionError
    assert not path.exists()

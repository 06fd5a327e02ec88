"""Groups of channels of a wide block: decoded alone, checked alone, lost alone, shared among threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import spikey
from kit.blocks import packed
from spikey.base.errors import DamagedError
from spikey.codec.registry import preset_method
from spikey.codec.wide import engine
from spikey.container.reader import Reader
from spikey.container.salvage import runs

FRAMES, CHANNELS = 2000, 70
WIDE = preset_method("fast")


def signal() -> np.ndarray:
    """Channels of three shanks, each with a signal of its own, in a mixed order."""
    random = np.random.default_rng(3)
    shanks = np.cumsum(random.normal(size=(FRAMES, 3)), axis=0)
    noise = random.normal(size=(FRAMES, CHANNELS)) * 5
    return (shanks[:, np.arange(CHANNELS) % 3] * 10 + noise).round().astype(np.int16)


SAMPLES = signal()


@pytest.fixture(scope="module")
def data() -> bytes:
    """A file of two blocks."""
    return packed(SAMPLES, WIDE, block_frames=FRAMES // 2)


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """How many channels each group has that is decoded."""
    found: list[int] = []
    original = engine.decode_group

    def counted(payload, directory, place, *others):
        found.append(len(directory.groups[place]))
        return original(payload, directory, place, *others)

    monkeypatch.setattr(engine, "decode_group", counted)
    return found


def test_one_channel_takes_one_group_of_each_block(data, decoded):
    with Reader(data) as reader:
        assert [len(reader.decoder.groups(block).channels) for block in reader.structure.blocks] == [3, 3]
        np.testing.assert_array_equal(reader[:, 41], SAMPLES[:, 41])
        assert len(decoded) == 2 and max(decoded) <= 32
        np.testing.assert_array_equal(reader[100:900, 41], SAMPLES[100:900, 41])
        assert len(decoded) == 2  # they are in memory
        others = reader.decoder.groups(reader.structure.blocks[0]).channels[0][::-1]
        np.testing.assert_array_equal(reader[:900][:, others], SAMPLES[:900, others])


def test_all_channels_take_a_block_once_and_then_none(data, decoded):
    with Reader(data) as reader:
        np.testing.assert_array_equal(reader[:], SAMPLES)
        assert len(decoded) == 6
        for channel in range(CHANNELS):
            np.testing.assert_array_equal(reader[:, channel], SAMPLES[:, channel])
        assert len(decoded) == 6


def test_parts_and_whole_blocks_do_not_mix(data):
    with Reader(data) as reader:
        groups = reader.decoder.groups(reader.structure.blocks[0]).channels
        one, other = (group[0] for group in groups[:2])
        some = [other, one, other]
        np.testing.assert_array_equal(reader[5:1500, [one]], SAMPLES[5:1500, [one]])
        np.testing.assert_array_equal(reader[5:1500][:, some], SAMPLES[5:1500][:, some])
        np.testing.assert_array_equal(reader[10:1200:7, some], SAMPLES[10:1200:7, some])
        np.testing.assert_array_equal(reader[:], SAMPLES)
        np.testing.assert_array_equal(reader[3, ::-1], SAMPLES[3, ::-1])


def with_a_damaged_group(data: bytes) -> tuple[bytes, np.ndarray]:
    """A file with a bit of the second block's last group flipped, and the group's channels."""
    with Reader(data) as reader:
        block = reader.structure.blocks[1]
        groups = reader.decoder.groups(block).channels
    broken = bytearray(data)
    broken[block.offset + block.size - 9] ^= 4
    return bytes(broken), groups[-1]


def test_a_damaged_group_loses_only_itself(data):
    broken, lost = with_a_damaged_group(data)
    whole = np.setdiff1d(np.arange(CHANNELS), lost)
    with Reader(broken) as reader:
        np.testing.assert_array_equal(reader[:, whole[3]], SAMPLES[:, whole[3]])
        with pytest.raises(
            DamagedError, match="1000 to 2000 of channels 0 to 69: a group of channels is damaged"
        ) as error:
            reader[:, lost[2]]
        half = FRAMES // 2
        ranges = [(half, FRAMES, first, end) for first, end in runs(lost)]
        assert error.value.ranges == ranges
        with pytest.raises(DamagedError, match="channels 0 to 69"):
            reader[:]
    wanted = SAMPLES.copy()
    wanted[half:, lost] = 0
    with Reader(broken, salvage=True) as reader:
        np.testing.assert_array_equal(reader[:], wanted)
        assert sorted(reader.lost) == ranges
    with Reader(broken, salvage=True) as reader:
        for channel in range(CHANNELS):
            np.testing.assert_array_equal(reader[:, channel], wanted[:, channel])
        assert sorted(set(reader.lost)) == ranges


def test_what_comes_before_the_groups_is_covered_by_each_checksum(data):
    with Reader(data) as reader:
        block = reader.structure.blocks[1]
    for at in range(12):
        broken = bytearray(data)
        broken[block.offset + at] ^= 1
        with Reader(bytes(broken)) as reader, pytest.raises(DamagedError):
            reader[FRAMES // 2 :, 41]


@pytest.mark.parametrize("frames", [FRAMES, FRAMES // 2], ids=["one block", "several"])
def test_threads_give_the_same_bytes(frames):
    written = [packed(SAMPLES, WIDE, block_frames=frames, jobs=jobs) for jobs in (0, 1, 2, 5)]
    assert len(set(written)) == 1
    for jobs in (1, 2, 5):
        with Reader(written[0]) as reader:
            np.testing.assert_array_equal(reader.read(0, FRAMES, jobs=jobs), SAMPLES)


def test_groups_of_one_block_are_coded_by_several_threads(monkeypatch):
    both = threading.Barrier(2, timeout=60)
    waited = []
    original = engine.encode_group

    def meets(*arguments):
        if len(waited) < 2:
            waited.append(threading.get_ident())
            both.wait()
        return original(*arguments)

    monkeypatch.setattr(engine, "encode_group", meets)
    data = spikey.compress(SAMPLES, 30_000, jobs=2)
    assert len(set(waited)) == 2
    np.testing.assert_array_equal(spikey.decompress(data, jobs=2).samples, SAMPLES)

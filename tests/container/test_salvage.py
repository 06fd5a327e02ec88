"""What is whole in a damaged file is restored, and what is lost is named."""

from __future__ import annotations

import numpy as np
import pytest

from kit.blocks import bytes_file, many_blocks, packed, restored
from spikey.base.errors import DamagedError, DataError
from spikey.container import layout as lay
from spikey.container import writer as writer_module
from spikey.container.layout import Block
from spikey.container.reader import Reader
from spikey.container.salvage import uncovered
from spikey.recording.simulate import simulate


def test_a_damaged_block_loses_only_itself(small_blocks):
    samples, data = many_blocks()
    with Reader(data) as whole:
        victim = whole.structure.blocks[4]
    assert victim.extent == (100, 200, 2, 4)
    damaged = bytearray(data)
    damaged[victim.offset + victim.size // 2] ^= 1
    damaged = bytes(damaged)
    with Reader(damaged) as reader:
        np.testing.assert_array_equal(reader[:100], samples[:100])
        np.testing.assert_array_equal(reader[:, 4], samples[:, 4])
        with pytest.raises(DamagedError, match="the data, frames 100 to 200 of channels 2 to 3: ") as error:
            reader[:]
        assert error.value.ranges == [victim.extent]
    assert_salvaged(damaged, samples, [victim.extent])


def assert_salvaged(damaged: bytes, samples: np.ndarray, lost: list[tuple[int, int, int, int]]) -> None:
    wanted = samples.copy()
    for first, end, low, high in lost:
        wanted[first:end, low:high] = 0
    with Reader(damaged, salvage=True) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks())), wanted)
        assert sorted(set(reader.lost)) == sorted(lost)


@pytest.mark.parametrize("part", ["header", "index", "footer", "mark", "index and mark"])
def test_structure_can_be_lost_without_losing_samples(small_blocks, part):
    samples, data = many_blocks()
    with Reader(data) as reader:
        block = reader.structure.blocks[4]
    broken = bytearray(data)
    lost = []
    if "header" in part:
        broken[6] ^= 1
    if "index" in part:
        broken[-40] ^= 1
    if "footer" in part:
        del broken[-5:]
    if "mark" in part:
        broken[block.offset - 10] ^= 1
    if part == "index and mark":  # then nothing says where it is
        lost = [block.extent]
    with pytest.raises(DataError):
        restored(bytes(broken))
    assert_salvaged(bytes(broken), samples, lost)


def test_a_truncated_file_gives_what_it_still_holds(small_blocks):
    samples, data = many_blocks(500, 1)
    with Reader(data) as reader:
        cut = reader.structure.blocks[3].offset + 5
    with pytest.raises(DataError, match="salvage"):
        Reader(data[:cut])
    assert_salvaged(data[:cut], samples, [(300, 400, 0, 1), (400, 500, 0, 1)])
    # Any length: salvaged samples are right or zero, and lost where they are not right.
    for size in range(40, len(data), 7):
        with Reader(data[:size], salvage=True) as reader:
            out = reader[:]
            kept = np.ones(len(samples), dtype=bool)
            for first, end, _, _ in reader.lost:
                kept[first:end] = False
            np.testing.assert_array_equal(out[kept], samples[kept])
            assert not out[~kept].any()


def test_bytes_in_blocks_are_salvaged_in_place(monkeypatch):
    monkeypatch.setattr(writer_module, "PIECE", 1000)
    content = np.random.default_rng(0).bytes(3000) + b"end"
    data = bytes_file(content, 1000)
    assert restored(data) == content
    with Reader(data) as reader:
        block = reader.structure.blocks[1]
    broken = bytearray(data)
    broken[block.offset + 99] ^= 1
    for damaged in (
        bytes(broken),
        bytes(broken[: block.offset - 20]) + bytes(30) + bytes(broken[block.offset + block.size :]),
    ):
        with pytest.raises(DataError):
            restored(damaged)
        with Reader(damaged, salvage=True) as reader:
            out = b"".join(reader.around(lay.BLOCK_BYTES))
            assert reader.lost == [(1000, 2000, 0, 0)]
        assert out == content[:1000] + bytes(1000) + content[2000:]


def test_salvage_of_one_piece_says_that_there_is_nothing_to_save():
    data = bytearray(packed(simulate(100, 1, seed=1)))
    data[-10] ^= 1
    with Reader(bytes(data), salvage=True) as reader, pytest.raises(DamagedError):
        reader[:]


def test_uncovered():
    blocks = [
        Block(0, 0, 10, 0, 2, 0, 0),
        Block(0, 0, 10, 3, 1, 0, 0),
        Block(0, 15, 5, 0, 4, 0, 0),
        Block(1, 0, 9, 0, 0, 0, 0),
    ]
    assert list(uncovered(blocks, 30, 4)) == [(0, 10, 2, 3), (10, 15, 0, 4), (20, 30, 0, 4)]
    assert list(uncovered([], 7, 2)) == [(0, 7, 0, 2)]
    assert list(uncovered([], 0, 2)) == []

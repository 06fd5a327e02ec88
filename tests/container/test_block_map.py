"""Where samples lie: the blocks that a slice touches, and the stretches in which all of a recording is read."""

from __future__ import annotations

import numpy as np
import pytest

from spikey.container import block_map
from spikey.container.block_map import BlockMap
from spikey.container.layout import BLOCK_HEAD, BLOCK_SAMPLES, Block


def samples(first: int, end: int, low: int, high: int) -> Block:
    return Block(BLOCK_SAMPLES, first, end - first, low, high - low, 1, 0, first * 100 + low)


GRID = [Block(BLOCK_HEAD, 0, 44, 0, 0, 1, 0, 1)] + [
    samples(first, first + 10, low, low + 2) for first in (0, 10, 20) for low in (0, 2)
]


@pytest.mark.parametrize(
    "rows, columns, wanted",
    [
        (range(5, 6), [0], [(0, 0)]),
        (range(9, 11), [1, 2], [(0, 0), (0, 2), (10, 0), (10, 2)]),
        (np.array([3, 25]), [3], [(0, 2), (10, 2), (20, 2)]),  # those between are left out where they are read
        (range(0, 0), [0], []),
        (range(0, 30), [], []),
    ],
)
def test_blocks_that_are_touched(rows, columns, wanted):
    found = BlockMap(GRID, 30, 4).touching(rows, np.array(columns, dtype=np.int64))
    assert [(block.first_frame, block.first_channel) for block in found] == wanted


def test_largest():
    found = BlockMap([*GRID, samples(30, 45, 0, 4)], 45, 4)
    assert found.largest_block == (15, 4) and found.largest_stretch == 60
    empty = BlockMap([], 0, 4)
    assert empty.largest_block == (1, 4) and empty.largest_stretch == 0 and not list(empty.stretches())


@pytest.mark.parametrize(
    "most, wanted", [(4 * 30, [30]), (4 * 20, [20, 30]), (4 * 19, [10, 20, 30]), (1, [10, 20, 30])]
)
def test_stretches_are_whole_blocks_of_bounded_size(monkeypatch, most, wanted):
    monkeypatch.setattr(block_map, "LARGEST", most)
    found = list(BlockMap(GRID, 30, 4).stretches())
    assert [end for _, end in found] == wanted and [first for first, _ in found] == [0, *wanted[:-1]]


def test_where_no_block_is_left_stretches_are_bounded_too(monkeypatch):
    monkeypatch.setattr(block_map, "LARGEST", 4 * 8)
    found = list(BlockMap([block for block in GRID if block.first_frame != 10], 30, 4).stretches())
    assert found == [(0, 10), (10, 18), (18, 20), (20, 30)]

"""The structure of a file without its samples: parsed, checked, rescued."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from kit.blocks import Watched
from spikey.base.errors import DataError
from spikey.container import input as input_module
from spikey.container.input import Input
from spikey.container.layout import BLOCK_SAMPLES, SAMPLES, STORED_BYTE, Block, Header, write_index
from spikey.container.reader import Reader
from spikey.container.structure import read_structure
from spikey.recording.layout import Layout
from spikey.recording.opened import Memory

STEP = 100  # frames of a block
VALUES = np.arange(3 * STEP * 2, dtype="int16").reshape(-1, 2)


def blocked(frames: int = 3 * STEP) -> bytes:
    """A file of three blocks whose samples are stored as they are; frames: what its header claims."""
    head = Header(Layout(2, 30_000, "int16"), frames, SAMPLES, False).write()
    out = bytearray(head + struct.pack("<I", zlib.crc32(head)))
    blocks = []
    for first in range(0, 3 * STEP, STEP):
        content = VALUES[first : first + STEP].tobytes()
        payload = STORED_BYTE + content
        block = Block(BLOCK_SAMPLES, first, STEP, 0, 2, len(payload), 0)
        block = Block(BLOCK_SAMPLES, first, STEP, 0, 2, len(payload), block.check_of(payload, content))
        mark = block.write()
        blocks.append(Block(BLOCK_SAMPLES, first, STEP, 0, 2, len(payload), block.check, len(out) + len(mark)))
        out += mark + payload
    return bytes(out) + write_index(head, blocks, len(out))


def test_the_file_is_one_that_readers_read():
    with Reader(blocked()) as reader:
        np.testing.assert_array_equal(reader[:], VALUES)


def test_no_payload_is_read(monkeypatch):
    monkeypatch.setattr(input_module, "GLANCE", 40)
    file = Watched(blocked())
    structure = read_structure(file)
    assert structure.frames == 3 * STEP and structure.layout.channels == 2 and not structure.lost
    assert [block.extent for block in structure.blocks] == [(at, at + STEP, 0, 2) for at in range(0, 3 * STEP, STEP)]
    for block in structure.blocks[1:]:
        assert not any(first < block.offset + block.size and end > block.offset for first, end in file.seen)


@pytest.mark.parametrize("salvage", [False, True])
def test_a_header_without_a_number_of_frames_takes_it_from_the_blocks(salvage):
    assert read_structure(Input(Memory(blocked(0))), salvage).frames == 3 * STEP


def test_blocks_are_found_without_an_index():
    data = blocked()
    wanted = read_structure(Input(Memory(data))).blocks
    for cut in (data[:-1], data[: wanted[-1].offset + wanted[-1].size]):
        with pytest.raises(DataError, match="no index at its end"):
            read_structure(Input(Memory(cut)))
        rescued = read_structure(Input(Memory(cut)), salvage=True)
        assert rescued.blocks == wanted and not rescued.lost


def test_the_index_makes_up_for_a_header():
    data = bytes(10) + blocked()[10:]
    with pytest.raises(DataError):
        read_structure(Input(Memory(data)))
    rescued = read_structure(Input(Memory(data)), salvage=True)
    assert rescued.layout == Layout(2, 30_000, "int16") and len(rescued.blocks) == 3
    with Reader(data, salvage=True) as reader:
        np.testing.assert_array_equal(reader[:], VALUES)


def test_what_no_block_covers_is_lost():
    data = blocked()
    second = read_structure(Input(Memory(data))).blocks[1]
    mark = second.offset - len(second.write())
    cut = data[:mark] + bytes(4) + data[mark + 4 : -1]  # neither its mark nor the index
    rescued = read_structure(Input(Memory(cut)), salvage=True)
    assert rescued.lost == [second.extent] and second not in rescued.blocks
    with Reader(cut, salvage=True) as reader:
        assert reader.lost == [second.extent] and not reader[STEP : 2 * STEP].any()
        np.testing.assert_array_equal(reader[2 * STEP :], VALUES[2 * STEP :])
    assert rescued.lost == [second.extent]  # each reader has a list of its own


def test_an_empty_file_is_named():
    with pytest.raises(DataError, match="is empty"):
        read_structure(Input(Memory(b"")), salvage=True)

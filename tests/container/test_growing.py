"""Files without an index: read as far as they go, and never further, whatever has become of them."""

from __future__ import annotations

import random

import numpy as np
import pytest

import spikey
from kit import reference
from kit.blocks import Watched
from spikey import DataError
from spikey.container import input as input_module
from spikey.container.layout import MAX_BLOCK_HEADER
from spikey.container.reader import Reader
from spikey.container.structure import read_structure
from spikey.files import acquisition
from spikey.recording.simulate import simulate

CHANNELS, BLOCK = 3, 300
SAMPLES = simulate(6 * BLOCK, CHANNELS, seed=1)


@pytest.fixture(scope="module")
def growing(tmp_path_factory) -> bytes:
    """A recording of six blocks, without its index."""
    path = tmp_path_factory.mktemp("growing") / "a.spky"
    with spikey.create(path, CHANNELS, 20_000, block_frames=BLOCK) as writer:
        writer.append(SAMPLES)
    with spikey.open(path) as reader:
        return path.read_bytes()[: reader.structure.blocks[-1].offset + reader.structure.blocks[-1].size]


def test_every_length_gives_a_beginning(growing):
    with spikey.open(growing) as reader:
        ends = [block.offset + block.size for block in reader.structure.blocks]
        begin = reader.structure.after_header
    for size in [*range(begin, begin + 40), *range(ends[1] - 20, ends[1] + 40), len(growing)]:
        with spikey.open(growing[:size]) as reader:
            assert not reader.complete and len(reader) == BLOCK * sum(end <= size for end in ends)
            np.testing.assert_array_equal(reader[:], SAMPLES[: len(reader)])
    for size in range(begin):
        with pytest.raises(DataError):
            spikey.open(growing[:size])


def test_only_headers_are_read(growing, monkeypatch):
    monkeypatch.setattr(input_module, "GLANCE", 40)
    file = Watched(growing)
    blocks = read_structure(file).blocks
    assert len(blocks) == 6 and min(block.size for block in blocks) > 2 * MAX_BLOCK_HEADER
    for block in blocks[:-1]:
        assert not any(first < block.offset + block.size and end > block.offset + 300 for first, end in file.seen)


def test_the_reference_reads_the_same(growing, tmp_path, monkeypatch):
    with spikey.open(growing) as reader:
        end = reader.structure.blocks[3].offset + 5
    for size in (len(growing), end, reader.structure.after_header, len(growing) - 1):
        with spikey.open(growing[:size]) as reader:
            assert reference.decode(growing[:size]) == reader[:].tobytes()
    monkeypatch.setattr(acquisition, "LARGEST", 2 * BLOCK)
    with spikey.create(tmp_path / "a.spky", CHANNELS, 20_000, block_frames=BLOCK) as writer:
        writer.append(SAMPLES[: 2 * BLOCK])
    data = (tmp_path / "a.spky").read_bytes()
    with spikey.open(data) as reader:
        cuts = [len(data), *(block.offset + block.size for block in reader.structure.blocks)]
        assert [block.channels for block in reader.structure.blocks] == [2, 1, 2, 1]
    for cut, frames in zip(cuts, (2, 0, 1, 1, 2), strict=True):
        assert reference.decode(data[:cut]) == SAMPLES[: frames * BLOCK].tobytes()


def test_damage_is_an_error_or_changes_nothing(growing):
    """Bits anywhere, pieces left out or doubled, other bytes behind: no wrong sample, and only DataError."""
    chance = random.Random(1)
    outcomes = set()
    for _ in range(400):
        data = bytearray(growing)
        kind = chance.randrange(4)
        at = chance.randrange(len(data))
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : at + chance.randrange(1, 2000)]
        elif kind == 2:
            data[at:at] = data[max(at - 1000, 0) : at]
        else:
            data += chance.randbytes(chance.randrange(300))
        try:
            with Reader(bytes(data)) as reader:
                if reader.layout.channels == CHANNELS:
                    found = reader[:]
                    np.testing.assert_array_equal(found, SAMPLES[: len(found)])
                    outcomes.add("read")
        except DataError:
            outcomes.add("error")
        with Reader(growing + bytes(data), salvage=True) as reader:
            np.testing.assert_array_equal(reader[:], SAMPLES)  # another file behind it is not its own
    assert outcomes == {"read", "error"}


def test_salvaging_finds_blocks_of_an_unfinished_stretch(growing):
    with spikey.open(growing) as reader:
        third = reader.structure.blocks[2]
    damaged = bytearray(growing)
    damaged[third.offset - len(third.write()) + 5] ^= 4
    with pytest.raises(DataError, match="do not fit together.*samples are missing.*--salvage") as error:
        spikey.open(bytes(damaged))
    assert error.value.code == "damaged-index"
    with Reader(bytes(damaged), salvage=True) as reader:
        assert reader.lost == [third.extent] and len(reader) == len(SAMPLES)
        wanted = SAMPLES.copy()
        wanted[2 * BLOCK : 3 * BLOCK] = 0
        np.testing.assert_array_equal(reader[:], wanted)


def test_a_file_whose_header_has_its_frames_needs_its_index():
    data = spikey.compress(simulate(70_000, 20, seed=1), 20_000, preset="fast")
    with spikey.open(data) as reader:
        assert reader.complete and not reader.header.single
        end = reader.structure.blocks[-1].offset + reader.structure.blocks[-1].size
    with pytest.raises(DataError, match="no index at its end"):
        spikey.open(data[:end])

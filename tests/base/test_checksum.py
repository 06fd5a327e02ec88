"""Checksums by several threads are zlib's."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from spikey.base import checksum
from spikey.base.workers import spread

DATA = np.random.default_rng(1).integers(0, 256, 100_003, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("size", [0, 1, 63, 64, 1000, 99_999, 100_003])
@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_pieces_of_any_size_and_number(monkeypatch, size, jobs):
    monkeypatch.setattr(checksum, "PIECE", 64)
    for before in (0, 1, 0xFFFFFFFF, zlib.crc32(b"before")):
        found = spread(lambda data, before=before: checksum.crc32(data, before), [DATA[:size]], jobs)
        assert found == [zlib.crc32(DATA[:size], before)]


def test_several_threads_share_a_large_buffer(monkeypatch):
    monkeypatch.setattr(checksum, "PIECE", 1000)
    pieces = []
    original = zlib.crc32
    monkeypatch.setattr(checksum.zlib, "crc32", lambda *a: pieces.append(len(a[0])) or original(*a))
    spread(checksum.crc32, [DATA], 4)
    assert len(pieces) == 4 and sum(pieces) == len(DATA)

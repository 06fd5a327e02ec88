"""Small compressed files for tests of the container, and blocks so small that these have many."""

from __future__ import annotations

import io

import numpy as np
import pytest

from kit.writing import cut_into, write_file
from spikey.codec.method import LPC, Method
from spikey.container import layout as lay
from spikey.container import writer as writer_module
from spikey.container.input import Input
from spikey.container.reader import Reader
from spikey.container.writer import write_bytes_file
from spikey.model.calibration import Calibration
from spikey.recording.opened import Memory
from spikey.recording.readable import ArraySource


def packed(samples: np.ndarray, method: Method = LPC, calibration: Calibration | None = None, **options) -> bytes:
    out = io.BytesIO()
    written = write_file(ArraySource(samples, 20_000), out, method, calibration, **options)
    assert written == len(out.getvalue())
    return out.getvalue()


class Watched(Input):
    """Notes which bytes are read, in whatever way."""

    def __init__(self, data: bytes):
        super().__init__(Memory(data))
        self.seen: list[tuple[int, int]] = []

    def view_at(self, offset: int, count: int) -> memoryview:
        self.seen.append((offset, offset + count))
        return super().view_at(offset, count)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 100 frames of 2 channels, so that small files have many, which makes them larger than files may be."""
    monkeypatch.setattr(writer_module, "most_bytes", lambda size: 1 << 40)
    cut_into(monkeypatch, 100, 2)


def many_blocks(frames: int = 350, channels: int = 5) -> tuple[np.ndarray, bytes]:
    samples = np.random.default_rng(0).integers(-40, 40, (frames, channels)).cumsum(axis=0).astype(np.int16)
    return samples, packed(samples)


def bytes_file(data: bytes, piece: int = 1 << 22) -> bytes:
    out = io.BytesIO()
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    assert write_bytes_file(len(data), pieces, 4, out) == len(out.getvalue())
    return out.getvalue()


def restored(data: bytes, **options) -> bytes | np.ndarray:
    with Reader(data, **options) as reader:
        if reader.header.wrapper == lay.BYTES:
            return b"".join(reader.around(lay.BLOCK_BYTES))
        return np.concatenate([np.zeros((0, reader.shape[1]), reader.dtype), *reader.blocks()])


def small_n1() -> Calibration:
    """A calibration for the N1's alphabet that compresses well in itself (it is flipped bit by bit below)."""
    return Calibration(np.arange(1025, dtype=np.int32) * 64 - 32, np.array([1 << 16], dtype=np.int32))

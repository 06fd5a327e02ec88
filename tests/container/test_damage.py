"""Damaged and hostile files: every change is noticed, and sizes that lie allocate nothing."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikey
from kit.blocks import bytes_file, many_blocks, packed, restored, small_n1
from spikey.base.errors import DataError
from spikey.base.wire import varint
from spikey.codec.method import LARGEST
from spikey.coding.packed_bytes import pack_bytes
from spikey.container import layout as lay
from spikey.container.layout import Block, Header, write_index
from spikey.container.reader import Reader
from spikey.container.records import HEAD
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import n1
from spikey.recording.layout import Layout
from spikey.recording.simulate import simulate


def assert_never_wrong(original: bytes, damaged: bytes, content: bytes | np.ndarray) -> str:
    """Damaged data give an error of the package's own, or (nothing having been lost) the right content."""
    try:
        out = restored(damaged)
    except DataError as error:
        assert str(error) and "\n" not in str(error)
        return str(error)
    assert np.array_equal(out, content), "wrong samples"
    raise AssertionError("damage went unnoticed")


def forms() -> dict[str, tuple[bytes, bytes | np.ndarray]]:
    samples = simulate(60, 2, seed=1)
    embedded = packed(N1_VALUES[300:420].copy(), calibration=small_n1(), embed=small_n1().to_bytes())
    content = bytes(range(200)) * 2
    return {
        "single": (packed(samples, calibration=n1()), samples),
        "embedded": (embedded, N1_VALUES[300:420, None]),
        "bytes": (bytes_file(content), content),
        "empty": (packed(samples[:0]), samples[:0]),
    }


@pytest.mark.parametrize("form", ["single", "bytes", "empty"])
def test_every_flipped_byte_and_every_truncation_of_a_file_in_one_piece(form):
    data, content = forms()[form]
    assert np.array_equal(restored(data), content)
    for at in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            assert_never_wrong(data, data[:at] + bytes([data[at] ^ change]) + data[at + 1 :], content)
        assert_never_wrong(data, data[:at], content)
    for more in (b"\0", b"more", data):
        assert_never_wrong(data, data + more, content)


def test_every_flipped_byte_and_every_truncation_of_a_file_in_blocks(small_blocks):
    samples, data = many_blocks(210, 3)
    for at in range(len(data)):
        assert_never_wrong(data, data[:at] + bytes([data[at] ^ 0x04]) + data[at + 1 :], samples)
        assert_never_wrong(data, data[:at], samples)
    assert_never_wrong(data, data + b"\0", samples)


def test_an_embedded_calibration_is_checked():
    data, content = forms()["embedded"]
    assert np.array_equal(restored(data), content)
    for at in [*range(40), *range(40, len(data), 97)]:
        assert_never_wrong(data, data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :], content)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_random_bytes_are_refused(data):
    for candidate in (data, lay.MAGIC + data, lay.MAGIC + bytes([lay.VERSION]) + data):
        for salvage in (False, True):
            try:
                restored(candidate, salvage=salvage)
            except DataError:
                continue
            raise AssertionError("random bytes were taken for a recording")


def test_a_payload_of_random_bytes_with_good_sums_is_refused_or_decoded():
    # Sums protect against accidents only: what comes out of a forged payload is samples or an error, nothing else.
    random = np.random.default_rng(0)
    samples = simulate(300, 3, seed=1)
    data = packed(samples, calibration=n1())
    with Reader(data) as reader:
        block, front = reader.structure.blocks[0], data[: reader.structure.blocks[0].offset]
        payload = bytearray(data[block.offset : block.offset + block.size])
        for trial in range(200):
            forged = payload.copy()
            for _ in range(random.integers(1, 4)):
                forged[random.integers(40 if trial % 2 else len(forged))] = random.integers(256)
            forged = forged[: len(forged) - random.integers(0, 3)]
            try:
                out = reader.decoder.unpack(block, bytes(forged), "the block")[0]
            except DataError:
                continue
            assert out.shape == samples.shape and out.dtype == samples.dtype
            sums = zlib.crc32(out.tobytes(), zlib.crc32(forged, zlib.crc32(front)))
            np.testing.assert_array_equal(restored(front + forged + struct.pack("<I", sums)), out)


def limited(data: bytes) -> str:
    """The error of opening and reading data, which must take little memory and time."""
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as error:
            spikey.decompress(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6 and time.process_time() - start < 3
    return str(error.value)


def test_sizes_that_lie_allocate_nothing(small_blocks):
    layout = Layout(1, 20_000, "int16")
    constant = packed(np.zeros(9, dtype=np.int16))[13:-4]
    for frames, channels in [(1 << 62, 1), (1 << 40, 1), (LARGEST + 1, 1), (LARGEST, 1 << 24), (5000, 1 << 24)]:
        header = Header(Layout(channels, 20_000, "int16"), frames, lay.SAMPLES, True).write()
        limited(header + constant + b"\0\0\0\0")
    header = Header(layout, 1 << 50, lay.BYTES, True).write()
    limited(header + pack_bytes(b"a" * 1000) + b"\0\0\0\0")

    for extent, size in [
        ((0, 1 << 40, 0, 1), 10),
        ((0, LARGEST + 1, 0, 1), 10),
        ((0, 100, 0, 1), 1 << 50),
        ((1 << 40, 100, 0, 1), 10),
        ((0, 100, 1, 1), 10),
        ((0, 100, 0, 2), 10),
        ((0, 100, 0, 0), 10),
    ]:
        frames = extent[0] + extent[1]
        data, _ = forged(Header(layout, frames, lay.SAMPLES, False), [Block(0, *extent, size, 0)])
        limited(data)
    # A count of blocks, a length of the header's copy and a record that the bytes do not bear out.
    head = Header(layout, 5, lay.SAMPLES, False).write()
    front = head + struct.pack("<I", zlib.crc32(head))
    for body in (varint(len(head)) + head + varint(1 << 40), varint(1 << 40)):
        body = lay.INDEX_SYNC + body
        limited(front + body + lay.FOOTER.pack(len(front), zlib.crc32(body), lay.FOOTER_MAGIC))
    limited(head[:5] + bytes([lay.WITH_RECORDS]) + head[6:] + varint(60_000) + varint(HEAD << 1 | 1) + varint(1 << 19))


def forged(header: Header, blocks: list[Block], payload: bytes = b"\0" * 20) -> tuple[bytes, list[Block]]:
    """A file with any header and block headers, all sums of which are right."""
    head = header.write()
    out = head + struct.pack("<I", zlib.crc32(head))
    placed = []
    for block in blocks:
        mark = block.write()
        fields = [
            getattr(block, name) for name in ("kind", "first_frame", "frames", "first_channel", "channels", "size")
        ]
        placed.append(Block(*fields, block.check, len(out) + len(mark)))
        out += mark + payload[: block.size]
    return out + write_index(head, placed, len(out)), placed


def test_blocks_must_fit_together(small_blocks):
    for frames, channels, drop in [(350, 1, 1), (350, 1, 3), (350, 5, 2), (100, 5, 0), (350, 5, 11)]:
        _samples, data = many_blocks(frames, channels)
        with Reader(data) as reader:
            blocks = reader.structure.blocks[:drop] + reader.structure.blocks[drop + 1 :]
            front = data[: reader.structure.after_header - 4]
            offset = lay.FOOTER.unpack(data[-lay.FOOTER.size :])[0]
        with pytest.raises(DataError, match="blocks"):
            Reader(data[:offset] + write_index(front, blocks, offset))
        with pytest.raises(DataError, match="blocks"):
            Reader(data[:offset] + write_index(front, [*blocks, *blocks], offset))


def test_an_unknown_end_is_found_in_the_index(small_blocks):
    samples, data = many_blocks(350, 1)
    with Reader(data) as reader:
        blocks, header = reader.structure.blocks, reader.header
        whole = reader.structure.after_header
        body = data[whole : lay.FOOTER.unpack(data[-lay.FOOTER.size :])[0]]
    header.frames = 0
    head = header.write()
    front = head + struct.pack("<I", zlib.crc32(head))
    shift, moved = len(front) - whole, len(front) + len(body)
    fields = ("kind", "first_frame", "frames", "first_channel", "channels", "size", "check")
    blocks = [Block(*(getattr(b, name) for name in fields), b.offset + shift) for b in blocks]
    streamed = front + body + write_index(head, blocks, moved)
    np.testing.assert_array_equal(restored(streamed), samples)

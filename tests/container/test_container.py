"""The `.spky` file: both forms, what this version does not support, and the sizes that are promised."""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import reference, reference_wide
from kit.blocks import bytes_file, many_blocks, packed, restored, small_n1
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.base.wire import Cursor, varint
from spikey.codec.adaptive import channels as engine
from spikey.codec.code_widths import census
from spikey.codec.cut import block_shape
from spikey.codec.method import LARGEST
from spikey.codec.registry import preset_method
from spikey.coding.packed_bytes import pack_bytes, unpack_bytes
from spikey.container import layout as lay
from spikey.container import writer as writer_module
from spikey.container.layout import Block, Header, read_block, read_header, write_index
from spikey.container.reader import Reader
from spikey.container.records import HEAD, TAIL
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import FOLDERS, n1
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate

# ---------------------------------------------------------------- both forms


@pytest.mark.parametrize("frames", [0, 1, 2, 99, 100, 101, 250])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_lengths_around_block_edges(small_blocks, frames, channels):
    samples = simulate(frames, channels, seed=frames)
    data = packed(samples)
    with Reader(data) as reader:
        assert reader.header.single == (frames <= 100 and channels <= 2)
        assert reader.shape == (frames, channels) and len(reader) == frames
    np.testing.assert_array_equal(restored(data), samples)


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "int24"])
def test_types(dtype):
    if dtype.startswith("float"):
        samples = np.random.default_rng(0).normal(size=(70, 2)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        samples = np.random.default_rng(0).integers(info.min, info.max, (70, 2), dtype, endpoint=True)
    out = restored(packed(samples))
    assert out.dtype == samples.dtype
    np.testing.assert_array_equal(out, samples)


def test_threads_give_the_same_bytes(small_blocks):
    samples, data = many_blocks(1000, 3)
    assert packed(samples, jobs=3) == data
    with Reader(data) as reader:
        np.testing.assert_array_equal(reader.read(0, 1000, jobs=3), samples)
        assert [len(chunk) for chunk in reader.blocks(2)] == [1000]


def test_a_recording_with_more_channels_than_a_block_holds():
    samples = np.random.default_rng(1).integers(0, 9, (130, 1200)).astype(np.uint8)
    data = packed(samples)
    with Reader(data) as reader:
        assert [block.channels for block in reader.structure.blocks] == [504, 504, 192]
        np.testing.assert_array_equal(reader[7, ::-1], samples[7, ::-1])
    assert len(data) < samples.nbytes * 0.6


def test_shapes_of_blocks_stay_bounded():
    for channels in (1, 2, 16, 384, 5000, 100_000):
        for frames in (0, 1, 1000, 1 << 30):
            for dtype in ("uint8", "int32"):
                longest, wide = block_shape(Layout(channels, 1, dtype), frames)
                assert 1 <= wide <= channels and longest >= 1 and longest * wide <= LARGEST
                assert longest * channels * np.dtype(dtype).itemsize <= 1 << 27


def test_progress_counts_samples(small_blocks):
    seen = []
    samples = simulate(250, 3, seed=1)
    packed(samples, progress=seen.append)
    assert sum(seen) == samples.size and len(seen) == 6


# ---------------------------------------------------------------- what this version does not support


def with_header(change) -> bytes:
    data = bytearray(packed(simulate(60, 1, seed=1)))
    change(data)
    return bytes(data)


def test_other_versions_and_features_are_refused_by_name():
    def refused(change, says):
        with pytest.raises(DataError, match=says):
            Reader(with_header(change))

    refused(lambda d: d.__setitem__(4, 2), "format version 2")
    refused(lambda d: d.__setitem__(5, d[5] | lay.LOSSY), "lossy in a way that this version does not support")
    refused(lambda d: d.__setitem__(5, d[5] | 0x40), "flags 0x41")
    refused(lambda d: d.__setitem__(6, 0x0F), "sample type")
    refused(lambda d: d.__setitem__(6, 0x42), "sample type")
    refused(lambda d: d.__setitem__(0, ord("X")), "not a Spikey file")
    refused(lambda d: d.__delitem__(slice(None)), "is empty")


def test_unknown_records_are_skipped_unless_critical():
    header = Header(Layout(2, 0.5, "int24"), 7, lay.WRAPPED, True, b"abcd", [(HEAD, b"xyz"), (TAIL, b"")])
    assert read_header(Cursor(header.write())) == header
    head = header.write()
    start = len(head) - (1 + 2 + 3 + 2)
    assert head[start] == 2
    extra = varint(77 << 1) + varint(3) + b"new"
    assert read_header(Cursor(head[:start] + b"\3" + extra + head[start + 1 :])) == header
    critical = varint(77 << 1 | 1) + varint(3) + b"new"
    with pytest.raises(DataError, match="record 77"):
        read_header(Cursor(head[:start] + b"\3" + critical + head[start + 1 :]))


@pytest.mark.parametrize("rate", [0, 1, 19531, 20000.5, 1e-3, 4294967295, 4294967296, 1e300])
def test_rates(rate):
    header = Header(Layout(1, rate, "int16"), 1 << 61, lay.SAMPLES, False)
    assert read_header(Cursor(header.write())) == header
    for bad in (float("nan"), float("inf"), -1.0):
        data = lay.MAGIC + bytes([1, 0, 2, 1, 1]) + struct.pack("<d", bad) + b"\0"
        with pytest.raises(DataError, match="impossible"):
            read_header(Cursor(data))


def test_blocks_of_unknown_kinds_are_skipped():
    samples = np.arange(50, dtype=np.uint8)
    payload = b"\0" + samples.tobytes()
    blocks = []
    for kind, extent, inside in [(9, (3, 5, 1, 9), b"later"), (0, (0, 50, 0, 1), payload)]:
        block = Block(kind, *extent, len(inside), 0)
        blocks.append((Block(kind, *extent, len(inside), block.check_of(inside, samples.tobytes())), inside))
    head = Header(Layout(1, 1, "uint8"), 50, lay.SAMPLES, False).write()
    out, placed = head + struct.pack("<I", zlib.crc32(head)), []
    for block, inside in blocks:
        mark = block.write()
        assert read_block(mark + inside, len(out), "x").offset == len(out) + len(mark)
        placed.append(read_block(mark, len(out), "x"))
        out += mark + inside
    np.testing.assert_array_equal(restored(out + write_index(head, placed, len(out)))[:, 0], samples)


def test_a_missing_calibration_is_named_with_where_it_was_looked_for(monkeypatch, tmp_path):
    values = N1_VALUES[np.random.default_rng(0).integers(480, 540, 500)]
    other = small_n1()
    data = packed(values, calibration=other)
    monkeypatch.setenv(FOLDERS, str(tmp_path))
    for salvage in (False, True):
        with Reader(data, salvage=salvage) as reader, pytest.raises(DataError) as error:
            reader.read(0, 500)
        assert not isinstance(error.value, DamagedError) and not reader.lost
        for part in (other.id.hex(), str(tmp_path), "calibrations", "the data"):
            assert part in str(error.value)
    (tmp_path / "mine.safetensors").write_bytes(other.to_bytes())
    np.testing.assert_array_equal(restored(data)[:, 0], values)
    # One that travels with the file needs no folder; nor does a file that does not use it.
    monkeypatch.delenv(FOLDERS)
    np.testing.assert_array_equal(restored(packed(values, calibration=other, embed=other.to_bytes()))[:, 0], values)
    ramp = np.arange(3000, dtype=np.int16)
    unused = packed(ramp, calibration=other, embed=other.to_bytes())
    assert unused == packed(ramp)


def test_a_wrong_calibration_is_refused():
    values = N1_VALUES[np.random.default_rng(0).integers(480, 540, 5000)]
    with pytest.raises(DataError, match="names calibration"):
        restored(packed(values, calibration=small_n1(), embed=n1().to_bytes()))
    with pytest.raises(DataError, match="safetensors"):
        restored(packed(values, calibration=small_n1(), embed=b"nonsense"))


# ---------------------------------------------------------------- sizes


def test_a_short_recording_costs_few_bytes_beyond_the_ideal(monkeypatch):
    """Of the wide engine: the file's header, what begins the payload, and what the lanes' states do not carry."""
    samples = simulate(5 * 19531, seed=4)
    data = packed(samples, preset_method("fast"), n1())
    ideal, numbers = 0.0, 0

    class Counted(reference_wide.Coder):
        def take(self, low, high):
            nonlocal ideal
            ideal += np.log2(16384 / (high - low)).sum()
            super().take(low, high)

        def bits(self, count, lane):
            nonlocal ideal
            ideal += count
            return super().bits(count, lane)

    class Head(reference_wide.Numbers):
        def __init__(self, data):
            nonlocal numbers
            numbers += len(data)
            super().__init__(data)

    monkeypatch.setattr(reference_wide, "Coder", Counted)
    monkeypatch.setattr(reference_wide, "Numbers", Head)
    assert reference.decode(data, [n1().to_bytes()]) == samples.tobytes()
    beyond = len(data) - ideal / 8 - numbers
    assert 20 < beyond <= 50, beyond


def test_a_short_recording_costs_32_bytes_beyond_the_ideal(monkeypatch):
    samples, method = simulate(5 * 19531, seed=4), preset_method("balanced")
    data = packed(samples, method, n1())
    # In place of the range coder one that sums the ideal code lengths. (A coder defined here would end in the cache of
    # kernels, where other programs could not load it.)
    counter = census(1024)._replace(at=np.zeros(1, dtype=np.int64))
    monkeypatch.setattr(engine, "range_encoder", lambda lanes, capacity: counter)
    monkeypatch.setattr(engine, "finish", lambda coder: [b""])
    packed(samples, method, n1())
    assert counter.cost[1] == len(samples)
    beyond = len(data) - counter.cost[0] / 8
    assert 20 < beyond <= 32, beyond


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (2000, 1), (300_000, 1), (3, 5000), (66_000, 3)])
def test_incompressible_input_hardly_grows(dtype, shape):
    info = np.iinfo(dtype)
    samples = np.random.default_rng(0).integers(info.min, info.max, shape, dtype, endpoint=True)
    data = packed(samples, calibration=n1())
    assert len(data) <= 1.001 * samples.nbytes + 64
    np.testing.assert_array_equal(restored(data), samples)


def test_incompressible_bytes_hardly_grow(monkeypatch):
    monkeypatch.setattr(writer_module, "PIECE", 1 << 17)
    for size in (0, 1, 1000, (1 << 17) + 1, 3 << 17):
        content = np.random.default_rng(0).bytes(size)
        data = bytes_file(content, 1 << 17)
        assert len(data) <= 1.001 * size + 64 and restored(data) == content


MILLION = np.arange(1_000_000)
HARD = {
    "ten million equal samples": (lambda: np.full(10_000_000, 77, dtype=np.int16), 0.001),
    "full-scale square wave": (lambda: np.where(MILLION // 50 % 2, 32767, -32768).astype(np.int16), 0.2),
    "full-scale alternation": (lambda: np.where(MILLION % 2, 32767, -32768).astype(np.int16), 0.2),
    "one long ramp": (lambda: (MILLION // 16).astype(np.uint16), 0.2),
    "a ramp of 32 bits": (lambda: (MILLION * 4000).astype(np.uint32), 0.5),
    "white noise": (lambda: np.random.default_rng(0).normal(0, 1000, 1_000_000).astype(np.int16), 0.76),
    "full-scale white noise": (
        lambda: np.random.default_rng(0).integers(-32768, 32768, 1_000_000).astype(np.int16),
        1.001,
    ),
}


@pytest.mark.parametrize("name", list(HARD))
def test_hard_signals(name):
    make, bound = HARD[name]
    samples = make()[:, None]
    data = packed(samples, calibration=n1())
    assert len(data) <= bound * samples.nbytes + 64, len(data) / samples.nbytes
    np.testing.assert_array_equal(restored(data), samples)


# ---------------------------------------------------------------- plain bytes


@given(st.binary(max_size=300), st.sampled_from([1, 2, 3, 4, 8]))
def test_packed_bytes(data, itemsize):
    once = pack_bytes(data, itemsize)
    assert len(once) <= len(data) + 1
    assert unpack_bytes(once, len(data)) == data
    for wrong in (len(data) + 1, len(data) - 1):
        if wrong >= 0:
            with pytest.raises(DataError):
                unpack_bytes(once, wrong)


@given(st.integers(0, 255), st.binary(max_size=100), st.integers(0, 1000))
def test_any_bytes_unpack_or_are_refused(method, content, size):
    with contextlib.suppress(DataError):
        assert len(unpack_bytes(bytes([method]) + content, size)) == size


def test_a_source_must_be_a_table_of_numbers_of_known_types():
    for bad in (
        np.zeros((2, 2, 2), np.int16),
        np.zeros(5, np.float16),
        np.zeros(5, np.int64),
        np.zeros((5, 0), np.int16),
    ):
        with pytest.raises(UsageError):
            ArraySource(bad, 100)
    assert issubclass(DamagedError, SpikeyError)

"""The `.spky` file: both forms, slices, and what becomes of every kind of damage."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikey
from kit.writing import cut_into, write_file
from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError
from spikey.base.wire import Cursor, varint
from spikey.codec.code_widths import census
from spikey.codec.cut import block_shape
from spikey.codec.method import LARGEST, Method
from spikey.codec.registry import preset_method
from spikey.coding.coders import CODERS, Coder
from spikey.coding.packed_bytes import pack_bytes, unpack_bytes
from spikey.container import layout as lay
from spikey.container import writer as writer_module
from spikey.container.layout import Block, Header, read_block, read_header, write_index
from spikey.container.reader import Reader
from spikey.container.records import HEAD, TAIL
from spikey.container.salvage import uncovered
from spikey.container.writer import write_bytes_file
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import FOLDERS, Calibration, n1
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.readable import ArraySource
from spikey.recording.simulate import simulate

REALTIME = preset_method("realtime")


def packed(samples: np.ndarray, method: Method = REALTIME, calibration: Calibration | None = None, **options) -> bytes:
    out = io.BytesIO()
    written = write_file(ArraySource(samples, 20_000), out, method, calibration, **options)
    assert written == len(out.getvalue())
    return out.getvalue()


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
        return np.concatenate([np.zeros((0, reader.shape[1]), reader.dtype), *reader.iterate_blocks()])


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
        assert [len(chunk) for chunk in reader.iterate_blocks(2)] == [1000]


def test_a_recording_with_more_channels_than_a_block_holds():
    samples = np.random.default_rng(1).integers(0, 9, (130, 1200)).astype(np.uint8)
    data = packed(samples)
    with Reader(data) as reader:
        assert [block.channels for block in reader.blocks] == [504, 504, 192]
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


# ---------------------------------------------------------------- slices

INDEX = st.one_of(
    st.integers(-12, 11),
    st.builds(slice, *[st.none() | st.integers(-15, 15)] * 2, st.none() | st.sampled_from([1, 2, 5, -1, -3])),
)


@pytest.fixture(scope="module")
def sliced() -> tuple[np.ndarray, Reader]:
    patch = pytest.MonkeyPatch()
    cut_into(patch, 5, 4)
    samples = np.arange(12 * 11, dtype=np.int16).reshape(12, 11) ** 2 % 97
    data = packed(samples)
    patch.undo()
    return samples, Reader(data)


@given(rows=INDEX, columns=INDEX)
@settings(max_examples=150, deadline=None)
def test_slices_are_numpys(sliced, rows, columns):
    samples, reader = sliced
    for key in (rows, (rows, columns), (rows, ...), (..., columns), (..., rows, columns)):
        try:
            wanted = samples[key]
        except IndexError:
            with pytest.raises(IndexError):
                reader[key]
            continue
        out = reader[key]
        assert out.shape == wanted.shape and out.dtype == wanted.dtype
        np.testing.assert_array_equal(out, wanted)


def test_other_ways_to_read(sliced):
    samples, reader = sliced
    np.testing.assert_array_equal(reader[...], samples)
    np.testing.assert_array_equal(np.asarray(reader), samples)
    np.testing.assert_array_equal(np.stack(list(reader)), samples)
    np.testing.assert_array_equal(reader.read(3, 4, range(9, 2, -3)), samples[3:7, 9:2:-3])
    assert reader.read(12, 0).shape == (0, 11)
    for bad in ("a", 1.5, [1, 12], [0.5], [True, False], None, (1, 2, 3), (..., ...), ([1], [2])):
        with pytest.raises(IndexError):
            reader[bad]
    for bad in ((-1, 2), (0, 13), (5, -1)):
        with pytest.raises(IndexError):
            reader.read(*bad)
    with pytest.raises(IndexError):
        reader.read(0, 1, range(12))


def test_a_slice_decodes_only_what_it_needs(small_blocks, monkeypatch):
    samples, data = many_blocks()
    with Reader(data) as reader:
        touched = []
        content = reader.decoder.content
        monkeypatch.setattr(reader.decoder, "content", lambda block: touched.append(block.extent) or content(block))
        np.testing.assert_array_equal(reader[120:180, 4], samples[120:180, 4])
        assert touched == [(100, 200, 4, 5)]
        _ = reader[130, 4]
        assert len(touched) == 1


# ---------------------------------------------------------------- damage


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


def small_n1() -> Calibration:
    """A calibration for the N1's alphabet that compresses well in itself (it is flipped bit by bit below)."""
    return Calibration(np.arange(1025, dtype=np.int32) * 64 - 32, np.array([1 << 16], dtype=np.int32))


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
        block, front = reader.blocks[0], data[: reader.blocks[0].offset]
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
    limited(head[:5] + bytes([lay.RECORDS]) + head[6:] + varint(60_000) + varint(HEAD << 1 | 1) + varint(1 << 19))


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
            blocks = reader.blocks[:drop] + reader.blocks[drop + 1 :]
            front = data[: reader.structure.after_header - 4]
            offset = lay.FOOTER.unpack(data[-lay.FOOTER.size :])[0]
        with pytest.raises(DataError, match="blocks"):
            Reader(data[:offset] + write_index(front, blocks, offset))
        with pytest.raises(DataError, match="blocks"):
            Reader(data[:offset] + write_index(front, [*blocks, *blocks], offset))


def test_an_unknown_end_is_found_in_the_index(small_blocks):
    samples, data = many_blocks(350, 1)
    with Reader(data) as reader:
        blocks, header = reader.blocks, reader.header
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


# ---------------------------------------------------------------- what this version does not know


def with_header(change) -> bytes:
    data = bytearray(packed(simulate(60, 1, seed=1)))
    change(data)
    return bytes(data)


def test_other_versions_and_features_are_refused_by_name():
    def refused(change, says):
        with pytest.raises(DataError, match=says):
            Reader(with_header(change))

    refused(lambda d: d.__setitem__(4, 2), "format version 2")
    refused(lambda d: d.__setitem__(5, d[5] | lay.LOSSY), "lossy in a way that this version does not know")
    refused(lambda d: d.__setitem__(5, d[5] | 0x40), "flags 0x41")
    refused(lambda d: d.__setitem__(6, 0x0F), "type of samples")
    refused(lambda d: d.__setitem__(6, 0x42), "type of samples")
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


# ---------------------------------------------------------------- salvage


def test_a_damaged_block_loses_only_itself(small_blocks):
    samples, data = many_blocks()
    with Reader(data) as whole:
        victim = whole.blocks[4]
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
        np.testing.assert_array_equal(np.concatenate(list(reader.iterate_blocks())), wanted)
        assert sorted(set(reader.lost)) == sorted(lost)


@pytest.mark.parametrize("part", ["header", "index", "footer", "mark", "index and mark"])
def test_structure_can_be_lost_without_losing_samples(small_blocks, part):
    samples, data = many_blocks()
    with Reader(data) as reader:
        block = reader.blocks[4]
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
        cut = reader.blocks[3].offset + 5
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
        block = reader.blocks[1]
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


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("preset", ["realtime", "balanced"])
def test_a_short_recording_costs_32_bytes_beyond_the_ideal(preset, monkeypatch):
    samples, lanes = simulate(5 * 19531, seed=4), preset_method(preset).lanes
    data = packed(samples, preset_method(preset), n1())
    # In place of the range coder one that sums the ideal code lengths. (A coder defined here would end in the cache of
    # kernels, where other programs could not load it.)
    counter = census(1024)._replace(at=np.zeros(lanes, dtype=np.int64))
    silent = Coder(lambda lanes, capacity: counter, lambda coder: [b""] * lanes, CODERS["arithmetic"].decoder)
    monkeypatch.setitem(CODERS, "arithmetic", silent)
    packed(samples, preset_method(preset), n1())
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

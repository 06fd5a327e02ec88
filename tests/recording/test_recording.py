"""The recording layer: whatever a file holds, head + samples + tail is the file, or one sentence says why not."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import wave

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikey.base.errors import DataError, UsageError
from spikey.recording.layout import DTYPES, Layout, pack, unpack
from spikey.recording.raw import open_raw
from spikey.recording.source import NotPCM, Sink, Source
from spikey.recording.wav import MAX_CHUNKS, SUBFORMAT_END, canonical_head, open_wav

WAV_DTYPES = ["uint8", "int16", "int24", "int32"]
MONO = Layout(1, 30000, "int16")
one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def fmt(channels=1, bits=16, tag=1, rate=30000, frame_bytes=None, rest=b"") -> bytes:
    frame_bytes = channels * bits // 8 if frame_bytes is None else frame_bytes
    return struct.pack("<HHIIHH", tag, channels, rate, rate * frame_bytes, frame_bytes, bits) + rest


def extensible(tag=1, end=SUBFORMAT_END, bits=24, channels=2) -> bytes:
    rest = struct.pack("<HHIH", 22, bits, 3, tag) + end
    return fmt(channels, bits, tag=0xFFFE, rest=rest)


def chunk(label: bytes, body: bytes, size: int | None = None) -> bytes:
    return label + struct.pack("<I", len(body) if size is None else size) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes, kind=b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return kind + struct.pack("<I", len(body) if size is None else size) + body


def ds64(data_size: int, table: dict[bytes, int] | None = None) -> bytes:
    table = table or {}
    entries = b"".join(struct.pack("<4sQ", label, size) for label, size in table.items())
    return chunk(b"ds64", struct.pack("<QQQI", 0, data_size, 0, len(table)) + entries)


def rebuilt(source: Source) -> bytes:
    """The file as the other stages see it, written through a sink in uneven pieces."""
    file = io.BytesIO()
    sink = Sink(file, source.layout)
    for piece in source.head_chunks(7):
        sink.write_head(piece)
    for first in range(0, source.frames, 3):
        sink.write(source.read(first, min(3, source.frames - first)))
    for piece in source.tail_chunks(5):
        sink.write_tail(piece)
    assert sink.frames == source.frames
    assert (len(source.head()), len(source.tail())) == (source.head_size, source.tail_size)
    return file.getvalue()


@pytest.fixture
def opened(tmp_path):
    """Write bytes, open them as WAV, check that they come back, and return layout, frames, head and tail size."""

    def check(data: bytes) -> tuple[Layout, int, int, int]:
        path = tmp_path / "probe.wav"
        path.write_bytes(data)
        with open_wav(path) as source:
            assert rebuilt(source) == data
            head = canonical_head_or_none(source)
            assert source.canonical == (source.head() == head and source.tail_size == 0)
            return source.layout, source.frames, source.head_size, source.tail_size

    return check


def canonical_head_or_none(source: Source) -> bytes | None:
    try:
        return canonical_head(source.layout, source.frames)
    except UsageError:
        return None


def random_samples(layout: Layout, frames: int) -> np.ndarray:
    if layout.dtype.startswith("float"):
        return np.random.default_rng(0).normal(size=(frames, layout.channels)).astype(layout.memory_dtype)
    info = np.iinfo(layout.memory_dtype)
    low, high = (-(1 << 23), (1 << 23) - 1) if layout.dtype == "int24" else (info.min, info.max)
    samples = np.random.default_rng(0).integers(
        low, high, (frames, layout.channels), layout.memory_dtype, endpoint=True
    )
    samples[:1], samples[1:2] = low, high
    return samples


@pytest.mark.parametrize("channels", [1, 3, 384])
@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip_of_every_type(tmp_path, dtype, channels):
    layout = Layout(channels, 30000, dtype)
    samples = random_samples(layout, 50)
    packed = pack(samples, layout)
    if layout.dtype.startswith("float"):
        reference = b"".join(struct.pack({4: "<f", 8: "<d"}[layout.itemsize], x) for x in samples.flat)
    else:
        reference = b"".join(int(x).to_bytes(layout.itemsize, "little", signed=int(x) < 0) for x in samples.flat)
    assert packed == reference
    assert np.array_equal(unpack(packed, layout), samples)
    assert pack(np.asfortranarray(samples), layout) == packed
    path = tmp_path / "probe.dat"
    path.write_bytes(packed)
    with open_raw(path, channels, 30000, dtype, keep_partial=True) as source:
        whole = source.read(0, 50)
        assert whole.dtype == layout.memory_dtype and whole.dtype.isnative
        assert whole.flags.c_contiguous and whole.flags.writeable
        assert np.array_equal(whole, samples)
        assert np.array_equal(np.concatenate([source.read(i, 10) for i in range(0, 50, 10)]), whole)
        assert source.read(50, 0).shape == (0, channels)
        assert not source.canonical and rebuilt(source) == packed
    if dtype in WAV_DTYPES:
        path.write_bytes(canonical_head(layout, 50) + packed)
        with open_wav(path) as source:
            assert source.canonical and source.layout == layout
            assert np.array_equal(source.read(0, 50), samples)


def test_int24_extremes():
    layout = Layout(1, 1, "int24")
    values = np.array([[-(1 << 23)], [-1], [0], [1], [(1 << 23) - 1]], np.int32)
    assert pack(values, layout).hex() == "000080ffffff000000010000ffff7f"
    assert np.array_equal(unpack(pack(values, layout), layout), values)
    for beyond in (1 << 23, -(1 << 23) - 1):
        with pytest.raises(UsageError, match="24 bits"):
            pack(np.array([[beyond]], np.int32), layout)


def test_canonical_head_is_what_the_wave_module_writes(tmp_path, opened):
    path = tmp_path / "probe.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 19531, 0, "NONE", ""))
        file.writeframes(bytes(range(40)))
    assert path.read_bytes() == canonical_head(Layout(2, 19531, "int16"), 10) + bytes(range(40))
    assert opened(canonical_head(MONO, 0)) == (MONO, 0, 44, 0)
    assert opened(canonical_head(MONO, 1) + b"abc") == (MONO, 1, 44, 1)


@pytest.mark.parametrize(
    ("layout", "frames"),
    [(Layout(1, 0.5, "int16"), 1), (Layout(1, 1, "int8"), 1), (MONO, 1 << 31), (Layout(40000, 1, "int16"), 1)],
)
def test_canonical_head_refuses_what_it_cannot_state(layout, frames):
    with pytest.raises(UsageError):
        canonical_head(layout, frames)


SIX = bytes(range(1, 7))


@pytest.mark.parametrize(
    ("data", "frames", "tail"),
    [
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX)), 3, 0),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX), size=5), 3, 0),
        (riff(chunk(b"fmt ", fmt(), 18) + b"\0\0", chunk(b"data", SIX), chunk(b"LIST", b"x")), 3, 10),
        (riff(chunk(b"JUNK", b"odd"), chunk(b"fmt ", fmt()), chunk(b"data", SIX), b"trailing"), 3, 8),
        (riff(b"JUNK\3\0\0\0odd", chunk(b"fmt ", fmt()), chunk(b"data", SIX)), 3, 0),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX[:5])), 2, 2),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX[:5], 0)), 3, 0),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", bytes(1000), 0)), 500, 0),
        (riff(chunk(b"fmt ", fmt()), chunk(b"fmt ", fmt(bits=8)), chunk(b"data", SIX)), 3, 0),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", b"", 0), chunk(b"LIST", b"abc"), chunk(b"id3 ", b"")), 0, 20),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", b"", 0), chunk(b"LIST", b"abc")[:-1]), 0, 11),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", b"", 0), chunk(b"LIST", b"abc")[:-2]), 5, 0),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX, 1 << 30), b"x"), 3, 1),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFFF), b"x"), 3, 1),
        (riff(ds64(6), chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFFF), b"x", kind=b"RF64"), 3, 1),
        (riff(ds64(4), chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFFF), kind=b"BW64"), 2, 2),
        (riff(ds64(4), chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFFF)), 3, 0),
        (riff(ds64((1 << 64) - 1), chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFFF), kind=b"RF64"), 3, 0),
        (riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFFF), kind=b"RF64"), 3, 0),
    ],
)
def test_where_the_samples_end(opened, data, frames, tail):
    layout, found, _, tail_size = opened(data)
    assert (layout, found, tail_size) == (MONO, frames, tail)


def test_rf64_table_gives_the_size_of_other_chunks(opened):
    big = chunk(b"axml", b"abcd", 0xFFFFFFFF)
    data = riff(ds64(6, {b"axml": 4}), big, chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFFF), kind=b"RF64")
    assert opened(data)[1] == 3


@pytest.mark.parametrize(
    ("body", "layout"),
    [
        (fmt(bits=8), Layout(1, 30000, "uint8")),
        (fmt(bits=24, channels=5), Layout(5, 30000, "int24")),
        (fmt(bits=32, channels=64), Layout(64, 30000, "int32")),
        (fmt(bits=12, channels=3, frame_bytes=6), Layout(3, 30000, "int16")),
        (fmt(bits=24, channels=2, frame_bytes=8), Layout(2, 30000, "int32")),
        (fmt(rate=0), Layout(1, 0, "int16")),
        (extensible(), Layout(2, 30000, "int24")),
    ],
)
def test_layouts(opened, body, layout):
    samples = random_samples(layout, 4)
    found = opened(riff(chunk(b"fmt ", body), chunk(b"data", pack(samples, layout))))
    assert found[:2] == (layout, 4) and isinstance(found[0].rate, int)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (fmt(tag=3, bits=32), "IEEE float"),
        (fmt(tag=6, bits=8), "A-law"),
        (fmt(tag=7, bits=8), "mu-law"),
        (fmt(tag=2, bits=4), "Microsoft ADPCM"),
        (fmt(tag=0x11, bits=4), "IMA ADPCM"),
        (fmt(tag=0x55, bits=0), "MP3"),
        (fmt(tag=0x1234), "0x1234"),
        (extensible(tag=3, bits=32), "IEEE float"),
        (extensible(end=b"\0" * 14), "sub-format 00000001-0000"),
        (extensible()[:20], "without a sub-format"),
        (fmt(channels=0, frame_bytes=2), "zero channels"),
        (fmt(channels=2, frame_bytes=3), "2 channels of 16 bits in frames of 3 bytes"),
        (fmt(channels=2, frame_bytes=2), "not integer PCM"),
        (fmt(frame_bytes=0), "not integer PCM"),
        (fmt(bits=0, frame_bytes=2), "not integer PCM"),
        (fmt(bits=64), "not integer PCM"),
    ],
)
def test_what_is_no_pcm_says_what_it_is(tmp_path, body, says):
    path = tmp_path / "probe.wav"
    path.write_bytes(riff(chunk(b"fmt ", body), chunk(b"data", SIX)))
    with pytest.raises(NotPCM, match=says) as caught:
        open_wav(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"RI", "not a WAV file .it starts with b'RI'.; give --channels"),
        (b"RIFF\0\0\0\0WA", "ends after 10 bytes"),
        (b"RIFF\0\0\0\0AVI LIST", "RIFF file of another kind"),
        (b"fLaC" + bytes(50), "looks like a FLAC file"),
        (bytes(50), "not a WAV file"),
        (riff(kind=b"RIFX"), "big-endian"),
        (riff(), "has a header but no data chunk"),
        (riff(chunk(b"fmt ", fmt())), "has a header but no data chunk"),
        (riff(chunk(b"fmt ", fmt()), chunk(b"LIST", b"abc", 1 << 31), chunk(b"data", SIX)), "no data chunk"),
        (riff(chunk(b"data", SIX), chunk(b"fmt ", fmt())), "no fmt chunk"),
        (riff(chunk(b"fmt ", fmt()[:14]), chunk(b"data", SIX)), "fmt chunk of 14 bytes"),
        (riff(chunk(b"ds64", b"abcd"), kind=b"RF64"), "ds64 chunk of 4 bytes"),
        (riff(chunk(b"JUNK", b"") * (2 * MAX_CHUNKS)), f"more than {MAX_CHUNKS} chunks"),
    ],
)
def test_what_is_no_wav_gets_one_sentence(tmp_path, data, says):
    path = tmp_path / "probe.wav"
    path.write_bytes(data)
    with pytest.raises(DataError, match=says) as caught:
        open_wav(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("open_it", [open_wav, lambda path: open_raw(path, 1, 30000, "int16", keep_partial=True)])
def test_what_cannot_be_opened_gets_one_sentence(tmp_path, monkeypatch, open_it):
    with pytest.raises(DataError, match="is a folder"):
        open_it(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        open_it(tmp_path / "nothing.wav")
    with pytest.raises(DataError, match="null"):
        open_it("a\0b")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(DataError, match="not a regular file"):
            open_it(tmp_path / "pipe")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    # The mode bits of a file would not stop the superuser, as whom tests may run.
    monkeypatch.setattr(io, "FileIO", refuse)
    path = tmp_path / "probe.wav"
    path.write_bytes(b"x")
    with pytest.raises(DataError, match="cannot be opened: Permission denied"):
        open_it(path)


def test_hostile_sizes_cost_neither_time_nor_memory(tmp_path):
    path = tmp_path / "probe.wav"
    huge = [
        riff(chunk(b"ds64", bytes(24) + b"\xff" * 4, 0xFFFFFFF0), kind=b"RF64"),
        riff(chunk(b"fmt ", fmt(), 0xFFFFFFF0)),
        riff(chunk(b"fmt ", fmt()), chunk(b"data", SIX, 0xFFFFFFF0)),
        riff(chunk(b"fmt ", fmt()), chunk(b"data", b""), chunk(b"JUNK", b"") * 500_000),
    ]
    for data in huge:
        path.write_bytes(data)
        tracemalloc.start()
        started = time.process_time()
        try:
            with open_wav(path) as source:
                source.read(0, min(source.frames, 3))
        except DataError:
            pass
        assert time.process_time() - started < 5
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


def test_truncation_at_every_byte(tmp_path):
    path = tmp_path / "probe.wav"
    files = [
        riff(chunk(b"JUNK", b"odd"), chunk(b"fmt ", fmt(2)), chunk(b"data", SIX * 4), chunk(b"LIST", b"abc")),
        riff(ds64(24), chunk(b"fmt ", extensible()), chunk(b"data", SIX * 4, 0xFFFFFFFF), kind=b"RF64"),
    ]
    for whole in files:
        for end in range(len(whole) + 1):
            path.write_bytes(whole[:end])
            if end >= whole.index(b"data") + 8:
                with open_wav(path) as source:
                    assert rebuilt(source) == whole[:end]
            else:
                with pytest.raises(DataError):
                    open_wav(path)


labels = st.sampled_from([b"fmt ", b"data", b"LIST", b"fact", b"ds64", b"\0\0\0\0"])
formats = st.builds(
    fmt, st.integers(0, 4), st.sampled_from([0, 8, 12, 16, 24, 32, 64]), st.sampled_from([1, 1, 1, 3, 0xFFFE])
)
bodies = st.one_of(st.binary(max_size=40), formats, st.just(extensible()))
sizes = st.one_of(st.none(), st.none(), st.sampled_from([0, 1, 5, 0xFFFFFFFF]), st.integers(0, (1 << 32) - 1))
chunks = st.builds(chunk, labels, bodies, sizes)
other_chunks = st.lists(
    st.builds(chunk, st.sampled_from([b"LIST", b"fact", b"ds64"]), st.binary(min_size=28, max_size=41))
)
sound_chunks = st.tuples(
    other_chunks,
    st.builds(lambda n, bits: [chunk(b"fmt ", fmt(n, bits))], st.integers(1, 3), st.sampled_from([8, 16, 24, 32])),
    other_chunks,
    st.builds(lambda body, size: [chunk(b"data", body, size)], st.binary(max_size=40), sizes),
    st.lists(chunks, max_size=3),
).map(lambda groups: [part for group in groups for part in group])


@one_folder
@given(
    st.lists(chunks, max_size=6) | sound_chunks, st.binary(max_size=20), st.sampled_from([b"RIFF", b"RF64", b"BW64"])
)
def test_any_chunks_come_back_or_are_refused(opened, parts, trailing, kind):
    try:
        opened(riff(*parts, trailing, kind=kind))
    except DataError as error:
        assert "probe.wav" in str(error)


@one_folder
@given(st.binary(max_size=60), st.integers(1, 5), st.sampled_from(list(DTYPES)))
def test_any_bytes_come_back_as_raw(tmp_path, data, channels, dtype):
    path = tmp_path / "probe.dat"
    path.write_bytes(data)
    with open_raw(path, channels, 24414.0625, dtype, keep_partial=True) as source:
        assert source.head() == b"" and source.frames == len(data) // source.layout.frame_bytes
        assert rebuilt(source) == data


def test_wrong_calls(tmp_path):
    path = tmp_path / "probe.dat"
    path.write_bytes(SIX)
    for channels, rate, dtype in [(0, 1, "int16"), (1, 0, "int16"), (1, float("nan"), "int16"), (1, 1, "float16")]:
        with pytest.raises(UsageError):
            open_raw(path, channels, rate, dtype)
    with open_raw(path, 1, 1, "int16", keep_partial=True) as source:
        for first, count in [(-1, 1), (0, -1), (0, 4), (3, 1)]:
            with pytest.raises(UsageError, match="has 3 frames"):
                source.read(first, count)
    sink = Sink(io.BytesIO(), MONO)
    for wrong in (np.zeros(3, np.int16), np.zeros((3, 2), np.int16), np.zeros((3, 1), np.int32)):
        with pytest.raises(UsageError, match="shape"):
            sink.write(wrong)
    sink.write_tail(b"")
    with pytest.raises(UsageError, match="order"):
        sink.write_head(b"late")
    with pytest.raises(UsageError, match="whole number of frames"):
        unpack(b"abc", MONO)


def test_a_file_that_shrinks_or_fails_is_reported(tmp_path):
    path = tmp_path / "probe.dat"
    path.write_bytes(bytes(100_000))
    with open_raw(path, 1, 1, "int16", keep_partial=True) as source:
        os.truncate(path, 50_000)
        with pytest.raises(DataError, match="ended at byte 50000"):
            source.read(0, 50_000)
    with pytest.raises(ValueError, match="closed"):
        source.read(0, 1)

    class Failing(io.BytesIO):
        def readinto(self, _):
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match=r"probe.dat cannot be read at byte 2: Input/output error"):
        Source(Failing(), "probe.dat", MONO, 0, 10, 10).read(1, 1)


def test_short_reads_and_writes_are_continued():
    class Slow(io.BytesIO):
        def readinto(self, buffer):
            return super().readinto(buffer[:3])

        def write(self, data):
            return super().write(bytes(data)[:3])

    file = Slow()
    sink = Sink(file, MONO)
    sink.write(np.arange(10, dtype=np.int16)[:, None])
    assert file.getvalue() == np.arange(10, dtype="<i2").tobytes()
    assert np.array_equal(Source(file, "slow", MONO, 0, 20, 20).read(0, 10)[:, 0], np.arange(10))

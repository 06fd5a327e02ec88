"""Any bytes of a restored file can be read by position, for every kind of file: the same as are restored."""

from __future__ import annotations

import itertools
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_mapped_files import made, recordings, stored

import spikey
from kit.archives import damaged, noise, wav
from kit.commands import run as run
from kit.paths import GOLDEN
from kit.vendor_files import FORMS
from spikey.container.archive import Archive
from spikey.container.layout import BLOCK_FILES, BLOCK_HEAD, BLOCK_SAMPLES
from spikey.container.reader import Reader
from spikey.files import restored_contents, restored_records
from spikey.files.compress import compress_file
from spikey.files.decompress import decompress_file, decompress_files
from spikey.files.restored_view import RestoredFile, open_restored
from spikey.files.settings import Settings
from spikey.files.shared_cache import SharedCache
from spikey.recording import sample_map
from spikey.recording.layout import DTYPES, Layout, pack
from spikey.recording.sample_map import Rest, Run, Samples, joined, rest
from spikey.recording.wav import canonical_head

LPC = Settings(predictor="lpc", calibration="none", block_frames=64)


def assert_same(file: RestoredFile, data: bytes, seed: int = 0, times: int = 40) -> None:
    """The size and any bytes of a file are those of `data`."""
    assert file.size == len(data)
    assert file.read(0, len(data) + 5) == data
    rng = np.random.default_rng(seed)
    for _ in range(times):
        first = int(rng.integers(0, len(data) + 2))
        count = int(rng.choice([0, 1, 2, 3, 50, 4096, len(data)]))
        assert file.read(first, count) == data[first : first + count], (file.name, first, count)


def opened(path: Path, **options) -> list[RestoredFile]:
    return open_restored(Reader(path, **options), path)


def samples_of(dtype: str, frames: int = 700, channels: int = 3) -> np.ndarray:
    memory = Layout(1, 1, dtype).memory_dtype
    return np.random.default_rng(1).integers(0, 100, (frames, channels)).astype(memory)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tail", [0, 1])
def test_raw_files(dtype, tail, tmp_path):
    data = pack(samples_of(dtype), Layout(3, 30_000, dtype)) + bytes(range(1, 1 + tail))
    (tmp_path / "a.dat").write_bytes(data)
    compress_file(
        tmp_path / "a.dat",
        tmp_path / "a.dat.spky",
        Settings(predictor="lpc", calibration="none", block_frames=64, raw=(3, 30_000, dtype), keep_partial=True),
    )
    (file,) = opened(tmp_path / "a.dat.spky")
    assert file.name == "a.dat"
    assert_same(file, data)


HEADS = {
    "canonical": lambda samples: canonical_head(Layout(1, 20_000, "int16"), len(samples) // 2) + samples,
    "chunks around": lambda samples: (
        b"RIFF"
        + struct.pack("<I", 36 + 26 + len(samples) + 9)
        + b"WAVE"
        + b"note"
        + struct.pack("<I", 18)
        + b"before the samples"
        + canonical_head(Layout(1, 20_000, "int16"), len(samples) // 2)[12:]
        + samples
        + b"LIST\1\0\0\0?"
    ),
    "large head": lambda samples: (
        b"RIFF"
        + struct.pack("<I", 36 + 8 + 3_000_000 + len(samples))
        + b"WAVE"
        + b"note"
        + struct.pack("<I", 3_000_000)
        + np.random.default_rng(0).bytes(3_000_000)
        + canonical_head(Layout(1, 20_000, "int16"), len(samples) // 2)[12:]
        + samples
    ),
    "no samples": lambda _: canonical_head(Layout(1, 20_000, "int16"), 0),
    "other encoding": lambda samples: (lambda d: d[:20] + b"\6\0" + d[22:34] + b"\x08\0" + d[36:])(
        canonical_head(Layout(1, 20_000, "int16"), len(samples) // 2) + samples
    ),
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("frames", [10, 5000])
def test_wav_files(kind, frames, tmp_path):
    data = HEADS[kind](samples_of("int16", frames, 1).tobytes())
    (tmp_path / "a.wav").write_bytes(data)
    compress_file(tmp_path / "a.wav", tmp_path / "b.spky", LPC)
    (file,) = opened(tmp_path / "b.spky")
    assert file.name == "b.wav"
    assert_same(file, data)


@pytest.mark.parametrize("form", FORMS)
def test_vendors_files(form, run, tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    FORMS[form][1](folder)
    complete = () if form.startswith("mtscomp") else ("--complete",)  # which is not restored as it was
    assert run("compress", folder, f"{tmp_path}/packed/", "--preset", "fast", *complete)[0] == 0
    assert run("decompress", f"{tmp_path}/packed", f"{tmp_path}/back/")[0] == 0
    found = {}
    for path in (tmp_path / "packed").rglob("*.spky"):
        for file in opened(path):
            found[file.name] = file
    back = {p.relative_to(tmp_path / "back").as_posix(): p for p in (tmp_path / "back").rglob("*") if p.is_file()}
    back = {name.removeprefix("session/"): path for name, path in back.items()}
    names = {name.removeprefix("session/"): file for name, file in found.items()}
    assert names.keys() == back.keys()
    for name, path in back.items():
        assert_same(names[name], path.read_bytes(), times=25)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=recordings(), large=st.sampled_from([0, 20, 1 << 16]), at_once=st.sampled_from([1, 40, 1 << 20]))
def test_any_records(case, large, at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(restored_records, "LARGE", large)
    monkeypatch.setattr(sample_map, "REST_AT_ONCE", at_once)
    mapped = made(tmp_path, *case)
    how = Settings(predictor="lpc", calibration="none", block_frames=7)
    files = opened(stored(mapped, tmp_path / "a.spky", how))
    for file, original in zip(files, mapped.files, strict=True):
        assert file.name == f"a/{original.path.name}"
        assert_same(file, original.path.read_bytes())


def test_records_that_are_large(tmp_path, monkeypatch):
    parts = (Rest(100), Samples(30_000, 0, 2, planar=True), Rest(9), Samples(30_000, 2, 1))
    mapped = made(tmp_path, [joined([rest(2_000_000), Run(3, parts), rest(5)])], "int16")
    (file,) = opened(stored(mapped, tmp_path / "a.spky"))
    assert_same(file, mapped.files[0].path.read_bytes(), times=100)
    asked = []
    once = restored_contents.Contents.samples

    def counted(self, first, count, low, high):
        asked.append(count * (high - low))
        return once(self, first, count, low, high)

    monkeypatch.setattr(restored_contents.Contents, "samples", counted)
    for first in (2_000_000 + 100 + 999, 2_000_000 + 100 + 120_000 + 9 + 999):  # channel after channel; one channel
        asked.clear()
        file.read(first, 10)
        assert sum(asked) <= 6


def test_members_of_an_archive(archive, folder):
    with Archive(archive) as members:
        for name in members:
            (file,) = open_restored(members[name], name)
            assert_same(file, (folder / name).read_bytes())


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.spky")), ids=lambda path: path.stem)
def test_golden_files(path, tmp_path):
    try:
        reader = Reader(path)
    except spikey.DataError:
        pytest.skip("is no recording by itself")
    files = open_restored(reader, path)
    if reader.file_map is None:
        decompress_file(path, tmp_path / files[0].name)
    else:
        decompress_files(path, tmp_path)
    assert len(files) == (1 if reader.file_map is None else len(reader.file_map.names))
    for file in files:
        assert_same(file, (tmp_path / file.name).read_bytes(), times=5)


def test_bytes_that_cannot_be(tmp_path):
    (file,) = open_restored(spikey.open(spikey.compress(np.zeros((9, 1), "int16"), rate=1)), "a.dat.spky")
    for first, count in ((-1, 1), (0, -1)):
        with pytest.raises(spikey.UsageError, match="has no bytes"):
            file.read(first, count)
    assert file.read(18, 1) == file.read(99, 1) == b""


@pytest.fixture
def many(tmp_path) -> tuple[Path, bytes]:
    """A WAV of 12 blocks of 500 frames, packed."""
    data = wav(noise(3, 6000))
    (tmp_path / "a.wav").write_bytes(data)
    compress_file(tmp_path / "a.wav", tmp_path / "a.spky", Settings(preset="fast", block_frames=500))
    return tmp_path / "a.spky", data


def blocks_of(path: Path, kind: int = BLOCK_SAMPLES):
    with Reader(path) as reader:
        return [block for block in reader.structure.blocks if block.kind == kind]


def test_a_damaged_block_loses_its_own_bytes_only(many, tmp_path):
    path, data = many
    block = blocks_of(path)[5]
    (file,) = opened(damaged(path, tmp_path, block.offset + block.size // 2))
    first, end = (44 + 2 * frame for frame in (block.first_frame, block.extent[1]))
    assert file.read(0, first) == data[:first]
    assert file.read(end, len(data)) == data[end:]
    for start, count in ((first - 1, 2), (first, 1), (end - 1, 1), (end - 1, 2), (0, len(data))):
        with pytest.raises(spikey.DamagedError):
            file.read(start, count)


def test_a_damaged_block_is_not_decoded_for_every_request(many, tmp_path, monkeypatch):
    path, data = many
    block = blocks_of(path)[5]
    bad = damaged(path, tmp_path, block.offset + block.size // 2)
    (file,) = opened(bad)
    first = 44 + 2 * block.first_frame
    asked = []
    once = Reader.read

    def counted(self, *arguments, **options):
        asked.append(arguments)
        return once(self, *arguments, **options)

    monkeypatch.setattr(Reader, "read", counted)
    for at in range(first, first + 900, 100):
        with pytest.raises(spikey.DamagedError, match="frames 2500 to 3000"):
            file.read(at, 50)
    assert len(asked) == 1
    assert file.read(first - 50, 50) == data[first - 50 : first]
    bad.write_bytes(path.read_bytes())
    with pytest.raises(spikey.DamagedError):
        file.read(first, 50)
    monkeypatch.setattr(restored_contents.time, "monotonic", lambda: float("inf"))  # later it is tried again
    assert file.read(first, 50) == data[first : first + 50]


def test_damage_beside_samples(run, tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    FORMS["spikeglx"][1](folder)
    assert run("compress", folder, f"{tmp_path}/packed/")[0] == 0
    for path in (tmp_path / "packed").rglob("*.spky"):
        for block in blocks_of(path, BLOCK_FILES):
            files = {file.name: file for file in opened(damaged(path, tmp_path, block.offset + block.size // 2))}
            side = [file for name, file in files.items() if name.endswith(".meta")]
            assert side
            with pytest.raises(spikey.DamagedError):
                side[0].read(0, 10)
            (samples,) = (file for name, file in files.items() if name.endswith(".bin"))
            assert samples.read(0, 100) == (folder / samples.name).read_bytes()[:100]


def test_other_bytes_that_are_not_there(tmp_path):
    """A map that asks for fewer of them than the file has."""
    mapped = made(tmp_path, [joined([rest(9), Run(20, (Rest(4), Samples(3, 0, 1)))])], "int16")
    path = stored(mapped, tmp_path / "a.spky")
    reader = Reader(path)
    reader.structure.blocks = [block for block in reader.structure.blocks if block.kind != BLOCK_HEAD]
    with pytest.raises(spikey.DataError, match="contradicts itself about the bytes between"):
        open_restored(reader, path)


def test_a_block_is_decoded_once_for_all_threads(many, monkeypatch):
    path, data = many
    reader = Reader(path)
    (file,) = open_restored(reader, path)
    decoded = []
    once = reader.decoder.content

    def counted(block):
        decoded.append(block.offset)
        threading.Event().wait(0.05)
        return once(block)

    monkeypatch.setattr(reader.decoder, "content", counted)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda at: file.read(at, 100), range(0, len(data), 100)))
    assert b"".join(parts) == data
    assert sorted(decoded) == [block.offset for block in blocks_of(path)]


def test_blocks_are_decoded_ahead(many):
    path, data = many
    reader = Reader(path)
    (file,) = open_restored(reader, path)
    offsets = [block.offset for block in blocks_of(path)]
    assert file.block(0) is None and file.block(len(data)) is None
    assert [file.block(44 + 1000 * k) for k in range(12)] == list(range(12))
    assert file.block(44 + 999) == 0
    file.ahead(44 + 3000, most=2000)
    assert [offset in reader.cache for offset in offsets] == [False] * 4 + [True] * 2 + [False] * 6
    file.ahead(44 + 3000, most=999)
    file.ahead(0, most=1 << 20)
    assert sum(offset in reader.cache for offset in offsets) == 2
    file.ahead(44 + 3000, most=1 << 20)
    assert [offset in reader.cache for offset in offsets] == [False] * 4 + [True] * 8


def test_one_cache_for_all_readers(many):
    path, data = many
    shared = SharedCache(5000)
    readers = [Reader(path) for _ in range(3)]
    for number, reader in enumerate(readers):
        reader.cache = shared.of(number)
    files = [open_restored(reader, path)[0] for reader in readers]
    for at in range(44, len(data), 700):
        for file in files:
            assert file.read(at, 700) == data[at : at + 700]
            assert shared.used <= 5000
    assert shared.used > 4000
    for number, reader in enumerate(readers):
        reader.cache.clear()
        assert not any(block.offset in reader.cache for block in blocks_of(path)), number
    assert shared.used == 0


def test_a_cache_has_room_for_one_block_at_least(many):
    shared = SharedCache(1)
    part, other = shared.of("a"), shared.of("b")
    for place, owner in itertools.product(range(3), (part, other)):
        samples = np.zeros(100, "int16")
        owner.put(place, samples)
        assert owner.get(place) is samples and shared.used == 200
    assert part.get(2) is None and other.get(0) is None
    other.put(2, np.zeros(7, "int8"))
    assert shared.used == 7

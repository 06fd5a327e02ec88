"""Recordings whose samples lie between other bytes, in one file or several, are restored byte for byte."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spikey
from kit import reference_files
from kit.golden import record_files
from kit.paths import GOLDEN
from spikey.container import contents
from spikey.container.contents import file_map_record
from spikey.container.file_map import FileMap, following, read_file_map
from spikey.container.layout import BLOCK_HEAD
from spikey.container.reader import Reader
from spikey.files import mapped_files
from spikey.files.compress import Output, write_recording
from spikey.files.convert import convert_file
from spikey.files.decompress import decompress_file, decompress_files, verify_file
from spikey.files.mapped_files import differing, write_files
from spikey.files.matching import matches
from spikey.files.settings import Settings
from spikey.recording import sample_map
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.mapped import MappedSource
from spikey.recording.sample_map import LARGEST_RECORD, Mapped, MappedFile, Rest, Run, Samples, joined, rest

LPC = Settings(predictor="lpc", calibration="none")


def record(frames: int, first: int, channels: int, planar: bool = False) -> tuple[Rest | Samples, ...]:
    """A timestamp of 8 bytes, samples, a marker of 2 bytes."""
    return Rest(8), Samples(frames, first, channels, planar), Rest(2)


def made(folder: Path, runs: list[sample_map.Runs], dtype: str, big_endian: bool = False, seed: int = 0) -> Mapped:
    """Files of random bytes, of which these are samples."""
    layout = Layout(sum(b - a for a, b in map(sample_map.columns_of, runs)), 30_000, dtype)
    rng = np.random.default_rng(seed)
    files = []
    for number, each in enumerate(runs):
        path = folder / "in" / f"c{number}.dat"
        path.parent.mkdir(exist_ok=True)
        size = sum(run.count * run.record_bytes(layout.itemsize) for run in each)
        path.write_bytes(rng.integers(0, 4, size, dtype=np.uint8).tobytes())
        files.append(MappedFile(path, each))
    return Mapped("test", layout, tuple(files), big_endian)


def stored(mapped: Mapped, path: Path, how: Settings = LPC) -> Path:
    source = MappedSource(mapped, "a test")
    names = tuple(f"a/{file.path.name}" for file in mapped.files)
    file_map = FileMap(names, tuple(file.runs for file in mapped.files), mapped.big_endian)
    write_recording(source, Output(path, overwrite=True), how, file_map=file_map)
    return path


def assert_back(mapped: Mapped, path: Path, folder: Path) -> None:
    with Reader(path) as reader:
        write_files(reader, folder, overwrite=True)
    for file in mapped.files:
        assert (folder / "a" / file.path.name).read_bytes() == file.path.read_bytes()


THREE = [joined([rest(100), Run(40, record(5, first, 1)), Run(1, record(3, first, 1)), rest(7)]) for first in range(3)]


@st.composite
def recordings(draw: st.DrawFn) -> tuple[list[sample_map.Runs], str, bool]:
    """Runs of several files of the same frames."""
    frames, files, column = draw(st.integers(1, 40)), [], 0
    for _ in range(draw(st.integers(1, 3))):
        channels = draw(st.integers(1, 3))
        left, runs = frames, [rest(draw(st.integers(0, 9)))]
        while left:
            each = draw(st.integers(1, left))
            count = draw(st.integers(1, left // each))
            parts: list[Rest | Samples] = [Rest(size) for size in draw(st.lists(st.integers(1, 9), max_size=2))]
            cut = draw(st.integers(0, channels))
            for first, some in ((column + cut, channels - cut), (column, cut)):  # in any order, with bytes between
                if some:
                    parts += [Samples(each, first, some, draw(st.booleans())), Rest(draw(st.integers(1, 3)))]
            runs.append(Run(count, tuple(parts[: len(parts) - draw(st.integers(0, 1))])))
            left -= each * count
        files.append(joined([*runs, rest(draw(st.integers(0, 5)))]))
        column += channels
    return files, draw(st.sampled_from(list(DTYPES))), draw(st.booleans())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=recordings(), at_once=st.sampled_from([1, 40, 1 << 20]))
def test_any_records_come_back(case, at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(sample_map, "REST_AT_ONCE", at_once)
    mapped = made(tmp_path, *case)
    path = stored(mapped, tmp_path / "a.spky", Settings(predictor="lpc", calibration="none", block_frames=7))
    assert_back(mapped, path, tmp_path / "back")
    assert verify_file(path).samples == mapped.frames * mapped.layout.channels


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=recordings())
def test_the_format_document_gives_the_same_files(case, tmp_path):
    if case[1] in ("float32", "float64"):
        case = case[0], "int16", case[2]
    mapped = made(tmp_path, *case)
    found = reference_files.files_of(stored(mapped, tmp_path / "a.spky").read_bytes())
    assert found == {f"a/{file.path.name}": file.path.read_bytes() for file in mapped.files}


def test_samples_are_channels(tmp_path):
    runs = [joined([rest(9), Run(2, (Rest(4), Samples(3, 1, 2, planar=True), Samples(3, 0, 1)))])]
    mapped = made(tmp_path, runs, "int16")
    values = np.arange(18, dtype=">i2")
    first, second = values[:9].tobytes(), values[9:].tobytes()
    mapped.files[0].path.write_bytes(b"a head of" + b"t=01" + first + b"t=02" + second)
    mapped = Mapped("test", mapped.layout, mapped.files, big_endian=True)
    with Reader(stored(mapped, tmp_path / "a.spky")) as reader:
        wanted = [[6, 0, 3], [7, 1, 4], [8, 2, 5], [15, 9, 12], [16, 10, 13], [17, 11, 14]]
        assert reader[:].tolist() == wanted
        assert b"".join(reader.around(BLOCK_HEAD)) == b"a head oft=01t=02"
    source = MappedSource(mapped, "a test")
    for begin in range(6):
        for end in range(begin, 7):
            assert source.read(begin, end - begin).tolist() == wanted[begin:end]
    with pytest.raises(spikey.UsageError, match="asked for 2 from frame 5"):
        source.read(5, 2)


def test_timestamps_that_advance_cost_next_to_nothing(tmp_path):
    count = 4000
    mapped = made(
        tmp_path, [joined([rest(1024), Run(count, (Rest(8), Rest(2), Samples(64, 0, 1), Rest(10)))])], "int16"
    )
    samples = np.cumsum(np.random.default_rng(0).integers(-2, 3, count * 64)).astype("<i2").tobytes()
    records = b"".join(
        (10**9 + 64 * k).to_bytes(8, "little") + b"\x40\0" + samples[128 * k : 128 * k + 128] + bytes(range(10))
        for k in range(count)
    )
    mapped.files[0].path.write_bytes(bytes(1024) + records)
    with Reader(stored(mapped, tmp_path / "a.spky")) as reader:
        head = [block for block in reader.structure.blocks if block.kind == BLOCK_HEAD]
        assert sum(block.frames for block in head) == 1024 + 20 * count
        assert sum(block.size for block in head) < 300
    assert_back(mapped, tmp_path / "a.spky", tmp_path / "back")


def test_long_bytes_that_are_not_samples(tmp_path):
    runs = [joined([rest(3_000_001), *THREE[0], rest(5_000_000)])]
    assert max(run.record_bytes(2) for run in runs[0]) <= 1 << 20
    mapped = made(tmp_path, runs, "int16")
    assert_back(mapped, stored(mapped, tmp_path / "a.spky"), tmp_path / "back")


def test_more_files_than_can_be_open_at_once(tmp_path, monkeypatch):
    runs = [joined([rest(3), Run(50, record(2, first, 1))]) for first in range(200)]
    mapped = made(tmp_path, runs, "uint8")
    path = stored(mapped, tmp_path / "a.spky")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    passes = []
    once = mapped_files.assemble

    def counted(reader, file_map, targets, first, *rest):
        passes.append((first, len(targets)))
        return once(reader, file_map, targets, first, *rest)

    monkeypatch.setattr(mapped_files, "assemble", counted)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert_back(mapped, path, tmp_path / "back")
    assert passes == [(0, 96), (96, 96), (192, 8)]
    monkeypatch.undo()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))  # which is raised where the system allows it
        assert_back(mapped, path, tmp_path / "back")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_files_that_are_the_same_but_for_their_columns_are_described_once(tmp_path):
    names = tuple(f"channel {k}" for k in range(3))
    file_map = FileMap(names, tuple(THREE))
    assert following(THREE[0]) == THREE[1]
    content = file_map.write()
    assert len(content) < sum(map(len, names)) + 40
    assert read_file_map(content, Layout(3, 1, "int16"), 203, "a") == file_map


def test_outputs_that_exist_stay(tmp_path):
    mapped = made(tmp_path, THREE, "int16")
    path = stored(mapped, tmp_path / "a.spky")
    (tmp_path / "back/a").mkdir(parents=True)
    (tmp_path / "back/a/c1.dat").write_bytes(b"mine")
    with pytest.raises(spikey.UsageError, match=r"c1\.dat: exists"):
        decompress_files(path, tmp_path / "back")
    assert [p.name for p in (tmp_path / "back/a").iterdir()] == ["c1.dat"]
    outcome, lost = decompress_files(path, tmp_path / "back", overwrite=True)
    assert not lost and outcome.original == sum(file.path.stat().st_size for file in mapped.files)
    with pytest.raises(spikey.UsageError, match="restores 3 files; name a folder"):
        decompress_file(path, tmp_path / "one.dat")
    assert not (tmp_path / "one.dat").exists()


def test_one_file_of_records_is_restored_to_a_path(tmp_path):
    mapped = made(tmp_path, THREE[:1], "int16")
    path = stored(mapped, tmp_path / "a.spky")
    decompress_file(path, tmp_path / "b.dat")
    assert (tmp_path / "b.dat").read_bytes() == mapped.files[0].path.read_bytes()


def test_what_differs_is_found(tmp_path):
    mapped = made(tmp_path, THREE, "int16")
    path = stored(mapped, tmp_path / "a.spky")
    paths = [file.path for file in mapped.files]
    root = tmp_path / "root"
    decompress_files(path, root)
    with Reader(path) as reader:
        assert differing(reader, paths) is None
    assert matches(path, root / "a/c0.dat", root) is not None
    assert matches(path, root / "a/c0.dat") is None  # where the others are is not known
    for change in (b"more", b""):
        data = paths[1].read_bytes()
        paths[1].write_bytes(data + change if change else data[:-1] + b"?")
        (root / "a/c1.dat").write_bytes(paths[1].read_bytes())
        with Reader(path) as reader:
            assert differing(reader, paths) == paths[1]
        assert matches(path, root / "a/c0.dat", root) is None
        paths[1].write_bytes(data)
    (root / "a/c1.dat").unlink()
    assert matches(path, root / "a/c0.dat", root) is None


def test_a_file_that_changes_is_an_error(tmp_path):
    mapped = made(tmp_path, THREE, "int16")
    mapped.files[2].path.write_bytes(b"shorter")
    with pytest.raises(spikey.DataError, match=r"c2\.dat: had 923 bytes when it was found and has 7 now"):
        MappedSource(mapped, "a test")


def test_damage_between_samples(tmp_path):
    mapped = made(tmp_path, THREE, "int16")
    path = stored(mapped, tmp_path / "a.spky")
    with Reader(path) as reader:
        block = next(block for block in reader.structure.blocks if block.kind == BLOCK_HEAD)
    data = bytearray(path.read_bytes())
    data[block.offset + block.size // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(spikey.DamagedError):
        decompress_files(path, tmp_path / "back")
    assert not any(p.is_file() for p in (tmp_path / "back").rglob("*"))
    with pytest.raises(spikey.DamagedError):
        verify_file(path)
    _, lost = decompress_files(path, tmp_path / "back", salvage=True)
    assert lost
    with Reader(path) as reader:  # the samples are whole
        assert reader[:].shape == (203, 3)


def test_conversion_to_another_preset(tmp_path):
    mapped = made(tmp_path, THREE, "int16")
    convert_file(stored(mapped, tmp_path / "a.spky"), tmp_path / "b.spky", Settings(preset="balanced"))
    assert_back(mapped, tmp_path / "b.spky", tmp_path / "back")


def test_a_golden_file_of_records(tmp_path):
    decompress_files(GOLDEN / "records.spky", tmp_path / "back")
    for file in record_files(tmp_path).files:
        assert (tmp_path / "back/a" / file.path.name).read_bytes() == file.path.read_bytes()
    found = reference_files.files_of((GOLDEN / "records.spky").read_bytes())
    assert found == {f"a/c{k}.dat": (tmp_path / f"c{k}.dat").read_bytes() for k in range(2)}


MALFORMED = [
    b"",
    b"\2\1",
    b"\0\0",
    b"\0\1\1a\0",  # no runs before
    b"\0\1\1a\1\1\1\5\0\1",  # one frame of two
    b"\0\1\1a\1\2\1\5\1\1",  # from column 1 on
    b"\0\1\1a\1\2\2\5\0\1\5\0\1",  # a column twice
    b"\0\1\1a\1\2\2\5\0\1\11\0\1",  # of two numbers of frames
    b"\0\1\1a\1\2\1\5\0\2",  # too many columns
    b"\0\1\1a\1\2\1\4",  # no samples
    b"\0\1\1a\2\1\1\5\0\1\0\1\4",  # a run of no records
    b"\0\1\1a\2\2\1\5\0\1\1\1\0",  # a record of no bytes
    b"\0\1\1a\1\2\1\5\0\1x",  # and more
    b"\0\1\4../a\1\2\1\5\0\1",
    b"\0\1\1\xff\1\2\1\5\0\1",
    b"\0\1\1a\1\2\2\5\0\1\xfe\xff\xff\xff\x7f",  # a record of 16 GiB
    b"\0\1\1a\xff\xff\xff\xff\x7f\2\1\5\0\1",
]


@pytest.mark.parametrize("content", MALFORMED)
def test_malformed_maps(content):
    with pytest.raises(spikey.DataError):
        read_file_map(content, Layout(1, 1, "int16"), 2, "a.spky")


def test_two_files_of_one_name():
    content = FileMap(("a", "b"), tuple(THREE[:2])).write()
    with pytest.raises(spikey.DataError, match="in an impossible way"):
        read_file_map(content.replace(b"\1b", b"\1A"), Layout(2, 1, "int16"), 203, "a")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60), st.integers(1, 255))
def test_changed_maps_are_valid_or_refused(noise, place, change):
    layout = Layout(3, 1, "int16")
    content = bytearray(FileMap(("a", "b", "c"), tuple(THREE)).write())
    content[place % len(content)] ^= change
    for data in (bytes(content), noise, bytes(content[: place % len(content)])):
        try:
            found = read_file_map(data, layout, 203, "a")
        except spikey.DataError:
            continue
        for runs in found.runs:
            assert sum(run.count * run.frames for run in runs) == 203
            assert all(run.record_bytes(2) <= LARGEST_RECORD for run in runs)


def test_other_bytes_that_are_not_there(tmp_path):
    """A map that asks for more of them than the file has, with a header whose checksum is right."""
    mapped = made(tmp_path, THREE[:1], "int16")
    lying = joined([rest(1 << 50), *THREE[0]])
    source = MappedSource(mapped, "a test")
    path = tmp_path / "a.spky"
    with pytest.raises(spikey.DataError, match="contradicts itself about the bytes between"):
        write_recording(source, Output(path), LPC, file_map=FileMap(("a/c0.dat",), (lying,)))
    assert not path.exists()


def test_too_many_to_describe(monkeypatch):
    monkeypatch.setattr(contents, "LARGEST_RECORD", 1000)
    counts = np.random.default_rng(0).integers(1, 1 << 40, 1000)
    runs = tuple(Run(int(count), (Rest(1 + k % 200), Samples(1 + k, 0, 1))) for k, count in enumerate(counts))
    with pytest.raises(spikey.UsageError, match="the description of the files takes"):
        file_map_record(FileMap(("a",), (runs,)))

"""Archives of recordings: round trips, single recordings, companions, and the format as it is written."""

from __future__ import annotations

import io
import shutil
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import spikey
from kit.archives import FAST, FRAMES, contents, damaged, floats, members, noise, wav
from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.container import archive_companions
from spikey.container.archive import Archive
from spikey.container.archive_writer import ArchiveWriter
from spikey.container.blocks import BlockDecoder
from spikey.container.entries import (
    COPY,
    ENTRY_SYNC,
    FRONT,
    TOGETHER,
    Entry,
    Reference,
    find_entries,
    read_directory,
    write_directory,
)
from spikey.container.reader import Reader
from spikey.files import archives as archives_module
from spikey.files.archives import compress_archive
from spikey.files.extraction import describe_archive, restore, verify_member
from spikey.recording.companions import MOST_NEEDED, plan


def test_every_file_comes_back(folder, archive, tmp_path):
    with spikey.open_archive(archive) as opened:
        assert sorted(opened.names) == [name for name, _ in members(folder)] and len(opened) == 12
        assert contents(opened, tmp_path) == {name: path.read_bytes() for name, path in members(folder)}
        for name in opened:
            verify_member(opened, name)


def test_readers_slice_and_say_what_they_are(folder, archive):
    with spikey.open_archive(archive.read_bytes()) as opened:
        reader = opened["a0.wav"]
        with Reader(spikey.compress(reader[:], rate=reader.rate)) as alone:
            assert (alone[100:200] == reader[100:200]).all()
        assert (opened["deep/er/tail.wav"][5:9] == reader[5:9]).all()
        assert opened["two.wav"].shape == (FRAMES, 2) and "a0.wav" in opened and "b" not in opened
        with pytest.raises(UsageError, match=r"holds no a9\.wav; did you mean a"):
            opened["a9.wav"]


def test_copies_cost_next_to_nothing_and_are_found(archive):
    with spikey.open_archive(archive) as opened:
        for name, original, most in (("deep/same.wav", "a1.wav", 24), ("deep/er/tail.wav", "a0.wav", 100)):
            entry = opened.entry(name)
            assert entry.kind == COPY and entry.size <= most
            assert [c.name for c in opened.companions(name)] == [original]
            assert opened.needed(name)[-1] == original or original in opened.needed(name)


def test_groups_go_by_rate_length_and_magnitude(folder):
    files = members(folder)
    paths = [path for name, path in files if name not in ("law.wav",)]
    found = plan(paths, lambda path: archives_module.open_recording(path, FAST))
    names = [[paths[one.place].name for one in group] for group in found]
    assert sorted(max(names, key=len)) == ["a0.wav", "a1.wav", "a2.wav", "a3.wav", "same.wav", "tail.wav"]
    assert sum(len(group) == 1 for group in names) == len(names) - 1
    (group,) = (group for group in found if len(group) > 1)
    seen: set[int] = set()
    for one in group:
        assert {c.place for c in one.companions} <= seen
        for companion in one.companions:
            negative = (paths[one.place].name == "a2.wav") != (paths[companion.place].name == "a2.wav")
            assert (companion.correlation < -0.3) if negative else (companion.correlation > 0.3)
        seen.add(one.place)
    assert [len(one.companions) for one in group] == [0, 1, 2, 3, 1, 1]


def test_the_best_channels_of_many_are_chosen(tmp_path):
    common = noise(1, 9000, 6)
    (tmp_path / "a.wav").write_bytes(wav(common + noise(2, 9000, 6) / 4))
    (tmp_path / "b.wav").write_bytes(wav(common[:, [0, 4, 4]] + noise(3, 9000, 3) / 4))
    (first, second) = plan([tmp_path / "a.wav", tmp_path / "b.wav"])[0]
    assert (first.place, second.place) == (0, 1)
    assert {c.channel for c in second.companions} == {0, 4} and all(c.place == 0 for c in second.companions)


def test_no_recording_needs_more_than_a_bounded_number_of_others(tmp_path):
    common = noise(0, 2000)
    paths = []
    for index in range(MOST_NEEDED + 12):
        paths.append(tmp_path / f"{index:02}.wav")
        paths[-1].write_bytes(wav(common + noise(index + 1, 2000) / 2))
    (group,) = plan(paths)
    needed: dict[int, set[int]] = {}
    for one in group:
        others = {c.place for c in one.companions}
        needed[one.place] = others.union(*(needed[other] for other in others))
        assert len(needed[one.place]) <= MOST_NEEDED
    assert all(one.companions for one in group[1:])


def test_one_recording_only_and_none(tmp_path, folder):
    packing = compress_archive([("a.wav", folder / "a0.wav")], tmp_path / "a.spky", FAST)
    assert packing.groups == 0 and [entry.kind for entry in packing.entries] == [0]
    with Archive(tmp_path / "a.spky") as opened:
        assert contents(opened, tmp_path) == {"a.wav": (folder / "a0.wav").read_bytes()}
    with pytest.raises(UsageError, match="nothing to compress"):
        compress_archive([], tmp_path / "none.spky", FAST)
    assert not (tmp_path / "none.spky").exists()
    empty = io.BytesIO()
    with ArchiveWriter(empty):
        pass
    with Archive(empty.getvalue()) as opened:
        assert len(opened) == 0


def test_the_bytes_do_not_depend_on_threads(folder, archive, tmp_path):
    compress_archive(members(folder), tmp_path / "one.spky", FAST)
    assert (tmp_path / "one.spky").read_bytes() == archive.read_bytes()


def test_blocks_of_a_long_recording(folder, tmp_path):
    settings = replace(FAST, block_frames=500)
    files = [(path.name, path) for path in (folder / "a0.wav", folder / "deep" / "er" / "tail.wav")]
    compress_archive(files, tmp_path / "a.spky", settings)
    with Archive(tmp_path / "a.spky") as opened:
        entry = opened.entry("a0.wav")
        assert len(opened["tail.wav"].structure.blocks) == len(opened["a0.wav"].structure.blocks) == 6
        assert contents(opened, tmp_path) == {path.name: path.read_bytes() for _, path in files}
        middle = opened["a0.wav"].structure.blocks[2].offset + 40
    path = damaged(tmp_path / "a.spky", tmp_path, entry.offset + middle)
    with Archive(path) as opened:
        lost = [(1000, 1500, 0, 1)]
        for name, cause in (
            ("a0.wav", r"channels 0 to 0 \[damaged\]$"),
            ("tail.wav", "lost with a0.wav, which it was coded with"),
        ):
            with pytest.raises(DamagedError, match=cause) as error:
                verify_member(opened, name)
            assert error.value.ranges == lost
            with pytest.raises(DamagedError, match="is damaged|fails its checksum|needs a0.wav"):
                restore(opened, name, tmp_path / "x.wav")
            assert not (tmp_path / "x.wav").exists()
        assert (opened["tail.wav"][:1000] == opened["a0.wav"][:1000]).all()
    with Archive(path, salvage=True) as opened:
        whole = (folder / "a0.wav").read_bytes()
        for name in opened:
            _, found, others = restore(opened, name, tmp_path / "x.wav", salvage=True, overwrite=True)
            assert found == lost and others == (["a0.wav"] if name == "tail.wav" else [])
            got = (tmp_path / "x.wav").read_bytes()[: len(whole)]
            assert got == whole[:2044] + bytes(1000) + whole[3044:]


def test_entries_and_directory_are_inverses():
    references = (Reference(3, 0, -0.25), Reference(1, 7, 0.5))
    uuid = "0052503c-2849-4f41-ab51-db382103690c"
    names = ["ä/1.wav", f"{uuid}.wav", f"x/{uuid}", f"{uuid}-{uuid}.wav", uuid.upper()]
    entries = [Entry(n, name, 0, *((TOGETHER, references, 9) if n == 4 else ())) for n, name in enumerate(names)]
    data = FRONT
    placed = []
    for entry in entries:
        data += entry.write()
        placed.append(replace(entry, offset=len(data)))
    assert find_entries(lambda at, count: data[at : at + count], len(data), "x") == placed
    data += write_directory(entries, len(data))
    assert read_directory(lambda at, count: data[at : at + count], len(data), "x") == placed
    assert data.count(ENTRY_SYNC) == 5 and data.count(bytes.fromhex(uuid.replace("-", ""))) == 1


def test_a_recording_that_cannot_be_read_is_left_out_and_named(folder, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"not a recording")
    files = [("a.wav", folder / "a0.wav"), ("bad.wav", tmp_path / "bad.wav"), ("gone.wav", tmp_path / "gone.wav")]
    packing = compress_archive(files, tmp_path / "x.spky", FAST)
    assert len(packing.failures) == 2 and list(packing.outcomes) == ["a.wav"]
    with pytest.raises(DataError, match="bad.wav"):
        compress_archive(files[1:], tmp_path / "y.spky", FAST)
    assert not (tmp_path / "y.spky").exists()


def test_a_companion_that_fails_does_not_take_the_others_along(folder, tmp_path, monkeypatch):
    original = archives_module.write_file

    def failing(source, *arguments, **options):
        if source.name.endswith("a1.wav"):
            raise DataError(f"{source.name}: went away")
        return original(source, *arguments, **options)

    monkeypatch.setattr(archives_module, "write_file", failing)
    files = [(path.name, path) for path in (folder / "a0.wav", folder / "a1.wav", folder / "deep" / "same.wav")]
    packing = compress_archive(files, tmp_path / "x.spky", FAST)
    assert [str(error) for error in packing.failures] == [f"{folder / 'a1.wav'}: went away"]
    with Archive(tmp_path / "x.spky") as opened:
        assert sorted(opened.names) == ["a0.wav", "same.wav"] and opened.entry("same.wav").kind != COPY
        assert contents(opened, tmp_path)["same.wav"] == (folder / "a1.wav").read_bytes()


def test_what_does_not_decode_is_never_kept(folder, tmp_path, monkeypatch):
    def wrong(archive, name, *arguments, **options):
        raise archives_module.SpikeyError("differs")

    monkeypatch.setattr(archives_module, "compare", wrong)
    with pytest.raises(archives_module.SpikeyError, match="differs"):
        compress_archive([("a.wav", folder / "a0.wav")], tmp_path / "x.spky", FAST)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(folder, tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress_archive(members(folder), tmp_path / "x.spky", replace(FAST, jobs=2), interrupt)
    assert list(tmp_path.iterdir()) == []


def test_names_that_cannot_be_kept(folder, tmp_path):
    with pytest.raises(UsageError, match="both be named a.wav"):
        compress_archive([("a.wav", folder / "a0.wav"), ("a.wav", folder / "a1.wav")], tmp_path / "x", FAST)
    with pytest.raises(UsageError, match="not a valid name for a restored file"):
        compress_archive([("a:b.wav", folder / "a0.wav")], tmp_path / "x", FAST)
    shutil.copy(folder / "a0.wav", tmp_path / "same.wav")
    with pytest.raises(UsageError, match="read and written at once"):
        compress_archive([("a.wav", tmp_path / "same.wav")], tmp_path / "same.wav", FAST)


def test_facts(archive):
    with Archive(archive) as opened:
        facts = {entry["name"]: entry for entry in describe_archive(opened)}
    assert facts["two.wav"]["channels"] == 2 and facts["two.wav"]["frames"] == FRAMES
    assert facts["law.wav"]["channels"] is None and facts["law.wav"]["coded"] == "alone"
    assert facts["deep/same.wav"]["companions"][0]["name"] == "a1.wav"


def test_companions_are_used_and_single_recordings_decode_their_chain_only(folder, tmp_path, monkeypatch):
    files = [item for item in members(folder) if item[0].startswith(("a", "two"))]
    settings = replace(FAST, preset="max")
    compress_archive(files, tmp_path / "x.spky", settings)
    with Archive(tmp_path / "x.spky") as opened:
        kinds = {entry.name: entry.kind for entry in opened.entries}
        together = [name for name, kind in kinds.items() if kind == TOGETHER]
        assert len(together) == 3
        assert contents(opened, tmp_path) == {name: path.read_bytes() for name, path in files}
        last = opened.entries[3]
        broken = last.offset + last.size // 2
        sizes = {entry.name: entry.size for entry in opened.entries}
        chain = {name: opened.needed(name) for name in opened}
    for name in together:  # without a word from the others it is larger
        compress_archive([(name, folder / name)], tmp_path / "alone.spky", settings, overwrite=True)
        with Archive(tmp_path / "alone.spky") as opened:
            assert sizes[name] < opened.entry(name).size
    with Archive(damaged(tmp_path / "x.spky", tmp_path, broken)) as opened:
        for name in opened:
            if last.name in {name, *chain[name]}:
                with pytest.raises(DamagedError):
                    verify_member(opened, name)
            else:
                verify_member(opened, name)
    with Archive(tmp_path / "x.spky") as opened:
        decoded = []
        real = BlockDecoder.content
        monkeypatch.setattr(
            BlockDecoder, "content", lambda self, block: decoded.append(self.file.name) or real(self, block)
        )
        opened[together[0]][:10]
        assert sorted(name.split(", ")[1] for name in decoded) == sorted([together[0], *chain[together[0]]])
        decoded.clear()
        for name in together:
            opened[name][:]
        assert len(decoded) == len(set(decoded))  # what one needed is kept for the next


def test_an_archive_at_an_address(archive):
    """Only parts of it are fetched."""
    fsspec = pytest.importorskip("fsspec")
    data = archive.read_bytes()
    fsspec.filesystem("memory").pipe("/archive/all.spky", data)
    with spikey.open_archive("memory://archive/all.spky") as opened, Archive(data) as local:
        assert opened.names == local.names
        for name in ("two.wav", "deep/er/tail.wav"):
            assert (opened[name][10:20] == local[name][10:20]).all()


def test_companions_of_several_channels_in_blocks(tmp_path):
    """A damaged block of one loses the same frames of the other, and no others."""
    common = noise(1, 2500, 2)
    root = tmp_path / "in"
    root.mkdir()
    (root / "a.wav").write_bytes(wav(common + noise(2, 2500, 2) / 2))
    (root / "b.wav").write_bytes(wav(np.concatenate([common, noise(3, 2500)], axis=1)))
    (root / "c.wav").write_bytes(floats(common[:, 0]))
    settings = replace(FAST, preset="max", block_frames=1000, jobs=2)
    compress_archive(members(root), tmp_path / "x.spky", settings)
    with Archive(tmp_path / "x.spky") as opened:
        assert opened.names == ["a.wav", "b.wav", "c.wav"]
        assert {(c.name, c.channel) for c in opened.companions("b.wav")} == {("a.wav", 0), ("a.wav", 1)}
        assert opened.companions("c.wav") == []
        assert contents(opened, tmp_path) == {name: path.read_bytes() for name, path in members(root)}
        assert (opened["b.wav"][900:1100, 2] == opened["b.wav"][:][900:1100, 2]).all()
        entry, block = opened.entry("a.wav"), opened["a.wav"].structure.blocks[1]
    with Archive(damaged(tmp_path / "x.spky", tmp_path, entry.offset + block.offset + 50)) as opened:
        for name, channels in (("a.wav", 2), ("b.wav", 3)):
            with pytest.raises(DamagedError, match="lost with a.wav" if name == "b.wav" else "damaged") as error:
                verify_member(opened, name)
            assert error.value.ranges == [(1000, 2000, 0, channels)]
        verify_member(opened, "c.wav")
    alone = replace(settings, block_frames=None)
    compress_archive([("b.wav", root / "b.wav")], tmp_path / "y.spky", alone)
    compress_archive(members(root), tmp_path / "z.spky", alone)
    with Archive(tmp_path / "y.spky") as one, Archive(tmp_path / "z.spky") as other:
        assert other.entry("b.wav").size < 0.97 * one.entry("b.wav").size


def numbers(data: bytes):
    """A reader of `varint`s as docs/format.md has them, and of bytes: returns (varint, take)."""
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        at += count
        assert at <= len(data)
        return data[at - count : at]

    def varint() -> int:
        value = shift = 0
        while True:
            byte = take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    return varint, take


def test_the_format_is_as_it_is_written(archive, folder):
    """An archive taken apart by docs/format.md, section 28, without the package's own reader of archives."""
    data = archive.read_bytes()
    assert data[:6] == b"SPKA\1\0" and data[-4:] == b"AKPS"
    offset, check = struct.unpack("<QI", data[-16:-4])
    directory = data[offset:-16]
    assert zlib.crc32(directory) == check and directory[:4] == b"\xb5SD\n"
    varint, _ = numbers(directory[4:])
    count, size = varint(), varint()
    head = 4 + sum(1 + (value > 127) + (value > 16383) for value in (count, size))
    method, body = directory[head], directory[head + 1 :]
    if method:
        body = zlib.decompress(body, -15)
    assert len(body) == size
    inner, _ = numbers(body)
    at, files = 6, []
    for number in range(count):
        entry, size = inner(), inner()
        assert data[at : at + 4] == b"\xb5SE\n"
        length, _ = numbers(data[at + 4 : at + 14])
        count = length()
        fields = data[at + 4 + 1 + (count > 127) :][:count]
        assert struct.unpack("<I", data[at + entry - 4 : at + entry])[0] == zlib.crc32(fields)
        at += entry
        value, piece = numbers(fields)
        kind, own, name = piece(1)[0], value(), piece(value()).decode()
        assert value() == size
        member = data[at : at + size]
        at += len(member)
        files.append(member)
        assert own == number and (folder / name).exists()
        if kind == 0:
            assert len(spikey.open(member)) >= 0
            continue
        backs = [(value(), value(), value()) for _ in range(value())]
        ends = b"".join(files[number - back][-16:] for back, _, _ in backs)
        assert kind == 2 and len(backs) == 1 and struct.unpack("<I", piece(4))[0] == zlib.crc32(ends)
        original = spikey.decompress(files[number - backs[0][0]]).samples
        assert (folder / name).read_bytes()[44:].startswith(original.tobytes())
    assert at == offset


def test_work_on_companions_is_counted_by_thread_until_the_outermost_reading_ends(monkeypatch):
    monkeypatch.setattr(archive_companions, "MOST_WORK", 2 * archive_companions.EACH + 10)
    work = archive_companions.Work("x.spky")
    with work.reading():
        work.spend(5)
        with work.reading():
            work.spend(5)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(work.spend, 10).result()  # of another thread
        with pytest.raises(DataError, match=r"x\.spky: its recordings depend"):
            work.spend(0)
    with work.reading():
        work.spend(10)

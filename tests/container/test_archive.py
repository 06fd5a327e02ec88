"""Archives of recordings: round trips, single recordings, damage and what truly depends on it, hostile input."""

from __future__ import annotations

import io
import lzma
import shutil
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.archives import FRAMES, REALTIME, floats, members, noise, wav
from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.container import archive_companions
from spikey.container.archive import Archive
from spikey.container.archive_writer import ArchiveWriter
from spikey.container.blocks import BlockDecoder
from spikey.container.entries import (
    COPY,
    ENTRY_SYNC,
    FOOTER,
    FOOTER_MAGIC,
    FRONT,
    TOGETHER,
    Entry,
    Reference,
    find_entries,
    read_directory,
    read_entry,
    write_directory,
)
from spikey.container.reader import Reader
from spikey.files import archives as archives_module
from spikey.files.archives import compress_archive
from spikey.files.extraction import describe_archive, restore, verify_member
from spikey.recording.companions import MOST_NEEDED, plan


def contents(archive: Archive, tmp_path: Path) -> dict[str, bytes]:
    found = {}
    for name in archive:
        restore(archive, name, tmp_path / "out.wav", overwrite=True)
        found[name] = (tmp_path / "out.wav").read_bytes()
    return found


def damaged(path: Path, tmp_path: Path, *places: int, name: str = "damaged.spky") -> Path:
    """A copy of a file with the bytes at some places changed."""
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0x55
    out = tmp_path / name
    out.write_bytes(bytes(data))
    return out


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
    found = plan(paths, lambda path: archives_module.open_recording(path, REALTIME))
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
    packing = compress_archive([("a.wav", folder / "a0.wav")], tmp_path / "a.spky", REALTIME)
    assert packing.groups == 0 and [entry.kind for entry in packing.entries] == [0]
    with Archive(tmp_path / "a.spky") as opened:
        assert contents(opened, tmp_path) == {"a.wav": (folder / "a0.wav").read_bytes()}
    with pytest.raises(UsageError, match="nothing to compress"):
        compress_archive([], tmp_path / "none.spky", REALTIME)
    assert not (tmp_path / "none.spky").exists()
    empty = io.BytesIO()
    with ArchiveWriter(empty):
        pass
    with Archive(empty.getvalue()) as opened:
        assert len(opened) == 0


def test_the_bytes_do_not_depend_on_threads(folder, archive, tmp_path):
    compress_archive(members(folder), tmp_path / "one.spky", REALTIME)
    assert (tmp_path / "one.spky").read_bytes() == archive.read_bytes()


def test_blocks_of_a_long_recording(folder, tmp_path):
    settings = replace(REALTIME, block_frames=500)
    files = [(path.name, path) for path in (folder / "a0.wav", folder / "deep" / "er" / "tail.wav")]
    compress_archive(files, tmp_path / "a.spky", settings)
    with Archive(tmp_path / "a.spky") as opened:
        entry = opened.entry("a0.wav")
        assert len(opened["tail.wav"].blocks) == len(opened["a0.wav"].blocks) == 6
        assert contents(opened, tmp_path) == {path.name: path.read_bytes() for _, path in files}
        middle = opened["a0.wav"].blocks[2].offset + 40
    path = damaged(tmp_path / "a.spky", tmp_path, entry.offset + middle)
    with Archive(path) as opened:
        lost = [(1000, 1500, 0, 1)]
        for name, cause in (("a0.wav", r"channels 0 to 0$"), ("tail.wav", "lost with a0.wav, which it was coded with")):
            with pytest.raises(DamagedError, match=cause) as error:
                verify_member(opened, name)
            assert error.value.ranges == lost
            with pytest.raises(DamagedError, match="fails its checksum|needs a0.wav"):
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


def test_a_damaged_original_takes_only_its_copy_along(folder, archive, tmp_path):
    with Archive(archive) as opened:
        entry = opened.entry("a1.wav")
    with Archive(damaged(archive, tmp_path, entry.offset + entry.size // 2)) as opened:
        failed = {}
        for name in opened:
            try:
                verify_member(opened, name)
            except DataError as error:
                failed[name] = str(error)
        depending = {name for name in opened if "a1.wav" in opened.needed(name)}
        assert set(failed) == {"a1.wav"} | depending and "deep/same.wav" in depending
        assert "lost with a1.wav" in failed["deep/same.wav"] and "lost with" not in failed["a1.wav"]


def test_what_is_coded_with_others_is_refused_without_them(archive, tmp_path):
    with Archive(archive) as opened:
        data = b"".join(opened.bytes_of("deep/same.wav"))
        alone = b"".join(opened.bytes_of("shorter.wav"))
    with pytest.raises(DataError, match="together with other recordings, and can be read only in the archive"):
        spikey.open(data)
    assert spikey.decompress(alone).samples.shape == (FRAMES - 1, 1)
    with pytest.raises(DataError, match="is an archive of recordings"):
        spikey.open(archive)


def rebuilt(path: Path, tmp_path: Path, change, name: str = "rebuilt.spky") -> Path:
    """An archive with a changed directory and entries, its checksums right."""
    with Archive(path) as opened:
        held = [(entry, b"".join(opened.bytes_of(entry.name))) for entry in opened.entries]
    out, entries = io.BytesIO(), []
    out.write(FRONT)
    for entry, content in change(held):
        out.write(entry.write())
        entries.append(replace(entry, offset=out.tell()))
        out.write(content)
    out.write(write_directory(entries, out.tell()))
    (tmp_path / name).write_bytes(out.getvalue())
    return tmp_path / name


def test_a_companion_that_is_another_is_noticed(archive, tmp_path):
    """Its file replaced by a whole one of the same form, its entry in accord."""
    with Archive(archive) as opened:
        other = b"".join(opened.bytes_of("a3.wav")) if not opened.companions("a3.wav") else None
        other = other or spikey.compress(opened["a3.wav"][:], rate=19531, preset="realtime")

    def change(held):
        return [
            (replace(e, size=len(other), kind=0, companions=()), other) if e.name == "a1.wav" else (e, c)
            for e, c in held
        ]

    with Archive(rebuilt(archive, tmp_path, change)) as opened:
        with pytest.raises(DamagedError, match="another recording in its place"):
            restore(opened, "deep/same.wav", tmp_path / "x.wav")
        verify_member(opened, "a1.wav")
        verify_member(opened, "two.wav")


@pytest.mark.parametrize("name", ["../a.wav", "/etc/a.wav", "a/../b.wav", "C:/a.wav", "a\\b.wav", "con.wav", "a//b"])
def test_names_that_lead_elsewhere_are_refused(archive, tmp_path, name):
    def change(held):
        return [(replace(e, name=name) if e.number == 0 else e, c) for e, c in held]

    path = rebuilt(archive, tmp_path, change)
    with pytest.raises(DataError, match="no name that a file can be restored under"):
        Archive(path)
    with Archive(damaged(path, tmp_path, path.stat().st_size - 10), salvage=True) as opened:
        assert 0 not in [entry.number for entry in opened.entries] and len(opened) == 11


def test_names_that_meet_are_refused(archive, tmp_path):
    def twice(held):
        return [(replace(e, name="a0.wav"), c) for e, c in held]

    with pytest.raises(DataError, match="two members called a0.wav"):
        Archive(rebuilt(archive, tmp_path, twice))

    def below(held):
        return [(replace(e, name="a0.wav/b.wav" if e.name == "two.wav" else e.name), c) for e, c in held]

    with pytest.raises(DataError, match="below a member"):
        Archive(rebuilt(archive, tmp_path, below))


def test_cycles_cannot_be_stated(archive, tmp_path):
    """A companion is named by how far before it lies, so one that is later or the recording itself is refused."""
    for back in (0, 1, 5):
        entry = Entry(0, "a.wav", 0, TOGETHER, (Reference(-back, 0, 0.5),), 0)
        with pytest.raises(DataError, match="depend on what does not come before it"):
            read_entry(entry.write(), 0, "x")

    def change(held):
        return [(replace(e, kind=TOGETHER, companions=(Reference(e.number, 0, 0.5),)), c) for e, c in held]

    with pytest.raises(DataError, match="depend on what does not come before it"):
        Archive(rebuilt(archive, tmp_path, change))


def test_long_chains_and_many_paths_are_refused(tmp_path):
    content = spikey.compress(noise(1).astype("int16"), rate=1000, preset="realtime")
    out = io.BytesIO()
    with ArchiveWriter(out) as writer:
        for number in range(2 * MOST_NEEDED):
            before = tuple(Reference(other, 0, 0.5) for other in range(max(number - 4, 0), number))
            writer.add(Entry(0, f"{number}", len(content), TOGETHER if number else 0, before), [content])
    with Archive(out.getvalue()) as opened:
        assert opened["20"].frames == FRAMES
        with pytest.raises(DataError, match=f"depends on more than {MOST_NEEDED} other recordings"):
            opened[str(MOST_NEEDED + 1)]


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, size=e.size + 1),
        lambda e: replace(e, size=1 << 60),
        lambda e: replace(e, number=e.number + 1),
        lambda e: replace(e, number=(1 << 20) + 1),
    ],
)
def test_sizes_and_numbers_that_lie_are_refused(archive, tmp_path, change):
    def changed(held):
        return [(change(e) if e.name == "two.wav" else e, c) for e, c in held]

    with pytest.raises(DataError):
        Archive(rebuilt(archive, tmp_path, changed))


def test_a_directory_that_lies_about_its_size_is_refused():
    for count, unpacked in ((1, 1 << 62), (1 << 40, 0), (1, 1 << 26), (1 << 20, 1 << 20)):
        from spikey.base.wire import varint

        body = b"\xb5SD\n" + varint(count) + varint(unpacked) + b"\0"
        data = FRONT + body + FOOTER.pack(len(FRONT), zlib.crc32(body), FOOTER_MAGIC)
        with pytest.raises(DataError):
            Archive(data)


@pytest.fixture(scope="module")
def small(folder, tmp_path_factory) -> bytes:
    out = tmp_path_factory.mktemp("small") / "a.spky"
    root = out.parent
    (root / "a.wav").write_bytes(wav(noise(1, 60)))
    (root / "b.wav").write_bytes(wav(noise(2, 50)))
    shutil.copy(root / "a.wav", root / "c.wav")
    compress_archive([(path.name, path) for path in sorted(root.glob("*.wav"))], out, REALTIME)
    return out.read_bytes()


def test_truncated_anywhere(small):
    with Archive(small) as opened:
        ends = {entry.name: entry.offset + entry.size for entry in opened.entries}
        whole = {name: opened[name][:] for name in opened}
    for size in range(len(small)):
        with pytest.raises(DataError):
            Archive(small[:size])
        try:
            with Archive(small[:size], salvage=True) as opened:
                for name in opened:
                    if ends[name] <= size and all(ends[other] <= size for other in opened.needed(name)):
                        assert (opened[name][:] == whole[name]).all()
                    else:
                        with pytest.raises(DataError):
                            opened.open(opened.entry(name).number)[:]
                found = set(opened.names)
        except DataError as error:
            assert "could be salvaged" in str(error) or "is empty" in str(error)
            found = set()
        assert {name for name, end in ends.items() if end <= size} <= found


def test_any_changed_byte_is_noticed_and_loses_only_what_depends_on_it(small):
    with Archive(small) as opened:
        places = [(e.name, e.offset, e.offset + e.size) for e in opened.entries]
        needed = {name: set(opened.needed(name)) | {name} for name in opened}
    for at in range(len(small)):
        data = bytearray(small)
        data[at] ^= 0x10
        failed = set()
        try:
            opened = Archive(bytes(data))
        except DataError:
            opened = Archive(bytes(data), salvage=True)
            failed = {"directory"}
        for name in ("a.wav", "b.wav", "c.wav"):
            try:
                verify_member(opened, name)
            except (DataError, UsageError):
                failed.add(name)
        inside = {name for name, first, end in places if first <= at < end}
        assert failed, at
        if inside:
            assert failed == {name for name in needed if needed[name] & inside}, at


def test_bytes_that_are_missing_within_lose_only_their_recording(small, tmp_path):
    with Archive(small) as opened:
        first, second = opened.entries[:2]
        whole = {entry.name: opened[entry.name][:] for entry in opened.entries}
    at = first.offset + first.size // 2
    with Archive(small[:at] + small[at + 7 :], salvage=True) as opened:
        assert len(opened) == 3
        with pytest.raises(DataError):
            opened[first.name][:]
        for name in opened:
            if first.name not in {name, *opened.needed(name)}:
                assert (opened[name][:] == whole[name]).all()
        assert second.name in opened


def test_salvage_says_which_are_gone(small):
    with Archive(small) as opened:
        second = opened.entries[1]
    data = bytearray(small)
    data[second.offset - 6] ^= 1  # its entry
    data[-6] ^= 1  # the directory's checksum
    with pytest.raises(DataError, match="directory is damaged"):
        Archive(bytes(data))
    with Archive(bytes(data), salvage=True) as opened:
        assert second.name not in opened and opened.lost == [1] and len(opened) == 2
        assert opened.name_of(1) == "recording 1, whose name is lost"
    with Archive(small) as opened:
        first, whole = opened.entries[0], opened["a.wav"][:]
    data = bytearray(small)
    data[first.offset - 6] ^= 1
    with Archive(bytes(data)) as opened, pytest.raises(DamagedError, match="says of it is damaged; --salvage"):
        opened["recording-0"]
    with Archive(bytes(data), salvage=True) as opened:
        assert first.name not in opened and (opened["recording-0"][:] == whole).all()


def test_a_missing_companion_is_named(small):
    with Archive(small) as opened:
        copy = next(entry for entry in opened.entries if entry.kind == COPY)
        original = opened.entries[copy.companions[0].number]
    data = bytearray(small)
    data[original.offset - 6] ^= 1
    data[-6] ^= 1
    with Archive(bytes(data), salvage=True) as opened:
        with pytest.raises(DamagedError, match=rf"needs recording {original.number}, whose name is lost"):
            opened[copy.name][:]
        assert len(opened["b.wav"][:]) == 50


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
    packing = compress_archive(files, tmp_path / "x.spky", REALTIME)
    assert len(packing.failures) == 2 and list(packing.outcomes) == ["a.wav"]
    with pytest.raises(DataError, match="bad.wav"):
        compress_archive(files[1:], tmp_path / "y.spky", REALTIME)
    assert not (tmp_path / "y.spky").exists()


def test_a_companion_that_fails_does_not_take_the_others_along(folder, tmp_path, monkeypatch):
    original = archives_module.write_file

    def failing(source, *arguments, **options):
        if source.name.endswith("a1.wav"):
            raise DataError(f"{source.name}: went away")
        return original(source, *arguments, **options)

    monkeypatch.setattr(archives_module, "write_file", failing)
    files = [(path.name, path) for path in (folder / "a0.wav", folder / "a1.wav", folder / "deep" / "same.wav")]
    packing = compress_archive(files, tmp_path / "x.spky", REALTIME)
    assert [str(error) for error in packing.failures] == [f"{folder / 'a1.wav'}: went away"]
    with Archive(tmp_path / "x.spky") as opened:
        assert sorted(opened.names) == ["a0.wav", "same.wav"] and opened.entry("same.wav").kind != COPY
        assert contents(opened, tmp_path)["same.wav"] == (folder / "a1.wav").read_bytes()


def test_what_does_not_decode_is_never_kept(folder, tmp_path, monkeypatch):
    def wrong(archive, name, *arguments, **options):
        raise archives_module.SpikeyError("differs")

    monkeypatch.setattr(archives_module, "compare", wrong)
    with pytest.raises(archives_module.SpikeyError, match="differs"):
        compress_archive([("a.wav", folder / "a0.wav")], tmp_path / "x.spky", REALTIME)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing(folder, tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress_archive(members(folder), tmp_path / "x.spky", replace(REALTIME, jobs=2), interrupt)
    assert list(tmp_path.iterdir()) == []


def test_names_that_cannot_be_kept(folder, tmp_path):
    with pytest.raises(UsageError, match="both be called a.wav"):
        compress_archive([("a.wav", folder / "a0.wav"), ("a.wav", folder / "a1.wav")], tmp_path / "x", REALTIME)
    with pytest.raises(UsageError, match="no name that a file can be restored under"):
        compress_archive([("a:b.wav", folder / "a0.wav")], tmp_path / "x", REALTIME)
    shutil.copy(folder / "a0.wav", tmp_path / "same.wav")
    with pytest.raises(UsageError, match="read and written at once"):
        compress_archive([("a.wav", tmp_path / "same.wav")], tmp_path / "same.wav", REALTIME)


def test_facts(archive):
    with Archive(archive) as opened:
        facts = {entry["name"]: entry for entry in describe_archive(opened)}
    assert facts["two.wav"]["channels"] == 2 and facts["two.wav"]["frames"] == FRAMES
    assert facts["law.wav"]["channels"] is None and facts["law.wav"]["coded"] == "alone"
    assert facts["deep/same.wav"]["companions"][0]["name"] == "a1.wav"


def test_companions_are_used_and_single_recordings_decode_their_chain_only(folder, tmp_path, monkeypatch):
    files = [item for item in members(folder) if item[0].startswith(("a", "two"))]
    settings = replace(REALTIME, preset="max")
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
    settings = replace(REALTIME, preset="max", block_frames=1000, jobs=2)
    compress_archive(members(root), tmp_path / "x.spky", settings)
    with Archive(tmp_path / "x.spky") as opened:
        assert opened.names == ["a.wav", "b.wav", "c.wav"]
        assert {(c.name, c.channel) for c in opened.companions("b.wav")} == {("a.wav", 0), ("a.wav", 1)}
        assert opened.companions("c.wav") == []
        assert contents(opened, tmp_path) == {name: path.read_bytes() for name, path in members(root)}
        assert (opened["b.wav"][900:1100, 2] == opened["b.wav"][:][900:1100, 2]).all()
        entry, block = opened.entry("a.wav"), opened["a.wav"].blocks[1]
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
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 22}]
        body = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(body)
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


def test_marks_without_end_do_not_hang():
    data = FRONT + ENTRY_SYNC * 50_000
    start = time.process_time()
    with pytest.raises(DataError, match="no recording that could be salvaged"):
        Archive(data, salvage=True)
    assert time.process_time() - start < 5


def test_a_reading_without_end_is_refused(archive, monkeypatch):
    """As where recordings depend on each other in so many ways that following them all would take for ever."""
    monkeypatch.setattr(archive_companions, "MOST_WORK", 10)
    with Archive(archive) as opened:
        assert len(opened["a1.wav"][:]) == FRAMES
        with pytest.raises(DamagedError, match="in a way that no archive needs"):
            opened["deep/same.wav"][:]


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

"""Archives that are damaged or hostile: what is lost is what truly depends on it, and the rest is restored."""

from __future__ import annotations

import io
import shutil
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

import spikey
from kit.archives import FAST, FRAMES, damaged, noise, wav
from spikey.base.errors import DamagedError, DataError, UsageError
from spikey.container import archive_companions
from spikey.container.archive import Archive
from spikey.container.archive_writer import ArchiveWriter
from spikey.container.entries import (
    COPY,
    ENTRY_SYNC,
    FOOTER,
    FOOTER_MAGIC,
    FRONT,
    TOGETHER,
    Entry,
    Reference,
    read_entry,
    write_directory,
)
from spikey.files.archives import compress_archive
from spikey.files.extraction import restore, verify_member
from spikey.recording.companions import MOST_NEEDED


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
        other = other or spikey.compress(opened["a3.wav"][:], rate=19531, preset="fast")

    def change(held):
        return [
            (replace(e, size=len(other), kind=0, companions=()), other) if e.name == "a1.wav" else (e, c)
            for e, c in held
        ]

    with Archive(rebuilt(archive, tmp_path, change)) as opened:
        with pytest.raises(DamagedError, match="a different recording in its place"):
            restore(opened, "deep/same.wav", tmp_path / "x.wav")
        verify_member(opened, "a1.wav")
        verify_member(opened, "two.wav")


@pytest.mark.parametrize("name", ["../a.wav", "/etc/a.wav", "a/../b.wav", "C:/a.wav", "a\\b.wav", "con.wav", "a//b"])
def test_names_that_lead_elsewhere_are_refused(archive, tmp_path, name):
    def change(held):
        return [(replace(e, name=name) if e.number == 0 else e, c) for e, c in held]

    path = rebuilt(archive, tmp_path, change)
    with pytest.raises(DataError, match="not a valid name for a restored file"):
        Archive(path)
    with Archive(damaged(path, tmp_path, path.stat().st_size - 10), salvage=True) as opened:
        assert 0 not in [entry.number for entry in opened.entries] and len(opened) == 11


def test_names_that_meet_are_refused(archive, tmp_path):
    def twice(held):
        return [(replace(e, name="a0.wav"), c) for e, c in held]

    with pytest.raises(DataError, match="two members named a0.wav"):
        Archive(rebuilt(archive, tmp_path, twice))

    def below(held):
        return [(replace(e, name="a0.wav/b.wav" if e.name == "two.wav" else e.name), c) for e, c in held]

    with pytest.raises(DataError, match="below a member"):
        Archive(rebuilt(archive, tmp_path, below))


def test_cycles_cannot_be_stated(archive, tmp_path):
    """A companion is named by how far before it lies, so one that is later or the recording itself is refused."""
    for back in (0, 1, 5):
        entry = Entry(0, "a.wav", 0, TOGETHER, (Reference(-back, 0, 0.5),), 0)
        with pytest.raises(DataError, match="depend on a member that is not before it"):
            read_entry(entry.write(), 0, "x")

    def change(held):
        return [(replace(e, kind=TOGETHER, companions=(Reference(e.number, 0, 0.5),)), c) for e, c in held]

    with pytest.raises(DataError, match="depend on a member that is not before it"):
        Archive(rebuilt(archive, tmp_path, change))


def test_long_chains_and_many_paths_are_refused(tmp_path):
    content = spikey.compress(noise(1).astype("int16"), rate=1000, preset="fast")
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
    compress_archive([(path.name, path) for path in sorted(root.glob("*.wav"))], out, FAST)
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
    with Archive(bytes(data)) as opened, pytest.raises(DamagedError, match="entry in the archive is damaged; --salv"):
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

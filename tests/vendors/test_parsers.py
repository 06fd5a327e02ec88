"""What holds for the parsers of all formats: samples are found where they are, and any bytes end in a result."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from kit.mapped import check_mapped, samples_of
from kit.parsing import files_in, parsed
from kit.vendor_files import FORMS
from spikey.base.errors import DataError
from spikey.recording.sample_map import Mapped
from spikey.vendors.find import Parsed, find

MUTATIONS = 300


def checked(found: Parsed) -> None:
    """Each recording accounts for its files or can be read to its end; each file is in one of them, or failed."""
    paths = list(found.failed)
    for each in found.recordings:
        if isinstance(each, Mapped):
            check_mapped(each)
            paths += [file.path for file in each.files]
        else:
            paths += [each.path]
            with each.open() as source:
                try:
                    assert source.read(0, source.frames).shape == (source.frames, source.layout.channels)
                except DataError as error:
                    assert source.name in str(error)
    assert len(paths) == len(set(paths))
    assert all(reason and "\n" not in reason and not reason.endswith(".") for reason in found.failed.values())


def samples(found: Parsed) -> list[np.ndarray]:
    out = []
    for each in found.recordings:
        if isinstance(each, Mapped):
            out.append(samples_of(each))
        else:
            with each.open() as source:
                out.append(source.read(0, source.frames))
    return out


@pytest.fixture(params=FORMS)
def form(request, tmp_path):
    """The reader, a folder of files, and the samples in them."""
    reader, make = FORMS[request.param]
    folder = tmp_path / "Versuch 3 µV 测试"
    folder.mkdir()
    return reader, folder, make(folder)


def test_samples_are_found_at_their_places(form):
    reader, folder, made = form
    found = parsed(reader, folder)
    checked(found)
    assert not found.failed and all(not each.notes for each in found.recordings if isinstance(each, Mapped))
    there = samples(found)
    assert len(there) == len(made)
    for ours, theirs in zip(there, made, strict=True):
        assert ours.dtype == theirs.dtype.newbyteorder("=")
        np.testing.assert_array_equal(ours, theirs)


def test_other_files_are_left_beside(form):
    reader, folder, made = form
    for name in ("notes.txt", "Übersicht.xlsx", "photo.bin", "results.dat", "empty.json"):
        (folder / name).write_bytes(b"" if name.startswith("empty") else b"anything")
    found = parsed(reader, folder)
    checked(found)
    assert len(found.recordings) == len(made) and not found.failed


def test_a_file_that_is_cut_at_any_place(form):
    """The recordings keep what is whole; a recording without a whole frame is a failure."""
    reader, folder, made = form
    first = parsed(reader, folder).recordings[0]
    path = first.files[0].path if isinstance(first, Mapped) else first.path
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 7, len(whole) - 1):
        path.write_bytes(whole[:size])
        found = parsed(reader, folder)
        checked(found)
        here = [e for e in found.recordings if isinstance(e, Mapped) and path in {file.path for file in e.files}]
        assert bool(here) != (path in found.failed)
        assert size or "contains no samples" in found.failed[path]
        if here and size == len(whole) - 1:
            assert "stored as" in here[0].notes[0]
        assert not here or any(begins(here[0], m) for m in made)


def begins(found: Mapped, made: np.ndarray) -> bool:
    """Whether each column of the recording is the beginning of one of those that were made."""
    return all(any(np.array_equal(column, other[: len(column)]) for other in made.T) for column in samples_of(found).T)


@pytest.mark.parametrize("name", FORMS)
def test_any_bytes_end_in_a_result(name, tmp_path):
    """Random changes of bytes, numbers, lengths and order of each kind of file."""
    reader, make = FORMS[name]
    kept, folder = tmp_path / "kept", tmp_path / "changed"
    kept.mkdir()
    make(kept)
    rng = random.Random(name)
    originals = {path.relative_to(kept): path.read_bytes() for path in files_in(kept)}
    shutil.copytree(kept, folder)
    for _ in range(MUTATIONS):
        path = rng.choice([p for p in originals if p.suffix != ".npy"])
        data = bytearray(originals[path])
        for _ in range(rng.choice((1, 1, 2, 8))):
            _change(data, rng)
        (folder / path).write_bytes(data)
        checked(parsed(reader, folder))
        (folder / path).write_bytes(originals[path])
    assert len(samples(parsed(reader, folder))) > 0  # what was changed is restored


def _change(data: bytearray, rng: random.Random) -> None:
    if not data:
        return
    near = rng.choice((len(data), min(len(data), 600), min(len(data), 64)))  # headers are at the beginning
    at = rng.randrange(near)
    kind = rng.randrange(6)
    if kind == 0:
        data[at] = rng.randrange(256)
    elif kind == 1:
        size = rng.choice((1, 2, 4, 8))
        number = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"9", b"-", b" ")) * size
        data[at : at + size] = number[: len(data) - at]
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 300))))
    elif kind == 4:
        del data[at : at + rng.choice((1, 2, 50))]
    else:
        digits = [i for i in range(near) if 48 <= data[i] < 58]
        if digits:
            data[rng.choice(digits)] = rng.choice(b"0123456789-.e")


def test_a_reader_without_parser_and_files_of_others(tmp_path):
    assert find("plexon", tmp_path, []) is None
    (tmp_path / "a.txt").write_text("text")
    for reader, _ in FORMS.values():
        assert find(reader, tmp_path, [tmp_path / "a.txt"]) == Parsed((), {})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_pipes_are_not_opened(tmp_path):
    """Which would wait for their other end."""
    names = ("a.ncs", "CH1.continuous", "a.ns5", "a.rhd", "a.edf", "a.TRC", "a.vhdr", "structure.oebin", "a.bin")
    for name in (*names, "a.meta"):
        os.mkfifo(tmp_path / name)
    found: dict[Path, str] = {}
    for reader, _ in FORMS.values():
        result = find(reader, tmp_path, sorted(tmp_path.iterdir()))
        assert result is not None and not result.recordings
        found |= result.failed
    assert found == {tmp_path / name: "is not a regular file" for name in names}


def test_a_file_that_cannot_be_read_hinders_no_other(tmp_path):
    FORMS["neuralynx"][1](tmp_path)
    missing = tmp_path / "CSC99.ncs"
    found = find("neuralynx", tmp_path, [*files_in(tmp_path), missing])
    assert found is not None
    checked(Parsed(found.recordings, {}))
    assert found.failed == {missing: "cannot be read (No such file or directory)"}
    assert found.recordings[0].layout.channels == 3

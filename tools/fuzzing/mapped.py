"""Files with a file map, of which other files are assembled; and vendors' files, of which samples are looked for."""

from __future__ import annotations

from functools import cache
from itertools import count
from pathlib import Path

from fuzzing import seeds

from kit.vendor_files import FORMS
from spikey.base.errors import DataError
from spikey.container.file_map import FileMap
from spikey.container.reader import Reader
from spikey.files.assembly import assemble
from spikey.files.compress import Output, write_recording
from spikey.files.settings import Settings
from spikey.recording.layout import Layout
from spikey.recording.mapped import MappedSource
from spikey.recording.sample_map import Mapped, MappedFile, Rest, Run, Samples, joined, rest
from spikey.vendors.find import find

MOST_WRITTEN = 1 << 22  # bytes of a file, of which more is not looked at
FORMATS = (  # of one file each: the form of tests/kit/vendor_files.py, and what the file is called
    ("blackrock 2.1", "a.ns2"),
    ("blackrock 2.3", "a.ns5"),
    ("blackrock 3.0", "a.ns6"),
    ("neuralynx", "a.ncs"),
    ("open ephys legacy", "100_CH1.continuous"),
    ("intan rhd", "a.rhd"),
    ("intan rhs", "a.rhs"),
    ("edf", "a.edf"),
    ("bdf", "a.bdf"),
    ("micromed", "a.TRC"),
)


class _Bounded:
    """Takes what is written, and ends after a bound."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> int:
        self.data += data
        if len(self.data) > MOST_WRITTEN:
            raise DataError("that is enough")
        return len(data)


def run(data: bytes, checked: bool) -> None:
    """Assemble all files; where checksums are checked they are the original ones."""
    for salvage in (True, False):
        with Reader(data, salvage=salvage) as reader:
            reader.decoder.check_headers = reader.decoder.check_headers and checked
            if reader.file_map is None:
                raise DataError("has no file map")
            targets = [_Bounded() for _ in reader.file_map.names[:64]]
            try:
                assemble(reader, reader.file_map, targets)
            except DataError:
                if not salvage:
                    raise
    if checked and tuple(bytes(target.data) for target in targets) not in _originals():
        raise AssertionError("a changed file gives other files, and no checksum fails")


@cache
def _inputs() -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """Outputs of two recordings with the bytes of their files: one file of records, three files of one channel."""
    made = []
    folder = seeds.scratch()
    for number, runs in enumerate(
        (
            [joined([rest(50), Run(6, (Rest(8), Samples(20, 0, 2, True), Rest(2), Samples(20, 2, 1))), rest(3)])],
            [joined([rest(20), Run(5, (Rest(8), Samples(16, k, 1)))]) for k in range(3)],
        )
    ):
        numbers, files = count(), []
        for each in runs:
            path = Path(folder, f"mapped{number}.{next(numbers)}")
            size = sum(run.count * run.record_bytes(2) for run in each)
            path.write_bytes(bytes(k * k % 7 for k in range(size)))
            files.append(MappedFile(path, each))
        source = MappedSource(Mapped("test", Layout(3, 20_000, "int16"), tuple(files), bool(number)), "a seed")
        file_map = FileMap(tuple(file.path.name for file in files), tuple(runs), bool(number))
        out = Path(folder, "mapped.spky")
        write_recording(source, Output(out, True), Settings(predictor="lpc", calibration="none"), file_map=file_map)
        made.append((out.read_bytes(), tuple(file.path.read_bytes() for file in files)))
    return tuple(made)


@cache
def _originals() -> frozenset[tuple[bytes, ...]]:
    return frozenset(files for _, files in _inputs())


def inputs() -> list[bytes]:
    """Outputs with a file map."""
    return [data for data, _ in _inputs()]


def run_vendor(data: bytes, checked: bool) -> None:
    """Parse a vendor's file, whose first byte is the format; what is found accounts for every byte, and can be read."""
    form, name = FORMATS[data[0] % len(FORMATS) if data else 0]
    path = Path(seeds.scratch(), "vendor", name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data[1:])
    try:
        found = find(FORMS[form][0], path, [path])
        if found is None or len(found.recordings) + len(found.failed) != 1:
            raise AssertionError("a file is neither a recording nor none")
        for each in found.recordings:
            if not isinstance(each, Mapped):
                raise AssertionError("this format needs no decoding")
            with MappedSource(each, "a seed") as source:  # refuses what does not account for every byte
                source.read(0, min(source.frames, 1000))
                source.read(max(source.frames - 1000, 0), min(source.frames, 1000))
                if sum(map(len, source.head_chunks())) != source.head_size:
                    raise AssertionError("bytes between samples are missing")
        if found.failed:
            raise DataError(found.failed[path])
    finally:
        path.unlink()


@cache
def _vendors() -> tuple[bytes, ...]:
    made = []
    for number, (form, name) in enumerate(FORMATS):
        folder = Path(seeds.scratch(), f"made{number}")
        folder.mkdir(exist_ok=True)
        FORMS[form][1](folder)
        path = next(each for each in sorted(folder.rglob("*")) if each.suffix == Path(name).suffix)
        made.append(bytes([number]) + path.read_bytes()[:20_000])
    return tuple(made)


def vendors() -> list[bytes]:
    """The beginning of a file of each format."""
    return list(_vendors())

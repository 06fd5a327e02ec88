"""An independent walker of a description of a vendor's files: checks that it accounts for every byte, reads samples."""

from __future__ import annotations

import numpy as np

from spikey.recording.layout import unpack
from spikey.recording.sample_map import LARGEST_RECORD, Mapped, Rest


def check_mapped(mapped: Mapped) -> None:
    """Every byte of each file is in one run, all files have the same frames, each column lies in one file."""
    columns = []
    for file in mapped.files:
        size = 0
        for run in file.runs:
            assert run.count > 0 and run.parts
            assert all(part.size > 0 for part in run.parts if isinstance(part, Rest))
            inside = [part for part in run.parts if not isinstance(part, Rest)]
            assert len({part.frames for part in inside}) <= 1
            assert all(part.frames > 0 and part.channels > 0 for part in inside)
            record = run.record_bytes(mapped.layout.itemsize)
            assert not inside or record <= LARGEST_RECORD
            size += run.count * record
            if inside:
                columns_here = sorted(c for part in inside for c in range(part.first, part.first + part.channels))
                columns.append((file.path, columns_here))
        assert size == file.path.stat().st_size, file.path
        assert sum(run.count * run.frames for run in file.runs) == mapped.frames > 0
    by_file = dict(columns)  # the columns of a file's last run
    assert all(by_file[path] == there for path, there in columns)
    assert sorted(c for there in by_file.values() for c in there) == list(range(mapped.layout.channels))
    assert len({file.path for file in mapped.files}) == len(mapped.files)


def samples_of(mapped: Mapped) -> np.ndarray:
    """The samples (frames, channels), read record by record."""
    layout = mapped.layout
    out = np.zeros((mapped.frames, layout.channels), layout.memory_dtype)
    one = type(layout)(1, layout.rate, layout.dtype)
    for file in mapped.files:
        data, at, frame = file.path.read_bytes(), 0, 0
        for run in file.runs:
            for _ in range(run.count):
                for part in run.parts:
                    if isinstance(part, Rest):
                        at += part.size
                        continue
                    size = part.frames * part.channels * layout.itemsize
                    values = unpack(data[at : at + size], one)[:, 0]
                    if mapped.big_endian:
                        values = values.byteswap()
                    shape = (part.channels, part.frames) if part.planar else (part.frames, part.channels)
                    block = values.reshape(shape).T if part.planar else values.reshape(shape)
                    out[frame : frame + part.frames, part.first : part.first + part.channels] = block
                    at += size
                frame += run.frames
    return out

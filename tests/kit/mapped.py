"""An independent walker of a description of a vendor's files: checks that it accounts for every byte, reads samples."""

from __future__ import annotations

import numpy as np

from spikey.recording.layout import Layout, unpack
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
    """The samples (frames, channels), read run by run."""
    layout = mapped.layout
    out = np.zeros((mapped.frames, layout.channels), layout.memory_dtype)
    one = Layout(1, layout.rate, layout.dtype)
    for file in mapped.files:
        data, at, frame = np.fromfile(file.path, np.uint8), 0, 0
        for run in file.runs:
            size = run.record_bytes(layout.itemsize)
            records = data[at : at + run.count * size].reshape(run.count, size)
            inside = 0
            for part in run.parts:
                if isinstance(part, Rest):
                    inside += part.size
                    continue
                length = part.frames * part.channels * layout.itemsize
                values = unpack(records[:, inside : inside + length].tobytes(), one)[:, 0]
                values = values.byteswap() if mapped.big_endian else values
                if part.planar:
                    block = values.reshape(run.count, part.channels, part.frames).transpose(0, 2, 1)
                else:
                    block = values.reshape(run.count, part.frames, part.channels)
                columns = slice(part.first, part.first + part.channels)
                out[frame : frame + run.count * run.frames, columns] = block.reshape(-1, part.channels)
                inside += length
            at += run.count * size
            frame += run.count * run.frames
    return out

"""Records of a restored file by position: samples and the bytes between them, of only the records that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spikey.files.restored_contents import Contents, Stream
from spikey.recording.layout import Layout, pack
from spikey.recording.records import put_rest, put_samples
from spikey.recording.sample_map import Rest, Run, Runs, Samples, columns_of

LARGE = 1 << 16  # bytes of a record of which no more than what is needed is put together


class Records:
    """The records of one run of a file.

    runs: of the file. frame: the first of the run. at: where the other bytes of the run begin in the stream `rest`.
    """

    def __init__(self, contents: Contents, rest: Stream, runs: Runs, run: Run, big_endian: bool, frame: int, at: int):
        self._contents, self._rest, self._run, self._big_endian = contents, rest, run, big_endian
        self._frame, self._at = frame, at
        self.columns = columns_of(runs)
        low, high = self.columns
        self._layout = replace(contents.reader.layout, channels=high - low)
        self._record = run.record_bytes(self._layout.itemsize)
        self._batch = next(run.batches(self._layout.itemsize))  # but for the last one all are of this size
        self.size = run.count * self._record

    def frame(self, offset: int) -> int | None:
        """The first frame of the record that a byte lies in."""
        return self._frame + offset // self._record * self._run.frames if self._run.frames else None

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on."""
        first, end = offset // self._record, -(-(offset + count) // self._record)
        if self._record <= LARGE:
            start = offset - first * self._record
            return self._whole(first, end).reshape(-1)[start : start + count].tobytes()
        parts: list[bytes] = []
        for record in range(first, end):
            begin = record * self._record
            parts += self._some(record, max(offset - begin, 0), min(offset + count - begin, self._record))
        return b"".join(parts)

    def _whole(self, first: int, end: int) -> np.ndarray:
        """Whole records, uint8 (records, bytes of one)."""
        run, itemsize = self._run, self._layout.itemsize
        records = np.empty((end - first, self._record), np.uint8)
        at = first
        while at < end:
            stop = min((at // self._batch + 1) * self._batch, end)
            fields = [
                np.frombuffer(self._rest.read(place, (stop - at) * size), np.uint8).reshape(-1, size)
                for place, size in self._fields(at)
            ]
            put_rest(fields, records[at - first : stop - first], run, itemsize)
            at = stop
        if run.frames:
            samples = self._contents.samples(self._frame + first * run.frames, len(records) * run.frames, *self.columns)
            put_samples(samples, records, run, self._layout, self._big_endian, self.columns[0])
        return records

    def _fields(self, record: int) -> Iterator[tuple[int, int]]:
        """Where each field of a record that has no samples lies in the stream, and its size."""
        begin = record // self._batch * self._batch
        together = min(self._batch, self._run.count - begin)
        at = self._at + begin * self._run.rest
        for part in self._run.parts:
            if isinstance(part, Rest):
                yield at + (record - begin) * part.size, part.size
                at += together * part.size

    def _some(self, record: int, start: int, stop: int) -> Iterator[bytes]:
        """The bytes [start, stop) of a record."""
        at = 0
        fields = self._fields(record)
        for part in self._run.parts:
            if isinstance(part, Rest):
                place, size = next(fields)
            else:
                place, size = 0, part.frames * part.channels * self._layout.itemsize
            low, high = max(start - at, 0), min(stop - at, size)
            at += size
            if low >= high:
                continue
            if isinstance(part, Rest):
                yield self._rest.read(place + low, high - low)
            else:
                yield self._samples(self._frame + record * self._run.frames, part, low, high)

    def _samples(self, frame: int, part: Samples, low: int, high: int) -> bytes:
        """The bytes [low, high) of samples that begin with a frame."""
        itemsize = self._layout.itemsize
        line = (part.frames if part.planar else part.channels) * itemsize  # of one channel, or of one frame
        first, end = low // line, -(-high // line)
        begin = first * line
        if not part.planar:
            samples = self._contents.samples(frame + first, end - first, part.first, part.first + part.channels)
        elif end - first > 1:
            samples = self._contents.samples(frame, part.frames, part.first + first, part.first + end).T
        else:
            skip, stop = (low - begin) // itemsize, -(-(high - begin) // itemsize)
            begin += skip * itemsize
            samples = self._contents.samples(frame + skip, stop - skip, part.first + first, part.first + end).T
        data = pack(samples.reshape(-1, 1), Layout(1, self._layout.rate, self._layout.dtype))
        if self._big_endian:
            data = np.frombuffer(data, np.uint8).reshape(-1, itemsize)[:, ::-1].tobytes()
        return data[low - begin : high - begin]

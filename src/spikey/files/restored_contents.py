"""Samples and other bytes of an opened recording by position, for several threads: each block is decoded by one."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from itertools import accumulate

import numpy as np

from spikey.base.errors import DamagedError, DataError
from spikey.container.around import bytes_in_header
from spikey.container.layout import BLOCK_SAMPLES, BYTES, Block
from spikey.container.reader import Reader

HELD = 5.0  # seconds for which a block that could not be decoded is not tried again: a server may be back then
AHEAD = 3 << 23  # samples that are decoded before they are asked for, two seconds of a probe's; at least one block


class Contents:
    """The contents of a reader's file. A thread waits for a block that another one decodes."""

    def __init__(self, reader: Reader):
        self.reader = reader
        plain = reader.header.wrapper == BYTES
        blocks = [] if plain else [block for block in reader.structure.blocks if block.kind == BLOCK_SAMPLES]
        firsts = sorted({block.first_frame for block in blocks} - {0, reader.frames})
        self._cuts = [0, *firsts, reader.frames]  # where blocks begin and end
        channels = reader.layout.channels
        self._whole = {block.first_frame: block for block in blocks if block.channels == channels}
        self._locks: dict[int, threading.Lock] = {}
        self._failed: list[tuple[float, DamagedError]] = []

    def samples(self, first: int, count: int, low: int, high: int) -> np.ndarray:
        """Samples (count, high - low) of the columns from `low` to `high`, which must be there; not to be changed."""
        number = self.number(first)
        pieces = []
        while count:
            some = min(count, self._cuts[number + 1] - first)
            decoded = self._decoded(number)
            if decoded is not None:
                begin = first - self._cuts[number]
                pieces.append(decoded[begin : begin + some, low:high])
            else:
                pieces.append(self._read(number, first, some, low, high))
            first, count, number = first + some, count - some, number + 1
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _decoded(self, number: int) -> np.ndarray | None:
        """All samples of a block of all channels that is in the cache."""
        block = self._whole.get(self._cuts[number])
        return None if block is None else self.reader.cache.get(block.offset)

    def _read(self, number: int, first: int, count: int, low: int, high: int) -> np.ndarray:
        """Samples of blocks with the same frames."""
        columns = None if (low, high) == (0, self.reader.layout.channels) else range(low, high)
        with self._lock(number):
            self._check((first, first + count, low, high))
            try:
                return self.reader.read(first, count, columns)
            except DamagedError as error:
                self._failed.append((time.monotonic() + HELD, error))
                raise

    def number(self, frame: int) -> int:
        """The place of the blocks that contain a frame."""
        return bisect_right(self._cuts, frame, hi=len(self._cuts) - 1) - 1

    def ahead(self, frame: int, low: int, high: int, most: int) -> None:
        """Decode the blocks after the one that contains a frame, of at most `most` bytes."""
        layout = self.reader.layout
        done = 0
        for number in range(self.number(frame) + 1, len(self._cuts) - 1):
            size = (self._cuts[number + 1] - self._cuts[number]) * layout.channels
            if (done and done + size > AHEAD) or (done + size) * layout.memory_dtype.itemsize > most:
                break
            self.samples(self._cuts[number], 1, low, high)
            done += size

    def content(self, block: Block) -> memoryview:
        """The bytes of a block of others than samples."""
        with self._lock(-block.offset):
            found = self.reader.cache.get(block.offset)
            if found is None:
                content = self.reader.decoder.content(block)
                assert isinstance(content, bytes)
                found = np.frombuffer(content, np.uint8)
                self.reader.cache.put(block.offset, found)
            return found.data

    def _lock(self, number: int) -> threading.Lock:
        return self._locks.setdefault(number, threading.Lock())

    def _check(self, extent: tuple[int, int, int, int]) -> None:
        """Raise again what was raised for any of these samples a moment ago."""
        now = time.monotonic()
        self._failed = [(until, error) for until, error in self._failed if until > now]
        for _, error in self._failed:
            for first, end, low, high in error.ranges:
                if first < extent[1] and extent[0] < end and low < extent[3] and extent[2] < high:
                    raise DamagedError(str(error), error.ranges)


class Stream:
    """The bytes of one kind of block, by position: those before or after samples, of a plain file, of side files."""

    def __init__(self, contents: Contents, kind: int):
        self._contents, self._name = contents, contents.reader.name
        self._before = bytes_in_header(contents.reader, kind)
        self._blocks = [block for block in contents.reader.structure.blocks if block.kind == kind]
        sizes = (len(self._before), *(block.frames for block in self._blocks))
        self._ends = list(accumulate(sizes))
        self.size = self._ends[-1]

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on; DataError where they are damaged or not there."""
        end = offset + count
        if end > self.size:
            raise DataError(f"{self._name}: lacks {end - self.size:,} bytes beside its samples")
        parts: list[bytes | memoryview] = []
        number = bisect_right(self._ends, offset)
        while offset < end:
            begin = self._ends[number - 1] if number else 0
            content = self._contents.content(self._blocks[number - 1]) if number else self._before
            parts.append(content[offset - begin : end - begin])
            offset, number = begin + len(content), number + 1
        return b"".join(parts)

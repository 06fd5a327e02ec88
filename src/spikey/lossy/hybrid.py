"""Finds the finest bins with which a recording fits into given bits.

Bins of one step for all channels have the smallest squared error for their bits (reverse water-filling; T. Cover,
J. Thomas, Elements of Information Theory, 10.3.3) and the smallest largest error. What a whole step leaves over is
spent on time: the recording is one step finer up to a frame. Sizes are counted, not estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from spikey.base.errors import UsageError
from spikey.base.wire import varint
from spikey.codec.cut import block_shape, is_single, parts_of
from spikey.codec.encode import stored
from spikey.codec.method import Method
from spikey.container.contents import Contents
from spikey.container.records import BINS
from spikey.container.writer import RECORD_BYTES, Counting, write_file
from spikey.files.encoding import Encoding, encode_parts
from spikey.levels.quantised import MOST_STEP, Axis
from spikey.recording.readable import Readable

SAMPLED = 1 << 20  # samples from which the size of bins is estimated
COARSEST = 4  # parts of a channel's range: in bins any coarser hardly anything is left
FEW_STRETCHES = 16  # of blocks; with more of them the finer bins end where a block does
TRIES = 7  # of the frame within a stretch where the finer bins end
GRAIN = 256  # frames
INDEX_CHECK = 4  # bytes of a block's entry in the index beside its fields and its place

Runs = tuple[tuple[int, int], ...]  # first frame, codes in a bin
Made = Callable[[Runs], tuple[Readable, bytes]]  # the recording in such bins, and the record that contains them


class _Sizes:
    """How many bytes a recording takes in which bins, block by block, each encoded once."""

    def __init__(self, made: Made, method: Method, jobs: int, limit: int):
        self.made, self.method, self.jobs = made, method, jobs
        self.source = made(((0, 1),))[0]
        self.frames, self.layout = self.source.frames, self.source.layout
        self.shape = block_shape(self.layout, self.frames, method)
        short = self.source.head_size + self.source.tail_size <= RECORD_BYTES
        self.single = short and is_single(self.source, method)
        self.firsts = list(range(0, self.frames, self.shape[0]))
        self.place = len(varint(limit))  # bytes of a block's place in the file, at most
        self._known: dict[tuple[int, int, Runs], int] = {}

    def cost(self, first: int, end: int, runs: Runs) -> int:
        """Bytes of the blocks of some frames, with all that the file keeps of them elsewhere."""
        inside = tuple((max(start, first), step) for (start, step), stop in _ended(runs, end) if stop > first)
        key = first, end, tuple(run for run in inside if run[0] < end)
        if key not in self._known:
            recording = self.made(runs)[0]
            parts = parts_of(recording.read, self.shape, range(first, end))

            def size(part: Any) -> int:
                ((block, encoded, _),) = encode_parts([part], self.layout, Encoding(self.method))
                around = 0 if self.single else len(block.write()) + len(block.fields()) + INDEX_CHECK + self.place
                return len(encoded.payload) + around

            if self.jobs == 1:
                self._known[key] = sum(map(size, parts))
            else:
                with ThreadPoolExecutor(self.jobs) as pool:
                    self._known[key] = sum(pool.map(size, list(parts)))
        return self._known[key]

    def total(self, runs: Runs) -> int:
        """Bytes of the file; a few more where the index has short numbers, never fewer."""
        recording, record = self.made(runs)
        contents = Contents(records=((BINS, record),))
        empty = write_file(recording, Counting(), stored(b"") if self.single else iter(()), contents)
        if not self.single:
            empty += len(varint(len(self.firsts) * self.layout.channels))
        return empty + sum(self.cost(first, end, runs) for first, end in self.stretches())

    def stretches(self) -> list[tuple[int, int]]:
        """First and end frame of each stretch of blocks."""
        return list(pairwise([*self.firsts, self.frames]))


def finest_runs(made: Made, axes: tuple[Axis, ...], bits: float, method: Method, jobs: int = 1) -> Runs:
    """The finest bins with which the file takes at most `bits` bits per sample.

    Raises UsageError, with the least that is possible, where none do.
    """
    source = made(((0, 1),))[0]
    samples = source.frames * source.layout.channels
    coarsest = min(max((axis.codes for axis in axes if not axis.exact), default=1) // COARSEST, MOST_STEP) or 1
    if not samples:
        return ((0, 1),)
    limit = int(bits * samples / 8)
    sizes = _Sizes(made, method, jobs, limit)

    def fits(step: int) -> bool:
        return sizes.total(((0, step),)) <= limit

    step = _smallest(fits, _guess(sizes, bits, coarsest), coarsest)
    if step is None:
        least = 8 * sizes.total(((0, coarsest),)) / samples
        raise UsageError(
            f"{bits:g} bits per sample are too few for this recording; the least possible is {least + 0.0005:.3f}"
        )
    return ((0, step),) if step == 1 else _finer_start(sizes, step, limit)


def _guess(sizes: _Sizes, bits: float, coarsest: int) -> int:
    """About the step it takes, from a piece in the middle."""
    frames = min(sizes.frames, sizes.shape[0], max(SAMPLED // sizes.layout.channels, GRAIN))
    first = (sizes.frames - frames) // 2
    low, high = 1, coarsest
    while low < high:
        middle = (low + high) // 2
        if 8 * sizes.cost(first, first + frames, ((0, middle),)) <= bits * frames * sizes.layout.channels:
            high = middle
        else:
            low = middle + 1
    return low


def _smallest(fits: Callable[[int], bool], guess: int, most: int) -> int | None:
    """The smallest step from 1 to `most` that fits, looked for from a guess on in growing strides; None: none does."""
    stride, low, high = 1, 0, most + 1  # low does not fit, or is 0; high does, or is beyond
    step = guess
    while low < step < high:
        if fits(step):
            high = step
        else:
            low = step
        if high - low <= 1:
            break
        if low == 0:
            step = max(high - stride, 1)
        elif high == most + 1:
            step = min(low + stride, most)
        else:
            step = (low + high) // 2
        stride *= 2
    return high if high <= most else None


def _finer_start(sizes: _Sizes, step: int, limit: int) -> Runs:
    """Bins one step finer up to the last frame where the file still fits."""

    def split(frame: int) -> Runs:
        return ((0, step),) if frame == 0 else ((0, step - 1), (frame, step))

    def fits(frame: int) -> bool:
        return sizes.total(split(frame)) <= limit

    edges = [*sizes.firsts, sizes.frames]
    low, high = 0, len(edges) - 1  # the finer bins for all frames do not fit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(edges[middle]) else (low, middle)
    first, end = edges[low], edges[high]
    if len(sizes.firsts) <= FEW_STRETCHES:
        for _ in range(TRIES):
            frame = (first + end) // 2 // GRAIN * GRAIN
            if not first < frame < end:
                break
            first, end = (frame, end) if fits(frame) else (first, frame)
    return split(first)


def _ended(runs: Runs, end: int) -> list[tuple[tuple[int, int], int]]:
    """Each run with the frame it ends before, at least `end` for the last."""
    starts = [start for start, _ in runs[1:]]
    return list(zip(runs, [*starts, max([end, *starts])], strict=True))

"""Records what a stream's decoder gives in a `.spky` file, in constant memory; what was lost is absent from it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from spikey.base.errors import DataError, OutputExistsError
from spikey.codec.cut import FEWEST, Extent, Part
from spikey.codec.method import LARGEST
from spikey.codec.registry import DEFAULT_PRESET, preset_method
from spikey.container.block_writer import BlockWriter
from spikey.container.contents import packed_record
from spikey.container.growing import GrowingFile
from spikey.container.layout import BLOCK_SAMPLES, SAMPLES, STORED_BYTE, Header, checked_block
from spikey.container.records import CALIBRATION
from spikey.files.encoding import Encoding
from spikey.files.pipeline import Pipeline, Stretch, Write
from spikey.model.calibration import Calibration, find
from spikey.recording.layout import Layout
from spikey.recording.output import atomic_output, is_special, is_taken
from spikey.recording.remote import is_address
from spikey.stream.packet import Description
from spikey.stream.segments import Gap, Segment

SLICE_FRAMES = 1 << 16  # gathered before they are compressed, at most
SLICE_BYTES = 32 << 20
SHORTEST = 256  # frames
HELD = 3  # slices that wait for groups that are behind
MOST_GAPS = 10_000  # that are listed; all are counted
LATE = 10.0  # seconds of a stream up to which what did not come of its beginning is a gap
MOST_RATE = 1e6  # Hz: no clock is taken to be faster, whatever a packet claims


@dataclass
class _Slice:
    """Frames [first, first + len(samples)) of all channels, and what of them has come.

    covered: by a group's first channel and channels, the stretches of frames [begin, end), in order.
    """

    first: int
    samples: np.ndarray
    covered: dict[tuple[int, int], list[list[int]]] = field(default_factory=dict)

    def put(self, first_frame: int, first_channel: int, samples: np.ndarray) -> None:
        """Samples (frames, channels) of one group, all inside."""
        begin, count = first_frame - self.first, samples.shape[1]
        end = begin + len(samples)
        self.samples[begin:end, first_channel : first_channel + count] = samples
        stretches = self.covered.setdefault((first_channel, count), [])
        if stretches and stretches[-1][1] == begin:
            stretches[-1][1] = end
        else:
            stretches.append([begin, end])

    def complete(self, frames: int) -> bool:
        """Whether all channels have come up to `frames`."""
        whole = all(stretches == [[0, frames]] for stretches in self.covered.values())
        return whole and sum(count for _, count in self.covered) == self.samples.shape[1]


class Recorder:
    """A file of one stream, for use in a `with` statement: that which `spikey.create` would write, at `path` from the
    beginning. One that replaces another, or goes elsewhere than to a file, is there at the end, if there is no error.

    description: that of the first key packet. calibration: the stream's, where it is not a shipped one. jobs: threads.
    overwrite: whether to replace `path` where it exists.

    `first_frame` is the stream's frame with which the file begins: 0, or where the first key packet was when the stream
    had gone on for more than 10 s before. Other frames count from there: `gaps` lists what is missing, `missing` counts
    its samples and `samples` those that came; `frames` is the end.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        description: Description,
        *,
        calibration: Calibration | None = None,
        jobs: int = 1,
        overwrite: bool = False,
    ):
        self.path = path
        self._overwrite = overwrite
        self.layout = Layout(description.channels, description.rate, description.dtype)
        late = description.first_frame > LATE * min(description.rate, MOST_RATE)
        self.first_frame = description.first_frame if late else 0
        self.gaps: list[Gap] = []
        self.frames = self.samples = self.missing = 0
        self._calibration, records = None, []
        if description.calibration:
            own = calibration is not None and calibration.id == description.calibration
            self._calibration = calibration if own else find(description.calibration)
            if own and calibration is not None:
                records.append((CALIBRATION, packed_record(calibration.to_bytes(), 4)))
        self._header = Header(self.layout, 0, SAMPLES, False, description.calibration, records)
        fitting = SLICE_BYTES // self.layout.frame_bytes // 256 * 256
        second = max(round(min(description.rate, MOST_RATE)), FEWEST)
        self._length = min(SLICE_FRAMES, second, max(fitting, SHORTEST))
        self._channels = max(min(LARGEST // 4 // self._length, self.layout.channels), 1)
        self._how = Encoding(preset_method(DEFAULT_PRESET), self._calibration, jobs)
        self._slices: dict[int, _Slice] = {}
        self._covered = 0  # end of the last frame of any block
        self._stack = ExitStack()

    def open(self) -> None:
        """Begin the file; `close` completes it."""
        with ExitStack() as stack:
            self._file, self._add = self._begin(stack)
            self._pipeline = Pipeline(os.fspath(self.path), self.layout, self._how, self._add, queue=1)
            stack.callback(self._pipeline.cancel)
            self._stack = stack.pop_all()

    def _begin(self, stack: ExitStack) -> tuple[GrowingFile | BlockWriter, Write]:
        """The file, completed or removed by the stack, and what adds blocks to it."""
        if is_address(self.path) or is_special(self.path) or (self._overwrite and is_taken(self.path)):
            out, _ = stack.enter_context(atomic_output(self.path, overwrite=self._overwrite))
            blocks = stack.enter_context(BlockWriter(out, self._header))
            return blocks, blocks.add_all
        try:
            file = stack.enter_context(GrowingFile(self.path, self._header))
        except FileExistsError:
            raise OutputExistsError(os.fspath(self.path)) from None
        return file, file.add

    def close(self) -> None:
        """Write what is left, and complete the file."""
        with self._stack:
            self._finish()

    def abort(self) -> None:
        """Write nothing more. A file that holds blocks already is completed, any other is removed."""
        failure = DataError(f"{self.path}: given up")
        with suppress(DataError):
            self._stack.__exit__(DataError, failure, None)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0] is None:
            self.close()
        else:
            self.abort()

    @property
    def written(self) -> int:
        """Bytes written so far."""
        return self._file.written

    @property
    def plain(self) -> int:
        """Blocks that were stored without compression, as coding or verifying them failed."""
        return self._pipeline.plain

    def take(self, items: Iterable[Segment | Gap]) -> None:
        """What the decoder gave."""
        for item in items:
            if isinstance(item, Gap):
                self._note(item)
            else:
                self._gather(item.first_frame - self.first_frame, item.first_channel, item.samples)

    def _note(self, gap: Gap) -> None:
        first, end = gap.first_frame - self.first_frame, gap.end_frame - self.first_frame
        if end <= 0:
            return
        gap = gap._replace(first_frame=max(first, 0), end_frame=end)
        self.frames = max(self.frames, gap.end_frame)
        self.missing += (gap.end_frame - gap.first_frame) * gap.channels
        if len(self.gaps) < MOST_GAPS:
            self.gaps.append(gap)

    def _gather(self, first: int, first_channel: int, samples: np.ndarray) -> None:
        first, samples = max(first, 0), samples[max(-first, 0) :]
        self.samples += samples.size
        self.frames = max(self.frames, first + len(samples))
        while len(samples):
            number = first // self._length
            here = self._slice(number)
            part = samples[: (number + 1) * self._length - first]
            here.put(first, first_channel, part)
            if number == min(self._slices) and here.complete(self._length):
                self._compress(number)
            first, samples = first + len(part), samples[len(part) :]

    def _slice(self, number: int) -> _Slice:
        found = self._slices.get(number)
        if found is None:
            if len(self._slices) == HELD:
                self._compress(min(self._slices))
            room = np.empty((self._length, self.layout.channels), dtype=self.layout.memory_dtype)
            found = self._slices[number] = _Slice(number * self._length, room)
        return found

    def _compress(self, number: int) -> None:
        """Hand a slice to the encoder, as blocks of what has come, when the one before is with it."""
        here = self._slices.pop(number)
        end = min(self._length, self.frames - here.first)
        covered = {(0, self.layout.channels): [[0, end]]} if here.complete(end) else here.covered
        parts = []
        for (first_channel, count), stretches in sorted(covered.items()):
            for begin, until in stretches:
                for channel in range(first_channel, first_channel + count, self._channels):
                    last = min(channel + self._channels, first_channel + count)
                    extent = Extent(here.first + begin, until - begin, channel, last - channel)
                    parts.append(Part(extent, np.ascontiguousarray(here.samples[begin:until, channel:last])))
        if parts:
            stretch = Stretch(parts)
            self._pipeline.put(stretch)
            self._covered = max(self._covered, stretch.end)

    def _finish(self) -> None:
        while self._slices:
            self._compress(min(self._slices))
        self._pipeline.close()
        if self.frames > self._covered:  # a block of no frames marks where the stream ended
            extent = self.frames, 0, 0, self.layout.channels
            self._add([(checked_block(BLOCK_SAMPLES, extent, STORED_BYTE, b""), STORED_BYTE)])

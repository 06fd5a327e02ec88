"""The writer of a recording: frames go into buffers, and full ones to the threads that encode and write them."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from spikey.base.errors import QueueFullError, SpikeyError, UsageError
from spikey.codec.cut import Extent, Part
from spikey.container.growing import GrowingFile
from spikey.files.encoding import Encoding
from spikey.files.pipeline import Pipeline, Stretch
from spikey.recording.layout import Layout

INT24 = -(1 << 23), (1 << 23) - 1
WAIT, RAISE = "wait", "raise"
_open: set[Writer] = set()  # of this process, closed when it ends


class _Held(NamedTuple):
    """Frames that were appended, a buffer for the next ones, how many are in that, and whether it is closed."""

    first: int
    buffer: list[np.ndarray] | None = None
    filled: int = 0
    sealed: bool = False


class Writer:
    """A recording that is being written, made by `spikey.create`.

    Several threads may use it, but only in the process that made it: a forked child can neither append nor close.
    An interrupt (KeyboardInterrupt) in a call leaves it usable; `frames` is then the number of appended frames.

    Attributes
    ----------
    path : str
        The file.
    layout : Layout
        Channels, rate and type of the samples.
    late : int
        How often `append` had to wait for the encoder, or was refused with `on_full="raise"`.
    """

    def __init__(
        self,
        file: GrowingFile,
        layout: Layout,
        how: Encoding,
        shape: tuple[int, int],
        verify: bool,
        on_full: str,
        queue: int,
    ):
        self.path, self.layout, self.late = file.path, layout, 0
        self._file, self._on_full, self._queue = file, on_full, queue
        self._length, self._width = shape
        self._held = _Held(0)  # replaced at once, so that no interrupt leaves half of it
        self._free: list[list[np.ndarray]] = []
        self._calling = threading.RLock()
        self._closed = False
        self._process = os.getpid()
        self._pipeline = Pipeline(file.path, layout, how, file.add, verify=verify, queue=queue)
        _open.add(self)

    @property
    def frames(self) -> int:
        """Frames appended so far."""
        return self._held.first + self._held.filled

    @property
    def written(self) -> int:
        """Bytes of the file so far."""
        return self._file.written

    @property
    def frames_written(self) -> int:
        """Frames in the file, available to a reader that opens it now."""
        return self._pipeline.end

    @property
    def plain(self) -> int:
        """Blocks that were stored without compression, as coding or verification failed."""
        return self._pipeline.plain

    def append(self, frames: np.ndarray) -> None:
        """Append frames, which are copied.

        Parameters
        ----------
        frames : array (n, channels), or (channels,) for one frame
            Exactly the recording's type (int32 for int24), in any memory order. For a single channel also (n,).

        Raises
        ------
        UsageError
            For frames of another type or shape, or after `close`; nothing is appended.
        QueueFullError
            With `on_full="raise"`, when the encoder is behind: nothing of this call is appended, later calls may be.
        DataError
            Earlier frames could not be written, for example because the disk is full. If a block does not decode to its
            samples, they are stored uncompressed, this is raised once, and the frames of this call are appended.
        """
        self._check_process()
        samples = self._samples(frames)
        with self._calling:
            self._check_open()
            self._pipeline.check()
            if self._on_full == RAISE:
                self._refuse_when_full(len(samples))
            while len(samples):
                if self._held.sealed:
                    self._hand_over()
                samples = samples[self._take(samples) :]
            if self._held.sealed and self._pipeline.room:
                self._hand_over()
            self._pipeline.check_notice()

    def flush(self) -> None:
        """Compress all appended frames and flush them to disk.

        Raises DataError if that fails.
        """
        self._check_process()
        with self._calling:
            self._check_open()
            self._hand_over()
            self._pipeline.drain()
            self._file.sync()
            self._pipeline.check_notice()

    def close(self) -> None:
        """Write the remaining frames and the index, and flush the file to disk; a second call does nothing.

        Raises DataError if that fails; the file then contains what was written before and can be opened.
        """
        self._check_process()
        with self._calling:
            if self._closed:
                return
            try:
                self._hand_over()
                self._pipeline.close()
            except SpikeyError:
                self._closed = True
                _open.discard(self)
                self._finish_after_failure()
                raise
            self._closed = True
            _open.discard(self)
            self._file.finish()
            self._free.clear()
            self._pipeline.check_notice()

    def _finish_after_failure(self) -> None:
        """Complete the file with what is written, if there is room for that, and nobody is still writing."""
        if self._pipeline.cancel():
            with suppress(SpikeyError):
                self._file.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SpikeyError as error:
            if failure is None:
                raise
            failure.add_note(str(error))

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<spikey.Writer {self.path!r}: {self.frames:,} frames of {self.layout.channels:,} channels, {state}>"

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise UsageError(f"{self.path}: is written by another process; a forked child cannot append to it")

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"{self.path}: the recording is closed")

    def _samples(self, frames: np.ndarray) -> np.ndarray:
        """Frames as an array (n, channels); UsageError for those of another type or shape."""
        layout = self.layout
        if not isinstance(frames, np.ndarray) or frames.dtype != layout.memory_dtype:
            given = frames.dtype if isinstance(frames, np.ndarray) else type(frames).__name__
            raise UsageError(f"{self.path}: takes arrays of {layout.memory_dtype}, not of {given}; convert them first")
        samples = frames
        if frames.ndim == 1 and (layout.channels == 1 or len(frames) == layout.channels):
            samples = frames.reshape(-1, layout.channels)
        if samples.ndim != 2 or samples.shape[1] != layout.channels:
            turned = "; give frames.T" if frames.ndim == 2 and frames.shape[0] == layout.channels else ""
            raise UsageError(
                f"{self.path}: takes arrays (frames, {layout.channels}), not one of shape {frames.shape}{turned}"
            )
        low, high = INT24
        if layout.dtype == "int24" and samples.size and not low <= samples.min() <= samples.max() <= high:
            raise UsageError(f"{self.path}: a sample does not fit into 24 bits")
        return samples

    def _refuse_when_full(self, count: int) -> None:
        """QueueFullError where so many frames would have to wait."""
        needed = max(-(-(self._held.filled + count) // self._length) - 1, 0)
        if needed > self._queue:
            most = self._queue * self._length
            raise UsageError(f"{self.path}: with on_full='raise', append at most {most:,} frames at a time")
        if needed > self._pipeline.room:
            self.late += 1
            raise QueueFullError(
                f"{self.path}: the encoder is behind, and its queue of {self._queue} blocks is full; these {count:,} "
                "frames are not in the recording"
            )

    def _take(self, samples: np.ndarray) -> int:
        """Copy as many frames as the buffer has room for; return how many."""
        first, buffer, filled, _ = self._held
        if buffer is None:
            buffer = self._free.pop() if self._free else self._new_buffer()
        count = min(self._length - filled, len(samples))
        for place, part in enumerate(buffer):
            channel = place * self._width
            part[filled : filled + count] = samples[:count, channel : channel + part.shape[1]]
        self._held = _Held(first, buffer, filled + count, filled + count == self._length)
        return count

    def _new_buffer(self) -> list[np.ndarray]:
        """Room for a stretch: an array (frames, channels) for each block of it."""
        widths = [min(self._width, self.layout.channels - at) for at in range(0, self.layout.channels, self._width)]
        return [np.empty((self._length, width), self.layout.memory_dtype) for width in widths]

    def _hand_over(self) -> None:
        """Give what is in the buffer to the encoder."""
        first, buffer, filled, _ = self._held
        if buffer is None or not filled:
            return
        self._held = _Held(first, buffer, filled, sealed=True)
        extents = [Extent(first, filled, place * self._width, part.shape[1]) for place, part in enumerate(buffer)]
        parts = [Part(extent, part[:filled]) for extent, part in zip(extents, buffer, strict=True)]
        waited = self._pipeline.put(Stretch(parts, lambda: self._free.append(buffer)))
        self.late += waited and self._on_full == WAIT
        self._held = _Held(first + filled)


@atexit.register
def _close_all() -> None:
    """Complete the recordings that a program ends without having closed."""
    for writer in list(_open):
        with suppress(SpikeyError):
            writer.close()

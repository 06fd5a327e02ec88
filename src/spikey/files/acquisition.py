"""Records while samples come: other threads compress, verify and write appended frames, in constant memory."""

from __future__ import annotations

import atexit
import operator
import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from spikey.base.errors import QueueFullError, SpikeyError, UsageError
from spikey.codec.calibration_policy import AUTO, Wanted, choose_calibration
from spikey.codec.cut import FEWEST, Extent, Part, block_shape
from spikey.codec.method import LARGEST, USUAL_CHANNELS, Method
from spikey.container.contents import Contents
from spikey.container.extra import Extra
from spikey.container.growing import GrowingFile
from spikey.container.layout import SAMPLES, Header
from spikey.files.encoding import Encoding
from spikey.files.pipeline import Pipeline, Stretch
from spikey.files.settings import Settings
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.readable import ArraySource
from spikey.recording.remote import is_address

STRETCH_BYTES = 96 << 20  # of samples that are encoded at a time, at most
INT24 = -(1 << 23), (1 << 23) - 1
WAIT, RAISE = "wait", "raise"
_open: set[Writer] = set()  # of this process, closed when it ends


def create(
    path: str | os.PathLike[str],
    channels: int,
    rate: float,
    dtype: Any = "int16",
    *,
    preset: str | None = None,
    calibration: Wanted = "none",
    verify: bool = True,
    on_full: str = WAIT,
    queue: int = 2,
    jobs: int = 1,
    metadata: dict[str, Any] | None = None,
    block_frames: int | None = None,
) -> Writer:
    """Begin a recording: a file that is there, and can be opened, while frames are appended to it.

    Parameters
    ----------
    path : path
        A new file of this machine; one that exists is refused.
    channels : int
        Samples of a frame.
    rate : float
        Sampling rate in Hz.
    dtype : str or dtype
        Type of the samples: an integer type of up to 32 bits, "int24" (in int32), float32 or float64.
    preset : str, optional
        A name in `spikey.codec.registry.PRESETS`; None for the fastest, which keeps up with many channels.
    calibration : {"none"}, name of a shipped one, Calibration, path or None
        As of `spikey.compress`, but for "auto", which would have to look at the whole recording.
    verify : bool
        Whether each block is decoded and compared, by a thread of its own, before it is written.
    on_full : {"wait", "raise"}
        What `append` does when the encoder is behind and the queue is full: wait, or raise `QueueFullError`.
    queue : int
        Blocks that may wait for the encoder.
    jobs : int
        Threads that encode.
    metadata : dict, optional
        What JSON can hold, stored in the file's header.
    block_frames : int, optional
        Frames that are encoded at a time; None for about a second. What is not yet encoded is lost with the program.

    Returns
    -------
    Writer
        A context manager; leaving it, with or without an error, completes the file with all that was appended.

    Raises
    ------
    UsageError
        The file exists or cannot be made, or an argument cannot work.

    Examples
    --------
    >>> import numpy, os, spikey, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "a.spky")
    >>> with spikey.create(path, channels=2, rate=30000) as writer:
    ...     for _ in range(3):
    ...         writer.append(numpy.ones((1000, 2), "int16"))
    >>> spikey.open(path).shape
    (3000, 2)
    """
    layout = _layout(channels, rate, dtype)
    if on_full not in (WAIT, RAISE):
        raise UsageError(f"on_full must be {WAIT!r} or {RAISE!r}, not {on_full!r}")
    for name, number in (("queue", queue), ("jobs", jobs), ("block_frames", block_frames)):
        if number is not None and (not isinstance(number, int | np.integer) or number < 1):
            raise UsageError(f"{name} must be a whole number from 1 on, not {number!r}")
    if isinstance(calibration, str) and calibration == AUTO:
        raise UsageError("calibration='auto' looks at a whole recording; name one, or convert the file afterwards")
    if is_address(path):
        raise UsageError(f"{os.fspath(path)}: recording needs a local file, not an address")
    method = Settings(preset=preset).method()
    chosen = choose_calibration(
        calibration, ArraySource(np.empty((0, layout.channels), layout.memory_dtype), rate), method
    )
    extra = None if metadata is None else Extra(dict(metadata))
    records = Contents(chosen.calibration, chosen.embed, extra=extra).records_around([])
    named = b"" if chosen.calibration is None else chosen.calibration.id
    header = Header(layout, 0, SAMPLES, False, named, records)
    shape = stretch_shape(layout, method, block_frames)
    try:
        file = GrowingFile(path, header)
    except FileExistsError:
        raise UsageError(f"{os.fspath(path)}: exists, and a recording replaces no file; name another one") from None
    return Writer(file, layout, Encoding(method, chosen.calibration, jobs), shape, verify, on_full, queue)


def _layout(channels: int, rate: float, dtype: Any) -> Layout:
    """The layout that arguments describe; UsageError where they describe none."""
    try:
        name = dtype if isinstance(dtype, str) and dtype in DTYPES else np.dtype(dtype or "none").name
        count, hertz = operator.index(channels), float(rate)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"a recording has a number of channels, a rate in Hz and a type, not {channels!r}, {rate!r}, {dtype!r}"
        ) from None
    return Layout(count, hertz, name)


def stretch_shape(layout: Layout, method: Method, frames: int | None = None) -> tuple[int, int]:
    """Frames that are encoded at a time, about a second or as many as are given, and channels of a block of them.

    >>> from spikey.codec.registry import preset_method
    >>> stretch_shape(Layout(1536, 30000, "int16"), preset_method("fast"))
    (30000, 384)
    """
    usual, channels = block_shape(layout, 1 << 20, method)
    most = max(STRETCH_BYTES // (layout.channels * layout.memory_dtype.itemsize), 1)
    wanted = max(round(layout.rate), FEWEST) if frames is None else frames
    if method.channels > USUAL_CHANNELS:
        length = min(wanted, most, LARGEST)
        parts = -(-layout.channels // min(max(LARGEST // length, 1), method.channels))
        return length, -(-layout.channels // parts)
    return min(wanted, most, usual), channels


class _Held(NamedTuple):
    """Frames that were handed over, a buffer for the next ones, how many are in that, and whether it takes no more."""

    first: int
    buffer: list[np.ndarray] | None = None
    filled: int = 0
    sealed: bool = False


class Writer:
    """A recording that is being written, made by `spikey.create`.

    Several threads may use it, but only in the process that made it: a forked child can neither append nor close.
    An interrupt (KeyboardInterrupt) in a call leaves it usable; `frames` then is how much of the call was taken.

    Attributes
    ----------
    path : str
        The file.
    layout : Layout
        Channels, rate and type of the samples.
    late : int
        How often `append` had to wait for the encoder, or with `on_full="raise"` was refused.
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
        """Frames that are in the file, which a reader that opens it now has."""
        return self._pipeline.end

    @property
    def plain(self) -> int:
        """Blocks that were stored without compression, as coding or verifying them failed; 0 where all is well."""
        return self._pipeline.plain

    def append(self, frames: np.ndarray) -> None:
        """Append frames, which are copied.

        Parameters
        ----------
        frames : array (n, channels), or (channels,) for one frame
            Of exactly the recording's type (int32 for int24), in any order in memory. Of a single channel also (n,).

        Raises
        ------
        UsageError
            For frames of another type or shape, or after `close`; nothing is appended.
        QueueFullError
            With `on_full="raise"`, when the encoder is behind: nothing of this call is appended, later calls may be.
        DataError
            What came of earlier frames: the disk is full, say. When a block did not decode to its samples, which then
            are stored as they are, this is raised once, and the frames of this call are appended.
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
        """Compress what has been appended so far and have it on the disk when this returns.

        Raises DataError where that fails.
        """
        self._check_process()
        with self._calling:
            self._check_open()
            self._hand_over()
            self._pipeline.drain()
            self._file.sync()
            self._pipeline.check_notice()

    def close(self) -> None:
        """Write what is left and the index, and have the file on the disk; a second call does nothing.

        Raises DataError where that fails; what was written before is in the file then, which can be opened.
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

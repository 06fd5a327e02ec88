"""Recording: threads compress, verify and write appended frames, in constant memory."""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np

from spikey.base.errors import UsageError
from spikey.codec.calibration_policy import AUTO, Wanted, choose_calibration
from spikey.codec.cut import FEWEST, block_shape
from spikey.codec.method import LARGEST, USUAL_CHANNELS, Method
from spikey.container.contents import Contents
from spikey.container.extra import Extra
from spikey.container.growing import GrowingFile
from spikey.container.layout import SAMPLES, Header
from spikey.files.acquisition_writer import RAISE, WAIT, Writer
from spikey.files.encoding import Encoding
from spikey.files.pipeline import compile_for
from spikey.files.settings import Settings
from spikey.recording.layout import DTYPES, Layout
from spikey.recording.readable import ArraySource
from spikey.recording.remote import is_address

STRETCH_BYTES = 96 << 20  # of samples that are encoded at a time, at most


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
    """Start a recording: a file that can be opened while frames are appended to it.

    The first time on a machine this compiles the kernels, which takes up to two minutes; then a few tenths of a second.

    Parameters
    ----------
    path : path
        A new local file; an existing one is refused.
    channels : int
        Samples of a frame.
    rate : float
        Sampling rate in Hz.
    dtype : str or dtype
        Type of the samples: an integer type of up to 32 bits, "int24" (in int32), float32 or float64.
    preset : str, optional
        A name in `spikey.codec.registry.PRESETS`; None for the fastest.
    calibration : {"none"}, name of a shipped one, Calibration, path or None
        As for `spikey.compress`, except "auto", which needs the whole recording.
    verify : bool
        Whether a second thread decodes and compares each block before it is written.
    on_full : {"wait", "raise"}
        What `append` does when the encoder is behind and the queue is full: wait, or raise `QueueFullError`.
    queue : int
        Blocks that may wait for the encoder.
    jobs : int
        Threads that encode.
    metadata : dict, optional
        JSON-serialisable values, stored in the file's header.
    block_frames : int, optional
        Frames that are encoded at a time; None for about a second. If the program is killed, frames
        that are not yet encoded are lost.

    Returns
    -------
    Writer
        A context manager; leaving it, with or without an error, completes the file with all that was appended.

    Raises
    ------
    UsageError
        The file exists or cannot be created, or an argument is invalid.

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
        raise UsageError("calibration='auto' needs the whole recording; give a calibration, or convert the file later")
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
    how = Encoding(method, chosen.calibration, jobs)
    compile_for(layout, how)  # before samples come
    try:
        file = GrowingFile(path, header)
    except FileExistsError:
        raise UsageError(f"{os.fspath(path)}: exists and is never replaced; give another path") from None
    return Writer(file, layout, how, shape, verify, on_full, queue)


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

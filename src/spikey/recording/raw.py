"""Headerless recordings (.dat, .bin, .raw): nothing but interleaved little-endian samples, described by the caller."""

from __future__ import annotations

from spikey.errors import UsageError
from spikey.recording.source import Layout, PathLike, Source, open_file


def open_raw(path: PathLike, channels: int, rate: float, dtype: str) -> Source:
    """Open a file of raw samples: `channels` per frame, `rate` in Hz, `dtype` one of `source.DTYPES`.

    The head is empty; what is left after the last whole frame is the tail. An empty file has no frames.
    Raises `UsageError` for a description that cannot be, `DataError` for a file that cannot be opened.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "probe.dat")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([1, 0, 255, 255, 7]))
    ...     with open_raw(path, channels=2, rate=30000, dtype="int16") as source:
    ...         source.read(0, source.frames).tolist(), source.tail()
    ([[1, -1]], b'\\x07')
    """
    layout = Layout(channels, rate, dtype)
    if rate == 0:
        raise UsageError("a sampling rate is a positive number of Hz, not 0")
    file, name, size = open_file(path)
    return Source(file, name, layout, head_size=0, payload_size=size, file_size=size)

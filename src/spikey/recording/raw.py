"""Headerless recordings (.dat, .bin, .raw): nothing but interleaved little-endian samples, described by the caller."""

from __future__ import annotations

from spikey.base.errors import UsageError
from spikey.recording.layout import Layout
from spikey.recording.source import PathLike, Source, open_file


def open_raw(path: PathLike, channels: int, rate: float, dtype: str, keep_partial: bool = False) -> Source:
    """Open a file of raw samples: `channels` per frame, `rate` in Hz, `dtype` one of `source.DTYPES`.

    The head is empty. An empty file has no frames. keep_partial: whether the file may end within a frame, whose bytes
    are then the tail; most often such a file has another number of channels than was given.
    Raises `UsageError` for a description that cannot be, `DataError` for a file that cannot be opened.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "probe.dat")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([1, 0, 255, 255, 7]))
    ...     with open_raw(path, channels=2, rate=30000, dtype="int16", keep_partial=True) as source:
    ...         source.read(0, source.frames).tolist(), source.tail()
    ([[1, -1]], b'\\x07')
    """
    layout = Layout(channels, rate, dtype)
    if rate == 0:
        raise UsageError("a sampling rate is a positive number of Hz, not 0")
    file, name, size = open_file(path)
    if (remain := size % layout.frame_bytes) and not keep_partial:
        file.close()
        rest = "bytes remain" if remain > 1 else "byte remains"
        raise UsageError(
            f"{name}: size is not a multiple of {layout.frame_bytes:,} bytes ({channels:,} channels x {dtype}); "
            f"{remain:,} {rest}. Use --keep-partial to store them as they are",
            code="partial-frame",
        )
    return Source(file, name, layout, head_size=0, payload_size=size, file_size=size)

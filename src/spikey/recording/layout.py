"""How samples lie in a file: channels, rate and type; bytes of whole frames to samples and back."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spikey.base.errors import UsageError

Samples = npt.NDArray[Any]
Buffer = bytes | bytearray | memoryview

# Name of the type in the file -> bytes per sample there, NumPy type in memory. NumPy has no 24-bit integer.
DTYPES: dict[str, tuple[int, str]] = {
    "int8": (1, "int8"),
    "uint8": (1, "uint8"),
    "int16": (2, "int16"),
    "uint16": (2, "uint16"),
    "int24": (3, "int32"),
    "int32": (4, "int32"),
    "uint32": (4, "uint32"),
    "float32": (4, "float32"),
    "float64": (8, "float64"),
}
MOST_CHANNELS = 1 << 24


@dataclass(frozen=True)
class Layout:
    """How samples lie in a file: `channels` per frame, `rate` in Hz, and `dtype`, one of the names in `DTYPES`.

    Raises `UsageError` for fewer than one channel, a negative or non-finite rate, or an unknown type.
    A rate of 0 is allowed: there are WAV files that state it.

    >>> layout = Layout(channels=4, rate=30000, dtype="int24")
    >>> layout.itemsize, layout.frame_bytes, layout.memory_dtype
    (3, 12, dtype('int32'))
    """

    channels: int
    rate: float
    dtype: str

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise UsageError(f"a recording has 1 to {MOST_CHANNELS:,} channels, not {self.channels:,}")
        try:
            possible = math.isfinite(self.rate) and self.rate >= 0
        except (OverflowError, TypeError):  # an integer beyond all floats, or not a number
            possible = False
        if not possible:
            raise UsageError(f"a sampling rate is a finite number of Hz, not {reprlib.repr(self.rate)}")
        if self.dtype not in DTYPES:
            raise UsageError(f"{self.dtype!r} is not a sample type; the types are {', '.join(DTYPES)}")

    @property
    def itemsize(self) -> int:
        """Bytes per sample in the file: 3 for int24."""
        return DTYPES[self.dtype][0]

    @property
    def frame_bytes(self) -> int:
        """Bytes per frame in the file."""
        return self.channels * self.itemsize

    @property
    def memory_dtype(self) -> np.dtype[Any]:
        """Native-endian NumPy type of the samples in memory: int32 for int24."""
        return np.dtype(DTYPES[self.dtype][1])


def unpack(buffer: Buffer, layout: Layout) -> Samples:
    """Turn the file's bytes of whole frames into samples.

    Returns shape `(frames, channels)`, dtype `layout.memory_dtype`, C-contiguous. Except for int24, on little-endian
    hosts, the result shares the memory of `buffer` and is writable only if `buffer` is.
    Raises `UsageError` if the bytes are not a whole number of frames.

    >>> unpack(bytes([255, 255, 255, 0, 0, 128]), Layout(2, 30000, "int24"))
    array([[      -1, -8388608]], dtype=int32)
    """
    size = memoryview(buffer).nbytes
    if size % layout.frame_bytes:
        raise UsageError(f"{size} bytes are not a whole number of frames of {layout.frame_bytes} bytes")
    if layout.dtype == "int24":
        # The three bytes go to the top of a word, so that shifting it down extends the sign.
        words = np.zeros((size // 3, 4), np.uint8)
        words[:, 1:] = np.frombuffer(buffer, np.uint8).reshape(-1, 3)
        flat: Samples = words.view("<i4")
        flat >>= 8
    else:
        flat = np.frombuffer(buffer, layout.memory_dtype.newbyteorder("<"))
    return flat.astype(layout.memory_dtype, copy=False).reshape(-1, layout.channels)


def packed(samples: Samples, layout: Layout) -> bytes | memoryview:
    """What `pack` returns; in the usual case without a copy, as the samples lie in memory."""
    as_in_file = samples.dtype == layout.memory_dtype.newbyteorder("<") and layout.dtype != "int24"
    if as_in_file and samples.ndim == 2 and samples.shape[1] == layout.channels and samples.flags.c_contiguous:
        return samples.reshape(-1).view(np.uint8).data
    return pack(samples, layout)


def pack(samples: Samples, layout: Layout) -> bytes:
    """Turn samples into the file's bytes: the inverse of `unpack`.

    `samples` has shape `(frames, channels)` and dtype `layout.memory_dtype`, in any memory order.
    Raises `UsageError` if it has not, or if a value does not fit into 24 bits where the file's type is int24.

    >>> pack(np.array([[-1, 1]], np.int16), Layout(2, 30000, "int16")).hex()
    'ffff0100'
    """
    if samples.ndim != 2 or samples.shape[1] != layout.channels or samples.dtype != layout.memory_dtype:
        raise UsageError(
            f"samples must have shape (frames, {layout.channels}) and dtype {layout.memory_dtype}, "
            f"not {samples.shape} and {samples.dtype}"
        )
    if layout.dtype != "int24":
        return samples.astype(layout.memory_dtype.newbyteorder("<"), copy=False).tobytes()
    if samples.size and (samples.min() < -(1 << 23) or samples.max() >= 1 << 23):
        raise UsageError(f"a sample does not fit into 24 bits: they span {samples.min()} to {samples.max()}")
    words = np.ascontiguousarray(samples, "<i4").view(np.uint8).reshape(-1, 4)
    return words[:, :3].tobytes()

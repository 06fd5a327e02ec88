"""One chunk of a chunked store: an array to bytes that describe and check themselves, and back.

Whatever stores the chunk, its bytes are the same, so that each integration reads what another wrote. Integers of up to
32 bits go through the model, as blocks of the codec (`chunk_samples`); anything else is grouped by bytes and deflated
(`chunk_bytes`). Nothing else of the package is needed for that: neither files nor, until something is encoded or
decoded, Numba. The layout is specified in `docs/plugins.md`.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError, install
from spikey.base.limits import allowed
from spikey.base.wire import Cursor, varint
from spikey.codec.method import learned
from spikey.codec.registry import DEFAULT_PRESET, PRESETS, preset_method, ranked
from spikey.integrations.calibrations import AUTO, NONE, TEXT, calibration_in, portable, shipped_for
from spikey.integrations.chunk_samples import (
    FLAGS,
    MODELLED,
    Coding,
    Means,
    decode_samples,
    encode_samples,
    frames_and_channels,
    read_coding,
    without_ones,
)
from spikey.recording.layout import MOST_CHANNELS

MARK = b"\xb5SC"
VERSION = 2  # payloads of another syntax need another one
FORTRAN, GENERAL = 1, 2  # flags
KINDS = "biufcmMSUV"  # of NumPy types whose elements lie in the array itself
FEWEST_FRAMES = 16  # fewer teach a predictor nothing
SLACK = 64  # bytes, beside a thousandth, that a chunk may be larger than its array
Shape = tuple[int, ...]
Fits = Callable[[np.dtype[Any], Shape], None]  # raises where a chunk's type and shape are not those expected
NEWER = f"it was written by a newer version of Spikey: git pull, then {install()}"


@dataclass(frozen=True)
class Options:
    """How chunks are written; nothing of it is needed to read them.

    preset: one of `spikey.codec.registry.PRESETS`, each smaller and slower than the one before. model: name
    or path of a trained network, which then takes the preset's place. calibration: "auto" for the shipped one that
    suits a chunk, if any, "none", a shipped one's name, the text of one (`spikey.integrations.calibrations.portable`),
    or a file's path, whose bytes are then in every chunk. jobs: threads within a chunk, for writing and for reading.
    verify: whether a chunk is decoded and compared before it is returned. Raises UsageError for anything else.
    """

    preset: str = DEFAULT_PRESET
    model: str | None = None
    calibration: str = AUTO
    jobs: int = 1
    verify: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.preset, str) or self.preset not in PRESETS:
            raise UsageError(f"there is no preset {self.preset!r}; there are {', '.join(ranked())}")
        if not isinstance(self.jobs, int) or isinstance(self.jobs, bool) or self.jobs < 1:
            raise UsageError(f"jobs are a number of threads from 1 on, not {self.jobs!r}")
        for name, kind in (("model", str | None), ("calibration", str), ("verify", bool)):
            if not isinstance(getattr(self, name), kind) or "\0" in str(getattr(self, name)):
                raise UsageError(f"{name} cannot be {getattr(self, name)!r}")

    @property
    def threads(self) -> int:
        """Threads within a chunk: no more than there are processors."""
        return min(self.jobs, os.cpu_count() or 1)

    def config(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON can hold it."""
        return {key: value for key, value in asdict(self).items() if value != getattr(DEFAULTS, key)}


DEFAULTS = Options()


def options_from(config: dict[str, Any]) -> Options:
    """The options that a store's configuration states; UsageError where a newer version has written others."""
    unknown = set(config) - {field.name for field in fields(Options)}
    if unknown:
        raise UsageError(
            f"the codec's configuration has {', '.join(sorted(unknown))}, unknown to this version; {NEWER}"
        )
    try:
        return Options(**config)
    except UsageError as error:
        raise UsageError(f"a codec's configuration cannot be used, as {error.text}; perhaps {NEWER}") from None


@lru_cache(maxsize=32)
def means_of(options: Options) -> Means:
    """How chunks are encoded; UsageError or DataError where a model or a calibration is missing."""
    if options.model is None:
        method = preset_method(options.preset)
    else:
        from spikey.model.trained import named

        method = learned(named(options.model))
    if options.calibration in (AUTO, NONE):  # "auto" is chosen for each chunk
        return Means(method)
    text = portable(options.calibration)
    calibration = calibration_in(text)
    was_a_path = text.startswith(TEXT) and text != options.calibration
    return Means(method, calibration, calibration.to_bytes() if calibration is not None and was_a_path else None)


def encode_chunk(array: Any, options: Options = DEFAULTS, order: str | None = None) -> bytes:
    """The bytes of an array, any shape, memory order, byte order and type but object.

    The first axis is time, leading axes of length 1 aside, and the others together are the channels. order: the memory
    order, "C" or "F", in which `decode_chunk` gives it back; the array's own by default.
    Raises UsageError for elements that have no bytes of their own; warns of channels that seem to come first, and of
    large chunks of floats.

    >>> samples = np.arange(3000, dtype=">u2").reshape(1000, 3)
    >>> decoded = decode_chunk(encode_chunk(samples))
    >>> decoded.dtype.str, decoded.shape, bool((decoded == samples).all())
    ('>u2', (1000, 3), True)
    """
    array = np.asarray(array)
    if array.dtype.kind not in KINDS or array.dtype.hasobject or not array.dtype.itemsize:
        raise UsageError(f"elements of type {array.dtype} have no bytes of their own; convert them to a plain type")
    order = order or ("F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C")
    allowed.check_chunk(array.nbytes, "a chunk")
    _warn(array.shape, array.dtype.name)
    samples = _samples(array, order)
    data = _general(array, order) if samples is None else _modelled(array, samples, order, options)
    if options.verify and not _same(decode_chunk(data, options.threads, None, options.calibration), array):
        raise SpikeyError(
            "a chunk does not decode to what was to be written, so it was not written; please report this"
        )
    return data


def _samples(array: np.ndarray, order: Any) -> np.ndarray | None:
    """The array as (frames, channels) where it is for the model."""
    frames, channels = frames_and_channels(array.shape)
    if array.dtype.name not in MODELLED or not array.size or frames < FEWEST_FRAMES or channels > MOST_CHANNELS:
        return None
    return array.reshape(frames, channels, order=order)


def _modelled(array: np.ndarray, samples: np.ndarray, order: str, options: Options) -> bytes:
    """A chunk of samples; one of elements where an embedded calibration or many short blocks make that too large."""
    means = means_of(options)
    if options.calibration == AUTO:
        means = Means(means.method, shipped_for(samples))
    encoded = encode_samples(samples, means, options.threads)
    flags = FORTRAN * (order == "F") | encoded.coding.flags
    head, check = _head(flags, array.dtype, array.shape, encoded.coding.write())
    data = head + encoded.body(check)
    return data if len(data) <= array.nbytes + array.nbytes // 1000 + SLACK else _general(array, order)


def _general(array: np.ndarray, order: str) -> bytes:
    """A chunk of elements of any type."""
    from spikey.integrations.chunk_bytes import pack_elements

    head, _ = _head(FORTRAN * (order == "F") | GENERAL, array.dtype, array.shape)
    return head + pack_elements(array, order)


def decode_chunk(
    data: Any,
    jobs: int = 1,
    fits: Fits | None = None,
    calibration: str = AUTO,
) -> np.ndarray:
    """The array of a chunk, in the memory order that it had; it may be read-only. All of it comes from the chunk, but
    for what the chunk only names.

    data: anything with a buffer. fits: is called with the type and the shape that the chunk contains, before anything
    is decoded, and raises where they are not those that are expected. calibration: that of the store's configuration.
    Raises DamagedError for bytes that are no longer what was written, and DataError for what is not a chunk, is of a
    newer version, takes more memory than `spikey.base.limits` allow, or needs a calibration or model that is not there.
    """
    data = memoryview(data).cast("B")
    head = read_head(data)
    dtype, shape, body = head.dtype, head.shape, data[head.size :]
    check_size(dtype, shape)
    if fits is not None:
        fits(dtype, shape)
    order: Any = "F" if head.flags & FORTRAN else "C"
    try:
        if head.coding is not None:
            elements = decode_samples(head.coding, head.check, body, dtype, shape, jobs, calibration)
        else:
            from spikey.integrations.chunk_bytes import unpack_elements

            elements = unpack_elements(body, dtype, math.prod(shape))
        if order == "F" and elements.ndim == 2:
            elements = np.asfortranarray(elements)
        return elements.reshape(shape, order=order).astype(dtype, order="K", copy=False)
    except DamagedError as error:
        raise DamagedError(f"a chunk is damaged ({error.text}); restore it from a copy", error.ranges) from None
    except SpikeyError:
        raise
    except ValueError as error:  # NumPy's: more axes than it has
        raise DataError(f"a chunk has an impossible shape ({error})") from None
    except MemoryError:
        raise DataError(f"a chunk of {math.prod(shape) * dtype.itemsize:,} bytes does not fit into memory") from None


def check_size(dtype: np.dtype[Any], shape: Shape) -> None:
    """DataError for an array that cannot be, or that is larger than is allowed."""
    if dtype.itemsize * math.prod(axis for axis in shape if axis) >= 1 << 63:
        raise DataError(f"a chunk has an impossible shape ({shape} of {dtype.itemsize} bytes each)")
    allowed.check_chunk(dtype.itemsize * math.prod(shape), "a chunk")


def _warn(shape: Shape, dtype: str) -> None:
    """Warn of chunks that were probably meant otherwise."""
    frames, channels = frames_and_channels(shape)
    if channels > frames and dtype in MODELLED:
        from spikey.recording.hints import warn_of_shape

        warn_of_shape(frames, channels, "store the array transposed, as (time, channels)", 2)
    elif dtype.startswith("float") and len(without_ones(shape)) > 1:
        from spikey.recording.hints import warn_of_chunk

        warn_of_chunk((frames, channels), dtype, 2)


class Head(NamedTuple):
    """The head of a chunk.

    coding: of samples; None where the chunk has elements of any type. check: its checksum. size: its bytes.
    """

    flags: int
    dtype: np.dtype[Any]
    shape: Shape
    coding: Coding | None
    check: int
    size: int


def _head(flags: int, dtype: np.dtype[Any], shape: Shape, coding: bytes = b"") -> tuple[bytes, int]:
    """The head of a chunk, and its checksum."""
    text = dtype.str.encode("ascii")
    head = MARK + bytes([VERSION, flags, len(text)]) + text + bytes([len(shape)]) + b"".join(map(varint, shape))
    check = zlib.crc32(head + coding)
    return head + coding + struct.pack("<I", check), check


def read_head(data: memoryview) -> Head:
    """The head of a chunk; DamagedError where it is damaged or cut off, DataError where this version cannot read it."""
    if bytes(data[:3]) != MARK:
        raise DamagedError("a chunk does not begin as Spikey's do: it is damaged, or another codec wrote it")
    if data[3:4] not in (bytes([VERSION]), b""):
        if data[3] < VERSION:
            raise DataError(f"a chunk is of version {data[3]}, which was never released; store the array again")
        raise DataError(f"a chunk is of version {data[3]}, and this program reads version {VERSION}: {NEWER}")
    cursor = Cursor(data, "a chunk")
    try:
        cursor.take(4)
        flags, size = cursor.byte(), cursor.byte()
        text = cursor.take(size).decode("ascii", "replace")
        shape = tuple(cursor.varint() for _ in range(cursor.byte()))
        coding = None if flags & GENERAL else read_coding(flags, cursor, shape)
        check = struct.unpack("<I", data[cursor.at : cursor.at + 4])[0] if len(data) >= cursor.at + 4 else -1
        whole = check == zlib.crc32(data[: cursor.at])
    except DataError:
        whole = False
    if not whole:
        raise DamagedError("a chunk is damaged at its beginning; restore it from a copy")
    if flags & ~(FORTRAN | (GENERAL if coding is None else FLAGS)):
        raise DataError(f"a chunk uses a feature that this version does not support: {NEWER}")
    return Head(flags, _dtype(text), shape, coding, check, cursor.at + 4)


def _dtype(text: str) -> np.dtype[Any]:
    """The type that a chunk contains; DataError where it cannot be."""
    try:
        if not re.fullmatch(rf"[<>|][{KINDS}]\d{{1,9}}(\[[\w/]+\])?", text):
            raise TypeError
        dtype = np.dtype(text)
        if dtype.str != text or not dtype.itemsize:  # of a type without bytes NumPy makes one with some
            raise TypeError
        return dtype
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"a chunk contains elements of type {text!r}, which cannot be stored in chunks") from None


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays hold the same bytes, element by element; NaN equals itself."""
    if one.shape != other.shape or one.dtype.itemsize != other.dtype.itemsize:
        return False
    if one.dtype.kind in "iu":
        return bool(np.array_equal(one, other))
    order: Any = "F" if other.flags.f_contiguous and not other.flags.c_contiguous else "C"
    return one.tobytes(order=order) == other.tobytes(order=order)

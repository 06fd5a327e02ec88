"""One chunk of a chunked store: an array to bytes that describe and check themselves, and back.

Whatever stores the chunk, its bytes are the same, so that each integration reads what another wrote. Integers of up to
32 bits go through the model as a complete `.spky` file; anything else is grouped by bytes and deflated. The layout is
specified in `docs/plugins.md`.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from spikey.base.errors import DamagedError, DataError, SpikeyError, UsageError, install
from spikey.base.limits import allowed
from spikey.base.wire import Cursor, varint
from spikey.codec.calibration_policy import AUTO, Chosen, choose_calibration
from spikey.codec.method import learned
from spikey.codec.registry import PRESETS, preset_method, ranked
from spikey.container.contents import Contents
from spikey.container.layout import BYTES
from spikey.container.reader import Reader
from spikey.container.writer import write_file
from spikey.files.encoding import Encoding, encode_recording
from spikey.model.trained import Model, named
from spikey.recording.hints import warn_of_chunk, warn_of_shape
from spikey.recording.readable import ArraySource

MARK = b"\xb5SC"
VERSION = 1
FORTRAN, GENERAL = 1, 2  # flags
STORED, DEFLATED = 0, 1  # methods of the general way
MOST_DEFLATED = 1100  # bytes that one byte inflates to, rounded up
KINDS = "biufcmMSUV"  # of NumPy types whose elements lie in the array itself
FEWEST_FRAMES = 16  # fewer teach a predictor nothing
MODELLED = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
Shape = tuple[int, ...]
NOTHING = ArraySource(np.zeros((0, 1), np.int16), 0)
NEWER = f"it was written by a newer version of Spikey: git pull, then {install()}"


@dataclass(frozen=True)
class Options:
    """How chunks are written; nothing of it is needed to read them.

    preset: one of `spikey.codec.registry.PRESETS`, each smaller and slower than the one before. model: name
    or path of a trained network, which then takes the preset's place. calibration: as of
    `spikey.codec.calibration_policy.choose_calibration`: "n1" for the N1's where it suits and else none, "auto" to
    estimate one for each chunk too, "none", or a file's path, whose bytes travel with every chunk. jobs: threads within
    a chunk, for writing and for reading. verify: whether a chunk is decoded and compared before it is handed over.
    Raises UsageError for anything else.
    """

    preset: str = "realtime"
    model: str | None = None
    calibration: str = "n1"
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
        raise UsageError(f"a codec's configuration cannot be used, as {error}; perhaps {NEWER}") from None


def encode_chunk(array: Any, options: Options = DEFAULTS, order: str | None = None) -> bytes:
    """The bytes of an array, any shape, memory order, byte order and type but object.

    The first axis is time, leading axes of length 1 aside, and the others together are the channels. order: the memory
    order, "C" or "F", in which `decode_chunk` gives it back; the array's own unless stated.
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
    samples = _samples(array, order)
    _warn(array.shape, array.dtype.name)
    flags = FORTRAN * (order == "F") | GENERAL * (samples is None)
    body = _general(array, order) if samples is None else _modelled(samples, options)
    allowed.check_chunk(array.nbytes, "a chunk")
    data = _head(flags, array.dtype, array.shape) + body
    if options.verify and not _same(decode_chunk(data, options.threads), array):
        raise SpikeyError(
            "a chunk does not decode to what was to be written, so it was not written; please report this"
        )
    return data


def decode_chunk(data: Any, jobs: int = 1, fits: Callable[[np.dtype[Any], Shape], None] | None = None) -> np.ndarray:
    """The array of a chunk, in the memory order that it had; it may be read-only. All of it comes from the chunk.

    data: anything with a buffer. fits: is called with the type and the shape that the chunk contains, before anything
    is decoded, and raises where they are not those that are expected. Raises DamagedError for bytes that are no longer
    what was written, and DataError for what is not a chunk, is of a newer version, takes more memory than
    `spikey.base.limits` allow, or needs a calibration or model that is not there.
    """
    data = memoryview(data).cast("B")
    cursor = Cursor(data, "a chunk")
    flags, dtype, shape = _read_head(cursor)
    _check_size(dtype, shape)
    if fits is not None:
        fits(dtype, shape)
    order: Any = "F" if flags & FORTRAN else "C"
    read = _read_general if flags & GENERAL else _read_modelled
    try:
        elements = read(data[cursor.at :], dtype, math.prod(shape), jobs)
        if order == "F" and elements.ndim == 2:
            elements = np.asfortranarray(elements)
        return elements.reshape(shape, order=order).astype(dtype, order="K", copy=False)
    except DamagedError as error:
        raise DamagedError(f"a chunk is damaged ({error}); restore it from a copy", error.ranges) from None
    except SpikeyError:
        raise
    except ValueError as error:  # NumPy's: more axes than it has
        raise DataError(f"a chunk has an impossible shape ({error})") from None
    except MemoryError:
        raise DataError(f"a chunk of {math.prod(shape) * dtype.itemsize:,} bytes does not fit into memory") from None


def _check_size(dtype: np.dtype[Any], shape: Shape) -> None:
    """DataError for an array that cannot be, or that is larger than is allowed."""
    if dtype.itemsize * math.prod(axis for axis in shape if axis) >= 1 << 63:
        raise DataError(f"a chunk has an impossible shape ({shape} of {dtype.itemsize} bytes each)")
    allowed.check_chunk(dtype.itemsize * math.prod(shape), "a chunk")


def _warn(shape: tuple[int, ...], dtype: str) -> None:
    """Warn of chunks that were probably meant otherwise."""
    shape = _without_ones(shape)
    if len(shape) > 1 and dtype in MODELLED:
        warn_of_shape(shape[0], math.prod(shape[1:]), "store the array transposed, as (time, channels)", 2)
    warn_of_chunk(shape, dtype, 2)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its leading axes of length 1."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _samples(array: np.ndarray, order: Any) -> np.ndarray | None:
    """The array as (frames, channels) where it is for the model."""
    if array.dtype.name not in MODELLED or not array.size:
        return None
    shape = _without_ones(array.shape)
    if not shape or shape[0] < FEWEST_FRAMES:
        return None
    return array.reshape(shape[0], -1, order=order)


def _head(flags: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    text = dtype.str.encode("ascii")
    head = MARK + bytes([VERSION, flags, len(text)]) + text + bytes([len(shape)]) + b"".join(map(varint, shape))
    return head + struct.pack("<I", zlib.crc32(head))


def _read_head(cursor: Cursor) -> tuple[int, np.dtype[Any], Shape]:
    if bytes(cursor.data[:3]) != MARK:
        raise DamagedError("a chunk does not begin as Spikey's do: it is damaged, or another codec wrote it")
    if cursor.data[3:4] not in (bytes([VERSION]), b""):
        raise DataError(f"a chunk is of version {cursor.data[3]}, and this program reads version {VERSION}: {NEWER}")
    try:
        cursor.take(4)
        flags, size = cursor.byte(), cursor.byte()
        text = cursor.take(size).decode("ascii", "replace")
        shape = tuple(cursor.varint() for _ in range(cursor.byte()))
        whole = zlib.crc32(cursor.data[: cursor.at]) == struct.unpack("<I", cursor.take(4))[0]
    except DataError:
        whole = False
    if not whole:
        raise DamagedError("a chunk is damaged at its beginning; restore it from a copy")
    if flags & ~(FORTRAN | GENERAL):
        raise DataError(f"a chunk uses a feature that this version does not know: {NEWER}")
    try:
        if not re.fullmatch(rf"[<>|][{KINDS}]\d{{1,9}}(\[[\w/]+\])?", text):
            raise TypeError
        dtype = np.dtype(text)
        if dtype.str != text or not dtype.itemsize:  # of a type without bytes NumPy makes one with some
            raise TypeError
        return flags, dtype, shape
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"a chunk contains elements of type {text!r}, which cannot be stored in chunks") from None


def _modelled(samples: np.ndarray, options: Options) -> bytes:
    """Samples (frames, channels) as a `.spky` file."""
    how, contents = means_of(options)
    out, source = io.BytesIO(), ArraySource(samples, 0)
    if how.calibration is None and options.calibration == AUTO:
        chosen = choose_calibration(AUTO, source, how.method)
        how, contents = replace(how, calibration=chosen.calibration), contents_of(contents.model, chosen)
    write_file(source, out, encode_recording(source, how), contents)
    return out.getvalue()


@lru_cache(maxsize=32)
def means_of(options: Options) -> tuple[Encoding, Contents]:
    """How chunks are encoded, and what they contain beside samples; UsageError or DataError where a model or a
    calibration is missing.
    """
    model = None if options.model is None else named(options.model)
    method = preset_method(options.preset) if model is None else learned(model)
    chosen = Chosen() if options.calibration == AUTO else choose_calibration(options.calibration, NOTHING, method)
    jobs = options.threads if options.threads > 1 else 0
    return Encoding(method, chosen.calibration, jobs), contents_of(model, chosen)


def contents_of(model: Model | None, chosen: Chosen) -> Contents:
    """What a chunk contains beside its samples; a model is only named."""
    return Contents(chosen.calibration, chosen.embed, model, embed_model=False)


def _read_modelled(body: memoryview, dtype: np.dtype[Any], size: int, jobs: int) -> np.ndarray:
    """Samples (frames, channels)."""
    try:
        reader = Reader(body.tobytes())
    except DataError as error:
        raise DamagedError(str(error)) from None
    with reader:
        integers = reader.header.wrapper != BYTES and reader.dtype == dtype.newbyteorder("=")
        if not integers or math.prod(reader.shape) != size:
            raise DamagedError("its samples are not those that it is said to hold")
        return reader.read(0, reader.frames, jobs=jobs)


def _general(array: np.ndarray, order: Any) -> bytes:
    """Elements of any type: their first bytes, their second ones and so on, deflated, where that is smaller."""
    content = array.tobytes(order=order)
    size = max(array.dtype.itemsize, 1)
    grouped = np.frombuffer(content, np.uint8).reshape(-1, size).T.tobytes() if size > 1 else content
    packed = zlib.compress(grouped, 1)
    method, packed = (DEFLATED, packed) if len(packed) < len(content) else (STORED, content)
    body = bytes([method]) + packed
    return body + struct.pack("<I", zlib.crc32(content, zlib.crc32(body)))


def _read_general(body: memoryview, dtype: np.dtype[Any], count: int, _: int) -> np.ndarray:
    """Elements (count,) in memory order."""
    if len(body) < 5 or body[0] not in (STORED, DEFLATED):
        raise DamagedError("its content cannot be unpacked")
    content: bytes | memoryview = body[1:-4]
    size = count * dtype.itemsize
    if body[0] == DEFLATED:
        if size > MOST_DEFLATED * len(content):
            raise DamagedError(f"it cannot contain {size:,} bytes")
        try:
            inflater = zlib.decompressobj()
            grouped = inflater.decompress(content, max(size, 1))
        except zlib.error:
            raise DamagedError("its content cannot be unpacked") from None
        if len(grouped) == size and dtype.itemsize > 1:
            grouped = np.frombuffer(grouped, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
        content = grouped
    if len(content) != size or zlib.crc32(content, zlib.crc32(body[:-4])) != struct.unpack("<I", body[-4:])[0]:
        raise DamagedError("its content fails its checksum")
    return np.frombuffer(content, dtype) if size else np.zeros(count, dtype)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays hold the same bytes, element by element; NaN equals itself."""
    if one.shape != other.shape or one.dtype.itemsize != other.dtype.itemsize:
        return False
    if one.dtype.kind in "iu":
        return bool(np.array_equal(one, other))
    order: Any = "F" if other.flags.f_contiguous and not other.flags.c_contiguous else "C"
    return one.tobytes(order=order) == other.tobytes(order=order)

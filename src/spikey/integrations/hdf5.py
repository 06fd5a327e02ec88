"""An HDF5 filter for h5py, registered on import, with nothing to compile: HDF5 calls back into Python.

HDF5 asks the filter for one chunk at a time; what it needs to
know of a dataset, the type of its elements and the shape of its chunks, it finds out when the dataset is created and
notes in the filter's parameters.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from dataclasses import replace
from typing import Any

import numpy as np

from spikey.base.errors import DataError, UsageError, install

try:
    import h5py
except ImportError as error:
    raise ImportError(f"needs h5py: {install('hdf5')}") from error

from spikey.integrations.chunk import DEFAULTS, Options, decode_chunk, encode_chunk, means_of, options_from

FILTER_ID = 46419  # of those that the HDF Group leaves to whoever wants one (32768 to 65535): none is registered
MOST_VALUES = 256  # of a filter's parameters, says HDF5
SHUFFLE, FLETCHER32 = 2, 3  # filters whose output has as many bytes as their input, or the bytes of a sum more
SUM_BYTES = 4
REVERSE = 0x100  # the flag of a call that decodes
logger = logging.getLogger("spikey")


class Filter(Mapping[str, Any]):
    """What `create_dataset` needs to know to store a dataset with Spikey: give it as `**Filter()`.

    Options and errors are those of `spikey.integrations.chunk.Options`. Chunks should hold about a second of all
    channels, as in `chunks=(30000, channels)`; what h5py chooses by itself is too small to be fast.

    >>> samples = np.arange(8000, dtype="int16").reshape(2000, 4)
    >>> with h5py.File("example.h5", "w", driver="core", backing_store=False) as file:
    ...     dataset = file.create_dataset("traces", data=samples, chunks=(1000, 4), **Filter())
    ...     file.flush()
    ...     bool((dataset[500:1500] == samples[500:1500]).all())
    True
    """

    def __init__(
        self,
        preset: str = DEFAULTS.preset,
        model: str | None = DEFAULTS.model,
        calibration: str = DEFAULTS.calibration,
        jobs: int = DEFAULTS.jobs,
        verify: bool = DEFAULTS.verify,
    ):
        options = Options(preset, model, calibration, jobs, verify)
        means_of(options)  # HDF5 stores chunks as they are where the filter fails: better say now what is missing
        values = _to_values({"options": options.config()})
        if len(values) > MOST_VALUES - 64:  # room for the type and the shape
            raise UsageError(f"HDF5 has no room for parameters as long as {options.config()}: use a shorter path")
        self._keywords = {"compression": FILTER_ID, "compression_opts": values}

    def __getitem__(self, key: str) -> Any:
        return self._keywords[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keywords)

    def __len__(self) -> int:
        return len(self._keywords)


def _to_values(parameters: dict[str, Any]) -> tuple[int, ...]:
    """A filter's parameters are 32-bit numbers: the length of a JSON text, and the text, four bytes a number."""
    text = json.dumps(parameters, separators=(",", ":"), sort_keys=True).encode("ascii")
    words = np.frombuffer(text + bytes(-len(text) % 4), "<u4")
    return len(text), *map(int, words)


def _from_values(values: Any) -> dict[str, Any]:
    words = np.array(values, dtype="<u4")
    if not len(words):  # compression=FILTER_ID and nothing else
        return {"options": {}}
    try:
        parameters = json.loads(words[1:].tobytes()[: int(words[0])])
        if not isinstance(parameters, dict) or not isinstance(parameters.get("options"), dict):
            raise ValueError
    except (IndexError, ValueError):
        raise DataError("the parameters of a dataset's filter are not those of Spikey's: the file is damaged") from None
    return parameters


class _Class(ctypes.Structure):
    """H5Z_class2_t"""

    _fields_ = (
        ("version", c_int),
        ("id", c_int),
        ("encoder_present", c_uint),
        ("decoder_present", c_uint),
        ("name", c_char_p),
        ("can_apply", c_void_p),
        ("set_local", c_void_p),
        ("filter", c_void_p),
    )


_SET_LOCAL = ctypes.CFUNCTYPE(c_int, c_int64, c_int64, c_int64)
_FILTER = ctypes.CFUNCTYPE(c_size_t, c_uint, c_size_t, POINTER(c_uint), c_size_t, POINTER(c_size_t), POINTER(c_void_p))


def _library() -> ctypes.CDLL:
    """The HDF5 library that h5py has loaded: looking through h5py's extension finds that one and no other."""
    library = ctypes.CDLL("hdf5.dll" if sys.platform == "win32" else h5py.h5z.__file__)
    library.H5allocate_memory.restype = c_void_p
    library.H5allocate_memory.argtypes = c_size_t, ctypes.c_bool
    library.H5free_memory.argtypes = (c_void_p,)
    library.H5Tget_size.restype = c_size_t
    for name in ("H5Tget_class", "H5Tget_size", "H5Tget_sign", "H5Tget_order", "H5Tget_precision"):
        getattr(library, name).argtypes = (c_int64,)
    library.H5Tget_precision.restype = c_size_t
    library.H5Pget_chunk.argtypes = c_int64, c_int, POINTER(ctypes.c_uint64)
    library.H5Pget_filter_by_id2.argtypes = (
        *(c_int64, c_int, POINTER(c_uint), POINTER(c_size_t), POINTER(c_uint), c_size_t, c_char_p, POINTER(c_uint)),
    )
    library.H5Pget_nfilters.argtypes = (c_int64,)
    library.H5Pget_filter2.argtypes = (
        *(c_int64, c_uint, POINTER(c_uint), POINTER(c_size_t), POINTER(c_uint), c_size_t, c_char_p, POINTER(c_uint)),
    )
    library.H5Pmodify_filter.argtypes = c_int64, c_int, c_uint, c_size_t, POINTER(c_uint)
    library.H5Epush2.argtypes = c_int64, c_char_p, c_char_p, c_uint, c_int64, c_int64, c_int64, c_char_p
    return library


_hdf5 = _library()


def _dtype_of(type_id: int) -> str:
    """The NumPy name of integers; other elements are so many bytes."""
    size = _hdf5.H5Tget_size(type_id)
    integer = _hdf5.H5Tget_class(type_id) == h5py.h5t.INTEGER and size in (1, 2, 4, 8)
    if not integer or _hdf5.H5Tget_precision(type_id) != 8 * size:
        return f"|V{size}"
    order = "|" if size == 1 else ">" if _hdf5.H5Tget_order(type_id) == h5py.h5t.ORDER_BE else "<"
    return f"{order}{'u' if _hdf5.H5Tget_sign(type_id) == h5py.h5t.SGN_NONE else 'i'}{size}"


def _set_local(list_id: int, type_id: int, space_id: int) -> None:
    """Note a new dataset's type and chunks in the filter's parameters."""
    flags, count, values = c_uint(), c_size_t(MOST_VALUES), (c_uint * MOST_VALUES)()
    if _hdf5.H5Pget_filter_by_id2(list_id, FILTER_ID, flags, count, values, 0, None, None) < 0:
        raise DataError("HDF5 does not give the filter its parameters")
    shape = (ctypes.c_uint64 * 32)()
    rank = _hdf5.H5Pget_chunk(list_id, 32, shape)
    parameters = _from_values(values[: count.value])
    options_from(parameters["options"])  # rather refuse now than when the first chunk is written
    parameters |= {"dtype": _dtype_of(type_id), "chunk": shape[: max(rank, 0)]}
    behind = _filters_before(list_id)
    if behind:
        parameters["behind"] = behind
    words = _to_values(parameters)
    if _hdf5.H5Pmodify_filter(list_id, FILTER_ID, flags, len(words), (c_uint * len(words))(*words)) < 0:
        raise DataError("HDF5 does not take the filter's parameters")


def _filters_before(list_id: int) -> list[int]:
    """The filters of a new dataset whose output Spikey is given."""
    found: list[int] = []
    for index in range(_hdf5.H5Pget_nfilters(list_id)):
        flags, count, config = c_uint(), c_size_t(0), c_uint()
        number = _hdf5.H5Pget_filter2(list_id, index, flags, count, None, 0, None, config)
        if number == FILTER_ID:
            break
        found.append(number)
    return found


_ending = False  # no thread can be started any more


def _options(parameters: dict[str, Any]) -> Options:
    options = options_from(parameters["options"])
    return replace(options, jobs=1) if _ending else options


def _encode(parameters: dict[str, Any], content: np.ndarray) -> np.ndarray:
    options = _options(parameters)
    dtype, shape = np.dtype(parameters.get("dtype", "u1")), parameters.get("chunk", [-1])
    if dtype.itemsize * math.prod(shape) == content.size:  # not so behind another filter: then they are bytes
        content = content.view(dtype).reshape(shape)
    return np.frombuffer(encode_chunk(content, options), np.uint8)


def _decode(parameters: dict[str, Any], content: np.ndarray) -> np.ndarray:
    wanted, chunk = np.dtype(parameters.get("dtype", "u1")), tuple(parameters.get("chunk", []))

    behind = parameters.get("behind", [])
    size = wanted.itemsize * math.prod(chunk)

    def fits(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        alike = dtype == wanted or (wanted.kind == "V" and dtype.itemsize == wanted.itemsize)
        # HDF5 does not compare the size of what a filter gives with that of a chunk, and would read beyond the end.
        due = size + SUM_BYTES * behind.count(FLETCHER32) if set(behind) <= {SHUFFLE, FLETCHER32} else None
        flat = bool(behind) and dtype == np.uint8 and len(shape) == 1 and due in (None, shape[0])
        if not (alike and shape == chunk) and not flat:
            raise DataError(f"a chunk contains {dtype} {shape}, where its dataset has chunks of {wanted} {chunk}")

    return np.ascontiguousarray(decode_chunk(content, _options(parameters).threads, fits))


def _filter(flags: int, count: int, values: Any, size: int, buffer_size: Any, buffer: Any) -> int:
    """Encode or decode the chunk in `buffer`, which is HDF5's own memory and is replaced; return the new size."""
    parameters = _from_values(values[:count])
    content = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(buffer[0]))
    result = (_decode if flags & REVERSE else _encode)(parameters, content)
    new = result.nbytes
    memory = _hdf5.H5allocate_memory(max(new, 1), True)
    if not memory:
        raise MemoryError(f"HDF5 has no {new:,} bytes left")
    ctypes.memmove(memory, result.ctypes.data, new)
    _hdf5.H5free_memory(buffer[0])
    buffer[0], buffer_size[0] = memory, new
    return new


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection meanwhile: in a thread of the codec it could close one of h5py's objects, which would wait
    for h5py's lock, which the thread that waits for the codec holds.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_last_error = ""


def last_error() -> str:
    """Why the filter last failed, one sentence; empty where it never did. h5py's OSError does not always say."""
    return _last_error


def _guarded(function: Callable[..., int | None], success: int, failure: int) -> Callable[..., int]:
    """`function` for C to call: no exception leaves it. Its sentence is logged, kept, and put on HDF5's error stack,
    which h5py reads; while it calls filters, HDF5 2.0 takes nothing there.
    """

    def call(*arguments: Any) -> int:
        global _last_error
        try:
            with _no_collection():
                result = function(*arguments)
            return success if result is None else result
        except BaseException as error:
            _last_error = str(error) or type(error).__name__
            logger.error("HDF5 filter: %s", _last_error)
            text = f"spikey: {_last_error}".replace("%", "%%").encode("utf-8", "replace")
            kinds = [c_int64.in_dll(_hdf5, name) for name in ("H5E_ERR_CLS_g", "H5E_PLINE_g", "H5E_CANTFILTER_g")]
            _hdf5.H5Epush2(0, b"spikey", b"filter", 0, *kinds, text)
            return failure

    return call


_set_local_callback = _SET_LOCAL(_guarded(_set_local, 0, -1))
_filter_callback = _FILTER(_guarded(_filter, 0, 0))
# HDF5 keeps a copy of the structure, but the callbacks and the name must live as long as it does.
_class = _Class(
    1,
    FILTER_ID,
    1,
    1,
    b"spikey lossless",
    None,
    ctypes.cast(_set_local_callback, c_void_p),
    ctypes.cast(_filter_callback, c_void_p),
)


def register() -> None:
    """Make the filter known to HDF5; importing this module has done so."""
    if not h5py.h5z.register_filter(ctypes.addressof(_class)):
        raise OSError("HDF5 does not take Spikey's filter")


@atexit.register
def _flush() -> None:
    """Write what is still in caches: HDF5 would do it after Python has ended, when there is no filter any more."""
    global _ending
    _ending = True
    for file in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE):
        with suppress(Exception):
            h5py.h5f.flush(file)


register()

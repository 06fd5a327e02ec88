"""An HDF5 filter for h5py, registered on import, with nothing to compile: HDF5 calls back into Python.

HDF5 asks the filter for one chunk at a time. The type of a dataset's elements and the shape of its chunks are looked up
when the dataset is created, and stored in the filter's parameters.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ctypes import c_void_p
from dataclasses import replace
from typing import Any

import numpy as np

from spikey.base.errors import DataError, UsageError, install

try:
    import h5py
except ImportError as error:
    raise ImportError(f"needs h5py: {install('hdf5')}") from error

from spikey.integrations.calibrations import portable
from spikey.integrations.chunk import DEFAULTS, Options, decode_chunk, encode_chunk, means_of, options_from
from spikey.integrations.hdf5_library import (
    FILTER,
    MOST_VALUES,
    SET_LOCAL,
    FilterClass,
    chunk_shape,
    dtype_name,
    filters_before,
    from_values,
    library,
    push_error,
    read_values,
    to_values,
    write_values,
)
from spikey.integrations.hdf5_read import read_selection

__all__ = ["FILTER_ID", "FILTER_NAME", "Filter", "last_error", "read", "register"]

FILTER_ID = 46419  # of the range for unregistered use (32768 to 65535), until the HDF Group assigns one
FILTER_NAME = "spikey"  # as HDF5 stores it in a dataset's header
SHUFFLE, FLETCHER32 = 2, 3  # filters whose output has as many bytes as their input, or the bytes of a sum more
SUM_BYTES = 4
REVERSE = 0x100  # the flag of a call that decodes
logger = logging.getLogger("spikey")


class Filter(Mapping[str, Any]):
    """Arguments for h5py's `create_dataset` that store a dataset with Spikey: pass `**Filter()`.

    Chunks should contain about a second of all channels, as in `chunks=(30000, channels)`; h5py's default is too small
    to be fast. See `spikey.integrations.chunk.Options`.

    Parameters
    ----------
    preset : str
        A name in `spikey.codec.registry.PRESETS`, each smaller and slower than the one before.
    model : str, optional
        Name or path of a trained network to use instead.
    calibration : str, bytes or path
        "auto" for the shipped one that fits a chunk best, if any; "none"; the name of a shipped one; or the bytes or
        the path of a file of `spikey calibrate`. HDF5's parameters have room for small ones only: a
        file given by path becomes part of every chunk.
    jobs : int
        Threads within a chunk.
    verify : bool
        Decode every chunk after encoding it and compare.

    Raises
    ------
    UsageError, DataError
        An option is invalid; its model or calibration is missing.

    Examples
    --------
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
        calibration: str | bytes | os.PathLike[str] = DEFAULTS.calibration,
        jobs: int = DEFAULTS.jobs,
        verify: bool = DEFAULTS.verify,
    ):
        text = portable(calibration) if isinstance(calibration, bytes) else os.fspath(calibration)
        options = Options(preset, model, text, jobs, verify)
        means_of(options)  # HDF5 stores chunks as they are where the filter fails: better to report now what is missing
        values = to_values({"options": options.config()})
        if len(values) > MOST_VALUES - 64:  # room for the type and the shape
            if isinstance(calibration, bytes):
                raise UsageError("HDF5 has no room for this calibration: write it to a file and give its path")
            raise UsageError(f"HDF5 has no room for parameters as long as {options.config()}: use a shorter path")
        self._keywords = {"compression": FILTER_ID, "compression_opts": values}

    def __getitem__(self, key: str) -> Any:
        return self._keywords[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keywords)

    def __len__(self) -> int:
        return len(self._keywords)


def _set_local(list_id: int, type_id: int, space_id: int) -> None:
    """Note a new dataset's type and chunks in the filter's parameters."""
    flags, values = read_values(list_id, FILTER_ID)
    parameters = from_values(values)
    options_from(parameters["options"])  # rather refuse now than when the first chunk is written
    parameters |= {"dtype": dtype_name(type_id), "chunk": chunk_shape(list_id)}
    behind = filters_before(list_id, FILTER_ID)
    if behind:
        parameters["behind"] = behind
    write_values(list_id, FILTER_ID, flags, to_values(parameters))


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

    options, behind = _options(parameters), parameters.get("behind", [])
    size = wanted.itemsize * math.prod(chunk)

    def fits(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        alike = dtype == wanted or (wanted.kind == "V" and dtype.itemsize == wanted.itemsize)
        # HDF5 does not compare the size of what a filter gives with that of a chunk, and would read beyond the end.
        due = size + SUM_BYTES * behind.count(FLETCHER32) if set(behind) <= {SHUFFLE, FLETCHER32} else None
        flat = bool(behind) and dtype == np.uint8 and len(shape) == 1 and due in (None, shape[0])
        if not (alike and shape == chunk) and not flat:
            raise DataError(f"a chunk contains {dtype} {shape}, where its dataset has chunks of {wanted} {chunk}")

    return np.ascontiguousarray(decode_chunk(content, options.threads, fits, options.calibration))


def _filter(flags: int, count: int, values: Any, size: int, buffer_size: Any, buffer: Any) -> int:
    """Encode or decode the chunk in `buffer`, which is HDF5's own memory and is replaced; return the new size."""
    parameters = from_values(values[:count])
    content = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(buffer[0]))
    result = (_decode if flags & REVERSE else _encode)(parameters, content)
    new = result.nbytes
    memory = library.H5allocate_memory(max(new, 1), True)
    if not memory:
        raise MemoryError(f"HDF5 has no {new:,} bytes left")
    ctypes.memmove(memory, result.ctypes.data, new)
    library.H5free_memory(buffer[0])
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


def read(dataset: h5py.Dataset, selection: Any, jobs: int = 1) -> np.ndarray:
    """Read `dataset[selection]`, decoding only the selected groups of channels; h5py decodes whole chunks.

    Parameters
    ----------
    dataset : h5py.Dataset
        Any; faster for (time, channel) stored with `Filter` alone.
    selection : int, slice, list, mask, or a pair of these
        Frames, and channels, as for a NumPy array: `numpy.s_[100:200, 3]`.
    jobs : int
        Threads over chunks.

    Returns
    -------
    numpy.ndarray
        The samples selected.

    Raises
    ------
    DataError
        A chunk is damaged, where h5py would raise OSError.

    Examples
    --------
    >>> samples = np.arange(80000, dtype="int16").reshape(1000, 80)
    >>> with h5py.File("example.h5", "w", driver="core", backing_store=False) as file:
    ...     dataset = file.create_dataset("traces", data=samples, chunks=(1000, 80), **Filter())
    ...     file.flush()
    ...     bool((read(dataset, np.s_[500:600, 3]) == samples[500:600, 3]).all())
    True
    """
    filters = dataset.id.get_create_plist()
    alone = dataset.chunks is not None and filters.get_nfilters() == 1 and filters.get_filter(0)[0] == FILTER_ID
    if not alone or dataset.ndim != 2 or dataset.dtype.kind not in "iu":
        return np.asarray(dataset[selection])
    dataset.file.flush()  # chunks in HDF5's cache are not where they are read from here
    options = options_from(from_values(filters.get_filter(0)[2])["options"])
    return read_selection(dataset, selection, options, jobs)


_last_error = ""


def last_error() -> str:
    """Why the filter last failed, which h5py's OSError does not always contain.

    Returns
    -------
    str
        One sentence; empty if it never failed.
    """
    return _last_error


def _guarded(function: Callable[..., int | None], success: int, failure: int) -> Callable[..., int]:
    """`function` for C to call: no exception leaves it. Its sentence is logged, remembered, and put on HDF5's error
    stack, which h5py reads; while it calls filters, HDF5 2.0 takes nothing there.
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
            push_error(f"spikey: {_last_error}")
            return failure

    return call


_set_local_callback = SET_LOCAL(_guarded(_set_local, 0, -1))
_filter_callback = FILTER(_guarded(_filter, 0, 0))
# HDF5 copies the structure, but the callbacks and the name must live as long as it does.
_class = FilterClass(
    1,
    FILTER_ID,
    1,
    1,
    FILTER_NAME.encode(),
    None,
    ctypes.cast(_set_local_callback, c_void_p),
    ctypes.cast(_filter_callback, c_void_p),
)


def register() -> None:
    """Register the filter with HDF5; importing this module has done so.

    Raises
    ------
    OSError
        HDF5 refuses it.
    """
    if not h5py.h5z.register_filter(ctypes.addressof(_class)):
        raise OSError("HDF5 rejects Spikey's filter")


@atexit.register
def _flush() -> None:
    """Write what is still in caches: HDF5 would do it after Python has ended, when there is no filter any more."""
    global _ending
    _ending = True
    for file in h5py.h5f.get_obj_ids(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE):
        with suppress(Exception):
            h5py.h5f.flush(file)


register()

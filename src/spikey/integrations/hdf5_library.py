"""The HDF5 library that h5py has loaded, through ctypes: what the filter asks it, and the parameters that it stores."""

from __future__ import annotations

import ctypes
import json
import sys
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint, c_void_p
from typing import Any

import numpy as np

from spikey.base.errors import DataError, install

try:
    import h5py
except ImportError as error:
    raise ImportError(f"needs h5py: {install('hdf5')}") from error

MOST_VALUES = 256  # of the parameters that HDF5 stores for a filter


class FilterClass(ctypes.Structure):
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


SET_LOCAL = ctypes.CFUNCTYPE(c_int, c_int64, c_int64, c_int64)
FILTER = ctypes.CFUNCTYPE(c_size_t, c_uint, c_size_t, POINTER(c_uint), c_size_t, POINTER(c_size_t), POINTER(c_void_p))


def _load() -> ctypes.CDLL:
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


library = _load()


def dtype_name(type_id: int) -> str:
    """The NumPy name of integers; other elements are so many bytes."""
    size = library.H5Tget_size(type_id)
    integer = library.H5Tget_class(type_id) == h5py.h5t.INTEGER and size in (1, 2, 4, 8)
    if not integer or library.H5Tget_precision(type_id) != 8 * size:
        return f"|V{size}"
    order = "|" if size == 1 else ">" if library.H5Tget_order(type_id) == h5py.h5t.ORDER_BE else "<"
    return f"{order}{'u' if library.H5Tget_sign(type_id) == h5py.h5t.SGN_NONE else 'i'}{size}"


def filters_before(list_id: int, filter_id: int) -> list[int]:
    """The filters of a new dataset that come before one."""
    found: list[int] = []
    for index in range(library.H5Pget_nfilters(list_id)):
        flags, count, config = c_uint(), c_size_t(0), c_uint()
        number = library.H5Pget_filter2(list_id, index, flags, count, None, 0, None, config)
        if number == filter_id:
            break
        found.append(number)
    return found


def read_values(list_id: int, filter_id: int) -> tuple[Any, list[int]]:
    """Flags and parameters of a filter of a new dataset."""
    flags, count, values = c_uint(), c_size_t(MOST_VALUES), (c_uint * MOST_VALUES)()
    if library.H5Pget_filter_by_id2(list_id, filter_id, flags, count, values, 0, None, None) < 0:
        raise DataError("HDF5 does not give the filter its parameters")
    return flags, values[: count.value]


def write_values(list_id: int, filter_id: int, flags: Any, values: tuple[int, ...]) -> None:
    """Replace the parameters of a filter of a new dataset."""
    if library.H5Pmodify_filter(list_id, filter_id, flags, len(values), (c_uint * len(values))(*values)) < 0:
        raise DataError("HDF5 rejects the filter's parameters")


def chunk_shape(list_id: int) -> list[int]:
    """The chunks of a new dataset."""
    shape = (ctypes.c_uint64 * 32)()
    return list(shape[: max(library.H5Pget_chunk(list_id, 32, shape), 0)])


def push_error(text: str) -> None:
    """Put a sentence on HDF5's error stack, which h5py reads."""
    kinds = [c_int64.in_dll(library, name) for name in ("H5E_ERR_CLS_g", "H5E_PLINE_g", "H5E_CANTFILTER_g")]
    library.H5Epush2(0, b"spikey", b"filter", 0, *kinds, text.replace("%", "%%").encode("utf-8", "replace"))


def to_values(parameters: dict[str, Any]) -> tuple[int, ...]:
    """A filter's parameters are 32-bit numbers: the length of a JSON text, and the text, four bytes a number."""
    text = json.dumps(parameters, separators=(",", ":"), sort_keys=True).encode("ascii")
    words = np.frombuffer(text + bytes(-len(text) % 4), "<u4")
    return len(text), *map(int, words)


def from_values(values: Any) -> dict[str, Any]:
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

"""Plain bytes (headers, trailing chunks, files that are no recordings): the best of three general methods.

Method 0 stores; 1 is LZMA; 2, 4 and 8 are LZMA after grouping the bytes of elements of that size.
"""

from __future__ import annotations

import lzma

import numpy as np

from spikey.errors import DataError

PIECE = 1 << 22  # bytes a block
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": PIECE}]


def pack_bytes(data: bytes, itemsize: int = 1) -> bytes:
    """Method byte and content, at most one byte larger than `data`.

    >>> unpack_bytes(pack_bytes(b"abc"), 3)
    b'abc'
    """
    candidates = [b"\0" + data]
    for size in {1, itemsize} & {1, 2, 4, 8}:
        candidates.append(bytes([size]) + lzma.compress(_group(data, size), lzma.FORMAT_RAW, filters=_FILTERS))
    return min(candidates, key=len)


def unpack_bytes(packed: bytes | memoryview, size: int, what: str = "the data") -> bytes:
    """The `size` bytes that were packed; DataError for what `pack_bytes` cannot have written."""
    method, content = bytes(packed[:1]), bytes(packed[1:])
    if method == b"\0":
        data = content
    elif method in (b"\1", b"\2", b"\4", b"\x08"):
        try:
            data = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS).decompress(content, max_length=size)
        except lzma.LZMAError:
            raise DataError(f"{what}: holds bytes that cannot be unpacked") from None
        data = _ungroup(data, method[0])
    else:
        raise DataError(f"{what}: holds bytes packed by a method that this version does not know")
    if len(data) != size:
        raise DataError(f"{what}: holds {len(data)} bytes where {size} were packed")
    return data


def _group(data: bytes, size: int) -> bytes:
    whole = len(data) // size * size
    grouped = np.frombuffer(data, dtype=np.uint8, count=whole).reshape(-1, size).T
    return grouped.tobytes() + data[whole:]


def _ungroup(data: bytes, size: int) -> bytes:
    whole = len(data) // size * size
    return np.frombuffer(data, dtype=np.uint8, count=whole).reshape(size, -1).T.tobytes() + data[whole:]

"""Plain bytes (headers, trailing chunks, files that are no recordings): the best of three general methods.

Method 0 stores; 1 is LZMA; 2, 4 and 8 are LZMA after grouping the bytes of elements of that size. Of many elements
each group is compressed by itself, fast, and what does not shrink, such as a mantissa's low bytes, is not tried.
"""

from __future__ import annotations

import lzma
import zlib

import numpy as np

from spikey.base.errors import DataError

PIECE = 1 << 22  # bytes a block
MANY = 1 << 16  # bytes of elements
SAMPLED = 1 << 15  # bytes that tell whether a group shrinks
SHRUNK = 0.98
CHUNK = 1 << 16  # bytes of an LZMA2 chunk that stores
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": PIECE}]
_FAST = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 0,
        "dict_size": 1 << 18,
        "mode": lzma.MODE_FAST,
        "mf": lzma.MF_HC4,
        "nice_len": 16,
        "depth": 1,
    }
]


def pack_bytes(data: bytes, itemsize: int = 1) -> bytes:
    """Method byte and content, at most one byte larger than `data`.

    >>> unpack_bytes(pack_bytes(b"abc"), 3)
    b'abc'
    """
    if len(data) > MANY and itemsize in (2, 4, 8):
        packed = bytes([itemsize]) + _pack_groups(_group(data, itemsize), itemsize)
        return min(packed, b"\0" + data, key=len)
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


def _pack_groups(data: bytes, groups: int) -> bytes:
    """One LZMA2 stream of grouped bytes, each group in chunks of its own."""
    out, size = [], len(data) // groups
    for index in range(groups):
        group = data[index * size : (index + 1) * size if index + 1 < groups else len(data)]
        sample = group[:SAMPLED] + group[len(group) // 2 :][:SAMPLED]
        if len(zlib.compress(sample, 1)) < SHRUNK * len(sample):
            out.append(lzma.compress(group, lzma.FORMAT_RAW, filters=_FAST)[:-1])  # less the byte that ends a stream
        else:
            for at in range(0, len(group), CHUNK):
                chunk = group[at : at + CHUNK]
                # An LZMA2 chunk: 1 is stored, with a new dictionary; then its size less one.
                out.append(b"\1" + (len(chunk) - 1).to_bytes(2, "big") + chunk)
    return b"".join(out) + b"\0"


def _group(data: bytes, size: int) -> bytes:
    whole = len(data) // size * size
    grouped = np.frombuffer(data, dtype=np.uint8, count=whole).reshape(-1, size).T
    return grouped.tobytes() + data[whole:]


def _ungroup(data: bytes, size: int) -> bytes:
    whole = len(data) // size * size
    return np.frombuffer(data, dtype=np.uint8, count=whole).reshape(size, -1).T.tobytes() + data[whole:]

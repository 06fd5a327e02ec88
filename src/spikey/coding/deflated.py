"""Elements as raw DEFLATE (RFC 1951), their bytes grouped by place or not; stored where that is not smaller.

Method 0 stores; 1 is DEFLATE; 2, 4 and 8 are DEFLATE after grouping the bytes of elements of that size. Of many
elements each group is compressed by itself, and what does not shrink, such as a mantissa's low bytes, is stored. How
small the bytes become depends on the version of zlib, what they decode to does not.
"""

from __future__ import annotations

import zlib

import numpy as np

from spikey.base.errors import DataError

MANY = 1 << 16  # bytes of elements
SAMPLED = 1 << 15  # bytes that show whether a group shrinks, and how best
SHRUNK = 0.98
MOST_INFLATED = 1033  # bytes that one byte inflates to, at most, rounded up
RAW = -zlib.MAX_WBITS
BEST, USUAL, STORED = 9, 6, 0  # levels
STRATEGIES = zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE  # noise has no repeats to look for: runs are as small, and fast


def pack_elements(data: bytes, itemsize: int) -> bytes:
    """Method byte and content, at most one byte larger than `data`."""
    if len(data) > MANY and itemsize in (2, 4, 8):
        packed = bytes([itemsize]) + _pack_groups(_group(data, itemsize), itemsize)
        return min(packed, b"\0" + data, key=len)
    candidates = [b"\0" + data]
    for size in {1, itemsize} & {1, 2, 4, 8}:
        content = _group(data, size)
        strategies = STRATEGIES if len(data) <= MANY else STRATEGIES[:1]
        level = BEST if len(data) <= MANY else USUAL
        candidates += (bytes([size]) + _deflate(content, level, strategy, zlib.Z_FINISH) for strategy in strategies)
    return min(candidates, key=len)


def unpack_elements(packed: bytes | memoryview, size: int, what: str) -> bytes:
    """The `size` bytes that were packed; DataError for what `pack_elements` cannot have written."""
    method, content = bytes(packed[:1]), bytes(packed[1:])
    if method == b"\0":
        data = content
    elif method in (b"\1", b"\2", b"\4", b"\x08"):
        data = _ungroup(_inflate(content, size, what), method[0])
    else:
        raise DataError(f"{what}: holds bytes packed by a method that this version does not support")
    if len(data) != size:
        raise DataError(f"{what}: holds {len(data)} bytes where {size} were packed")
    return data


def _deflate(data: bytes, level: int, strategy: int, flush: int) -> bytes:
    """Raw DEFLATE blocks; without the end of the stream where `flush` is not Z_FINISH."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, RAW, zlib.DEF_MEM_LEVEL, strategy)
    return deflater.compress(data) + deflater.flush(flush)


def _inflate(content: bytes, size: int, what: str) -> bytes:
    """What a raw DEFLATE stream of `size` bytes contains; DataError where it is another or does not end there."""
    if size > MOST_INFLATED * len(content):
        raise DataError(f"{what}: holds {len(content)} bytes where {size} were packed")
    inflater = zlib.decompressobj(RAW)
    try:
        data = inflater.decompress(content, size + 1)  # one more: of a stream that ends there the end is read as well
    except zlib.error:
        raise DataError(f"{what}: holds bytes that cannot be unpacked") from None
    if len(data) > size:
        raise DataError(f"{what}: holds more than the {size} bytes that were packed")
    if not inflater.eof or inflater.unused_data:
        raise DataError(f"{what}: holds {len(data)} bytes where {size} were packed, in a stream that ends elsewhere")
    return data


def _pack_groups(data: bytes, groups: int) -> bytes:
    """One DEFLATE stream of grouped bytes, each group in blocks of its own, which repeat nothing of another group."""
    out, size = [], len(data) // groups
    for index in range(groups):
        last = index + 1 == groups
        group = data[index * size : None if last else (index + 1) * size]
        sample = group[:SAMPLED] + group[len(group) // 2 :][:SAMPLED]
        sizes = {strategy: len(_deflate(sample, USUAL, strategy, zlib.Z_FINISH)) for strategy in STRATEGIES}
        strategy = min(sizes, key=lambda strategy: sizes[strategy])
        level = USUAL if sizes[strategy] < SHRUNK * len(sample) else STORED
        out.append(_deflate(group, level, strategy, zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH))
    return b"".join(out)


def _group(data: bytes, size: int) -> bytes:
    whole = len(data) // size * size
    grouped = np.frombuffer(data, dtype=np.uint8, count=whole).reshape(-1, size).T
    return grouped.tobytes() + data[whole:]


def _ungroup(data: bytes, size: int) -> bytes:
    whole = len(data) // size * size
    return np.frombuffer(data, dtype=np.uint8, count=whole).reshape(size, -1).T.tobytes() + data[whole:]

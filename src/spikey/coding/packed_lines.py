"""Elements of 8 bytes that advance evenly, such as timestamps in a .npy file, among plain bytes: what is off a line."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor, varint
from spikey.coding.deflated import pack_elements, unpack_elements
from spikey.levels.line import read_line, to_values
from spikey.levels.line_search import Found, find_line

ITEM = 8  # bytes of an element
MOST_BEFORE = 1 << 12  # bytes before the first one
NPY = b"\x93NUMPY"
WIDTHS = (0, 1, 2, 4, 8)  # bytes of what an element is off the line
DOUBLE = np.dtype(np.float64)


def pack_line(data: bytes) -> bytes | None:
    """Bytes before the elements, the line, those after them, and what elements are off the line; None where they are
    not on any.
    """
    before = _before(data)
    elements = data[before : len(data) - (len(data) - before) % ITEM]
    lines = (_written(found) for found in _lines(elements))
    best = min(lines, key=len, default=None)
    if best is None:
        return None
    return varint(before) + data[:before] + data[before + len(elements) :] + best


def unpack_line(packed: bytes | memoryview, size: int, what: str) -> bytes:
    """The `size` bytes that `pack_line` packed; DataError for what it cannot have written."""
    cursor = Cursor(packed, what)
    before = cursor.take(cursor.varint(MOST_BEFORE))
    count, rest = divmod(size - len(before), ITEM)
    if count < 0:
        raise DataError(f"{what}: holds {len(before)} bytes before elements, where all have {size}")
    after, line, width = cursor.take(rest), read_line(cursor), cursor.byte()
    if width not in WIDTHS:
        raise DataError(f"{what}: holds bytes that cannot be unpacked")
    off = unpack_elements(cursor.rest(), count * width, what) if width else cursor.rest()
    if not width and off:
        raise DataError(f"{what}: holds {len(off)} bytes too many")
    try:
        numbers = line.numbers(count, DOUBLE)
    except DataError as error:
        raise DataError(f"{what}: {error}") from None
    if width:
        numbers += np.frombuffer(off, f"<i{width}")
    return before + to_values(numbers, DOUBLE).astype("<f8", copy=False).tobytes() + after


def _before(data: bytes) -> int:
    """Bytes before the elements: the header of a .npy file."""
    if data[:6] != NPY:
        return 0
    size = 10 + int.from_bytes(data[8:10], "little")
    return size if size <= min(MOST_BEFORE, len(data)) else 0


def _lines(data: bytes) -> Iterator[Found]:
    """The lines of elements taken as floats and as integers; both are lines of their bits."""
    for dtype in ("<f8", "<i8"):
        values = np.frombuffer(data, dtype)
        found = find_line(values.astype(values.dtype.newbyteorder("="), copy=False))
        if found is not None:
            yield found


def _written(found: Found) -> bytes:
    low, high = int(found.off.min()), int(found.off.max())
    width = next(w for w in WIDTHS if -(1 << 8 * w) <= 2 * low and 2 * high < 1 << 8 * w)
    off = pack_elements(found.off.astype(f"<i{width}").tobytes(), width) if width else b""
    return found.line.write() + bytes([width]) + off

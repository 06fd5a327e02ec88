"""Plain bytes (headers, trailing chunks, files that are no recordings): the smallest of a few general methods.

Method 3 is for elements that advance evenly (`packed_lines`), the others store and deflate (`deflated`).
"""

from __future__ import annotations

from spikey.coding.deflated import pack_elements, unpack_elements
from spikey.coding.packed_lines import pack_line, unpack_line

PIECE = 1 << 22  # bytes a block
LINE = b"\3"


def pack_bytes(data: bytes, itemsize: int = 1) -> bytes:
    """Method byte and content, at most one byte larger than `data`.

    >>> unpack_bytes(pack_bytes(b"abc"), 3)
    b'abc'
    """
    line = pack_line(data) if itemsize in (4, 8) and len(data) <= PIECE else None
    packed = pack_elements(data, itemsize)
    return packed if line is None else min(LINE + line, packed, key=len)


def unpack_bytes(packed: bytes | memoryview, size: int, what: str = "the data") -> bytes:
    """The `size` bytes that were packed; DataError for what `pack_bytes` cannot have written."""
    if bytes(packed[:1]) == LINE and size <= PIECE:
        return unpack_line(packed[1:], size, what)
    return unpack_elements(packed, size, what)

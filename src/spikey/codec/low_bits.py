"""Low bits of samples of more than 2^20 levels, packed without gaps."""

from __future__ import annotations

import numpy as np

PIECE = 1 << 16  # samples at once, a multiple of 8, so that each piece fills whole bytes


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """The low bits of each value, int64 (n,)."""
    packed = []
    for first in range(0, len(values), PIECE):
        columns = (values[first : first + PIECE, None] >> np.arange(bits)) & 1
        packed.append(np.packbits(columns.astype(np.uint8).ravel(), bitorder="little").tobytes())
    return b"".join(packed)


def unpack_bits(data: bytes, count: int, bits: int) -> np.ndarray:
    """The low bits, int64 (count,)."""
    packed, values = np.frombuffer(data, dtype=np.uint8), np.zeros(count, dtype=np.int64)
    for first in range(0, count, PIECE):
        some = min(PIECE, count - first)
        columns = np.unpackbits(packed[first * bits // 8 :], count=some * bits, bitorder="little")
        values[first : first + some] = (columns.reshape(some, bits).astype(np.int64) << np.arange(bits)).sum(axis=1)
    return values

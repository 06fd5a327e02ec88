"""Logarithms and powers of two in integers, the same on every machine."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import entry, kernel

# 2^(i / 8), times 2^16
ROOTS = np.array([65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194], dtype=np.int64)
_UNIT = 30


@kernel
def log2(value, bits):
    """Binary logarithm of an integer from 1 to below 2^62, in 1/2^bits, rounded down.

    >>> int(log2(1, 3)), int(log2(8, 3)), int(log2(3, 8))
    (0, 24, 405)
    """
    whole = np.int64(0)
    while value >> (whole + 1) > 0:
        whole += 1
    mantissa = np.int64(value) << (_UNIT - whole) if whole <= _UNIT else np.int64(value) >> (whole - _UNIT)
    result = whole
    for _ in range(bits):
        mantissa = (mantissa * mantissa) >> _UNIT
        carry = mantissa >> (_UNIT + 1)
        result = result << 1 | carry
        mantissa >>= carry
    return result


@kernel
def exp2(eighths):
    """2^(eighths / 8) as an integer, at least 1; eighths below 8 * 46.

    >>> [int(exp2(i)) for i in (-5, 0, 8, 84)]
    [1, 1, 2, 1448]
    """
    if eighths < 0:
        return np.int64(1)
    return max((entry(ROOTS, eighths & 7) << (eighths >> 3)) >> 16, np.int64(1))


@kernel
def logarithms(values, bits, results):
    """Set results int32 (n,) to `log2` of values int64 (n,); values below 1 count as 1."""
    for i in range(values.shape[0]):
        results[i] = log2(max(values[i], np.int64(1)), bits)

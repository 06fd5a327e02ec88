"""Logarithms and powers of two by + - * / alone, which every machine does alike."""

from __future__ import annotations

import math

import numpy as np

from spikey.base.jit import inlined

HALF_ROOT = 0.7071067811865476
L1, L3, L5, L7 = 2.885390081777927, 0.961796693925976, 0.577078016355585, 0.412198583111132
E1, E2, E3, E4, E5, E6 = (
    0.6931471805599453,
    0.2402265069591007,
    0.0555041086648216,
    0.0096181291076285,
    0.0013333558146428,
    0.0001540353039338,
)


@inlined
def log2_of(value):
    """log2 of a positive number, to about 1e-8."""
    part, exponent = math.frexp(value)
    if part < HALF_ROOT:
        part *= 2.0
        exponent -= 1
    s = (part - 1.0) / (part + 1.0)
    q = s * s
    return np.float64(exponent) + s * (L1 + q * (L3 + q * (L5 + q * L7)))


@inlined
def power_of_2(value):
    """2 to the power of a number between -1000 and 1000, to about 1e-7 of it."""
    whole = np.floor(value + 0.5)
    f = value - whole
    part = 1.0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * (E5 + f * E6)))))
    return math.ldexp(part, int(whole))

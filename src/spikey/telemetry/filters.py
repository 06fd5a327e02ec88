"""Integer filters: Butterworth sections for the spike band, a decimator for the LFP band.

Coefficients are computed with + - * / and square roots only, so they are the same on every machine.
"""

from __future__ import annotations

import numpy as np

COEFFICIENT_BITS = 20
FRACTION = 10  # bits of the filtered signal below one code
LOW_FRACTION = 6  # bits of the LFP band below one code
BOXCARS = 4  # running means in series, of which the decimator consists (Hogenauer, 1981)
# Three taps at the decimated rate compensate their attenuation up to a fifth of it: -1/6, 4/3, -1/6.
SHARPEN = (-1, 8, -1)
_PI = 3.141592653589793
_ROOT_HALF = 0.7071067811865476


def tangent(x: float) -> float:
    """tan(x) for 0 <= x < pi / 2, by Lambert's continued fraction.

    >>> round(tangent(_PI / 4), 12), round(tangent(1.5), 9)
    (1.0, 14.101419947)
    """
    fraction = 0.0
    for odd in range(41, 0, -2):
        fraction = x * x / (odd - fraction)
    return fraction / x if x else 0.0


def section(kind: str, corner: float, rate: float) -> np.ndarray:
    """A second-order Butterworth section by the bilinear transform: gain, a1 and a2, int32 (3,), times 2^20.

    kind: "high" or "low", whose numerators are 1, -2, 1 and 1, 2, 1 times the gain. corner, rate: Hz.

    >>> (section("low", 5000, 20_000) / 2**20).round(4).tolist()
    [0.2929, 0.0, 0.1716]
    """
    k = tangent(_PI * corner / rate)
    norm = 1 + 2 * _ROOT_HALF * k + k * k
    gain = (k * k if kind == "low" else 1.0) / norm
    a1, a2 = 2 * (k * k - 1) / norm, (1 - 2 * _ROOT_HALF * k + k * k) / norm
    return np.array([_rounded(each) for each in (gain, a1, a2)], dtype=np.int32)


def _rounded(value: float) -> int:
    return int(np.floor(value * (1 << COEFFICIENT_BITS) + 0.5))

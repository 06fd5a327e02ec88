"""From the digits and units of a file's header to microvolts."""

from __future__ import annotations

import math

from spikey.recording.sample_map import Channel

MICROVOLTS = {"nv": 1e-3, "uv": 1.0, "\u00b5v": 1.0, "\u03bcv": 1.0, "mv": 1e3, "v": 1e6}


def scaled(name: str, gain: float, offset: float, unit: str) -> Channel:
    """A channel whose samples are gain x sample + offset in a unit.

    >>> scaled("Fp1", 0.5, 0.0, "mV"), scaled("Temp", 0.1, 0.0, "degC").gain
    (Channel(name='Fp1', gain=500.0, offset=0.0), None)
    """
    factor = MICROVOLTS.get(unit.strip().lower())
    if factor is None or not (math.isfinite(gain * factor) and math.isfinite(offset * factor) and gain):
        return Channel(name)
    return Channel(name, gain * factor, offset * factor)


def ranged(name: str, digital: tuple[float, float], physical: tuple[float, float], unit: str) -> Channel:
    """A channel whose digital range [low, high] is a physical one.

    >>> ranged("Fp1", (-100, 100), (-1, 1), "mV")
    Channel(name='Fp1', gain=10.0, offset=0.0)
    """
    width = digital[1] - digital[0]
    if not width or not math.isfinite(width):
        return Channel(name)
    gain = (physical[1] - physical[0]) / width
    return scaled(name, gain, physical[0] - gain * digital[0], unit)


def number(text: str) -> float:
    """The number that a header's field is; NaN for any other text.

    >>> number(" -3276.8"), number("high")
    (-3276.8, nan)
    """
    try:
        return float(text)
    except ValueError:
        return math.nan

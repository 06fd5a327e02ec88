"""Which recordings a device interpolated: their sampled frames are all that there is to code."""

from __future__ import annotations

import numpy as np

LOOKED = 1 << 15  # frames


def interpolation_of(samples: np.ndarray) -> int | None:
    """The factor by which the beginning of samples (frames, channels) is interpolated; None where it is not."""
    from spikey.codec.interpolated.engine import found_in

    found = found_in(samples[:LOOKED])
    return None if found is None else found.pattern.factor


def words(counts: dict[str, int]) -> str:
    """How many recordings are interpolated by which factor.

    >>> words({"2": 1, "3": 4})
    'interpolated from frames sampled at a fraction of the rate: 1 recording by 2, 4 recordings by 3'
    """
    some = [f"{count} recording{'s' * (count > 1)} by {factor}" for factor, count in counts.items()]
    return "interpolated from frames sampled at a fraction of the rate: " + ", ".join(some)

"""Latencies, counted in bins, so that however many take the same room."""

from __future__ import annotations

import gc
import math

import numpy as np

SHORTEST = 1e-6  # seconds
PER_DECADE = 200  # bins: steps of 1.2 %
DECADES = 8


class Latency:
    """How long things took. The largest is exact, the rest to about 1 %.

    >>> took = Latency()
    >>> for i in range(1000):
    ...     took.add(i / 1e6)
    >>> {name: round(value, 2) for name, value in took.milliseconds().items()}
    {'p50': 0.5, 'p99': 1.0, 'p999': 1.0, 'max': 1.0}
    """

    def __init__(self) -> None:
        self.count, self.total, self.largest = 0, 0.0, 0.0
        self._bins = np.zeros(PER_DECADE * DECADES + 1, dtype=np.int64)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.total += seconds
        self.largest = max(self.largest, seconds)
        place = math.log10(seconds / SHORTEST) * PER_DECADE if seconds > SHORTEST else 0
        self._bins[min(int(place), len(self._bins) - 1)] += 1

    def quantile(self, share: float) -> float:
        """The seconds that a share, from 0 to 1, of all do not exceed; 0 where there are none."""
        if self.count == 0:
            return 0.0
        index = int(np.searchsorted(self._bins.cumsum(), share * self.count))
        return min(SHORTEST * 10 ** ((index + 1) / PER_DECADE), self.largest)

    def milliseconds(self) -> dict[str, float]:
        """The percentiles that are reported."""
        shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
        found = {name: round(1e3 * self.quantile(share), 4) for name, share in shares.items()}
        return found | {"max": round(1e3 * self.largest, 4)}


def settle() -> None:
    """Have Python's garbage collector leave alone all that there is now: the compiler's objects are so many that going
    through them takes a tenth of a second, in the middle of a stream.
    """
    gc.collect()
    gc.freeze()

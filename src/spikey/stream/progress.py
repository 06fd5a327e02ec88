"""How far a stream can have come: what names a later frame was made by somebody else, or is damaged."""

from __future__ import annotations

import time

SLACK = 10.0  # seconds of a stream that may be missing at once, however little time has passed
HURRY = 8  # times what has come, and what the clock allows, that may be missing


class Clock:
    """Seconds since now. `time.monotonic` stands still while some systems sleep, and the time of day may be set: the
    one that went further counts.
    """

    def __init__(self) -> None:
        self._steady, self._day = time.monotonic(), time.time()

    def seconds(self) -> float:
        """Since the clock was made."""
        return max(time.monotonic() - self._steady, time.time() - self._day)


class Progress:
    """Counts what came of a stream, in frames or packets.

    first: where it began to come. rate: per second, when it is sent at its own pace. spare: how many may always be
    missing. A stream may be sent at any speed, so what came counts as well as the clock; what is only claimed does not.

    >>> progress = Progress(500, 1000.0, 100)
    >>> progress.latest() // 100
    106
    >>> progress.came(200)
    >>> progress.latest() // 100
    122
    """

    def __init__(self, first: int, rate: float, spare: int):
        self._clock, self._first, self._rate, self._spare = Clock(), first, rate, spare
        self._came, self._at = 0.0, 0.0

    def came(self, count: float) -> None:
        """So many more have come."""
        if count:
            self._came += count
            self._at = self._clock.seconds()

    def latest(self) -> int:
        """The last that can have been sent by now."""
        speed = max(self._rate, self._came / max(self._at, 1.0))
        allowed = self._rate * SLACK + HURRY * (self._came + speed * self._clock.seconds())
        return self._first + self._spare + int(allowed)

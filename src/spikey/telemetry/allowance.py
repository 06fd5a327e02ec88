"""The budget: how many bits the next packet may have.

Three bounds hold after every packet: bits may run ahead of the budget by the buffer's bits and no more (a leaky
bucket: a radio of the budget's rate that begins with a full buffer would send them in time), every second has no more
bits than the budget gives for a second, and so has the stream from its beginning.
"""

from __future__ import annotations

from collections import deque

from spikey.telemetry.packet import MAGIC
from spikey.telemetry.settings import LEAST_PACKETS, Settings, Shape

# Up to how full the buffer may get with each purpose: detail goes before events do.
DETAIL, POWER, EVENTS = 0.5, 0.75, 1.0
AIM = 0.3  # how full it should be


class Allowance:
    """Bits of packets of `Shape.frames`, for a budget.

    >>> from spikey.telemetry.settings import shape_of
    >>> allowance = Allowance(Settings(), shape_of(Settings(), 1024, 20_000))
    >>> allowance.room(EVENTS), allowance.most
    (718, 10000)
    """

    def __init__(self, settings: Settings, shape: Shape):
        seconds = shape.frames / shape.rate
        self.packet = settings.budget * seconds  # bits in the time of a packet
        self.most = int(max(settings.budget * settings.buffer_ms / 1000, LEAST_PACKETS * self.packet))
        self.held = float(self.most) + 8 * len(MAGIC)  # bits in the buffer, a file's first ones included
        count = max(int(1 / seconds), LEAST_PACKETS)
        self._window: deque[int] = deque(maxlen=count - 1)
        self._recent = 0
        self._second = max(int(settings.budget), int(count * self.packet))

    def room(self, purpose: float) -> int:
        """Bits that the next packet may have with what it says for a purpose."""
        kept = (1 - purpose) * self.most  # for what goes before it
        return int(min(self.packet + self.most - self.held, self._second - self._recent) - kept)

    def spend(self, bits: int) -> None:
        """A packet of so many bits goes out."""
        self.held = max(self.held + bits - self.packet, 0.0)
        if len(self._window) == self._window.maxlen:
            self._recent -= self._window[0]
        self._window.append(bits)
        self._recent += bits

    @property
    def fullness(self) -> float:
        """Of the buffer, from 0 to 1."""
        return self.held / self.most

"""Rate control: how many bits the next packet may have within the budget.

Three bounds hold after every packet. The bits run ahead of the budget by at most the size of the buffer (a leaky
bucket: a radio at the budget's rate sends them in time). Every second has at most the bits that the budget allows for a
second. So does the stream since its beginning, except for a burst of crossings, for which later packets compensate. Key
packets and the mandatory parts of a packet are sent regardless of the bounds, so the rest stays below them.
"""

from __future__ import annotations

from collections import deque

from spikey.telemetry.packet import MAGIC
from spikey.telemetry.schedule import COPIES, PART
from spikey.telemetry.settings import LEAST_PACKETS, PROFILE_BITS, Settings, Shape

# How full the buffer may get with each purpose: detail is dropped before crossings are.
DETAIL, POWER, EVENTS = 0.5, 0.75, 1.0
LAST_BITS = 100  # of an empty packet
DRAINED = 0.99  # fraction of the budget at which the buffer drains, so that the bound on a second is rarely reached
AIM = 0.3  # how full it should be


class RateControl:
    """A leaky bucket for the bits of packets of `Shape.frames`, with a budget.

    >>> from spikey.telemetry.settings import shape_of
    >>> control = RateControl(Settings(), shape_of(Settings(), 1024, 20_000))
    >>> control.room(EVENTS, 15), control.room(DETAIL, 15)
    (7742, 426)
    """

    def __init__(self, settings: Settings, shape: Shape):
        self._rate = settings.budget / shape.rate  # bits a frame
        self._packet = self._rate * shape.frames
        self.most = int(max(settings.budget * settings.buffer_ms / 1000, LEAST_PACKETS * self._packet))  # of the buffer
        self.held = AIM * self.most  # bits in it
        count = max(int(shape.rate / shape.frames), LEAST_PACKETS)
        self._window: deque[int] = deque(maxlen=count - 1)
        self._recent = 0
        self._second = max(int(settings.budget), int(count * self._packet))
        self._total = 8 * len(MAGIC)
        self._reserve = 2 * (PROFILE_BITS // COPIES * min(PART, shape.channels) + LAST_BITS + 8 * settings.tag_bytes)

    def room(self, purpose: float, frames: int) -> int:
        """Bits that the next packet may have, including a purpose; frames: frame of the stream at which it ends."""
        ahead = DRAINED * self._packet + purpose * self.most - self.held
        limit = self._second - self._recent
        if purpose < EVENTS:
            limit = min(limit, int(self._rate * frames) - self._total)
        return int(min(ahead, limit - (1 - purpose) * self._reserve))

    def spend(self, bits: int) -> None:
        """Account for a packet of so many bits."""
        self._total += bits
        self.held = max(self.held + bits - DRAINED * self._packet, 0.0)
        if len(self._window) == self._window.maxlen:
            self._recent -= self._window[0]
        self._window.append(bits)
        self._recent += bits

    @property
    def fullness(self) -> float:
        """Of the buffer, from 0 to 1."""
        return self.held / self.most

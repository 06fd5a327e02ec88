"""Which power, LFP and profiles each packet contains, determined by its number, so that no packet encodes it.

Packet n covers frames n * F to (n + 1) * F. Channels take turns, so that packets are of similar size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from spikey.telemetry.settings import Shape

PART = 8  # channels whose profiles are sent together
COPIES = 2  # of each profile
LONG = 0.1  # seconds, of a packet that contains its own profile
FIRST_EPOCH = 1 / 8  # of an epoch; each is twice as long as the one before, up to the full length


@dataclass(frozen=True)
class Schedule:
    """The schedule of a stream with a shape."""

    shape: Shape

    @cached_property
    def parts(self) -> int:
        """Number of parts in which the channels' profiles are sent."""
        return -(-self.shape.channels // PART)

    def epoch(self, packet: int) -> tuple[int, int, int]:
        """Number, first packet and length in packets of the epoch that a packet is in.

        >>> from spikey.telemetry.settings import Settings, shape_of
        >>> schedule = Schedule(shape_of(Settings(), 64, 20_000))
        >>> schedule.epoch(0), schedule.epoch(1000)
        ((0, 0, 666), (1, 666, 1332))
        """
        return _epoch(self.shape.epoch, self.parts, packet)

    def profiles(self, packet: int) -> list[int]:
        """The parts of the next epoch's profile that are in a packet: each twice, in the second half of an epoch."""
        _, start, length = self.epoch(packet)
        at, total = packet - start - length // 2, COPIES * self.parts
        if at < 0:
            return []
        left = length - length // 2
        first, end = -(-at * total // left), -(-(at + 1) * total // left)
        return [i % self.parts for i in range(first, min(end, total))]

    def measures(self, packet: int) -> bool:
        """Whether the next epoch's profile is measured before this packet: in the middle of each epoch."""
        _, start, length = self.epoch(packet)
        return packet == start + length // 2

    def opens(self, packet: int) -> bool:
        """Whether a packet begins an epoch, and is a key."""
        return packet == self.epoch(packet)[1]

    @property
    def at_once(self) -> bool:
        """Whether packets are so long that the first one contains its own profile."""
        return self.shape.frames >= LONG * self.shape.rate

    def power(self, packet: int, end: int) -> list[tuple[int, int, int]]:
        """Spike-band power in a packet that ends with a frame: bin, first and end channel of each span.

        The channels of a bin are spread over half of the next bin.
        """
        width = self.shape.bin
        if width == 0:
            return []
        return self._turns(packet, end, width, width // 2)

    def blocks(self, packet: int, end: int) -> list[tuple[int, int, int]]:
        """Blocks of the LFP band in such a packet: turn, first and end channel; the block ends with the turn.

        The blocks of channel c end c / channels of a block's length after those of channel 0.
        """
        if self.shape.coefficients == 0:
            return []
        return self._turns(packet, end, self.shape.block, self.shape.block)

    def _turns(self, packet: int, end: int, period: int, spread: int) -> list[tuple[int, int, int]]:
        """Channels in a packet, for turns 1, 2, ... at multiples of a period; channel c is due c / channels of `spread`
        later.
        """
        channels, frames = self.shape.channels, self.shape.frames
        begin = packet * frames  # what is due after this, up to `end`
        found = []
        for turn in range(max((begin - spread) // period, 0), end // period + 1):
            if turn == 0 and spread < period:
                continue
            due = turn * period
            first = min(max((begin - due) * channels // spread + 1, 0), channels)
            last = min(max((end - due) * channels // spread + 1, 0), channels)
            if turn == 0:  # whose channel 0 is due at frame 0, before which there is no block
                first = max(first, 1)
            if first < last:
                found.append((turn, first, last))
        return found

    def block_ends(self, turn: np.ndarray, channel: np.ndarray) -> np.ndarray:
        """Samples of the LFP band before the end of channels' blocks, int64 (n,) each."""
        shape = self.shape
        due = turn * shape.block + (channel * shape.block + shape.channels - 1) // shape.channels
        return due // shape.decimation


@lru_cache(maxsize=4)  # each packet asks several times
def _epoch(whole: int, parts: int, packet: int) -> tuple[int, int, int]:
    length = min(max(int(whole * FIRST_EPOCH), 2 * COPIES * parts), whole)
    number, start = 0, 0
    while length < whole:
        if packet < start + length:
            return number, start, length
        number, start, length = number + 1, start + length, min(2 * length, whole)
    later = (packet - start) // whole
    return number + later, start + later * whole, whole


def channels_of(spans: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """The channels of spans (turn, first, end), int64 (n,), and the turn of each."""
    if not spans:
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing
    if len(spans) == 1:  # most packets; faster
        ((turn, first, end),) = spans
        return np.arange(first, end), np.full(end - first, turn)
    channels = np.concatenate([np.arange(first, end) for _, first, end in spans])
    return channels, np.repeat([turn for turn, _, _ in spans], [end - first for _, first, end in spans])

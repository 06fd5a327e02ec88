"""One group of channels at a decoder: its packets in order, and whether a key packet fits the groups there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from spikey.base.errors import DataError
from spikey.stream.channels import ChannelStates
from spikey.stream.packet import Description, Packet

NUMBERS = 0xFFFFFFFF  # packets are numbered modulo 2^32
HALF = 1 << 31
SAME = ("channels", "rate", "dtype", "first_channel", "count")  # in all key packets of a group


@dataclass
class Group:
    """One group's state; `frame` is the first that is neither delivered nor reported missing."""

    description: Description
    expected: int
    states: ChannelStates | None = None
    frame: int = 0
    alive: bool = False
    ended: bool = False
    waiting: dict[int, Packet] = field(default_factory=dict)

    def ahead(self, number: int) -> int:
        """How many packets a number is ahead of the expected one; from HALF on it is behind."""
        return (number - self.expected) & NUMBERS

    def put(self, packet: Packet) -> bool:
        """Whether a packet is taken: not where its turn is over, or it came before."""
        if self.ahead(packet.number) >= HALF or packet.number in self.waiting:
            return False
        self.waiting[packet.number] = packet
        return True

    def release(self, wait: int) -> Iterator[tuple[Packet, int]]:
        """Packets whose turn it is, each with the number of packets lost before it; `wait`: as of `Decoder`."""
        while self.waiting:
            ahead = sorted(map(self.ahead, self.waiting))
            if ahead[0] and ahead[-1] < wait:
                return
            packet = self.waiting.pop((self.expected + ahead[0]) & NUMBERS)
            self.expected = (packet.number + 1) & NUMBERS
            yield packet, ahead[0]

    def missing(self) -> list[int]:
        """Numbers of packets that are missing and still waited for."""
        farthest = max(map(self.ahead, self.waiting), default=0)
        numbers = ((self.expected + ahead) & NUMBERS for ahead in range(farthest))
        return [number for number in numbers if number not in self.waiting]

    def continues(self, fresh: Description) -> bool:
        """Whether the description of a key packet continues the group."""
        same = all(getattr(fresh, name) == getattr(self.description, name) for name in SAME)
        return same and fresh.first_frame >= self.frame


def raw_samples(description: Description, packet: Packet) -> np.ndarray:
    """The samples of a raw packet."""
    dtype = np.dtype(description.dtype)
    if len(packet.body) != packet.frames * description.count * dtype.itemsize:
        raise DataError("a packet of plain samples is of a wrong size")
    samples = np.frombuffer(packet.body, dtype=dtype.newbyteorder("<")).astype(dtype)
    return samples.reshape(packet.frames, description.count)


def disjoint(one: Description, other: Description) -> bool:
    """Whether two groups share no channel."""
    first, second = sorted([(one.first_channel, one.count), (other.first_channel, other.count)])
    return first[0] + first[1] <= second[0]


def uncovered(groups: Iterable[Group], channels: int) -> Iterator[tuple[int, int]]:
    """First channel and number of the channels of which no key packet ever came."""
    spans = sorted((group.description.first_channel, group.description.count) for group in groups)
    at = 0
    for first, count in [*spans, (channels, 0)]:
        if first > at:
            yield at, first - at
        at = max(at, first + count)

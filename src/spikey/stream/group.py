"""One group of channels at a decoder: its packets in order, and whether a key packet fits the groups there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from spikey.base.errors import DataError
from spikey.stream.channels import ChannelStates
from spikey.stream.packet import LAST, NUMBERS, Description, Packet

HALF = 1 << 31
SAME = ("channels", "rate", "dtype", "first_channel", "count")  # in all key packets of a group


@dataclass
class Group:
    """One group's state; `frame` is the first that is neither delivered nor reported missing.

    expected: the whole number of the packet that comes next. far: one that is farther ahead than any can be that has
    only been overtaken; a single one may be a stranger's, and for it nothing is given up. silent_from: the number from
    which on packets were given up, while no key has come since.
    """

    description: Description
    expected: int
    states: ChannelStates | None = None
    frame: int = 0
    alive: bool = False
    ended: bool = False
    waiting: dict[int, Packet] = field(default_factory=dict)
    far: Packet | None = None
    silent_from: int | None = None

    def ahead(self, number: int) -> int:
        """How many packets a number is ahead of the expected one; from HALF on it is behind."""
        return (number - self.expected) & NUMBERS

    def whole(self, number: int) -> int:
        """A packet's whole number, which is taken to be near the expected one."""
        ahead = self.ahead(number)
        return self.expected + (ahead if ahead < HALF else ahead - NUMBERS - 1)

    def is_new(self, packet: Packet) -> bool:
        """Whether a packet's turn is not over, and it did not come before."""
        return self.ahead(packet.number) < HALF and packet.number not in self.waiting

    def put(self, packet: Packet, most: int | None = None) -> bool:
        """Whether a packet is taken: not where its turn is over, or it came before.

        most: packets from which on one ahead needs a second one near it; None where every packet is the sender's.
        """
        ahead = self.ahead(packet.number)
        if ahead >= HALF:
            if most is None or not self._goes_back(packet):
                return False
            self.expected, self.silent_from, self.far = self.whole(packet.number), None, None
            self.waiting.clear()
        elif packet.number in self.waiting:
            return False
        elif most is not None and ahead - max(map(self.ahead, self.waiting), default=0) >= most:
            first, self.far = self.far, packet
            if first is None or not 0 < abs(self.whole(packet.number) - self.whole(first.number)) < most:
                return first is None or first.number != packet.number
            self.waiting[first.number], self.far = first, None
        self.waiting[packet.number] = packet
        return True

    def _goes_back(self, packet: Packet) -> bool:
        """Whether a packet is a key that was given up, with none after it: what it was given up for was not true."""
        if self.silent_from is None or packet.description is None or self.whole(packet.number) < self.silent_from:
            return False
        return self.continues(packet.description)

    def release(self, wait: int) -> Iterator[tuple[Packet, int]]:
        """Packets whose turn it is, each with the number of packets lost before it; `wait`: as of `Decoder`."""
        while self.waiting:
            ahead = sorted(map(self.ahead, self.waiting))
            if ahead[0] and ahead[-1] < wait:
                return
            packet = self.waiting.pop((self.expected + ahead[0]) & NUMBERS)
            if packet.description is not None:
                self.silent_from = None
            elif ahead[0] and self.silent_from is None:
                self.silent_from = self.expected
            self.expected += ahead[0] + 1
            yield packet, ahead[0]

    def release_all(self) -> Iterator[tuple[Packet, int]]:
        """`release`, where nothing more comes: an end packet counts without a second one."""
        if self.far is not None and self.far.flags & LAST and self.ahead(self.far.number) < HALF:
            self.waiting.setdefault(self.far.number, self.far)
        yield from self.release(0)

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

"""The reorder buffer: packets in the order of their numbers; early ones wait, duplicates are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from spikey.telemetry.packet import Packet
from spikey.telemetry.verifier import number_near

Item = TypeVar("Item")


class ReorderBuffer(Generic[Item]):
    """Items in the order of their packets' numbers. At most `hold` wait for a missing one, which is then given up.

    next: number of the next packet.

    >>> buffer = ReorderBuffer(hold=1)
    >>> buffer.put(0, "a"), buffer.put(2, "c"), list(buffer.take())
    (True, True, [(0, 'a')])
    >>> buffer.put(3, "d"), list(buffer.take())
    (True, [(2, 'c'), (3, 'd')])
    """

    def __init__(self, hold: int, first: int = 0):
        self.next = first
        self._hold = hold
        self._held: dict[int, Item] = {}

    def number(self, packet: Packet) -> int:
        """A packet's whole number: key packets contain it, for others it is the value nearest to `next`."""
        return number_near(packet, self.next)

    def put(self, number: int, item: Item) -> bool:
        """Store an item; False if it is late or a duplicate."""
        if number < self.next or number in self._held:
            return False
        self._held[number] = item
        return True

    def take(self, *, everything: bool = False) -> Iterator[tuple[int, Item]]:
        """Yield the numbers and items that are in order; `everything`: also those that wait."""
        while self._held:
            number = self.next
            if number not in self._held:
                if len(self._held) <= self._hold and not everything:
                    return
                number = min(self._held)
            item = self._held.pop(number)
            self.next = number + 1
            yield number, item

"""The reorder buffer: packets in the order of their numbers; those that came too soon wait, duplicates are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from spikey.telemetry.packet import Packet
from spikey.telemetry.verifier import number_near

Item = TypeVar("Item")


class ReorderBuffer(Generic[Item]):
    """Items in the order of their packets' numbers. At most `hold` wait for a missing one, which then is given up.

    next: the number of the packet that comes next.

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
        """A packet's number, not modulo anything: keys contain it, others are taken to be near the next one."""
        return number_near(packet, self.next)

    def put(self, number: int, item: Item) -> bool:
        """Whether an item is taken: not where its turn is over, or it came before."""
        if number < self.next or number in self._held:
            return False
        self._held[number] = item
        return True

    def take(self, *, everything: bool = False) -> Iterator[tuple[int, Item]]:
        """Numbers and items whose turn it is; `everything`: nothing waits any more."""
        while self._held:
            number = self.next
            if number not in self._held:
                if len(self._held) <= self._hold and not everything:
                    return
                number = min(self._held)
            item = self._held.pop(number)
            self.next = number + 1
            yield number, item

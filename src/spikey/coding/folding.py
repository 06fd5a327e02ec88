"""A code as its distance from the predicted one, folded into a small number: 0, -1, 1, -2, 2, ... become 0, 1, 2, 3, 4.

Where the alphabet ends on one side, only the other side is counted on, so that a folded residual is always smaller
than the alphabet. For coders that know nothing finer than whole codes.
"""

from __future__ import annotations

from spikey.base.jit import entry, generic, inlined
from spikey.model.density import LOCATION_BITS, Narrow, Wide
from spikey.model.fixed_point import POSITION_BITS, UNIT

RAW_BITS = 20  # of a code that is written as it is


@generic
def alphabet(density):
    """The number of codes."""


@alphabet.register(Narrow)
def _alphabet_narrow(density):
    return density.middles.shape[0]


@alphabet.register(Wide)
def _alphabet_wide(density):
    return density.size[0]


@generic
def nearest(density, location):
    """The code at a location in 1/64 LSB, or the outermost."""


@nearest.register(Narrow)
def _nearest_narrow(density, location):
    cell = (location + UNIT // 2) >> LOCATION_BITS
    return entry(density.located, min(max(cell, 0), density.located.shape[0] - 1))


@nearest.register(Wide)
def _nearest_wide(density, location):
    return min(max((location + UNIT // 2) >> POSITION_BITS, 0), density.size[0] - 1)


@inlined
def fold(code, centre, codes):
    """The rank of `code` by its distance from `centre`, 0 to codes - 1."""
    distance = code - centre
    room = min(centre, codes - 1 - centre)
    if distance > room or -distance > room:
        return abs(distance) + room
    return 2 * distance if distance >= 0 else -2 * distance - 1


@inlined
def unfold(folded, centre, codes):
    """The code that `fold` gave `folded`; a code of the alphabet whatever is given."""
    room = min(centre, codes - 1 - centre)
    if folded > 2 * room:
        code = centre + folded - room if room == centre else centre - folded + room
    else:
        code = centre + (folded >> 1) if folded & 1 == 0 else centre - ((folded + 1) >> 1)
    return min(max(code, 0), codes - 1)

"""Crossings on neighbouring channels: a spike that several electrodes record crosses the threshold on them together.

The neighbours of a channel are channels at certain distances before it in the file (`Shape.distances`). If one of them
has a crossing with no counterpart on the channel yet, tables give the probability of a crossing, and its place, instead
of the profile.
"""

from __future__ import annotations

from spikey.base.jit import inlined, kernel
from spikey.telemetry.symbols import even, flag, signed, symbol
from spikey.telemetry.syntax import (
    BURST_ROW,
    NEAR_POWER_ROWS,
    NEAR_POWERS,
    NEAR_ROWS,
    PLACE_ROWS,
    TRENDS,
    ZONES,
    code_coarse,
)

NEVER = -(1 << 40)  # a place long before the packet
BEFORE = 4  # neighbours' crossings count from a quarter of a slot before its beginning
APART = 2  # crossings of two channels within half a slot belong together
STEEP = 3  # largest difference of the two nearest neighbours' places in the contexts


@inlined
def nearby(distances, latest, c, base, places):
    """The crossings of a channel's two nearest neighbours that lie near a slot and belong to none of the channel's own.

    latest int64 (channels,): places of the latest crossings of the packet. base: place with which the slot begins.
    Returns how many there are (0 to 2), the rank of the first neighbour, and both places.
    """
    own = latest[c] - base
    seen, rank, first, second = 0, 0, 0, 0
    for i in range(distances.shape[0]):
        if distances[i] > c:
            continue
        place = latest[c - distances[i]] - base
        if BEFORE * place < -places or APART * abs(place - own) <= places:
            continue
        if seen == 0:
            seen, rank, first = 1, i, place
        else:
            seen, second = 2, place
            break
    return seen, rank, first, second


@inlined
def _context(seen, first, second, places):
    """Zone of the slot with the nearest neighbour's crossing, 0 to 8, and its delay after the next one's, 0 to 7."""
    zone = 0 if first < 0 else 1 + (ZONES - 1) * first // places
    trend = 0 if seen == 1 else min(max(first - second, -STEEP), STEEP) + STEEP + 1
    return zone, trend


@inlined
def _near_row(rank, zone, trend):
    """The row for whether there is a crossing."""
    steep = 0 if trend == 0 else (1 if trend <= STEEP else (2 if trend <= STEEP + 2 else 3))
    return NEAR_ROWS + (min(rank, 2) * 4 + steep) * ZONES + zone


@kernel
def code_near_events(coder, tables, rates, burst, places, distances, latest, found):
    """Code the crossings of a packet as `code_events` does, but near neighbours' crossings with tables.

    distances int64 (n,): of neighbours. latest int64 (channels,): scratch.
    """
    burst[0] = symbol(coder, tables, BURST_ROW, burst[0])
    latest[:] = NEVER
    for slot in range(found.shape[0]):
        base = slot * places
        for c in range(found.shape[1]):
            seen, rank, first, second = nearby(distances, latest, c, base, places)
            if seen == 0:
                if flag(coder, tables, max(rates[c] - 2 * burst[0], 0), found[slot, c]) != 0:
                    found[slot, c] = 1 + even(coder, places, found[slot, c] - 1)
                else:
                    found[slot, c] = 0
            else:
                zone, trend = _context(seen, first, second, places)
                if symbol(coder, tables, _near_row(rank, zone, trend), min(found[slot, c], 1)) != 0:
                    later = signed(coder, tables, PLACE_ROWS + zone * TRENDS + trend, found[slot, c] - 1 - first)
                    found[slot, c] = 1 + min(max(first + later, 0), places - 1)
                else:
                    found[slot, c] = 0
            if found[slot, c] != 0:
                latest[c] = base + found[slot, c] - 1


@kernel
def code_near_power(coder, tables, coarse, which, values):
    """Code power as `code_power` does, each value with a row chosen by the channel before, if that was just coded."""
    code_coarse(coder, tables, coarse)
    for i in range(values.shape[0]):
        near = NEAR_POWERS - 1
        if i > 0 and which[i] == which[i - 1] + 1:
            near = min(max(values[i - 1] + NEAR_POWERS // 2 - 1, 0), NEAR_POWERS - 2)
        values[i] = signed(coder, tables, NEAR_POWER_ROWS + coarse[0] * NEAR_POWERS + near, values[i])


@kernel
def count_lone(places, distances, latest, found, counts):
    """Add to counts int64 (channels,) the crossings with none of a neighbour near them."""
    latest[:] = NEVER
    for slot in range(found.shape[0]):
        base = slot * places
        for c in range(found.shape[1]):
            if found[slot, c] != 0:
                seen, _, _, _ = nearby(distances, latest, c, base, places)
                if seen == 0:
                    counts[c] += 1
                latest[c] = base + found[slot, c] - 1

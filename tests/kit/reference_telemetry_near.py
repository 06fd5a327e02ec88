"""Telemetry of channels with neighbours, for `kit.reference_telemetry`; from docs/telemetry.md alone."""

from __future__ import annotations

from kit.reference import clamp

NEAR_ROWS, PLACE_ROWS, KIND_ROWS, SHIFT_ROWS, GAIN_ROWS, OWN_TROUGH_ROW, OWN_ROWS, NEAR_POWER_ROWS = (
    3706, 3814, 3886, 3950, 3958, 3982, 3983, 4463,
)  # fmt: skip
ROOTS = (65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194)
OWN, OUT, SCALED = 0, 1, 2


def near_places(coder, d, start, rates):
    """First frames and channels of the places that are taken; rates: classes."""
    found, latest = [], {}
    for s in range(d.slots):
        first_place = s * d.places
        for c in range(d.channels):
            own = latest.get(c)
            near = []
            for i, distance in enumerate(d.distances):
                place = latest.get(c - distance)
                if place is None or 4 * (place - first_place) < -d.places:
                    continue
                if own is None or 2 * abs(place - own) > d.places:
                    near.append((i, place - first_place))
            if not near:
                place = coder.evenly(d.places) if coder.flag(rates[c]) else None
            else:
                i, a = near[0]
                zone = 0 if a < 0 else 1 + 8 * a // d.places
                trend = clamp(a - near[1][1], -3, 3) + 4 if len(near) > 1 else 0
                steep = (0, 1, 1, 1, 2, 2, 3, 3)[trend]
                place = None
                if coder.symbol(NEAR_ROWS + (4 * min(i, 2) + steep) * 9 + zone):
                    place = clamp(a + coder.signed(PLACE_ROWS + 8 * zone + trend), 0, d.places - 1)
            if place is not None:
                latest[c] = first_place + place
                found.append((start + s * d.slot + place * d.resolution, c))
    return found


def footprints(coder, d, due, read):
    """Waveforms (crossing, channel, trough, samples, whether scaled) of events (crossing, channel) that are due."""
    half = d.resolution // 2
    at = {((f - half) // d.slot, c): i for i, (f, c) in enumerate(due)}

    def neighbours(i):
        """Ranks and waveforms of neighbours that may be of the same spike."""
        f, c = due[i]
        for k in range(2 * len(d.distances)):
            distance = d.distances[k // 2]
            for slot in (0, -1, 1):
                j = at.get(((f - half) // d.slot + slot, c + (distance if k % 2 else -distance)))
                if j is not None and 2 * abs(due[j][0] - f) <= d.slot:
                    yield k, j
                    break

    plan = coder.evenly(5)
    if plan == 4:
        return []
    kinds, found = [], {}
    for i, (f, c) in enumerate(due):
        others = [j for _, j in neighbours(i)]
        earlier = sum(due[j][0] < f for j in others)
        own = any(j < i and kinds[j] == OWN for j in others)
        later = any(j > i for j in others)
        kinds.append(coder.symbol(KIND_ROWS + 16 * plan + 4 * min(earlier, 3) + 2 * own + later))
        if kinds[i] == OWN:
            trough = f + coder.symbol(OWN_TROUGH_ROW)
            found[i] = (f, c, trough, read(c), False)
    for i, (f, c) in enumerate(due):
        if kinds[i] != SCALED:
            continue
        rank, j = next((k, j) for k, j in neighbours(i) if kinds[j] == OWN)
        _, _, trough, wave, _ = found[j]
        offset = coder.symbol(SHIFT_ROWS + clamp(trough - f + 1, 0, 7))
        near = 0 if rank < 2 else 1 if rank < 4 else 2
        gain = coder.symbol(GAIN_ROWS + 8 * near + clamp(f - due[j][0] + 3, 0, 7))
        eighths = 8 * (2 + 16) - 4 * gain
        factor = ROOTS[eighths % 8] * 2 ** (eighths // 8) >> 16
        found[i] = (f, c, f + offset, [v * factor + 2**15 >> 16 for v in wave], True)
    return [found[i] for i in sorted(found)]

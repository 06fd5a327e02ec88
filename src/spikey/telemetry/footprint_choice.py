"""Which waveforms of a packet are sent in full, which as scaled copies of a neighbour's, and which are left out."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import inlined, kernel
from spikey.telemetry.basis import WORTH, quantise_waves, wave_step
from spikey.telemetry.footprint import (
    ABSENT,
    GAIN_BITS,
    GAINS,
    OWN,
    SCALED,
    code_footprints,
    gain_of,
    gain_row,
    neighbour_of,
    shift_row,
    source_of,
)
from spikey.telemetry.payload import Payload
from spikey.telemetry.pending import Weak
from spikey.telemetry.settings import Shape
from spikey.telemetry.symbols import COST_BITS, Meter, Tables, spent
from spikey.telemetry.syntax import MOST_OCTAVES, OWN_COMPONENTS, OWN_TROUGH_ROW, STEPS, code_wave, quality_of

PLAN_BITS = 3
EIGHTHS = 8  # steps in which the number of waveforms sent in full is reduced


@inlined
def _best_gain(wave, steps, size):
    """The index of the gain with the smallest squared error between a source and a waveform, and this error."""
    size <<= min(np.int64(steps[0]), MOST_OCTAVES)
    best, least = 0, np.float64(np.inf)
    for g in range(GAINS):
        gain, error = gain_of(g), np.float64(0)
        for k in range(wave.shape[0]):
            away = np.float64(wave[k] - ((np.int64(steps[k + 1]) * size * gain) >> GAIN_BITS))
            error += away * away
        if error >= least:
            break
        best, least = g, error
    return best, least


@kernel
def choose_footprints(
    meter, tables, profile, channels, frames, links, order, most, values, size, plan, kinds, offsets, waves, gains
):  # fmt: skip
    """Choose kinds, gains and steps of waveforms for a size of steps; returns the bits.

    order int64 (w,): waveforms by energy, the largest first, of which `most` may be sent in full. values int32
    (w, components): coefficients. Others as in `code_footprints`.

    A waveform is sent as a scaled copy where the bits that this saves are worth the error.
    """
    quality = quality_of(size[0])
    quantise_waves(tables, profile, channels, values, quality, waves)
    kinds[:] = ABSENT
    for at in range(order.shape[0]):
        i = order[at]
        j, rank = source_of(links, kinds, i)
        if j < 0:
            if at < most:
                kinds[i] = OWN
            continue
        g, error = _best_gain(values[i], waves[j], wave_step(profile[channels[j]], quality))
        kinds[i] = SCALED
        if at >= most:
            continue
        code_wave(meter, tables, quality, waves[i], OWN_COMPONENTS)
        bits = meter.spent[0] + tables.cost[OWN_TROUGH_ROW, offsets[i]]
        meter.spent[0] = 0
        bits -= tables.cost[gain_row(frames[i] - frames[j], rank), g]
        bits -= tables.cost[shift_row(frames[j] + offsets[j] - frames[i]), offsets[i]]
        step = wave_step(profile[channels[i]], quality)
        coarser = step << min(np.int64(waves[i, 0]), MOST_OCTAVES)
        for k in range(values.shape[1]):
            away = np.float64(values[i, k] - np.int64(waves[i, k + 1]) * coarser)
            error -= away * away
        worth = WORTH / 65536 * np.float64(step) * np.float64(step)
        if error > worth * np.float64(bits) / (1 << COST_BITS):
            kinds[i] = OWN
    absent = 0
    for i in range(kinds.shape[0]):
        if kinds[i] == SCALED:
            j, _ = source_of(links, kinds, i)
            g, _ = _best_gain(values[i], waves[j], wave_step(profile[channels[j]], quality))
            gains[i] = g
        absent += 1 if kinds[i] == ABSENT else 0
    plan[0] = 0 if absent == 0 else (4 if absent == kinds.shape[0] else 1 + 3 * absent // kinds.shape[0])
    code_footprints(meter, tables, size, plan, links, frames, kinds, offsets, waves, gains)
    return spent(meter)


@kernel
def mark_alone(distances, slot, channels, frames, troughs, of_weak, alone):
    """Set alone uint8 (v,) to 0 for weak spikes next to a neighbour's crossing: they belong to its footprint.

    channels, frames int64 (w,): of crossings in order. troughs, of_weak int64 (v,): frames and channels of weak
    events.
    """
    for e in range(troughs.shape[0]):
        alone[e] = 1
        for k in range(2 * distances.shape[0]):
            c = neighbour_of(distances, of_weak[e], k)
            for at in range(troughs[e] // slot - 1, troughs[e] // slot + 2):
                low, high = 0, channels.shape[0]
                while low < high:
                    middle = (low + high) >> 1
                    before = frames[middle] // slot < at or (frames[middle] // slot == at and channels[middle] < c)
                    low, high = (middle + 1, high) if before else (low, middle)
                if low < channels.shape[0] and channels[low] == c and 2 * abs(frames[low] - troughs[e]) <= slot:
                    alone[e] = 0


def alone(payload: Payload, shape: Shape, weak: Weak) -> np.ndarray:
    """Which weak spikes do not belong to the footprint of a crossing whose waveform is in the packet: uint8 (n,)."""
    there = np.ones(len(weak.troughs), dtype=np.uint8)
    if shape.distances:
        of_waves = payload.wave_channels, payload.wave_frames
        mark_alone(shape.near, shape.slot, *of_waves, weak.troughs, weak.channels, there)
    return there


class Footprints:
    """The waveforms of a packet, measured with a meter for increasing step sizes until they fit.

    values int32 (w, components): coefficients of the waveforms that are due by the payload.
    """

    def __init__(self, meter: Meter, tables: Tables, profile: np.ndarray, payload: Payload, values: np.ndarray):
        energy = (values.astype(np.float64) ** 2).sum(axis=1)
        self._order = np.argsort(-energy, kind="stable")
        self._given = meter, tables, profile, payload.wave_channels, payload.wave_frames, payload.links, self._order
        self._set = payload.plan, payload.absent, payload.offsets, payload.waves, payload.gains
        self._values, self._size = values, -1

    def bits(self, size: np.ndarray, left: int) -> int:
        """Choose kinds and steps for a size, int64 (1,), or the next coarser one that fits; returns the bits."""
        if not len(self._order):
            return 0
        bits = self._choose(size, len(self._order))
        while bits > left and size[0] < STEPS - 1:
            size[0] += 1
            bits = self._choose(size, len(self._order))
        self._size = int(size[0])
        return bits

    def coarser(self, size: np.ndarray) -> bool:
        """Whether the rest of the packet needs a coarser size than these bits were for; sets the next one to try."""
        if not len(self._order) or int(size[0]) == self._size:
            return False
        size[0] = (self._size + int(size[0]) + 1) // 2
        return True

    def _choose(self, size: np.ndarray, most: int) -> int:
        return int(choose_footprints(*self._given, most, self._values, size, *self._set))

    def fit(self, size: np.ndarray, left: int) -> int:
        """Leave out the weakest waveforms, and those that have no source, until the rest fits; returns the bits."""
        count = len(self._order)
        for eighth in range(EIGHTHS - 1, -1, -1):
            bits = self._choose(size, count * eighth // EIGHTHS)
            if bits <= left:
                break
        return bits

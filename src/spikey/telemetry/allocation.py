"""Bit allocation: which contents go into a packet, and in which steps; detail is dropped before crossings are."""

from __future__ import annotations

import numpy as np

from spikey.base.jit import kernel
from spikey.telemetry.basis import quantise_low, quantise_waves
from spikey.telemetry.footprint_choice import PLAN_BITS, Footprints
from spikey.telemetry.payload import Payload, code_crossings, code_powers, lone_events, places
from spikey.telemetry.pending import Pending, Weak
from spikey.telemetry.settings import Shape
from spikey.telemetry.symbols import Tables, meter, spent
from spikey.telemetry.syntax import (
    ABSENT,
    BURSTS,
    CODED,
    RATE,
    STEPS,
    WEAK,
    code_low,
    code_omitted,
    code_places,
    code_waves,
    code_weak_waves,
    quality_of,
    rough_quality_of,
)

OMITTED_BITS = 9
SIZE_BITS = 6
COARSER_FROM, COARSEST_FROM = 25, 32  # sizes from which power comes in steps of a quarter and half of an octave
MANY = 3  # times more crossings than usual, above which larger burst classes are tried


class Allocator:
    """Allocates a packet's bits with a meter, which adds up the cost of symbols instead of coding them."""

    def __init__(self, tables: Tables, shape: Shape):
        self.tables, self.shape = tables, shape
        self.meter = meter()
        self._bits = np.zeros(3, dtype=np.int64)
        self._many = np.zeros(0), 0.0  # a profile, and its `_expected`

    def events(self, payload: Payload, pending: Pending, profile: np.ndarray, left: int) -> int:
        """Choose the burst class of the packet's crossings, and drop those that do not fit; returns the bits.

        Crossings of the most active channels carry the least information each, so they are dropped first.
        """
        frames, channels = pending.events.T
        cost = self._event_bits(payload, profile, len(frames))
        if cost > left:
            order, dropped = np.argsort(profile[channels, RATE], kind="stable"), 0
            while cost > left and dropped < len(order):
                some = order[dropped : dropped + max(len(order) // 16, 1)]
                payload.found[frames[some] // self.shape.slot, channels[some]] = 0
                dropped += len(some)
                cost = self._event_bits(payload, profile, len(frames) - dropped)
            payload.dropped[0] = dropped
            pending.drop_waveforms(pending.events[order[:dropped]])
        return cost

    def _event_bits(self, payload: Payload, profile: np.ndarray, events: int) -> int:
        """The bits of the crossings; sets the burst class that needs the fewest."""
        best, least, expected = 0, -1, self._expected(profile)
        if self.shape.distances:
            events = int(lone_events(self.shape, payload).sum())
        for burst in range(BURSTS):
            payload.burst[0] = burst
            code_crossings(self.meter, self.tables, self.shape, payload, profile)
            cost = int(spent(self.meter))
            if 0 <= least <= cost:
                break
            best, least = burst, cost
            if events <= expected:
                break
        payload.burst[0] = best
        return least

    def _expected(self, profile: np.ndarray) -> float:
        """How many crossings a packet may have before larger burst classes are tried."""
        if self._many[0] is not profile:
            self._many = profile, MANY * (1 + self.shape.slots * float((0.5 ** (profile[:, RATE] + 1.0)).sum()))
        return self._many[1]

    def least_bits(self, waves: int) -> int:
        """Bits needed to mark so many waveforms, and the weak spikes, as left out."""
        return SIZE_BITS + (PLAN_BITS if self.shape.distances else (ABSENT + 2) * waves)

    def power(self, payload: Payload, profile: np.ndarray, size: int, left: int) -> int:
        """Choose whether the power that is due is sent, and its steps, by the size; returns the bits."""
        if not len(payload.power):
            return 0
        payload.coarse[0] = (size >= COARSER_FROM) + (size >= COARSEST_FROM)
        payload.power >>= payload.coarse[0]
        code_omitted(self.meter, self.tables, payload.no_power)
        code_powers(self.meter, self.tables, self.shape, payload, profile)
        cost = int(spent(self.meter))
        if cost > left:
            payload.no_power[0], cost = 1, OMITTED_BITS
        return cost

    def detail(
        self,
        payload: Payload,
        waves: np.ndarray,
        low: np.ndarray,
        weak: Weak,
        profile: np.ndarray,
        size: int,
        left: int,
    ) -> tuple[int, int, int]:
        """Choose the steps of waveforms and LFP band, of a size or coarser, and which of them are left out.

        waves int32 (n, components), low int32 (m, coefficients): coefficients. weak: spikes in the order of their
        places, which are set. Returns the bits of waveforms, LFP band and weak spikes.
        """
        payload.low = np.zeros_like(low)
        payload.weak_waves = np.zeros((len(weak.troughs), CODED), dtype=np.int32)
        coding = self.meter, self.tables, profile
        here = slice(0 if self.shape.distances else None)  # none if footprints are coded instead
        of_waves = (
            payload.wave_channels[here],
            waves[here],
            payload.absent[here],
            payload.offsets[here],
            payload.waves[here],
        )
        of_low = payload.low_channels, low, payload.no_low, payload.low
        fixed = self._weak_bits(payload, profile)
        payload.size[0] = size
        of_weak = weak.channels, weak.coefficients, payload.weak_waves
        footprints = Footprints(self.meter, self.tables, profile, payload, waves) if self.shape.distances else None
        while True:
            room = left - SIZE_BITS - fixed
            bits_waves = footprints.bits(payload.size, room) if footprints else 0
            quantise_to_fit(*coding, *of_waves, *of_low, *of_weak, payload.size, room - bits_waves, self._bits)
            if footprints is None or not footprints.coarser(payload.size):
                break
        bits_waves, bits_low, bits_weak = bits_waves + int(self._bits[0]), *map(int, self._bits[1:])
        bits_low += SIZE_BITS
        bits_weak += fixed
        if bits_waves + bits_low + bits_weak > left and self.shape.weak:
            payload.no_weak[0], bits_weak = 1, OMITTED_BITS
            payload.weak_waves = payload.weak_waves[:0]
        if bits_waves + bits_low + bits_weak > left and len(low):
            payload.no_low[0], bits_low = 1, OMITTED_BITS + SIZE_BITS
        if bits_waves + bits_low + bits_weak > left and footprints:
            bits_waves = footprints.fit(payload.size, left - bits_low - bits_weak)
        elif bits_waves + bits_low + bits_weak > left:
            weakest = np.argsort((waves.astype(np.float64) ** 2).sum(axis=1), kind="stable")
            some = max(len(weakest) // 8, 1)
            for end in range(some, len(weakest) + some, some):
                payload.absent[weakest[:end]] = 1
                code_waves(*coding[:2], payload.size, payload.absent, payload.offsets, payload.waves)
                bits_waves = int(spent(self.meter))
                if bits_waves + bits_low + bits_weak <= left:
                    break
        return bits_waves, bits_low, bits_weak

    def _weak_bits(self, payload: Payload, profile: np.ndarray) -> int:
        """The bits of the places of weak spikes."""
        if not self.shape.weak:
            return 0
        code_omitted(self.meter, self.tables, payload.no_weak)
        code_places(self.meter, self.tables, profile[:, WEAK], 0, places(self.shape), payload.weak)
        return int(spent(self.meter))


@kernel
def quantise_to_fit(
    meter, tables, profile,
    wave_channels, wave_values, absent, offsets, waves,
    low_channels, low_values, no_low, low,
    weak_channels, weak_values, weak,
    size, left, bits,
):  # fmt: skip
    """Quantise waveforms and LFP band with the finest steps, of a size or coarser, that need no more bits than left.

    Sets size int64 (1,), and bits int64 (3,) to those of waveforms, LFP band and weak spikes' waveforms, with the
    coarsest steps if none are coarse enough.
    """
    while True:
        bits[0], bits[1], bits[2] = 0, 0, 0
        if absent.shape[0] > 0:
            quantise_waves(tables, profile, wave_channels, wave_values, quality_of(size[0]), waves)
            code_waves(meter, tables, size, absent, offsets, waves)
            bits[0] = spent(meter)
        if weak.shape[0] > 0:
            quantise_waves(tables, profile, weak_channels, weak_values, rough_quality_of(size[0]), weak)
            code_weak_waves(meter, tables, size, weak)
            bits[2] = spent(meter)
        if low.shape[0] > 0:
            quantise_low(tables, profile, low_channels, low_values, size[0], low)
            code_omitted(meter, tables, no_low)
            code_low(meter, tables, size, low)
            bits[1] = spent(meter)
        if bits[0] + bits[1] + bits[2] <= left or size[0] == STEPS - 1:
            return
        size[0] += 1

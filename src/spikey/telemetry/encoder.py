"""Frames in, telemetry packets out: what is kept of them is chosen packet by packet, within the budget."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from spikey.coding.range_coder import finish_lane, range_encoder
from spikey.errors import UsageError
from spikey.recording.levels import AFFINE, N1, N1_CODES, N1_VALUES, Levels
from spikey.stream.encoder import DTYPES
from spikey.telemetry import sections
from spikey.telemetry.allowance import AIM, DETAIL, EVENTS, POWER, Allowance
from spikey.telemetry.basis import (
    analyse_low,
    analyse_waves,
    level_of,
    quantise_low,
    quantise_waves,
    tables,
    transforms,
)
from spikey.telemetry.front import FOUND, FRAMES, ROOM, ROW, begin, front, snippets, take_in
from spikey.telemetry.logarithm import logarithms
from spikey.telemetry.packet import DROPPED, KEY, LAST, Description, described, head_bytes, write_packet
from spikey.telemetry.payload import Payload, code_detail, code_keys, code_news
from spikey.telemetry.profile import Habits, usual
from spikey.telemetry.schedule import PART, Schedule, channels_of
from spikey.telemetry.sections import BURSTS, COMPONENTS, QUALITIES, RATE, STEPS, code_low, code_omitted, code_waves
from spikey.telemetry.settings import BLOCK, Settings
from spikey.telemetry.symbols import Meter, meter, spent

SLACK = 24  # bits that ending a payload may take beyond what the meter says
OMITTED_BITS = 9
LOW_UNIT = 64  # the low band's units in a code
PULL = 6.0  # how strongly a full buffer coarsens the steps at once,
DRIFT = 0.05  # and how strongly with every packet
START = 20.0  # the first size of steps
PURPOSES = ("header", "keys", "events", "waveforms", "power", "low")


class Crossings(NamedTuple):
    """Events whose waveforms are not complete, int64 (n,) each.

    keys: slot of the stream times the number of channels, plus the channel. frames: of the stream. due: the frame after
    which the waveform is complete, by what the event tells.
    """

    keys: np.ndarray
    frames: np.ndarray
    due: np.ndarray


class Waves(NamedTuple):
    """Complete waveforms: keys int64 (n,), offsets uint8 (n,), coefficients int32 (n, components)."""

    keys: np.ndarray
    offsets: np.ndarray
    coefficients: np.ndarray


class TelemetryEncoder:
    """Encodes frames of many channels into packets of what matters, lossy, within a budget of bits.

    channels, rate (Hz), dtype: of the samples. settings: what to keep, and the budget. stream: a number of its own for
    the stream; None for a random one. `frames`, `events`, `dropped` (events, waveforms, values of power, blocks of the
    low band) and `spent` (bits by purpose) say what became of what was pushed.

    >>> import numpy, spikey
    >>> encoder = spikey.TelemetryEncoder(16, 20000, settings=spikey.TelemetrySettings(budget=16e3))
    >>> packets = encoder.push(numpy.zeros((20000, 16), dtype="int16")) + encoder.close()
    >>> sum(map(len, packets)) * 8 <= 16e3
    True
    """

    def __init__(
        self,
        channels: int,
        rate: float,
        dtype: str = "int16",
        *,
        settings: Settings | None = None,
        stream: int | None = None,
    ):
        if dtype not in DTYPES:
            raise UsageError(f"telemetry takes samples of {', '.join(DTYPES)}, not {dtype}")
        self.dtype = np.dtype(dtype)
        self.stream = secrets.randbits(32) if stream is None else stream
        info = np.iinfo(self.dtype)
        self._levels = Levels(AFFINE, info.max - info.min + 1, int(info.min))
        self._described = described(
            Description(self.stream, channels, rate, dtype, self._levels, settings or Settings(), 0, (0, 0, 0, 0))
        )
        self.settings = self._described.settings
        self.shape = shape = self._described.shape
        self.channels, self.rate = channels, self.shape.rate
        self.frames = self.packets = self.events = 0
        self.dropped = np.zeros(4, dtype=np.int64)
        self.spent = dict.fromkeys(PURPOSES, 0)
        self.allowance = Allowance(self.settings, shape)
        self._turns = Schedule(shape)
        self._front = front(self.settings, shape)
        self._tables, self._transforms = tables(), transforms(shape)
        self._profile, self._next = usual(channels), usual(channels)
        self._habits = Habits(channels)
        self._span = np.array([shape.pre, shape.post, shape.trough])
        self._meter: Meter = meter()
        self._size = START
        self._taken = 0  # frames of the running packet
        self._found = np.zeros((shape.slots, channels), dtype=np.int16)
        self._events = np.zeros((0, 2), dtype=np.int64)  # of the running packet: frame of it, and channel
        self._open = Crossings(*np.zeros((3, 0), dtype=np.int64))
        self._waves: list[Waves] = []
        self._bins: dict[int, np.ndarray] = {}
        self._closed = False

    def push(self, frames: np.ndarray) -> list[bytes]:
        """The packets that are complete with frames (n, channels) or (channels,) of the stream's type."""
        array = np.atleast_2d(np.asarray(frames))
        if array.ndim != 2 or array.shape[1] != self.channels or array.dtype != self.dtype:
            raise UsageError(f"frames must be {self.dtype} (n, {self.channels}), not {array.dtype} {array.shape}")
        if self._closed:
            raise UsageError("the telemetry stream was closed")
        if self.frames == 0 and len(array):
            self._settle(array)
        packets = []
        at = 0
        while at < len(array):
            room = min(self.shape.frames - self._taken, ROOM)
            if self.shape.bin:
                room = min(room, self.shape.bin - self.frames % self.shape.bin)
            part = array[at : at + room]
            self._take(part)
            at += len(part)
            if self._taken == self.shape.frames:
                packets.append(self._packet(0))
        return packets

    def close(self) -> list[bytes]:
        """The last packet, which holds the frames that are left and says where the stream ends."""
        if self._closed:
            return []
        self._closed = True
        return [self._packet(LAST)]

    def _settle(self, first: np.ndarray) -> None:
        """Find out by the first frames whether codes are the N1's."""
        if self.dtype == np.int16 and bool((N1_VALUES.take((first >> 6) + 512) == first).all()):
            self._levels = Levels(N1, N1_CODES)
        begin(self._front, self._codes(first[:1])[0])

    def _codes(self, frames: np.ndarray) -> np.ndarray:
        """Codes int32 of samples; a sample between two of the N1's values counts as the lower one."""
        if self._levels.kind == N1:
            return (frames >> 6).astype(np.int32) + 512
        return frames.astype(np.int32) - self._levels.offset

    @property
    def _middle(self) -> int:
        return self._levels.codes // 2

    def _take(self, frames: np.ndarray) -> None:
        """Take in a chunk, and what is complete with it."""
        front, shape = self._front, self.shape
        front.numbers[FOUND] = 0
        before = self.frames // shape.decimation
        take_in(front, self._codes(frames), self._taken)
        self._taken += len(frames)
        self.frames += len(frames)
        if count := int(front.numbers[FOUND]):
            self._note(front.events[:count].astype(np.int64))
        if len(self._open.due):
            self._cut()
        if shape.bin and self.frames % shape.bin == 0:
            logarithm = np.empty(self.channels, dtype=np.int32)
            logarithms(front.power // shape.bin, 3, logarithm)
            front.power[:] = 0
            self._bins[self.frames // shape.bin] = logarithm
            self._habits.saw_power(logarithm, self._profile[:, sections.POWER])
        samples = self.frames // shape.decimation
        if samples // BLOCK > before // BLOCK:
            ring = front.low.shape[1]
            self._habits.saw_low(front.low[:, np.arange(samples - BLOCK, samples) % ring])

    def _note(self, events: np.ndarray) -> None:
        """Events (n, 2): frame of the running packet, and channel."""
        shape = self.shape
        self._events = np.concatenate([self._events, events])
        if shape.waveforms:
            at, start = events[:, 0], self.packets * shape.frames
            keys = (start + at) // shape.slot * self.channels + events[:, 1]
            due = start + at - at % shape.slot % shape.resolution + shape.resolution - 1 + shape.wait
            more = Crossings(keys, start + at, due)
            self._open = Crossings(*map(np.concatenate, zip(self._open, more, strict=True)))

    def _cut(self) -> None:
        """Cut out the waveforms that are complete by now."""
        ready = self._open.due < self.frames
        if not ready.any():
            return
        keys, frames, _ = (each[ready] for each in self._open)
        self._open = Crossings(*(each[~ready] for each in self._open))
        shape, front = self.shape, self._front
        rows = front.numbers[ROW] - front.numbers[FRAMES] + frames
        offsets = np.zeros(len(rows), dtype=np.uint8)
        cut = np.zeros((len(rows), shape.snippet), dtype=np.int32)
        snippets(front, rows, keys % self.channels, self._span, offsets, cut)
        coefficients = np.zeros((len(rows), COMPONENTS), dtype=np.int32)
        analyse_waves(self._transforms.waves, cut, coefficients)
        self._waves.append(Waves(keys, offsets, coefficients))

    def _packet(self, flags: int) -> bytes:
        """The packet that is complete, or the last one."""
        number, turns, allowance = self.packets, self._turns, self.allowance
        payload, description = Payload(self._found), b""
        self._habits.saw_events(self._events[:, 1], self.shape.slots)
        if turns.measures(number):
            self._next = self._habits.profile(self._front, self._middle)
        parts = turns.profiles(number)
        if turns.opens(number):
            flags |= KEY
            description = self._describe(number).write()
            if number == 0 and turns.at_once:
                self._next = self._habits.profile(self._front, self._middle)
                parts = list(range(turns.parts))
            if number > 0 or turns.at_once:
                self._profile = self._next
        payload.length[0] = self._taken
        if parts:
            payload.profiles = np.concatenate([self._next[part * PART : (part + 1) * PART] for part in parts])
        self._place(payload)
        head = 8 * (head_bytes(1 << 7) + len(description) + (1 if description else 0)) + SLACK
        head += 8 if flags & LAST else 0
        code_keys(self._meter, self._tables, self.shape, flags, payload)
        bits = {"header": head, "keys": spent(self._meter)}
        flags |= self._choose_events(payload, bits, allowance.room(EVENTS))
        self._choose_power(payload, bits, allowance.room(POWER))
        self._choose_detail(payload, bits, allowance.room(DETAIL))

        coder = range_encoder(1, sum(bits.values()) // 8 + 64)
        code_keys(coder, self._tables, self.shape, flags, payload)
        code_news(coder, self._tables, self.shape, payload, self._profile)
        code_detail(coder, self._tables, payload, self._profile)
        packet = write_packet(flags, number, finish_lane(coder, 0), description)
        allowance.spend(8 * len(packet))
        self._size = min(max(self._size + DRIFT * (allowance.fullness - AIM), 0.0), STEPS - 1.0)
        bits["header"] += 8 * len(packet) - sum(bits.values())
        for purpose, each in bits.items():
            self.spent[purpose] += each
        self.packets += 1
        self._taken = 0
        return packet

    def _describe(self, number: int) -> Description:
        a, b, c, d = map(int, self.dropped)
        return replace(self._described, levels=self._levels, packet=number, dropped=(a, b, c, d))

    def _forget(self, events: np.ndarray) -> None:
        """Forget the waveforms of events of this packet, (n, 2), that were dropped."""
        at = self.packets * self.shape.frames + events[:, 0]
        keys = at // self.shape.slot * self.channels + events[:, 1]
        left = ~np.isin(self._open.keys, keys)
        self._open = Crossings(*(each[left] for each in self._open))
        self._waves = [Waves(*(each[~np.isin(waves.keys, keys)] for each in waves)) for waves in self._waves]

    def _place(self, payload: Payload) -> None:
        """Set what the packet would say if there were no budget, in units that hang on no step."""
        shape = self.shape
        frames, channels = self._events.T
        payload.found[:] = 0
        payload.found[frames // shape.slot, channels] = 1 + frames % shape.slot // shape.resolution
        spans = self._turns.power(self.packets, self.frames)
        payload.power_channels, turn = channels_of(spans)
        payload.power = np.zeros(len(turn), dtype=np.int32)
        for each in set(turn.tolist()):
            own = payload.power_channels[turn == each]
            payload.power[turn == each] = self._bins[each][own] - self._profile[own, sections.POWER]
        for past in [each for each in self._bins if spans and each < spans[0][0]]:
            del self._bins[past]
        payload.low_channels, turn = channels_of(self._turns.blocks(self.packets, self.frames))
        payload.low = np.zeros((len(turn), shape.coefficients), dtype=np.int32)

    def _choose_events(self, payload: Payload, bits: dict[str, int], room: int) -> int:
        """Choose what is said of the events, and drop those for which there is no room; returns the flag for that."""
        rates, left = self._profile[:, RATE], room - sum(bits.values())
        frames, channels = self._events.T
        cost = self._cheapest_burst(payload)
        dropped = 0
        # Those of the most active channels say the least, each for itself, and go first.
        order = np.argsort(rates[channels], kind="stable")
        if cost > left:
            while cost > left and dropped < len(order):
                some = order[dropped : dropped + max(len(order) // 16, 1)]
                payload.found[frames[some] // self.shape.slot, channels[some]] = 0
                dropped += len(some)
                cost = self._cheapest_burst(payload)
            payload.dropped[0] = dropped
            self._forget(self._events[order[:dropped]])
        bits["events"] = cost
        self.events += len(order) - dropped
        self.dropped[0] += dropped
        self._events = self._events[:0]
        return DROPPED if dropped else 0

    def _cheapest_burst(self, payload: Payload) -> int:
        """Set how much likelier events are in this packet so that they take the fewest bits; returns these."""
        best, least = 0, -1
        for burst in range(BURSTS):
            payload.burst[0] = burst
            code_news(self._meter, self._tables, self.shape, payload, self._profile)
            cost = spent(self._meter)
            if least >= 0 and cost >= least:
                break
            best, least = burst, cost
        payload.burst[0] = best
        return least

    def _choose_power(self, payload: Payload, bits: dict[str, int], room: int) -> None:
        """Choose whether the power that is due goes out."""
        if not len(payload.power):
            return
        only = Payload(payload.found, power_channels=payload.power_channels, power=payload.power)
        code_detail(self._meter, self._tables, only, self._profile)
        cost = spent(self._meter)
        if cost > room - sum(bits.values()):
            payload.no_power[0], cost = 1, OMITTED_BITS
            self.dropped[2] += len(payload.power)
        bits["power"] = cost

    def _choose_detail(self, payload: Payload, bits: dict[str, int], room: int) -> None:
        """Choose the steps of waveforms and low band, and what of them is left out."""
        left = room - sum(bits.values())
        waves = Waves(*map(np.concatenate, zip(*self._waves, strict=True))) if self._waves else None
        self._waves = []
        if waves is not None and len(waves.keys):
            order = np.argsort(waves.keys)
            waves = Waves(*(each[order] for each in waves))
            payload.wave_channels = waves.keys % self.channels
            payload.offsets = waves.offsets
            payload.absent = np.zeros(len(order), dtype=np.uint8)
            payload.waves = np.zeros((len(order), COMPONENTS), dtype=np.int32)
        else:
            waves = None
        low = np.zeros_like(payload.low)
        if len(low):
            self._analyse_low(payload, low)
        size = min(max(round(self._size + PULL * (self.allowance.fullness - AIM)), 0), STEPS - 1)
        while True:
            cost = self._quantise(payload, waves, low, size)
            if sum(cost) <= left or size == STEPS - 1:
                break
            size += 1
        if sum(cost) > left and len(low):
            payload.no_low[0] = 1
            self.dropped[3] += len(low)
            cost = cost[0], OMITTED_BITS
        if waves is not None and sum(cost) > left:
            energy = (waves.coefficients.astype(np.float64) ** 2).sum(axis=1)
            weakest = np.argsort(energy, kind="stable")
            for end in range(1, len(weakest) + 1):
                payload.absent[weakest[end - 1]] = 1
                if end % max(len(weakest) // 8, 1) == 0 or end == len(weakest):
                    cost = self._measure_waves(payload), cost[1]
                    if sum(cost) <= left:
                        break
            self.dropped[1] += int(payload.absent.sum())
        bits["waveforms"], bits["low"] = cost

    def _analyse_low(self, payload: Payload, low: np.ndarray) -> None:
        """Set the coefficients int32 (n, kept) of the blocks that are due."""
        which, turns = channels_of(self._turns.blocks(self.packets, self.frames))
        ends = self._turns.block_ends(turns, which)
        levels = np.array([level_of(row, self._middle) for row in self._profile[which]], dtype=np.int64)
        levels -= self._front.first[which].astype(np.int64) * LOW_UNIT
        analyse_low(self._transforms.cosines, self._front.low, ends, which, levels, low)

    def _quantise(self, payload: Payload, waves: Waves | None, low: np.ndarray, size: int) -> tuple[int, int]:
        """Quantise with steps of a size; returns the bits of waveforms and of the low band."""
        cost = [0, 0]
        if waves is not None:
            # What a bit buys is about the same for both then.
            payload.quality[0] = min(max((3 * size - 11) // 10, 0), QUALITIES - 1)
            quantise_waves(
                self._tables,
                self._profile,
                payload.wave_channels,
                waves.coefficients,
                payload.quality[0],
                payload.waves,
            )
            cost[0] = self._measure_waves(payload)
        if len(low):
            payload.step[0] = size
            quantise_low(self._tables, self._profile, payload.low_channels, low, size, payload.low)
            code_omitted(self._meter, self._tables, payload.no_low)
            code_low(self._meter, self._tables, payload.step, payload.low)
            cost[1] = spent(self._meter)
        return cost[0], cost[1]

    def _measure_waves(self, payload: Payload) -> int:
        code_waves(self._meter, self._tables, payload.quality, payload.absent, payload.offsets, payload.waves)
        return int(spent(self._meter))

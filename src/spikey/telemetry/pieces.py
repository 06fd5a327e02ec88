"""The contents of packets put together: consecutive parts of a stream, each complete, in bounded memory.

The contents of a packet belong to earlier frames too: waveforms come after their crossings, bins of power and blocks of
the LFP band after their ends, and weak spikes may come after the packet of their frames. So a part is made only after
later packets have arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from spikey.base.errors import DataError
from spikey.telemetry.contents import Missing, PacketContents
from spikey.telemetry.decoded import (
    TAPS,
    Around,
    Telemetry,
    finite_sums,
    frames_of_low,
    level_of,
    part_of,
    rows_before,
)
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.filters import FRACTION, LOW_FRACTION
from spikey.telemetry.settings import BLOCK, Shape

LEFT_OUT = ("dropped", "left_out_waves", "left_out_power", "left_out_low")
LATE = 64  # frames by which an event may come later than the end of its waveform
FOREVER = 1 << 62  # frames


def lateness(shape: Shape) -> int:
    """Frames after a part whose packets may contain data of the part, or data that its signal needs."""
    late = shape.wait + shape.snippet + shape.resolution + LATE
    return late + shape.bin + shape.block + (TAPS + 4) * shape.decimation


class Assembler:
    """Assembles the contents of packets, in order, into complete parts.

    decoder: the source of the contents, which has read a key packet. span: frames of a part. first, end: frames of the
    stream between which the parts are. done: whether all parts were returned.
    """

    def __init__(self, decoder: TelemetryDecoder, span: int = FOREVER, first: int = 0, end: int = FOREVER):
        assert decoder.description is not None
        self.done = False
        self._decoder, self._description = decoder, decoder.description
        self._shape = shape = self._description.shape
        self._span, self._start, self._end, self._hold = span, first, end, lateness(shape)
        self._first = first  # of the next part
        self._latest = 0  # frames whose packets have arrived
        self._occupied = 0  # frame from which on there can be no data
        self._contents: list[PacketContents] = []
        none = np.zeros(0, dtype=np.int64)
        strong = np.zeros(0, dtype=np.bool_)
        self._events: tuple[np.ndarray, ...] = (none, none, strong)  # frames, channels, whether they are weak
        # The same of the events with waveforms; troughs, samples, whether they are scaled.
        samples = np.zeros((0, shape.snippet), dtype=np.float32)
        self._waves: tuple[np.ndarray, ...] = (*self._events, none, samples, strong)
        nothing = np.zeros((0, shape.channels), dtype=np.float32)
        self._bin, self._row = rows_before(shape, first)
        self._row = max(self._row - TAPS, 0)
        self._power, self._low = nothing, nothing  # from these rows on
        self._missing: list[tuple[int, int]] = []
        self._left_out: list[tuple[int, ...]] = []  # frame and counts
        self._sums, self._finite = np.zeros(shape.channels), np.zeros(shape.channels, dtype=np.int64)

    def add(self, item: PacketContents | Missing) -> Iterator[Telemetry]:
        """Take the next contents; yields the parts that become complete."""
        self._latest = item.end_frame
        if item.end_frame + self._hold < self._start:
            return  # all of it belongs to frames before the first part
        if isinstance(item, Missing):
            self._missing.append((item.first_frame, item.end_frame))
        else:
            self._contents.append(item)
            self._occupied = item.end_frame + self._hold
        # A span without data must be over before the contents after it are placed.
        if self._latest >= min(self._first + self._span, self._end) + self._hold:
            yield from self._ready(self._latest - self._hold)

    def close(self) -> Iterator[Telemetry]:
        """After the last packet: the remaining parts, at least one unless all requested parts were returned."""
        yield from self._ready(self._latest - 1)
        if not self.done:
            self._first = min(self._first, self._latest)
            yield self._part(min(self._latest, self._end), last=self._latest <= self._end)
            self.done = True

    def _ready(self, until: int) -> Iterator[Telemetry]:
        """The parts that end at a frame or before."""
        while not self.done and min(self._first + self._span, self._end) <= until:
            end = min(self._first + self._span, self._end)
            if self._first >= self._occupied:  # a span without data is one part
                end = max(end, min(self._first + (until - self._first) // self._span * self._span, self._end))
            yield self._part(end)
            self.done = self._first == self._end

    def _part(self, end: int, last: bool = False) -> Telemetry:
        """The part that ends at a frame; drops data that no later part needs."""
        self._place()
        shape, first = self._shape, self._first
        blank = end - first > self._span
        (bin0, low0), (bin1, low1) = rows_before(shape, first), rows_before(shape, end)
        if blank:
            bin1, low1 = bin0, low0
        frames = self._events[0]
        own = ((frames < end) | last) & (frames >= self._start)
        events, channels, weak = (each[own] for each in self._events)
        *having, troughs, waves, of_neighbours = self._waves
        crossings, of_waves = having[:2]
        past = np.count_nonzero(crossings < max(first, self._start))
        until = max(len(crossings) if last else np.count_nonzero(crossings < end), past)
        waveform_of = np.full(len(events), -1, dtype=np.int64)
        where = np.searchsorted(_key(events, channels, weak), _key(*(each[past:until] for each in having)))
        waveform_of[where] = np.arange(until - past)
        scaled = np.zeros(len(events), dtype=np.bool_)
        scaled[where] = of_neighbours[past:until]
        power = part_of(self._power, self._bin, bin0, bin1)
        low = part_of(self._low, self._row, low0, low1)
        sums, count = finite_sums(low)
        self._sums, self._finite = self._sums + sums, self._finite + count
        level = level_of(self._sums, self._finite, self._description.middle)
        rows = rows_before(shape, self._latest)[1]
        around = Around(self._row, self._low, rows, troughs, of_waves, waves, level)
        part = Telemetry(
            self._description,
            end - first,
            events,
            channels,
            weak,
            scaled,
            waveform_of,
            waves[past:until],
            troughs[past:until],
            power,
            low,
            frames_of_low(shape, low0, low1),
            missing_spans(Missing(max(a, first), min(b, end)) for a, b in self._missing if a < end and b > first),
            replace(self._decoder.counts),
            self._left_out_before(end, last),
            self._decoder.noise,
            first,
            around,
        )
        self._forget(end)
        return part

    def _place(self) -> None:
        """Add the contents that have arrived to the waiting ones, in order."""
        contents, self._contents = self._contents, []
        shape = self._shape

        def all_of(name: str, *before: np.ndarray) -> np.ndarray:
            return np.concatenate([*before, *(getattr(item, name) for item in contents)])

        bins, rows = rows_before(shape, min(self._latest, self._occupied))
        self._power = _extended(self._power, bins - self._bin)
        self._low = _extended(self._low, rows - self._row)
        if not contents:
            return
        for item in contents:
            if item.first_frame >= self._start and any(left := [getattr(item, name) for name in LEFT_OUT]):
                self._left_out.append((item.first_frame, *left))
        frames, channels, weak = self._events
        self._events = _ordered(
            all_of("event_frames", frames),
            all_of("event_channels", channels),
            np.concatenate([weak, *(_weak_of(len(item.event_frames), item.weak) for item in contents)]),
        )
        frames, channels, weak, troughs, waves, scaled = self._waves
        self._waves = _ordered(
            all_of("wave_frames", frames),
            all_of("wave_channels", channels),
            np.concatenate([weak, *(_weak_of(len(item.waves), item.weak) for item in contents)]),
            all_of("trough_frames", troughs),
            np.concatenate([waves, (all_of("waves") / (1 << FRACTION)).astype(np.float32)]),
            all_of("wave_scaled", scaled),
        )
        at, channels = all_of("power_bins") - self._bin, all_of("power_channels")
        inside = at >= 0
        self._power[at[inside], channels[inside]] = all_of("power")[inside]
        samples = all_of("low_ends")[:, None] + np.arange(-BLOCK, 0) - self._row
        inside = (samples >= 0) & (samples < len(self._low))
        channels = np.broadcast_to(all_of("low_channels")[:, None], samples.shape)
        self._low[samples[inside], channels[inside]] = all_of("low")[inside] / (1 << LOW_FRACTION)

    def _left_out_before(self, end: int, last: bool) -> tuple[int, int, int, int]:
        """Counts of what was left out of packets that begin before a frame and were not counted yet."""
        before = [counts for frame, *counts in self._left_out if frame < end or last]
        self._left_out = self._left_out[len(before) :]
        a, b, c, d = np.array(before, dtype=np.int64).reshape(-1, len(LEFT_OUT)).sum(axis=0).tolist()
        return a, b, c, d

    def _forget(self, end: int) -> None:
        """Drop data that only parts that end before a frame need."""
        shape = self._shape
        self._first = end
        later = self._events[0] >= end
        self._events = tuple(each[later] for each in self._events)
        near = (self._waves[0] >= end) | (self._waves[3] + shape.post > end)
        self._waves = tuple(each[near] for each in self._waves)
        self._missing = [(first, until) for first, until in self._missing if until > end]
        bins, rows = rows_before(shape, end)
        rows = max(rows - TAPS, self._row)
        self._power, self._bin = self._power[bins - self._bin :].copy(), bins
        self._low, self._row = self._low[rows - self._row :].copy(), rows


def parts(
    packets: Iterable[bytes],
    seconds: float,
    what: str = "the stream",
    start: float = 0.0,
    end: float | None = None,
    key: bytes | None = None,
) -> Iterator[Telemetry]:
    """Decode packets into consecutive parts of a stream, of so many seconds each; DataError without a key packet.

    start, end: seconds of the stream between which the parts are. key: of authenticated packets.
    """
    decoder = TelemetryDecoder(key)
    assembler: Assembler | None = None
    for packet in packets:
        items = decoder.push(packet)
        if assembler is None and decoder.description is not None:
            rate = decoder.description.rate
            until = FOREVER if end is None else round(min(end * rate, FOREVER))
            assembler = Assembler(decoder, max(round(seconds * rate), 1), round(min(start * rate, FOREVER)), until)
        for item in items:
            assert assembler is not None
            yield from assembler.add(item)
        if assembler is not None and assembler.done:
            return
    if assembler is None:
        raise DataError(f"{what}: contains no telemetry key packet, without which nothing can be decoded")
    for item in decoder.finish():
        yield from assembler.add(item)
    yield from assembler.close()


def missing_spans(items: Iterable[PacketContents | Missing]) -> tuple[tuple[int, int], ...]:
    """First and end frames of missing spans; adjacent ones are joined."""
    spans: list[tuple[int, int]] = []
    for item in items:
        if isinstance(item, Missing) and item.first_frame < item.end_frame:
            follows = bool(spans) and spans[-1][1] == item.first_frame
            first = spans.pop()[0] if follows else item.first_frame
            spans.append((first, item.end_frame))
    return tuple(spans)


def _extended(values: np.ndarray, rows: int) -> np.ndarray:
    """The values extended by rows of NaN to so many rows, if there are fewer."""
    more = np.full((max(rows - len(values), 0), values.shape[1]), np.nan, dtype=values.dtype)
    return np.concatenate([values, more])


def _weak_of(count: int, weak: int) -> np.ndarray:
    """Which of a packet's events, or waveforms, are weak: the last ones."""
    return np.arange(count) >= count - weak


def _ordered(frames: np.ndarray, channels: np.ndarray, weak: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    order = np.lexsort((weak, channels, frames))
    return tuple(each[order] for each in (frames, channels, weak, *others))


def _key(frames: np.ndarray, channels: np.ndarray, weak: np.ndarray) -> np.ndarray:
    return frames << 20 | channels << 1 | weak

"""A whole telemetry stream, decoded: its events, waveforms, power and LFP band as arrays, and a signal for the eye."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spikey.base.errors import DataError
from spikey.telemetry.decoder import Counts, Missing, PacketContents, TelemetryDecoder
from spikey.telemetry.filters import BOXCARS, FRACTION, LOW_FRACTION
from spikey.telemetry.packet import Description
from spikey.telemetry.settings import BLOCK

TAPS = 16  # of the interpolation of the LFP band
# Values of power and LFP band that a stream of so many bytes may have, more than any needs: a false number must not
# take all memory.
LEAST_VALUES, VALUES_PER_BYTE = 1 << 24, 1 << 12
LEFT_OUT = ("dropped", "left_out_waves", "left_out_power", "left_out_low")


@dataclass(frozen=True)
class Telemetry:
    """A decoded telemetry stream. It is lossy: features of a recording, not the recording.

    description: of the stream, with its settings. frames: its length. event_frames, event_channels int64 (n,):
    threshold crossings, in order. waveform_of int64 (n,): the row in `waveforms` of each event, or -1.
    waveforms float32 (w, snippet): in codes, band-passed; sample `pre` is the trough. trough_frames int64 (w,).
    power float32 (bins, channels): mean square in the spike band's lower part, in squared codes; NaN where it was left
    out. low float32 (samples, channels): the LFP band in codes, sample i at frame `low_frames[i]`; NaN likewise.
    missing: spans of frames without data. counts: of packets. dropped: events, waveforms, values of power
    and blocks of the LFP band that the encoder left out for want of bits.
    """

    description: Description
    frames: int
    event_frames: np.ndarray
    event_channels: np.ndarray
    waveform_of: np.ndarray
    waveforms: np.ndarray
    trough_frames: np.ndarray
    power: np.ndarray
    low: np.ndarray
    low_frames: np.ndarray
    missing: tuple[tuple[int, int], ...]
    counts: Counts
    dropped: tuple[int, int, int, int]

    @property
    def channels(self) -> int:
        """Of the stream."""
        return self.description.channels

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.description.rate

    @property
    def pre(self) -> int:
        """Samples of a waveform before its trough."""
        return self.description.shape.pre

    @cached_property
    def waveform_channels(self) -> np.ndarray:
        """The channel of each waveform, int64 (w,)."""
        there = self.waveform_of >= 0
        channels = np.zeros(len(self.waveforms), dtype=np.int64)
        channels[self.waveform_of[there]] = self.event_channels[there]
        return channels

    @cached_property
    def _means(self) -> np.ndarray:
        """Of the LFP band, float32 (channels,); the middle code where nothing of it was decoded."""
        finite = np.isfinite(self.low)
        count = finite.sum(axis=0)
        sums = np.where(finite, self.low, 0).sum(axis=0)
        return np.where(count > 0, sums / np.maximum(count, 1), self.description.middle).astype(np.float32)

    def signal(self, first: int = 0, end: int | None = None, low: bool = True) -> np.ndarray:
        """A signal for viewing, float32 (frames, channels) in codes: the LFP band, and waveforms where events were.

        low: whether with the LFP band; without it there is 0 where no waveform is.
        What is missing is set to the LFP band's level. This is not the recording: there is no noise in it.
        """
        end = self.frames if end is None else end
        if low:
            signal = self._low_signal(first, end)
        else:
            signal = np.zeros((max(end - first, 0), self.channels), dtype=np.float32)
        shape = self.description.shape
        troughs = self.trough_frames
        near = np.flatnonzero((troughs + shape.post > first) & (troughs - shape.pre < end))
        rows = troughs[near, None] + np.arange(shape.snippet) - shape.pre
        for row, channel, wave in zip(rows, self.waveform_channels[near], self.waveforms[near], strict=True):
            inside = (row >= first) & (row < end)
            signal[row[inside] - first, channel] += wave[inside]
        return signal

    def samples(self, first: int = 0, end: int | None = None) -> np.ndarray:
        """The same as samples of the recording's type (frames, channels)."""
        levels = self.description.levels
        codes = np.clip(np.rint(self.signal(first, end)), 0, levels.alphabet - 1).astype(np.int32)
        dtype = np.dtype(self.description.dtype)
        return levels.to_values(codes.ravel(), None, dtype).reshape(codes.shape)

    def _low_signal(self, first: int, end: int) -> np.ndarray:
        """The LFP band at the recording's rate, interpolated by a windowed sinc of 16 taps."""
        if not len(self.low) or end <= first:
            return np.full((max(end - first, 0), self.channels), self.description.middle, dtype=np.float32)
        step = self.description.shape.decimation
        # Positions in half frames are whole numbers, so that there are few phases.
        at = 2 * np.arange(first, end) - round(2 * self.low_frames[0])
        base, phase = at // (2 * step), at % (2 * step)
        weights = _interpolator(2 * step)[phase]
        last = len(self.low) - 1
        start, stop = np.clip([base[0] + 1 - TAPS // 2, base[-1] + TAPS // 2], 0, last)
        samples = self.low[start : stop + 1]
        samples = np.where(np.isfinite(samples), samples, self._means).astype(np.float64)
        result = np.zeros((end - first, self.channels))
        for tap in range(TAPS):
            rows = np.clip(base + tap + 1 - TAPS // 2, 0, last) - start
            result += weights[:, tap, None] * samples[rows]
        return result.astype(np.float32)


def _interpolator(phases: int) -> np.ndarray:
    """Weights float64 (phases, 16), multiples of 2^-20 that add up to 1: then sums are exact, whatever the machine."""
    distance = np.arange(phases)[:, None] / phases - (np.arange(TAPS) + 1 - TAPS // 2)
    weights = np.rint(np.sinc(distance) * np.cos(np.pi * distance / TAPS) ** 2 * (1 << 20))
    weights[:, TAPS // 2 - 1] += (1 << 20) - weights.sum(axis=1)
    return weights / (1 << 20)


def collect(packets: Iterable[bytes], what: str = "the stream", key: bytes | None = None) -> Telemetry:
    """Decode all packets of a stream; DataError where there is no key among them."""
    decoder = TelemetryDecoder(key)
    items: list[PacketContents | Missing] = []
    size = 0
    for packet in packets:
        size += len(packet)
        items += decoder.push(packet)
    items += decoder.finish()
    if decoder.description is None:
        raise DataError(f"{what}: contains no telemetry key, without which nothing can be decoded")
    shape, frames = decoder.shape, max((item.end_frame for item in items), default=0)
    rows = (frames // shape.decimation if shape.coefficients else 0) + (frames // shape.bin if shape.bin else 0)
    if rows * shape.channels > LEAST_VALUES + VALUES_PER_BYTE * size:
        raise DataError(f"{what}: its packets claim {frames:,} frames, more than its {size:,} bytes can encode")
    return joined(decoder, items)


def joined(decoder: TelemetryDecoder, items: list[PacketContents | Missing]) -> Telemetry:
    """The contents of packets as arrays, of a decoder that has read a key."""
    assert decoder.description is not None
    description, shape = decoder.description, decoder.shape
    contents = [item for item in items if isinstance(item, PacketContents)]
    frames = decoder.ended if decoder.ended is not None else max((item.end_frame for item in items), default=0)

    def all_of(name: str, empty: np.ndarray) -> np.ndarray:
        return np.concatenate([empty, *(getattr(item, name) for item in contents)])

    none = np.zeros(0, dtype=np.int64)
    event_frames, event_channels = all_of("event_frames", none), all_of("event_channels", none)
    order = np.lexsort((event_channels, event_frames))
    event_frames, event_channels = event_frames[order], event_channels[order]
    wave_frames, wave_channels = all_of("wave_frames", none), all_of("wave_channels", none)
    waves = all_of("waves", np.zeros((0, shape.snippet), dtype=np.int32))
    troughs = all_of("trough_frames", none)
    order = np.lexsort((wave_channels, wave_frames))
    where = np.searchsorted(_key(event_frames, event_channels), _key(wave_frames[order], wave_channels[order]))
    waveform_of = np.full(len(event_frames), -1, dtype=np.int64)
    waveform_of[where] = np.arange(len(where))

    height = frames // shape.bin if shape.bin else 0
    samples = frames // shape.decimation if shape.coefficients else 0
    power = np.full((height, shape.channels), np.nan, dtype=np.float32)
    bins = all_of("power_bins", none)
    power[bins, all_of("power_channels", none)] = all_of("power", np.zeros(0))
    low = np.full((samples, shape.channels), np.nan, dtype=np.float32)
    ends, channels = all_of("low_ends", none), all_of("low_channels", none)
    blocks = all_of("low", np.zeros((0, BLOCK), dtype=np.int64))
    at = ends[:, None] + np.arange(-BLOCK, 0)
    inside = (at >= 0) & (at < samples)
    low[at[inside], np.broadcast_to(channels[:, None], at.shape)[inside]] = blocks[inside] / (1 << LOW_FRACTION)
    # A sample of the decimator belongs to the frame in the middle of its taps.
    delay = (BOXCARS * (shape.decimation - 1) + 2 * shape.decimation) / 2
    return Telemetry(
        description,
        frames,
        event_frames,
        event_channels,
        waveform_of,
        (waves[order] / (1 << FRACTION)).astype(np.float32),
        troughs[order],
        power,
        low,
        (np.arange(samples) + 1) * shape.decimation - 1 - delay,
        missing_spans(items),
        decoder.counts,
        tuple(sum(getattr(item, name) for item in contents) for name in LEFT_OUT),
    )


def missing_spans(items: Iterable[PacketContents | Missing]) -> tuple[tuple[int, int], ...]:
    """First and end frames of what is missing; what follows each other is one span."""
    spans: list[tuple[int, int]] = []
    for item in items:
        if isinstance(item, Missing) and item.first_frame < item.end_frame:
            follows = bool(spans) and spans[-1][1] == item.first_frame
            first = spans.pop()[0] if follows else item.first_frame
            spans.append((first, item.end_frame))
    return tuple(spans)


def _key(frames: np.ndarray, channels: np.ndarray) -> np.ndarray:
    return frames << 20 | channels

"""Decoded telemetry of a stream or of a part of one: events (threshold crossings and weak spikes), waveforms, power and
LFP band as arrays, and a signal for viewing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from spikey.telemetry.decoder import Counts
from spikey.telemetry.filters import BOXCARS
from spikey.telemetry.packet import Description
from spikey.telemetry.settings import Shape

TAPS = 16  # of the interpolation of the LFP band
NOISE_FRAMES = 4096  # of artificial noise that are generated together
SIGNAL_BYTES = 1 << 25  # of float64, about, for each reconstructed piece


class Around(NamedTuple):
    """Data around a part of a stream, from which the signal of the part is made.

    low float32 (n, channels): the LFP band from row `first` of the stream on. rows: how many the stream has so far.
    troughs, channels int64 (w,), waves float32 (w, snippet): waveforms in order. level float32 (channels,): of the LFP
    band, used where it is missing.
    """

    first: int
    low: np.ndarray
    rows: int
    troughs: np.ndarray
    channels: np.ndarray
    waves: np.ndarray
    level: np.ndarray


@dataclass(frozen=True)
class Telemetry:
    """Decoded telemetry of a stream, or of a part of one. It is lossy: features of a recording, not the recording.

    All frames count from the beginning of the stream. A part contains the events whose crossings lie in it, with their
    waveforms, and the bins of power and samples of the LFP band that end in it.

    Attributes
    ----------
    description : Description
        Of the stream, with its settings.
    frames : int
        Length of the stream, or of the part.
    first_frame : int
        First frame of a part; 0 for a stream.
    event_frames, event_channels : int64 (n,)
        Threshold crossings and troughs of weak spikes, in order of time.
    event_weak : bool (n,)
        Which events are weak spikes: they cross only a lower threshold and match their channel's spikes.
    event_scaled : bool (n,)
        Which events have a scaled copy of a neighbouring channel's waveform.
    waveform_of : int64 (n,)
        Row in `waveforms` of each event, or -1.
    waveforms : float32 (w, samples)
        In codes, band-passed; sample `pre` is the trough.
    trough_frames : int64 (w,)
        Frame of the trough of each waveform.
    power : float32 (bins, channels)
        Mean square in the lower part of the spike band, in squared codes; NaN where it was left out.
    low : float32 (samples, channels)
        The LFP band in codes; NaN where it was left out.
    low_frames : int64 (samples,)
        Frame of each sample of `low`.
    missing : tuple of (int, int)
        First and end frame of each span without data.
    counts : Counts
        Counts of packets; for a part, including those before it and a few after it.
    dropped : tuple of int
        Threshold crossings, waveforms, values of power and blocks of the LFP band that did not fit the bit rate.
    noise : float64 (channels,)
        Standard deviation of the noise in the spike band, in codes.
    """

    description: Description
    frames: int
    event_frames: np.ndarray
    event_channels: np.ndarray
    event_weak: np.ndarray
    event_scaled: np.ndarray
    waveform_of: np.ndarray
    waveforms: np.ndarray
    trough_frames: np.ndarray
    power: np.ndarray
    low: np.ndarray
    low_frames: np.ndarray
    missing: tuple[tuple[int, int], ...]
    counts: Counts
    dropped: tuple[int, int, int, int]
    noise: np.ndarray
    first_frame: int = 0
    around: Around | None = field(default=None, repr=False)

    @property
    def end_frame(self) -> int:
        """The frame after the last one."""
        return self.first_frame + self.frames

    @property
    def channels(self) -> int:
        """Number of channels of the stream."""
        return self.description.channels

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.description.rate

    @property
    def pre(self) -> int:
        """Samples of a waveform before its trough."""
        return self.description.shape.pre

    @property
    def first_bin(self) -> int:
        """The number in the stream of the first bin of `power`; 0 where there is no power."""
        return rows_before(self.description.shape, self.first_frame)[0]

    @property
    def first_low(self) -> int:
        """The number in the stream of the first sample of `low`; 0 where there is no LFP band."""
        return rows_before(self.description.shape, self.first_frame)[1]

    @property
    def blank(self) -> bool:
        """Whether this is a long part without any data: `power` and `low` then have no rows, instead of rows of NaN."""
        bins, low = rows_before(self.description.shape, self.end_frame)
        return len(self.power) < bins - self.first_bin or len(self.low) < low - self.first_low

    @cached_property
    def waveform_channels(self) -> np.ndarray:
        """The channel of each waveform, int64 (w,)."""
        there = self.waveform_of >= 0
        channels = np.zeros(len(self.waveforms), dtype=np.int64)
        channels[self.waveform_of[there]] = self.event_channels[there]
        return channels

    @cached_property
    def _near(self) -> Around:
        if self.around is not None:
            return self.around
        sums, count = finite_sums(self.low)
        level = level_of(sums, count, self.description.middle)
        rows = self.first_low + len(self.low)
        return Around(self.first_low, self.low, rows, self.trough_frames, self.waveform_channels, self.waveforms, level)

    def signal(
        self, first: int | None = None, end: int | None = None, low: bool = True, noise: int | None = None
    ) -> np.ndarray:
        """A signal for viewing, float32 (frames, channels) in codes: the LFP band, and waveforms where events were.

        first, end: frames of the stream; by default all of this part. low: whether to include the LFP band; otherwise
        the signal is 0 where there is no waveform. Where the LFP band is missing, its level is used: in a whole stream
        the mean, in a part the mean up to the part's end. This is not the recording and contains no noise. If `noise`,
        a seed, is given, artificial noise of each channel's level is added between the waveforms; spike sorters need
        it.
        """
        first = self.first_frame if first is None else first
        end = self.end_frame if end is None else end
        if low:
            signal = self._low_signal(first, end)
        else:
            signal = np.zeros((max(end - first, 0), self.channels), dtype=np.float32)
        shape, known = self.description.shape, self._near
        near = np.flatnonzero((known.troughs + shape.post > first) & (known.troughs - shape.pre < end))
        troughs, channels = known.troughs[near], known.channels[near]
        begins, ends = _own_frames(troughs, channels, shape)
        begins, ends = np.maximum(begins, first), np.maximum(np.minimum(ends, end), np.maximum(begins, first))
        added = None if noise is None else self._noise(first, end, noise)
        spans = np.stack([begins, ends, troughs, channels], axis=1).tolist()
        for (begin, until, trough, channel), wave in zip(spans, known.waves[near], strict=True):
            start = trough - shape.pre
            signal[begin - first : until - first, channel] += wave[begin - start : until - start]
            if added is not None:
                added[begin - first : until - first, channel] = 0
        if added is not None:
            signal += added
        return signal

    def _noise(self, first: int, end: int, seed: int) -> np.ndarray:
        """White noise float32 (frames, channels) with the channels' levels in the spike band, the same at each call."""
        low, high = self.description.settings.band
        scale = (self.noise / np.sqrt((high - low) / (self.rate / 2))).astype(np.float32)
        signal = np.empty((max(end - first, 0), self.channels), dtype=np.float32)
        for block in range(first // NOISE_FRAMES, -(-end // NOISE_FRAMES)):
            rng = np.random.default_rng([seed, block])
            start = block * NOISE_FRAMES
            begin, until = max(start, first), min(start + NOISE_FRAMES, end)
            white = rng.standard_normal((NOISE_FRAMES, self.channels), dtype=np.float32)
            signal[begin - first : until - first] = white[begin - start : until - start] * scale
        return signal

    def samples(self, first: int | None = None, end: int | None = None, noise: int | None = None) -> np.ndarray:
        """The same as samples of the recording's type (frames, channels)."""
        levels = self.description.levels
        codes = np.clip(np.rint(self.signal(first, end, noise=noise)), 0, levels.alphabet - 1).astype(np.int32)
        dtype = np.dtype(self.description.dtype)
        return levels.to_values(codes.ravel(), None, dtype).reshape(codes.shape)

    def _low_signal(self, first: int, end: int) -> np.ndarray:
        """The LFP band at the recording's rate, interpolated by a windowed sinc of 16 taps."""
        result = np.empty((max(end - first, 0), self.channels), dtype=np.float32)
        if not self._near.rows:
            result[:] = self.description.middle
            return result
        piece = max(SIGNAL_BYTES // (8 * self.channels), 1)
        for at in range(first, end, piece):
            self._interpolate(at, result[at - first : at - first + piece])
        return result

    def _interpolate(self, first: int, out: np.ndarray) -> None:
        shape, known = self.description.shape, self._near
        step = shape.decimation
        # Positions in half frames are whole numbers, so that there are few phases.
        at = 2 * np.arange(first, first + len(out)) - round(2 * frames_of_low(shape, 0, 1)[0])
        base, phase = at // (2 * step), at % (2 * step)
        weights = _interpolator(2 * step)[phase]
        last = known.rows - 1
        start, stop = np.clip([base[0] + 1 - TAPS // 2, base[-1] + TAPS // 2], 0, last)
        samples = part_of(known.low, known.first, start, stop + 1)
        samples = np.where(np.isfinite(samples), samples, known.level).astype(np.float64)
        result = np.zeros(out.shape)
        for tap in range(TAPS):
            rows = np.clip(base + tap + 1 - TAPS // 2, 0, last) - start
            result += weights[:, tap, None] * samples[rows]
        out[:] = result


def _own_frames(troughs: np.ndarray, channels: np.ndarray, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """First and end frames, int64 (w,) each, of waveforms; where two of a channel overlap, each has the frames nearer
    to its trough.
    """
    order = np.lexsort((troughs, channels))
    t, c = troughs[order], channels[order]
    begins, ends = t - shape.pre, t + shape.post
    overlap = np.flatnonzero((c[1:] == c[:-1]) & (begins[1:] < ends[:-1]))
    middle = np.clip((t[overlap + 1] + t[overlap] + 1) // 2, begins[overlap + 1], ends[overlap])
    begins[overlap + 1], ends[overlap] = middle, middle
    back = np.argsort(order)
    return begins[back], ends[back]


def _interpolator(phases: int) -> np.ndarray:
    """Weights float64 (phases, 16), multiples of 2^-20 that add up to 1, so that sums are exact on every machine."""
    distance = np.arange(phases)[:, None] / phases - (np.arange(TAPS) + 1 - TAPS // 2)
    weights = np.rint(np.sinc(distance) * np.cos(np.pi * distance / TAPS) ** 2 * (1 << 20))
    weights[:, TAPS // 2 - 1] += (1 << 20) - weights.sum(axis=1)
    return weights / (1 << 20)


def rows_before(shape: Shape, frame: int) -> tuple[int, int]:
    """Bins of power, and samples of the LFP band, that end before a frame of a stream."""
    return frame // shape.bin if shape.bin else 0, frame // shape.decimation if shape.coefficients else 0


def frames_of_low(shape: Shape, first: int, end: int) -> np.ndarray:
    """The frames, float64 (n,), that samples `first` to `end` of the LFP band belong to: the middle of their taps."""
    delay = (BOXCARS * (shape.decimation - 1) + 2 * shape.decimation) / 2
    return (np.arange(first, end) + 1) * shape.decimation - 1 - delay


def part_of(values: np.ndarray, start: int, first: int, end: int) -> np.ndarray:
    """Rows `first` to `end` of a stream, of which `values` has those from `start` on; NaN for others."""
    if start <= first and end <= start + len(values):
        return values[first - start : end - start]
    part = np.full((max(end - first, 0), values.shape[1]), np.nan, dtype=values.dtype)
    low, high = max(first, start), min(end, start + len(values))
    if low < high:
        part[low - first : high - first] = values[low - start : high - start]
    return part


def finite_sums(low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums float64 (channels,) of the finite values of the LFP band, and how many these are.

    The values are multiples of 1/64, so their sums are exact in any order.
    """
    finite = np.isfinite(low)
    return low.sum(axis=0, dtype=np.float64, where=finite), finite.sum(axis=0)


def level_of(sums: np.ndarray, count: np.ndarray, middle: int) -> np.ndarray:
    """Means float32 (channels,); the middle code if there are no values."""
    return np.where(count > 0, sums / np.maximum(count, 1), middle).astype(np.float32)


def filled(telemetry: Telemetry) -> Iterator[Telemetry]:
    """The part itself; a blank part as parts of a second, in which power and LFP band are NaN."""
    if not telemetry.blank:
        yield telemetry
        return
    shape = telemetry.description.shape
    span = max(round(shape.rate), 1)
    for first in range(telemetry.first_frame, telemetry.end_frame, span):
        end = min(first + span, telemetry.end_frame)
        (bin0, low0), (bin1, low1) = rows_before(shape, first), rows_before(shape, end)
        yield replace(
            telemetry,
            first_frame=first,
            frames=end - first,
            power=np.full((bin1 - bin0, shape.channels), np.nan, dtype=np.float32),
            low=np.full((low1 - low0, shape.channels), np.nan, dtype=np.float32),
            low_frames=frames_of_low(shape, low0, low1),
            missing=((first, end),),
            dropped=telemetry.dropped if first == telemetry.first_frame else (0, 0, 0, 0),
        )

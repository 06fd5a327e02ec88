"""Features that are computed but not yet in a packet: crossings, waveforms, weak spikes, power, the LFP band."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spikey.telemetry.basis import LEAST_SQUARE, Transforms, analyse_low, analyse_waves
from spikey.telemetry.channel_stats import ChannelStats, array_noise
from spikey.telemetry.frontend import (
    CANDIDATES,
    FOUND,
    FRAMES,
    ROOM,
    ROW,
    begin_frontend,
    cut_snippets,
    new_frontend,
    process_frames,
)
from spikey.telemetry.logarithm import logarithms
from spikey.telemetry.settings import BLOCK, Settings, Shape
from spikey.telemetry.syntax import COMPONENTS, POWER
from spikey.telemetry.templates import SCORE_BITS, first_templates, learn_templates, match_templates, place_best

LATEST = 256  # frames from which the array's noise is measured


class Waves(NamedTuple):
    """Complete waveforms: keys and frames of crossings int64 (n,), offsets uint8 (n,), coefficients int32 (n, 12)."""

    keys: np.ndarray
    frames: np.ndarray
    offsets: np.ndarray
    coefficients: np.ndarray


class Weak(NamedTuple):
    """Weak crossings: frames of their troughs and channels, int64 (n,), coefficients int32 (n, components), and scores
    int32 (n,) from `match_templates`.
    """

    troughs: np.ndarray
    channels: np.ndarray
    coefficients: np.ndarray
    scores: np.ndarray


NO_CROSSINGS = np.zeros((3, 0), dtype=np.int64)
_NONE = NO_CROSSINGS[0]
NO_WAVES = Waves(_NONE, _NONE, np.zeros(0, dtype=np.uint8), np.zeros((0, COMPONENTS), dtype=np.int32))
NO_WEAK = Weak(_NONE, _NONE, NO_WAVES.coefficients, np.zeros(0, dtype=np.int32))


class Pending:
    """Computes features of codes, and stores them until their packet is made.

    A crossing's key is its slot of the stream times the number of channels, plus its channel.

    events int64 (n, 2): crossings of the current packet: frame in it, and channel. bins: power of the latest bins, by
    number, in 1/8 octaves, int32 (channels,). stats: running channel statistics. noise: of the array at the end of the
    first packet, or when the buffer is first full, in the units of a profile. least: lowest score of weak crossings
    that may be sent. unplaced: weak crossings with such a score that are not in a packet.
    """

    def __init__(self, settings: Settings, shape: Shape, transforms: Transforms):
        self.shape, self.transforms = shape, transforms
        self.frontend = new_frontend(settings, shape)
        self.stats = ChannelStats(shape.channels)
        self.frames = self.start = 0  # processed; and before the current packet
        self.events = np.zeros((0, 2), dtype=np.int64)
        self.bins: dict[int, np.ndarray] = {}
        self.noise: int | None = None
        self.least = round(settings.match * (1 << SCORE_BITS))
        self._span = np.array([shape.pre, shape.post, shape.trough])
        # Crossings whose waveforms are not complete: their keys, their frames of the stream, and the frame after which
        # each waveform is complete by the crossing's coded time, in ascending order.
        self._open = NO_CROSSINGS
        self._waves: list[Waves] = []
        self.unplaced = NO_WEAK
        self._both = settings.polarity == "both"
        usual = transforms.template if settings.polarity != "positive" else -transforms.template
        self._templates = first_templates(usual, shape.channels)

    def room(self) -> int:
        """How many frames may be added at once."""
        room = min(self.start + self.shape.frames - self.frames, ROOM - self.frames % ROOM)
        return min(room, self.shape.bin - self.frames % self.shape.bin) if self.shape.bin else room

    def add(self, codes: np.ndarray, profile: np.ndarray) -> None:
        """Process codes int32 (n, channels), n at most `room()`; profile: the current one."""
        frontend, shape = self.frontend, self.shape
        if self.frames == 0:
            begin_frontend(frontend, codes[0])
        if frontend.numbers[ROW] + len(codes) > len(frontend.band):  # which drops the oldest frames
            self.gather()
        before = self.frames // shape.decimation
        process_frames(frontend, codes, self.frames - self.start)
        self.frames += len(codes)
        if shape.bin and self.frames % shape.bin == 0:
            logarithm = np.empty(shape.channels, dtype=np.int32)
            logarithms(np.maximum(frontend.power // shape.bin, LEAST_SQUARE), 3, logarithm)
            frontend.power[:] = 0
            self.bins[self.frames // shape.bin] = logarithm
            self.stats.add_power(logarithm, profile[:, POWER])
        end = self.frames // shape.decimation // BLOCK * BLOCK
        if end > before:
            self.stats.add_low(frontend.low[:, np.arange(end - BLOCK, end) % frontend.low.shape[1]])

    def gather(self) -> None:
        """Take over the crossings that were found since the last call, and the waveforms that have become complete."""
        numbers = self.frontend.numbers
        if self.noise is None:
            end = int(numbers[ROW])
            self.noise = array_noise(self.frontend.band[end - min(self.frames, LATEST) : end])
        if count := int(numbers[FOUND]):
            self._add_events(self.frontend.events[:count].astype(np.int64))
        if self._open.shape[1]:
            self._cut()
        if count := int(numbers[CANDIDATES]):
            self._add_weak(self.frontend.candidates[:count])
        numbers[FOUND] = numbers[CANDIDATES] = 0

    def _add_events(self, events: np.ndarray) -> None:
        shape = self.shape
        self.events = np.concatenate([self.events, events]) if len(self.events) else events
        if shape.waveforms:
            at = events[:, 0]
            due = self.start + at - at % shape.slot % shape.resolution + shape.resolution - 1 + shape.wait
            self._open = np.concatenate([self._open, [self.keys(events), self.start + at, due]], axis=1)

    def _cut(self) -> None:
        """Cut out the waveforms that have become complete."""
        ready = int(np.searchsorted(self._open[2], self.frames))
        if not ready:
            return
        keys, frames, _ = self._open[:, :ready]
        self._open = self._open[:, ready:]
        self._waves.append(Waves(keys, frames, *self._analysed(frames, keys % self.shape.channels)))

    def _analysed(self, frames: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets of troughs and coefficients of the waveforms of crossings, int64 (n,) each."""
        frontend = self.frontend
        rows = frontend.numbers[ROW] - frontend.numbers[FRAMES] + frames
        offsets = np.zeros(len(rows), dtype=np.uint8)
        cut = np.zeros((len(rows), self.shape.snippet), dtype=np.int32)
        cut_snippets(frontend.band, rows, channels, self._span, offsets, cut)
        coefficients = np.zeros((len(rows), len(self.transforms.waves)), dtype=np.int32)
        analyse_waves(self.transforms.waves, cut, coefficients)
        return offsets, coefficients

    def _add_weak(self, candidates: np.ndarray) -> None:
        """Score weak crossings int64 (n, 3): frame of the packet, channel, its median; store those that match.

        Templates change between packets only, so scores do not depend on how frames were pushed.
        """
        frames, channels = self.start + candidates[:, 0], candidates[:, 1].copy()
        offsets, coefficients = self._analysed(frames, channels)
        scores = np.zeros(len(frames), dtype=np.int32)
        match_templates(self._templates, self._both, candidates[:, 2].copy(), channels, coefficients, scores)
        (likely,) = (scores >= self.least).nonzero()
        if len(likely):
            more = Weak(frames[likely] + offsets[likely], channels[likely], coefficients[likely], scores[likely])
            self.unplaced = Weak(*map(np.concatenate, zip(self.unplaced, more, strict=True)))

    def keys(self, events: np.ndarray) -> np.ndarray:
        """The keys of crossings (n, 2) of the current packet."""
        return (self.start + events[:, 0]) // self.shape.slot * self.shape.channels + events[:, 1]

    def drop_waveforms(self, events: np.ndarray) -> None:
        """Drop the waveforms of crossings (n, 2) that are left out of the current packet."""
        keys = self.keys(events)
        self._open = self._open[:, ~np.isin(self._open[0], keys)]
        for at, waves in enumerate(self._waves):
            left = ~np.isin(waves.keys, keys)
            self._waves[at] = Waves(*(each[left] for each in waves))

    def waves(self) -> Waves:
        """The waveforms that are complete, in the order of their crossings."""
        if not self._waves:
            return NO_WAVES
        waves = self._waves[0]
        if len(self._waves) > 1:
            waves = Waves(*map(np.concatenate, zip(*self._waves, strict=True)))
        order = np.argsort(waves.keys)
        return Waves(*(each[order] for each in waves))

    def place_weak(self, least: int, there: np.ndarray, found: np.ndarray) -> Weak:
        """Set the weak crossings that are due, `shape.wait` frames after their troughs; returns them in order.

        least: lowest score. there uint8 (n,): 0 for those of `unplaced` that are not sent. found int16 (slots,
        channels), of zeros: set as in `code_places`. Of several at one place the best is sent, the others are dropped.
        """
        shape, (troughs, channels, coefficients, scores) = self.shape, self.unplaced
        order, best = np.zeros((2, *found.shape), dtype=np.int32)
        times = self.start, self.frames, shape.slot, shape.resolution, shape.wait
        count = place_best(*times, least, troughs, channels, scores, there, found, best, order.ravel())
        chosen = order.ravel()[:count]
        return Weak(troughs[chosen], channels[chosen], coefficients[chosen], scores[chosen])

    def blocks(self, profile: np.ndarray, channels: np.ndarray, ends: np.ndarray, middle: int) -> np.ndarray:
        """Coefficients int32 (n, coefficients) of blocks of the LFP band; ends: samples before each end."""
        coefficients = np.zeros((len(channels), self.shape.coefficients), dtype=np.int32)
        if len(channels):
            frontend = self.frontend
            analyse_low(
                self.transforms.cosines, frontend.low, frontend.first, ends, channels, profile, middle, coefficients
            )
        return coefficients

    def begin_packet(self) -> None:
        """Drop the features that were due in the last packet, and begin the next one."""
        self.start = self.frames
        self.events = self.events[:0]
        if self.shape.weak:
            for waves in self._waves:
                learn_templates(self._templates, self._both, waves.keys % self.shape.channels, waves.coefficients)
        self._waves = []
        if len(self.unplaced.troughs):
            later = self.unplaced.troughs + self.shape.wait >= self.frames
            self.unplaced = Weak(*(each[later] for each in self.unplaced))
        for past in [each for each in self.bins if each < self.start // self.shape.bin - 1]:
            del self.bins[past]

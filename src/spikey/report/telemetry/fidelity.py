"""How faithful telemetry is: recordings are encoded at several rates, decoded, and compared with the original.

Events are compared with those of the same encoder without a budget, and with known spikes where a simulation provides
them; waveforms, power and LFP band with `telemetry_reference`. Frames are pushed in small pieces whose work is
timed, so that a real-time clock gives the time when each packet's bytes are ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from spikey.recording.simulate import Spikes
from spikey.report.telemetry.reference import SETTLED, Events, Reference, cut, low_errors, matched, refer
from spikey.stream.latency import settle
from spikey.telemetry.contents import PacketContents
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.record import Telemetry, collect, joined
from spikey.telemetry.settings import BLOCK, Settings, shape_of

BITS = 10  # of a sample, of which ratios count
UNLIMITED = 1e12  # bit/s
ON_TIME = 0.1e-3  # s, of events against the encoder's own
KNOWN_TIME = 0.5e-3  # s, of a crossing against a known spike's trough
OFFLINE_TIME = 0.2e-3  # s, against the offline detector
EDGES = (100.0, 250.0)  # Hz, of the LFP band
WARM_UP = 0.3  # s
PIECES = 3  # of a packet, in which its frames arrive
FEWEST_BINS = 8  # of a channel's power that a correlation is made of


@dataclass(frozen=True)
class Original:
    """A recording to encode. samples (frames, channels), rate in Hz; spikes: of each channel, where they are known."""

    name: str
    samples: np.ndarray
    rate: float
    spikes: list[Spikes] | None = None


class Encoded(NamedTuple):
    """A stream: its contents, its packets' spans of frames with the events that were dropped from each, int64 (n, 3);
    seconds of encoding and decoding; latencies in s of crossings, waveforms and weak spikes; bits by purpose.
    """

    telemetry: Telemetry
    spans: np.ndarray
    encode_seconds: float
    decode_seconds: float
    event_latency: np.ndarray
    wave_latency: np.ndarray
    weak_latency: np.ndarray
    bits: dict[str, float]


class Waves(NamedTuple):
    """Waveforms of events, decoded and original, float32 (n, samples), with frames of troughs and channels."""

    told: np.ndarray
    original: np.ndarray
    frames: np.ndarray
    channels: np.ndarray


@dataclass
class Tally:
    """What was found at one rate; every array grows with each recording."""

    ratio: float
    budget_bits: float = 0.0
    seconds: float = 0.0
    channel_seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    bits: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, list[np.ndarray]] = field(default_factory=dict)
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    packet_ms: float = 0.0

    def add(self, name: str, values: Any) -> None:
        """More values of a kind."""
        self.arrays.setdefault(name, []).append(np.atleast_1d(np.asarray(values, dtype=np.float64)))

    def count(self, name: str, amount: int) -> None:
        """More of a kind."""
        self.counts[name] = self.counts.get(name, 0) + int(amount)

    def all(self, name: str) -> np.ndarray:
        """All values of a kind, float64 (n,)."""
        return np.concatenate([np.zeros(0), *self.arrays.get(name, [])])

    def share(self, part: str, whole: str) -> float | None:
        """One count over another."""
        return self.counts.get(part, 0) / self.counts[whole] if self.counts.get(whole) else None


def budget_of(channels: int, rate: float, ratio: float) -> float:
    """Bit/s that are so many times less than samples of 10 bits take.

    >>> budget_of(1024, 20_000, 200)
    1024000.0
    """
    return channels * rate * BITS / ratio


def encode(original: Original, settings: Settings) -> Encoded:
    """Encode and decode a recording, as it would arrive."""
    samples, rate = original.samples, original.rate
    encoder = TelemetryEncoder(samples.shape[1], rate, str(samples.dtype), settings=settings, stream=0)
    piece = max(encoder.shape.frames // PIECES, 1)
    packets: list[bytes] = []
    ready: list[float] = []  # s, when each packet's bytes were
    work = clock = 0.0
    for at in range(0, len(samples) + 1, piece):
        part = samples[at : at + piece]
        start = time.perf_counter()
        made = encoder.push(part) if len(part) else []
        made += encoder.close() if at + piece > len(samples) else []
        worked = time.perf_counter() - start
        work += worked
        clock = max(clock, (at + len(part)) / rate) + worked
        packets += made
        ready += [clock] * len(made)
    decoder = TelemetryDecoder()
    items: list[list[Any]] = []
    start = time.perf_counter()
    for packet in packets:
        items.append(decoder.push(packet))
    decoded = time.perf_counter() - start
    told = [
        (item, moment)
        for each, moment in zip(items, ready, strict=True)
        for item in each
        if isinstance(item, PacketContents)
    ]
    spans = np.array([(item.first_frame, item.end_frame, item.dropped) for item, _ in told], dtype=np.int64)
    latency = _latencies(told, rate)
    telemetry = joined(decoder, [item for each in items for item in each])
    return Encoded(telemetry, spans.reshape(-1, 3), work, decoded, *latency, dict(encoder.spent))


def _latencies(told: list[tuple[PacketContents, float]], rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From a trough, which is over with its frame, to the bytes of its crossing and of its waveform, and of weak
    events, which come with theirs: s, each (n,).
    """
    when = {
        (frame, channel): moment
        for item, moment in told
        for frame, channel in zip(item.event_frames.tolist(), item.event_channels.tolist(), strict=True)
    }
    events, waves, weak = [], [], []
    for item, moment in told:
        own = len(item.wave_frames) - item.weak
        late = item.trough_frames[own:]
        weak += (moment - (late[late >= SETTLED * rate] + 1) / rate).tolist()
        rows = zip(
            *(each[:own].tolist() for each in (item.wave_frames, item.wave_channels, item.trough_frames)), strict=True
        )
        for frame, channel, trough in rows:
            if frame >= SETTLED * rate:
                over = (trough + 1) / rate
                waves.append(moment - over)
                events.append(when[frame, channel] - over)
    return np.array(events), np.array(waves), np.array(weak)


@dataclass
class Shown:
    """What pictures of a recording are made of: the first channels' codes and spike band (channels, frames), and what
    telemetry contains of them at each ratio.
    """

    original: Original
    reference: Reference
    telemetry: dict[float, Telemetry]
    waves: dict[float, Waves]


def measure(
    originals: list[Original],
    ratios: list[float],
    settings: Settings | None = None,
    advance: Callable[..., None] = lambda amount, note="": None,
    each: Callable[[Tally, Original, Reference, Waves], None] | None = None,
) -> tuple[list[Tally], Shown]:
    """A tally for each ratio, and what pictures are made of. each: is called with every recording at every ratio."""
    settings = settings or Settings()
    tallies = [Tally(ratio) for ratio in ratios]
    _warm_up(originals[0], settings)
    shown: Shown | None = None
    for original in originals:
        reference = refer(original.samples, original.rate, settings)
        first = shown is None
        if first:
            shown = Shown(original, reference, {}, {})
        own = _own_events(original, settings)
        for tally in tallies:
            encoded, waves = _one(tally, original, reference, own, settings)
            if each is not None:
                each(tally, original, reference, waves)
            if first and shown is not None:
                shown.telemetry[tally.ratio], shown.waves[tally.ratio] = encoded.telemetry, waves
            advance(1, f"{original.name}, {tally.ratio:g}x")
    assert shown is not None
    return tallies, shown


def _warm_up(original: Original, settings: Settings) -> None:
    """Have everything compiled and in place before it is timed."""
    encode(replace(original, samples=original.samples[: round(WARM_UP * original.rate)]), settings)
    settle()


def _own_events(original: Original, settings: Settings) -> Events:
    """What the encoder's detector finds: the contents of a stream with bits for everything."""
    channels, rate = original.samples.shape[1], original.rate
    generous = replace(
        settings, budget=UNLIMITED, packet_ms=10.0, power_ms=0.0, low_high=0.0, waveforms=False, match=0.0
    )
    encoder = TelemetryEncoder(channels, rate, str(original.samples.dtype), settings=generous, stream=0)
    telemetry = collect(encoder.push(original.samples) + encoder.close())
    return Events(telemetry.event_frames, telemetry.event_channels)


def _one(
    tally: Tally, original: Original, reference: Reference, own: Events, settings: Settings
) -> tuple[Encoded, Waves]:
    """Add a recording's figures at a ratio."""
    frames, channels = original.samples.shape
    rate = original.rate
    budget = budget_of(channels, rate, tally.ratio)
    settings = replace(settings, budget=budget)
    tally.packet_ms = 1000 * shape_of(settings, channels, rate).frames / rate
    encoded = encode(original, settings)
    told = encoded.telemetry
    tally.budget_bits += budget * frames / rate
    tally.seconds += frames / rate
    tally.channel_seconds += frames / rate * channels
    tally.encode_seconds += encoded.encode_seconds
    tally.decode_seconds += encoded.decode_seconds
    for purpose, bits in encoded.bits.items():
        tally.bits[purpose] = tally.bits.get(purpose, 0) + bits
    tally.add("event_latency", encoded.event_latency)
    tally.add("wave_latency", encoded.wave_latency)
    tally.add("weak_latency", encoded.weak_latency)
    crossings = ~told.event_weak
    events = Events(told.event_frames[crossings], told.event_channels[crossings])
    weak = Events(told.event_frames[told.event_weak], told.event_channels[told.event_weak])
    _events(tally, encoded, events, own, reference, rate)
    if original.spikes is not None:
        _known(tally, events, weak, reference, original)
    waves = _waves(tally, told, reference)
    tally.count("events_told", len(told.event_frames))
    tally.count("events_weak", len(weak.frames))
    _power(tally, told, reference, rate)
    _low(tally, told, reference, rate)
    return encoded, waves


def _events(tally: Tally, encoded: Encoded, events: Events, own: Events, reference: Reference, rate: float) -> None:
    kept = matched(own, events, ON_TIME * rate)
    tally.count("own", len(kept))
    tally.count("kept", kept.sum())
    spans = encoded.spans
    packet = np.searchsorted(spans[:, 0], own.frames, side="right") - 1
    quiet = spans[packet, 2] == 0
    tally.count("own_quiet", quiet.sum())
    tally.count("kept_quiet", kept[quiet].sum())
    settled = events.frames >= SETTLED * rate
    late = Events(*(each[settled] for each in events))
    tally.count("offline", len(reference.events.frames))
    tally.count("offline_found", matched(reference.events, events, OFFLINE_TIME * rate).sum())
    tally.count("settled", len(late.frames))
    tally.count("settled_offline", matched(late, reference.events, OFFLINE_TIME * rate).sum())


def _known(tally: Tally, events: Events, weak: Events, reference: Reference, original: Original) -> None:
    """How many known spikes are found, and how many crossings are some, by telemetry and on the original."""
    assert original.spikes is not None
    begin, reach = SETTLED * original.rate, KNOWN_TIME * original.rate
    spikes = Events(
        np.concatenate([each.frames for each in original.spikes]),
        np.repeat(np.arange(len(original.spikes)), [len(each.frames) for each in original.spikes]),
    )
    spikes = Events(*(each[spikes.frames >= begin + reach] for each in spikes))
    events, weak = (Events(*(each[found.frames >= begin] for each in found)) for found in (events, weak))
    both = Events(*map(np.concatenate, zip(events, weak, strict=True)))
    tally.count("spikes", len(spikes.frames))
    for name, crossings in (("told", events), ("weak", weak), ("all", both), ("original", reference.events)):
        tally.count(f"spikes_{name}", matched(spikes, crossings, reach).sum())
        tally.count(f"crossings_{name}", len(crossings.frames))
        tally.count(f"right_{name}", matched(crossings, spikes, reach).sum())


def _waves(tally: Tally, told: Telemetry, reference: Reference) -> Waves:
    """Compare the decoded waveforms with the original's spike band at the same frames."""
    has = np.flatnonzero(told.waveform_of >= 0)
    rows = told.waveform_of[has]
    frames, channels = told.trough_frames[rows], told.event_channels[has]
    original = cut(reference.band, frames, channels, told.pre, told.waveforms.shape[1])
    waves = told.waveforms[rows]
    tally.add("wave_error", ((original - waves).astype(np.float64) ** 2).sum(axis=1))
    tally.add("wave_energy", (original.astype(np.float64) ** 2).sum(axis=1))
    return Waves(waves, original, frames, channels)


def _power(tally: Tally, told: Telemetry, reference: Reference, rate: float) -> None:
    """Correlate each channel's bins, once filters have settled, with the original's; 0 where too few are sent."""
    size = told.description.shape.bin
    if not size:
        return
    first = int(np.ceil(2 * SETTLED * rate / size))
    ours, theirs = told.power[first:].astype(np.float64), reference.power[first : len(told.power)]
    tally.count("power_bins", ours.size)
    tally.count("power_told", np.isfinite(ours).sum())
    for column, truth in zip(ours.T, theirs.T, strict=True):
        known = np.isfinite(column)
        if len(truth) < FEWEST_BINS or truth.std() == 0:
            continue
        told_enough = known.sum() >= FEWEST_BINS and column[known].std() > 0 and truth[known].std() > 0
        tally.add("power", np.corrcoef(column[known], truth[known])[0, 1] if told_enough else 0.0)


def _low(tally: Tally, told: Telemetry, reference: Reference, rate: float) -> None:
    """Signal over error of each channel's LFP band, from the first block sent to the last; what is left out between
    counts as the channel's mean. 0 dB where less than a block is sent.
    """
    step, frames = told.description.shape.decimation, told.low_frames
    inside = np.flatnonzero((frames >= SETTLED * rate) & (frames + step < told.frames))
    if len(inside) < 2 * BLOCK:
        return
    tally.count("low_samples", len(inside) * told.channels)
    for channel in range(told.channels):
        low = told.low[inside, channel].astype(np.float64)
        known = np.isfinite(low)
        tally.count("low_told", known.sum())
        there = np.flatnonzero(known)
        if len(there) < BLOCK:
            for edge in EDGES:
                tally.add(f"low_{edge:g}", 0.0)
            continue
        low = np.where(known, low, low[known].mean())[there[0] : there[-1] + 1]
        errors = low_errors(reference.codes[channel], low, frames[inside[there[0]]], step, rate, EDGES)
        for edge, error in zip(EDGES, errors, strict=True):
            tally.add(f"low_{edge:g}", error)

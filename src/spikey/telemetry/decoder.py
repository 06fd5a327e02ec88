"""Telemetry packets in; events, waveforms, spike-band power and LFP band out, with spans of missing frames."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from spikey.base.errors import DataError
from spikey.coding.range_coder import range_decoder
from spikey.telemetry.basis import restore_low, restore_power, restore_waves, tables, transforms
from spikey.telemetry.channel_stats import clipped, default_profile
from spikey.telemetry.contents import Missing, PacketContents
from spikey.telemetry.filters import FRACTION
from spikey.telemetry.footprint import ABSENT, OWN, SCALED, restore_scaled
from spikey.telemetry.frontend import NORMAL
from spikey.telemetry.logarithm import exp2
from spikey.telemetry.packet import DROPPED, LAST, Description, Packet, read_packet
from spikey.telemetry.payload import Payload, code_crossings, code_detail, code_key_parts
from spikey.telemetry.reorder import ReorderBuffer
from spikey.telemetry.schedule import PART, Schedule, channels_of
from spikey.telemetry.settings import BLOCK
from spikey.telemetry.syntax import FIELDS, NOISE, quality_of, rough_quality_of
from spikey.telemetry.verifier import Verifier

POWER_FRACTION = 12  # bits of squares below one code

HOLD = 8  # packets that wait for a missing one, or for the first key packet


@dataclass
class Counts:
    """Counts of packets: pushed, read, lost, late or repeated, damaged or of another stream, early (before the first
    key packet), and unreadable for lack of a profile. unauthenticated: packets without a valid tag of the decoder's
    key, or with a tag if it has no key.
    """

    packets: int = 0
    read: int = 0
    lost: int = 0
    late: int = 0
    damaged: int = 0
    early: int = 0
    unreadable: int = 0
    unauthenticated: int = 0


class TelemetryDecoder:
    """Decodes telemetry packets, in order or nearly so; no packet raises an error, whatever it contains.

    Parameters
    ----------
    key : bytes, optional
        The encoder's key; with it only packets with a valid tag are decoded.
    tag_bytes : int, optional
        Shortest tag that is accepted, in bytes; None for 4.

    Attributes
    ----------
    description : Description or None
        Description of the stream, after its first key packet.
    counts : Counts
        Packets that were read, lost, late, damaged and so on.
    ended : int or None
        Number of frames of the stream, after its last packet.

    Examples
    --------
    >>> import numpy, spikey
    >>> encoder, decoder = spikey.TelemetryEncoder(2, 20000), spikey.TelemetryDecoder()
    >>> packets = encoder.push(numpy.zeros((300, 2), dtype="int16")) + encoder.close()
    >>> sum(item.end_frame - item.first_frame for packet in packets for item in decoder.push(packet))
    300
    """

    def __init__(self, key: bytes | None = None, *, tag_bytes: int | None = None) -> None:
        self._verifier = Verifier(key, tag_bytes)
        self.description: Description | None = None
        self.counts = Counts()
        self.ended: int | None = None
        self._reorder: ReorderBuffer[Packet] = ReorderBuffer(HOLD)
        self._early: deque[tuple[Packet, bytes]] = deque(maxlen=HOLD)  # not verified

    def push(self, data: bytes | memoryview) -> list[PacketContents | Missing]:
        """The contents that can be decoded with a packet, and what is missing before them."""
        self.counts.packets += 1
        try:
            packet = read_packet(data)
        except DataError:
            self.counts.damaged += 1
            return []
        if self.description is None:
            if packet.description is None:
                self.counts.early += 1
                self._early.append((packet, bytes(data)))
                return []
            if not self._verifier.takes(packet, data, packet.description.packet):
                self.counts.unauthenticated += 1
                return []
            return self._begin(packet, packet.description)
        if packet.description is not None and packet.description.stream != self.description.stream:
            self.counts.damaged += 1
            return []
        if not self._verifier.takes(packet, data, self._reorder.number(packet)):
            self.counts.unauthenticated += 1
            return []
        if self.ended is not None:
            self.counts.late += 1
            return []
        if not self._reorder.put(self._reorder.number(packet), packet):
            self.counts.late += 1
            return []
        return self._release()

    @property
    def noise(self) -> np.ndarray:
        """Standard deviation of the noise in each channel's spike band, in codes, float64 (channels,).

        By the latest profile: the middle of the profile's step. Needs a key packet first.
        """
        assert self.description is not None
        profile = self._profile if self._profile is not None else self._coming
        medians = np.array([exp2(2 * int(quarters) + 1) for quarters in profile[:, NOISE]], dtype=np.float64)
        return medians / ((1 << FRACTION) * NORMAL)

    def finish(self) -> list[PacketContents | Missing]:
        """The contents of packets that were still waiting for missing ones."""
        return self._release(everything=True)

    def _begin(self, key: Packet, description: Description) -> list[PacketContents | Missing]:
        """Begin at a key packet, with the earlier packets that it has overtaken."""
        self.description = description
        self.shape = shape = description.shape
        self._turns, self._tables, self._transforms = Schedule(shape), tables(), transforms(shape)
        self._reorder = ReorderBuffer(HOLD, description.packet)
        self._epoch = -1
        self._profile: np.ndarray | None = None
        self._coming = default_profile(shape.channels, description.noise)
        self._parts: set[int] = set()
        self._due, self._frames, self._channels = np.zeros((3, 0), dtype=np.int64)  # of waveforms in later packets
        self._blind = 0
        items: list[PacketContents | Missing] = [self._miss(0, description.packet)] if description.packet else []
        self._reorder.put(description.packet, key)
        for packet, data in self._early:
            number = self._reorder.number(packet)
            authentic = self._verifier.takes(packet, data, number)
            if authentic and number > description.packet and self._reorder.put(number, packet):
                self.counts.early -= 1
        self._early.clear()
        return items + self._release()

    def _release(self, *, everything: bool = False) -> list[PacketContents | Missing]:
        items: list[PacketContents | Missing] = []
        if self.ended is not None or self.description is None:
            return items
        due = self._reorder.next
        for number, packet in self._reorder.take(everything=everything):
            if number > due:
                items.append(self._miss(due, number))
                self.counts.lost += number - due
            items.append(self._read(number, packet))
            due = number + 1
            if self.ended is not None:
                break  # packets numbered after the end are ignored
        return items

    def _miss(self, first: int, end: int) -> Missing:
        """The frames of packets of which nothing can be read; waveforms that depend on them are skipped."""
        frames = self.shape.frames
        self._blind = end * frames + self.shape.wait + self.shape.resolution
        return Missing(first * frames, end * frames)

    def _turn(self, number: int) -> None:
        """Switch to the next profile if a new epoch begins."""
        epoch = self._turns.epoch(number)[0]
        if epoch == self._epoch:
            return
        whole = epoch == self._epoch + 1 and len(self._parts) == self._turns.parts
        if epoch == 0:
            assert self.description is not None
            self._profile = default_profile(self.shape.channels, self.description.noise)
        else:
            self._profile = self._coming.copy() if whole and self._epoch >= 0 else None
        self._epoch = epoch
        self._parts = set()

    def _read(self, number: int, packet: Packet) -> PacketContents | Missing:
        shape, turns = self.shape, self._turns
        self._turn(number)
        coder = range_decoder([packet.payload])
        payload = Payload(*np.zeros((2, shape.slots, shape.channels), dtype=np.int16))
        at_once = number == 0 and turns.at_once
        parts = list(range(turns.parts)) if at_once else turns.profiles(number)
        spans = [slice(part * PART, min((part + 1) * PART, shape.channels)) for part in parts]
        payload.profiles = np.zeros((sum(span.stop - span.start for span in spans), FIELDS), dtype=np.int32)
        code_key_parts(coder, self._tables, shape, packet.flags, payload)
        at = 0
        for part, span in zip(parts, spans, strict=True):
            self._coming[span] = clipped(payload.profiles[at : at + span.stop - span.start])
            at += span.stop - span.start
            self._parts.add(part)
        if at_once:
            self._profile = self._coming.copy()
        last = bool(packet.flags & LAST)
        end = number * shape.frames + (int(payload.length[0]) if last else shape.frames)
        if last:
            self.ended = end
        if self._profile is None:
            self.counts.unreadable += 1
            missing = self._miss(number, number + 1)
            return Missing(missing.first_frame, end)
        self.counts.read += 1
        code_crossings(coder, self._tables, shape, payload, self._profile)
        events = self._events(number, payload)
        due = self._expect(number * shape.frames, end, payload)
        power, bins = channels_of(turns.power(number, end))
        low, turn = channels_of(turns.blocks(number, end))
        payload.power_channels, payload.power = power, np.zeros(len(power), dtype=np.int32)
        payload.low_channels = low
        payload.low = np.zeros((len(low), shape.coefficients), dtype=np.int32)
        code_detail(coder, self._tables, shape, payload, self._profile)
        waves = self._waves(payload, due)
        weak = self._weak(number, payload)
        no_power, no_low = int(payload.no_power[0]) * len(power), int(payload.no_low[0]) * len(low)
        if no_power:
            power, bins, payload.power = power[:0], bins[:0], payload.power[:0]
        if no_low:
            low, turn, payload.low = low[:0], turn[:0], payload.low[:0]
        return PacketContents(
            number * shape.frames,
            end,
            int(payload.dropped[0]) if packet.flags & DROPPED else 0,
            np.concatenate([events[0], weak[0]]),
            np.concatenate([events[1], weak[1]]),
            bins - 1,
            power,
            self._power(payload, power),
            turns.block_ends(turn, low),
            low,
            self._low(payload, low),
            np.concatenate([waves[0], weak[0]]),
            np.concatenate([waves[1], weak[1]]),
            np.concatenate([waves[2], weak[0]]),
            np.concatenate([waves[3], weak[2]]),
            np.concatenate([waves[4], np.zeros(len(weak[0]), dtype=np.bool_)]),
            len(weak[0]),
            int(np.count_nonzero(payload.absent == ABSENT)),
            no_power,
            no_low,
        )

    def _events(self, number: int, payload: Payload) -> tuple[np.ndarray, np.ndarray]:
        """Frames and channels of a packet's crossings; stores when their waveforms are due."""
        shape = self.shape
        slots, channels = np.nonzero(payload.found)
        start = number * shape.frames + slots * shape.slot
        frames = start + (payload.found[slots, channels].astype(np.int64) - 1) * shape.resolution
        if shape.waveforms:
            self._due = np.concatenate([self._due, frames + shape.resolution - 1 + shape.wait])
            self._frames = np.concatenate([self._frames, frames])
            self._channels = np.concatenate([self._channels, channels])
        return frames + shape.resolution // 2, channels

    def _weak(self, number: int, payload: Payload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames of the troughs of a packet's weak spikes, channels, and snippets."""
        shape = self.shape
        if payload.no_weak[0]:
            payload.weak[:] = 0
        slots, channels = map(np.ascontiguousarray, np.nonzero(payload.weak))  # so that one compiled kernel suffices
        start = number * shape.frames + slots * shape.slot - shape.wait
        frames = start + (payload.weak[slots, channels].astype(np.int64) - 1) * shape.resolution
        snippets = self._snippets(channels, payload.weak_waves, rough_quality_of(int(payload.size[0])))
        return np.maximum(frames + shape.resolution // 2, 0), channels, snippets

    def _expect(self, start: int, end: int, payload: Payload) -> np.ndarray:
        """Frames of the crossings whose waveforms are in a packet; none if earlier crossings may be missing."""
        ready = self._due < end
        frames, channels = self._frames[ready], self._channels[ready]
        self._due, self._frames, self._channels = (each[~ready] for each in (self._due, self._frames, self._channels))
        if start < self._blind:
            frames, channels = frames[:0], channels[:0]
        payload.expect_waves(self.shape, channels, frames)
        return frames

    def _power(self, payload: Payload, channels: np.ndarray) -> np.ndarray:
        """Mean squares, in codes."""
        assert self._profile is not None
        squares = np.zeros(len(channels), dtype=np.int64)
        restore_power(self._profile, channels, payload.power, int(payload.coarse[0]), squares)
        return squares / (1 << POWER_FRACTION)

    def _low(self, payload: Payload, channels: np.ndarray) -> np.ndarray:
        """Samples of blocks, in 1/64 codes."""
        assert self._profile is not None and self.description is not None
        samples = np.zeros((len(channels), BLOCK), dtype=np.int64)
        restore_low(
            self._transforms.cosines,
            self._profile,
            channels,
            payload.low,
            int(payload.size[0]),
            self.description.middle,
            samples,
        )
        return samples

    def _waves(self, payload: Payload, frames: np.ndarray) -> tuple[np.ndarray, ...]:
        """Frames of crossings, channels, frames of troughs, snippets, and which of these are scaled."""
        there, own = payload.absent != ABSENT, payload.absent == OWN
        steps = payload.wave_channels[own], payload.waves[own]
        snippets = self._snippets(*steps, quality_of(int(payload.size[0])))
        if self.shape.distances:
            snippets = self._with_scaled(payload, snippets)
        crossings = frames[there] + self.shape.resolution // 2
        channels, scaled = payload.wave_channels[there], payload.absent[there] == SCALED
        return crossings, channels, crossings + payload.offsets[there], snippets, scaled

    def _with_scaled(self, payload: Payload, own: np.ndarray) -> np.ndarray:
        """All snippets of a packet; own int32 (n, snippet): those from which the others are scaled."""
        snippets = np.zeros((len(payload.absent), self.shape.snippet), dtype=np.int32)
        snippets[payload.absent == OWN] = own
        restore_scaled(payload.links, payload.absent, payload.gains, snippets)
        return snippets[payload.absent != ABSENT]

    def _snippets(self, channels: np.ndarray, steps: np.ndarray, quality: int) -> np.ndarray:
        """Waveforms int32 (n, snippet) of channels int64 (n,), of steps int32 (n, 13)."""
        assert self._profile is not None
        snippets = np.zeros((len(channels), self.shape.snippet), dtype=np.int32)
        restore_waves(self._transforms.waves, self._profile, channels, steps, quality, snippets)
        return snippets

"""Decodes packets into frames; losses are reported exactly, and no wrong sample is delivered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.model.calibration import Calibration, find
from spikey.model.density import density_of
from spikey.stream.channels import (
    MOST_GROUPS,
    ChannelStates,
    channel_states,
    reset,
    run_frames,
    scratch,
    two_step_decoder,
)
from spikey.stream.codes import values_of
from spikey.stream.counts import Counts
from spikey.stream.group import HALF, Group, disjoint, raw_samples, uncovered
from spikey.stream.packet import LAST, PARITY, RAW, Description, Packet, read_packet
from spikey.stream.parity import Repair
from spikey.stream.segments import Gap, Segment
from spikey.stream.verifier import Verifier, stated_number

WINDOW = 32  # packets of a group that wait for an earlier one
EARLY = 64  # packets stored that came before their group's first key packet
MOST_CHANNELS = 1 << 16  # of a stream
MOST_ADMITTED = 4096  # packets that are not verified again


class _Due(NamedTuple):
    """A packet whose turn it is; `broken` if those before it are lost."""

    packet: Packet
    broken: bool


class Decoder:
    """Decodes the packets of one stream, in any order of arrival.

    Parameters
    ----------
    stream : int, optional
        Number of the stream; None for the stream of the first key packet.
    calibration : Calibration, optional
        Code widths of the ADC, where the encoder used a calibration that does not come with the package.
    wait : int
        Packets of a group of channels that may arrive before a missing one is given up.
    jobs : int
        Threads of `push_all`.
    key : bytes, optional
        The encoder's key. With it only packets with a valid tag are decoded, each once; without it only packets without
        a tag.
    tag_bytes : int, optional
        Shortest tag that is accepted, in bytes; None for 8.

    Attributes
    ----------
    description : Description or None
        Channels, rate and type of the samples; None until the first key packet.
    latest : int or None
        The last frame that the sender can have reached, set by a receiver with a clock; later frames are refused.

    Examples
    --------
    >>> import numpy, spikey
    >>> encoder, decoder = spikey.Encoder(2, 20000), spikey.Decoder()
    >>> packets = encoder.push(numpy.zeros((20, 2), dtype="int16"))
    >>> [segment.samples.shape for segment in decoder.push_all(packets)]
    [(20, 2)]
    """

    def __init__(
        self,
        stream: int | None = None,
        *,
        calibration: Calibration | None = None,
        wait: int = WINDOW,
        jobs: int = 1,
        key: bytes | None = None,
        tag_bytes: int | None = None,
    ):
        self.stream = stream
        self._verifier = Verifier(key, tag_bytes)
        self._admitted: set[bytes] = set()  # packets that were verified and not pushed yet
        self.description: Description | None = None
        self.counts = Counts()
        self.latest: int | None = None
        self.ending = False  # whether an end packet has arrived, in turn or not
        self._calibration, self._wait, self._jobs = calibration, wait, jobs
        self._far = None if key is not None else max(wait, WINDOW)  # packets ahead, beyond which two must agree
        self._pool = ThreadPoolExecutor(jobs) if jobs > 1 else None
        self._codes = np.zeros(0, dtype=np.int32)
        self._scratch = [scratch() for _ in range(jobs)]
        self._groups: dict[int, Group] = {}
        self._repair: Repair | None = None
        self._end: int | None = None
        self._early: deque[Packet] = deque(maxlen=EARLY)

    def push(self, packet: bytes) -> list[Segment | Gap]:
        """The segments and gaps that a packet completes; damaged and foreign packets are only counted."""
        return self.push_all([packet])

    def push_all(self, packets: Sequence[bytes]) -> list[Segment | Gap]:
        """`push` for several packets at once, which several threads can share."""
        due: dict[int, list[_Due]] = {}
        for packet in packets:
            for each in self._sorted(packet):
                due.setdefault(each.packet.group, []).append(each)
        return self._decode_all([list(each) for each in due.values()])

    def _sorted(self, data: bytes) -> Iterator[_Due]:
        """The packets that are due when one arrives."""
        try:
            packet = read_packet(data)
            if not self._is_admitted(packet, data):
                return
            if self._repair is None:
                self.stream, self._repair = packet.stream, Repair(packet.stream)
            if packet.flags & PARITY:
                yield from self._recover(packet)
                return
            if self._is_too_far(packet):
                self.counts.refused += 1
                return
            self.ending |= bool(packet.flags & LAST)
            self._repair.see(bytes(data))
        except DataError:
            self.counts.damaged += 1
            return
        begun = packet.group in self._groups
        yield from self._queue(packet)
        if not begun and packet.group in self._groups:
            early = [p for p in self._early if p.group == packet.group and self._is_current(p, p.number)]
            self.counts.undecodable -= len(early)
            for waiting in early:
                yield from self._queue(waiting)

    def admit(self, data: bytes) -> bool:
        """Whether a packet is one of the stream, authentic and new; counted if it is not. It still has to be pushed."""
        try:
            packet = read_packet(data)
        except DataError:
            self.counts.damaged += 1
            return False
        new = bytes(data) not in self._admitted
        if new and not self._is_admitted(packet, data):
            return False
        new = new and self._is_new(packet)
        self.counts.repeated += not new
        if new and len(self._admitted) < MOST_ADMITTED:
            self._admitted.add(bytes(data))
        return new

    def _is_admitted(self, packet: Packet, data: bytes) -> bool:
        """Whether a packet is of the stream, and has the tag that it must have, or none where there is no key."""
        if self._admitted and bytes(data) in self._admitted:
            self._admitted.remove(bytes(data))
            return True
        first = self.stream is None and packet.description is not None  # of a stream that is taken from its first key
        if not first and packet.stream != self.stream:
            self.counts.foreign += 1
            return False
        admitted = self._verifier.takes(packet, data, self._whole(packet))
        self.counts.unauthenticated += not admitted
        return admitted

    def _is_new(self, packet: Packet) -> bool:
        if packet.flags & PARITY:
            return self._repair is None or self._repair.is_new(packet)
        group = self._groups.get(packet.group)
        if group is None:
            return packet not in self._early
        return self._is_current(packet, self._whole(packet)) and group.is_new(packet)

    def _whole(self, packet: Packet) -> int:
        """A packet's whole number: keys contain it, others are assumed to be near the next one of their group."""
        group = None if packet.flags & PARITY or packet.description is not None else self._groups.get(packet.group)
        return stated_number(packet) if group is None else max(group.whole(packet.number), 0)

    def _is_current(self, packet: Packet, whole: int) -> bool:
        """Whether the number in an authentic packet's tag fits its group, possibly unknown at that time."""
        return self._verifier.key is None or self._groups[packet.group].whole(packet.number) == whole

    def _recover(self, packet: Packet) -> Iterator[_Due]:
        """What follows from a parity packet."""
        assert self._repair is not None
        if self._verifier.key is not None and not self._repair.is_new(packet):
            self.counts.repeated += 1
            return
        found = self._repair.recover(packet)
        self.counts.recovered += len(found)
        for each in found:
            yield from self._sorted(each)

    def _is_too_far(self, packet: Packet) -> bool:
        """Whether a packet implies more frames than possible, at least one for each packet before it."""
        if self.latest is None:
            return False
        first = 0 if packet.description is None else packet.description.first_frame
        frame = max(first, Cursor(packet.body).varint() if packet.flags & LAST else 0)
        group = self._groups.get(packet.group)
        if frame > self.latest or group is None:
            return frame > self.latest
        return self._wait + max(self.latest - group.frame, 0) < group.ahead(packet.number) < HALF

    def _queue(self, packet: Packet) -> Iterator[_Due]:
        """Queue a packet of the stream; returns due packets in order."""
        group = self._groups.get(packet.group)
        if group is None:
            if packet.description is None or not self._acceptable(packet.description):
                self.counts.undecodable += 1
                if packet.description is None:
                    self._early.append(packet)
                return
            group = self._groups[packet.group] = Group(packet.description, stated_number(packet))
            self.description = self.description or packet.description
        if not self._is_current(packet, self._whole(packet)) or not group.put(packet, self._far):
            self.counts.repeated += 1
            return
        self.counts.taken += 1
        for each, lost in group.release(self._wait):
            self.counts.lost += lost
            yield _Due(each, lost > 0)

    def _decode_all(self, due: list[list[_Due]]) -> list[Segment | Gap]:
        """Decode packets, those of each group in their order; the next ones of all groups together."""
        out: list[Segment | Gap] = []
        for turn in zip_longest(*due):
            coded: list[Packet] = []
            for each in turn:
                if each is not None:
                    self._groups[each.packet.group].alive &= not each.broken
                    out += self._begin(each.packet, coded)
            out += self._decode(coded)
        return out

    def _acceptable(self, description: Description) -> bool:
        """Whether a group fits the stream's description, so that a foreign packet cannot cause an allocation."""
        own = self.description
        if own is None:
            return description.channels <= MOST_CHANNELS
        same = (own.channels, own.rate, own.dtype) == (description.channels, description.rate, description.dtype)
        return same and all(disjoint(description, group.description) for group in self._groups.values())

    def _begin(self, packet: Packet, coded: list[Packet]) -> list[Segment | Gap]:
        """A packet whose turn it is: what follows from it at once; it is added to `coded` if it is to be decoded."""
        group = self._groups[packet.group]
        out: list[Segment | Gap] = []
        try:
            if packet.flags & LAST:
                end = Cursor(packet.body).varint()
                if end < max(each.frame for each in self._groups.values()) or self._end not in (None, end):
                    raise DataError("a packet ends its stream before what has come of it")
                self._end, group.ended = end, True
                return []
            fresh = packet.description
            if fresh is None and not group.alive:
                raise DataError("a packet's group is silent")
            if fresh is not None:
                group.alive = False
                if not group.continues(fresh):
                    raise DataError("a packet does not continue its group")
                if fresh.first_frame > group.frame:
                    out.append(Gap(group.frame, fresh.first_frame, fresh.first_channel, fresh.count))
                group.frame = fresh.first_frame
            if packet.flags & RAW:
                samples = raw_samples(group.description, packet)
                out.append(Segment(group.frame, group.description.first_channel, samples))
                group.frame += packet.frames
            else:
                if fresh is not None:
                    self._start(packet.group, group, fresh, packet.body)
                coded.append(packet)
        except DataError:
            self.counts.undecodable += 1
        return out

    def _start(self, index: int, group: Group, fresh: Description, body: bytes) -> None:
        """Restart a group with a key packet."""
        if len(body) < fresh.count:
            raise DataError("a key packet is too short")
        last = group.description
        if group.states is None or (fresh.levels, fresh.calibration) != (last.levels, last.calibration):
            group.states = self._states_for(fresh)
        group.description = fresh
        group.states.first[index], group.states.end[index] = fresh.first_channel, fresh.first_channel + fresh.count
        reset(group.states, index, np.frombuffer(body[: fresh.count], dtype=np.uint8), self._scratch[0])
        group.alive = True

    def _decode(self, packets: list[Packet]) -> list[Segment | Gap]:
        """The samples of packets of different groups."""
        out: list[Segment | Gap] = []
        left = packets
        while left:
            first = self._groups[left[0].group].states  # nearly always that of all
            assert first is not None
            alike = [packet for packet in left if self._groups[packet.group].states is first]
            left = [packet for packet in left if self._groups[packet.group].states is not first]
            out += self._decode_alike(first, alike)
        return out

    def _decode_alike(self, states: ChannelStates, packets: list[Packet]) -> list[Segment | Gap]:
        groups = [self._groups[packet.group] for packet in packets]
        described = [group.description for group in groups]
        begin = min(each.first_channel for each in described)
        end = max(each.first_channel + each.count for each in described)
        codes = self._room(max(packet.frames for packet in packets), described[0].channels)
        codes[:, begin:end] = 0  # not every lane fills its columns
        if self._pool is None or len(packets) == 1:
            self._run(states, packets, codes, 0)
        else:
            shares = [packets[job :: self._jobs] for job in range(min(self._jobs, len(packets)))]
            list(self._pool.map(lambda job: self._run(states, shares[job], codes, job), range(len(shares))))
        part = np.ascontiguousarray(codes[:, begin:end])
        samples = values_of(described[0].levels, part, np.dtype(described[0].dtype))
        out: list[Segment | Gap] = []
        for packet, group, each in zip(packets, groups, described, strict=True):
            at = each.first_channel - begin
            out.append(Segment(group.frame, each.first_channel, samples[: packet.frames, at : at + each.count]))
            group.frame += packet.frames
        return out

    def _room(self, frames: int, channels: int) -> np.ndarray:
        """Room for codes int32 (frames, channels), used over and over."""
        if self._codes.size < frames * channels:
            self._codes = np.zeros(frames * channels, dtype=np.int32)
        return self._codes[: frames * channels].reshape(frames, channels)

    def _run(self, states: ChannelStates, packets: list[Packet], codes: np.ndarray, job: int) -> None:
        """Decode packets of different groups with the same states into `codes`; one thread's work."""
        groups = np.array([packet.group for packet in packets], dtype=np.int64)
        lengths = np.array([packet.frames for packet in packets], dtype=np.int64)
        bodies = [p.body if p.description is None else p.body[p.description.count :] for p in packets]
        run_frames(two_step_decoder(bodies), states, groups, lengths, codes, self._scratch[job])

    def _states_for(self, description: Description) -> ChannelStates:
        """The states of the groups with these levels and this calibration."""
        for group in self._groups.values():
            same = group.description.levels, group.description.calibration
            if group.states is not None and same == (description.levels, description.calibration):
                return group.states
        size = description.levels.alphabet
        if description.levels.low_bits:
            raise DataError("a packet's levels are of a kind that a stream cannot have")
        calibration = self._calibration_of(description) if description.calibration else None
        if calibration is not None and calibration.alphabet != size:
            raise DataError(f"a packet's calibration is of {calibration.alphabet} codes, not {size}")
        prior = None if calibration is None else calibration.prior
        return channel_states(description.channels, MOST_GROUPS, size, density_of(size, calibration), prior)

    def _calibration_of(self, description: Description) -> Calibration:
        """The calibration that a description names: the decoder's own, or a shipped one."""
        own = self._calibration
        return own if own is not None and own.id == description.calibration else find(description.calibration)

    @property
    def ended(self) -> bool:
        """Whether the end packets of all groups have arrived."""
        return bool(self._groups) and all(group.ended for group in self._groups.values())

    def wanted(self) -> list[tuple[int, int]]:
        """Missing packets that are still accepted, as (group, number)."""
        return [(index, number) for index, group in self._groups.items() for number in group.missing()]

    def finish(self) -> list[Segment | Gap]:
        """Stop waiting: all that can still be decoded, and gaps for everything missing up to the stream's end.

        The end is that of the stream's end packets, or else the last frame of any group.
        """
        out: list[Segment | Gap] = []
        for group in self._groups.values():
            for packet, lost in group.release_all():
                self.counts.lost += lost
                out += self._decode_all([[_Due(packet, lost > 0)]])
        ends = [group.frame for group in self._groups.values()]
        end = self._end if self._end is not None else max(ends, default=0)
        for group in self._groups.values():
            if group.frame < end:
                out.append(Gap(group.frame, end, group.description.first_channel, group.description.count))
                group.frame = end
        if self.description is not None and end:
            unseen = uncovered(self._groups.values(), self.description.channels)
            out += [Gap(0, end, first, count) for first, count in unseen]
        return out

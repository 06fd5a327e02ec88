"""Packets in, frames out; what is lost is said exactly, and nothing wrong is ever delivered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.codec.block import density_of
from spikey.model.calibration import Calibration, find
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
from spikey.stream.packet import LAST, PARITY, RAW, Description, Packet, read_packet
from spikey.stream.parity import Repair

WINDOW = 32  # packets of a group that wait for an earlier one
EARLY = 64  # packets kept that came before their group's first key packet
HALF = 1 << 31
MOST_CHANNELS = 1 << 16  # of a stream
SAME = ("channels", "rate", "dtype", "first_channel", "count")  # in all key packets of a group


class Segment(NamedTuple):
    """Samples (frames, channels) that arrived; their first frame since the stream began, their first channel."""

    first_frame: int
    first_channel: int
    samples: np.ndarray


class Gap(NamedTuple):
    """Frames [first_frame, end_frame) of `channels` channels from `first_channel` on that will not come any more."""

    first_frame: int
    end_frame: int
    first_channel: int
    channels: int


@dataclass
class Counts:
    """What became of packets: decoded or waiting, damaged, of another stream, twice or late, lost, recovered.

    refused: those that name frames beyond `Decoder.latest`.
    """

    taken: int = 0
    damaged: int = 0
    foreign: int = 0
    repeated: int = 0
    lost: int = 0
    undecodable: int = 0
    recovered: int = 0
    refused: int = 0


@dataclass
class _Group:
    """One group's state; `frame` is the first that is neither delivered nor reported missing."""

    description: Description
    expected: int
    states: ChannelStates | None = None
    frame: int = 0
    alive: bool = False
    ended: bool = False
    waiting: dict[int, Packet] = field(default_factory=dict)


class _Due(NamedTuple):
    """A packet whose turn it is; `broken` if those before it are lost."""

    packet: Packet
    broken: bool


class Decoder:
    """Decodes the packets of one stream, in whatever order they come.

    stream: its number; None takes that of the first key packet. calibration: one that is not shipped. wait: packets of
    a group that may arrive before a missing one is given up. jobs: threads of `push_all`.

    `description` (any group's) is None until the first key packet. `latest`, where a receiver with a clock sets it, is
    the frame up to which the stream can have come: what names a later one is refused.
    """

    def __init__(
        self, stream: int | None = None, *, calibration: Calibration | None = None, wait: int = WINDOW, jobs: int = 1
    ):
        self.stream = stream
        self.description: Description | None = None
        self.counts = Counts()
        self.latest: int | None = None
        self.ending = False  # whether an end packet has come, be it its turn or not
        self._calibration, self._wait, self._jobs = calibration, wait, jobs
        self._pool = ThreadPoolExecutor(jobs) if jobs > 1 else None
        self._codes = np.zeros(0, dtype=np.int32)
        self._scratch = [scratch() for _ in range(jobs)]
        self._groups: dict[int, _Group] = {}
        self._repair: Repair | None = None
        self._end: int | None = None
        self._early: deque[Packet] = deque(maxlen=EARLY)

    def push(self, packet: bytes) -> list[Segment | Gap]:
        """What a packet makes known. One that is damaged, of another stream or not a packet at all is only counted."""
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
            if self.stream is None and packet.description is not None:
                self.stream = packet.stream
            if packet.stream != self.stream:
                self.counts.foreign += 1
                return
            if self._repair is None:
                self._repair = Repair(packet.stream)
            if packet.flags & PARITY:
                found = self._repair.recover(packet)
                self.counts.recovered += len(found)
                for each in found:
                    yield from self._sorted(each)
                return
            if self._is_too_far(packet):
                self.counts.refused += 1
                return
            self.ending |= bool(packet.flags & LAST)
            self._repair.see(bytes(data))
        except DataError:
            self.counts.damaged += 1
            return
        known = packet.group in self._groups
        yield from self._queue(packet)
        if not known and packet.group in self._groups:
            early = [kept for kept in self._early if kept.group == packet.group]
            self.counts.undecodable -= len(early)
            for kept in early:
                yield from self._queue(kept)

    def _is_too_far(self, packet: Packet) -> bool:
        """Whether a packet claims more frames than there can have been, also of packets before it, a frame each."""
        if self.latest is None:
            return False
        first = 0 if packet.description is None else packet.description.first_frame
        frame = max(first, Cursor(packet.body).varint() if packet.flags & LAST else 0)
        group = self._groups.get(packet.group)
        if frame > self.latest or group is None:
            return frame > self.latest
        return self._wait + max(self.latest - group.frame, 0) < (packet.number - group.expected) & 0xFFFFFFFF < HALF

    def _queue(self, packet: Packet) -> Iterator[_Due]:
        """Queue a packet of the stream; what is due comes out in order."""
        group = self._groups.get(packet.group)
        if group is None:
            if packet.description is None or not self._acceptable(packet.description):
                self.counts.undecodable += 1
                if packet.description is None:
                    self._early.append(packet)
                return
            group = self._groups[packet.group] = _Group(packet.description, packet.number)
            self.description = self.description or packet.description
        ahead = (packet.number - group.expected) & 0xFFFFFFFF
        if ahead >= HALF or packet.number in group.waiting:
            self.counts.repeated += 1
            return
        self.counts.taken += 1
        group.waiting[packet.number] = packet
        broken = False
        while group.waiting:
            due = group.waiting.pop(group.expected, None)
            if due is None:
                nearest = min((number - group.expected) & 0xFFFFFFFF for number in group.waiting)
                farthest = max((number - group.expected) & 0xFFFFFFFF for number in group.waiting)
                if farthest < self._wait:
                    return
                self.counts.lost += nearest
                broken = True
                group.expected = (group.expected + nearest) & 0xFFFFFFFF
                continue
            group.expected = (group.expected + 1) & 0xFFFFFFFF
            yield _Due(due, broken)
            broken = False

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
        """Whether a group fits what is known of the stream, so that a stranger's packet cannot make anyone allocate."""
        known = self.description
        if known is None:
            return description.channels <= MOST_CHANNELS
        same = (known.channels, known.rate, known.dtype) == (description.channels, description.rate, description.dtype)
        return same and all(_apart(description, group.description) for group in self._groups.values())

    def _begin(self, packet: Packet, coded: list[Packet]) -> list[Segment | Gap]:
        """A packet whose turn it is: what it makes known at once; it is added to `coded` if it is to be decoded."""
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
                if not _follows(fresh, group):
                    raise DataError("a packet does not carry on its group")
                if fresh.first_frame > group.frame:
                    out.append(Gap(group.frame, fresh.first_frame, fresh.first_channel, fresh.count))
                group.frame = fresh.first_frame
            if packet.flags & RAW:
                samples = _plain(group.description, packet)
                out.append(Segment(group.frame, group.description.first_channel, samples))
                group.frame += packet.frames
            else:
                if fresh is not None:
                    self._start(packet.group, group, fresh, packet.body)
                coded.append(packet)
        except DataError:
            self.counts.undecodable += 1
        return out

    def _start(self, index: int, group: _Group, fresh: Description, body: bytes) -> None:
        """Start a group anew with a key packet."""
        if len(body) < fresh.count:
            raise DataError("a key packet is too short")
        known = group.description
        if group.states is None or (fresh.levels, fresh.calibration) != (known.levels, known.calibration):
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
        known = [self._groups[packet.group] for packet in packets]
        described = [group.description for group in known]
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
        for packet, group, each in zip(packets, known, described, strict=True):
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
        known, size = None, description.levels.codes
        if description.levels.low_bits:
            raise DataError("a packet's levels are none that a stream has")
        if description.calibration:
            own = self._calibration
            known = own if own is not None and own.id == description.calibration else find(description.calibration)
            if known.codes != size:
                raise DataError(f"a packet's calibration is of {known.codes} codes, not {size}")
        prior = None if known is None else known.prior
        return channel_states(description.channels, MOST_GROUPS, size, density_of(size, known), prior)

    @property
    def ended(self) -> bool:
        """Whether all groups that are known have said where the stream ends."""
        return bool(self._groups) and all(group.ended for group in self._groups.values())

    def wanted(self) -> list[tuple[int, int]]:
        """Packets that are missing and still waited for, as (group, number)."""
        missing = []
        for index, group in self._groups.items():
            for ahead in range(max(((n - group.expected) & 0xFFFFFFFF for n in group.waiting), default=0)):
                number = (group.expected + ahead) & 0xFFFFFFFF
                if number not in group.waiting:
                    missing.append((index, number))
        return missing

    def finish(self) -> list[Segment | Gap]:
        """Give up waiting: what can still be decoded, and everything that is missing up to the stream's end.

        The end is what the stream said it is, or the last frame known of any group.
        """
        out: list[Segment | Gap] = []
        for group in self._groups.values():
            while group.waiting:
                nearest = min((number - group.expected) & 0xFFFFFFFF for number in group.waiting)
                self.counts.lost += nearest
                due = group.waiting.pop((group.expected + nearest) & 0xFFFFFFFF)
                group.expected = (group.expected + nearest + 1) & 0xFFFFFFFF
                out += self._decode_all([[_Due(due, nearest > 0)]])
        ends = [group.frame for group in self._groups.values()]
        end = self._end if self._end is not None else max(ends, default=0)
        for group in self._groups.values():
            if group.frame < end:
                out.append(Gap(group.frame, end, group.description.first_channel, group.description.count))
                group.frame = end
        if self.description is not None and end:
            out += _unseen(
                sorted((g.description.first_channel, g.description.count) for g in self._groups.values()),
                self.description.channels,
                end,
            )
        return out


def _plain(description: Description, packet: Packet) -> np.ndarray:
    """The samples of a raw packet."""
    dtype = np.dtype(description.dtype)
    if len(packet.body) != packet.frames * description.count * dtype.itemsize:
        raise DataError("a packet of plain samples is of a wrong size")
    samples = np.frombuffer(packet.body, dtype=dtype.newbyteorder("<")).astype(dtype)
    return samples.reshape(packet.frames, description.count)


def _follows(fresh: Description, group: _Group) -> bool:
    """Whether a key packet carries on the group that it names."""
    known = group.description
    same = all(getattr(fresh, name) == getattr(known, name) for name in SAME)
    return same and fresh.first_frame >= group.frame


def _apart(one: Description, other: Description) -> bool:
    """Whether two groups share no channel."""
    first, second = sorted([(one.first_channel, one.count), (other.first_channel, other.count)])
    return first[0] + first[1] <= second[0]


def _unseen(groups: list[tuple[int, int]], channels: int, end: int) -> Iterator[Gap]:
    """Gaps of the channels of which no key packet ever came."""
    at = 0
    for first, count in [*groups, (channels, 0)]:
        if first > at:
            yield Gap(0, end, at, first - at)
        at = max(at, first + count)

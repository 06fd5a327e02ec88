"""Packets in, frames out; what is lost is said exactly, and nothing wrong is ever delivered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from spikey.coding.block import density_of
from spikey.coding.range_coder import range_decoder
from spikey.errors import DataError
from spikey.model.calibration import Calibration, find
from spikey.stream.bank import Bank, Shared, bank, decode_frames, reset
from spikey.stream.packet import LAST, PARITY, RAW, Description, Packet, read_packet
from spikey.stream.parity import Repair
from spikey.wire import Cursor

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
    """What became of packets: decoded or waiting, damaged, of another stream, twice or late, lost, recovered."""

    taken: int = 0
    damaged: int = 0
    foreign: int = 0
    repeated: int = 0
    lost: int = 0
    undecodable: int = 0
    recovered: int = 0


@dataclass
class _Group:
    """One group's state; `frame` is the first that is neither delivered nor reported missing."""

    description: Description
    expected: int
    bank: Bank | None = None
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

    `description` (any group's) is None until the first key packet.
    """

    def __init__(
        self, stream: int | None = None, *, calibration: Calibration | None = None, wait: int = WINDOW, jobs: int = 1
    ):
        self.stream = stream
        self.description: Description | None = None
        self.counts = Counts()
        self._calibration, self._wait, self._jobs = calibration, wait, jobs
        self._pool = ThreadPoolExecutor(jobs) if jobs > 1 else None
        self._lock = threading.Lock()
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
        if self._pool is None or len(due) < 2:
            return [item for each in due.values() for item in self._decode_all(each)]
        parts = list(due.values())
        shares = [parts[job :: self._jobs] for job in range(self._jobs)]
        done = self._pool.map(lambda share: [item for each in share for item in self._decode_all(each)], shares)
        return [item for items in done for item in items]

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

    def _decode_all(self, due: list[_Due]) -> list[Segment | Gap]:
        """Decode packets of one group in their order."""
        out: list[Segment | Gap] = []
        for packet, broken in due:
            group = self._groups[packet.group]
            group.alive &= not broken
            out += self._decode(group, packet)
        return out

    def _acceptable(self, description: Description) -> bool:
        """Whether a group fits what is known of the stream, so that a stranger's packet cannot make anyone allocate."""
        known = self.description
        if known is None:
            return description.channels <= MOST_CHANNELS
        same = (known.channels, known.rate, known.dtype) == (description.channels, description.rate, description.dtype)
        return same and all(_apart(description, group.description) for group in self._groups.values())

    def _count_undecodable(self) -> None:
        with self._lock:  # several threads may decode
            self.counts.undecodable += 1

    def _decode(self, group: _Group, packet: Packet) -> Iterator[Segment | Gap]:
        """A packet whose turn it is."""
        if packet.flags & LAST:
            try:
                self._end = Cursor(packet.body).varint()
                group.ended = True
            except DataError:
                self._count_undecodable()
            return
        fresh = packet.description
        if fresh is not None:
            if not _follows(fresh, group):
                group.alive = False
                self._count_undecodable()
                return
            if fresh.first_frame > group.frame:
                yield Gap(group.frame, fresh.first_frame, fresh.first_channel, fresh.count)
            group.frame = fresh.first_frame
        elif not group.alive:
            self._count_undecodable()
            return
        try:
            samples = self._raw(group, packet) if packet.flags & RAW else self._coded(group, packet)
        except DataError:
            self._count_undecodable()
            group.alive = False
            return
        yield Segment(group.frame, group.description.first_channel, samples)
        group.frame += packet.frames

    def _raw(self, group: _Group, packet: Packet) -> np.ndarray:
        group.alive = False
        dtype = np.dtype(group.description.dtype)
        shape = packet.frames, group.description.count
        if len(packet.body) != shape[0] * shape[1] * dtype.itemsize:
            raise DataError("a packet of plain samples is of a wrong size")
        return np.frombuffer(packet.body, dtype=dtype.newbyteorder("<")).reshape(shape).astype(dtype)

    def _coded(self, group: _Group, packet: Packet) -> np.ndarray:
        body = packet.body
        fresh, known = packet.description, group.description
        if fresh is not None:
            if group.bank is None or (fresh.levels, fresh.calibration) != (known.levels, known.calibration):
                group.bank = self._new_bank(fresh)
            group.description = fresh
            if len(body) < fresh.count:
                raise DataError("a key packet is too short")
            reset(group.bank, 0, np.frombuffer(body[: fresh.count], dtype=np.uint8))
            body = body[fresh.count :]
            group.alive = True
        assert group.bank is not None
        codes = np.zeros((packet.frames, group.description.count), dtype=np.int32)
        decode_frames(Shared(range_decoder([body])), group.bank, 0, codes)
        levels, dtype = group.description.levels, np.dtype(group.description.dtype)
        return levels.to_values(codes.ravel(), None, dtype).reshape(codes.shape)

    def _new_bank(self, description: Description) -> Bank:
        known, size = None, description.levels.codes
        if description.levels.low_bits:
            raise DataError("a packet's levels are none that a stream has")
        if description.calibration:
            own = self._calibration
            known = own if own is not None and own.id == description.calibration else find(description.calibration)
            if known.codes != size:
                raise DataError(f"a packet's calibration is of {known.codes} codes, not {size}")
        prior = None if known is None else known.prior
        first = np.array([0, description.count], dtype=np.int64)
        return bank(first, size, density_of(size, known), prior)

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
                group.alive = group.alive and nearest == 0
                due = group.waiting.pop((group.expected + nearest) & 0xFFFFFFFF)
                group.expected = (group.expected + nearest + 1) & 0xFFFFFFFF
                out += self._decode(group, due)
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

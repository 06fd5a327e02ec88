"""Encodes frames into packets without delay."""

from __future__ import annotations

import secrets
import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spikey.base.errors import UsageError
from spikey.base.wire import varint
from spikey.codec.survey import initial_scale, suits
from spikey.levels.affine import Affine, all_values
from spikey.levels.contract import Levels
from spikey.levels.n1 import N1Levels
from spikey.levels.registry import levels_at_once
from spikey.model.calibration import Calibration, n1
from spikey.model.density import density_of
from spikey.model.fixed_point import SCALE_MIN
from spikey.model.scale import BYTE_BITS
from spikey.stream.authentication import REQUESTS, STREAM, Authenticator, checked_size
from spikey.stream.channels import MOST_GROUPS, ChannelStates, channel_states, reset
from spikey.stream.codes import codes_of
from spikey.stream.packet import HEAD, KEY, LAST, MOST_CHANNELS, MOST_FRAMES, OVERHEAD, RAW, Description, write_packet
from spikey.stream.parity import MOST_PARITY, SET, SHARE, parity_packets
from spikey.stream.verifier import USUAL_TAG
from spikey.stream.worker import Worker

DATAGRAM = 1400  # bytes
WHOLE = 1 << 20  # the largest packet where size does not matter
TYPICAL_BITS = 4.7  # bits of a sample, assumed for the number of channels in a group
TYPICAL_FRAMES = 20
DESCRIBED = 64  # bytes of a description at most
TURNS = 2  # in which groups finish packets of a fixed number of frames
HISTORY = 4096  # packets that can be sent again
MOST_RATE = sys.float_info.max  # Hz: as a packet can hold it
MOST_STREAMS = 1 << 32
DTYPES = ("int16", "uint16", "int8", "uint8")


@dataclass
class _Group:
    """The encoder's state of a group. number: of its next packet. start: the frame with which that begins.

    frames: buffered for it; wanted: number of frames at which it is made. next_key: the frame at which a key is due.
    head: its first bytes. plain: whether some of its frames are outside the levels.
    """

    number: int = 0
    start: int = 0
    frames: int = 0
    wanted: int = MOST_FRAMES
    next_key: int = 0
    head: bytes = b""
    plain: bool = False


class Encoder:
    """Encodes frames of many channels into packets while they arrive.

    `push` returns the packets of its frames at once, or with `packet_frames` as soon as so many frames are there: most
    of the work is then done before the last of them arrives, and the groups of channels take turns, so push a quarter
    of `packet_frames` at a time. A packet should contain about a millisecond.

    Parameters
    ----------
    channels : int
        Number of channels.
    rate : float
        Sampling rate in Hz.
    dtype : {"int16", "uint16", "int8", "uint8"}
        Type of the samples.
    levels : Levels, optional
        The values that occur; None to find them in the first frames.
    calibration : Calibration, "n1" or None
        Code widths of the ADC; "n1" for those of the N1 where they suit the samples.
    packet_bytes : int, optional
        Size of the largest packet in bytes; None for one packet for each thread.
    packet_frames : int, optional
        Frames in a packet; None for those of one call of `push`.
    key_interval : float
        Seconds between two key packets of a group of channels, at which decoding can begin.
    parity : int
        Parity packets for every 12 other packets, or fewer, of the same frames.
    jobs : int
        Threads.
    stream : int, optional
        Number of the stream; None for a random one.
    key : bytes, optional
        16 to 32 bytes that the receivers have too; each packet then has a tag, a message authentication code.
    tag_bytes : int, optional
        Size of the tag: 4, 8 or 16 bytes; None for 8.

    Examples
    --------
    >>> import numpy, spikey
    >>> encoder, decoder = spikey.Encoder(2, 20000), spikey.Decoder()
    >>> packets = encoder.push(numpy.arange(40, dtype="int16").reshape(20, 2))
    >>> [segment.samples.shape for packet in packets for segment in decoder.push(packet)]
    [(20, 2)]
    """

    def __init__(
        self,
        channels: int,
        rate: float,
        dtype: str = "int16",
        *,
        levels: Levels | None = None,
        calibration: Calibration | str | None = "n1",
        packet_bytes: int | None = DATAGRAM,
        packet_frames: int | None = None,
        key_interval: float = 1.0,
        parity: int = 0,
        jobs: int = 1,
        stream: int | None = None,
        key: bytes | None = None,
        tag_bytes: int | None = None,
    ):
        possible = 1 <= channels <= MOST_CHANNELS * 16 and 0 < rate <= MOST_RATE and 0 < key_interval < 1e9
        if not possible or jobs < 1:
            raise UsageError("an encoder needs 1 to 65,536 channels, and a rate, key interval and jobs above 0")
        if isinstance(calibration, str) and calibration != "n1":
            raise UsageError(f'an encoder\'s calibration is a Calibration, None or "n1", not {calibration!r}')
        if stream is not None and not 0 <= stream < MOST_STREAMS:
            raise UsageError(f"a stream's number must be 0 to {MOST_STREAMS - 1:,}, not {stream}")
        if levels is not None and (not isinstance(levels, N1Levels | Affine) or levels.low_bits):
            raise UsageError("a stream's levels are the N1's or evenly spaced")
        if isinstance(levels, N1Levels) and dtype != "int16":
            raise UsageError(f"the N1's levels are of int16 samples, not of {dtype}")
        if dtype not in DTYPES:
            raise UsageError(f"a stream's samples are {', '.join(DTYPES)}, not {dtype}")
        if not 0 <= parity <= MOST_PARITY:
            raise UsageError(f"parity must be 0 to {MOST_PARITY} packets, not {parity}")
        self.channels, self.rate, self.dtype = channels, float(rate), np.dtype(dtype)
        self.stream = secrets.randbits(32) if stream is None else stream
        if packet_frames is not None and not 1 <= packet_frames <= MOST_FRAMES:
            raise UsageError(f"a packet holds 1 to {MOST_FRAMES} frames, not {packet_frames}")
        self.frames = 0  # pushed or skipped so far
        self._packet_frames = packet_frames
        self._held: list[np.ndarray] = []  # the latest frames, as many as any group holds
        self._ready: list[bytes] = []
        self._restart = 0  # frame at which all groups last began together
        self._states: ChannelStates | None = None
        self._parity, self._sets = parity, 0
        self._unprotected: list[bytes] = []  # packets without parity so far
        self._protected = 0  # frames since then
        size = checked_size(key, tag_bytes, USUAL_TAG)
        self._authenticator = None if key is None else Authenticator(key, STREAM, self.stream, size)
        self.asking = None if key is None else Authenticator(key, STREAM, self.stream, size, REQUESTS)  # of requests
        overhead = HEAD.size + size if size else OVERHEAD
        self._limit = (packet_bytes or WHOLE) - overhead - (SHARE + size if parity else 0)
        groups = self._group_count(packet_bytes, jobs)
        self.first = np.linspace(0, channels, groups + 1).astype(np.int64)
        counts = np.diff(self.first)
        if DESCRIBED + counts.max() * (self.dtype.itemsize + 1) > self._limit:
            raise UsageError(f"packets of {packet_bytes} bytes are too small for {channels} channels")
        self._found = levels is None
        self._levels: Levels | None = levels
        self._calibration = calibration
        self._interval = max(int(key_interval * rate), 1)
        self._groups = [_Group() for _ in range(groups)]
        self._begin_together()
        self._history: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        ends = [groups * job // jobs for job in range(jobs + 1)]
        self._workers = [
            Worker(first, end, counts[first:end], packet_frames or MOST_FRAMES, self._limit)
            for first, end in pairwise(ends)
            if first < end
        ]
        self._pool = ThreadPoolExecutor(len(self._workers)) if len(self._workers) > 1 else None

    def _group_count(self, packet_bytes: int | None, jobs: int) -> int:
        if packet_bytes is None:
            wanted = max(jobs, -(-self.channels // MOST_CHANNELS))
        else:
            fitting = max(int(self._limit * 8 / (TYPICAL_BITS * TYPICAL_FRAMES)), 1)
            wanted = -(-self.channels // fitting)
            if self._packet_frames is not None:  # as many in each turn
                wanted = -(-wanted // TURNS) * TURNS
        return min(max(wanted, 1), self.channels, MOST_GROUPS)

    def push(self, frames: np.ndarray) -> list[bytes]:
        """The packets that are complete with frames (n, channels) or (channels,) of the stream's type."""
        array = np.atleast_2d(np.asarray(frames))
        if array.ndim != 2 or array.shape[1] != self.channels or array.dtype != self.dtype:
            raise UsageError(f"frames must be {self.dtype} (n, {self.channels}), not {array.dtype} {array.shape}")
        packets, self._ready = self._ready, []
        while len(array):
            room = min(group.wanted - group.frames for group in self._groups)
            part, array = array[:room], array[room:]
            packets += self._take(part)
        return packets

    def flush(self) -> list[bytes]:
        """The packets of the frames that are buffered."""
        packets, self._ready = self._ready, []
        packets += self._finish([index for index, group in enumerate(self._groups) if group.frames])
        self._begin_together()
        return packets + self._protect()

    def _begin_together(self) -> None:
        """All groups begin packets at the same frame. Where packets are of so many frames, groups then take turns: the
        first ones are shorter, so that no push has to finish all of them.
        """
        self._restart = self.frames
        for index, group in enumerate(self._groups):
            group.start = self.frames
            if self._packet_frames is not None:
                turn = index * TURNS // len(self._groups) + 1
                group.wanted = -(-self._packet_frames * turn // TURNS)

    def _take(self, frames: np.ndarray) -> list[bytes]:
        """Model frames, and return the packets that are complete with them."""
        packets: list[bytes] = []
        if self._states is None:
            self._states = self._begin(frames)
        assert self._levels is not None
        codes = codes_of(self._levels, frames)
        if codes is None and self._found:  # they were found too narrow: restart with all
            packets += self.flush()
            self._levels, self._found = all_values(self.dtype), False
            self._states = self._begin(frames)
            for group in self._groups:
                group.next_key = 0
            codes = codes_of(self._levels, frames)
        for index, group in enumerate(self._groups):
            if group.frames == 0:
                group.head, group.plain = self._head(index, codes), False
            group.plain |= codes is None
            group.frames += len(frames)
        if codes is not None:
            self._each_worker(lambda worker: self._model(worker, codes))
        at_once = self._packet_frames is None
        self._held.append(frames if at_once else frames.copy())
        self.frames += len(frames)
        self._protected += len(frames)
        packets += self._finish([i for i, group in enumerate(self._groups) if at_once or group.frames == group.wanted])
        if at_once or self._protected >= (self._packet_frames or 0):
            packets += self._protect()
        return packets

    def _each_worker(self, work: Callable[[Worker], None]) -> None:
        if self._pool is None:
            work(self._workers[0])
        else:
            list(self._pool.map(work, self._workers))

    def _model(self, worker: Worker, codes: np.ndarray) -> None:
        assert self._states is not None
        worker.model(self._states, codes, [not group.plain for group in self._groups[worker.first : worker.end]])

    def _finish(self, due: list[int]) -> list[bytes]:
        """The packets of groups, of all frames that are held for each; the next ones begin after them."""
        self._each_worker(lambda worker: self._pack(worker, due))
        packed = {index: bodies for worker in self._workers for index, bodies in worker.packed().items()}
        packets = []
        for index in due:
            group = self._groups[index]
            if not group.plain and index in packed:
                for order, (frames, body) in enumerate(packed[index]):
                    key = order == 0 and bool(group.head)
                    packets.append(self._packet(index, KEY if key else 0, frames, group.head + body if key else body))
            else:
                own = np.concatenate([part[:, self.first[index] : self.first[index + 1]] for part in self._held])
                packets += self._raw(index, own[group.start - self.frames :])
            group.start, group.frames = self.frames, 0
            if self._packet_frames is not None:
                group.wanted = self._packet_frames
        held_for = max((group.frames for group in self._groups), default=0)
        while self._held and sum(map(len, self._held[1:])) >= held_for:
            self._held.pop(0)
        if self._parity:
            self._unprotected += packets
        return packets

    def _pack(self, worker: Worker, due: list[int]) -> None:
        own = [index for index in due if worker.first <= index < worker.end]
        worker.pack({index: len(self._groups[index].head) for index in own if not self._groups[index].plain})
        worker.begin_packets(own)

    def _head(self, index: int, codes: np.ndarray | None) -> bytes:
        """What a group's next packet begins with: if a key is due, its description; the group then restarts."""
        group = self._groups[index]
        if codes is None or group.start < group.next_key:
            return b""
        initial = self._initial(index, codes[:, self.first[index] : self.first[index + 1]])
        assert self._states is not None
        reset(self._states, index, initial, self._workers[0].scratch)
        # The first keys spread the groups over the interval.
        share = self._interval * (index + 1) // len(self._groups)
        group.next_key = group.start + (share if group.start == self._restart else self._interval)
        return self._description(index, group.start) + initial.tobytes()

    def _protect(self) -> list[bytes]:
        """The parity packets of what was sent since the last ones."""
        parity: list[bytes] = []
        for at in range(0, len(self._unprotected), SET):
            part = self._unprotected[at : at + SET]
            parity += parity_packets(part, self._parity, self.stream, self._sets, self._authenticator)
            self._sets += 1
        self._unprotected, self._protected = [], 0
        return parity

    def skip(self, frames: int) -> None:
        """Omit frames that were not recorded or not pushed in time: the receiver reports them as a gap."""
        self._ready += self.flush()
        self.frames += frames
        self._begin_together()
        for group in self._groups:
            group.next_key = 0

    def close(self) -> list[bytes]:
        """The packets of the frames that are buffered, and one end packet per group with the stream's length."""
        packets = self.flush()
        if self._pool is not None:
            self._pool.shutdown()
        body = varint(self.frames)
        return packets + [self._packet(index, LAST, 0, body) for index in range(len(self._groups))]

    def again(self, group: int, number: int) -> bytes | None:
        """A packet that was sent before, if it is still in the history."""
        return self._history.get((group, number))

    def _begin(self, frames: np.ndarray) -> ChannelStates:
        """Settle levels and calibration by the first frames."""
        if self._levels is None:
            self._levels = levels_at_once(frames)
        if self._calibration == "n1":
            alike = isinstance(self._levels, N1Levels) and suits(self._levels.to_codes(frames.ravel())[0], n1())
            self._calibration = n1() if alike else None
        assert not isinstance(self._calibration, str)
        size, calibration = self._levels.alphabet, self._calibration
        if calibration is not None and calibration.alphabet != size:
            raise UsageError(f"a calibration of {calibration.alphabet} codes is not for {size} levels")
        prior = None if calibration is None else calibration.prior
        made = channel_states(self.channels, len(self._groups), size, density_of(size, calibration), prior)
        made.first[:], made.end[:] = self.first[:-1], self.first[1:]
        return made

    def _raw(self, index: int, own: np.ndarray) -> list[bytes]:
        """Frames as they are; the group restarts after them."""
        group = self._groups[index]
        fitting = min(max((self._limit - DESCRIBED) // (own.shape[1] * own.itemsize), 1), MOST_FRAMES)
        packets = []
        for at in range(0, len(own), fitting):
            part = own[at : at + fitting]
            body = self._description(index, group.start + at) + part.astype(self.dtype.newbyteorder("<")).tobytes()
            packets.append(self._packet(index, RAW, len(part), body))
        group.next_key = 0
        return packets

    def _initial(self, group: int, codes: np.ndarray) -> np.ndarray:
        """Bytes of the scales to start from: the running ones, or a guess from codes (frames, channels)."""
        assert self._states is not None
        begin, end = self.first[group], self.first[group + 1]
        if self._groups[group].number == 0:
            return np.array([initial_scale(column) for column in codes.T], dtype=np.uint8)
        values = self._states.scale[begin:end]
        return np.clip((values - SCALE_MIN + (1 << (BYTE_BITS - 1))) >> BYTE_BITS, 0, 191).astype(np.uint8)

    def _description(self, group: int, frame: int) -> bytes:
        begin, end = int(self.first[group]), int(self.first[group + 1])
        assert self._levels is not None and not isinstance(self._calibration, str)
        identity = b"" if self._calibration is None else self._calibration.id
        wraps = self._groups[group].number >> 32
        return Description(
            self.channels, self.rate, str(self.dtype), begin, end - begin, self._levels, identity, frame, wraps
        ).write(tagged=self._authenticator is not None)

    def _packet(self, group: int, flags: int, frames: int, body: bytes) -> bytes:
        number = self._groups[group].number
        packet = write_packet(flags, self.stream, group, number, frames, body, authenticator=self._authenticator)
        self._groups[group].number = number + 1
        self._history[group, number & 0xFFFFFFFF] = packet
        while len(self._history) > HISTORY:
            self._history.popitem(last=False)
        return packet

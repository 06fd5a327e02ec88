"""Frames in, packets out, at once."""

from __future__ import annotations

import math
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from spikey.coding.block import density_of, initial_scale, suits
from spikey.coding.range_coder import range_encoder
from spikey.errors import UsageError
from spikey.model.calibration import Calibration, n1
from spikey.model.fixed import SCALE_MIN
from spikey.model.scale import BYTE_BITS
from spikey.recording.levels import AFFINE, N1, N1_CODES, N1_VALUES, Levels
from spikey.stream.bank import Bank, bank, intervals, model_frames, pack_frames, reset
from spikey.stream.packet import KEY, LAST, MOST_CHANNELS, MOST_FRAMES, OVERHEAD, RAW, Description, write_packet
from spikey.stream.parity import MOST_PARITY, SET, SHARE, parity_packets
from spikey.wire import varint

DATAGRAM = 1400  # bytes
WHOLE = 1 << 20  # the largest packet where size does not matter
TYPICAL_BITS = 4.7  # of a sample, for the number of channels in a group
TYPICAL_FRAMES = 20
MOST_GROUPS = 256
DESCRIBED = 64  # bytes of a description at most
HISTORY = 4096  # packets that can be sent again
DTYPES = ("int16", "uint16", "int8", "uint8")


class Encoder:
    """Encodes frames of many channels into packets as they come.

    channels, rate (Hz), dtype: of the samples. levels: which values occur; None finds out from the first frames.
    calibration: of the converter, or "auto": the N1's where the samples look like it. packet_bytes: the largest packet;
    None for one packet a thread. packet_frames: frames of a packet; None for as many as are pushed at a time.
    key_interval: seconds between two key packets of a group. parity: parity packets for every 12 others or fewer of the
    same frames. jobs: threads.

    What is pushed comes out at once, or as soon as `packet_frames` are there: then most of the work is done before the
    last of them comes. A packet should hold a millisecond or so.

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
        calibration: Calibration | str | None = "auto",
        packet_bytes: int | None = DATAGRAM,
        packet_frames: int | None = None,
        key_interval: float = 1.0,
        parity: int = 0,
        jobs: int = 1,
        stream: int | None = None,
    ):
        if not 1 <= channels <= MOST_CHANNELS * 16 or not 0 < rate < math.inf or not 0 < key_interval < 1e9 or jobs < 1:
            raise UsageError("an encoder needs 1 to 65,536 channels, and a rate, key interval and jobs above 0")
        if levels is not None and (levels.kind not in (N1, AFFINE) or levels.low_bits):
            raise UsageError("a stream's levels are the N1's or evenly spaced")
        if levels is not None and levels.kind == N1 and dtype != "int16":
            raise UsageError(f"the N1's levels are of int16 samples, not of {dtype}")
        if dtype not in DTYPES:
            raise UsageError(f"a stream's samples are {', '.join(DTYPES)}, not {dtype}")
        if not 0 <= parity <= MOST_PARITY:
            raise UsageError(f"parity must be 0 to {MOST_PARITY} packets, not {parity}")
        self.channels, self.rate, self.dtype = channels, rate, np.dtype(dtype)
        self.stream = secrets.randbits(32) if stream is None else stream
        if packet_frames is not None and not 1 <= packet_frames <= MOST_FRAMES:
            raise UsageError(f"a packet holds 1 to {MOST_FRAMES} frames, not {packet_frames}")
        self.frames = 0  # in packets or skipped so far
        self._packet_frames = packet_frames
        self._held: list[np.ndarray] = []  # frames of the packet to come
        self._plain = False  # whether some of them are not of the levels
        self._heads: list[bytes] = []  # what the groups' packets to come begin with
        self._ready: list[bytes] = []
        self._restart = 0  # frame at which all groups last began together
        self._bank: Bank | None = None
        self._parity, self._sets = parity, 0
        self._limit = (packet_bytes or WHOLE) - OVERHEAD - (SHARE if parity else 0)
        groups = self._group_count(packet_bytes, jobs)
        self.first = np.linspace(0, channels, groups + 1).astype(np.int64)
        if DESCRIBED + np.diff(self.first).max() * (self.dtype.itemsize + 1) > self._limit:
            raise UsageError(f"packets of {packet_bytes} bytes are too small for {channels} channels")
        self._found = levels is None
        self._levels, self._calibration = levels, calibration
        self._numbers = [0] * groups
        self._interval = max(int(key_interval * rate), 1)
        self._next_key = [0] * groups
        self._history: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._encoders = [
            range_encoder(MOST_FRAMES, min(self._limit, 8 * int(np.diff(self.first).max()) * MOST_FRAMES) + 16)
            for _ in range(jobs)
        ]
        self._backup = [np.zeros(self._encoders[0].out.shape[1], dtype=np.uint8) for _ in range(jobs)]
        self._intervals = intervals(channels, MOST_FRAMES)
        self._lanes = np.zeros((jobs, 2, MOST_FRAMES), dtype=np.int64)
        self._pool = ThreadPoolExecutor(jobs) if jobs > 1 else None

    def _group_count(self, packet_bytes: int | None, jobs: int) -> int:
        if packet_bytes is None:
            wanted = max(jobs, -(-self.channels // MOST_CHANNELS))
        else:
            fitting = max(int(self._limit * 8 / (TYPICAL_BITS * TYPICAL_FRAMES)), 1)
            wanted = -(-self.channels // fitting)
        return min(max(wanted, 1), self.channels, MOST_GROUPS)

    def push(self, frames: np.ndarray) -> list[bytes]:
        """The packets that are complete with frames (n, channels) or (channels,) of the stream's type."""
        array = np.atleast_2d(np.asarray(frames))
        if array.ndim != 2 or array.shape[1] != self.channels or array.dtype != self.dtype:
            raise UsageError(f"frames must be {self.dtype} (n, {self.channels}), not {array.dtype} {array.shape}")
        packets, self._ready = self._ready, []
        most = self._packet_frames or MOST_FRAMES
        while len(array):
            room = most - sum(map(len, self._held))
            part, array = array[:room], array[room:]
            packets += self._take(part, last=self._packet_frames is None or len(part) == room)
        return packets

    def flush(self) -> list[bytes]:
        """The packets of the frames that are held."""
        packets, self._ready = self._ready, []
        return packets + (self._take(np.empty((0, self.channels), self.dtype), last=True) if self._held else [])

    def _take(self, frames: np.ndarray, last: bool) -> list[bytes]:
        """Model frames, and with the last of a packet return the packets of all groups."""
        if self._bank is None:
            self._bank = self._begin(frames)
        codes = self._codes(frames)
        if codes is None and self._found and not self._held:  # they were found too narrow: start anew with all
            info = np.iinfo(self.dtype)
            self._levels, self._found = Levels(AFFINE, info.max - info.min + 1, int(info.min)), False
            self._bank, self._next_key = self._begin(frames), [0] * len(self._numbers)
            codes = self._codes(frames)
        row = sum(map(len, self._held))
        if row == 0:
            self._heads = [self._head(group, codes) for group in range(len(self._numbers))]
        self._plain |= codes is None
        self._held.append(frames if last else frames.copy())
        jobs = len(self._encoders)
        if self._pool is None:
            results = [self._work(0, codes, row, last)]
        else:
            results = list(self._pool.map(lambda job: self._work(job, codes, row, last), range(jobs)))
        if not last:
            return []
        packets = [packet for result in results for packet in result]
        self.frames += row + len(frames)
        self._held, self._plain = [], False
        return packets + self._protect(packets)

    def _work(self, job: int, codes: np.ndarray | None, row: int, last: bool) -> list[bytes]:
        """One thread's part of `_take`: a range of groups."""
        groups, jobs = len(self._numbers), len(self._encoders)
        first, end = groups * job // jobs, groups * (job + 1) // jobs
        if codes is not None and not self._plain and len(codes):
            model_frames(self._intervals, self._bank, first, end, codes, row)
        if not last:
            return []
        frames = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        return [packet for group in range(first, end) for packet in self._group_packets(job, group, frames)]

    def _group_packets(self, job: int, group: int, frames: np.ndarray) -> list[bytes]:
        """One group's packets of the frames held."""
        coder, head = self._encoders[job], self._heads[group]
        lengths, sizes = self._lanes[job]
        limits = self._limit - len(head), self._limit
        count = 0
        if not self._plain:
            count = pack_frames(
                self._intervals, self._bank, group, len(frames), coder, self._backup[job], *limits, lengths, sizes
            )
        if count == 0:
            return self._raw(group, frames[:, self.first[group] : self.first[group + 1]])
        packets = []
        for lane in range(count):
            key = lane == 0 and bool(head)
            body = (head if key else b"") + coder.out[lane, : sizes[lane]].tobytes()
            packets.append(self._packet(group, KEY if key else 0, int(lengths[lane]), body))
        return packets

    def _head(self, group: int, codes: np.ndarray | None) -> bytes:
        """What a group's next packet begins with: a key's description, if it is time for a key; starts anew then."""
        if codes is None or self.frames < self._next_key[group]:
            return b""
        initial = self._initial(group, codes[:, self.first[group] : self.first[group + 1]])
        reset(self._bank, group, initial)
        # The first keys spread the groups over the interval.
        share = self._interval * (group + 1) // len(self._numbers)
        self._next_key[group] = self.frames + (share if self.frames == self._restart else self._interval)
        return self._description(group, self.frames) + initial.tobytes()

    def _protect(self, packets: list[bytes]) -> list[bytes]:
        """The parity packets of packets."""
        parity: list[bytes] = []
        for at in range(0, len(packets) if self._parity else 0, SET):
            parity += parity_packets(packets[at : at + SET], self._parity, self.stream, self._sets)
            self._sets += 1
        return parity

    def skip(self, frames: int) -> None:
        """Let frames go that never came, as when there was no time for them: the receiver reports them as a gap."""
        self._ready += self.flush()
        self.frames += frames
        self._restart = self.frames
        self._next_key = [0] * len(self._numbers)

    def close(self) -> list[bytes]:
        """The packets of the frames that are held, and packets that say where the stream ends, one a group."""
        packets = self.flush()
        if self._pool is not None:
            self._pool.shutdown()
        body = varint(self.frames)
        return packets + [self._packet(group, LAST, 0, body) for group in range(len(self._numbers))]

    def again(self, group: int, number: int) -> bytes | None:
        """A packet that was sent before, while it is still remembered."""
        return self._history.get((group, number))

    def _begin(self, frames: np.ndarray) -> Bank:
        """Settle levels and calibration by the first frames."""
        if self._levels is None:
            stretched = self.dtype == np.int16 and bool((N1_VALUES.take((frames >> 6) + 512) == frames).all())
            info = np.iinfo(self.dtype)
            self._levels = Levels(N1, N1_CODES) if stretched else Levels(AFFINE, info.max - info.min + 1, int(info.min))
        if self._calibration == "auto":
            alike = self._levels.kind == N1 and suits(self._levels.to_codes(frames.ravel())[0], n1())
            self._calibration = n1() if alike else None
        assert not isinstance(self._calibration, str)
        size, known = self._levels.codes, self._calibration
        if known is not None and known.codes != size:
            raise UsageError(f"a calibration of {known.codes} codes is not for {size} levels")
        return bank(self.first, size, density_of(size, known), None if known is None else known.prior)

    def _codes(self, frames: np.ndarray) -> np.ndarray | None:
        """The frames' codes int32; None where a value is none of the levels'."""
        levels = self._levels
        assert levels is not None
        if levels.kind == N1:
            codes = (frames >> 6).astype(np.int32) + 512
            return codes if (N1_VALUES.take(codes) == frames).all() else None
        if not levels.fits(frames.ravel()):
            return None
        return levels.to_codes(frames.ravel())[0].reshape(frames.shape)

    def _raw(self, group: int, own: np.ndarray) -> list[bytes]:
        """Frames as they are; the group starts anew after them."""
        fitting = min(max((self._limit - DESCRIBED) // (own.shape[1] * own.itemsize), 1), MOST_FRAMES)
        packets = []
        for at in range(0, len(own), fitting):
            part = own[at : at + fitting]
            body = self._description(group, self.frames + at) + part.astype(self.dtype.newbyteorder("<")).tobytes()
            packets.append(self._packet(group, RAW, len(part), body))
        self._next_key[group] = 0
        return packets

    def _initial(self, group: int, codes: np.ndarray) -> np.ndarray:
        """Bytes of the scales to start from: the running ones, or a guess from codes (frames, channels)."""
        assert self._bank is not None
        begin, end = self.first[group], self.first[group + 1]
        if self._numbers[group] == 0:
            return np.array([initial_scale(column) for column in codes.T], dtype=np.uint8)
        values = self._bank.scale.value[begin:end]
        return np.clip((values - SCALE_MIN + (1 << (BYTE_BITS - 1))) >> BYTE_BITS, 0, 191).astype(np.uint8)

    def _description(self, group: int, frame: int) -> bytes:
        begin, end = int(self.first[group]), int(self.first[group + 1])
        assert self._levels is not None and not isinstance(self._calibration, str)
        known = b"" if self._calibration is None else self._calibration.id
        return Description(
            self.channels, self.rate, str(self.dtype), begin, end - begin, self._levels, known, frame
        ).write()

    def _packet(self, group: int, flags: int, frames: int, body: bytes) -> bytes:
        number = self._numbers[group]
        packet = write_packet(flags, self.stream, group, number, frames, body)
        self._numbers[group] = number + 1
        self._history[group, number & 0xFFFFFFFF] = packet
        while len(self._history) > HISTORY:
            self._history.popitem(last=False)
        return packet

"""Frames in, telemetry packets out: their contents are allocated packet by packet, within the budget."""

from __future__ import annotations

import secrets
from dataclasses import replace

import numpy as np

from spikey.base.errors import UsageError
from spikey.coding.range_coder import finish_lane, range_encoder
from spikey.levels.affine import Affine, all_values
from spikey.levels.contract import Levels
from spikey.levels.n1 import n1_codes
from spikey.levels.registry import levels_at_once
from spikey.stream.authentication import TELEMETRY, Authenticator
from spikey.stream.encoder import DTYPES, MOST_RATE, MOST_STREAMS
from spikey.telemetry import syntax
from spikey.telemetry.allocation import OMITTED_BITS, Allocator
from spikey.telemetry.basis import tables, transforms
from spikey.telemetry.channel_stats import default_profile
from spikey.telemetry.footprint import ABSENT
from spikey.telemetry.footprint_choice import alone
from spikey.telemetry.packet import DROPPED, KEY, LAST, Description, described, head_bytes, write_packet
from spikey.telemetry.payload import Payload, code_crossings, code_detail, code_key_parts, lone_events
from spikey.telemetry.pending import Pending, Weak
from spikey.telemetry.rate_control import AIM, DETAIL, EVENTS, POWER, RateControl
from spikey.telemetry.schedule import PART, Schedule, channels_of
from spikey.telemetry.settings import Settings
from spikey.telemetry.symbols import spent
from spikey.telemetry.syntax import STEPS
from spikey.telemetry.verifier import tagged

SLACK = 24  # bits by which a finished payload may exceed the meter's count
LENGTH_BITS = 20
PULL = 6.0  # proportional gain of the step size on the fullness of the buffer
DRIFT = 0.05  # its integral gain, per packet
UNUSED = -0.25  # change of the step size after a packet that leaves the buffer empty
START = 20.0  # the first step size
# If bits are short, weak spikes must match better: by STRICTER 1/16 deviations for each step size above STRICT_FROM.
STRICT_FROM, STRICTER = 8, 4
PURPOSES = ("header", "keys", "events", "waveforms", "weak", "power", "low")


class TelemetryEncoder:
    """Encodes frames of many channels into packets of features, lossy, within a bit rate.

    Parameters
    ----------
    channels : int
        Number of channels.
    rate : float
        Sampling rate in Hz.
    dtype : str
        Type of the samples: int16, uint16, int8 or uint8.
    settings : TelemetrySettings, optional
        What to encode, and the bit rate.
    stream : int, optional
        Number of the stream; None for a random one.
    key : bytes, optional
        16 to 32 bytes that the receivers have too; each packet then has a tag of `settings.tag_bytes`.

    Attributes
    ----------
    frames, events : int
        Frames that were pushed, and threshold crossings that were encoded.
    dropped : int64 (4,)
        Threshold crossings, waveforms, values of power and blocks of the LFP band that did not fit the bit rate.
    spent : dict
        Bits by purpose.

    Examples
    --------
    >>> import numpy, spikey
    >>> encoder = spikey.TelemetryEncoder(16, 20000, settings=spikey.TelemetrySettings(budget=16e3))
    >>> packets = encoder.push(numpy.zeros((20000, 16), dtype="int16")) + encoder.close()
    >>> sum(map(len, packets)) * 8 <= 16e3
    True
    """

    def __init__(
        self,
        channels: int,
        rate: float,
        dtype: str = "int16",
        *,
        settings: Settings | None = None,
        stream: int | None = None,
        key: bytes | None = None,
    ):
        if dtype not in DTYPES:
            raise UsageError(f"telemetry takes samples of {', '.join(DTYPES)}, not {dtype}")
        if stream is not None and not 0 <= stream < MOST_STREAMS:
            raise UsageError(f"a stream's number must be 0 to {MOST_STREAMS - 1:,}, not {stream}")
        if not 0 < rate <= MOST_RATE:
            raise UsageError(f"a rate must be above 0, and at most {MOST_RATE:g} Hz")
        self.dtype = np.dtype(dtype)
        self.stream = secrets.randbits(32) if stream is None else stream
        self._levels: Levels = all_values(self.dtype)
        wanted = tagged(settings or Settings(), key)
        self._described = described(
            Description(self.stream, channels, rate, dtype, self._levels, wanted, 0, (0, 0, 0, 0))
        )
        self.settings = self._described.settings
        self._authenticator = None if key is None else Authenticator(key, TELEMETRY, self.stream, wanted.tag_bytes)
        self.shape = shape = self._described.shape
        self.channels, self.rate = channels, self.shape.rate
        self.packets = self.events = 0
        self.dropped = np.zeros(4, dtype=np.int64)
        self.spent = dict.fromkeys(PURPOSES, 0.0)
        self._rate_control = RateControl(self.settings, shape)
        self._turns, self._tables = Schedule(shape), tables()
        self._pending = Pending(self.settings, shape, transforms(shape))
        self._allocator = Allocator(self._tables, shape)
        self._profile, self._next = default_profile(channels), default_profile(channels)
        self._size = START
        self._found, self._weak = np.zeros((2, shape.slots, channels), dtype=np.int16)
        self._closed = False

    @property
    def frames(self) -> int:
        """Number of frames that were pushed."""
        return self._pending.frames

    def push(self, frames: np.ndarray) -> list[bytes]:
        """The packets that are complete with frames (n, channels) or (channels,) of the stream's type."""
        array = np.atleast_2d(np.asarray(frames))
        if array.ndim != 2 or array.shape[1] != self.channels or array.dtype != self.dtype:
            raise UsageError(f"frames must be {self.dtype} (n, {self.channels}), not {array.dtype} {array.shape}")
        if self._closed:
            raise UsageError("the telemetry stream was closed")
        if self.frames == 0 and len(array):
            self._levels = levels_at_once(array)
        packets, at = [], 0
        while at < len(array):
            part = array[at : at + self._pending.room()]
            self._pending.add(self._codes(part), self._profile)
            at += len(part)
            if self.frames == self._pending.start + self.shape.frames:
                packets.append(self._packet(0))
        return packets

    def close(self) -> list[bytes]:
        """The last packet, which contains the remaining frames and the stream's length."""
        if self._closed:
            return []
        self._closed = True
        return [self._packet(LAST)]

    def _codes(self, frames: np.ndarray) -> np.ndarray:
        """Codes int32 of samples; a sample between two of the N1's values counts as the lower one."""
        if not isinstance(self._levels, Affine):
            return n1_codes(frames)
        return frames.astype(np.int32) - self._levels.offset

    def _packet(self, flags: int) -> bytes:
        """Encode the packet that is complete, or the last one."""
        number, pending, control, allocator = self.packets, self._pending, self._rate_control, self._allocator
        pending.gather()
        if number == 0:
            self._begin()
        payload, description = Payload(self._found, self._weak), b""
        self._place_events(payload)
        pending.stats.add_events(self._counts(payload), self.shape.slots)
        payload.length[0] = self.frames - pending.start
        if self._turns.opens(number):
            flags |= KEY
            a, b, c, d = map(int, self.dropped)
            description = replace(self._described, levels=self._levels, packet=number, dropped=(a, b, c, d)).write()
        payload.profiles = self._profiles(number)
        self._place_power(payload)
        waves, low = self._place_waves(payload), self._place_low(payload)
        head = 8 * (head_bytes(1 << 7, self.settings.tag_bytes) + len(description) + (1 if description else 0)) + SLACK
        head += LENGTH_BITS if flags & LAST else 0
        code_key_parts(allocator.meter, self._tables, self.shape, flags, payload)
        bits = {"header": head, "keys": int(spent(allocator.meter))}

        least = 3 * OMITTED_BITS + allocator.least_bits(len(waves))  # to mark the rest as left out

        def left(purpose: float) -> int:
            return control.room(purpose, self.frames) - sum(bits.values())

        bits["events"] = allocator.events(payload, pending, self._profile, left(EVENTS) - least)
        if payload.dropped[0]:
            flags |= DROPPED
            waves = self._place_waves(payload)
        # Long packets, of many blocks, each use the finest steps that fit; short ones vary, so the size is controlled.
        size = 0 if self._turns.at_once else round(self._size + PULL * (control.fullness - AIM))
        size = min(max(size, 0), STEPS - 1)
        bits["power"] = allocator.power(payload, self._profile, size, left(POWER) - least)
        weak = self._place_weak(payload, size)
        detail = allocator.detail(payload, waves, low, weak, self._profile, size, left(DETAIL))
        bits["waveforms"], bits["low"], bits["weak"] = detail
        if not payload.no_weak[0]:
            self.events += len(weak.troughs)
            pending.stats.add_weak(weak.channels)

        coder = range_encoder(1, sum(bits.values()) // 8 + 64)
        code_key_parts(coder, self._tables, self.shape, flags, payload)
        code_crossings(coder, self._tables, self.shape, payload, self._profile)
        code_detail(coder, self._tables, self.shape, payload, self._profile)
        coded = finish_lane(coder, 0)
        packet = write_packet(flags, number, coded, description, self._authenticator)
        self._rate_control.spend(8 * len(packet))
        self._account(payload, bits, 8 * (len(packet) - len(coded)), 8 * len(coded))
        pending.begin_packet()
        self.packets += 1
        return packet

    def _begin(self) -> None:
        """Choose the profile of the first epoch from the noise of the first packet's frames."""
        noise = self._pending.noise
        assert noise is not None  # as the packet's features were gathered
        self._described = replace(self._described, noise=noise)
        self._profile = self._next = default_profile(self.channels, noise)

    def _profiles(self, number: int) -> np.ndarray:
        """The profiles that a packet contains; measures the next profile, and switches to it, when it is due."""
        turns, pending = self._turns, self._pending
        parts = turns.profiles(number)
        if number == 0 and turns.at_once:
            parts = list(range(turns.parts))
        if turns.measures(number) or (number == 0 and turns.at_once):
            coming = pending.stats.profile(pending.frontend, self._levels.alphabet // 2)
        else:
            coming = self._next
        if turns.opens(number) and (number > 0 or turns.at_once):
            self._profile = self._next if number > 0 else coming
        self._next = coming
        return np.concatenate([coming[p * PART : (p + 1) * PART] for p in parts]) if parts else coming[:0]

    def _place_events(self, payload: Payload) -> None:
        """Set the crossings that the packet would contain without a budget."""
        frames, channels = self._pending.events.T
        payload.found[:] = 0
        payload.found[frames // self.shape.slot, channels] = 1 + frames % self.shape.slot // self.shape.resolution

    def _counts(self, payload: Payload) -> np.ndarray:
        """Crossings per channel, int64 (channels,), that are coded with the profile's probabilities."""
        if self.shape.distances:
            return lone_events(self.shape, payload)
        return np.bincount(self._pending.events[:, 1], minlength=self.channels)

    def _place_power(self, payload: Payload) -> None:
        """Set the power that is due, in the finest steps."""
        spans = self._turns.power(self.packets, self.frames)
        if not spans:
            return
        payload.power_channels, _ = channels_of(spans)
        bins, level = self._pending.bins, self._profile[:, syntax.POWER]
        payload.power = np.concatenate([bins[each][first:end] - level[first:end] for each, first, end in spans])

    def _place_waves(self, payload: Payload) -> np.ndarray:
        """Set the waveforms that are due; returns their coefficients."""
        waves = self._pending.waves()
        payload.expect_waves(self.shape, waves.keys % self.channels, waves.frames)
        payload.offsets = waves.offsets
        return waves.coefficients

    def _place_weak(self, payload: Payload, size: int) -> Weak:
        """Set the weak spikes that are due and match well enough for a step size; returns them in order."""
        least = self._pending.least + STRICTER * max(size - STRICT_FROM, 0)
        payload.weak[:] = 0
        return self._pending.place_weak(least, alone(payload, self.shape, self._pending.unplaced), payload.weak)

    def _place_low(self, payload: Payload) -> np.ndarray:
        """Set the blocks of the LFP band that are due; returns their coefficients."""
        payload.low_channels, turn = channels_of(self._turns.blocks(self.packets, self.frames))
        ends = self._turns.block_ends(turn, payload.low_channels)
        return self._pending.blocks(self._profile, payload.low_channels, ends, self._levels.alphabet // 2)

    def _account(self, payload: Payload, bits: dict[str, int], head: int, coded: int) -> None:
        """Count a packet's bits and what was left out of it, and adjust the step size.

        head, coded: bits of the packet outside and inside its payload; rounding is spread over the payload's purposes.
        """
        fullness = self._rate_control.fullness
        drift = DRIFT * (fullness - AIM) if fullness > 0 else UNUSED
        self._size = min(max(self._size + drift, 0.0), STEPS - 1.0)
        del bits["header"]
        metered = max(sum(bits.values()), 1)
        for purpose, each in bits.items():
            self.spent[purpose] += each * coded / metered
        self.spent["header"] += head
        dropped = int(payload.dropped[0])
        self.events += len(self._pending.events) - dropped
        no_power, no_low = int(payload.no_power[0]), int(payload.no_low[0])
        absent = int(np.count_nonzero(payload.absent == ABSENT))
        left_out = (dropped, absent, no_power * len(payload.power), no_low * len(payload.low))
        if any(left_out):
            self.dropped += left_out

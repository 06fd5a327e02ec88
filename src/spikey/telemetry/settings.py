"""What a telemetry stream contains, and the frame counts and sizes that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from spikey.base.errors import UsageError

MEGABIT = 1_000_000.0
SLOT_MS = 0.75  # at most one crossing of a channel is coded per slot
HEADER_BYTES = 8  # of a packet, at most, without a tag
CHECK_BYTES = 3  # of these, which a tag replaces
TAG_BYTES = (0, 4, 8, 16)
HEADER_SHARE = 0.086  # fraction of the budget for headers, which determines the length of packets
PRE_MS, POST_MS = 0.5, 0.9  # of a waveform, before and from the trough on
TROUGH_MS = 0.15  # after the crossing, in which the trough is searched for
DECIMATED = 625.0  # Hz, about the rate of the LFP band
BLOCK = 64  # samples of the LFP band that are transformed together
BUFFER_MS = 10.0
LEAST_PACKETS = 4  # that the buffer holds
KEY_SECONDS = 4.0
KEY_SHARE = 0.01  # fraction of the budget for key packets and profiles
PROFILE_BITS = 48  # of a channel, both copies, approximately
KEY_BITS = 400
MOST_FRAMES = 1 << 17  # of a packet
MOST_CHANNELS = 1 << 16
MOST_PLACES = 1 << 22  # slots of a packet times channels
ROUNDING = 1e-6  # relative error of a number that a key packet contains in 32 bits
PACKET_MS = (0.01, 5000.0)  # range of a packet's length
KEY_S = (0.1, 3600.0)  # range of the time between two key packets
MATCH = 5.0
MOST_NEIGHBOURS = 8
POLARITIES = ("negative", "positive", "both")


@dataclass(frozen=True)
class Settings:
    """What a telemetry stream contains, and its bit rate.

    Parameters
    ----------
    budget : float
        Bit rate of all channels together, in bit/s.
    threshold : float
        Threshold of crossings, in standard deviations of the noise, estimated by the running median (Quiroga et al.,
        2004).
    match : float
        Threshold of weak spikes, in standard deviations of the output of a filter matched to the channel's spikes.
        Weaker crossings that exceed it are sent if there are bits for them. 0: none.
    polarity : {"negative", "positive", "both"}
        Polarity of the threshold crossings.
    refractory_ms : float
        Time after a crossing in which the channel has no other one, in ms.
    band : tuple of float
        Lower and upper edge of the band of crossings and waveforms, in Hz.
    resolution_ms : float
        Resolution of the times of crossings, in ms; 0: to the sample.
    waveforms : bool
        Whether crossings have waveforms.
    power_ms : float
        Length of a bin of spike-band power, in ms; 0: no power.
    power_high : float
        Upper edge of the band of spike-band power, in Hz.
    low_high : float
        Upper edge of the LFP band, in Hz; 0: no LFP.
    packet_ms : float, optional
        Length of a packet, in ms; None: as short as the bit rate allows.
    buffer_ms : float
        How far packets may run ahead of the bit rate, in ms.
    key_s : float, optional
        Time between key packets, in s; None: as the bit rate allows.
    neighbours : int
        On dense probes, how many channels before a channel, in the order of the file, record the same cells: 0 to 8.
    column : int
        Channels in a column of such a probe, if the file has one column after another; 0: it has no columns.
    tag_bytes : int
        Size of the tag of each packet of an encoder with a key: 4, 8 or 16 bytes; 0: 4 with a key, none without.

    Examples
    --------
    >>> import spikey
    >>> spikey.TelemetrySettings().budget
    1000000.0
    """

    budget: float = MEGABIT
    threshold: float = 4.5
    match: float = MATCH
    polarity: str = "negative"
    refractory_ms: float = 1.0
    band: tuple[float, float] = (300.0, 5000.0)
    resolution_ms: float = 0.0
    waveforms: bool = True
    power_ms: float = 50.0
    power_high: float = 1000.0
    low_high: float = 250.0
    packet_ms: float | None = None
    buffer_ms: float = BUFFER_MS
    key_s: float | None = None
    tag_bytes: int = 0
    neighbours: int = 0
    column: int = 0

    def __post_init__(self) -> None:
        def check(name: str, value: float, low: float, high: float) -> None:
            if not low <= value <= high:
                raise UsageError(f"{name} of a telemetry stream must lie from {low:g} to {high:g}, not {value:g}")

        check("budget", self.budget, 100, 1e12)
        check("threshold", self.threshold, 1, 100)
        check("match", self.match, 0, 100)
        check("refractory_ms", self.refractory_ms, SLOT_MS, 100)
        check("resolution_ms", self.resolution_ms, 0, SLOT_MS)
        check("band's lower edge", self.band[0], 1, 1e6)
        check("band's upper edge", self.band[1], self.band[0] * 1.5, 1e6)
        check("power_ms", self.power_ms, 0, 1000)
        check("power_high", self.power_high, self.band[0] * 1.2, self.band[1])
        check("low_high", self.low_high, 0, 0.45 * DECIMATED)
        check("buffer_ms", self.buffer_ms, 0, 10_000)
        if 0 < self.power_ms < 10:
            raise UsageError(f"bins of spike-band power must last 10 ms or more, not {self.power_ms:g}")
        if self.polarity not in POLARITIES:
            raise UsageError(f"polarity must be {', '.join(POLARITIES)}, not {self.polarity}")
        if self.packet_ms is not None:
            check("packet_ms", self.packet_ms, *PACKET_MS)
        if self.key_s is not None:
            check("key_s", self.key_s, *KEY_S)
        check("neighbours", self.neighbours, 0, MOST_NEIGHBOURS)
        if self.column and not (self.neighbours and self.neighbours + 1 < self.column <= MOST_CHANNELS):
            raise UsageError(
                f"a telemetry stream's column must have more channels than neighbours and one, not {self.column}"
            )
        if self.tag_bytes not in TAG_BYTES:
            raise UsageError(f"a tag of telemetry has 4, 8 or 16 bytes, not {self.tag_bytes}")

    @property
    def header_bytes(self) -> int:
        """Of a packet, at most."""
        return HEADER_BYTES - CHECK_BYTES + (self.tag_bytes or CHECK_BYTES)


@dataclass(frozen=True)
class Shape:
    """Settings in frames and counts, for so many channels at a rate (Hz), the same at both ends of a stream.

    slot: frames. slots: of a packet. resolution: frames. refractory: frames. pre, post, trough: frames of a waveform
    before and from the trough on, and after the crossing within which that is. bin: frames of a bin of power, or 0.
    decimation: frames of a sample of the LFP band. coefficients: those coded of a block's 64, or 0.
    epoch: packets between two key packets. weak: whether there are weak spikes.
    distances: of a channel's neighbours before it in the file, nearest first.
    """

    channels: int
    rate: float
    slot: int
    slots: int
    resolution: int
    refractory: int
    pre: int
    post: int
    trough: int
    bin: int
    decimation: int
    coefficients: int
    epoch: int
    waveforms: bool = field(default=True)
    weak: bool = field(default=True)
    distances: tuple[int, ...] = ()

    @property
    def frames(self) -> int:
        """Of a packet."""
        return self.slot * self.slots

    @property
    def snippet(self) -> int:
        """Frames of a waveform."""
        return self.pre + self.post

    @cached_property
    def near(self) -> np.ndarray:
        """The distances as an array, int64 (n,), for kernels."""
        return np.array(self.distances, dtype=np.int64)

    @property
    def wait(self) -> int:
        """Frames from a crossing to the end of its waveform, for any position of the trough."""
        return self.trough + self.post

    @property
    def block(self) -> int:
        """Frames of a block of the LFP band."""
        return self.decimation * BLOCK


def slot_frames(rate: float) -> int:
    """Frames of a slot; UsageError for rates that telemetry does not support.

    >>> slot_frames(20_000)
    15
    """
    if not 2000 <= rate <= 200_000:
        raise UsageError(f"telemetry takes rates from 2,000 to 200,000 Hz, not {rate:g}")
    return max(math.floor(SLOT_MS * rate / 1000 + 1e-9), 1)


def shape_of(settings: Settings, channels: int, rate: float) -> Shape:
    """The shape of a stream; UsageError for impossible settings.

    >>> shape = shape_of(Settings(), 1024, 20_000)
    >>> shape.frames, shape.snippet, shape.bin, shape.decimation
    (15, 28, 1000, 32)
    """
    if not 1 <= channels <= MOST_CHANNELS:
        raise UsageError(f"telemetry takes 1 to {MOST_CHANNELS:,} channels, not {channels}")
    slot = slot_frames(rate)
    if settings.band[1] > 0.45 * rate * (1 + ROUNDING):
        raise UsageError(f"at {rate:g} Hz the band must end below {0.45 * rate:g} Hz, not at {settings.band[1]:g}")
    if settings.packet_ms is None:
        seconds = 8 * settings.header_bytes / (HEADER_SHARE * settings.budget)
    else:
        seconds = settings.packet_ms / 1000
    slots = max(math.ceil(seconds * rate / slot - 0.5), 1)
    if slots * channels > MOST_PLACES:
        raise UsageError(f"packets of {1000 * slot * slots / rate:.4g} ms are too long for {channels:,} channels")
    if slot * slots > MOST_FRAMES and settings.packet_ms is not None:
        most = f"{1000 * MOST_FRAMES / rate:.0f} at {rate:g} Hz, as a packet holds at most {MOST_FRAMES:,} frames"
        raise UsageError(f"packet_ms must be at most {most}, not {settings.packet_ms:g}")
    if slot * slots > MOST_FRAMES:
        raise UsageError(f"a budget of {settings.budget:g} bit/s is too small: packets would last {seconds:.0f} s")
    if slots * channels > MOST_PLACES:
        raise UsageError(f"packets of {slots * slot / rate:.3g} s are too long for {channels:,} channels")
    if settings.key_s is None:
        key_bits = KEY_BITS + PROFILE_BITS * channels
        key_seconds = max(KEY_SECONDS, key_bits / (KEY_SHARE * settings.budget))
    else:
        key_seconds = settings.key_s
    decimation = max(round(rate / DECIMATED), 1)
    step = rate / decimation / (2 * BLOCK)  # Hz, between two coefficients
    return Shape(
        channels,
        rate,
        slot,
        slots,
        max(round(settings.resolution_ms * rate / 1000), 1),
        max(round(settings.refractory_ms * rate / 1000), slot),
        math.ceil(PRE_MS * rate / 1000 - 1e-9),
        math.ceil(POST_MS * rate / 1000 - 1e-9),
        max(round(TROUGH_MS * rate / 1000), 1) - 1,
        round(settings.power_ms * rate / 1000),
        decimation,
        min(math.ceil(settings.low_high / step), BLOCK),
        max(round(key_seconds * rate / (slot * slots)), 1),
        settings.waveforms,
        settings.waveforms and settings.match > 0,
        neighbour_distances(settings),
    )


def neighbour_distances(settings: Settings) -> tuple[int, ...]:
    """Distances in channels from a channel to its neighbours before it, nearest first.

    >>> neighbour_distances(Settings(neighbours=3)), neighbour_distances(Settings(neighbours=3, column=192))
    ((1, 2, 3), (192, 1, 193, 191, 2, 3))
    """
    along, column = tuple(range(1, settings.neighbours + 1)), settings.column
    return (column, 1, column + 1, column - 1, *along[1:]) if column else along

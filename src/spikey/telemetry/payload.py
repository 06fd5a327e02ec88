"""A packet's payload as arrays, and the order in which its parts are coded, the same for encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spikey.telemetry.footprint import code_footprints, link_waves
from spikey.telemetry.nearby import code_near_events, code_near_power, count_lone
from spikey.telemetry.packet import DROPPED, LAST
from spikey.telemetry.settings import Shape
from spikey.telemetry.symbols import Tables
from spikey.telemetry.syntax import (
    CODED,
    FIELDS,
    RATE,
    SPREAD,
    WEAK,
    code_dropped,
    code_events,
    code_length,
    code_low,
    code_omitted,
    code_places,
    code_power,
    code_profile,
    code_size,
    code_waves,
    code_weak_waves,
)


def _one() -> np.ndarray:
    return np.zeros(1, dtype=np.int64)


def _none(*columns: int, dtype: type = np.int32) -> Callable[[], np.ndarray]:
    """A factory of arrays without rows; all are one array, as it contains nothing that could change."""
    nothing: np.ndarray = np.zeros((0, *columns), dtype=dtype)
    return lambda: nothing


def _waves(rows: int) -> np.ndarray:
    return np.zeros((rows, CODED), dtype=np.int32)


@dataclass
class Payload:
    """The contents of a packet as coded. Single numbers are int64 (1,), so that a decoder can set them.

    found int16 (slots, channels): crossings, as in `code_events`. length: frames of the last packet. profiles int32
    (n, 7): of the next epoch. dropped: crossings that were left out. burst: as in `code_events`.
    power_channels int64 (n,), power int32 (n,), coarse: how coarse its steps are, no_power: whether it is left out.
    size: step size of everything after this. low_channels int64 (m,), low int32 (m, coefficients), no_low.
    wave_channels, wave_frames int64 (w,): of the crossings whose waveforms are due; frames: first frames of their
    places. absent uint8 (w,): 1 if a waveform is left out, 2 if it is scaled; plan int64 (1,), links int32 (w, 2 n),
    gains uint8 (w,): as in `footprint`. offsets uint8 (w,), waves int32 (w, 13).
    weak int16 (slots, channels): troughs of weak spikes, at the place `wait` frames after the trough; no_weak;
    weak_waves int32 (v, 13).
    """

    found: np.ndarray
    weak: np.ndarray
    length: np.ndarray = field(default_factory=_one)
    profiles: np.ndarray = field(default_factory=_none(FIELDS))
    dropped: np.ndarray = field(default_factory=_one)
    burst: np.ndarray = field(default_factory=_one)
    power_channels: np.ndarray = field(default_factory=_none(dtype=np.int64))
    power: np.ndarray = field(default_factory=_none())
    no_power: np.ndarray = field(default_factory=_one)
    coarse: np.ndarray = field(default_factory=_one)
    low_channels: np.ndarray = field(default_factory=_none(dtype=np.int64))
    low: np.ndarray = field(default_factory=_none())
    size: np.ndarray = field(default_factory=_one)
    no_low: np.ndarray = field(default_factory=_one)
    wave_channels: np.ndarray = field(default_factory=_none(dtype=np.int64))
    wave_frames: np.ndarray = field(default_factory=_none(dtype=np.int64))
    links: np.ndarray = field(default_factory=_none(0))
    plan: np.ndarray = field(default_factory=_one)
    gains: np.ndarray = field(default_factory=_none(dtype=np.uint8))
    absent: np.ndarray = field(default_factory=_none(dtype=np.uint8))
    offsets: np.ndarray = field(default_factory=_none(dtype=np.uint8))
    waves: np.ndarray = field(default_factory=_none(CODED))
    no_weak: np.ndarray = field(default_factory=_one)
    weak_waves: np.ndarray = field(default_factory=_none(CODED))

    def expect_waves(self, shape: Shape, channels: np.ndarray, frames: np.ndarray) -> None:
        """Allocate the waveforms of crossings; channels int64 (w,), frames int64 (w,): any within their places."""
        count = len(channels)
        self.wave_channels = channels
        self.absent, self.offsets, self.gains = np.zeros((3, count), dtype=np.uint8)
        self.waves = _waves(count)
        if shape.distances and count:
            frames = self.wave_frames = frames - frames % shape.slot % shape.resolution
            self.links = np.zeros((count, 2 * len(shape.near)), dtype=np.int32)
            grid = np.zeros((3, shape.channels), dtype=np.int32)
            link_waves(shape.near, shape.slot, channels, frames, grid, self.links)


def places(shape: Shape) -> int:
    """Number of places of a slot: times that can be coded."""
    return -(-shape.slot // shape.resolution)


def lone_events(shape: Shape, payload: Payload) -> np.ndarray:
    """Crossings of each channel, int64 (channels,), with none of a neighbour near them."""
    counts, latest = np.zeros((2, shape.channels), dtype=np.int64)
    count_lone(places(shape), shape.near, latest, payload.found, counts)
    return counts


def code_key_parts(coder: Any, tables: Tables, shape: Shape, flags: int, payload: Payload) -> None:
    """Code the parts that need no profile: the length, profiles, the number of dropped crossings."""
    if flags & LAST:
        code_length(coder, payload.length, shape.frames)
    if len(payload.profiles):
        code_profile(coder, tables, payload.profiles)
    if flags & DROPPED:
        code_dropped(coder, payload.dropped)


def code_crossings(coder: Any, tables: Tables, shape: Shape, payload: Payload, profile: np.ndarray) -> None:
    """Code the crossings."""
    coding = coder, tables, profile[:, RATE], payload.burst, places(shape)
    if shape.distances:
        latest: np.ndarray = np.zeros(shape.channels, dtype=np.int64)
        code_near_events(*coding, shape.near, latest, payload.found)
    else:
        code_events(*coding, payload.found)


def code_powers(coder: Any, tables: Tables, shape: Shape, payload: Payload, profile: np.ndarray) -> None:
    """Code the values of power."""
    if shape.distances:
        code_near_power(coder, tables, payload.coarse, payload.power_channels, payload.power)
    else:
        code_power(coder, tables, payload.coarse, profile[:, SPREAD], payload.power_channels, payload.power)


def code_detail(coder: Any, tables: Tables, shape: Shape, payload: Payload, profile: np.ndarray) -> None:
    """Code power, LFP band, weak spikes and waveforms."""
    if len(payload.power):
        code_omitted(coder, tables, payload.no_power)
        if not payload.no_power[0]:
            code_powers(coder, tables, shape, payload, profile)
    if len(payload.low) or len(payload.absent) or shape.weak:
        code_size(coder, payload.size)
    if len(payload.low):
        code_omitted(coder, tables, payload.no_low)
        if not payload.no_low[0]:
            code_low(coder, tables, payload.size, payload.low)
    if shape.weak:
        code_omitted(coder, tables, payload.no_weak)
        if not payload.no_weak[0]:
            code_places(coder, tables, profile[:, WEAK], 0, places(shape), payload.weak)
            if len(payload.weak_waves) == 0:
                payload.weak_waves = _waves(int(np.count_nonzero(payload.weak)))
    if len(payload.weak_waves):
        code_weak_waves(coder, tables, payload.size, payload.weak_waves)
    if len(payload.absent):  # last, as their number depends on earlier packets
        if shape.distances:
            of_links = payload.plan, payload.links, payload.wave_frames
            of_waves = payload.absent, payload.offsets, payload.waves, payload.gains
            code_footprints(coder, tables, payload.size, *of_links, *of_waves)
        else:
            code_waves(coder, tables, payload.size, payload.absent, payload.offsets, payload.waves)

"""The table of units of an NWB file, a row for each channel with events, filled as the events come in order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.telemetry.check import NOTE
from spikey.telemetry.survey import Survey

if TYPE_CHECKING:
    from spikey.telemetry.decoded import Telemetry

TOGETHER = 1 << 18  # events that are written together: each channel's are a piece of an array


class UnitsOutput:
    """Events by channel in arrays whose lengths are known.

    A spike has one waveform or none; each unit has as many lists of waveforms as it has spikes.
    """

    def __init__(self, known: Survey, gain: float, unit: str):
        self._description, self._gain, self._unit = known.description, np.float32(gain), unit
        events, waves = known.of_channels
        self._channels = np.flatnonzero(events)
        self._ends = np.cumsum(events[self._channels])
        # Where the next event and the next waveform of each channel go.
        self._at = np.cumsum(events) - events
        self._wave_at = np.cumsum(waves) - waves
        snippet = known.description.shape.snippet
        self._times = empty_array((known.events,), "float64")
        self._weak = empty_array((known.events,), "bool")
        self._scaled = empty_array((known.events,), "bool")
        self._with_waves = known.waveforms > 0
        self._waves = empty_array((known.waveforms, snippet), "float32")
        self._have = empty_array((known.events,), _unsigned(known.waveforms))
        self._mean, self._deviation = (empty_array((len(self._channels), snippet), "float64") for _ in range(2))
        self._sums = np.zeros((2, known.description.channels, snippet))  # of samples and their squares, in codes
        self._counts = np.maximum(waves, 1)
        self._none = waves == 0
        self._waiting: list[tuple[np.ndarray, ...]] = []  # of events; their waveforms
        self._count = 0

    def add_to(self, file: Any) -> None:
        """Give a file the table, put together by columns, which is quick for many rows."""
        from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
        from pynwb.misc import Units

        words = "threshold crossings, and troughs of weak spikes"
        times = VectorData(name="spike_times", description=words, data=self._times)
        words = "whether each spike is a weak event, which crosses only a lower threshold"
        weak = VectorData(name="weak", description=words, data=self._weak)
        words = "whether each spike's waveform is that of a neighbouring channel, scaled"
        scaled = VectorData(name="scaled", description=words, data=self._scaled)
        columns = [
            times,
            VectorIndex(name="spike_times_index", target=times, data=self._ends),
            weak,
            VectorIndex(name="weak_index", target=weak, data=self._ends),
            scaled,
            VectorIndex(name="scaled_index", target=scaled, data=self._ends),
        ]
        if self._with_waves:
            each = VectorData(name="waveforms", description="band-passed, decoded", data=self._waves)
            of_spikes = VectorIndex(name="waveforms_index", target=each, data=self._have)
            words = "of the waveforms that there are"
            columns += [
                VectorData(name="waveform_mean", description=words, data=self._mean),
                VectorData(name="waveform_sd", description=words, data=self._deviation),
                each,
                of_spikes,
                VectorIndex(name="waveforms_index_index", target=of_spikes, data=self._ends),
            ]
        shape, rate = self._description.shape, self._description.rate
        words = f"one row a channel: its events, not sorted into cells; waveforms in {self._unit}. {NOTE}"
        file.units = Units(
            name="units",
            description=words,
            id=ElementIdentifiers(name="id", data=self._channels),
            columns=columns,
            waveform_rate=rate,
            waveform_unit=self._unit,
            waveform_time_before_peak_in_ms=1000 * shape.pre / rate,
            resolution=shape.resolution / rate,
        )
        own = [[channel] for channel in self._channels]  # each channel is its own electrode
        file.units.add_column("electrodes", "the channel", data=own, index=True, table=True)
        file.units["electrodes"].target.table = file.electrodes

    def add(self, part: Telemetry) -> None:
        """Take the events of a stream's next part, once the file has been laid out."""
        there = part.waveform_of >= 0
        waves = part.waveforms[part.waveform_of[there]]
        events = part.event_frames, part.event_channels, part.event_weak, part.event_scaled
        self._waiting.append((*events, there, waves))
        self._count += len(part.event_frames)
        if self._count >= TOGETHER:
            self._write()

    def finish(self) -> None:
        """Write what waits, and what can be reckoned now that all is there."""
        self._write()
        if self._with_waves:
            sums, squares = self._sums / self._counts[:, None]
            deviation = np.sqrt(np.maximum(squares - sums**2, 0))
            for values, out in ((sums, self._mean), (deviation, self._deviation)):
                values[self._none] = np.nan
                out.dataset[:] = values[self._channels] * self._gain

    def _write(self) -> None:
        """Write the waiting events, a piece for each channel."""
        waiting, self._waiting, self._count = self._waiting, [], 0
        if not waiting:
            return
        frames, channels, weak, scaled, there, waves = (np.concatenate(each) for each in zip(*waiting, strict=True))
        order = np.argsort(channels, kind="stable")
        waves = waves[(np.cumsum(there) - 1)[order][there[order]]]
        times, channels = frames[order] / self._description.rate, channels[order]
        weak, scaled, there = weak[order], scaled[order], there[order]
        before = np.append(0, np.cumsum(there))
        starts = np.flatnonzero(np.append(True, channels[1:] != channels[:-1]))
        for first, end in zip(starts, np.append(starts[1:], len(channels)), strict=True):
            channel = channels[first]
            at, wave_at = self._at[channel], self._wave_at[channel]
            own = waves[before[first] : before[end]]
            self._times.dataset[at : at + end - first] = times[first:end]
            self._weak.dataset[at : at + end - first] = weak[first:end]
            self._scaled.dataset[at : at + end - first] = scaled[first:end]
            self._at[channel] += end - first
            if self._with_waves:
                self._have.dataset[at : at + end - first] = wave_at + before[first + 1 : end + 1] - before[first]
                self._waves.dataset[wave_at : wave_at + len(own)] = own * self._gain
                self._wave_at[channel] += len(own)
                exact = own.astype(np.float64)  # multiples of 1/1024, whose sums are exact
                self._sums[0, channel] += exact.sum(axis=0)
                self._sums[1, channel] += np.square(exact).sum(axis=0)


def empty_array(shape: tuple[int, ...], dtype: str) -> Any:
    """An array of the file that is filled once it has been laid out."""
    from hdmf.backends.hdf5 import H5DataIO

    return H5DataIO(shape=shape, dtype=np.dtype(dtype))


def _unsigned(largest: int) -> str:
    """The smallest type for indices up to so many, as hdmf chooses it for arrays in memory."""
    return next(f"uint{bits}" for bits in (8, 16, 32, 64) if largest < 1 << bits)

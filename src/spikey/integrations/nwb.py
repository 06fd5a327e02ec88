"""Decoded telemetry as an NWB file: units, spike-band power and the LFP band, with what was lost described in words."""

from __future__ import annotations

import datetime
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.base.errors import UsageError, install
from spikey.recording.output import atomic_output
from spikey.recording.remote import is_address
from spikey.telemetry.check import NOTE, settings_of

if TYPE_CHECKING:
    from spikey.telemetry.record import Telemetry

__all__ = ["write_nwb"]

PathLike = str | os.PathLike[str]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
NO_GAIN = "in codes of the converter, as volts_per_code was not given"


def need_pynwb() -> None:
    """UsageError where pynwb is missing."""
    try:
        import pynwb  # noqa: F401
    except ImportError:
        raise UsageError(f"NWB files need pynwb: {install('spikeinterface')}") from None


def write_nwb(
    telemetry: Telemetry,
    path: PathLike,
    volts_per_code: float | None = None,
    start: datetime.datetime | None = None,
    source: PathLike | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write decoded telemetry as an NWB file, complete or not at all.

    `units` has a row for each channel with events: `spike_times` of threshold crossings, mean, standard deviation and
    each of its waveforms; a spike whose waveform was left out has none. The processing module `ecephys` has the
    spike-band power, and the LFP band as `LFP` where `volts_per_code` is given, else as a series in codes.
    `invalid_times` lists what is missing.

    Parameters
    ----------
    telemetry : Telemetry
        As `spikey.read_telemetry` returns it.
    path : path
        Of the file to write, on this machine.
    volts_per_code : float, optional
        Size of one code of the converter in V; without it values are in codes.
    start : datetime, optional
        When the recording began; without it the file contains the year 1970 and a sentence about it.
    source : path, optional
        A file that must not be the one written to.
    overwrite : bool
        Whether to replace `path` where it exists.

    Raises
    ------
    UsageError
        pynwb is missing, or `path` cannot be written.
    """
    need_pynwb()
    if is_address(path):
        raise UsageError(f"{path}: NWB files are written to this machine first; name a file")
    import h5py
    from pynwb import NWBHDF5IO

    file = _described(telemetry, start)
    region = _electrodes(file, telemetry.channels)
    gain = 1.0 if volts_per_code is None else volts_per_code
    unit = "code" if volts_per_code is None else "volts"
    if len(telemetry.event_frames):
        _add_units(file, telemetry, gain, unit)
    module = file.create_processing_module("ecephys", f"{NOTE}; NaN where a value was left out or is missing")
    if telemetry.power.size:
        module.add(_power(telemetry, gain, unit))
    if telemetry.low.size:
        _add_low(module, telemetry, region, volts_per_code)
    for first, end in telemetry.missing:
        file.add_invalid_time_interval(start_time=first / telemetry.rate, stop_time=end / telemetry.rate)
    inputs = [] if source is None else [source]
    with (
        atomic_output(path, *inputs, overwrite=overwrite, readable_as=inputs) as (out, _),
        h5py.File(out, "w") as store,
        NWBHDF5IO(file=store, mode="w") as writer,
    ):
        writer.write(file)


def _described(telemetry: Telemetry, start: datetime.datetime | None) -> Any:
    """The file with nothing in it but words."""
    from pynwb import NWBFile

    settings = json.dumps(settings_of(telemetry))
    began = "" if start is not None else " When it began is unknown: the year 1970 stands for that."
    if start is not None and start.tzinfo is None:
        start = start.astimezone()
    left_out = ", ".join(
        f"{count:,} {what}"
        for count, what in zip(
            telemetry.dropped, ("events", "waveforms", "values of power", "blocks of the LFP band"), strict=True
        )
    )
    return NWBFile(
        session_description=f"Spikey {NOTE}.{began} Settings: {settings}. Left out for want of bits: {left_out}.",
        identifier=f"spikey-telemetry-{telemetry.description.stream:08x}",
        session_start_time=start or EPOCH,
        keywords=["lossy", "telemetry", "spikey"],
    )


def _electrodes(file: Any, channels: int) -> Any:
    """A table of all channels as electrodes; what refers to all of its rows."""
    device = file.create_device(name="recorder", description="unknown; only its telemetry was recorded")
    group = file.create_electrode_group(
        name="channels", description="channels of the telemetry", location="unknown", device=device
    )
    for channel in range(channels):
        file.add_electrode(id=channel, group=group, location="unknown")
    return file.create_electrode_table_region(list(range(channels)), "all channels")


def _add_units(file: Any, telemetry: Telemetry, gain: float, unit: str) -> None:
    """One row for each channel with events, put together by columns, which is quick for many of them."""
    from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
    from pynwb.misc import Units

    order = np.argsort(telemetry.event_channels, kind="stable")
    channels, starts = np.unique(telemetry.event_channels[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    rows = telemetry.waveform_of[order]
    waves = telemetry.waveforms[rows[rows >= 0]] * np.float32(gain)
    have = np.cumsum(rows >= 0)
    times = VectorData(
        name="spike_times", description="threshold crossings", data=telemetry.event_frames[order] / telemetry.rate
    )
    columns = [times, VectorIndex(name="spike_times_index", target=times, data=ends)]
    if len(waves):
        columns += _wave_columns(waves, have, starts, ends)
    shape = telemetry.description.shape
    file.units = Units(
        name="units",
        description=f"one row a channel: its threshold crossings, not sorted into cells; waveforms in {unit}. {NOTE}",
        id=ElementIdentifiers(name="id", data=channels),
        columns=columns,
        waveform_rate=telemetry.rate,
        waveform_unit=unit,
        waveform_time_before_peak_in_ms=1000 * shape.pre / telemetry.rate,
        resolution=shape.resolution / telemetry.rate,
    )
    own = [[channel] for channel in channels]  # each channel is its own electrode
    file.units.add_column("electrodes", "the channel", data=own, index=True, table=True)
    file.units["electrodes"].target.table = file.electrodes


def _wave_columns(waves: np.ndarray, have: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> list[Any]:
    """Mean, deviation and all waveforms of units, whose spikes go from `starts` to `ends`; have: waveforms up to each
    spike. Each spike has one waveform or none, each unit as many as it has spikes.
    """
    from hdmf.common import VectorData, VectorIndex

    mean, deviation = np.full((2, len(starts), waves.shape[1]), np.nan)
    before = np.append(0, have)
    for unit, (first, end) in enumerate(zip(before[starts], before[ends], strict=True)):
        if first < end:
            mean[unit], deviation[unit] = waves[first:end].mean(axis=0), waves[first:end].std(axis=0)
    each = VectorData(name="waveforms", description="band-passed, decoded", data=waves)
    of_spikes = VectorIndex(name="waveforms_index", target=each, data=have)
    return [
        VectorData(name="waveform_mean", description="of the waveforms that there are", data=mean),
        VectorData(name="waveform_sd", description="of the waveforms that there are", data=deviation),
        each,
        of_spikes,
        VectorIndex(name="waveforms_index_index", target=of_spikes, data=ends),
    ]


def _power(telemetry: Telemetry, gain: float, unit: str) -> Any:
    from pynwb import TimeSeries

    low, high = telemetry.description.settings.band[0], telemetry.description.settings.power_high
    return TimeSeries(
        name="spike_band_power",
        description=f"mean square of {low:g} to {high:g} Hz in bins that begin at the times given",
        data=telemetry.power,
        unit=f"{unit}^2",
        conversion=gain**2,
        starting_time=0.0,
        rate=telemetry.rate / telemetry.description.shape.bin,
    )


def _add_low(module: Any, telemetry: Telemetry, region: Any, gain: float | None) -> None:
    from pynwb import TimeSeries
    from pynwb.ecephys import LFP, ElectricalSeries

    what = {
        "name": "low_band",
        "data": telemetry.low,
        "starting_time": float(telemetry.low_frames[0]) / telemetry.rate,
        "rate": telemetry.rate / telemetry.description.shape.decimation,
    }
    words = f"up to {telemetry.description.settings.low_high:g} Hz, decoded"
    if gain is None:
        module.add(TimeSeries(**what, unit="code", description=f"{words}; {NO_GAIN}"))
        return
    module.add(potentials := LFP())  # before its series, whose electrodes must be found in the same file
    series = ElectricalSeries(**what, electrodes=region, conversion=gain, description=words)
    potentials.add_electrical_series(series)

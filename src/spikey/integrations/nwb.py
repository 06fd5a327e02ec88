"""Decoded telemetry as an NWB file: units, spike-band power and the LFP band, with what was lost described in words.

The file's arrays are laid out by a survey of the stream, empty, and filled part by part.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spikey.base.errors import UsageError, install
from spikey.integrations.nwb_units import UnitsOutput, empty_array
from spikey.recording.output import atomic_output
from spikey.recording.remote import is_address
from spikey.telemetry.check import NOTE, settings_of
from spikey.telemetry.decoded import filled, frames_of_low, rows_before
from spikey.telemetry.survey import Survey, survey

if TYPE_CHECKING:
    from spikey.telemetry.decoded import Telemetry

__all__ = ["nwb_output", "write_nwb"]

PathLike = str | os.PathLike[str]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
NO_GAIN = "in codes of the converter, as volts_per_code was not given"


def need_pynwb() -> None:
    """UsageError where pynwb is missing."""
    try:
        import pynwb  # noqa: F401
    except ImportError:
        raise UsageError(f"NWB files need pynwb: {install('spikeinterface')}", code="missing-package") from None


def refuse_address(path: PathLike) -> None:
    """UsageError for what is not on this machine."""
    if is_address(path):
        raise UsageError(f"{path}: NWB files are written to this machine first; name a file")


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

    `units` has a row for each channel with events: their `spike_times`, which of them are `weak` and `scaled`, mean,
    standard deviation and each of its waveforms; a spike whose waveform was left out has none. The processing module
    `ecephys` has the spike-band power, and the LFP band as `LFP` where `volts_per_code` is given, else as a series in
    codes. `invalid_times` lists what is missing.

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
    with nwb_output(survey([telemetry]), path, volts_per_code, start, source, overwrite=overwrite) as add:
        add(telemetry)


@contextmanager
def nwb_output(
    known: Survey,
    path: PathLike,
    volts_per_code: float | None = None,
    start: datetime.datetime | None = None,
    source: PathLike | None = None,
    *,
    overwrite: bool = False,
) -> Iterator[Callable[[Telemetry], None]]:
    """`write_nwb` for a stream's parts, in memory that a few of them take.

    What is yielded is called with each part, in order.

    Parameters
    ----------
    known : Survey
        Of the whole stream, as `spikey.telemetry.check.inspect` returns it.
    path, volts_per_code, start, source, overwrite
        As for `write_nwb`.

    Yields
    ------
    callable
        Call it with each part, in order.

    Raises
    ------
    UsageError
        pynwb is missing, or `path` cannot be written.
    """
    need_pynwb()
    refuse_address(path)
    import h5py
    from pynwb import NWBHDF5IO

    file = _described(known, start)
    region = _electrodes(file, known.description.channels)
    gain = 1.0 if volts_per_code is None else volts_per_code
    unit = "code" if volts_per_code is None else "volts"
    units = UnitsOutput(known, gain, unit) if known.events else None
    if units is not None:
        units.add_to(file)
    module = file.create_processing_module("ecephys", f"{NOTE}; NaN where a value was left out or is missing")
    power, low = (empty_array((rows, known.description.channels), "float32") if rows else None for rows in known.rows)
    if power is not None:
        module.add(_power(known, power, gain, unit))
    if low is not None:
        _add_low(module, known, low, region, volts_per_code)
    rate = known.description.rate
    for first, end in known.missing.tolist():
        file.add_invalid_time_interval(start_time=first / rate, stop_time=end / rate)
    inputs = [] if source is None else [source]
    with (
        atomic_output(path, *inputs, overwrite=overwrite, readable_as=inputs) as (out, _),
        h5py.File(out, "w") as store,
        NWBHDF5IO(file=store, mode="w") as writer,
    ):
        writer.write(file)
        begin = rows_before(known.description.shape, known.first_frame)

        def add(part: Telemetry) -> None:
            if units is not None:
                units.add(part)
            for piece in filled(part):
                first_bin, first_low = piece.first_bin - begin[0], piece.first_low - begin[1]
                if power is not None:
                    power.dataset[first_bin : first_bin + len(piece.power)] = piece.power
                if low is not None:
                    low.dataset[first_low : first_low + len(piece.low)] = piece.low

        yield add
        if units is not None:
            units.finish()


def _described(known: Survey, start: datetime.datetime | None) -> Any:
    """The file with nothing in it but words."""
    from pynwb import NWBFile

    settings = json.dumps(settings_of(known.description))
    began = "" if start is not None else " When it began is unknown: the year 1970 stands for that."
    if start is not None and start.tzinfo is None:
        start = start.astimezone()
    left_out = ", ".join(
        f"{count:,} {what}"
        for count, what in zip(
            known.dropped, ("events", "waveforms", "values of power", "blocks of the LFP band"), strict=True
        )
    )
    return NWBFile(
        session_description=f"Spikey {NOTE}.{began} Settings: {settings}. Left out for want of bits: {left_out}.",
        identifier=f"spikey-telemetry-{known.description.stream:08x}",
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


def _power(known: Survey, data: Any, gain: float, unit: str) -> Any:
    from pynwb import TimeSeries

    description = known.description
    low, high = description.settings.band[0], description.settings.power_high
    rate = description.rate / description.shape.bin
    return TimeSeries(
        name="spike_band_power",
        description=f"mean square of {low:g} to {high:g} Hz in bins that begin at the times given",
        data=data,
        unit=f"{unit}^2",
        conversion=gain**2,
        starting_time=rows_before(description.shape, known.first_frame)[0] / rate,
        rate=rate,
    )


def _add_low(module: Any, known: Survey, data: Any, region: Any, gain: float | None) -> None:
    from pynwb import TimeSeries
    from pynwb.ecephys import LFP, ElectricalSeries

    description = known.description
    first = rows_before(description.shape, known.first_frame)[1]
    what = {
        "name": "low_band",
        "data": data,
        "starting_time": float(frames_of_low(description.shape, first, first + 1)[0]) / description.rate,
        "rate": description.rate / description.shape.decimation,
    }
    words = f"up to {description.settings.low_high:g} Hz, decoded"
    if gain is None:
        module.add(TimeSeries(**what, unit="code", description=f"{words}; {NO_GAIN}"))
        return
    module.add(potentials := LFP())  # before its series, whose electrodes must be found in the same file
    series = ElectricalSeries(**what, electrodes=region, conversion=gain, description=words)
    potentials.add_electrical_series(series)

"""SpikeInterface: telemetry files as a sorting, as a recording to look at, and as a `SortingAnalyzer`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.base.errors import DataError, UsageError, install
from spikey.stream.key_file import read_key
from spikey.telemetry.check import NOTE
from spikey.telemetry.file import iter_telemetry

if TYPE_CHECKING:
    from spikeinterface.core import BaseRecording, NumpySorting, SortingAnalyzer

    from spikey.telemetry.decoded import Telemetry

__all__ = ["read_telemetry_recording", "read_telemetry_sorting", "telemetry_analyzer"]

PathLike = str | os.PathLike[str]
PITCH = 100.0  # um
TIMES = ("crossing", "trough")


def read_telemetry_sorting(
    path: PathLike, times: str = "crossing", *, weak: bool = True, key_file: PathLike | None = None
) -> NumpySorting:
    """The events of a telemetry file as a sorting with one unit for each channel; a unit's id is its channel's.

    Units are channels, not cells: nothing was sorted.

    Parameters
    ----------
    path : path
        A telemetry file, or the address of one.
    times : str
        "crossing" of the threshold, or "trough", which only events with a waveform have; others are where they cross.
        Weak events are at their troughs in either case.
    weak : bool
        Whether weak events, which cross only a lower threshold and match their channel's spikes, are among the spikes.
    key_file : path, optional
        The file with the sender's key, for authenticated streams: only packets with a valid tag are decoded.

    Returns
    -------
    NumpySorting
        A sorting of SpikeInterface.

    Raises
    ------
    DataError
        The file is not a telemetry file.
    UsageError
        `times` is another word, or SpikeInterface is missing.

    Examples
    --------
    >>> import tempfile, spikey
    >>> encoder = spikey.TelemetryEncoder(2, 20000)
    >>> packets = encoder.push(np.zeros((2000, 2), dtype="int16")) + encoder.close()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = os.path.join(folder, "a.spkt")
    ...     _ = open(name, "wb").write(b"SPKT" + b"".join(packets))
    ...     read_telemetry_sorting(name).unit_ids.tolist(), read_telemetry_recording(name).get_num_samples()
    ([0, 1], 2000)
    """
    need_spikeinterface()
    if times not in TIMES:
        raise UsageError(f"times of a telemetry sorting must be {' or '.join(TIMES)}, not {times!r}")
    frames, channels = [], []
    for part in iter_telemetry(path, key=_key(key_file)):  # so that only events take memory
        own = part.event_frames.copy()
        if times == "trough":
            there = part.waveform_of >= 0
            own[there] = part.trough_frames[part.waveform_of[there]]
        among = np.full(len(own), True) if weak else ~part.event_weak
        frames.append(own[among])
        channels.append(part.event_channels[among])
    return _sorting(np.concatenate(frames), np.concatenate(channels), part)[0]


def read_telemetry_recording(
    path: PathLike, kind: str = "samples", noise: int | None = None, *, key_file: PathLike | None = None
) -> BaseRecording:
    """The signal of a telemetry file, for viewing, reconstructed when asked for. It is lossy.

    Parameters
    ----------
    path : path
        A telemetry file, or the address of one.
    kind : str
        "samples" of the recording's type; "codes" of the converter, float32; or "waveforms", the same without the LFP
        band.
    noise : int, optional
        The seed of artificial noise of each channel's level between the waveforms, which spike sorters need.
    key_file : path, optional
        The file with the sender's key, for authenticated streams: only packets with a valid tag are decoded.
        SpikeInterface stores the path with the recording, not the key.

    Returns
    -------
    TelemetryRecordingExtractor
        A recording of SpikeInterface.

    Raises
    ------
    DataError
        The file is not a telemetry file.
    UsageError
        `kind` is another word, or SpikeInterface is missing.
    """
    need_spikeinterface()
    from spikey.integrations.telemetry_recording import TelemetryRecordingExtractor

    return TelemetryRecordingExtractor(path, kind, noise, key_file)


def telemetry_analyzer(
    path: PathLike, probe: Any = None, volts_per_code: float | None = None, *, key_file: PathLike | None = None
) -> SortingAnalyzer:
    """A `SortingAnalyzer` in memory whose waveforms, and with them templates, are the decoded ones of a telemetry file.

    One unit for each channel, with the events that have a waveform, weak ones among them, at their troughs, and each
    unit only on its own channel. Waveforms are in codes of the converter, band-passed; the recording is made of them
    and has no noise.

    Parameters
    ----------
    path : path
        A telemetry file, or the address of one.
    probe : probeinterface.Probe, optional
        For the channels in order; without one they stand 100 um apart on a line.
    volts_per_code : float, optional
        With it waveforms and recording are in uV, as some of SpikeInterface's metrics need them.
    key_file : path, optional
        The file with the sender's key, for authenticated streams: only packets with a valid tag are decoded.

    Returns
    -------
    SortingAnalyzer
        In memory, with the decoded waveforms.

    Raises
    ------
    DataError
        The file is not a telemetry file, or has no waveforms.
    UsageError
        SpikeInterface is missing.
    """
    need_spikeinterface()
    from spikeinterface.core import ChannelSparsity, create_sorting_analyzer

    from spikey.integrations.telemetry_recording import TelemetryRecordingExtractor

    recording = TelemetryRecordingExtractor(path, "waveforms", key_file=key_file)
    telemetry = recording.telemetry
    if not len(telemetry.waveforms):
        raise DataError(f"{path}: holds no waveforms, so there is nothing to analyze")
    sorting, order = _sorting(telemetry.trough_frames, telemetry.waveform_channels, telemetry)
    ids = np.arange(telemetry.channels)
    if probe is None:
        recording.set_dummy_probe_from_locations(np.stack([0 * ids, PITCH * ids], axis=1))
    else:
        recording.set_probe(probe)
    if volts_per_code is not None:
        recording.set_channel_gains(1e6 * volts_per_code)
        recording.set_channel_offsets(0.0)
    analyzer = create_sorting_analyzer(
        sorting,
        recording,
        sparsity=ChannelSparsity(np.eye(telemetry.channels, dtype=bool), ids, ids),
        main_channel_indices=ids,
        return_in_uV=volts_per_code is not None,
    )
    analyzer.compute("random_spikes", method="all")
    gain = 1.0 if volts_per_code is None else 1e6 * volts_per_code
    _give_waveforms(analyzer, telemetry, telemetry.waveforms[order] * np.float32(gain))
    analyzer.compute("templates")
    return analyzer


def _key(path: PathLike | None) -> bytes | None:
    return None if path is None else read_key(path)


def need_spikeinterface() -> None:
    """UsageError where SpikeInterface is missing."""
    try:
        import spikeinterface.core  # noqa: F401
    except ImportError:
        raise UsageError(f"this needs SpikeInterface: {install('spikeinterface')}", code="missing-package") from None


def _sorting(frames: np.ndarray, channels: np.ndarray, telemetry: Telemetry) -> tuple[NumpySorting, np.ndarray]:
    """Events as a sorting; and the order that it has them in. A frame before the stream's begin, or after, is moved.

    telemetry: the stream, or its last part.
    """
    from spikeinterface.core import NumpySorting
    from spikeinterface.core.base import minimum_spike_dtype

    order = np.lexsort((channels, frames))
    spikes = np.zeros(len(order), dtype=minimum_spike_dtype)
    spikes["sample_index"] = np.clip(frames[order], 0, max(telemetry.end_frame - 1, 0))
    spikes["unit_index"] = channels[order]
    sorting = NumpySorting(spikes, telemetry.rate, np.arange(telemetry.channels))
    sorting.annotate(note=NOTE)
    return sorting, order


def _give_waveforms(analyzer: Any, telemetry: Telemetry, waves: np.ndarray) -> None:
    """Put decoded waveforms, in the sorting's order, where an analyzer has those that it cuts out of a recording."""
    from spikeinterface.core import ComputeWaveforms

    extension = ComputeWaveforms(analyzer)
    milliseconds = 1000 / telemetry.rate
    shape = telemetry.description.shape
    extension.set_params(save=False, ms_before=shape.pre * milliseconds, ms_after=shape.post * milliseconds)
    extension.data["waveforms"] = waves[:, :, None]  # one channel each
    extension.run_info["run_completed"] = True
    analyzer.extensions["waveforms"] = extension

"""SpikeInterface: `read_spikey` opens `.spky` files as a recording, `write_spikey` writes them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import DataError, UsageError, install

try:
    from spikeinterface.core import BaseRecording, BaseRecordingSegment
except ImportError:
    raise ImportError(f"this needs SpikeInterface: {install('spikeinterface')}") from None

from spikey.codec.registry import DEFAULT_PRESET
from spikey.container.extra import Extra
from spikey.container.reader import Reader
from spikey.files.compress import Output, write_recording
from spikey.files.settings import Progress, Settings
from spikey.integrations.description import apply, describe, unpacked
from spikey.integrations.part import second
from spikey.integrations.recording_source import RecordingSource
from spikey.recording.hints import warn_of_floats
from spikey.recording.output import refuse_existing
from spikey.recording.remote import full, is_address

__all__ = ["SpikeyRecordingExtractor", "read_spikey", "write_spikey"]

MOST_THREADS = 8
PathLike = str | os.PathLike[str]


def read_spikey(
    file_paths: PathLike | Sequence[PathLike], stream_name: str | None = None, threads: int = 0
) -> SpikeyRecordingExtractor:
    """Open compressed recordings with SpikeInterface.

    Parameters
    ----------
    file_paths : path or sequence of paths
        A `.spky` file, an address of one (`https://…`), a list of them, one per segment, or a folder of them.
    stream_name : str, optional
        The stream in the files, such as `imec0.ap` or `imec0.ap-SYNC`; by default the first.
    threads : int
        Decoding threads; 0: the number of processors, but one within SpikeInterface's own jobs.

    Returns
    -------
    SpikeyRecordingExtractor

    Raises
    ------
    DataError
        A file is not a `.spky` file.
    UsageError
        The files are not the segments of one recording.

    Examples
    --------
    >>> import os, tempfile
    >>> from spikeinterface.core import NumpyRecording
    >>> original = NumpyRecording([np.arange(600, dtype="int16").reshape(300, 2)], 30000, channel_ids=["a", "b"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = write_spikey(original, os.path.join(folder, "a.spky"))
    ...     recording = read_spikey(paths)
    ...     recording.channel_ids.tolist(), recording.get_traces(0, 100, 102, channel_ids=["b"]).tolist()
    (['a', 'b'], [[201], [203]])
    """
    return SpikeyRecordingExtractor(file_paths, stream_name, threads)


class SpikeyRecordingExtractor(BaseRecording):
    """Compressed recordings, one file for each segment; samples are decoded when they are read.

    Parameters
    ----------
    file_paths : path or sequence of paths
        As for `read_spikey`.
    stream_name : str, optional
        As for `read_spikey`.
    threads : int
        As for `read_spikey`.
    """

    def __init__(self, file_paths: PathLike | Sequence[PathLike], stream_name: str | None = None, threads: int = 0):
        readers = _segments_of(file_paths, stream_name)
        streams = [_stream_of(reader, stream_name) for reader in readers]
        first, stream = readers[0], streams[0]
        try:
            for reader, other in zip(readers, streams, strict=True):
                kind = reader.dtype, reader.rate, other["channel_ids"]
                if kind != (first.dtype, first.rate, stream["channel_ids"]):
                    raise UsageError(f"{reader.name}: has other channels, another rate or type than {first.name}")
            BaseRecording.__init__(self, first.rate, unpacked(stream["channel_ids"]), first.dtype)
            apply(stream, self)
            for reader, other in zip(readers, streams, strict=True):
                self.add_recording_segment(SpikeyRecordingSegment(reader, other["columns"], other["t_start"], threads))
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError) as error:
            raise DataError(f"{first.name}: its metadata describe no recording: {error}") from error
        self._kwargs = {
            "file_paths": [reader.name for reader in readers],
            "stream_name": stream_name,
            "threads": threads,
        }


class SpikeyRecordingSegment(BaseRecordingSegment):
    """One compressed file, of whose channels `columns` are the recording's."""

    def __init__(self, reader: Reader, columns: Sequence[int], t_start: float | None, threads: int):
        BaseRecordingSegment.__init__(self, sampling_frequency=reader.rate, t_start=t_start)
        self._columns = np.array(columns, dtype=np.int64)
        if len(self._columns) and not 0 <= self._columns.min() <= self._columns.max() < reader.layout.channels:
            raise ValueError(f"it names channels beyond {reader.layout.channels}")
        self._threads = threads
        self._reader, self._process = reader, os.getpid()

    def get_num_samples(self) -> int:
        """Frames."""
        return self._reader.frames

    def get_traces(
        self,
        start_frame: int | None = None,
        end_frame: int | None = None,
        channel_indices: Any = None,
    ) -> np.ndarray:
        """Samples (frames, channels) of the type that the file has."""
        if self._process != os.getpid():  # a forked worker would move the file's position under its parent's feet
            self._reader, self._process = Reader(self._reader.name), os.getpid()
        first = 0 if start_frame is None else int(start_frame)
        end = self._reader.frames if end_frame is None else int(end_frame)
        columns = self._columns if channel_indices is None else self._columns[channel_indices]
        return self._reader.read(first, max(end - first, 0), columns, jobs=self._threads or _threads())


def _threads() -> int:
    """Threads to decode with: one where this runs beside others of its kind already."""
    alone = multiprocessing.parent_process() is None and threading.current_thread() is threading.main_thread()
    return min(os.cpu_count() or 1, MOST_THREADS) if alone else 1


def _segments_of(file_paths: PathLike | Sequence[PathLike], stream_name: str | None) -> list[Reader]:
    """The files that a caller named, opened; those of a folder in the order of their segments."""
    if isinstance(file_paths, str | os.PathLike):
        folder = Path(file_paths)
        if is_address(file_paths) or not folder.is_dir():
            return [_opened(file_paths)]
        readers = [_opened(path) for path in sorted(folder.rglob("*.spky"))]
        if stream_name is not None:
            readers = [r for r in readers if stream_name in _stream_names(r)]
        if not readers:
            what = "files that end in .spky" if stream_name is None else f"files with a stream {stream_name!r}"
            raise UsageError(f"{folder}: holds no {what}")
        names = {tuple(_stream_names(reader)) for reader in readers}
        if len(names) > 1:
            listed = ", ".join(sorted({name for each in names for name in each}))
            raise UsageError(f"{folder}: holds several recordings; give the stream_name of one: {listed}")
        return sorted(readers, key=_place)
    readers = [_opened(path) for path in file_paths]
    if not readers:
        raise UsageError("a recording needs at least one file")
    return readers


def _place(reader: Reader) -> tuple[int, str]:
    """By what the segments of a recording are sorted."""
    segment = reader.metadata.get("source", {}).get("segment", 0)
    return segment if isinstance(segment, int) else 0, reader.name


def _opened(path: PathLike) -> Reader:
    return Reader(full(path))


def _stream_names(reader: Reader) -> list[str]:
    return [stream["name"] for stream in reader.metadata.get("streams", [])]


def _stream_of(reader: Reader, name: str | None) -> dict[str, Any]:
    """The named or first stream in a file; one of all channels where its metadata list none."""
    streams = reader.metadata.get("streams", [])
    if not streams and name is None:
        channels = list(range(reader.layout.channels))
        ids = {"dtype": "<i8", "values": channels}
        nothing: dict[str, Any] = {"properties": {}, "annotations": {}, "probe": None, "t_start": None}
        return {"name": "", "columns": channels, "channel_ids": ids, **nothing}
    found = next((stream for stream in streams if name in (None, stream["name"])), None)
    if found is None:
        listed = ", ".join(_stream_names(reader)) or "none"
        raise UsageError(f"{reader.name}: has no stream {name!r}; there are: {listed}")
    return found


def write_spikey(
    recording: BaseRecording,
    path: PathLike,
    preset: str = DEFAULT_PRESET,
    threads: int = 0,
    block_frames: int | None = None,
    verify: bool = True,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Compress a recording with channel ids, properties, annotations and probe.

    Warns of floats that hardly shrink, and if the channels seem to be the first axis.

    Parameters
    ----------
    recording : BaseRecording
        Integers of up to 32 bits, or floats.
    path : path
        The output of a recording of one segment; several segments are written to `a_seg0.spky`, `a_seg1.spky`, …
        if `path` is `a.spky`.
    preset : str
        As for `spikey.compress`.
    threads : int
        Encoding threads; 0: the number of processors, but one within SpikeInterface's own jobs.
    block_frames : int, optional
        Frames that are decoded together, by default those of a second; fewer make short reads faster and files larger.
    verify : bool
        Decode what was written and compare.
    progress : callable, optional
        Called with the number of samples done since its last call.
    overwrite : bool
        Whether to replace existing files.

    Returns
    -------
    list of Path
        The files written, for `read_spikey`.

    Raises
    ------
    DataError
        The sample type is not supported.
    UsageError
        `path` cannot be written.
    """
    target = Path(path)
    settings = Settings(
        preset=preset,
        jobs=threads or _threads(),
        verify=verify,
        block_frames=block_frames or second(recording.sampling_frequency),
    )
    count = recording.get_num_segments()
    paths = [target] if count == 1 else [target.with_name(f"{target.stem}_seg{i}{target.suffix}") for i in range(count)]
    name = recording.get_annotation("name") or ""
    for each in paths:
        refuse_existing(each, overwrite)
    for segment, each in enumerate(paths):
        source = RecordingSource(recording, segment, f"segment {segment} of {recording.name}")
        stream = describe(recording, segment, name, list(range(recording.get_num_channels())))
        metadata = {"streams": [stream], "source": {"segment": segment}}
        outcome = write_recording(source, Output(each, overwrite), settings, extra=Extra(metadata), progress=progress)
        warn_of_floats(outcome.note)
    return paths

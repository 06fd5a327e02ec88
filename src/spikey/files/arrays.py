"""Samples in memory: compress and restore an array, open a compressed file for slicing."""

from __future__ import annotations

import io
import os
from typing import Any, NamedTuple

import numpy as np

from spikey.base.workers import processors
from spikey.container.archive import Archive
from spikey.container.reader import Reader
from spikey.container.writer import write_file
from spikey.files.compress import contents_of, note_on_floats
from spikey.files.encoding import Encoding, encode_recording
from spikey.files.settings import Settings, calibration_for
from spikey.recording.hints import warn_of_floats, warn_of_shape
from spikey.recording.readable import ArraySource


class Recording(NamedTuple):
    """Samples of a recording, as `decompress` returns them.

    Attributes
    ----------
    samples : array (frames, channels)
        Of the type that was compressed.
    rate : float
        Sampling rate in Hz.
    channels : int
        Number of channels.
    """

    samples: np.ndarray
    rate: float
    channels: int


def compress(samples: Any, rate: float, preset: str | None = None, calibration: Any = "auto", jobs: int = 1) -> bytes:
    """Compress an array of samples losslessly.

    Parameters
    ----------
    samples : array (frames, channels) or (frames,)
        An integer type of up to 32 bits, or float32 or float64. Floats that are integers times a gain are coded like
        integers, bit for bit; others hardly shrink.
    rate : float
        Sampling rate in Hz.
    preset : str, optional
        A name in `spikey.codec.registry.PRESETS`, each smaller and slower than the one before; None for the first.
    calibration : {"auto", "none"}, name of a shipped one, Calibration, path or None
        See `spikey.codec.calibration_policy.choose_calibration`.
    jobs : int
        Threads.

    Returns
    -------
    bytes
        A compressed file.

    Raises
    ------
    UsageError
        For unsupported samples. Warns if the channels seem to be the first axis, and of floats that hardly shrink.

    Examples
    --------
    >>> import numpy, spikey
    >>> samples = numpy.arange(1000, dtype="int16")
    >>> bool((spikey.decompress(spikey.compress(samples, rate=20000)).samples[:, 0] == samples).all())
    True
    """
    return compress_with(samples, rate, Settings(preset=preset, calibration=calibration, jobs=jobs))


def compress_with(samples: Any, rate: float, settings: Settings) -> bytes:
    """`compress` with all that settings can select."""
    array = np.asarray(samples)
    source = ArraySource(array, rate)
    warn_of_shape(source.frames, source.layout.channels, "give samples.T", level=2)
    chosen, out = calibration_for(source, settings), io.BytesIO()
    how = Encoding(settings.method(), chosen.calibration, settings.jobs)
    write_file(source, out, encode_recording(source, how), contents_of(settings, chosen))
    if array.dtype.kind == "f":
        with open(out.getvalue()) as reader:
            warn_of_floats(note_on_floats(reader, "the array"), level=2)
    return out.getvalue()


def decompress(data: bytes | str | os.PathLike[str], jobs: int = 1, lossy: bool = False) -> Recording:
    """Restore all samples of a compressed file.

    Parameters
    ----------
    data : bytes or path
        The file's contents, its path, or an address that fsspec opens.
    jobs : int
        Threads.
    lossy : bool
        Whether to accept a lossy file (`spikey telemetry`); otherwise it is refused.

    Returns
    -------
    Recording
        Samples (frames, channels), rate in Hz, number of channels.

    Raises
    ------
    DamagedError
        Parts are damaged; its `ranges` are the lost extents.
    DataError
        The data are not a compressed file.
    """
    with open(data, lossy=lossy) as reader:
        samples = reader.read(0, reader.frames, jobs=jobs)
        return Recording(samples, reader.rate, reader.layout.channels)


def open(path: str | os.PathLike[str] | bytes, lossy: bool = False, jobs: int | None = None) -> Reader:
    """Open a compressed file for slicing, without decoding it.

    Parameters
    ----------
    path : path, str or bytes
        A path, an address that fsspec opens (`https://...`, `s3://...`), or the file's contents.
    lossy : bool
        Whether to accept a lossy file; `reader.lossy` then describes what was lost.
    jobs : int, optional
        Threads for decoding a large slice; None for the number of processors.

    Returns
    -------
    spikey.container.reader.Reader
        It slices like an array (frames, channels).
    """
    return Reader(path, lossy=lossy, jobs=processors() if jobs is None else jobs)


def open_archive(path: str | os.PathLike[str] | bytes) -> Archive:
    """Open an archive of recordings that were compressed together.

    Parameters
    ----------
    path : path, str or bytes
        A path, an address that fsspec opens, or the archive's contents.

    Returns
    -------
    spikey.container.archive.Archive
        `archive.names` lists the recordings, and `archive[name]` is a `Reader`.
    """
    return Archive(path)

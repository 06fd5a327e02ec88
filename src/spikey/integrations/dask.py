"""Compression on a Dask cluster: chunk by chunk on its workers, written in order by the client, to the same bytes.

Workers read the recording themselves if they have access, encode and decode it, and return blocks with checksums. The
client requests a bounded number ahead, writes to a temporary path and renames the complete file. Nothing else writes,
so retries and the death of workers do no harm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spikey.base.errors import SpikeyError, UsageError
from spikey.files.settings import Outcome, Settings
from spikey.integrations.dask_client import ClusterError, Window, connect, threads
from spikey.integrations.dask_job import Job, seen_by_all
from spikey.integrations.dask_zarr import to_zarr
from spikey.recording.hints import warn_of_shape
from spikey.recording.readable import ArraySource, Readable

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ClusterError", "compress", "compress_files", "connect", "to_zarr"]

Path = str | os.PathLike[str]


def compress(
    source: Path | np.ndarray | Readable,
    out: Path,
    *,
    rate: float | None = None,
    settings: Settings | None = None,
    preset: str | None = None,
    client: Client | None = None,
    scheduler: str | None = None,
    jobs: int | None = None,
    ship: bool | None = None,
    progress: Callable[[int], None] | None = None,
    overwrite: bool = False,
) -> Outcome:
    """Compress one recording on a cluster, to the bytes that one machine writes.

    Parameters
    ----------
    source : path, array or Readable
        A file's path or fsspec address, samples (frames, channels), or anything with the methods of
        `spikey.recording.readable.Readable`.
    out : path
        A path or an address.
    rate : float, optional
        Sampling rate of an array in Hz.
    settings, preset : Settings, str, optional
        As for `spikey.files.compress`, or a preset alone.
    client : distributed.Client, optional
        A connection to a cluster; None to connect as `connect` does.
    scheduler, jobs : str, int, optional
        As for `connect`.
    ship : bool, optional
        Whether the samples are sent to the workers, instead of read by them; by default if a worker has no access to
        the file.
    progress : callable, optional
        Called with the number of samples done since its last call.
    overwrite : bool
        Whether to replace `out`.

    Returns
    -------
    Outcome
        Sizes and ratio, as for `spikey.files.compress.compress_file`.

    Raises
    ------
    ClusterError
        The cluster failed.
    UsageError, DataError
        As for `spikey.files.compress.compress_file`.

    Examples
    --------
    >>> from spikey.integrations.dask import compress
    >>> compress("day.wav", "s3://lab/day.spky", scheduler="tcp://10.0.0.1:8786").ratio  # doctest: +SKIP
    3.54
    """
    settings = settings or Settings(preset=preset)
    with connect(scheduler, jobs) if client is None else nullcontext(client) as cluster:
        if isinstance(source, np.ndarray):
            if rate is None:
                raise UsageError("samples need their rate in Hz: compress(samples, out, rate=...)")
            source = ArraySource(source, rate)
            warn_of_shape(source.frames, source.layout.channels, "give samples.T")
        ((_, outcome),) = compress_files(
            [(source, out)], settings, client=cluster, ship=ship, progress=progress, overwrite=overwrite
        )
    if isinstance(outcome, SpikeyError):
        raise outcome
    return outcome


def compress_files(
    work: Iterable[tuple[Any, Path]],
    settings: Settings | None = None,
    *,
    client: Client,
    ship: bool | None = None,
    progress: Callable[[int], None] | None = None,
    overwrite: bool = False,
) -> Iterator[tuple[Any, Outcome | SpikeyError]]:
    """Compress recordings on a cluster, one after another, and yield the result of each.

    The tasks of all recordings are one queue, so that the cluster stays busy from one to the next.

    Parameters
    ----------
    work : iterable of pairs
        Source and output, each as for `compress`.
    settings, client, ship, progress, overwrite
        As for `compress`.

    Yields
    ------
    pair
        The source, and its Outcome or the error that concerns this recording alone.

    Raises
    ------
    ClusterError
        The cluster failed.
    """
    settings = replace(settings or Settings(), jobs=1)
    jobs = [Job(source, out, settings, overwrite) for source, out in work]
    if ship is None and jobs:
        ship = not seen_by_all(client, jobs[0])
    window = Window(client, (call for job in jobs for call in job.calls(threads(client), bool(ship))))
    try:
        for job in jobs:
            window.fill()
            result: Outcome | SpikeyError
            try:
                result = job.write(window.results(job), progress)
            except ClusterError:
                raise
            except SpikeyError as error:
                result = error
                job.error = error
                window.drop(job)
            finally:
                job.close()
            yield job.source, result
    finally:
        window.close()
        for job in jobs:
            job.close()

"""A recording into a Zarr 2 array on a cluster: every task writes one whole chunk, so repeating it does no harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from spikey.base.errors import SpikeyError, UsageError, install
from spikey.codec.registry import DEFAULT_PRESET
from spikey.files.compress import open_recording
from spikey.files.settings import Outcome, Settings, size_of
from spikey.integrations.dask_client import Call, Window, connect
from spikey.integrations.dask_tasks import Recording, check_version
from spikey.recording.output import tmp_name
from spikey.recording.remote import full, is_address, reason
from spikey.recording.store import find_store

if TYPE_CHECKING:
    from distributed import Client

Path = str | os.PathLike[str]


def to_zarr(
    source: Path,
    out: Path,
    *,
    settings: Settings | None = None,
    codec: dict[str, Any] | None = None,
    seconds: float = 1.0,
    client: Client | None = None,
    scheduler: str | None = None,
    jobs: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Write a recording's samples into a Zarr 2 array (frames, channels) with Spikey's codec, chunk by chunk.

    The array's attributes contain rate, channels and the source's name. It is written beside its place and moved there
    when it is complete; each chunk is decoded and compared by the worker that writes it.

    Parameters
    ----------
    source : path
        A file's path or fsspec address that the workers see as well.
    out : path
        Likewise; it must not exist.
    codec : dict, optional
        Options of `spikey.integrations.numcodecs.Spikey`, as {"preset": "balanced"}. Without a calibration among them
        one is estimated from the recording, as by `spikey.integrations.numcodecs.codec_for`.
    seconds : float
        Length of a chunk, which has all channels.
    settings, client, scheduler, jobs, progress
        As for `spikey.integrations.dask.compress`.

    Returns
    -------
    Outcome
        Bytes before and after, and the number of samples.

    Raises
    ------
    UsageError
        `out` exists or cannot be written.
    ClusterError, DataError
        As of `spikey.integrations.dask.compress`.
    """
    try:
        import zarr
    except ImportError:
        raise UsageError(
            f"{out}: a Zarr array needs zarr: {install('numcodecs', 'zarr')}", code="missing-package"
        ) from None
    from spikey.integrations.estimated import calibration_for
    from spikey.integrations.numcodecs import Spikey

    address = str(out) if is_address(out) else f"file://{os.path.abspath(out)}"
    store, path = find_store(address)
    folder, slash, name = path.rstrip("/").rpartition("/")
    unfinished = tmp_name(name)
    tmp_path = f"{address.rstrip('/').removesuffix(name)}{unfinished}"
    place = f"{folder}{slash}{unfinished}"
    if store.exists(path):
        raise UsageError(f"{out}: exists; a Zarr array is never replaced, name another output")
    settings = settings or Settings()
    with open_recording(full(source), settings) as opened:
        recording = Recording.of(opened, full(source), settings)
        layout, size = opened.layout, size_of(opened)
        how = dict(codec or {})
        if "calibration" not in how:
            how["calibration"] = calibration_for(opened, how.get("preset", DEFAULT_PRESET))
    chunk = max(round(seconds * layout.rate), 1) if layout.rate else 1 << 16
    try:
        options = {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}
        array = zarr.open(
            tmp_path,
            mode="w",
            shape=(recording.frames, layout.channels),
            chunks=(min(chunk, max(recording.frames, 1)), layout.channels),
            dtype=layout.memory_dtype.newbyteorder("<"),
            compressor=Spikey(**how),
            **options,
        )
        array.attrs.update({"rate": layout.rate, "channels": layout.channels, "source": os.path.basename(str(source))})
        job = SimpleNamespace(name=str(source))
        calls = (
            Call(job, write_chunk, (recording, tmp_path, first, min(chunk, recording.frames - first)))
            for first in range(0, recording.frames, chunk)
        )
        with connect(scheduler, jobs) if client is None else nullcontext(client) as cluster:
            window = Window(cluster, calls)
            try:
                for samples in window.results(job):
                    if progress is not None:
                        progress(samples)
            finally:
                window.close()
        stored = store.du(place)
        store.mv(place, path, recursive=True)
    except BaseException as error:
        with suppress(Exception):
            store.rm(place, recursive=True)
        if isinstance(error, SpikeyError) or not isinstance(error, Exception):
            raise
        raise UsageError(f"{out}: cannot be written ({reason(error)})") from error
    return Outcome(size, int(stored), recording.frames * layout.channels)


def write_chunk(recording: Recording, address: str, first: int, count: int) -> int:
    """One chunk of an array that is there; the samples written."""
    import zarr

    check_version(recording.version)
    with recording.open() as source:
        samples = source.read(first, count)
    zarr.open(address, mode="r+")[first : first + count] = samples
    return int(samples.size)

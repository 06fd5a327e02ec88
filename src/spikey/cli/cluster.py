"""`spikey compress --scheduler`: the same work on a Dask cluster, with addresses for inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spikey.cli.common import pairs, progress_bar, say, some
from spikey.errors import SpikeyError, UsageError
from spikey.recording.remote import is_address, reason

if TYPE_CHECKING:
    from spikey.files import Outcome, Settings

Named = tuple[str, str]  # input and output


def named_pairs(
    inputs: list[str], output: str, suffixes: tuple[str, ...], rename: Callable[[Path], str]
) -> list[Named]:
    """`pairs` of paths and of fsspec addresses."""
    if not is_address(output) and not any(map(is_address, inputs)):
        return [(str(a), str(b)) for a, b in pairs([Path(i) for i in inputs], Path(output), suffixes, rename)]
    found: list[tuple[str, str]] = []  # an input, and its name below the output
    folder = len(inputs) > 1 or output.endswith("/")
    for text in inputs:
        inside = _files_in(text, suffixes)
        folder |= inside is not None
        found += inside if inside is not None else [(text, PurePosixPath(text).name)]
    if not folder:
        return [(found[0][0], output)]
    out = [(source, str(PurePosixPath(name).with_name(rename(Path(name))))) for source, name in found]
    return [(source, f"{output.rstrip('/')}/{name}") for source, name in out]


def _files_in(text: str, suffixes: tuple[str, ...]) -> list[tuple[str, str]] | None:
    """Files of a folder, each with its path below; None where it is no folder."""
    if not is_address(text):
        folder = Path(text)
        if not folder.is_dir():
            return None
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        found = [(str(p), p.relative_to(folder).as_posix()) for p in files]
    else:
        from spikey.recording.store import find_store

        store, path = find_store(text)
        try:
            if not store.isdir(path):
                return None
            names = sorted(name for name in store.find(path) if PurePosixPath(name).suffix.lower() in suffixes)
        except Exception as error:  # every store has kinds of its own
            raise UsageError(f"{text}: cannot be listed ({reason(error)})") from None
        found = [(store.unstrip_protocol(name), name[len(path) :].lstrip("/")) for name in names]
    some(found, text, suffixes)
    return found


def compress_on_cluster(
    work: list[Named], settings: Settings, scheduler: str, jobs: int | None
) -> tuple[list[tuple[Path, Outcome]], int]:
    """Compress each pair on a cluster; what fails is said and counted. Outputs that end in .zarr become Zarr arrays."""
    from spikey.integrations.dask import compress_files, connect
    from spikey.integrations.dask_zarr import to_zarr

    several = len(work) > 1
    done: list[tuple[Path, Outcome]] = []
    failures = 0
    arrays = [pair for pair in work if pair[1].rstrip("/").endswith(".zarr")]
    if arrays and (several or settings.model is not None):
        raise UsageError(f"{arrays[0][1]}: a Zarr array is made of one recording, with a preset")
    with (
        connect(scheduler, jobs) as client,
        progress_bar(len(work) if several else None, "files" if several else "samples") as advance,
    ):
        if client.dashboard_link:
            say(f"dashboard: {client.dashboard_link}")
        if arrays:
            codec = {"preset": settings.preset or "realtime", "verify": settings.verify}
            source, target = arrays[0]
            outcome = to_zarr(source, target, settings=settings, codec=codec, client=client, progress=advance)
            return [(Path(source), outcome)], 0
        results = compress_files(work, settings, client=client, progress=None if several else advance)
        for (source, _), (_, result) in zip(work, results, strict=True):
            if isinstance(result, SpikeyError):
                if not several:
                    raise result
                say(f"spikey: {result}")
                failures += 1
            else:
                done.append((Path(source), result))
            if several:
                advance(1)
    return done, failures

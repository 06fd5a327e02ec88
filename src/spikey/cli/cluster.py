"""`spikey compress --scheduler`: the same work on a Dask cluster, with addresses for inputs and outputs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spikey.base.errors import SpikeyError, UsageError
from spikey.cli.arguments import Arguments
from spikey.cli.common import some
from spikey.cli.messages import say
from spikey.cli.progress import progress_bar
from spikey.cli.run import Result, Run, Task
from spikey.recording.output import make_folder
from spikey.recording.remote import is_address, reason

if TYPE_CHECKING:
    from spikey.files.settings import Outcome, Settings

Named = tuple[str, str]  # input and output


def named_pairs(arguments: Arguments, suffixes: tuple[str, ...], rename: Callable[[Path], str]) -> list[Named]:
    """Inputs, which are paths and fsspec addresses, each with its output; folders are searched for `suffixes`."""
    assert arguments.output is not None
    output = arguments.output
    found: list[tuple[str, str]] = []  # an input, and its name below the output
    folder = arguments.folder or len(arguments.inputs) > 1
    for text in arguments.inputs:
        inside = _files_in(text, suffixes)
        folder |= inside is not None
        home = PurePosixPath(text if is_address(text) else os.path.abspath(text)).name
        found += [(text, PurePosixPath(text).name)] if inside is None else [(a, f"{home}/{b}") for a, b in inside]
    if not folder or (output.endswith(".zarr") and len(found) == 1):
        return [(found[0][0], output)]
    out = [(source, str(PurePosixPath(name).with_name(rename(Path(name))))) for source, name in found]
    work = [(source, f"{output.rstrip('/')}/{name}") for source, name in out]
    taken: dict[str, str] = {}
    for source, target in work:
        if taken.setdefault(target, source) != source:
            raise UsageError(f"{source} and {taken[target]} would both be written to {target}")
        if not is_address(target):
            make_folder(Path(target).parent)
    return work


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
    work: list[Named], settings: Settings, scheduler: str, jobs: int | None, overwrite: bool
) -> Run:
    """Compress each pair on a cluster; what fails is named and counted. An output ending in .zarr is a Zarr array."""
    from spikey.codec.registry import DEFAULT_PRESET
    from spikey.integrations.dask import compress_files, connect, to_zarr
    from spikey.integrations.dask_client import silence

    silence()
    several = len(work) > 1
    done = Run("compressed")
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
            codec = {"preset": settings.preset or DEFAULT_PRESET, "verify": settings.verify}
            source, target = arrays[0]
            outcome = to_zarr(source, target, settings=settings, codec=codec, client=client, progress=advance)
            done.results.append(Result(_task(source, target), outcome))
            return done
        results = compress_files(
            work, settings, client=client, progress=None if several else advance, overwrite=overwrite
        )
        for (source, target), (_, result) in zip(work, results, strict=True):
            if isinstance(result, SpikeyError):
                if not several:
                    raise result
                say(f"spikey: {result}")
                done.failures += 1
                done.results.append(Result(_task(source, target), error=result))
            else:
                done.results.append(Result(_task(source, target), result))
            if several:
                advance(1)
    return done


def _task(source: str, target: str) -> Task:
    """A task that the cluster does."""

    def nothing(_: object) -> Outcome:
        raise AssertionError

    return Task(source, target, 0, nothing)

"""`spikey compress --scheduler`: the same work on a Dask cluster, with addresses for inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikey.base.errors import SpikeyError, UsageError
from spikey.cli.addresses import Named
from spikey.cli.messages import say
from spikey.cli.packing import Plan, say_unstored
from spikey.cli.progress import progress_bar
from spikey.cli.run import Result, Run, Task

if TYPE_CHECKING:
    from spikey.files.settings import Outcome, Settings


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


def compress_plan_on_cluster(found: Plan, settings: Settings, scheduler: str, jobs: int | None, overwrite: bool) -> Run:
    """Compress each output of a plan by a worker that sees its files, also those of vendors; what fails is named."""
    from spikey.cli.compression import compress_planned
    from spikey.integrations.dask import connect
    from spikey.integrations.dask_client import Call, ClusterError, Window, silence

    silence()
    done = Run("compressed", failures=len(found.failed))
    say_unstored(found)
    with connect(scheduler, jobs) as client, progress_bar(len(found.outputs), "files") as advance:
        if client.dashboard_link:
            say(f"dashboard: {client.dashboard_link}")
        window = Window(
            client, (Call(each.item, compress_planned, (each, settings, None, overwrite)) for each in found.outputs)
        )
        try:
            for each in found.outputs:
                task = _task(str(each.item.path or each.root / each.item.name), each.target)
                try:
                    (outcome,) = window.results(each.item)
                    done.results.append(Result(task, outcome))
                except ClusterError:
                    raise
                except SpikeyError as error:
                    window.drop(each.item)
                    say(f"spikey: {error}")
                    done.failures += 1
                    done.results.append(Result(task, error=error))
                advance(1)
        finally:
            window.close()
    return done


def _task(source: str, target: str) -> Task:
    """A task that the cluster does."""

    def nothing(_: object) -> Outcome:
        raise AssertionError

    return Task(source, target, 0, nothing)

"""The client of a cluster: connecting or starting one, checking its workers, and submitting tasks a little ahead."""

from __future__ import annotations

import importlib.util
import logging
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from spikey.base.errors import SpikeyError, UsageError, install
from spikey.base.version import __version__
from spikey.recording.remote import reason

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 5
PATIENCE = 60.0  # seconds that a cluster may be without workers
LOOK_SECONDS = 2  # between two looks at whether there still are any
RETRIES = 2  # of a task that raises, as when a store does not answer; lost workers are not counted
AHEAD = 3  # tasks for each thread of the cluster
SHIPPED_BYTES = 1 << 30  # of samples under way at once where workers do not read them themselves


class Call(NamedTuple):
    """A task: whose it is (something with a `name`), what it does, and how many bytes of samples travel with it."""

    owner: Any
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    shipped: int = 0


class ClusterError(SpikeyError):
    """The cluster failed: no scheduler, no workers, or one that died."""

    code = "cluster"


@contextmanager
def connect(scheduler: str | None = None, jobs: int | None = None) -> Iterator[Client]:
    """Connect to the scheduler at an address, or start a local cluster of processes.

    Parameters
    ----------
    scheduler : str, optional
        An address such as "tcp://host:8786"; None or "local" for a local cluster.
    jobs : int, optional
        Processes of a local cluster; by default the number of cores.

    Yields
    ------
    distributed.Client

    Raises
    ------
    UsageError
        No scheduler answers, a worker has no Spikey or another version of it, or Dask is not installed.

    Examples
    --------
    >>> with connect(jobs=1) as client:  # doctest: +SKIP
    ...     client.dashboard_link
    'http://127.0.0.1:8787/status'
    """
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(f"a cluster needs Dask: {install('dask')}", code="missing-package")
    from distributed import Client, LocalCluster

    if scheduler is None or scheduler == "local":
        with (
            LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            client.run(_leave_interrupts)
            yield client
        return
    with _quiet():
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS)
        except Exception as error:  # of the protocol's own
            raise UsageError(
                f"no Dask scheduler answers at {scheduler} ({reason(error)}); start one with: dask scheduler"
            ) from None
        with client:
            check_workers(client)
            yield client


def _leave_interrupts() -> None:
    """Have a worker leave Ctrl-C, which its terminal sends to it as well, to the program that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def silence() -> None:
    """Leave out Dask's own lines from now on, those of its threads that still run when a program ends as well."""
    import distributed  # noqa: F401 (its loggers)

    for logger in _loggers():
        logger.setLevel(logging.CRITICAL)


def _loggers() -> list[logging.Logger]:
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]
    return [logging.getLogger(name) for name in names]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's own log lines about what an error's sentence covers."""
    levels = {logger: logger.level for logger in _loggers()}
    silence()
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def check_workers(client: Client) -> None:
    """Raise UsageError where a worker has no Spikey, or another version of it."""

    def version() -> str:  # a local function travels as it is, so it runs where Spikey is missing
        try:
            from spikey.base.version import __version__
        except ImportError:
            return "none"
        return __version__

    for worker, found in client.run(version).items():
        if found != __version__:
            has = "has no spikey" if found == "none" else f"has spikey {found}"
            raise UsageError(
                f"the worker at {worker} {has}, and here it is {__version__}; "
                f"install the same version everywhere: {install()}",
                code="missing-package",
            )


class Window:
    """Tasks in order, submitted only a little ahead of their results, so that any length needs bounded memory.

    calls: those of all recordings, one after another; each is made only when its turn comes near.
    """

    def __init__(self, client: Client, calls: Iterator[Call], patience: float = PATIENCE):
        self._client = client
        self._calls = calls
        self._patience = patience
        self._waiting: deque[tuple[Call, Future[Any]]] = deque()
        self._wanted, self._looked = 0, -float("inf")

    def fill(self) -> None:
        """Submit as many tasks as the cluster may hold."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._wanted = AHEAD * max(threads(self._client), 1)
            self._looked = time.monotonic()
        while len(self._waiting) < self._wanted and sum(call.shipped for call, _ in self._waiting) < SHIPPED_BYTES:
            call = next(self._calls, None)
            if call is None:
                return
            key = f"spikey_{call.function.__name__}-{secrets.token_hex(8)}"
            with self._large():
                future = self._client.submit(call.function, *call.arguments, key=key, retries=RETRIES, pure=False)
            self._waiting.append((call._replace(arguments=()), future))

    def results(self, owner: Any) -> Iterator[Any]:
        """The results of the next tasks, as long as they are those of `owner`."""
        self.fill()
        while self._waiting and self._waiting[0][0].owner is owner:
            yield self._wait(*self._waiting[0])
            self._waiting.popleft()
            self.fill()

    @staticmethod
    def _large() -> Any:
        """Without Dask's warning about samples that travel with a task, which is what makes it safe to repeat."""
        import dask

        return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"})

    def drop(self, owner: Any) -> None:
        """Forget the tasks of `owner`."""
        self._cancel([future for call, future in self._waiting if call.owner is owner])
        self._waiting = deque(pair for pair in self._waiting if pair[0].owner is not owner)

    def close(self) -> None:
        """Forget all tasks."""
        self._cancel([future for _, future in self._waiting])
        self._waiting.clear()

    def _cancel(self, futures: list[Future[Any]]) -> None:
        with suppress(Exception):  # a scheduler that is gone has nothing left to cancel
            if futures and self._client.status == "running":
                self._client.cancel(futures, force=True)

    def _wait(self, call: Call, future: Future[Any]) -> Any:
        """A task's result, unless the cluster is gone."""
        import asyncio
        from concurrent.futures import CancelledError

        from distributed import wait
        from distributed.scheduler import KilledWorker

        seen = time.monotonic()
        try:
            while True:
                with suppress(TimeoutError):
                    wait([future], timeout=LOOK_SECONDS)
                    break
                if threads(self._client):
                    seen = time.monotonic()
                elif time.monotonic() - seen > self._patience:
                    raise ClusterError(
                        f"the cluster has had no workers for {self._patience:.0f} seconds; "
                        "start some with: dask worker ADDRESS"
                    )
            return future.result()
        except SpikeyError:
            raise
        except (CancelledError, asyncio.CancelledError):
            raise ClusterError("the Dask scheduler has stopped, or the tasks were cancelled") from None
        except KilledWorker as error:
            raise SpikeyError(
                f"{call.owner.name}: {error.allowed_failures + 1} workers died while they worked on it, perhaps for "
                "lack of memory; give them more, or fewer threads each"
            ) from None
        except Exception as error:
            what = f"{type(error).__name__}: {reason(error)}"
            raise SpikeyError(f"{call.owner.name}: a worker failed with {what}") from error


def threads(client: Client) -> int:
    """Of all workers together; ClusterError where the scheduler does not answer."""
    try:
        scheduler: Any = client.scheduler
        return sum(client.sync(scheduler.ncores, callback_timeout=CONNECT_SECONDS).values())
    except Exception as error:
        raise ClusterError(f"the Dask scheduler no longer answers ({reason(error)})") from None

"""Measures codecs each in a process of its own: their memory is known, and one that crashes takes nothing along.

The process receives the name of what to measure, reads the recordings into memory, and sends the result of each.
Everything that codecs write in passing lies in one folder, which is removed whatever happens.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from spikey.base.errors import DataError, SpikeyError
from spikey.base.interrupts import redeliver_lost
from spikey.base.jit import announce_compilation
from spikey.codec.registry import ranked
from spikey.files.settings import Settings
from spikey.model.trained import named
from spikey.report.bench.measure import Codec, One, Result, measure_one, peer_codec, spikey_codec, warm_up
from spikey.report.bench.peers import known, programs
from spikey.report.bench.recordings import Loaded, load
from spikey.report.counted import without_preset

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "BLOSC_NTHREADS")
PATIENCE = 5  # seconds for a process to end by itself


@dataclass(frozen=True)
class Order:
    """What to measure: a preset, predictor and model of Spikey's by name, or a peer by its title."""

    title: str
    given: str = ""
    preset: str | None = None
    predictor: str | None = None
    model: str | None = None

    def codec(self) -> Codec:
        """The codec that is meant."""
        if self.given:
            return peer_codec(known()[self.title])
        model = None if self.model is None else named(self.model)
        return spikey_codec(Settings(self.preset, self.predictor, model))


def orders_of(presets: list[str], models: list[str]) -> list[Order]:
    """What is measured of Spikey: models, presets, and with all presets the other predictors."""
    found = [Order(f"spikey {named(name).name}", model=name) for name in models]
    found += [Order(f"spikey {preset}", preset=preset) for preset in presets]
    if len(presets) == len(ranked()):
        found += [Order(f"spikey {name}", predictor=name) for name in without_preset()]
    return found


def measure_apart(
    paths: list[Path],
    orders: list[Order],
    repeats: int = 3,
    raw: tuple[int, float, str] | None = None,
    seconds: float | None = None,
    progress: Callable[..., None] | None = None,
) -> list[Result]:
    """Each codec on all recordings; `progress` is called with 1 and a note after each.

    raw, seconds: as in `load`. Raises DataError where Spikey does not restore a recording.
    """
    with tempfile.TemporaryDirectory(prefix="spikey-bench-") as folder:
        return [_measure(paths, order, (repeats, raw, seconds, folder), progress) for order in orders]


def _measure(paths: list[Path], order: Order, options: tuple[Any, ...], progress: Callable[..., None] | None) -> Result:
    result = Result(order.title, 0, 0, 0, 0, 0.0, 0.0, given=order.given)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(theirs, paths, order, *options), daemon=True)
    memory: int | None = None
    try:
        with _one_thread(), _uninterrupted():
            worker.start()
        theirs.close()
        while True:
            try:
                said = ours.recv()
            except EOFError:
                break
            if isinstance(said, SpikeyError):
                raise said
            if isinstance(said, One):
                result.add(said)
                if progress is not None:
                    progress(1, order.title)
            elif isinstance(said, str):
                if progress is not None:
                    progress(0, said)
            else:
                memory = said
        worker.join()
        if worker.exitcode:
            missing = len(paths) - len(result.sizes)
            if not order.given:
                raise SpikeyError(f"{order.title}: its process ended with status {worker.exitcode}; please report this")
            for _ in range(missing):
                result.add(One("", failed=f"its process ended with status {worker.exitcode}"))
            if progress is not None:
                progress(missing, order.title)
    finally:
        ours.close()
        _end(worker)
    if memory is not None:
        result.memory = memory
    return result


def _end(worker: Any) -> None:
    """See to it that a process is over."""
    if worker.pid is None:
        return
    for stop in (worker.terminate, worker.kill):
        if worker.is_alive():
            stop()
            worker.join(PATIENCE)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have processes that start meanwhile work in one thread, whatever libraries they use."""
    kept = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Have a process that starts meanwhile ignore Ctrl-C, which reaches it as well: it is for us to end it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _work(
    out: Connection,
    paths: list[Path],
    order: Order,
    repeats: int,
    raw: tuple[int, float, str] | None,
    seconds: float | None,
    folder: str,
) -> None:
    """What the process does: measure every recording and send what became of it; last a program's memory."""
    signal.signal(signal.SIGTERM, _interrupt)  # so that a program that it started is ended as well
    redeliver_lost(signal.SIGTERM)
    tempfile.tempdir = folder
    if order.given:  # warnings of other packages do not belong in the table
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    else:
        announce_compilation(lambda: out.send("compiling the kernels, once on this machine (up to two minutes)"))
    try:
        codec, largest = order.codec(), None
        for index, path in enumerate(paths):
            recording = load(path, raw, seconds)
            if not index:
                warm_up(recording, codec)
            memory = Memory()
            one = measure_one(recording, order.title, codec, repeats)
            out.send(replace(one, memory=memory.grown()))
            if not one.failed and not one.skipped and (largest is None or recording.size > largest.size):
                largest = recording
        if largest is not None and order.given and known()[order.title].programs:
            out.send(_memory_of_program(codec, largest, folder))
    except SpikeyError as error:
        out.send(DataError(str(error)))
    except (KeyboardInterrupt, BrokenPipeError):  # the process that asked for the measurement has ended
        sys.exit(1)
    except Exception as error:  # a traceback of another process would not help the reader of the table
        if order.given:
            raise
        out.send(SpikeyError(f"{order.title}: {type(error).__name__}: {error}; please report this"))
    finally:
        out.close()


def _memory_of_program(codec: Codec, recording: Loaded, folder: str) -> int | None:
    """The most bytes that the program held: in a run of its own, as another process has to watch it."""
    notes = Path(folder, "memory")
    programs.watched.append(notes)
    try:
        codec.encode(recording)
        return max(int(line) for line in notes.read_text().split())
    except (SpikeyError, OSError, ValueError):
        return None
    finally:
        programs.watched.clear()
        with suppress(OSError):
            notes.unlink()


class Memory:
    """How much more memory this process holds at most, from now on; only where the system reports it (Linux)."""

    def __init__(self) -> None:
        self._before: int | None = None
        gc.collect()
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what was used before and is kept for later would hide what is used now
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the peak is reset
            self._before = _status("VmRSS")

    def grown(self) -> int | None:
        """Bytes since then at the peak; None where it is not known."""
        if self._before is None:
            return None
        peak = _status("VmHWM")
        return None if peak is None else max(peak - self._before, 0)


def _status(name: str) -> int | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    return None

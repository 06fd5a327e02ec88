"""Chunked stores side by side, `python -m tools.stores`: Spikey, Blosc, FLAC, WavPack, pcodec, OpenZL, mtscomp.

Every codec gets the same chunks (a second of all channels, as SpikeInterface cuts them) and two worker processes, each
of which opens the store for itself, as SpikeInterface's do; `.spky` and mtscomp's files get two threads of one process.
Everything is read back and compared; Spikey's writing includes the estimate of code widths and its own decoding and
comparing, which is the default. FLAC, WavPack, pcodec and OpenZL get the samples as they are, and corrected: divided by
their step, medians removed; making these is not timed, and what restores the samples from them counts.

One second and one channel are read by the calling process, as is everything, for comparison with one channel: with the
threads that the store takes by itself. The generated recording's parameters were settled before anything was measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import SpikeyError
from spikey.recording.layout import Layout
from spikey.report.bench.machine import machine
from spikey.report.bench.peers.corrected import to_corrected
from spikey.report.bench.recordings import Loaded
from tools.store_cases import Case, devices, divided, generated, implants, locust
from tools.store_codecs import chunks_of, prepare, stores

ENOUGH = 1 << 22  # samples that everything is compiled with
REPEATS = 5  # random accesses; the median counts. One channel of a large recording is read once
LARGE = 1 << 27  # samples


def corrected(folder: Path, case: Case) -> tuple[Case, int]:
    """A recording as laboratories give it to FLAC, and the bytes that restore it: one correction for all of it."""
    layout = Layout(case.channels, case.rate, "int16")
    samples = np.array(case.samples())
    correction, codes = to_corrected(Loaded(case.name, layout, samples, b"", b"", False), ordered=False)
    path = folder / f"{case.path.stem}-corrected.dat"
    codes.astype("<i2").tofile(path)
    return Case(case.name, path, case.frames, case.channels, case.rate), len(correction)


def peak(reset: bool) -> int:
    """Bytes that this process has held at most since it was last reset."""
    with open("/proc/self/status") as file:
        held = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    time.sleep(0.02)  # so that another worker takes the next of such calls
    return held


def peaks(pool: ProcessPoolExecutor, reset: bool) -> int:
    """The most that a worker has held."""
    return max(pool.map(peak, [reset] * 8))


def measure(case: Case, store: Any, folder: Path, more: int) -> dict[str, Any]:
    """Ratio, million samples a second both ways, memory, and how long random accesses take.

    more: bytes beside what the store takes.
    """
    size = case.frames * case.channels
    place = folder / "place"
    place.mkdir()
    with ProcessPoolExecutor(store.workers, multiprocessing.get_context("spawn"), prepare) as pool:
        _warm_up(case, folder, store, pool)
        peaks(pool, reset=True)
        before = peaks(pool, reset=True)
        start = time.perf_counter()
        path = store.write(case, place, pool)
        wrote = time.perf_counter() - start
        stored = more + sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        start = time.perf_counter()
        same = store.read(case, path, pool)
        read = time.perf_counter() - start
        held = peaks(pool, reset=False) - before
    if not same:
        raise SpikeyError(f"{store.name} did not give back {case.name}")
    second, channel = accesses(case, store, path)
    opened = store.open(path, case)
    start = time.perf_counter()
    for first in chunks_of(case):
        opened[first : first + case.rate, :]
    everything = time.perf_counter() - start
    shutil.rmtree(place)
    return {
        "recording": case.name,
        "codec": store.name,
        "ratio": round(2 * size / stored, 4),
        "write_million_samples_s": round(size / wrote / 1e6, 2),
        "read_million_samples_s": round(size / read / 1e6, 2),
        "real_time_million_samples_s": round(case.channels * case.rate / 1e6, 3),
        "second_ms": round(1e3 * second, 2),
        "channel_ms": round(1e3 * channel, 2),
        "everything_ms": round(1e3 * everything, 2),
        "memory_mb": round(held / 1e6, 1),
    }


def accesses(case: Case, store: Any, path: Path) -> tuple[float, float]:
    """Seconds for a second of all channels, and for all of one channel: medians of random ones, each freshly opened."""
    chance = np.random.default_rng(1)
    samples = case.samples()
    took: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS):
        first = int(chance.integers(0, max(case.frames - case.rate, 1)))
        channel = int(chance.integers(0, case.channels))
        parts: list[Any] = [(slice(first, first + case.rate), slice(None)), (slice(None), channel)]
        for which, seconds in zip(parts, took, strict=True):
            if repeat and seconds is took[1] and case.frames * case.channels > LARGE:
                continue
            opened = store.open(path, case)
            start = time.perf_counter()
            part = opened[which]
            seconds.append(time.perf_counter() - start)
            if not np.array_equal(part, samples[which]):
                raise SpikeyError(f"{store.name} did not give back a part of {case.name}")
    second, one = (float(np.median(seconds)) for seconds in took)
    return second, one


def _warm_up(case: Case, folder: Path, store: Any, pool: ProcessPoolExecutor) -> None:
    """Every process imports and compiles what it needs before time counts."""
    path = folder / "warm.dat"
    some = case.samples()[: max(2 * case.rate, ENOUGH // case.channels)]
    some.tofile(path)
    case = Case("warm-up", path, len(some), case.channels, case.rate)
    place = folder / "warm"
    place.mkdir()
    found = store.write(case, place, pool)
    store.read(case, found, pool)
    store.open(found, case)[: case.rate, 0]
    shutil.rmtree(place)


def cases(arguments: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """The recordings that were asked for."""
    if arguments.generated:
        path = arguments.generated
        case = Case("generated, 384 channels in steps of 3", path, path.stat().st_size // 768, 384, 30_000)
        yield case
        yield divided(folder, case, 3, arguments.divided)
    elif arguments.seconds:
        case = generated(folder, arguments.seconds)
        yield case
        yield divided(folder, case, 3, arguments.divided)
    if arguments.locust:
        yield locust(folder, arguments.locust)
    if arguments.implants:
        yield implants(folder, arguments.implants)
    if arguments.real:
        yield from devices(folder, arguments.real)


def _line(row: dict[str, Any]) -> str:
    facts = list(row.values())
    return f"{facts[0][:24]:25}{facts[1]:28}" + "".join(f"{value:>11,}" for value in facts[2:])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of the generated recording; 0 for none")
    parser.add_argument("--generate", type=Path, metavar="FILE", help="only write the generated recording")
    parser.add_argument("--generated", type=Path, metavar="FILE", help="the generated recording, where there is one")
    parser.add_argument("--divided", type=int, default=60, help="seconds of it that are also compared in steps of 1")
    parser.add_argument("--locust", type=Path, help="the raw recording of 4 channels")
    parser.add_argument("--implants", type=Path, help="a folder of the N1's WAV files")
    parser.add_argument("--real", type=Path, help="a folder of devices' recordings, each with a meta.json")
    parser.add_argument("--only", default="", help="codecs whose names contain this")
    parser.add_argument("--folder", type=Path, help="where stores are written; default: a temporary one")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures, for `tools.docs_tables --take stores`"
    )
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        if arguments.generate:
            shutil.move(generated(folder, arguments.seconds).path, arguments.generate)
            return
        prepare()
        heads = ("ratio", "write", "read", "real time", "second ms", "channel ms", "all ms", "memory MB")
        print(f"{'recording':25}{'codec':28}" + "".join(f"{head:>11}" for head in heads))
        names = {store.name for store in stores()}
        for case in cases(arguments, folder):
            given = {False: (case, 0), True: corrected(folder, case)}
            for store in stores():
                same = "steps of 1" in case.name and store.corrected is False and f"{store.name}, corrected" in names
                if arguments.only in store.name and not same:  # as given corrected samples, but for the medians
                    one, more = given[store.corrected]
                    rows.append(measure(one, store, folder, more))
                    print(_line(rows[-1]), flush=True)
    if arguments.json:
        command = "python -m tools.stores " + " ".join(Path(word).name for word in sys.argv[1:])
        answer = machine() | {"command": command, "rows": rows}
        arguments.json.write_text(json.dumps(answer, indent=1) + "\n")


if __name__ == "__main__":
    main()

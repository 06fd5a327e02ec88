"""Chunked stores side by side: `python -m tools.stores`: Spikey, Blosc, WavPack, FLAC and mtscomp.

Every codec gets the same chunks (a second of all channels, as SpikeInterface cuts them) and two worker processes, each
of which opens the store for itself, as SpikeInterface's do. Everything is read back and compared; Spikey's writing
includes its own decoding and comparing, which is the default.

The preset `balanced` is left out of recordings of over 2^27 samples, as it takes so long. The generated recording's
parameters were settled before anything was measured: see `generated`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import SpikeyError, UsageError, install
from spikey.recording.wav import open_wav

WORKERS = 2
REPEATS = 3  # random accesses; the median counts. All time of one channel of a large recording is read once
LARGE = 1 << 27  # samples from which the slow preset is left out
NEEDED = f"comparing stores needs other packages: {install('stores')}"


@dataclass(frozen=True)
class Case:
    """A recording: samples int16 (frames, channels) in a raw file, and its rate in Hz."""

    name: str
    path: Path
    frames: int
    channels: int
    rate: int

    def samples(self) -> np.ndarray:
        """All of it, mapped."""
        return np.memmap(self.path, dtype="<i2", mode="r", shape=(self.frames, self.channels))


def generated(folder: Path, seconds: int = 60, channels: int = 384, rate: int = 30_000) -> Case:
    """SpikeInterface's generator: 384 channels in two columns at 30 kHz, 200 units, noise of 8 uV whose correlation
    between electrodes falls to 1/e in 40 um; samples are multiples of 3, of 0.195 uV each.
    """
    try:
        from spikeinterface.core import generate_ground_truth_recording
        from spikeinterface.core.generate import generate_channel_locations
    except ImportError:
        raise UsageError(NEEDED) from None
    places = generate_channel_locations(channels, 2, 20)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    recording, _ = generate_ground_truth_recording(
        durations=[float(seconds)],
        sampling_frequency=float(rate),
        num_channels=channels,
        num_units=200,
        noise_kwargs={"noise_levels": 1.0, "cov_matrix": 8.0**2 * np.exp(-apart / 40), "strategy": "on_the_fly"},
        seed=2205,
    )
    path = folder / "generated.dat"
    with path.open("wb") as file:
        for first in range(0, seconds * rate, rate):
            microvolts = recording.get_traces(start_frame=first, end_frame=first + rate)
            file.write((3 * np.round(microvolts / (3 * 0.195))).astype("<i2").tobytes())
    return Case("generated, 384 channels", path, seconds * rate, channels, rate)


def locust(folder: Path, source: Path) -> Case:
    """A tetrode in the antennal lobe of a locust."""
    path = folder / "locust.dat"
    shutil.copyfile(source, path)
    return Case("locust, 4 channels", path, path.stat().st_size // 8, 4, 15_000)


def implants(folder: Path, source: Path, frames: int = 98_304, most: int = 256) -> Case:
    """Recordings of the N1 side by side as channels, each cut to the same length."""
    columns: list[np.ndarray] = []
    for path in sorted(source.glob("*.wav")):
        with open_wav(path) as one:
            if one.frames >= frames and len(columns) < most:
                columns.append(one.read(0, frames)[:, 0])
    if not columns:
        raise UsageError(f"{source}: holds no WAV files of {frames} frames or more")
    path = folder / "implants.dat"
    np.stack(columns, axis=1).astype("<i2").tofile(path)
    return Case(f"N1, {len(columns)} channels", path, frames, len(columns), 20_000)


class ZarrStore:
    """A Zarr 2 array with a numcodecs codec."""

    def __init__(self, name: str, configuration: dict[str, Any]):
        self.name, self._configuration = name, configuration

    def write(self, case: Case, folder: Path, pool: ProcessPoolExecutor) -> Path:
        """Write a case; the store's path."""
        from numcodecs import get_codec

        path = folder / "store"
        _array(
            path,
            shape=(case.frames, case.channels),
            chunks=(case.rate, case.channels),
            dtype="<i2",
            compressor=get_codec(self._configuration),
        )
        list(pool.map(_write_zarr, *zip(*((case, path, first) for first in _chunks(case)), strict=True)))
        return path

    def read(self, case: Case, path: Path, pool: ProcessPoolExecutor) -> bool:
        """Read all of it; whether it is the case."""
        return all(pool.map(_read_zarr, *zip(*((case, path, first) for first in _chunks(case)), strict=True)))

    def open(self, path: Path, case: Case) -> Any:
        """Something to slice."""
        return _opened(path)


class SpkyStore:
    """A `.spky` file."""

    def __init__(self, preset: str):
        self.name, self._preset = f"spikey {preset}, .spky", preset

    def write(self, case: Case, folder: Path, pool: ProcessPoolExecutor) -> Path:
        """Write a case; the file's path."""
        from spikey.files.compress import compress_file
        from spikey.files.settings import Settings

        path = folder / "store.spky"
        raw = case.channels, float(case.rate), "int16"
        compress_file(case.path, path, Settings(preset=self._preset, raw=raw, jobs=WORKERS))
        return path

    def read(self, case: Case, path: Path, pool: ProcessPoolExecutor) -> bool:
        """Read all of it; whether it is the case."""
        import spikey

        samples, first, same = case.samples(), 0, True
        with spikey.open(path) as reader:
            for chunk in reader.blocks(WORKERS):
                same &= np.array_equal(samples[first : first + len(chunk)], chunk)
                first += len(chunk)
        return same and first == case.frames

    def open(self, path: Path, case: Case) -> Any:
        """Something to slice."""
        import spikey

        return spikey.open(path)


class MtscompStore:
    """mtscomp's own file, as its users have it."""

    name = "mtscomp"

    def write(self, case: Case, folder: Path, pool: ProcessPoolExecutor) -> Path:
        """Write a case; the file's path."""
        import mtscomp

        path = folder / "store.cbin"
        mtscomp.compress(
            case.path,
            path,
            path.with_suffix(".ch"),
            sample_rate=float(case.rate),
            n_channels=case.channels,
            dtype=np.int16,
            check_after_compress=False,
            n_threads=WORKERS,
        )
        return path

    def read(self, case: Case, path: Path, pool: ProcessPoolExecutor) -> bool:
        """Read all of it; whether it is the case."""
        reader = self.open(path, case)
        samples = case.samples()
        reader.start_thread_pool()
        same = all(
            np.array_equal(samples[chunk.i0 : chunk.i0 + len(chunk.data)], chunk.data) for chunk in _mtscomp(reader)
        )
        reader.stop_thread_pool()
        return same

    def open(self, path: Path, case: Case) -> Any:
        """Something to slice."""
        import mtscomp

        reader = mtscomp.Reader(n_threads=WORKERS)
        reader.open(path, path.with_suffix(".ch"))
        return reader


@dataclass
class _Decoded:
    i0: int
    data: np.ndarray


def _mtscomp(reader: Any) -> Iterator[_Decoded]:
    """All chunks in order, as many at a time as there are threads."""
    for first in range(0, reader.n_chunks, WORKERS):
        last = min(first + WORKERS, reader.n_chunks)
        found = reader.decompress_chunks(range(first, last), reader.pool)
        for index in range(first, last):
            yield _Decoded(reader.chunk_bounds[index], found[index])


def stores() -> list[Any]:
    """What is compared. Blosc as SpikeInterface has it by default; the others at their strongest that is practical."""
    return [
        ZarrStore("spikey fast, Zarr", {"id": "spikey", "preset": "fast"}),
        ZarrStore("spikey balanced, Zarr", {"id": "spikey", "preset": "balanced"}),
        SpkyStore("fast"),
        SpkyStore("balanced"),
        ZarrStore("Blosc-zstd 5, bitshuffle", {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2}),
        ZarrStore("FLAC 8", {"id": "flac", "level": 8}),
        ZarrStore("WavPack 3", {"id": "wavpack", "level": 3, "num_decoding_threads": 1}),
        MtscompStore(),
    ]


def _chunks(case: Case) -> Iterator[int]:
    return iter(range(0, case.frames, case.rate))


def _array(path: Path, **options: Any) -> Any:
    """A Zarr 2 array, whichever version of the zarr package there is."""
    import zarr

    version = {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}
    return zarr.open(str(path), mode="w", **version, **options)


def _opened(path: Path) -> Any:
    import zarr

    return zarr.open(str(path), mode="r+")


def _prepare() -> None:
    """Have numcodecs know the codecs of packages that are not found by an entry point."""
    import importlib
    import logging
    from contextlib import suppress

    for name in ("flac_numcodecs", "wavpack_numcodecs", "spikey.integrations.numcodecs"):
        with suppress(ImportError):
            importlib.import_module(name)
    from numcodecs import blosc

    logging.getLogger("mtscomp").setLevel(logging.WARNING)
    blosc.set_nthreads(1)  # the workers are what there is of concurrency


def _write_zarr(case: Case, path: Path, first: int) -> None:
    _opened(path)[first : first + case.rate] = case.samples()[first : first + case.rate]


def _read_zarr(case: Case, path: Path, first: int) -> bool:
    return np.array_equal(_opened(path)[first : first + case.rate], case.samples()[first : first + case.rate])


def measure(case: Case, store: Any, folder: Path, pool: ProcessPoolExecutor) -> dict[str, Any]:
    """Ratio, million samples a second both ways, and how long random accesses take."""
    size = case.frames * case.channels
    place = folder / "place"
    place.mkdir()
    start = time.perf_counter()
    path = store.write(case, place, pool)
    wrote = time.perf_counter() - start
    stored = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    start = time.perf_counter()
    same = store.read(case, path, pool)
    read = time.perf_counter() - start
    if not same:
        raise SpikeyError(f"{store.name} did not give back {case.name}")
    chance = np.random.default_rng(1)
    samples = case.samples()
    seconds: list[float] = []
    columns: list[float] = []
    for repeat in range(REPEATS):
        first = int(chance.integers(0, case.frames - case.rate))
        channel = int(chance.integers(0, case.channels))
        for which, took in (
            ((slice(first, first + case.rate), slice(None)), seconds),
            ((slice(None), channel), columns),
        ):
            if took is columns and repeat and size > LARGE:
                continue
            opened = store.open(path, case)
            start = time.perf_counter()
            part = opened[which] if not isinstance(store, MtscompStore) else opened[which[0]][:, which[1]]
            took.append(time.perf_counter() - start)
            if not np.array_equal(part, samples[which]):
                raise SpikeyError(f"{store.name} did not give back a part of {case.name}")
    shutil.rmtree(place)
    return {
        "recording": case.name,
        "codec": store.name,
        "ratio": round(2 * size / stored, 4),
        "write_million_samples_s": round(size / wrote / 1e6, 2),
        "read_million_samples_s": round(size / read / 1e6, 2),
        "real_time_million_samples_s": round(case.channels * case.rate / 1e6, 2),
        "second_ms": round(1e3 * float(np.median(seconds)), 1),
        "channel_ms": round(1e3 * float(np.median(columns)), 1),
    }


def _warm_up(folder: Path, pool: ProcessPoolExecutor) -> None:
    """Every process imports and compiles what it needs before time counts."""
    path = folder / "warm.dat"
    np.random.default_rng(0).integers(-99, 99, (4000, 4)).astype("<i2").tofile(path)
    case = Case("warm-up", path, 4000, 4, 1000)
    for store in stores():
        place = folder / "warm"
        place.mkdir()
        store.read(case, store.write(case, place, pool), pool)
        shutil.rmtree(place)


def _line(row: dict[str, Any]) -> str:
    facts = list(row.values())
    return f"{facts[0]:24}{facts[1]:26}" + "".join(f"{value:>10,}" for value in facts[2:])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of the generated recording; 0 for none")
    parser.add_argument("--locust", type=Path, help="the raw recording of 4 channels")
    parser.add_argument("--implants", type=Path, help="a folder of the N1's WAV files")
    parser.add_argument("--folder", type=Path, help="where stores are written; default: a passing one")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as name,
        ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn"), _prepare) as pool,
    ):
        folder = Path(name)
        _prepare()
        cases = []
        if arguments.seconds:
            cases.append(generated(folder, arguments.seconds))
        if arguments.locust:
            cases.append(locust(folder, arguments.locust))
        if arguments.implants:
            cases.append(implants(folder, arguments.implants))
        _warm_up(folder, pool)
        if not arguments.json:
            print(f"{'recording':24}{'codec':26}     ratio     write      read real time second ms channel ms")
        for case in cases:
            large = case.frames * case.channels > LARGE
            for store in (s for s in stores() if not (large and "balanced" in s.name)):
                rows.append(measure(case, store, folder, pool))
                if not arguments.json:
                    print(_line(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

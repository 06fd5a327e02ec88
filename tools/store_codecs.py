"""What `tools.stores` compares: Zarr arrays with one codec or another, `.spky` files, mtscomp's files."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.registry import get_codec, register_codec

from tools.store_cases import Case

WORKERS = 2


class Blosc2(Codec):  # type: ignore[misc]
    """Blosc2: Zstandard after a bit shuffle."""

    codec_id = "tools.blosc2"

    def encode(self, buf: Any) -> Any:
        """An array's bytes, compressed."""
        import blosc2

        array = np.ascontiguousarray(buf)
        filters = [blosc2.Filter.BITSHUFFLE]
        return blosc2.compress2(
            array, typesize=array.itemsize, codec=blosc2.Codec.ZSTD, clevel=5, filters=filters, nthreads=1
        )

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The bytes again."""
        import blosc2

        return _into(blosc2.decompress2(bytes(buf), nthreads=1), out)


class OpenZL(Codec):  # type: ignore[misc]
    """OpenZL: its entropy coder on the numbers as they are, the best of its graphs that were tried on such samples."""

    codec_id = "tools.openzl"

    def encode(self, buf: Any) -> Any:
        """An array's bytes, compressed."""
        from openzl import ext

        context = ext.CCtx()
        context.ref_compressor(_graph())
        context.set_parameter(ext.CParam.FormatVersion, ext.MAX_FORMAT_VERSION)
        numbers = np.ascontiguousarray(buf).reshape(-1).view(np.uint16)
        return context.compress([ext.Input(ext.Type.Numeric, numbers)])

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The bytes again."""
        from openzl import ext

        return _into(ext.DCtx().decompress(bytes(buf))[0].content.as_nparray(), out)


@cache
def _graph() -> Any:
    from openzl import ext

    compressor = ext.Compressor()
    compressor.select_starting_graph(ext.graphs.Entropy()(compressor))
    return compressor


def _into(data: Any, out: Any) -> Any:
    if out is None:
        return data
    np.copyto(np.asarray(out).reshape(-1).view(np.uint8), np.frombuffer(data, np.uint8))
    return out


@dataclass(frozen=True)
class ZarrStore:
    """A Zarr array with a codec of numcodecs, chunks of a second of all channels.

    corrected: whether it is given samples divided by their step, medians removed, as laboratories give them to FLAC.
    """

    name: str
    configuration: dict[str, Any]
    corrected: bool = False
    workers = WORKERS

    def array(self, path: Path, case: Case) -> Any:
        """A new array."""
        import zarr

        shape, chunks = (case.frames, case.channels), (case.rate, case.channels)
        codec = get_codec(dict(self.configuration))
        if zarr.__version__.startswith("2."):
            return zarr.open(str(path), mode="w", shape=shape, chunks=chunks, dtype="<i2", compressor=codec)
        return zarr.create_array(
            str(path), shape=shape, chunks=chunks, dtype="<i2", compressors=codec, zarr_format=2, filters=None
        )

    def write(self, case: Case, folder: Path, pool: ProcessPoolExecutor) -> Path:
        """Write a case; the store's path."""
        path = folder / "store"
        self.array(path, case)
        list(pool.map(_write_chunk, *zip(*((case, path, first) for first in chunks_of(case)), strict=True)))
        return path

    def read(self, case: Case, path: Path, pool: ProcessPoolExecutor) -> bool:
        """Read all of it; whether it is the case."""
        return all(pool.map(_read_chunk, *zip(*((case, path, first) for first in chunks_of(case)), strict=True)))

    def open(self, path: Path, case: Case) -> Any:
        """Something to slice."""
        return _opened(path)


@dataclass(frozen=True)
class SpikeyStore(ZarrStore):
    """A Zarr 3 array of Spikey's (of Zarr 2 where there is no newer one), code widths estimated as `codec_for` does."""

    jobs: int = 1
    verify: bool = True

    def array(self, path: Path, case: Case) -> Any:
        """A new array."""
        import zarr

        options = {"preset": self.configuration["preset"], "jobs": self.jobs, "verify": self.verify}
        shape, chunks = (case.frames, case.channels), (case.rate, case.channels)
        if zarr.__version__.startswith("2."):
            from spikey.integrations.numcodecs import codec_for as codec_2

            codec = codec_2(case.samples(), **options)
            return zarr.open(str(path), mode="w", shape=shape, chunks=chunks, dtype="<i2", compressor=codec)
        from spikey.integrations.zarr import codec_for as codec_3

        serializer = codec_3(case.samples(), **options)
        return zarr.create_array(
            str(path), shape=shape, chunks=chunks, dtype="int16", serializer=serializer, compressors=None
        )


@dataclass(frozen=True)
class SpkyStore:
    """A `.spky` file."""

    name: str
    preset: str
    corrected: bool = False
    workers = 1

    def write(self, case: Case, folder: Path, pool: ProcessPoolExecutor) -> Path:
        """Write a case; the file's path."""
        return pool.submit(_write_spky, case, folder / "store.spky", self.preset).result()

    def read(self, case: Case, path: Path, pool: ProcessPoolExecutor) -> bool:
        """Read all of it; whether it is the case."""
        return pool.submit(_read_spky, case, path).result()

    def open(self, path: Path, case: Case) -> Any:
        """Something to slice."""
        import spikey

        return spikey.open(path, jobs=WORKERS)


@dataclass(frozen=True)
class MtscompStore:
    """mtscomp's own file, as its users have it."""

    name: str = "mtscomp"
    corrected: bool = False
    workers = 1

    def write(self, case: Case, folder: Path, pool: ProcessPoolExecutor) -> Path:
        """Write a case; the file's path."""
        return pool.submit(_write_mtscomp, case, folder / "store.cbin").result()

    def read(self, case: Case, path: Path, pool: ProcessPoolExecutor) -> bool:
        """Read all of it; whether it is the case."""
        return pool.submit(_read_mtscomp, case, path).result()

    def open(self, path: Path, case: Case) -> Any:
        """Something to slice."""
        return _Sliced(_mtscomp(path))


class _Sliced:
    """Slices frames and channels at once, which mtscomp does not."""

    def __init__(self, reader: Any):
        self._reader = reader

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, columns = key
        return np.asarray(self._reader[rows])[:, columns]


def chunks_of(case: Case) -> Iterator[int]:
    """The first frame of each chunk."""
    return iter(range(0, case.frames, case.rate))


def prepare() -> None:
    """Have numcodecs find the codecs of packages without entry points, in whatever process this is."""
    import importlib
    import logging
    import warnings
    from contextlib import suppress

    warnings.filterwarnings("ignore", message="Multi-threading is supported for wavpack")
    for name in ("flac_numcodecs", "wavpack_numcodecs", "numcodecs.pcodec", "spikey.integrations.numcodecs"):
        with suppress(ImportError):
            importlib.import_module(name)
    for codec in (Blosc2, OpenZL):
        register_codec(codec)
    from numcodecs import blosc

    logging.getLogger("mtscomp").setLevel(logging.WARNING)
    blosc.set_nthreads(1)  # the workers are what there is of concurrency


def _opened(path: Path) -> Any:
    import zarr

    return zarr.open(str(path), mode="r+")


def _write_chunk(case: Case, path: Path, first: int) -> None:
    _opened(path)[first : first + case.rate] = case.part(first, first + case.rate)


def _read_chunk(case: Case, path: Path, first: int) -> bool:
    return np.array_equal(_opened(path)[first : first + case.rate], case.part(first, first + case.rate))


def _write_spky(case: Case, path: Path, preset: str) -> Path:
    from spikey.files.compress import compress_file
    from spikey.files.settings import Settings

    raw = case.channels, float(case.rate), "int16"
    compress_file(case.path, path, Settings(preset=preset, raw=raw, jobs=WORKERS))
    return path


def _read_spky(case: Case, path: Path) -> bool:
    import spikey

    first, same = 0, True
    with spikey.open(path, jobs=WORKERS) as reader:
        for chunk in reader.blocks():
            same &= np.array_equal(case.part(first, first + len(chunk)), chunk)
            first += len(chunk)
    return same and first == case.frames


def _write_mtscomp(case: Case, path: Path) -> Path:
    import mtscomp

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


def _mtscomp(path: Path) -> Any:
    import mtscomp

    reader = mtscomp.Reader(n_threads=WORKERS)
    reader.open(path, path.with_suffix(".ch"))
    return reader


def _read_mtscomp(case: Case, path: Path) -> bool:
    reader, same = _mtscomp(path), True
    reader.start_thread_pool()
    for first in range(0, reader.n_chunks, WORKERS):
        last = min(first + WORKERS, reader.n_chunks)
        found = reader.decompress_chunks(range(first, last), reader.pool)
        for index in range(first, last):
            begin = reader.chunk_bounds[index]
            same &= np.array_equal(case.part(begin, begin + len(found[index])), found[index])
    reader.stop_thread_pool()
    return same


def stores() -> list[Any]:
    """What is compared. Blosc as SpikeInterface has it by default; the others at their strongest that is practical."""
    fast = {"preset": "fast"}
    pcodec = {"id": "pcodec", "level": 8}
    found: list[Any] = [
        SpikeyStore("spikey fast, Zarr", fast),
        SpikeyStore("spikey fast, Zarr, jobs=2", fast, jobs=2),
        SpikeyStore("spikey fast, Zarr, verify=False", fast, verify=False),
        SpkyStore("spikey fast, .spky", "fast"),
    ]
    for text, corrected in ((", corrected", True), ("", False)):
        found += [
            ZarrStore(f"FLAC 8{text}", {"id": "flac", "level": 8}, corrected),
            ZarrStore(f"FLAC 5{text}", {"id": "flac", "level": 5}, corrected),
            ZarrStore(f"WavPack 3{text}", {"id": "wavpack", "level": 3, "num_decoding_threads": 1}, corrected),
            ZarrStore(f"pcodec 8{text}", pcodec, corrected),
            ZarrStore(f"OpenZL{text}", {"id": OpenZL.codec_id}, corrected),
        ]
    return [
        *found,
        ZarrStore("Blosc-zstd 5, bitshuffle", {"id": "blosc", "cname": "zstd", "clevel": 5, "shuffle": 2}),
        ZarrStore("Blosc2-zstd 5, bitshuffle", {"id": Blosc2.codec_id}),
        MtscompStore(),
    ]

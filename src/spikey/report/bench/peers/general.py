"""General compressors, which know nothing of samples: gzip, bzip2, xz, zstd, brotli."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from spikey.levels.contract import Levels
from spikey.report.bench.peers.contract import CODES, DELTA8, FILE, Peer, Shape
from spikey.report.bench.peers.forms import from_codes, from_delta8, read_maps, to_codes, to_delta8, type_of
from spikey.report.bench.recordings import Loaded

Squeeze = Callable[[bytes], bytes]


def peers() -> Iterator[Peer]:
    """Each with its strongest settings, on the file as it is and on what suits it best."""
    yield _of("gzip -9", FILE, _gzip(9), _method("gzip", "decompress"), "gzip")
    yield _of("bzip2 -9", FILE, _method("bz2", "compress"), _method("bz2", "decompress"), "bz2", fast=False)
    yield _of("bzip2 -9", CODES, _method("bz2", "compress"), _method("bz2", "decompress"), "bz2")
    yield _of("xz -9e", FILE, _xz, _method("lzma", "decompress"), "lzma", fast=False)
    yield _of("xz -9e", DELTA8, _xz, _method("lzma", "decompress"), "lzma", fast=False)
    yield _of("zstd -3", FILE, _zstd(3), _unzstd, "zstandard")
    yield _of("zstd -19", FILE, _zstd(19), _unzstd, "zstandard", fast=False)
    yield _of("zstd -3", DELTA8, _zstd(3), _unzstd, "zstandard")
    yield _of("zstd -19", DELTA8, _zstd(19), _unzstd, "zstandard")
    yield _of(
        "brotli -q 11", FILE, _method("brotli", "compress"), _method("brotli", "decompress"), "brotli", fast=False
    )
    yield _of(
        "brotli -q 11", DELTA8, _method("brotli", "compress"), _method("brotli", "decompress"), "brotli", fast=False
    )


def _of(name: str, given: str, squeeze: Squeeze, restore: Squeeze, package: str, fast: bool = True) -> Peer:
    def encode(recording: Loaded) -> bytes:
        if given == FILE:
            return squeeze(recording.file_bytes())
        if given == DELTA8:
            return squeeze(to_delta8(recording))
        head, channels = to_codes(recording)
        return squeeze(head + b"".join(codes.tobytes() for codes in channels))

    def decode(data: bytes, shape: Shape) -> bytes:
        plain = restore(data)
        if given == FILE:
            return plain
        return from_delta8(plain, shape) if given == DELTA8 else _from_planes(plain, shape)

    return Peer(name, given, encode, decode, (package,), fast=fast)


def _from_planes(data: bytes, shape: Shape) -> bytes:
    maps, rest = read_maps(data, shape)
    return from_codes(maps, list(_planes(maps, rest, shape.frames)), shape)


def _planes(maps: list[Levels], rest: bytes, frames: int) -> Iterator[np.ndarray]:
    at = 0
    for kind in map(type_of, maps):
        yield np.frombuffer(rest, kind, frames, at)
        at += frames * kind.itemsize


def _module(name: str) -> Any:
    import importlib

    return importlib.import_module(name)


def _method(module: str, name: str) -> Squeeze:
    """A module's function, with its default settings: the strongest of bzip2 and brotli."""
    return lambda data: getattr(_module(module), name)(data)


def _gzip(level: int) -> Squeeze:
    return lambda data: _module("gzip").compress(data, level, mtime=0)


def _xz(data: bytes) -> bytes:
    import lzma

    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def _zstd(level: int) -> Squeeze:
    return lambda data: _module("zstandard").ZstdCompressor(level=level).compress(data)


def _unzstd(data: bytes) -> bytes:
    return _module("zstandard").ZstdDecompressor().decompress(data)

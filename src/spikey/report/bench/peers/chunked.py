"""What chunked stores use: numcodecs' Blosc, the packages flac-numcodecs and wavpack-numcodecs, and mtscomp."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikey.recording.layout import pack
from spikey.report.bench.peers.contract import CODES, CORRECTED, ORDERED, SAMPLES, DoesNotApply, Peer, Shape
from spikey.report.bench.peers.corrected import read_correction, to_corrected
from spikey.report.bench.peers.forms import (
    from_centred,
    from_codes,
    joined,
    parted,
    read_maps,
    to_centred,
    to_codes,
    type_of,
)
from spikey.report.bench.recordings import Loaded

Make = Callable[[], Any]  # a numcodecs codec


def peers() -> Iterator[Peer]:
    """Each as SpikeInterface has it, on samples and on corrected samples, and on codes at its strongest."""
    yield _on_samples("Blosc-lz4 5, bitshuffle", _blosc("lz4", 5), 1 << 30, "numcodecs")
    yield _on_samples("Blosc-zstd 5, bitshuffle", _blosc("zstd", 5), 1 << 30, "numcodecs")
    yield _on_codes("Blosc-zstd 9, bitshuffle, differences", _blosc("zstd", 9), True, 1, "numcodecs")
    yield _on_samples("flac-numcodecs 8", _flac(8), 2, "flac_numcodecs")
    yield _on_codes("flac-numcodecs 8", _flac(8), False, 2, "flac_numcodecs")
    yield _on_samples("wavpack-numcodecs 4", _wavpack, 1 << 30, "wavpack_numcodecs")
    yield _on_codes("wavpack-numcodecs 4", _wavpack, False, 1 << 30, "wavpack_numcodecs")
    for given in (CORRECTED, ORDERED):
        yield _on_corrected("flac-numcodecs 5", given, _flac(5), "flac_numcodecs")
        yield _on_corrected("flac-numcodecs 8", given, _flac(8), "flac_numcodecs")
        yield _on_corrected("wavpack-numcodecs 4", given, _wavpack, "wavpack_numcodecs")
    yield _mtscomp(SAMPLES)
    yield _mtscomp(CODES)


def _blosc(name: str, level: int) -> Make:
    def make() -> Any:
        from numcodecs import Blosc, blosc

        blosc.set_nthreads(1)
        return Blosc(cname=name, clevel=level, shuffle=Blosc.BITSHUFFLE)

    return make


def _flac(level: int) -> Make:
    def make() -> Any:
        from flac_numcodecs import Flac

        return Flac(level=level)

    return make


def _wavpack() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an older library decodes with one thread, as is intended here
        # The module, as the package's own WavPack is the codec of Zarr 3 where that is installed.
        from wavpack_numcodecs.wavpack import WavPack

        return WavPack(level=4, num_decoding_threads=1)


def _encoded(codec: Any, groups: Iterator[np.ndarray]) -> bytes:
    try:
        return joined([bytes(codec.encode(group)) for group in groups])
    except RuntimeError as error:
        if "WavPack" not in str(error):
            raise
        raise DoesNotApply("only for recordings that it makes smaller; its package refuses others") from None


def _groups(array: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Channels of (frames, channels), so many at a time."""
    for first in range(0, array.shape[1], most):
        yield np.ascontiguousarray(array[:, first : first + most])


def _check(array: np.ndarray, package: str) -> None:
    if package != "numcodecs" and array.dtype != np.int16:
        raise DoesNotApply("only for samples of 16 bits with a sign")


def _ungrouped(parts: list[bytes], codec: Any, kind: np.dtype, frames: int) -> np.ndarray:
    """Samples (frames, channels)."""
    groups = [np.frombuffer(np.ascontiguousarray(codec.decode(part)), kind).reshape(frames, -1) for part in parts]
    return np.concatenate(groups, axis=1)


def _on_samples(name: str, make: Make, most: int, package: str) -> Peer:
    """A codec that is given so many channels at once."""

    def encode(recording: Loaded) -> bytes:
        _check(recording.samples, package)
        return _encoded(make(), _groups(recording.samples, most))

    def decode(data: bytes, shape: Shape) -> bytes:
        kind = shape.layout.memory_dtype
        return pack(_ungrouped(parted(data), make(), kind, shape.frames), shape.layout)

    return Peer(name, SAMPLES, encode, decode, (package,))


def _on_codes(name: str, make: Make, differences: bool, most: int, package: str) -> Peer:
    """The same on codes of 16 bits; differences: of consecutive codes of a channel, which wrap around."""

    def encode(recording: Loaded) -> bytes:
        head, codes = to_centred(recording)
        if codes.dtype != np.int16:
            raise DoesNotApply("only for channels of at most 2^15 different values")
        if differences:
            codes = np.diff(codes, axis=0, prepend=np.zeros((1, codes.shape[1]), np.int16))
        return head + _encoded(make(), _groups(codes, most))

    def decode(data: bytes, shape: Shape) -> bytes:
        maps, rest = read_maps(data, shape)
        codes = _ungrouped(parted(rest), make(), np.dtype(np.int16), shape.frames)
        if differences:
            codes = np.cumsum(codes, axis=0, dtype=np.int16)
        return from_centred(maps, codes, shape)

    return Peer(name, CODES, encode, decode, (package,))


def _on_corrected(name: str, given: str, make: Make, package: str) -> Peer:
    """The same as laboratories use it: on corrected samples, one call for each second of all channels."""
    ordered = given == ORDERED

    def encode(recording: Loaded) -> bytes:
        head, array = to_corrected(recording, ordered)
        if package == "flac_numcodecs":
            _check(array, package)
        frames = _second(recording.layout.rate, len(array))
        chunks = (np.ascontiguousarray(array[first : first + frames]) for first in range(0, len(array), frames))
        return head + _encoded(make(), chunks)

    def decode(data: bytes, shape: Shape) -> bytes:
        correction, rest = read_correction(data, shape, ordered)
        codec, channels = make(), shape.layout.channels
        chunks = [np.frombuffer(np.ascontiguousarray(codec.decode(part)), correction.kind) for part in parted(rest)]
        return correction.restored(np.concatenate(chunks).reshape(-1, channels), shape)

    return Peer(name, given, encode, decode, (package,))


def _second(rate: float, frames: int) -> int:
    """Frames of a chunk; all of them where the rate is not known."""
    return round(rate) if rate >= 1 else frames


def _quiet_mtscomp() -> Any:
    """The module, which shall not log."""
    import logging

    import mtscomp

    logging.getLogger("mtscomp").setLevel(logging.WARNING)
    return mtscomp


def _mtscomp(given: str) -> Peer:
    """Its two files, in chunks of a second, as its users have them."""

    def encode(recording: Loaded) -> bytes:
        if recording.layout.rate < 1:
            raise DoesNotApply("only for samples of a known rate")
        head, array = b"", recording.samples
        if given == CODES:
            head, channels = to_codes(recording)
            array = np.stack(channels, axis=1)
        mtscomp = _quiet_mtscomp()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "a.bin").write_bytes(array.tobytes())
            mtscomp.compress(
                folder / "a.bin",
                folder / "a.cbin",
                folder / "a.ch",
                sample_rate=float(recording.layout.rate),
                n_channels=array.shape[1],
                dtype=array.dtype,
                check_after_compress=False,
                n_threads=1,
                quiet=True,
            )
            return head + joined([(folder / "a.cbin").read_bytes(), (folder / "a.ch").read_bytes()])

    def decode(data: bytes, shape: Shape) -> bytes:
        maps, rest = read_maps(data, shape) if given == CODES else ([], data)
        mtscomp = _quiet_mtscomp()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part, suffix in zip(parted(rest), (".cbin", ".ch"), strict=True):
                (folder / f"a{suffix}").write_bytes(part)
            mtscomp.decompress(
                folder / "a.cbin",
                folder / "a.ch",
                folder / "a.bin",
                check_after_decompress=False,
                n_threads=1,
                quiet=True,
            )
            plain = (folder / "a.bin").read_bytes()
        kind = max(map(type_of, maps), key=lambda each: each.itemsize) if maps else shape.layout.memory_dtype
        array = np.frombuffer(plain, kind).reshape(shape.frames, -1)
        return from_codes(maps, list(array.T), shape) if maps else pack(array, shape.layout)

    return Peer("mtscomp", given, encode, decode, ("mtscomp",))

"""Audio coders that are programs of their own: FLAC, WavPack, Monkey's Audio. Their time includes starting them.

They write files: into the folder that Python's `tempfile` names, removed again when a call ends.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from spikey.base.errors import DataError
from spikey.recording.layout import pack
from spikey.report.bench.peers.contract import CODES, CORRECTED, ORDERED, SAMPLES, DoesNotApply, Peer, Shape
from spikey.report.bench.peers.corrected import read_correction, to_corrected
from spikey.report.bench.peers.forms import from_centred, joined, parted, read_maps, to_centred
from spikey.report.bench.recordings import Loaded

PATIENCE = 3600  # seconds after which a program counts as stuck
Pack = Callable[[Path, Path, np.ndarray, int], None]  # by way of one file into another: int16 or int32 samples, rate
Unpack = Callable[[Path, Path], None]  # one file into another of raw samples
Restored = Callable[[np.ndarray], bytes]

# Runs a program and appends the most memory that it held, in bytes; small itself, as it counts as well.
_WATCH = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
unit = 1 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "a") as file: print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit, file=file)
sys.exit(status)
"""
watched: list[Path] = []  # where memory is noted, while it is


def peers() -> Iterator[Peer]:
    """Each with its strongest settings that are practical; on corrected samples FLAC as flac-numcodecs calls it."""
    for given in (SAMPLES, CODES):
        yield _of("FLAC -8", given, _flac, _unflac, ".flac", 8, ("flac",))
        yield _of("WavPack -hh -x6", given, _wavpack, _unwavpack, ".wv", 256, ("wavpack", "wvunpack"))
        yield _of("Monkey's Audio -c4000", given, _monkey, _unmonkey, ".ape", 2, ("mac",))
    for given in (CORRECTED, ORDERED):
        yield _of("FLAC -8, flattened", given, _flac, _unflac, ".flac", 0, ("flac",))
        yield _of("WavPack -hh -x6", given, _wavpack, _unwavpack, ".wv", 256, ("wavpack", "wvunpack"))


def run(*command: str | Path) -> None:
    """Run a program; DataError with its last words where it fails."""
    words = [str(word) for word in command]
    watch = [sys.executable, "-I", "-S", "-c", _WATCH, str(watched[0])] if watched else []
    done = subprocess.run([*watch, *words], capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "without a message")
        raise DataError(f"{words[0]} failed with status {done.returncode}: {last[:200]}")


def _of(
    name: str, given: str, squeeze: Pack, restore: Unpack, suffix: str, most: int, programs: tuple[str, ...]
) -> Peer:
    """A program that is given at most so many channels in a file; 0: all, one frame after another as one channel."""

    def encode(recording: Loaded) -> bytes:
        head, array = _formed(recording, given)
        array = _signed(array) if most else _signed(array).reshape(-1, 1)
        rate = min(max(round(recording.layout.rate), 1), 192_000)  # not every format has all rates
        parts = []
        for first in range(0, array.shape[1], most or 1):
            with tempfile.TemporaryDirectory() as folder:
                plain, packed = Path(folder, "plain.raw"), Path(folder, f"packed{suffix}")
                squeeze(plain, packed, np.ascontiguousarray(array[:, first : first + (most or 1)]), rate)
                parts.append(packed.read_bytes())
        return head + joined(parts)

    def decode(data: bytes, shape: Shape) -> bytes:
        kind, restored, rest = _unformed(data, shape, given)
        signed = _signed(np.empty((0, 1), kind)).dtype.newbyteorder("<")
        groups = []
        for part in parted(rest):
            with tempfile.TemporaryDirectory() as folder:
                plain, packed = Path(folder, "plain.raw"), Path(folder, f"packed{suffix}")
                packed.write_bytes(part)
                restore(packed, plain)
                groups.append(np.frombuffer(plain.read_bytes(), signed).reshape(shape.frames, -1))
        return restored(_unsigned(np.concatenate(groups, axis=1), kind))

    return Peer(name, given, encode, decode, (), programs, fast=False)


def _formed(recording: Loaded, given: str) -> tuple[bytes, np.ndarray]:
    """What a program is given (frames, channels), and before it what it takes to have the samples back."""
    if given == SAMPLES:
        return b"", recording.samples
    return to_centred(recording) if given == CODES else to_corrected(recording, given == ORDERED)


def _unformed(data: bytes, shape: Shape, given: str) -> tuple[np.dtype, Restored, bytes]:
    """The type of what a program was given, what makes bytes of samples of it, and the rest of `data`."""
    if given == SAMPLES:
        return shape.layout.memory_dtype, lambda array: pack(array, shape.layout), data
    if given == CODES:
        maps, rest = read_maps(data, shape)
        kind = np.dtype(np.int16 if max(levels.alphabet for levels in maps) <= 1 << 15 else np.int32)
        return kind, lambda array: from_centred(maps, array, shape), rest
    correction, rest = read_correction(data, shape, given == ORDERED)
    return correction.kind, lambda array: correction.restored(array, shape), rest


def _signed(array: np.ndarray) -> np.ndarray:
    """Samples as int16 or int32, of which each has its own value."""
    if array.dtype.itemsize == 1:
        return array.astype(np.int16)
    if array.dtype.kind == "u":
        middle = array.dtype.type(1 << 8 * array.dtype.itemsize - 1)
        return np.ascontiguousarray(array ^ middle).view(f"i{array.dtype.itemsize}")
    return array


def _unsigned(array: np.ndarray, kind: np.dtype) -> np.ndarray:
    """The samples that `_signed` was given, of a type."""
    if kind.itemsize > 1 and kind.kind == "u":
        return np.ascontiguousarray(array).view(kind) ^ kind.type(1 << 8 * kind.itemsize - 1)
    return array.astype(kind)


def _flac(plain: Path, packed: Path, array: np.ndarray, rate: int) -> None:
    plain.write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
    kind = ["--force-raw-format", "--endian=little", "--sign=signed", f"--bps={8 * array.dtype.itemsize}"]
    shape = [f"--channels={array.shape[1]}", f"--sample-rate={rate}"]
    run("flac", "-8", "-s", "--lax", "--no-padding", "--no-seektable", *kind, *shape, "-o", packed, plain)


def _unflac(packed: Path, plain: Path) -> None:
    run("flac", "-d", "-s", "--force-raw-format", "--endian=little", "--sign=signed", "-o", plain, packed)


def _wavpack(plain: Path, packed: Path, array: np.ndarray, rate: int) -> None:
    plain.write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
    kind = f"--raw-pcm={rate},{8 * array.dtype.itemsize}s,{array.shape[1]},le"
    run("wavpack", "-hh", "-x6", "--blocksize=131072", "-q", "-y", kind, plain, "-o", packed)


def _unwavpack(packed: Path, plain: Path) -> None:
    run("wvunpack", "--raw", "-q", "-y", packed, "-o", plain)


def _monkey(plain: Path, packed: Path, array: np.ndarray, rate: int) -> None:
    if array.dtype.itemsize > 2:
        raise DoesNotApply("only for samples of at most 16 bits")
    wav = plain.with_suffix(".wav")
    _write_wav(wav, array, rate)
    run("mac", wav, packed, "-c4000")


def _unmonkey(packed: Path, plain: Path) -> None:
    wav = plain.with_suffix(".wav")
    run("mac", packed, wav, "-d")
    with wave.open(str(wav), "rb") as file:
        plain.write_bytes(file.readframes(file.getnframes()))


def _write_wav(path: Path, array: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(array.shape[1])
        file.setsampwidth(array.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(array.astype(array.dtype.newbyteorder("<")).tobytes())

"""How fast preset `fast` is beside FLAC and pcodec: one run, taking turns, so that the ratios mean something.

    python -m tools.speed [--n1 DIR] [--real DIR] [--locust FILE] [--rounds N]      # writes docs/results.json, "speed"

One second of the generated recording of 384 channels (`tools.stores.generated`) is one chunk. FLAC, through its
numcodecs codec, and pcodec get corrected samples (divided by their step, medians removed; not timed), Spikey's codec
gets the samples as they are. With --n1 all WAV files of a folder one after another are an array of one channel, in
chunks of 2^20 samples. One thread, best of the rounds; Spikey's codec does not check what it wrote, as the others do
not. Of the others those are measured that are installed. Sizes are those of `.spky` files and of chunks of 1,000
frames, as `tools.record_sizes` has them for earlier versions, and of every fifth WAV file of --n1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikey.codec.registry import DEFAULT_PRESET
from spikey.files.compress import compress_file
from spikey.files.settings import Settings
from spikey.integrations.numcodecs import Spikey
from spikey.levels.n1 import N1_CODES, fits_n1, n1_codes
from spikey.report.bench.machine import machine
from tools import record_sizes
from tools.measured import command_of, keep
from tools.store_cases import generated

CHUNK = 1 << 20  # samples of one channel


class Codec(NamedTuple):
    """A codec and the samples that it gets."""

    name: str
    encode: Callable[[np.ndarray], Any]
    decode: Callable[[Any], Any]
    corrected: bool


def codecs() -> list[Codec]:
    """Spikey's, and those of the others that are installed."""
    own = Spikey(verify=False)
    found = [Codec("spikey fast", own.encode, own.decode, False)]
    try:
        from flac_numcodecs import Flac

        for level in (5, 8):
            flac = Flac(level=level)
            found.append(Codec(f"flac-numcodecs {level}", flac.encode, flac.decode, True))
    except ImportError:
        pass
    try:
        from pcodec import ChunkConfig, DeltaSpec, standalone

        config = ChunkConfig(compression_level=12, delta_spec=DeltaSpec.try_conv1(16))

        def columns(samples: np.ndarray) -> list[bytes]:
            return [standalone.simple_compress(np.ascontiguousarray(column), config) for column in samples.T]

        def back(packed: list[bytes]) -> np.ndarray:
            return np.stack([standalone.simple_decompress(each) for each in packed], axis=1)

        found.append(Codec("pcodec conv1(16)", columns, back, True))
    except ImportError:
        pass
    return found


def corrected(samples: np.ndarray) -> np.ndarray:
    """Samples divided by their step, each channel's median removed; the N1's as its converter's codes."""
    if fits_n1(samples):
        return n1_codes(samples).astype(np.int16) - N1_CODES // 2
    step = max(int(np.gcd.reduce(samples.ravel()[:10_000].astype(np.int64))), 1)
    codes = samples // step
    return np.ascontiguousarray(codes - np.median(codes, axis=0).astype(codes.dtype))


def measure(chunks: list[np.ndarray], rounds: int) -> dict[str, dict[str, float]]:
    """By codec: ratio, and millions of samples a second encoding and decoding."""
    given = {True: [corrected(chunk) for chunk in chunks], False: chunks}
    size, rows = sum(chunk.size for chunk in chunks), {}
    best: dict[str, list[float]] = {}
    for _ in range(rounds + 1):  # the first one loads kernels
        for codec in codecs():
            started = time.perf_counter()
            packed = [codec.encode(chunk) for chunk in given[codec.corrected]]
            encoded = time.perf_counter()
            for each in packed:
                codec.decode(each)
            decoded = time.perf_counter()
            times = best.setdefault(codec.name, [np.inf, np.inf])
            times[:] = min(times[0], encoded - started), min(times[1], decoded - encoded)
            length = sum(sum(map(len, each)) if isinstance(each, list) else len(each) for each in packed)
            ratio = sum(chunk.nbytes for chunk in chunks) / length
            rows[codec.name] = {"ratio": ratio, "encode": size / times[0] / 1e6, "decode": size / times[1] / 1e6}
    return rows


def array_of(folder: Path) -> list[np.ndarray]:
    """The samples of all WAV files of a folder, one after another, in chunks of one channel."""
    parts = []
    for path in sorted(folder.glob("*.wav")):
        data = path.read_bytes()
        parts.append(np.frombuffer(data[44:], "<i2"))
    samples = np.concatenate(parts)[:, None]
    return [np.ascontiguousarray(samples[at : at + CHUNK]) for at in range(0, len(samples), CHUNK)]


def sizes(arguments: argparse.Namespace) -> dict[str, list[int]]:
    """Bytes of the file of each recording, and of its chunks."""
    others = argparse.Namespace(real=arguments.real, locust=arguments.locust, n1=None)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for recording in record_sizes.recordings(others, Path(folder)):
            row = record_sizes.sizes(recording, (DEFAULT_PRESET,))
            found[recording.name] = [row["whole"][DEFAULT_PRESET], row["chunks"][DEFAULT_PRESET]]
    return found


def ratio_of_files(folder: Path) -> float:
    """Of every fifth WAV file, from the first: their bytes over those of their compressed files."""
    original = compressed = 0
    with tempfile.TemporaryDirectory() as out:
        for path in sorted(folder.glob("*.wav"))[::5]:
            outcome = compress_file(path, Path(out, path.stem), Settings(preset=DEFAULT_PRESET))
            original, compressed = original + path.stat().st_size, compressed + outcome.compressed
    return original / compressed


def two_threads(samples: np.ndarray, rounds: int) -> list[float]:
    """How many times faster two threads are than one, encoding and decoding a chunk."""
    best: dict[int, list[float]] = {}
    for _ in range(rounds + 1):
        for jobs in (1, 2):
            codec = Spikey(verify=False, jobs=jobs)
            started = time.perf_counter()
            packed = codec.encode(samples)
            encoded = time.perf_counter()
            codec.decode(packed)
            times = best.setdefault(jobs, [np.inf, np.inf])
            times[:] = min(times[0], encoded - started), min(times[1], time.perf_counter() - encoded)
    return [one / two for one, two in zip(best[1], best[2], strict=True)]


def main() -> None:
    """Measure, print, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n1", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--locust", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = np.fromfile(generated(Path(folder), seconds=1).path, "<i2").reshape(-1, 384)
    found = {"384 channels": measure([samples], arguments.rounds)}
    if arguments.n1 is not None:
        found["N1"] = measure(array_of(arguments.n1), max(arguments.rounds // 3, 1))
    for name, rows in found.items():
        print(name)
        for codec, row in rows.items():
            print(f"  {codec:18} {row['ratio']:.4f} {row['encode']:7.1f} / {row['decode']:7.1f}")
    figures = {
        "command": command_of("speed", arguments, "n1", "real", "locust"),
        "machine": machine()["processor"],
        "rows": found,
        "two_threads": two_threads(samples, arguments.rounds),
        "sizes": sizes(arguments),
        "files": None if arguments.n1 is None else ratio_of_files(arguments.n1),
    }
    print("two threads", figures["two_threads"], "files of N1", figures["files"])
    keep("speed", figures)


if __name__ == "__main__":
    main()

"""How fast a mounted recording is read: in order, against one thread that decodes it, and at random places.

    python -m tools.mount_speed generated.dat.spky [--original generated.dat] [--seconds 20] [--reads 200]

It needs FUSE and mfusepy; docs/mount.md has its figures.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import spikey

PIECE = 1 << 20
RANDOM = 1_000_000  # bytes of a random read
LARGE = 1024  # MB of cache, for all that is read in order
SMALL = 128  # MB of cache, so that random reads seldom find a block decoded


@contextmanager
def mounted(path: Path, cache: int) -> Iterator[Path]:
    """The largest file that `path` restores, mounted by another process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "spikey", "mount", str(path), folder, "--cache", str(cache), "-q"]
        child = subprocess.Popen(command)
        try:
            while not os.path.ismount(folder):
                time.sleep(0.05)
                if child.poll() is not None:
                    sys.exit("could not be mounted")
            yield max((p for p in Path(folder).rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        finally:
            child.send_signal(signal.SIGINT)
            child.wait()


def decoding(path: Path, most: int) -> float:
    """MB/s of one thread that decodes the first bytes of samples."""
    with spikey.open(path) as reader:
        reader.read(0, 1)
        reader.cache.clear()
        start, done = time.perf_counter(), 0
        for block in reader.blocks():
            done += block.nbytes
            if done >= most:
                break
        return done / (time.perf_counter() - start) / 1e6


def in_order(path: Path, most: int) -> tuple[float, float]:
    """MB/s of a program that reads the first bytes in order, and once more when they are decoded."""
    with mounted(path, LARGE) as view, open(view, "rb", buffering=0) as file:
        file.seek(view.stat().st_size - 1)
        file.read(1)  # kernels are loaded with the first block
        first = _rate(file, most)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # the system's copy, not the mount's
        return first, _rate(file, most)


def _rate(file: io.FileIO, most: int) -> float:
    """MB/s of the first bytes of a file."""
    file.seek(0)
    start, done = time.perf_counter(), 0
    while done < most and (piece := file.read(PIECE)):
        done += len(piece)
    return done / (time.perf_counter() - start) / 1e6


def at_random(path: Path, original: Path | None, reads: int) -> np.ndarray:
    """Seconds that each of some reads at random places took."""
    rng = np.random.default_rng(0)
    taken = []
    with mounted(path, SMALL) as view, open(view, "rb", buffering=0) as file:
        size = view.stat().st_size
        os.pread(file.fileno(), 1, size - 1)
        for place in rng.integers(0, size - RANDOM, reads).tolist():
            start = time.perf_counter()
            data = b""
            while len(data) < RANDOM:
                data += os.pread(file.fileno(), RANDOM - len(data), place + len(data))
            taken.append(time.perf_counter() - start)
            if original is not None:
                with open(original, "rb") as whole:
                    whole.seek(place)
                    assert whole.read(RANDOM) == data
    return np.array(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="a compressed recording of some hundred channels")
    parser.add_argument("--original", type=Path, help="compare what is read at random with this file")
    parser.add_argument("--seconds", type=float, default=20, help="of the recording that are read in order")
    parser.add_argument("--reads", type=int, default=200, help="how many reads at random places")
    wanted = parser.parse_args()
    with spikey.open(wanted.path) as reader:
        most = int(wanted.seconds * reader.rate) * reader.layout.frame_bytes
        print(reader)
    rates = [(decoding(wanted.path, most), *in_order(wanted.path, most)) for _ in range(3)]  # alternating
    alone, view, again = np.median(rates, axis=0)
    shares = ", ".join(f"{there / here:.0%}" for here, there, _ in rates)
    print(f"one thread decodes {alone:.0f} MB/s of samples")
    print(f"in order: {view:.0f} MB/s, {view / alone:.0%} of that (single comparisons: {shares})")
    print(f"what is decoded already: {again:.0f} MB/s")
    taken = 1000 * at_random(wanted.path, wanted.original, wanted.reads)
    median, most_ms = np.median(taken), np.quantile(taken, 0.99)
    print(f"{len(taken)} random reads of 1 MB: median {median:.0f} ms, 99 % under {most_ms:.0f} ms")


if __name__ == "__main__":
    main()

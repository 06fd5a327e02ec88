"""Whether `spikey.create` keeps up with a probe: samples looped from memory, appended in real time.

    python -m tools.acquisition [--channels 1536 --rate 30000 --seconds 60 --profile neuropixels] [--out FILE]

The source is half a second of simulated samples for each 96 channels, appended by 10 ms. Printed are the share of real
time that encoding takes, and verifying with checksums and writing, of one core each by the clock of their thread; the
longest time that `append` took; how often it waited; the resident memory at the start and over time, and the bytes
written. Then every block of the file is decoded and compared with the source. --unpaced: as fast as possible.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import spikey
from spikey.files import pipeline
from spikey.recording.simulate import simulate

EACH = 96  # channels that are simulated at a time
STEP = 0.01  # seconds of an append
LOOP = 0.5  # seconds of the source


class Clock:
    """Adds up what a function takes of its thread's time."""

    def __init__(self, function: Callable[..., Any]):
        self._function, self.seconds = function, 0.0

    def __call__(self, *arguments: Any) -> Any:
        started = time.thread_time()
        try:
            return self._function(*arguments)
        finally:
            self.seconds += time.thread_time() - started


def source(channels: int, rate: float, profile: str) -> np.ndarray:
    """Samples (frames, channels) to be looped."""
    frames = round(LOOP * rate)
    groups = [
        simulate(frames, min(EACH, channels - at), rate, seed=at, profile=profile) for at in range(0, channels, EACH)
    ]
    return np.concatenate(groups, axis=1)


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def warm_up(folder: str, samples: np.ndarray, rate: float, options: dict[str, Any]) -> None:
    """Have all kernels loaded."""
    with spikey.create(Path(folder, "first.spky"), samples.shape[1], rate, **options) as writer:
        for _ in range(4):
            writer.append(samples)
    with spikey.open(Path(folder, "first.spky")) as reader:
        reader[:1]
    Path(folder, "first.spky").unlink()


def record(writer: spikey.Writer, samples: np.ndarray, rate: float, seconds: float, paced: bool) -> dict[str, Any]:
    """Append in real time; the longest append, the farthest that the source was behind, and memory over time."""
    step = round(STEP * rate)
    pieces = [samples[at : at + step] for at in range(0, len(samples), step)]
    longest = behind = 0.0
    memory = []
    started = time.perf_counter()
    for number in range(round(seconds / STEP)):
        due = started + (number + 1) * STEP
        now = time.perf_counter()
        if paced and now < due:
            time.sleep(due - now)
        elif paced:
            behind = max(behind, now - due)
        before = time.perf_counter()
        writer.append(pieces[number % len(pieces)])
        longest = max(longest, time.perf_counter() - before)
        if number % round(1 / STEP) == 0:
            memory.append(resident())
    appended = time.perf_counter() - started
    writer.close()
    return {
        "longest": longest,
        "behind": behind,
        "memory": memory,
        "appended": appended,
        "closed": time.perf_counter() - started - appended,
    }


def same(path: Path, samples: np.ndarray) -> bool:
    """Whether a file is the source, looped."""
    at = 0
    with spikey.open(path) as reader:
        for part in reader.blocks(jobs=2):
            rows = np.arange(at, at + len(part)) % len(samples)
            if not all((part[k : k + 1000] == samples[rows[k : k + 1000]]).all() for k in range(0, len(part), 1000)):
                return False
            at += len(part)
    return True


def main() -> None:
    """Record, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=1536)
    parser.add_argument("--rate", type=float, default=30_000.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--profile", default="neuropixels")
    parser.add_argument("--no-verify", action="store_true")
    parser.add_argument("--unpaced", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    samples = source(arguments.channels, arguments.rate, arguments.profile)
    options: dict[str, Any] = {"verify": not arguments.no_verify}
    with tempfile.TemporaryDirectory() as folder:
        warm_up(folder, samples, arguments.rate, options)
        encoding, checking = Clock(pipeline.encode_part), Clock(pipeline.Pipeline._checked)
        pipeline.encode_part = encoding  # type: ignore[assignment]
        pipeline.Pipeline._checked = lambda *given: checking(*given)  # type: ignore[method-assign]
        path = arguments.out or Path(folder, "a.spky")
        start = resident()
        writer = spikey.create(path, arguments.channels, arguments.rate, **options)
        found = record(writer, samples, arguments.rate, arguments.seconds, not arguments.unpaced)
        total = writer.frames * arguments.channels
        lasting = found["appended"] if arguments.unpaced else writer.frames / arguments.rate
        memory = " ".join(str(round((each - start) / 1e6)) for each in found["memory"])
        speed = total / (found["appended"] + found["closed"]) / 1e6
        print(f"{arguments.channels:,} channels at {arguments.rate:,.0f} Hz, {writer.frames / arguments.rate:g} s:")
        print(f"  {total / 1e6:,.0f} million samples, {speed:.1f} million/s; closed {found['closed']:.2f} s later")
        for what, clock in (("encoding", encoding), ("verifying", checking)):
            share, speed = 100 * clock.seconds / lasting, total / clock.seconds / 1e6
            print(f"  {what} {share:.0f} % of a core, {speed:.1f} million/s")
        print(f"  longest append {1000 * found['longest']:.1f} ms, {writer.late} had to wait")
        print(f"  source behind {found['behind']:.3f} s at most")
        print(f"  memory over the start's, MB, by the second: {memory}")
        print(
            f"  {writer.written:,} bytes, ratio {2 * total / writer.written:.3f}, {writer.plain} blocks without coding"
        )
        print("  the file is " + ("the source" if same(path, samples) else "NOT the source"))


if __name__ == "__main__":
    main()

"""Measures the streaming codec: ratio, latency, and whether it keeps up; every sample decoded is compared.

Frames are pushed as they come, a packet's in a few parts. A packet's latency counts from the moment when its last
sample is due to when its bytes are ready, so that falling behind shows; decoding counts from when packets are ready.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spikey.base.errors import UsageError
from spikey.files.arrays import compress_with
from spikey.files.settings import Settings
from spikey.recording.simulate import simulate
from spikey.recording.wav import open_wav
from spikey.stream.decoder import Decoder
from spikey.stream.encoder import Encoder
from spikey.stream.latency import Latency, settle
from spikey.stream.segments import Gap, Segment

WARM_UP = 0.5  # seconds
TURN = 1.0  # seconds that are encoded, then decoded
LOOP_BYTES = 128 << 20  # of samples that are sent over and over
STRIDE = 7919  # frames between the beginnings of two channels that are of the same recording
SIMULATED = 16  # channels
SPIN = 0.0001
BEHIND = 0.01  # seconds that one may be late at the end and still keep up
SWITCH = 2e-4  # seconds after which a thread lets another one run, where two are measured


@dataclass(frozen=True)
class Plan:
    """What to measure. milliseconds: of a packet. parts: in which its frames are pushed, as they come.

    stage: encode or decode alone, both (each as if alone) or together (at the same time). pace: in real time.
    """

    channels: int = 1024
    rate: float = 20_000.0
    seconds: float = 10.0
    milliseconds: float = 1.0
    parts: int = 2
    packet_bytes: int | None = 1400
    jobs: int = 1
    key_interval: float = 1.0
    parity: int = 0
    pace: bool = True
    stage: str = "both"

    @property
    def part(self) -> int:
        """Frames that are pushed at a time."""
        return max(round(self.rate * self.milliseconds / 1000 / self.parts), 1)

    def pushes(self, seconds: float) -> int:
        """Parts in so many seconds, in whole packets, at least one."""
        return max(int(seconds * self.rate) // (self.part * self.parts), 1) * self.parts

    def encoder(self) -> Encoder:
        """The encoder to measure."""
        return Encoder(
            self.channels,
            self.rate,
            packet_bytes=self.packet_bytes,
            packet_frames=self.part * self.parts if self.parts > 1 else None,
            key_interval=self.key_interval,
            parity=self.parity,
            jobs=self.jobs,
        )


@dataclass
class Stage:
    """Latencies, the time that was worked, and how late the last one was."""

    latency: Latency = field(default_factory=Latency)
    work: Latency = field(default_factory=Latency)
    late: float = 0.0

    def add(self, due: float, end: float, worked: float) -> None:
        self.latency.add(end - due)
        self.work.add(worked)
        self.late = end - due


def channels_of(paths: list[Path], plan: Plan, most: int = LOOP_BYTES) -> np.ndarray:
    """Samples int16 (frames, channels) to send over and over: each channel a recording, shifted by its own offset.

    Without paths, simulated recordings. most: bytes.
    """
    if paths:
        parts = []
        for path in paths[: plan.channels]:
            with open_wav(path) as source:
                samples = source.read(0, source.frames)
            if samples.dtype != np.int16 or not len(samples):
                raise UsageError(f"{path}: is not a recording of 16-bit samples")
            parts += list(samples.T)
    else:
        parts = list(simulate(98_304, min(SIMULATED, plan.channels), plan.rate).T)
    wanted = (plan.pushes(plan.seconds) + plan.pushes(WARM_UP)) * plan.part
    length = min(wanted, max(most // (2 * plan.channels), plan.part)) // plan.part * plan.part
    loop = np.empty((length, plan.channels), dtype=np.int16)
    for channel in range(plan.channels):
        part = parts[channel % len(parts)]
        loop[:, channel] = part.take(np.arange(length) + STRIDE * (channel // len(parts) + 1), mode="wrap")
    return loop


def measure(loop: np.ndarray, plan: Plan) -> dict[str, Any]:
    """Encoder and decoder in one process: each as if alone, a second of one and then of the other, or both at once."""
    if plan.stage == "together":
        return _measure_together(loop, plan)
    encoder, check = plan.encoder(), Check(loop, Decoder(jobs=plan.jobs))
    encode, decode = Stage(), Stage()
    sizes, memory = [0, 0], [0, 0]
    warm, total = plan.pushes(WARM_UP), plan.pushes(plan.seconds)
    at = 0
    while at < warm + total:
        heated = at >= warm
        if at == warm:
            settle()
        count = min(plan.pushes(TURN), warm + total - at) if heated else warm
        pace = heated and plan.pace
        encoded = []
        for index, due in moments(count, plan, pace and plan.stage != "decode"):
            frames = frames_of(loop, at + index, plan.part)
            start = time.perf_counter()
            packets = encoder.push(frames)
            end = time.perf_counter()
            encoded.append(packets)
            if heated:
                encode.add(due if pace else start, end, end - start)
                sizes[0] += frames.nbytes
                sizes[1] += sum(map(len, packets))
        for index, due in moments(count, plan, pace) if plan.stage != "encode" else ():
            start = time.perf_counter()
            items = check.decoder.push_all(encoded[index])
            end = time.perf_counter()
            if heated:
                decode.add(due if pace else start, end, end - start)
            check.take(items)
        at += count
        memory = _remember(memory, at - warm > total // 4)
    if plan.stage != "encode":
        check.take(check.decoder.push_all(encoder.close()))
    stages = {name: stage for name, stage in (("encode", encode), ("decode", decode)) if plan.stage in ("both", name)}
    found = {"exact": check.exact(at * plan.part)} if plan.stage != "encode" else {}
    return row_of(plan, sizes, stages, memory) | found | {"counts": vars(check.decoder.counts)}


def _measure_together(loop: np.ndarray, plan: Plan) -> dict[str, Any]:
    """Encoder and decoder in one process at the same time, a thread for each."""
    encoder, check, ready = plan.encoder(), Check(loop, Decoder(jobs=plan.jobs)), queue.SimpleQueue[Any]()
    encode, decode = Stage(), Stage()
    sizes, memory = [0, 0], [0, 0]
    warm, total = plan.pushes(WARM_UP), plan.pushes(plan.seconds)
    for at in range(warm):
        check.take(check.decoder.push_all(encoder.push(frames_of(loop, at, plan.part))))

    def decoding() -> None:
        while (item := ready.get()) is not None:
            packets, since = item
            start = time.perf_counter()
            items = check.decoder.push_all(packets)
            end = time.perf_counter()
            decode.add(since, end, end - start)
            check.take(items)

    other = threading.Thread(target=decoding, daemon=True)
    settle()
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        other.start()
        for index, due in moments(total, plan, plan.pace, spin=SPIN / 2):
            frames = frames_of(loop, warm + index, plan.part)
            start = time.perf_counter()
            packets = encoder.push(frames)
            end = time.perf_counter()
            ready.put((packets, end))
            encode.add(due if plan.pace else start, end, end - start)
            sizes[0] += frames.nbytes
            sizes[1] += sum(map(len, packets))
            memory = _remember(memory, index > total // 4)
    finally:
        ready.put(None)
        other.join()
        sys.setswitchinterval(before)
    check.take(check.decoder.push_all(encoder.close()))
    row = row_of(plan, sizes, {"encode": encode, "decode": decode}, memory)
    return row | {"exact": check.exact((warm + total) * plan.part), "counts": vars(check.decoder.counts)}


class Check:
    """A decoder whose every sample is compared with `loop` (frames, channels), sent over and over."""

    def __init__(self, loop: np.ndarray, decoder: Decoder):
        self.decoder, self.samples, self._loop, self._same = decoder, 0, loop, True

    def take(self, items: list[Segment | Gap]) -> None:
        """What the decoder gave."""
        for item in items:
            if isinstance(item, Segment):
                columns = slice(item.first_channel, item.first_channel + item.samples.shape[1])
                at, left = item.first_frame % len(self._loop), item.samples
                while len(left):  # the loop may begin again within a segment
                    there = self._loop[at : at + len(left), columns]
                    self._same &= bool((there == left[: len(there)]).all())
                    at, left = 0, left[len(there) :]
                self.samples += item.samples.size

    @property
    def right(self) -> bool:
        """Whether all that came is what was sent."""
        return self._same

    def exact(self, frames: int) -> bool:
        """Whether so many frames came, all of them and as they were sent."""
        return self._same and self.samples == frames * self._loop.shape[1]


def file_ratio(loop: np.ndarray, rate: float) -> float:
    """The ratio of the same samples as a file, coded by the predictor of the packets."""
    return round(loop.nbytes / len(compress_with(loop, rate, Settings(predictor="lpc"))), 4)


def frames_of(loop: np.ndarray, index: int, count: int) -> np.ndarray:
    """The `index`th part of `count` frames."""
    at = index * count % len(loop)
    return loop[at : at + count]


def moments(count: int, plan: Plan, pace: bool, spin: float = SPIN) -> Iterator[tuple[int, float]]:
    """Each part's index and the moment its last sample is there, at that moment where it is paced.

    spin: seconds before it from which on one does not sleep, so as not to be late; others cannot run then.
    """
    start = time.perf_counter()
    for index in range(count):
        due = start + (index + 1) * plan.part / plan.rate
        if pace:
            left = due - time.perf_counter()
            if left > spin:
                time.sleep(left - spin)
            while time.perf_counter() < due:
                pass
        yield index, due


def _remember(memory: list[int], late: bool) -> list[int]:
    """The most memory in the first quarter of a run, and in all of it."""
    now = peak()
    return [memory[0] if late and memory[0] else now, now]


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def row_of(plan: Plan, sizes: list[int], stages: dict[str, Stage], memory: list[int]) -> dict[str, Any]:
    """What was measured, for programs. sizes: bytes of samples and of packets."""
    seconds = plan.pushes(plan.seconds) * plan.part / plan.rate
    row: dict[str, Any] = {
        "channels": plan.channels,
        "rate": plan.rate,
        "seconds": seconds,
        "packet_bytes": plan.packet_bytes,
        "packet_frames": plan.part * plan.parts,
        "parts": plan.parts,
        "jobs": plan.jobs,
        "key_interval": plan.key_interval,
        "parity": plan.parity,
        "paced": plan.pace,
        "stage": plan.stage,
        "ratio": round(sizes[0] / sizes[1], 4),
    }
    for name, stage in stages.items():
        row[f"{name}_ms"] = stage.latency.milliseconds()
        row[f"{name}_work_ms"] = stage.work.milliseconds()
        row[f"{name}_times_real_time"] = round(seconds / stage.work.total, 3)
    on_time = all(stage.late < BEHIND for stage in stages.values())
    fast = all(stage.work.total < seconds for stage in stages.values())
    return row | {
        "kept_up": fast and (on_time or not plan.pace),
        "peak_rss": {"quarter": memory[0], "end": memory[1]},
        "processors": os.cpu_count(),
    }

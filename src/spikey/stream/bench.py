"""Measures the streaming codec: ratio, latency, and whether it keeps up; every sample decoded is compared.

A packet's latency counts from the moment its last sample is due, so that falling behind shows.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spikey.analysis.simulate import simulate
from spikey.errors import SpikeyError, UsageError
from spikey.recording.wav import open_wav
from spikey.stream.decoder import Decoder, Segment
from spikey.stream.encoder import Encoder
from spikey.stream.latency import Latency

WARM_UP = 0.5  # seconds
TURN = 1.0  # seconds that are encoded, then decoded
LOOP_BYTES = 128 << 20  # of samples that are sent over and over
STRIDE = 7919  # frames between the beginnings of two channels that are of the same recording
SIMULATED = 16  # channels
SPIN = 0.0005  # seconds before a moment from which on it is waited for without sleeping
BEHIND = 0.01  # seconds that one may be late at the end and still keep up
SOCKET_BYTES = 16 << 20
SILENT = 10.0  # seconds after which the receiving process gives up


@dataclass(frozen=True)
class Plan:
    """What to measure. milliseconds: of a packet. parts: in which its frames are handed over, as they come.

    stage: encode, decode or both. pace: in real time.
    """

    channels: int = 1024
    rate: float = 20_000.0
    seconds: float = 10.0
    milliseconds: float = 1.0
    parts: int = 4
    packet_bytes: int | None = 1400
    jobs: int = 1
    key_interval: float = 1.0
    parity: int = 0
    pace: bool = True
    stage: str = "both"

    @property
    def push(self) -> int:
        """Frames of a packet: a whole number of parts."""
        frames = max(round(self.rate * self.milliseconds / 1000), 1)
        return max(frames // self.parts, 1) * self.parts

    def pushes(self, seconds: float) -> int:
        """Pushes in so many seconds, at least one."""
        return max(int(seconds * self.rate) // self.push, 1)

    def encoder(self) -> Encoder:
        """The encoder to measure."""
        return Encoder(
            self.channels,
            self.rate,
            packet_bytes=self.packet_bytes,
            packet_frames=self.push,
            key_interval=self.key_interval,
            parity=self.parity,
            jobs=self.jobs,
        )


@dataclass
class _Stage:
    """Latencies from when a packet's last sample was due, the time that was worked, and how late the last one was."""

    latency: Latency = field(default_factory=Latency)
    work: Latency = field(default_factory=Latency)
    late: float = 0.0

    def add(self, due: float, end: float, worked: float) -> None:
        self.latency.add(end - due)
        self.work.add(worked)
        self.late = end - due


def channels_of(paths: list[Path], plan: Plan) -> np.ndarray:
    """Samples int16 (frames, channels) to send over and over: each channel a recording, shifted by its own offset.

    Without paths, simulated recordings.
    """
    if paths:
        parts = []
        for path in paths[: plan.channels]:
            with open_wav(path) as source:
                samples = source.read(0, source.frames)
            if samples.dtype != np.int16 or not len(samples):
                raise UsageError(f"{path}: is no recording of 16-bit samples")
            parts += list(samples.T)
    else:
        parts = list(simulate(98_304, min(SIMULATED, plan.channels), plan.rate).T)
    wanted = int((plan.seconds + WARM_UP) * plan.rate) + plan.push
    length = min(wanted, max(LOOP_BYTES // (2 * plan.channels), plan.push)) // plan.push * plan.push
    loop = np.empty((length, plan.channels), dtype=np.int16)
    for channel in range(plan.channels):
        part = parts[channel % len(parts)]
        loop[:, channel] = part.take(np.arange(length) + STRIDE * (channel // len(parts) + 1), mode="wrap")
    return loop


def measure(loop: np.ndarray, plan: Plan) -> dict[str, Any]:
    """Encoder and decoder in one process, each as if alone: a second of one, then of the other."""
    encoder, decoder = plan.encoder(), Decoder(jobs=plan.jobs)
    stages = {"encode": _Stage(), "decode": _Stage()}
    sizes, exact = [0, 0], True
    memory = [0, 0]
    warm, total = plan.pushes(WARM_UP), plan.pushes(plan.seconds)
    at = 0
    while at < warm + total:
        count = min(plan.pushes(TURN), warm + total - at) if at >= warm else warm
        heated = at >= warm
        pushes = [_frames(loop, at + i, plan.push) for i in range(count)]
        pace = heated and plan.pace
        encoded = []
        for packets, due, start, end, worked in _encoded(encoder, pushes, plan, pace and plan.stage != "decode"):
            encoded.append(packets)
            if heated:
                stages["encode"].add(due if pace else start, end, worked)
        if heated:
            sizes[0] += sum(frames.nbytes for frames in pushes)
            sizes[1] += sum(len(packet) for packets in encoded for packet in packets)
        for index, due in _due(count, plan, pace) if plan.stage != "encode" else ():
            start = time.perf_counter()
            items = decoder.push_all(encoded[index])
            if heated:
                end = time.perf_counter()
                stages["decode"].add(due if pace else start, end, end - start)
            exact &= _same(items, pushes[index], (at + index) * plan.push)
        at += count
        memory[1] = _peak()
        if not memory[0] or at - warm <= total // 4:
            memory[0] = memory[1]
    shown = ("encode", "decode") if plan.stage == "both" else (plan.stage,)
    row = _row(plan, sizes, {name: stages[name] for name in shown}, memory)
    return row | ({"exact": exact} if plan.stage != "encode" else {}) | {"counts": vars(decoder.counts)}


def measure_udp(loop: np.ndarray, plan: Plan) -> dict[str, Any]:
    """Encoder here, decoder in a process of its own, datagrams between them."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_receive, args=(there, loop, plan), daemon=True)
    child.start()
    there.close()  # so that its end is noticed
    try:
        if not here.poll(60):
            raise SpikeyError("the receiving process did not begin")
        port = here.recv()
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        link.connect(("127.0.0.1", port))
        encoder, stage, sizes = plan.encoder(), _Stage(), [0, 0]
        warm, total = plan.pushes(WARM_UP), plan.pushes(plan.seconds)
        memory = [0, 0]
        for at in range(warm):  # slowly: the receiver compiles
            _send(link, encoder.push(_frames(loop, at, plan.push)))
            if at == 0:
                here.poll(120)
                here.recv()
            time.sleep(plan.milliseconds / 1000)
        here.send(time.perf_counter() + 0.05)  # when the first push begins
        time.sleep(0.05)
        pushes = (_frames(loop, warm + index, plan.push) for index in range(total))
        for index, (packets, due, start, end, worked) in enumerate(_encoded(encoder, pushes, plan, plan.pace)):
            stage.add(due if plan.pace else start, end, worked)
            _send(link, packets)
            sizes[0] += plan.push * plan.channels * 2
            sizes[1] += sum(map(len, packets))
            if index == total // 4:
                memory[0] = _peak()
        memory[1] = _peak()
        _send(link, encoder.close() * 3)
        if not here.poll(SILENT + 5):
            raise SpikeyError("the receiving process does not answer")
        found = here.recv()
    except EOFError:
        raise SpikeyError("the receiving process failed") from None
    finally:
        child.terminate()
        child.join()
    return _row(plan, sizes, {"encode": stage}, memory) | found


def _receive(link: Any, loop: np.ndarray, plan: Plan) -> None:
    """The receiving process: decodes and compares, and sends what it found through `link`."""
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    own.bind(("127.0.0.1", 0))
    own.settimeout(SILENT)
    link.send(own.getsockname()[1])
    decoder, decode, arrival = Decoder(), Latency(), Latency()
    begin: float | None = None
    warm = plan.pushes(WARM_UP) * plan.push
    samples, exact, ready = 0, True, False
    memory = [0, 0]
    try:
        while not decoder.ended:
            packet = own.recv(1 << 16)
            start = time.perf_counter()
            items = decoder.push(packet)
            end = time.perf_counter()
            if not ready:
                ready = True
                link.send("ready")
            if begin is None and link.poll(0):
                begin = link.recv()
            for item in items:
                if isinstance(item, Segment) and item.first_frame >= warm and begin is not None:
                    decode.add(end - start)
                    after = item.first_frame + len(item.samples) - warm
                    if plan.pace:
                        arrival.add(end - begin - after / plan.rate)
                    samples += item.samples.size
                    exact &= _equal(loop, item)
                    if not memory[0] and after > plan.seconds * plan.rate / 4:
                        memory[0] = _peak()
    except TimeoutError:
        pass
    memory[1] = _peak()
    total = plan.pushes(plan.seconds) * plan.push * plan.channels
    found: dict[str, Any] = {"decode_packet_ms": decode.milliseconds()}
    if plan.pace:
        found["sample_to_sample_ms"] = arrival.milliseconds()
    lost = round(1 - samples / total, 6)
    peaks = {"quarter": memory[0], "end": memory[1]}
    link.send(found | {"exact": exact, "lost_share": lost, "decoder_peak_rss": peaks, "counts": vars(decoder.counts)})
    time.sleep(1)


def _send(link: socket.socket, packets: list[bytes]) -> None:
    for packet in packets:
        link.send(packet)


def _frames(loop: np.ndarray, index: int, push: int) -> np.ndarray:
    at = index * push % len(loop)
    return loop[at : at + push]


def _same(items: list[Any], frames: np.ndarray, first: int) -> bool:
    """Whether what came out is what went in, all of it."""
    size = 0
    for item in items:
        if not isinstance(item, Segment):
            return False
        begin, channel = item.first_frame - first, item.first_channel
        there = frames[begin : begin + len(item.samples), channel : channel + item.samples.shape[1]]
        if begin < 0 or not np.array_equal(there, item.samples):
            return False
        size += item.samples.size
    return size == frames.size


def _equal(loop: np.ndarray, item: Segment) -> bool:
    rows = np.arange(item.first_frame, item.first_frame + len(item.samples)) % len(loop)
    there = loop[rows, item.first_channel : item.first_channel + item.samples.shape[1]]
    return bool(np.array_equal(there, item.samples))


def _encoded(
    encoder: Encoder, pushes: Iterable[np.ndarray], plan: Plan, pace: bool
) -> Iterator[tuple[list[bytes], float, float, float, float]]:
    """The packets of each push, when its last part was due, when that was handed over and done, and the time worked."""
    size = plan.push // plan.parts
    moments = _due(None, plan, pace, size)
    for frames in pushes:
        worked = 0.0
        for at in range(0, plan.push, size):
            _, due = next(moments)
            start = time.perf_counter()
            packets = encoder.push(frames[at : at + size])
            end = time.perf_counter()
            worked += end - start
        yield packets, due, start, end, worked


def _due(count: int | None, plan: Plan, pace: bool, size: int = 0) -> Iterator[tuple[int, float]]:
    """Each index and the moment its last sample is there, at that moment where it is paced; size: frames of each."""
    start = time.perf_counter()
    for index in itertools.count() if count is None else range(count):
        due = start + (index + 1) * (size or plan.push) / plan.rate
        if pace:
            left = due - time.perf_counter()
            if left > SPIN:
                time.sleep(left - SPIN)
            while time.perf_counter() < due:
                pass
        yield index, due


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _row(plan: Plan, sizes: list[int], stages: dict[str, _Stage], memory: list[int]) -> dict[str, Any]:
    seconds = plan.pushes(plan.seconds) * plan.push / plan.rate
    row: dict[str, Any] = {
        "channels": plan.channels,
        "rate": plan.rate,
        "seconds": seconds,
        "packet_bytes": plan.packet_bytes,
        "packet_frames": plan.push,
        "parts": plan.parts,
        "jobs": plan.jobs,
        "key_interval": plan.key_interval,
        "parity": plan.parity,
        "paced": plan.pace,
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


def draw(row: dict[str, Any], path: Path) -> None:
    """A picture of the latency percentiles, as PNG, SVG or PDF by its name; UsageError where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError('a picture needs matplotlib: pip install "spikey-codec[plot]"') from None
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    kinds = [name for name in row if name.endswith("_ms") and "work" not in name]
    labels = ["p50", "p99", "p999", "max"]
    width = 0.8 / len(kinds)
    for index, name in enumerate(kinds):
        places = np.arange(len(labels)) + (index - (len(kinds) - 1) / 2) * width
        bars = axes.bar(places, [row[name][label] for label in labels], width, label=name[:-3].replace("_", " "))
        axes.bar_label(bars, fmt="%.2f", fontsize=7)
    axes.set_xticks(range(len(labels)), ["50 %", "99 %", "99.9 %", "all"])
    axes.set_xlabel("share of packets")
    axes.set_ylabel("at most, ms")
    axes.set_title(f"{row['channels']:,} channels at {row['rate']:g} Hz, ratio {row['ratio']:.3f}")
    axes.legend()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be drawn to ({error})") from None

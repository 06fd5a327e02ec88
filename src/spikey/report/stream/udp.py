"""Measures the streaming codec over datagrams: encoder and decoder are processes of their own."""

from __future__ import annotations

import multiprocessing
import socket
import time
from contextlib import suppress
from typing import Any

import numpy as np

from spikey.base.errors import SpikeyError
from spikey.report.stream.bench import WARM_UP, Check, Plan, Stage, frames_of, moments, peak, row_of
from spikey.stream.decoder import Decoder
from spikey.stream.latency import Latency, settle
from spikey.stream.segments import Segment

SOCKET_BYTES = 16 << 20
SILENT = 10.0  # seconds after which the receiving process gives up


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
        encoder, stage, sizes = plan.encoder(), Stage(), [0, 0]
        warm, total = plan.pushes(WARM_UP), plan.pushes(plan.seconds)
        memory = [0, 0]
        for at in range(warm):  # slowly: the receiver compiles
            _send(link, encoder.push(frames_of(loop, at, plan.part)))
            if at == 0:
                here.poll(120)
                here.recv()
            time.sleep(2 * plan.part / plan.rate)
        settle()
        begin = time.perf_counter() + 0.05
        here.send(begin)  # when the first sample that counts is there
        time.sleep(begin - time.perf_counter())
        for index, due in moments(total, plan, plan.pace):
            frames = frames_of(loop, warm + index, plan.part)
            start = time.perf_counter()
            packets = encoder.push(frames)
            end = time.perf_counter()
            _send(link, packets)
            stage.add(due if plan.pace else start, end, time.perf_counter() - start)
            sizes[0] += frames.nbytes
            sizes[1] += sum(map(len, packets))
            if index == total // 4:
                memory[0] = peak()
        memory[1] = peak()
        _send(link, encoder.close() * 3)
        if not here.poll(SILENT + 5):
            raise SpikeyError("the receiving process does not answer")
        found = here.recv()
    except EOFError:
        raise SpikeyError("the receiving process failed") from None
    finally:
        child.terminate()
        child.join()
    return row_of(plan, sizes, {"encode": stage}, memory) | found


def _receive(link: Any, loop: np.ndarray, plan: Plan) -> None:
    """The receiving process: decodes and compares, and sends what it found through `link`."""
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    own.bind(("127.0.0.1", 0))
    link.send(own.getsockname()[1])
    check, decode, arrival, work = Check(loop, Decoder(jobs=plan.jobs)), Latency(), Latency(), 0.0
    warm, total = plan.pushes(WARM_UP) * plan.part, plan.pushes(plan.seconds) * plan.part
    begin: float | None = None
    ready = False
    memory = [0, 0]
    with suppress(TimeoutError):
        while not check.decoder.ended:
            packets = _arrived(own)
            start = time.perf_counter()
            items = check.decoder.push_all(packets)
            end = time.perf_counter()
            if not ready:
                ready = True
                settle()
                link.send("ready")
            if begin is None and link.poll(0):
                begin = link.recv()
            check.take(items)
            ends = [item.first_frame + len(item.samples) - warm for item in items if isinstance(item, Segment)]
            if begin is None or not ends or min(ends) <= 0:
                continue
            decode.add(end - start)
            work += end - start
            for after in ends:
                if plan.pace:
                    arrival.add(end - begin - after / plan.rate)
            if not memory[0] and max(ends) > total / 4:
                memory[0] = peak()
    memory[1] = peak()
    check.take(check.decoder.finish())
    found: dict[str, Any] = {"decode_ms": decode.milliseconds()}
    if plan.pace:
        found["sample_to_sample_ms"] = arrival.milliseconds()
    found["decode_times_real_time"] = round(total / plan.rate / work, 3) if work else 0.0
    lost = round(1 - check.samples / ((warm + total) * plan.channels), 6)
    peaks = {"quarter": memory[0], "end": memory[1]}
    counts = vars(check.decoder.counts)
    link.send(found | {"exact": check.right, "lost_share": lost, "decoder_peak_rss": peaks, "counts": counts})
    time.sleep(1)


def _arrived(own: socket.socket) -> list[bytes]:
    """The datagrams that are there; waits for the first one."""
    own.settimeout(SILENT)
    packets = [own.recv(1 << 16)]
    own.setblocking(False)
    with suppress(BlockingIOError):
        while len(packets) < 64:
            packets.append(own.recv(1 << 16))
    return packets


def _send(link: socket.socket, packets: list[bytes]) -> None:
    for packet in packets:
        link.send(packet)

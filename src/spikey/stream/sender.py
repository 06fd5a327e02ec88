"""Sends a recording as packets, at its own pace or as fast as they go; what there is no time for is skipped.

recording --> reading thread --> bounded buffer --> encoder --> link
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from spikey.base.errors import DataError
from spikey.recording.source import Source
from spikey.stream.authentic_requests import read_authentic_request
from spikey.stream.encoder import Encoder
from spikey.stream.latency import Latency
from spikey.stream.transport import Buffer, DatagramSink, Sink, read_request

READ_BYTES = 1 << 20  # of samples read at once
LAST_COPIES = (0.0, 0.05, 0.15, 0.3)  # seconds at which end packets are sent as datagrams: losses come in bursts
LINGER = 0.5  # seconds in which packets may still be asked for at the end
REPAIRS_PER_SECOND = 1000
REPAIRS_AT_ONCE = 256
POLL = 0.02  # seconds
PART = 0.1  # seconds of a pause between checks whether it is to end


@dataclass
class Sent:
    """What was done so far. lost_on_purpose, refused and repairs count packets; original and sent, bytes. ends: how
    many times the packets that end the stream were sent. unauthenticated: requests without a valid tag of a stream with
    tags, or that came before.
    """

    frames: int = 0
    skipped: int = 0
    original: int = 0
    packets: int = 0
    sent: int = 0
    lost_on_purpose: int = 0
    refused: int = 0
    asked: int = 0
    repairs: int = 0
    ends: int = 0
    unauthenticated: int = 0
    encode: Latency = field(default_factory=Latency)

    @property
    def ratio(self) -> float:
        """Bytes of the samples sent over bytes of all packets."""
        return self.original / self.sent if self.sent else 0.0


class Link:
    """A sink that loses packets on purpose where that is wanted, and answers requests where that is."""

    def __init__(self, sink: Sink, report: Sent, *, loss: float = 0.0, seed: int = 0, repair: bool = False):
        self.report = report
        self._sink, self._loss, self._repair = sink, loss, repair
        self._random = random.Random(seed)
        self._answered = -1  # the number of the last request with a tag
        self._credit, self._credited = float(REPAIRS_AT_ONCE), time.monotonic()

    def send(self, packets: list[bytes]) -> None:
        """Send packets, and count them."""
        if not packets:
            return
        passed = [packet for packet in packets if self._random.random() >= self._loss]
        self.report.packets += len(packets)
        self.report.sent += sum(map(len, packets))
        self.report.lost_on_purpose += len(packets) - len(passed)
        if passed:
            self._sink.send(passed)
        if not self.report.ends:
            self.report.refused = self._sink.refused

    def finish(self, last: list[bytes], wait: Callable[[float], object]) -> None:
        """Send the packets that end a stream; over datagrams several times, as they may be lost and are not asked for.

        wait: called with the seconds until the next copy. A receiver of one may be gone, so refusals do not count.
        """
        at = 0.0
        for due in LAST_COPIES if isinstance(self._sink, DatagramSink) else LAST_COPIES[:1]:
            wait(due - at)
            at = due
            self.send(last)
            self.report.ends += 1

    def answer(self, encoder: Encoder) -> bool:
        """Send again what was asked for, as long as it is remembered and not too much; whether anything was asked."""
        if not self._repair:
            return False
        now = time.monotonic()
        self._credit = min(self._credit + REPAIRS_PER_SECOND * (now - self._credited), REPAIRS_AT_ONCE)
        self._credited = now
        requests = self._sink.requests()
        for request in requests:
            names = self._asked(request, encoder)
            self.report.asked += len(names)
            found = [encoder.again(*name) for name in names[: int(self._credit)]]
            packets = [packet for packet in found if packet is not None]
            self._credit -= len(packets)
            self.report.repairs += len(packets)
            self.send(packets)
        return bool(requests)

    def _asked(self, request: bytes, encoder: Encoder) -> list[tuple[int, int]]:
        """What a request asks for; nothing where it is none, or must have a valid tag and has not, or came before."""
        try:
            if encoder.asking is None:
                stream, names = read_request(request)
                return names if stream == encoder.stream else []
            number, names = read_authentic_request(request, encoder.stream, encoder.asking)
            if number <= self._answered:
                raise DataError("a request came before")
        except DataError:
            self.report.unauthenticated += encoder.asking is not None
            return []
        self._answered = number
        return names


def send(
    source: Source,
    encoder: Encoder,
    sink: Sink,
    link: Link,
    *,
    push: int,
    speed: float,
    drop: bool,
    buffer_bytes: int,
    stop: threading.Event,
    watch: Callable[[Sent, Buffer], None],
) -> Sent:
    """Send a recording, `push` frames at a time, and the packets that end it.

    speed: times the recording's rate; 0 for as fast as possible. drop: skip what there is no room for in the buffer,
    where otherwise reading waits. stop: ends it early. watch: called after each push.
    """
    report, buffer = link.report, Buffer(buffer_bytes)
    pace = speed * source.layout.rate
    reading = threading.Thread(target=_read, args=(source, buffer, push, pace, drop, stop, report), daemon=True)
    reading.start()
    try:
        while not buffer.finished and not stop.is_set():
            items = buffer.take(POLL, 1)
            link.answer(encoder)
            for skipped, frames, handed in items:
                if skipped:
                    encoder.skip(skipped)
                if frames is None:
                    continue
                packets = encoder.push(frames)
                report.encode.add(time.perf_counter() - handed)
                report.frames += len(frames)
                report.original += frames.nbytes
                link.send(packets)
            watch(report, buffer)

        def wait(seconds: float) -> None:
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                link.answer(encoder)
                time.sleep(min(left, POLL))

        link.finish(encoder.close(), wait)
        until = time.monotonic() + LINGER
        while isinstance(sink, DatagramSink) and time.monotonic() < until and not stop.is_set():
            if link.answer(encoder):
                until = time.monotonic() + LINGER
            time.sleep(POLL)
    finally:
        buffer.close()
        reading.join()
    return report


def _read(
    source: Source, buffer: Buffer, push: int, pace: float, drop: bool, stop: threading.Event, report: Sent
) -> None:
    """Yield the recording's frames, each push with the frames skipped before it and the time."""
    try:
        once = max(READ_BYTES // source.layout.frame_bytes // push, 1) * push
        skipped, start = 0, time.perf_counter()
        for at in range(0, source.frames, once):
            samples = source.read(at, min(once, source.frames - at))
            for begin in range(0, len(samples), push):
                part = samples[begin : begin + push]
                if pace:
                    due = start + (at + begin + len(part)) / pace
                    while (left := due - time.perf_counter()) > 0:
                        if stop.wait(min(left, PART)):
                            return
                handed = time.perf_counter()
                if buffer.put((skipped, part, handed), part.nbytes, wait=not drop):
                    skipped = 0
                elif buffer.closed:
                    return
                else:
                    skipped += len(part)
                    report.skipped += len(part)
        if skipped:
            buffer.put((skipped, None, 0.0), 0, wait=True)
        buffer.close()
    except BaseException as error:
        buffer.close(error)

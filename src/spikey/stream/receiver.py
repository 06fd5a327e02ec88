"""Takes the packets of one or several streams apart and records each; asks again for what is missing where it may."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from spikey.errors import DataError
from spikey.stream.decoder import Decoder
from spikey.stream.latency import Latency
from spikey.stream.packet import LAST, MARK, PARITY, read_packet
from spikey.stream.recorder import Recorder
from spikey.stream.transport import MOST_ASKED, write_request

MOST_STREAMS = 8  # recorded by one receiver
ASK_EVERY = 0.002  # seconds between two requests
ASK_AGAIN = 0.01  # seconds before the same packet is asked for again
MOST_TIMES = 3  # that a packet is asked for
MOST_REMEMBERED = 4096  # packets that were asked for
QUIET = 0.3  # seconds without packets after which a stream that has said its end is over, whatever is missing


def _is_whole(packet: bytes) -> bool:
    try:
        read_packet(packet)
    except DataError:
        return False
    return True


@dataclass
class Recording:
    """One stream's decoder and file. ending: whether a packet said that it ends."""

    number: int
    decoder: Decoder
    recorder: Recorder
    sender: Any = None
    ending: bool = False
    heard: float = 0.0
    packets: int = 0
    bytes: int = 0
    decode: Latency = field(default_factory=Latency)
    asked: dict[tuple[int, int], tuple[int, float]] = field(default_factory=dict)


class Receiver:
    """Records streams: the first as `out`, those of senders that began anew beside it, as out-2 and so on.

    `foreign` counts packets of streams of which no key packet has come yet, or that are too many; `damaged` those that
    belong to none. A context manager: the files take their names when it is left without an error.
    """

    def __init__(self, out: Path, *, jobs: int = 1):
        self.out, self.foreign, self.damaged, self.requests = out, 0, 0, 0
        self.streams: list[Recording] = []
        self._jobs = jobs
        self._known: dict[int, Recording] = {}
        self._stack = ExitStack()
        self._asked = 0.0

    def take(self, arrived: Sequence[tuple[bytes, Any]]) -> None:
        """Packets, whatever they are, each with who sent it."""
        known: dict[int, list[tuple[bytes, Any]]] = {}
        for packet, sender in arrived:
            number = int.from_bytes(packet[1:5], "little")
            if number in self._known or self._begin(packet):
                known.setdefault(number, []).append((packet, sender))
        for number, packets in known.items():
            self._decode(self._known[number], packets)

    def _decode(self, stream: Recording, packets: list[tuple[bytes, Any]]) -> None:
        start = time.perf_counter()
        damaged = stream.decoder.counts.damaged
        items = stream.decoder.push_all([packet for packet, _ in packets])
        took = time.perf_counter() - start
        whole = [(p, sender) for p, sender in packets if stream.decoder.counts.damaged == damaged or _is_whole(p)]
        for packet, sender in whole:
            stream.decode.add(took / len(packets))
            stream.sender, stream.heard = sender, time.monotonic()
            stream.packets += 1
            stream.bytes += len(packet)
            stream.ending |= packet[0] == MARK | LAST
        stream.recorder.take(items)

    def _begin(self, packet: bytes) -> Recording | None:
        """A new stream, if this is a key packet of one and there may be more."""
        try:
            opened = read_packet(packet)
        except DataError:
            self.damaged += 1
            return None
        decoder = Decoder(opened.stream)
        if opened.description is None or opened.flags & PARITY or len(self.streams) == MOST_STREAMS:
            self.foreign += 1
            return None
        try:
            recorder = Recorder(self._path(), opened.description, jobs=self._jobs)
        except DataError:  # of a calibration that is not there
            if not self.streams:
                raise
            self.foreign += 1
            return None
        stream = Recording(opened.stream, decoder, self._stack.enter_context(recorder))
        self.streams.append(stream)
        self._known[stream.number] = stream
        return stream

    def _path(self) -> Path:
        many = len(self.streams)
        return self.out.with_name(f"{self.out.stem}-{many + 1}{self.out.suffix}") if many else self.out

    @property
    def done(self) -> bool:
        """Whether the newest stream is over."""
        if not self.streams:
            return False
        last = self.streams[-1]
        return last.decoder.ended or (last.ending and time.monotonic() - last.heard > QUIET)

    def wanted(self) -> list[tuple[bytes, Any]]:
        """Requests to send now, each with the address of the sender."""
        now = time.monotonic()
        if not self.streams or now - self._asked < ASK_EVERY:
            return []
        stream = self.streams[-1]
        names: list[tuple[int, int]] = []
        for name in stream.decoder.wanted():
            times, last = stream.asked.get(name, (0, 0.0))
            if times < MOST_TIMES and now - last >= ASK_AGAIN and len(names) < MOST_ASKED:
                stream.asked.pop(name, None)
                stream.asked[name] = times + 1, now
                names.append(name)
        while len(stream.asked) > MOST_REMEMBERED:
            stream.asked.pop(next(iter(stream.asked)))
        if not names:
            return []
        self._asked = now
        self.requests += 1
        return [(write_request(stream.number, names), stream.sender)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: Any) -> None:
        if failure[0] is not None:
            self._stack.__exit__(*failure)
            return
        with self._stack:
            for stream in self.streams:
                stream.recorder.take(stream.decoder.finish())


def facts(stream: Recording) -> dict[str, Any]:
    """What became of one stream, for programs; gaps as [first frame, end frame, first channel, end channel]."""
    recorder = stream.recorder
    gaps = sorted((g.first_frame, g.end_frame, g.first_channel, g.first_channel + g.channels) for g in recorder.gaps)
    raw = recorder.samples * recorder.layout.itemsize
    return {
        "file": str(recorder.path),
        "stream": stream.number,
        "channels": recorder.layout.channels,
        "rate": recorder.layout.rate,
        "dtype": recorder.layout.dtype,
        "frames": recorder.frames,
        "samples": recorder.samples,
        "missing_samples": recorder.missing,
        "gaps": gaps,
        "received_bytes": stream.bytes,
        "ratio": round(raw / stream.bytes, 4) if stream.bytes else 0.0,
        "packets": {"received": stream.packets} | asdict(stream.decoder.counts),
        "decode_ms": stream.decode.milliseconds(),
    }

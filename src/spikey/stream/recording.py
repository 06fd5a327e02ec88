"""One stream that is recorded: its decoder and its file, and how it ended."""

from __future__ import annotations

import builtins
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from spikey.base.errors import DataError
from spikey.stream.arrivals import name_of
from spikey.stream.authentic_requests import Asker
from spikey.stream.decoder import Decoder
from spikey.stream.latency import Latency
from spikey.stream.packet import MOST_FRAMES, Description, read_packet
from spikey.stream.progress import Progress
from spikey.stream.recorder import MOST_RATE, Recorder
from spikey.stream.segments import Segment
from spikey.stream.transport import MOST_ASKED, write_request

ASK_AGAIN = 0.01  # seconds before the same packet is asked for again
MOST_TIMES = 3  # that a packet is asked for
MOST_REMEMBERED = 4096  # packets that were asked for
QUIET = 0.3  # seconds without packets after which a stream whose end came is over, whatever is missing
AT_ONCE = 64  # packets decoded before it is asked again how far the stream can have come
SPARE = 2 * AT_ONCE * MOST_FRAMES  # frames that may always be missing
ENDED = "end packet"


def is_whole(packet: bytes) -> bool:
    """Whether a packet is one, with the right checksum."""
    try:
        read_packet(packet)
    except DataError:
        return False
    return True


def progress_of(description: Description) -> Progress:
    """Of a stream, in frames, from its first key packet on; no clock is taken to be as fast as a packet may claim."""
    return Progress(description.first_frame, min(max(description.rate, 1.0), MOST_RATE), SPARE)


@dataclass
class Recording:
    """A stream's decoder and file. heard: when its last packet came. end: why the recording is over, or empty. home:
    the sender that it began with. asker: writes requests with tags, where the stream's packets have them.
    """

    number: int
    decoder: Decoder
    recorder: Recorder
    progress: Progress
    sender: Any = None
    asker: Asker | None = None
    heard: float = 0.0
    end: str = ""
    packets: int = 0
    bytes: int = 0
    decode: Latency = field(default_factory=Latency)
    asked: dict[tuple[int, int], tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.sender

    def take(self, packets: Sequence[builtins.bytes], now: float) -> None:
        """Packets of this stream, by their contents."""
        for at in range(0, len(packets), AT_ONCE):
            self._take(packets[at : at + AT_ONCE], now)

    def _take(self, packets: Sequence[builtins.bytes], now: float) -> None:
        damaged = self.decoder.counts.damaged
        self.decoder.latest = self.progress.latest()
        start = time.perf_counter()
        items = self.decoder.push_all(packets)
        took = time.perf_counter() - start
        for packet in packets:
            if self.decoder.counts.damaged == damaged or is_whole(packet):
                self.decode.add(took / len(packets))
                self.heard = now
                self.packets += 1
                self.bytes += len(packet)
        came = sum(item.samples.size for item in items if isinstance(item, Segment))
        self.progress.came(came / self.recorder.layout.channels)
        self.recorder.take(items)

    def reason(self, now: float, idle: float) -> str:
        """Why the recording is over by now, or empty."""
        silence = now - self.heard
        if self.decoder.ended or (self.decoder.ending and silence > QUIET):
            return ENDED
        return f"nothing came for {idle:g} s" if silence > idle else ""

    def close(self, end: str) -> None:
        """Give up waiting, and complete the file; end: why."""
        self.end = ENDED if self.decoder.ending else end
        try:
            self.recorder.take(self.decoder.finish())
        except BaseException:
            self.recorder.abort()
            raise
        self.recorder.close()

    def request(self) -> builtins.bytes | None:
        """A request for what is missing, if it is time for one."""
        now = time.monotonic()
        names: list[tuple[int, int]] = []
        for name in self.decoder.wanted():
            times, last = self.asked.get(name, (0, 0.0))
            if times < MOST_TIMES and now - last >= ASK_AGAIN and len(names) < MOST_ASKED:
                self.asked.pop(name, None)
                self.asked[name] = times + 1, now
                names.append(name)
        while len(self.asked) > MOST_REMEMBERED:
            self.asked.pop(next(iter(self.asked)))
        if not names:
            return None
        return write_request(self.number, names) if self.asker is None else self.asker.write(names)


def facts(stream: Recording) -> dict[str, Any]:
    """What became of one stream, for programs; gaps as [first frame, end frame, first channel, end channel]."""
    recorder = stream.recorder
    gaps = sorted((g.first_frame, g.end_frame, g.first_channel, g.first_channel + g.channels) for g in recorder.gaps)
    raw = recorder.samples * recorder.layout.itemsize
    return {
        "file": str(recorder.path),
        "stream": stream.number,
        "sender": name_of(stream.sender),
        "channels": recorder.layout.channels,
        "rate": recorder.layout.rate,
        "dtype": recorder.layout.dtype,
        "ended": stream.end == ENDED,
        "end": stream.end,
        "first_frame": recorder.first_frame,
        "frames": recorder.frames,
        "samples": recorder.samples,
        "missing_samples": recorder.missing,
        "gaps": gaps,
        "plain_blocks": recorder.plain,
        "received_bytes": stream.bytes,
        "ratio": round(raw / stream.bytes, 4) if stream.bytes else 0.0,
        "packets": {"received": stream.packets} | asdict(stream.decoder.counts),
        "decode_ms": stream.decode.milliseconds(),
    }

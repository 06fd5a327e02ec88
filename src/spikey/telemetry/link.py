"""Telemetry over links: sends a recording as packets at its own rate, and writes received packets to a file."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

from spikey.base.errors import DataError
from spikey.recording.source import Source
from spikey.stream.arrivals import CLOSED, name_of
from spikey.stream.progress import Progress
from spikey.stream.seen import Seen
from spikey.stream.sender import PART, READ_BYTES, Link, Sent
from spikey.telemetry.contents import Missing, PacketContents
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.packet import LAST, MAGIC, NUMBERS, Description, Packet, read_packet, tag_size
from spikey.telemetry.record import LEFT_OUT
from spikey.telemetry.reorder import ReorderBuffer
from spikey.telemetry.verifier import Verifier

HOLD = 64  # packets that wait for a missing one
QUIET = 0.3  # seconds without packets after which a stream with a received end packet is over, despite missing packets
SURE = NUMBERS // 4  # length in packets of a silence after which only a key packet gives the next number
NOBODY = object()
MOST_CANDIDATES = 64  # senders from which one key packet arrived
MOST_LINES = 20  # of log about ignored packets
ENDED = "end packet"
COUNTED = ("written", "late", "damaged", "early", "foreign", "refused", "unauthenticated")  # of a receiver


def send(
    source: Source,
    encoder: TelemetryEncoder,
    link: Link,
    *,
    speed: float,
    stop: threading.Event,
    watch: Callable[[Sent], None],
) -> Sent:
    """Send a recording as telemetry, each packet when its frames are over, and the end packet.

    speed: multiple of the recording's rate; 0 for as fast as possible. stop: ends sending early. watch: called after
    each packet's frames. If the encoder is slower than this, the link falls behind.
    """
    report, step = link.report, encoder.shape.frames
    pace, start = speed * source.layout.rate, time.perf_counter()
    once = max(READ_BYTES // source.layout.frame_bytes // step, 1) * step
    for at in range(0, source.frames, once):
        samples = source.read(at, min(once, source.frames - at))
        for begin in range(0, len(samples), step):
            part = samples[begin : begin + step]
            due = start + (at + begin + len(part)) / pace if pace else 0.0
            while (left := due - time.perf_counter()) > 0 and not stop.wait(min(left, PART)):
                pass
            if stop.is_set():
                break
            handed = time.perf_counter()
            packets = encoder.push(part)
            report.encode.add(time.perf_counter() - handed)
            report.frames += len(part)
            report.original += part.nbytes
            link.send(packets)
            watch(report)
        if stop.is_set():
            break
    link.finish(encoder.close(), time.sleep)
    return report


class Receiver:
    """Writes the packets of one stream to a file, in order, and counts their contents.

    It waits for a key packet and a second packet of the same sender, so that one stray key packet does not block the
    stream. Then it accepts packets from that sender, and from the sender of the stream's latest key packet. Others are
    counted: `foreign` packets of other senders, `damaged` ones, `late` ones that were repeated or arrived after a later
    one was written, `refused` key packets that are further ahead than the clock allows, `early` ones before the key
    packet. stream: the only one to accept; None for the first. log: is called with a line of text.

    key: the sender's. With it, packets with a valid tag are accepted from any sender, and no others; `unauthenticated`
    counts the rest, and packets with a tag if there is no key. tag_bytes: as of `TelemetryDecoder`. seen: streams that
    are refused because they were received before.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        stream: int | None = None,
        log: Callable[[str], None] = lambda line: None,
        key: bytes | None = None,
        tag_bytes: int | None = None,
        seen: Seen | None = None,
    ):
        self.unauthenticated = 0
        self._verifier = Verifier(key, tag_bytes)
        self._seen = Seen(None, "telemetry") if seen is None else seen
        self._strangers: set[int] = set()  # sizes of tags of packets that were noted
        self.foreign = self.damaged = self.late = self.early = self.refused = self.written = 0
        self.decoder = TelemetryDecoder(key, tag_bytes=tag_bytes)
        self.bytes = file.write(MAGIC)
        self.events = self.weak = self.waves = self.last_frame = self.latest = 0  # latest: frames
        self.left_out = dict.fromkeys(LEFT_OUT, 0)
        self.missing: list[tuple[int, int]] = []
        self.closed = False  # whether the sender's connection was closed
        self.end = ""  # reason why the recording ended
        self._file, self._only, self._log = file, stream, log
        self._lines = 0
        self._reorder: ReorderBuffer[bytes] = ReorderBuffer(HOLD)
        self._waiting: deque[tuple[Packet, bytes, Any]] = deque(maxlen=HOLD)  # for the first key packet
        self._keys: OrderedDict[Any, tuple[Packet, bytes]] = OrderedDict()  # by sender, until one begins the stream
        self._sender: Any = NOBODY  # of packets other than key packets, which do not identify their stream
        self._home: Any = NOBODY  # and the first sender of the stream, so that a copied key packet does not silence it
        self._ending = False
        self._heard = 0.0
        self._progress = Progress(0, 0.0, 0)  # in packets

    @property
    def description(self) -> Description | None:
        """Description of the stream, once a key packet has arrived."""
        return self.decoder.description

    @property
    def done(self) -> bool:
        """Whether the stream is over."""
        return self.decoder.ended is not None or (self._ending and time.monotonic() - self._heard > QUIET)

    def take(self, arrived: Sequence[tuple[bytes, Any]]) -> None:
        """Take arrived packets, valid or not, each with its sender."""
        for data, sender in arrived:
            if data == CLOSED:
                self.closed |= sender == self._sender
                continue
            try:
                packet = read_packet(data)
            except DataError:
                self.damaged += 1
                continue
            if self._belongs(packet, data, sender):
                self._put(packet, data)
        self._write(everything=False)

    def finish(self, end: str = "the receiver was ended") -> None:
        """End the recording; end: the reason, if the stream has not ended."""
        self._write(everything=True)
        self._count(self.decoder.finish())
        self.end = end if self.decoder.ended is None else ENDED

    def _belongs(self, packet: Packet, data: bytes, sender: Any) -> bool:
        """Whether a packet is of this stream: key packets identify it, for others the sender decides."""
        now, key, described = time.monotonic(), packet.description, self.description
        if self._verifier.key is not None or tag_size(data):
            return self._is_authentic(packet, data, sender)
        if described is None:
            self._meet(packet, data, sender)
            return False
        silence = (now - self._heard) * described.rate / described.shape.frames  # packets
        if silence > SURE:
            self._sender = self._home = NOBODY
        if key is not None and key.stream == described.stream and key.packet > self._progress.latest():
            self.refused += 1
            return False
        if key is not None and key.stream == described.stream:
            self._sender = sender
            self._home = sender if self._home is NOBODY else self._home
        elif key is not None:  # that sender has begun another stream
            self._sender, self._home = (NOBODY if sender == each else each for each in (self._sender, self._home))
        mine = sender in (self._sender, self._home) and (key is None or key.stream == described.stream)
        if mine:
            self._heard = now
        else:
            self.foreign += 1
            if key is not None:
                self._note(f"stream {key.stream} from {name_of(sender)}, as another is received")
        return mine

    def _is_authentic(self, packet: Packet, data: bytes, sender: Any) -> bool:
        """Whether a packet is of this stream by its tag; the first authentic key packet begins it."""
        key, described = packet.description, self.description
        if described is None and key is None and self._verifier.key is not None and tag_size(data):
            self.early += 1
            self._waiting.append((packet, data, sender))
            return False
        number = self._reorder.number(packet)
        if not self._verifier.takes(packet, data, number):
            self._strange(packet, data, sender)
            return False
        if described is not None:
            if number >= self._reorder.next:  # a replay does not show that the sender is active
                self._sender, self._heard = sender, time.monotonic()
            return True
        assert key is not None
        again = key.stream in self._seen
        if again or self._only not in (None, key.stream):
            self.foreign += 1
            why = "which was received before" if again else "which is not the one asked for"
            self._note(f"stream {key.stream} from {name_of(sender)}, {why}")
            self._verifier.begin_anew()
            return False
        self._seen.add(key.stream)
        self._begin(packet, data, sender)
        return False

    def _strange(self, packet: Packet, data: bytes, sender: Any) -> None:
        """Count a packet without a valid tag of the key, or with a tag if there is no key."""
        self.unauthenticated += 1
        if tag_size(data) in self._strangers or packet.description is None:
            return
        self._strangers.add(tag_size(data))
        where = f"stream {packet.description.stream} from {name_of(sender)}"
        if self._verifier.key is None:
            self._note(f"{where}, which is authenticated: give its key with --key-file")
        elif not tag_size(data):
            self._note(f"{where}, whose packets have no tags")
        else:
            self._note(f"{where}, whose tags are too short, or not of this key")

    def _meet(self, packet: Packet, data: bytes, sender: Any) -> None:
        """Take a packet before a stream is chosen: a first key packet, or a second packet that confirms one."""
        key = packet.description
        if key is not None and self._only not in (None, key.stream):
            self.foreign += 1
            self._note(f"stream {key.stream} from {name_of(sender)}, which is not the one asked for")
            return
        first = self._keys.get(sender)
        if key is not None and (first is None or not _follows(first[0], key)):
            self._keys[sender] = first = packet, data
            self._keys.move_to_end(sender)
            if len(self._keys) > MOST_CANDIDATES:
                self._keys.popitem(last=False)
                self.foreign += 1
            if sender is not None and not packet.flags & LAST:  # a pipe has one sender
                return
            packet = first[0]
        elif first is None:
            self.early += 1
            self._waiting.append((packet, data, sender))
            return
        assert first is not None
        del self._keys[sender]
        self.foreign += len(self._keys)
        self._keys.clear()
        self._begin(*first, sender)
        if packet is not first[0]:
            self._put(packet, data)

    def _begin(self, key: Packet, data: bytes, sender: Any) -> None:
        """Begin at a key packet, with the later packets that arrived before it."""
        assert key.description is not None
        self._reorder = ReorderBuffer(HOLD, key.description.packet)
        self._sender = self._home = sender
        self._heard = time.monotonic()
        shape = key.description.shape
        self._progress = Progress(key.description.packet, shape.rate / shape.frames, HOLD)
        self._put(key, data)
        for packet, early, who in self._waiting:
            number = self._reorder.number(packet)
            mine = who == sender if self._verifier.key is None else self._verifier.takes(packet, early, number)
            if mine and number > key.description.packet:
                self.early -= 1
                self._put(packet, early)
        self._waiting.clear()
        self._write(everything=False)

    def _note(self, what: str) -> None:
        """Log an ignored packet, up to a number of lines."""
        self._lines += 1
        if self._lines <= MOST_LINES:
            more = "; further lines of this kind are left out" if self._lines == MOST_LINES else ""
            self._log(f"ignored: {what}{more}")

    def _put(self, packet: Packet, data: bytes) -> None:
        last = bool(packet.flags & LAST)
        if not self.done and self._reorder.put(self._reorder.number(packet), data):
            self._ending |= last
            self._progress.came(1)
        elif not last:  # the last packet is sent several times
            self.late += 1

    def _write(self, *, everything: bool) -> None:
        """Write and decode the packets that are in order."""
        for _, data in self._reorder.take(everything=everything):
            if self.decoder.ended is not None:
                return
            self.bytes += self._file.write(data)
            self.written += 1
            self._count(self.decoder.push(data))

    def _count(self, items: list[PacketContents | Missing]) -> None:
        for item in items:
            self.last_frame, self.latest = item.end_frame, item.end_frame - item.first_frame
            if isinstance(item, PacketContents):
                self.events += len(item.event_frames)
                self.weak += item.weak
                self.waves += len(item.waves)
                for name in LEFT_OUT:
                    self.left_out[name] += getattr(item, name)
            elif item.first_frame == item.end_frame:
                continue
            elif self.missing and self.missing[-1][1] == item.first_frame:
                self.missing[-1] = self.missing[-1][0], item.end_frame
            else:
                self.missing.append((item.first_frame, item.end_frame))


def _follows(first: Packet, key: Description) -> bool:
    """Whether a key packet is of the same stream as an earlier one."""
    return first.description is not None and first.description.stream == key.stream


def facts(receiver: Receiver) -> dict[str, Any]:
    """Summary of a received stream, for JSON; DataError if none arrived. missing: [first frame, end frame].

    bits_per_second: of the received packets, over the time that they cover.
    """
    described, counts = receiver.description, receiver.decoder.counts
    if described is None:
        raise DataError("no telemetry key packet arrived")
    shape = described.shape
    heard = receiver.written * shape.frames
    if receiver.decoder.ended is not None:
        heard += receiver.latest - shape.frames  # the last packet may cover fewer frames, or none
    missing = sum(end - first for first, end in receiver.missing)
    return {
        "lossy": True,
        "stream": described.stream,
        "channels": described.channels,
        "rate": described.rate,
        "budget_bits_per_second": described.settings.budget,
        "frames": receiver.last_frame,
        "seconds": receiver.last_frame / described.rate,
        "complete": receiver.decoder.ended is not None,
        "end": receiver.end,
        "bytes": receiver.bytes,
        "bits_per_second": 8 * (receiver.bytes - len(MAGIC)) * described.rate / heard if heard > 0 else None,
        "events": receiver.events,
        "weak_events": receiver.weak,
        "waveforms": receiver.waves,
        "left_out": dict(receiver.left_out),
        "missing_frames": missing,
        "missing": receiver.missing,
        "packets": asdict(counts) | {name: getattr(receiver, name) for name in COUNTED},
    }

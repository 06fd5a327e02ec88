"""Separates the packets of several streams and records each; requests missing packets if possible.

Anyone who can reach the port can send anything. The cost is bounded: a stream is recorded only once a second packet
of it has come from the same sender, so many at a time, and a silent one is replaced by another. With a key, nothing
counts but packets that it authenticates, whatever their address.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from spikey.base.errors import DataError, SpikeyError
from spikey.stream.arrivals import CLOSED, name_of
from spikey.stream.authentic_requests import Asker
from spikey.stream.authentication import REQUESTS, STREAM, Authenticator
from spikey.stream.decoder import Decoder
from spikey.stream.packet import PARITY, Packet, read_packet, tag_size
from spikey.stream.recorder import Recorder
from spikey.stream.recording import ENDED, Recording, is_whole, progress_of
from spikey.stream.seen import Seen
from spikey.stream.verifier import Verifier, stated_number

MOST_STREAMS = 8  # recorded at a time
MOST_FILES = 100  # of one receiver
MOST_CANDIDATES = 64  # streams of which one packet has come
SILENT = 1.0  # seconds without packets after which a stream gives its place, or its sender's, to another
MOST_LINES = 20  # about unknown senders
LONGEST_STEP = 0.5  # seconds between two looks at the clock that count as silence; over that, this process stood still
ASK_EVERY = 0.002  # seconds between two requests


class Receiver:
    """Records streams: the first as `out`, others beside it, as out-2 and so on; each ends with its own end packet.

    jobs: threads. idle: seconds of silence after which a stream is over without one. stream: the only one to record;
    None for all. log: takes a line for a person. key, tag_bytes: as of `Decoder`. seen: streams never accepted again.

    `foreign` counts packets of streams that are not recorded, `damaged` those that belong to none, `late` those of
    streams that are over, `unauthenticated` those of no stream that is recorded which have no tag of the key, or have a
    tag where there is no key. A context manager: files are complete when their stream is over, or when it is left
    without an error.
    """

    def __init__(
        self,
        out: Path,
        *,
        jobs: int = 1,
        idle: float = float("inf"),
        stream: int | None = None,
        log: Callable[[str], None] = lambda line: None,
        overwrite: bool = False,
        key: bytes | None = None,
        tag_bytes: int | None = None,
        seen: Seen | None = None,
    ):
        self.out, self.damaged, self.late, self.requests = out, 0, 0, 0
        self.unauthenticated = 0
        self._verifier = Verifier(key, tag_bytes)
        self._decoding: dict[str, Any] = {"key": key, "tag_bytes": tag_bytes}
        self._seen = Seen(None, "stream") if seen is None else seen
        self.streams: list[Recording] = []
        self._jobs, self._idle, self._only, self._log, self._overwrite = jobs, idle, stream, log, overwrite
        self._open: dict[int, Recording] = {}
        self._foreign = self._lines = 0
        self._candidates: OrderedDict[tuple[int, Any], bytes] = OrderedDict()
        self._refused: OrderedDict[int, None] = OrderedDict()  # streams that cannot be recorded
        self._strangers: OrderedDict[tuple[int, int], None] = OrderedDict()  # streams and sizes of tags that were noted
        self._asked = 0.0
        self._now, self._looked = 0.0, time.monotonic()

    @property
    def foreign(self) -> int:
        """Packets of streams that are not recorded."""
        return self._foreign + len(self._candidates)

    def take(self, arrived: Sequence[tuple[bytes, Any]]) -> None:
        """Packets, whatever they are, each with who sent it; none, to see which streams are over."""
        now = time.monotonic()
        self._now += min(now - self._looked, LONGEST_STEP)
        self._looked = now
        by_stream: dict[int, list[bytes]] = {}
        closed = []
        for packet, sender in arrived:
            if packet == CLOSED:
                closed.append(sender)
                continue
            number = int.from_bytes(packet[1:5], "little")
            by_stream.setdefault(number, []).extend(self._belonging(number, packet, sender))
        for number, packets in by_stream.items():
            if packets and number in self._open:
                self._open[number].take(packets, self._now)
        for stream in list(self._open.values()):
            left = "its connection was closed" if stream.sender in closed else ""
            self._close(stream, stream.reason(self._now, self._idle) or left)

    def _belonging(self, number: int, packet: bytes, sender: Any) -> list[bytes]:
        """The packets of streams that are recorded which one that arrives adds: itself, or none, or also the first."""
        stream = self._open.get(number)
        if stream is None:
            return self._meet(packet, sender)
        if self._verifier.key is not None or tag_size(packet):
            if not stream.decoder.admit(packet):
                return []
            stream.sender = sender  # it has the key, wherever it is
        elif sender != stream.sender:
            back = sender == stream.home  # a stream that replaced it while it was silent gives its place back
            if not (back or self._now - stream.heard >= SILENT) or not is_whole(packet):
                self._foreign += 1
                self._note(f"packets of stream {number} from {name_of(sender)}, which is not its sender")
                return []
            stream.sender = sender
        return [packet]

    def _meet(self, packet: bytes, sender: Any) -> list[bytes]:
        """A packet of a stream that is not recorded: it may be the first or the second one."""
        try:
            opened = read_packet(packet)
        except DataError:
            self.damaged += 1
            return []
        number = opened.stream
        if not self._verifier.takes(opened, packet, stated_number(opened)):
            self._strange(opened, packet, sender)
            return []
        known = self._verifier.key is not None  # then a stream that is over is a replay
        if any(stream.number == number and (known or stream.end == ENDED) for stream in self.streams):
            self.late += 1  # an end packet is sent several times
            return []
        if number in self._seen:
            self.late += 1
            self._refuse(number, f"stream {number} from {name_of(sender)}, which was received before")
            return []
        if number in self._refused:
            self._foreign += 1
            return []
        if self._only not in (None, number):
            self._foreign += 1
            self._refuse(number, f"stream {number} from {name_of(sender)}, which is not the one asked for")
            return []
        first = self._candidates.get((number, sender))
        if first is None and (opened.description is None or opened.flags & PARITY):
            self._foreign += 1
            return []
        if first is None and sender is not None and self._verifier.key is None:  # a pipe has one sender
            self._candidates[number, sender] = packet
            if len(self._candidates) > MOST_CANDIDATES:
                self._candidates.popitem(last=False)
                self._foreign += 1
            return []
        if first == packet:
            return []
        begun = self._begin(opened if first is None else read_packet(first), tag_size(packet), sender)
        self._candidates.pop((number, sender), None)
        packets = [packet] if first is None else [first, packet]
        if not begun:
            self._foreign += len(packets)
        return packets if begun else []

    def _begin(self, key: Packet, size: int, sender: Any) -> bool:
        """Begin to record a stream whose tags have so many bytes, if there is a place."""
        assert key.description is not None
        if len(self._open) == MOST_STREAMS:
            quietest = min(self._open.values(), key=lambda stream: stream.heard)
            if self._now - quietest.heard >= SILENT:
                self._close(quietest, "it was silent, and its place was needed")
        if len(self._open) == MOST_STREAMS or len(self.streams) == MOST_FILES:
            self._note(f"stream {key.stream} from {name_of(sender)}: too many others are recorded")
            return False
        try:
            overwrite = self._overwrite and not self.streams
            recorder = Recorder(self._path(), key.description, jobs=self._jobs, overwrite=overwrite)
            recorder.open()
            if self._verifier.key is not None:
                self._note_seen(recorder, key.stream)
        except SpikeyError as error:
            if not self.streams and not isinstance(error, DataError):
                raise  # the output cannot be written
            self._refuse(key.stream, f"stream {key.stream} from {name_of(sender)}: {error}")
            return False
        decoder, own = Decoder(key.stream, **self._decoding), self._verifier.key
        requests = None if own is None else Authenticator(own, STREAM, key.stream, size, REQUESTS)
        asker = None if requests is None else Asker(key.stream, requests)
        stream = Recording(key.stream, decoder, recorder, progress_of(key.description), sender, asker, self._now)
        self.streams.append(stream)
        self._open[stream.number] = stream
        return True

    def _note_seen(self, recorder: Recorder, number: int) -> None:
        """Note that a stream is received, or leave no file of it."""
        try:
            self._seen.add(number)
        except SpikeyError:
            recorder.abort()
            raise

    def _path(self) -> Path:
        """The first is `out` itself; the others must not replace anything."""
        if not self.streams:
            return self.out
        used = {Path(stream.recorder.path) for stream in self.streams}
        numbers = range(2, 2 + MOST_FILES + len(used) + len(list(self.out.parent.glob("*"))))
        paths = (self.out.with_name(f"{self.out.stem}-{number}{self.out.suffix}") for number in numbers)
        return next(path for path in paths if path not in used and not path.exists())

    def _strange(self, packet: Packet, data: bytes, sender: Any) -> None:
        """Count a packet that has no tag of the key, or a tag where there is no key."""
        self.unauthenticated += 1
        if (packet.stream, tag_size(data)) in self._strangers:
            return
        self._strangers[packet.stream, tag_size(data)] = None
        while len(self._strangers) > MOST_CANDIDATES:
            self._strangers.popitem(last=False)
        where = f"stream {packet.stream} from {name_of(sender)}"
        if self._verifier.key is None:
            self._note(f"{where}, which is authenticated: give its key with --key-file")
        elif not tag_size(data):
            self._note(f"{where}, whose packets have no tags")
        elif packet.description is not None:
            self._note(f"{where}, whose tags are too short, or not of this key")

    def _refuse(self, number: int, why: str) -> None:
        """Note a stream that cannot be recorded, so that its further packets cost nothing."""
        if number in self._refused:
            return
        self._refused[number] = None
        while len(self._refused) > MOST_CANDIDATES:
            self._refused.popitem(last=False)
        self._note(why)

    def _note(self, what: str) -> None:
        """Log what is ignored, while there are not too many lines."""
        self._lines += 1
        if self._lines <= MOST_LINES:
            more = "; further lines of this kind are left out" if self._lines == MOST_LINES else ""
            self._log(f"ignored: {what}{more}")

    def _close(self, stream: Recording, end: str) -> None:
        if end:
            del self._open[stream.number]
            stream.close(end)

    @property
    def done(self) -> bool:
        """Whether streams came and all of them are over."""
        return bool(self.streams) and not self._open

    def wanted(self) -> list[tuple[bytes, Any]]:
        """Requests to send now, each with the address of the sender."""
        now = time.monotonic()
        if now - self._asked < ASK_EVERY:
            return []
        found = []
        for stream in self._open.values():
            request = stream.request()
            if request is not None:
                found.append((request, stream.sender))
        if found:
            self._asked = now
            self.requests += len(found)
        return found

    def finish(self, end: str) -> None:
        """Complete all files; `end` is the reason for streams that did not end."""
        for stream in list(self._open.values()):
            self._close(stream, end)
        for number, sender in self._candidates:
            self._note(f"a packet of stream {number} from {name_of(sender)}, of which nothing more came")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: Any) -> None:
        try:
            if failure[0] is None:
                self.finish("the receiver was ended")
        finally:
            for stream in self._open.values():
                stream.recorder.abort()

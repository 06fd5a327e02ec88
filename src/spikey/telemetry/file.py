"""Telemetry files: a magic of four bytes, then the packets of a stream, one after the other; read in pieces."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.recording.opened import Opened, open_data, open_file, read_at
from spikey.telemetry.decoded import Telemetry
from spikey.telemetry.packet import KEY, MAGIC, MOST_BYTES, SHORTEST, Description, packet_length, read_packet
from spikey.telemetry.pieces import lateness, parts
from spikey.telemetry.record import SECONDS, whole_of
from spikey.telemetry.schedule import Schedule
from spikey.telemetry.verifier import FileVerifier, refuse_unreadable

MARKS = re.compile(b"[\\x90-\\xaf]")  # first bytes of packets
MOST_SUMMED = 1 << 33  # bytes over which checksums may fail in the search for an intact packet
PIECE = 4 * MOST_BYTES  # bytes that are read at once, more than any packet has
NEAR = 1 << 20  # bytes in which a key packet is searched for packet by packet

Progress = Callable[[int], None]


def is_telemetry(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a telemetry file, by its first bytes; False if it cannot be read."""
    try:
        file, name, size = open_file(path)
        with file:
            return size >= len(MAGIC) and read_at(file, name, 0, len(MAGIC)) == MAGIC
    except SpikeyError:
        return False


def packets_in(
    data: bytes | Opened,
    what: str,
    offset: int = len(MAGIC),
    progress: Progress | None = None,
    key: bytes | None = None,
) -> Iterator[bytes]:
    """The packets of an opened file, or of a file's bytes, from an offset on; damaged bytes are skipped.

    DataError if it is not a telemetry file. progress: called with numbers of bytes read. key: with which tags are
    verified, from a key packet on; UsageError if packets have tags and there is no key, or the reverse.
    """
    return (packet for _, packet in _located(open_data(data), what, offset, progress, FileVerifier(key)))


def _located(
    file: Opened, what: str, offset: int, progress: Progress | None = None, verifier: FileVerifier | None = None
) -> Iterator[tuple[int, bytes]]:
    """The packets from an offset on, each with its offset; verifier: of their tags, None to skip this."""
    if file.size < len(MAGIC) or read_at(file, what, 0, len(MAGIC)) != MAGIC:
        raise DataError(f"{what}: is not a telemetry file")
    if verifier is not None:
        refuse_unreadable(bytes(read_at(file, what, len(MAGIC), min(1, file.size - len(MAGIC)))), verifier.key, what)
    piece, start, at, summed = b"", offset, offset, 0  # the piece of the file, and where it starts
    while at <= file.size - SHORTEST and summed < MOST_SUMMED:
        if at + SHORTEST > start + len(piece):
            piece, start = _next(file, what, start + len(piece), at, progress), at
        end = at
        try:
            end += packet_length(piece[at - start : at - start + SHORTEST])
            if start + len(piece) < end <= file.size:
                piece, start = _next(file, what, start + len(piece), at, progress), at
            packet = piece[at - start : end - start]
            parsed = read_packet(packet)
            if verifier is not None:
                verifier.check(parsed, packet)
        except DataError:
            summed += min(end, file.size) - at
            found = MARKS.search(piece, at + 1 - start)  # try the next position at which a packet may begin
            at = start + (found.start() if found else len(piece))
            continue
        yield at, packet
        at = end
    if progress is not None:
        progress(file.size - start - len(piece))


def _next(file: Opened, what: str, read: int, at: int, progress: Progress | None) -> bytes:
    """The piece of a file from an offset on; read: the end of what was read before."""
    piece = bytes(read_at(file, what, at, min(PIECE, file.size - at)))
    if progress is not None:
        progress(at + len(piece) - read)
    return piece


def read_telemetry(
    path: str | os.PathLike[str], start: float = 0.0, end: float | None = None, *, key: bytes | None = None
) -> Telemetry:
    """Decode a telemetry file, or one at an address, or a part of it.

    The file is read and decoded in pieces, so memory use is little more than the returned arrays.

    Parameters
    ----------
    path : path
        A telemetry file, or the address of one.
    start, end : float
        Span to decode, in seconds of the stream; without `end`, to its end. Decoding begins a few seconds before
        `start`, at a key packet.
    key : bytes, optional
        Of an authenticated file, as `spikey.read_key` reads it.

    Returns
    -------
    Telemetry
        Missing frames are in `missing`, damaged packets in `counts`. Near the ends of a part, `signal` lacks the data
        beyond them, unlike in the parts of `iter_telemetry`.

    Raises
    ------
    DataError
        It is not a telemetry file, contains no key packet, or claims more frames than its bytes can encode.
    UsageError
        `start` and `end` are not a span of time.
    """
    _check_span(start, end)
    file, name, size = open_file(path)
    with file:
        return whole_of(_parts(file, name, SECONDS, start, end, key=key), size, name)


def iter_telemetry(
    path: str | os.PathLike[str],
    seconds: float = SECONDS,
    start: float = 0.0,
    end: float | None = None,
    progress: Progress | None = None,
    *,
    key: bytes | None = None,
) -> Iterator[Telemetry]:
    """Decode a telemetry file, or one at an address, into consecutive parts, in memory for one part.

    The concatenated parts equal what `read_telemetry` returns.

    Parameters
    ----------
    path : path
        A telemetry file, or the address of one.
    seconds : float
        Length of each part; the last one may be shorter. A longer span without any data is one part, whose `power` and
        `low` have no rows: its `blank` is True.
    start, end : float
        Span to decode, in seconds of the stream; without `end`, to its end. Decoding begins a few seconds before
        `start`, at a key packet.
    progress : callable, optional
        Called with numbers of bytes read.
    key : bytes, optional
        Of an authenticated file, as `spikey.read_key` reads it.

    Yields
    ------
    Telemetry
        A part, from its `first_frame` to its `end_frame`; all frames count from the stream's first.

    Raises
    ------
    DataError
        It is not a telemetry file, or contains no key packet.
    UsageError
        `seconds` is not a length, or `start` and `end` are not a span of time.
    """
    if not 0 < seconds < float("inf"):
        raise UsageError(f"parts of a telemetry file must last more than 0 s, not {seconds:g}")
    _check_span(start, end)
    file, name, _ = open_file(path)

    def opened() -> Iterator[Telemetry]:
        with file:
            yield from _parts(file, name, seconds, start, end, progress, key)

    return opened()


def _check_span(start: float, end: float | None) -> None:
    if not 0 <= start < (float("inf") if end is None else end):
        until = "on" if end is None else f"to {end:g}"
        raise UsageError(f"a part of a telemetry stream must be a span of seconds, not from {start:g} {until}")


def _parts(
    file: Opened,
    name: str,
    seconds: float,
    start: float,
    end: float | None,
    progress: Progress | None = None,
    key: bytes | None = None,
) -> Iterator[Telemetry]:
    """The parts of an opened file; decoding begins at the key packet that `start` needs."""
    offset = len(MAGIC)
    if start > 0:
        offset = _offset_for(file, name, start)
        if progress is not None:
            progress(offset)
    return parts(packets_in(file, name, offset, progress, key), seconds, name, start, end, key)


def _offset_for(file: Opened, name: str, start: float) -> int:
    """The offset at which decoding must begin so that everything from a second `start` on is complete.

    This is one epoch before that second's own: the profile of an epoch is in the packets of the epoch before.
    """
    first = next(_keys(file, name, len(MAGIC), file.size), None)
    if first is None:
        return len(MAGIC)
    offset, description = first
    shape = description.shape
    turns = Schedule(shape)
    packet = int(max(min(start * shape.rate, 1 << 62) - lateness(shape), 0)) // shape.frames
    packet = turns.epoch(max(turns.epoch(packet)[1] - 1, 0))[1]
    if packet <= description.packet:
        return len(MAGIC)
    # The key packet is between these two offsets; key packets are ordered by number.
    end = file.size
    while end - offset > NEAR:
        middle = (offset + end) // 2
        found = next(_keys(file, name, middle, end, description.stream), None)
        if found is None or found[1].packet > packet:
            end = middle
        else:
            offset = found[0]
    for at, key in _keys(file, name, offset, file.size, description.stream):
        if key.packet > packet:
            break
        offset = at
    return offset


def _keys(
    file: Opened, name: str, offset: int, end: int, stream: int | None = None
) -> Iterator[tuple[int, Description]]:
    """Key packets between two offsets, each with its offset; stream: of this one only."""
    for at, packet in _located(file, name, offset):
        if at >= end:
            return
        if packet[0] & KEY:
            key = read_packet(packet).description
            if key is not None and stream in (None, key.stream):
                yield at, key

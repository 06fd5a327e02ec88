"""Transports of packets: as datagrams, over a TCP connection, through a pipe. Buffers are bounded, losses counted.

On a connection or a pipe each packet comes after its length, 4 bytes.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import zlib
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from spikey.base.errors import DataError, UsageError

LENGTH = struct.Struct("<I")
LARGEST = 1 << 20  # bytes of a packet
LARGEST_DATAGRAM = 65_507
SOCKET_BYTES = 4 << 20  # of the system's own buffer of what is sent
REQUEST = b"SPKN"  # begins a request for packets to be sent again
REQUEST_HEAD = struct.Struct("<4sIB")  # magic, stream, how many
NAME = struct.Struct("<BI")  # group and number
MOST_ASKED = 64  # packets of one request


class Address(NamedTuple):
    """kind: udp, tcp or pipe."""

    kind: str
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return "-" if self.kind == "pipe" else f"{self.kind}://{self.host}:{self.port}"


def parse(text: str) -> Address:
    """An address as a person writes it; UsageError where it is none.

    >>> parse("udp://127.0.0.1:9000"), parse("-").kind
    (Address(kind='udp', host='127.0.0.1', port=9000), 'pipe')
    """
    if text == "-":
        return Address("pipe")
    try:
        parts = urlsplit(text)
        if parts.scheme in ("udp", "tcp") and parts.hostname and parts.port is not None and not parts.path.strip("/"):
            return Address(parts.scheme, parts.hostname, parts.port)
    except ValueError:
        pass
    raise UsageError(f"{text}: is not an address; give udp://host:port, tcp://host:port or - for a pipe")


class Buffer:
    """A queue between two threads that holds at most `limit` bytes, or one item."""

    def __init__(self, limit: int):
        self.limit, self.held, self.most = limit, 0, 0  # bytes
        self._items: deque[tuple[Any, int]] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self.closed = False

    def put(self, item: Any, size: int, *, wait: bool) -> bool:
        """Whether there was room for an item of `size` bytes; with `wait`, there always is unless it was closed."""
        with self._changed:
            while self._items and self.held + size > self.limit and not self.closed:
                if not wait:
                    return False
                self._changed.wait()
            if self.closed:
                return False
            self._items.append((item, size))
            self.held += size
            self.most = max(self.most, self.held)
            self._changed.notify_all()
            return True

    def take(self, timeout: float, most: int = 1 << 30) -> list[Any]:
        """What there is, at most so many items; empty after `timeout` seconds, or at the end."""
        with self._changed:
            if not self._items and not self.closed:
                self._changed.wait(timeout)
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self.held -= sum(size for _, size in taken)
            self._changed.notify_all()
            if not taken and self._error is not None:
                raise self._error
            return [item for item, _ in taken]

    def close(self, error: BaseException | None = None) -> None:
        """Nothing comes any more; `error` is raised by `take` after the last item."""
        with self._changed:
            self.closed = True
            self._error = self._error or error
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Whether all has been taken and nothing will come."""
        with self._changed:
            return self.closed and not self._items and self._error is None


def write_request(stream: int, names: list[tuple[int, int]]) -> bytes:
    """The datagram that asks for packets, by group and number, to be sent again."""
    data = REQUEST_HEAD.pack(REQUEST, stream, len(names)) + b"".join(NAME.pack(*name) for name in names)
    return data + LENGTH.pack(zlib.crc32(data))


def read_request(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Stream and packets that are asked for; DataError for anything else.

    >>> read_request(write_request(7, [(0, 1), (2, 3)]))
    (7, [(0, 1), (2, 3)])
    """
    body, check = data[: -LENGTH.size], data[-LENGTH.size :]
    if len(body) < REQUEST_HEAD.size or check != LENGTH.pack(zlib.crc32(body)):
        raise DataError("a request is damaged")
    magic, stream, count = REQUEST_HEAD.unpack_from(body)
    if magic != REQUEST or count > MOST_ASKED or len(body) != REQUEST_HEAD.size + count * NAME.size:
        raise DataError("a request is malformed")
    return stream, [NAME.unpack_from(body, REQUEST_HEAD.size + i * NAME.size) for i in range(count)]


class DatagramSink:
    """Sends packets as datagrams. `refused` counts those that the system or the other end would not take."""

    def __init__(self, address: Address):
        self._socket, self.refused = open_socket(address, socket.SOCK_DGRAM), 0
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        self._socket.connect(resolved(address, socket.SOCK_DGRAM))

    def send(self, packets: list[bytes]) -> None:
        """Send packets, one datagram each."""
        for packet in packets:
            try:
                self._socket.send(packet)
            except OSError:  # nobody listens yet, or there is no way there
                self.refused += 1

    def requests(self) -> list[bytes]:
        """Datagrams from the receiver, at most 16; does not wait."""
        found: list[bytes] = []
        with suppress(OSError):
            while len(found) < 16:
                found.append(self._socket.recv(1 << 16, socket.MSG_DONTWAIT))
        return found

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class FramedSink:
    """Sends packets over a TCP connection or to standard output; waits for the reader."""

    refused = 0

    def __init__(self, address: Address):
        self._name, self._socket = str(address), None
        if address.kind == "tcp":
            self._socket = open_socket(address, socket.SOCK_STREAM)
            try:
                self._socket.connect(resolved(address, socket.SOCK_STREAM))
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                self._socket.close()
                raise UsageError(f"{address}: cannot be reached ({error.strerror or error})") from None

    def send(self, packets: list[bytes]) -> None:
        """Send packets, each after its length; DataError where the connection is lost."""
        data = b"".join(LENGTH.pack(len(packet)) + packet for packet in packets)
        if self._socket is None:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise DataError(f"{self._name}: the connection is lost ({error.strerror or error})") from None

    def requests(self) -> list[bytes]:
        """Nothing: what is sent arrives."""
        return []

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()


Sink = DatagramSink | FramedSink


def open_sink(address: Address) -> Sink:
    """Where packets go; UsageError where it cannot be reached."""
    return DatagramSink(address) if address.kind == "udp" else FramedSink(address)


def resolved(address: Address, kind: int) -> Any:
    """An address as sockets take it; UsageError where its host is unknown."""
    return _lookup(address, kind)[4]


def open_socket(address: Address, kind: int) -> socket.socket:
    """A socket of the address's family."""
    return socket.socket(_lookup(address, kind)[0], kind)


def _lookup(address: Address, kind: int) -> Any:
    try:
        return socket.getaddrinfo(address.host, address.port, type=kind)[0]
    except OSError as error:
        raise UsageError(f"{address}: cannot be resolved ({error.strerror or error})") from None

"""Packets that arrive: datagrams, connections, a pipe; read by a thread of its own into a bounded buffer."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from spikey.base.errors import UsageError
from spikey.stream import receive_buffer
from spikey.stream.packet import MARKS, OVERHEAD
from spikey.stream.transport import LARGEST, LENGTH, Address, Buffer, open_socket, resolved

BUFFER_BYTES = 32 << 20  # of packets that were received and not yet decoded
POLL = 0.1  # seconds after which a thread looks whether it is to end
MOST_CONNECTIONS = 16  # at once; the one that has been silent longest gives way to a new one
ONCE = 1 << 16  # bytes read at once
CLOSED = b""  # stands for a packet where a sender's connection has ended


class Peer(NamedTuple):
    """Who may send: one of the hosts, from any port where that is 0."""

    hosts: frozenset[str]
    port: int

    def admits(self, sender: Any) -> bool:
        """Whether a sender, as sockets name it, is the one."""
        return sender[0].split("%")[0] in self.hosts and self.port in (0, sender[1])


def peer(text: str) -> Peer:
    """Who may send, as a person writes it: host or host:port, [host]:port for IPv6; UsageError where it is unknown.

    >>> peer("127.0.0.1:9000")
    Peer(hosts=frozenset({'127.0.0.1'}), port=9000)
    """
    try:
        parts = urlsplit(f"//[{text}]" if text.count(":") > 1 and "[" not in text else f"//{text}")
        host, port = parts.hostname, parts.port or 0
        found = socket.getaddrinfo(host, None) if host and not parts.path else []
    except (OSError, ValueError):
        found = []
    if not found:
        raise UsageError(f"{text}: not the address of a sender; give a host, or host:port")
    return Peer(frozenset(str(each[4][0]).split("%")[0] for each in found), port)


def name_of(sender: Any) -> str:
    """A sender as a person reads it."""
    return "the pipe" if sender is None else f"{sender[0]}:{sender[1]}" if isinstance(sender, tuple) else str(sender)


class Frames:
    """Takes bytes of a connection or a pipe apart into packets, each of which comes after its length."""

    def __init__(self, least: int):
        self._least = least
        self.pending = bytearray()
        self.broken = False  # whether a length was impossible, so that nothing more can be read

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole with further bytes."""
        self.pending += data
        packets, at = [], 0
        while len(self.pending) - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self.pending, at)
            if not self._least <= size <= LARGEST:
                self.broken = True
                break
            if len(self.pending) - at < LENGTH.size + size:
                break
            packets.append(bytes(self.pending[at + LENGTH.size : at + LENGTH.size + size]))
            at += LENGTH.size + size
        del self.pending[:at]
        return packets


@dataclass
class _Connection:
    socket: socket.socket
    sender: Any
    frames: Frames
    heard: float


class Source:
    """Packets that arrive, each with who sent it; a context manager.

    marks, least: the upper halves of packets' first bytes, and the bytes of the shortest packet. only: who may send;
    None for everyone. socket_bytes: of the system's own buffer for datagrams.

    `foreign` counts what is not a packet, `unwanted` what others than `only` sent, `dropped` the packets for which the
    buffer had no room, `dropped_by_system` those for which the system had none (None where it does not report
    that); `granted` is the size of the system's buffer. Of a connection or a pipe nothing is dropped: the sender waits.
    """

    def __init__(
        self,
        address: Address,
        *,
        marks: Collection[int] = MARKS,
        least: int = OVERHEAD,
        only: Peer | None = None,
        socket_bytes: int = receive_buffer.bytes_for(receive_buffer.SECONDS, receive_buffer.MEGABITS),
    ):
        self.address, self.wanted = address, socket_bytes
        self._marks, self._least, self._only = marks, least, only
        self.foreign = self.unwanted = self.dropped = self.granted = 0
        self.buffer = Buffer(BUFFER_BYTES)
        self._ending = threading.Event()
        self._socket: socket.socket | None = None
        self._dropped_by_system: int | None = None
        if address.kind == "pipe" and only is not None:
            raise UsageError("a pipe has one sender, which has no address")
        if address.kind != "pipe":
            self._socket = self._listen(address)
            self.address = Address(address.kind, address.host, self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _listen(self, address: Address) -> socket.socket:
        kind = socket.SOCK_DGRAM if address.kind == "udp" else socket.SOCK_STREAM
        own = open_socket(address, kind)
        try:
            if kind == socket.SOCK_STREAM:
                own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                self.granted = receive_buffer.enlarge(own, self.wanted)
            own.bind(resolved(address, kind))
            own.settimeout(POLL)
            if kind == socket.SOCK_STREAM:
                own.listen(MOST_CONNECTIONS)
        except OSError as error:
            own.close()
            raise UsageError(f"{address}: cannot be listened to ({error.strerror or error})") from None
        return own

    def take(self, timeout: float) -> list[tuple[bytes, Any]]:
        """The packets that have arrived, each with the address it came from; `CLOSED` at the end of a connection."""
        return self.buffer.take(timeout)

    def ask(self, request: bytes, sender: Any) -> None:
        """Send a request back; only senders of datagrams read them."""
        if self._socket is not None and self.address.kind == "udp" and sender is not None:
            with suppress(OSError):
                self._socket.sendto(request, sender)

    @property
    def dropped_by_system(self) -> int | None:
        """Datagrams that the system had no room for."""
        self._count_drops()
        return self._dropped_by_system

    def _count_drops(self) -> None:
        if self._socket is not None and self.address.kind == "udp" and self._socket.fileno() >= 0:
            self._dropped_by_system = receive_buffer.dropped(self._socket)

    def _run(self) -> None:
        try:
            if self.address.kind == "udp":
                self._datagrams()
            elif self.address.kind == "tcp":
                self._connections()
            else:
                self._pipe(lambda: os.read(sys.stdin.fileno(), ONCE))
                self.buffer.close()
        except BaseException as error:
            self.buffer.close(error)

    def _admits(self, sender: Any) -> bool:
        admitted = self._only is None or self._only.admits(sender)
        self.unwanted += not admitted
        return admitted

    def _datagrams(self) -> None:
        assert self._socket is not None
        while not self._ending.is_set():
            try:
                data, sender = self._socket.recvfrom(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                if self._ending.is_set():
                    return
                continue  # another host's refusal of a request
            if not self._admits(sender):
                continue
            if len(data) < self._least or data[0] & 0xF0 not in self._marks:
                self.foreign += 1
            elif not self.buffer.put((data, sender), len(data), wait=False):
                self.dropped += 1

    def _connections(self) -> None:
        """Several connections at once, so that one that sends nothing does not block a sender."""
        assert self._socket is not None
        opened: dict[int, _Connection] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)

            def leave(connection: _Connection) -> None:
                del opened[connection.socket.fileno()]
                selector.unregister(connection.socket)
                connection.socket.close()
                self.foreign += bool(connection.frames.pending)
                self.buffer.put((CLOSED, connection.sender), 0, wait=True)

            while not self._ending.is_set():
                for key, _ in selector.select(POLL):
                    connection = opened.get(key.fd)
                    if connection is not None and not self._receive(connection):
                        leave(connection)
                    accepted = self._accept() if key.fileobj is self._socket else None
                    if accepted is None:
                        continue
                    if len(opened) == MOST_CONNECTIONS:
                        leave(min(opened.values(), key=lambda each: each.heard))
                    opened[accepted.socket.fileno()] = accepted
                    selector.register(accepted.socket, selectors.EVENT_READ)
            for connection in opened.values():
                connection.socket.close()

    def _accept(self) -> _Connection | None:
        assert self._socket is not None
        try:
            accepted, sender = self._socket.accept()
        except OSError:
            return None
        if not self._admits(sender):
            accepted.close()
            return None
        accepted.setblocking(False)
        return _Connection(accepted, sender, Frames(self._least), time.monotonic())

    def _receive(self, connection: _Connection) -> bool:
        """Read what a connection has; whether it stays open."""
        try:
            data = connection.socket.recv(ONCE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for packet in connection.frames.feed(data):
            connection.heard = time.monotonic()
            if not self.buffer.put((packet, connection.sender), len(packet), wait=True):
                return False
        return bool(data) and not connection.frames.broken

    def _pipe(self, read: Callable[[], bytes]) -> None:
        """Packets of a pipe, until it ends or what arrives is not packets."""
        frames = Frames(self._least)
        while not self._ending.is_set() and not frames.broken and (data := read()):
            for packet in frames.feed(data):
                if not self.buffer.put((packet, None), len(packet), wait=True):
                    return
        self.foreign += bool(frames.pending)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.buffer.close()
        if self._socket is not None:
            self._thread.join()  # looks at `_ending` often; one that reads a pipe ends with the process
            self._count_drops()
            self._socket.close()

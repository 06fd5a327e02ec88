"""The system's own buffer of a receiving socket: how much it holds, and how many datagrams it had no room for."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

SECONDS = 0.5  # that the buffer holds of a stream
MEGABITS = 200.0  # per second of that stream: 2,000 channels at 20 kHz, or so
FORCE = 33  # Linux's SO_RCVBUFFORCE, which Python does not name: above the system's limit, where that is allowed
TABLES = ("/proc/net/udp", "/proc/net/udp6")  # Linux's lists of sockets
INODE, DROPS = 9, 12  # columns of these


def bytes_for(seconds: float, megabits: float) -> int:
    """Bytes of `seconds` of a stream of `megabits` per second.

    >>> bytes_for(0.5, 200)
    12500000
    """
    return int(min(seconds * megabits * 1e6 / 8, (1 << 30) - 1))


def enlarge(own: socket.socket, wanted: int) -> int:
    """Have the system hold `wanted` bytes for a socket, or as many as it grants; how many it grants."""
    granted = _granted(own)
    for option in ([FORCE] if sys.platform == "linux" else []) + [socket.SO_RCVBUF]:
        if granted < wanted:
            with suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, option, wanted)
            granted = _granted(own)
    return granted


def _granted(own: socket.socket) -> int:
    size = own.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return size // 2 if sys.platform == "linux" else size  # Linux reports twice as much, for its own needs


def dropped(own: socket.socket) -> int | None:
    """Datagrams that the system dropped as a socket's buffer was full; None where the system does not report it."""
    inode = str(os.fstat(own.fileno()).st_ino)
    for table in TABLES:
        with suppress(OSError, ValueError):
            for line in Path(table).read_text().splitlines()[1:]:
                columns = line.split()
                if len(columns) > DROPS and columns[INODE] == inode:
                    return int(columns[DROPS])
    return None

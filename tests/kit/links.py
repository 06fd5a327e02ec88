"""What tests of links share: receivers in threads, a proxy with faults, checks of what was recorded. Loopback only."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from spikey import Encoder
from spikey.base.errors import DataError
from spikey.cli import stream_receive
from spikey.container.reader import Reader
from spikey.files.decompress import decompress_file, verify_file
from spikey.stream.arrivals import Source, peer
from spikey.stream.receiver import Receiver
from spikey.stream.recording import facts
from spikey.stream.transport import Address, parse

HOST = "127.0.0.1"
RATE = 20_000
CHANNELS = 8
PUSH = 20  # frames
FRAMES = 8000
SECONDS = FRAMES / RATE
Faults = Callable[[bytes], list[bytes]]  # what is carried on when a datagram comes


@contextmanager
def receiving(
    address: str, out: Path, repair: bool = False, idle: float = 2.0, only: str | None = None, **options
) -> Iterator[tuple[Address, Receiver]]:
    """A receiver in a thread; leaving waits until all streams are over."""
    receiver, error = Receiver(out, idle=idle, **options), []
    with Source(parse(address), only=None if only is None else peer(only)) as source:

        def run() -> None:
            try:
                with receiver:
                    stream_receive.record(source, receiver, repair, threading.Event(), lambda rows: None)
            except BaseException as caught:
                error.append(caught)

        thread = threading.Thread(target=run)
        thread.start()
        yield source.address, receiver
        thread.join(60)
        assert not thread.is_alive() and not error, error


@contextmanager
def proxy(target: Address, faults: Faults) -> Iterator[str]:
    """An address from which datagrams are carried on to a receiver, after what `faults` makes of each."""
    over = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((HOST, 0))
        own.settimeout(0.05)

        def run() -> None:
            while not over.is_set():
                with suppress(OSError):
                    for datagram in faults(own.recv(1 << 16)):
                        own.sendto(datagram, (HOST, target.port))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"udp://{HOST}:{own.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def lossy(share: float, seed: int = 1) -> Faults:
    """Loses a share of all."""
    chance = random.Random(seed)
    return lambda datagram: [datagram] if chance.random() >= share else []


def bursts(every: float, length: float) -> Faults:
    """Loses all that comes in `length` of `every` so many seconds."""
    start = time.monotonic()
    return lambda datagram: [datagram] if (time.monotonic() - start) % every >= length else []


def reordering(most: int, seed: int = 1) -> Faults:
    """Holds up to `most` datagrams back, each until some later one comes."""
    chance, held = random.Random(seed), []

    def carry(datagram: bytes) -> list[bytes]:
        held.append(datagram)
        out = []
        while len(held) > most or (held and chance.random() < 0.5):
            out.append(held.pop(chance.randrange(len(held))))
        return out

    return carry


def duplicating(share: float, seed: int = 1) -> Faults:
    """Carries a share of all twice, and some a third time later."""
    chance, old = random.Random(seed), []

    def carry(datagram: bytes) -> list[bytes]:
        if chance.random() >= share:
            return [datagram]
        old.append(datagram)
        return [datagram, datagram, chance.choice(old)]

    return carry


def corrupting(share: float, seed: int = 1) -> Faults:
    """Damages a byte of a share of all, or cuts them."""
    chance = random.Random(seed)

    def carry(datagram: bytes) -> list[bytes]:
        if chance.random() >= share:
            return [datagram]
        damaged = bytearray(datagram)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        return [bytes(damaged) if chance.random() < 0.5 else datagram[: chance.randrange(len(datagram))]]

    return carry


def in_turn(*faults: Faults) -> Faults:
    """One kind of fault after another."""

    def carry(datagram: bytes) -> list[bytes]:
        datagrams = [datagram]
        for each in faults:
            datagrams = [out for one in datagrams for out in each(one)]
        return datagrams

    return carry


def check_recording(receiver: Receiver, samples: np.ndarray, index: int = 0) -> dict:
    """What a receiver reports of a stream and what its file holds are the samples, but for the gaps; the report."""
    found = facts(receiver.streams[index])
    path, gaps = Path(found["file"]), [tuple(gap) for gap in found["gaps"]]
    first = found["first_frame"]
    wanted = samples[first : first + found["frames"]]
    assert found["samples"] + found["missing_samples"] == wanted.size
    if gaps:
        check_gaps(path, wanted, gaps)
    else:
        assert verify_file(path).samples == wanted.size
        with Reader(path) as reader:
            assert np.array_equal(reader[:], wanted)
    return found


def assert_whole(receiver: Receiver, samples: np.ndarray) -> None:
    """All samples are in the file, and the stream has ended."""
    found = check_recording(receiver, samples)
    assert found["ended"] and found["frames"] == len(samples) and not found["missing_samples"]


def check_gaps(path: Path, samples: np.ndarray, gaps: list[tuple[int, int, int, int]]) -> None:
    """Reading says that parts are missing; salvaging gives zeros there, and lists exactly them."""
    with pytest.raises(DataError, match="blocks"):
        Reader(path)
    outcome, lost = decompress_file(path, path.with_suffix(".dat"), salvage=True)
    wanted = samples.copy()
    for first, end, low, high in gaps:
        wanted[first:end, low:high] = 0
    back = np.fromfile(path.with_suffix(".dat"), dtype="<i2").reshape(-1, samples.shape[1])
    assert np.array_equal(back, wanted) and outcome.original == samples.nbytes
    missing = np.zeros(samples.shape, dtype=bool)
    for first, end, low, high in lost:
        missing[first:end, low:high] = True
    assert missing.sum() == sum((end - first) * (high - low) for first, end, low, high in gaps)


def encoded(samples: np.ndarray, stream: int = 7, **options) -> tuple[list[bytes], list[bytes]]:
    """A stream's packets, and those that end it; `whole` is both."""
    encoder = Encoder(samples.shape[1], RATE, str(samples.dtype), stream=stream, **{"key_interval": 0.02} | options)
    packets = [p for at in range(0, len(samples), PUSH) for p in encoder.push(samples[at : at + PUSH])]
    return packets, encoder.close()


def whole(samples: np.ndarray, **options) -> list[bytes]:
    packets, last = encoded(samples, **options)
    return packets + last


def from_(packets: list[bytes], sender: object) -> list[tuple[bytes, object]]:
    return [(packet, sender) for packet in packets]


def send(packets: list[bytes], port: int, every: float = 0.0) -> tuple[str, int]:
    """Send datagrams from a socket of their own; its address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        for packet in packets:
            own.sendto(packet, (HOST, port))
            time.sleep(every)
        return own.getsockname()

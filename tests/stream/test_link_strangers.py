"""Strangers at a receiver's port, and forged packets: they cost little and end no recording. Loopback only."""

from __future__ import annotations

import random
import socket
import time
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.links import (
    CHANNELS,
    FRAMES,
    HOST,
    RATE,
    check_recording,
    encoded,
    from_,
    proxy,
    receiving,
    send,
    whole,
)
from spikey.base.errors import UsageError
from spikey.base.wire import varint
from spikey.files.decompress import verify_file
from spikey.levels.n1 import N1Levels
from spikey.recording.simulate import simulate
from spikey.stream import arrivals
from spikey.stream import receiver as receiver_module
from spikey.stream.packet import KEY, LAST, RAW, Description, read_packet, write_packet
from spikey.stream.progress import Progress
from spikey.stream.receiver import MOST_CANDIDATES, MOST_LINES, MOST_STREAMS, Receiver
from spikey.stream.recording import facts
from spikey.stream.transport import parse

pytestmark = pytest.mark.network

runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, seed=4)


def key_of(stream: int, **changes) -> bytes:
    described = {"channels": CHANNELS, "rate": float(RATE), "dtype": "int16", "first_channel": 0, "count": CHANNELS}
    described |= {"levels": N1Levels(), "calibration": b"", "first_frame": 0}
    body = Description(**described | changes).write() + bytes(CHANNELS + 40)
    return write_packet(KEY, stream, 0, 0, 20, body)


def test_an_unknown_calibration_is_a_line_in_the_log(samples, tmp_path):
    lines: list[str] = []
    packets, last = encoded(samples)
    with Receiver(tmp_path / "o.spky", log=lines.append) as receiver:
        stranger = key_of(1, calibration=b"none")
        receiver.take(from_([stranger, write_packet(0, 1, 0, 1, 20, bytes(30)), stranger] * 50, "x"))
        receiver.take(from_(packets + last, "a"))
    assert check_recording(receiver, samples)["ended"] and len(receiver.streams) == 1
    assert len(lines) == 1 and "calibration" in lines[0] and receiver.foreign >= 100


@pytest.mark.parametrize("count", [8, 2 * MOST_CANDIDATES])
def test_keys_of_strangers_take_no_places(samples, tmp_path, count):
    packets, last = encoded(samples, stream=1 << 20)
    lines: list[str] = []
    with Receiver(tmp_path / "o.spky", log=lines.append) as receiver:
        receiver.take([(key_of(number), ("10.0.0.1", number)) for number in range(count)])
        assert not receiver.streams and len(receiver._candidates) <= MOST_CANDIDATES
        receiver.take(from_(packets + last, "a"))
    assert [p.name for p in tmp_path.iterdir()] == ["o.spky"]
    assert check_recording(receiver, samples)["ended"] and receiver.foreign == count
    assert 0 < len(lines) <= MOST_LINES


def test_places_are_given_back(samples, tmp_path, monkeypatch):
    """Streams that fell silent make room, and are reported as not ended."""
    monkeypatch.setattr(receiver_module, "SILENT", -1.0)
    packets, last = encoded(samples)
    with Receiver(tmp_path / "o.spky") as receiver:
        for number in range(100, 100 + MOST_STREAMS):
            receiver.take([(key_of(number), number), (write_packet(0, number, 0, 1, 20, bytes(30)), number)])
        receiver.take(from_(packets + last, "a"))
    assert len(receiver.streams) == MOST_STREAMS + 1
    assert check_recording(receiver, samples, MOST_STREAMS)["ended"]
    assert receiver.streams[0].end == "it was silent, and its place was needed"


def test_another_address_takes_a_stream_over_only_after_a_silence(samples, tmp_path, monkeypatch):
    packets, last = encoded(samples)
    forged = write_packet(LAST, 7, 0, 101, 0, varint(3000))
    lines: list[str] = []
    with Receiver(tmp_path / "o.spky", log=lines.append) as receiver:
        receiver.take(from_(packets[:100], "a"))
        receiver.take([(forged, "x")])
        assert not receiver.streams[0].decoder.ending and "not its sender" in lines[0]
        receiver.take(from_(packets[100:200], "a"))
        monkeypatch.setattr(receiver_module, "SILENT", 0.0)  # as if a second had passed
        receiver.take(from_(packets[200:] + last, "b"))
    assert not check_recording(receiver, samples)["missing_samples"] and receiver.streams[0].sender == "b"


def test_only_the_stream_and_the_sender_that_are_asked_for_are_heard(samples, tmp_path):
    packets, last = encoded(samples)
    other, end = encoded(samples[:400], stream=8)
    with receiving("udp://127.0.0.1:0", tmp_path / "o.spky", stream=7) as (address, receiver):
        send(other + end, address.port)
        send(packets + last, address.port, 0.0002)
    assert [stream.number for stream in receiver.streams] == [7] and receiver.foreign >= len(other)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((HOST, 0))
        only = f"{HOST}:{own.getsockname()[1]}"
        with receiving("udp://127.0.0.1:0", tmp_path / "p.spky", only=only) as (address, receiver):
            send(other + end, address.port)
            for packet in packets + last:
                own.sendto(packet, (HOST, address.port))
                time.sleep(0.0002)
    assert [stream.number for stream in receiver.streams] == [7] and not receiver.foreign


@pytest.mark.parametrize("text", ["", "a b", "127.0.0.1:x", "127.0.0.1:99999", "udp://127.0.0.1:1"])
def test_impossible_senders_are_refused(text):
    with pytest.raises(UsageError, match="sender"):
        arrivals.peer(text)


def test_senders_are_hosts_with_or_without_a_port():
    assert arrivals.peer("127.0.0.1").admits((HOST, 5)) and not arrivals.peer("127.0.0.1:6").admits((HOST, 5))
    assert arrivals.peer("::1").admits(("::1", 5, 0, 0)) and arrivals.peer("[::1]:5").admits(("::1", 5, 0, 0))
    with pytest.raises(UsageError, match="pipe"):
        arrivals.Source(parse("-"), only=arrivals.peer(HOST))


# Frames that the clock does not allow


@pytest.mark.parametrize("first", [20 * RATE, 1 << 40, (1 << 62) - 10_000])
def test_a_stream_that_began_long_before_is_recorded_from_where_it_is_heard(tmp_path, samples, first):
    moved = [shifted(packet, first) for packet in whole(samples, key_interval=0.01)]
    with Receiver(tmp_path / "o.spky") as receiver:
        receiver.take(from_(moved, None))
    found = facts(receiver.streams[0])
    assert found["first_frame"] == first and found["frames"] == FRAMES and not found["missing_samples"]
    assert verify_file(tmp_path / "o.spky").samples == samples.size


def test_a_beginning_that_was_lost_is_a_gap(tmp_path, samples):
    """A stream of which nothing came for less than 10 s was lost on the way, and its file begins with its frame 0."""
    with Receiver(tmp_path / "o.spky") as receiver:
        receiver.take(from_(whole(samples)[150:], None))
    found = check_recording(receiver, samples)
    assert found["first_frame"] == 0 and found["missing_samples"] > 0 and found["frames"] == FRAMES


def shifted(packet: bytes, frames: int) -> bytes:
    """A packet of a stream that is `frames` further on."""
    opened = read_packet(packet)
    body = opened.body
    if opened.flags & LAST:
        body = varint(FRAMES + frames)
    elif opened.description is not None:
        body = replace(opened.description, first_frame=opened.description.first_frame + frames).write() + body
    return write_packet(opened.flags, opened.stream, opened.group, opened.number, opened.frames, body)


@pytest.mark.parametrize("kind", ["key", "end", "number"])
def test_frames_far_beyond_the_clock_are_refused_and_gaps_are_bounded(samples, tmp_path, kind):
    packets, last = encoded(samples)
    far = (1 << 62) - 1000
    forged = {
        "key": [_renumbered(shifted(packets[0], far - 1000 * count), 100 + count) for count in range(20)],
        "end": [write_packet(LAST, 7, 0, 100, 0, varint(far))] * 20,
        "number": [write_packet(0, 7, 0, (1 << 30) + count, 20, bytes(40)) for count in range(20)],
    }[kind]
    with Receiver(tmp_path / "o.spky") as receiver:
        receiver.take(from_(packets[:100] + forged + packets[100:] + last, "a"))
    found = check_recording(receiver, samples)
    assert found["ended"] and found["packets"]["refused"] == 20 and found["missing_samples"] == 0


def _renumbered(packet: bytes, number: int) -> bytes:
    opened = read_packet(packet)
    assert opened.description is not None
    body = opened.description.write() + opened.body
    return write_packet(opened.flags, opened.stream, opened.group, number, opened.frames, body)


def test_repeated_forgery_does_not_add_up(samples, tmp_path):
    """Each key goes as far as is allowed; together they go no further than the clock and what came allow."""
    packets, _ = encoded(samples)
    with Receiver(tmp_path / "o.spky") as receiver:
        receiver.take(from_(packets[:10], "a"))
        for number in range(10, 200):
            latest = receiver.streams[0].progress.latest()
            receiver.take([(_renumbered(shifted(packets[0], latest), number), "a")])
        frames = receiver.streams[0].recorder.frames
    assert frames < 60 * RATE


def test_streams_may_be_sent_at_any_speed():
    """Whatever was delivered counts, so that no stream is refused for being fast; and so does time, for real gaps."""
    progress = Progress(0, 1000.0, 0)
    at = 0
    for _ in range(1000):
        assert at <= progress.latest()
        progress.came(1000)
        at += 2000  # half of it is lost
    clock = progress._clock
    clock.seconds = lambda: 3600.0  # type: ignore[method-assign]
    assert Progress(0, 1000.0, 0).latest() < 20_000 and progress.latest() > at + 3600 * 1000


def test_forged_keys_through_the_proxy(samples, tmp_path):
    """Somebody on the way adds packets with right checksums: nothing fails, and the gaps stay bounded."""
    packets, last = encoded(samples)
    chance = random.Random(1)

    def forge(datagram: bytes) -> list[bytes]:
        if chance.random() >= 0.1:
            return [datagram]
        kind = chance.choice([KEY, RAW, LAST, KEY | LAST, 0])
        first = chance.choice([0, 5000, 10**6, 1 << 61])
        fields = Description(
            chance.choice([CHANNELS, 1 << 16]), float(RATE), "int16", 0, CHANNELS, N1Levels(), b"", first
        ).write()
        body = varint(first) if kind == LAST else fields + chance.randbytes(chance.randrange(400))
        number, stream = chance.choice([0, 300, 1 << 31, 1 << 20]), chance.choice([7, 7, chance.randrange(1 << 32)])
        return [datagram, write_packet(kind, stream, chance.choice([0, 0, 200]), number, 20, body)]

    here = receiving("udp://127.0.0.1:0", tmp_path / "o.spky", idle=1.0)
    with here as (address, receiver), proxy(address, forge) as through:
        send(packets + last, parse(through).port, 0.0005)
        time.sleep(0.5)
    for stream in receiver.streams:
        found = facts(stream)
        gaps = [tuple(gap) for gap in found["gaps"]]
        assert found["frames"] < 120 * RATE
        assert gaps or verify_file(found["file"]).samples == found["samples"]


def test_made_up_streams_end_no_recording(samples, tmp_path):
    """Right checksums and every kind of description: whatever a stranger's stream holds, the real one is recorded."""
    packets, last = encoded(samples, stream=1 << 31)
    chance, lines = random.Random(2), []
    with Receiver(tmp_path / "o.spky", log=lines.append) as receiver:
        receiver.take(from_(packets[:100], "a"))
        for number in range(300):
            fields = key_of(
                number,
                dtype=chance.choice(["int8", "uint8", "int16", "uint16"]),
                rate=chance.choice([0.0, 1e-300, 1e300, 20000.0]),
                calibration=chance.choice([b"", b"none", samples_calibration()]),
                channels=chance.choice([CHANNELS, 70_000, 300]),
                first_frame=chance.choice([0, 1 << 61]),
            )
            opened = read_packet(fields)
            assert opened.description is not None
            wide = opened.description.write()
            raw = chance.randbytes(5 * CHANNELS * np.dtype(opened.description.dtype).itemsize)
            receiver.take(
                [
                    (fields, number),
                    (write_packet(RAW, number, 0, 1, 5, wide + raw), number),
                    (write_packet(0, number, 0, 2, 20, chance.randbytes(30)), number),
                    (write_packet(LAST, number, 0, 3, 0, varint(chance.choice([0, 25, 1 << 60]))), number),
                ]
            )
        receiver.take(from_(packets[100:] + last, "a"))
    assert not check_recording(receiver, samples)["missing_samples"]
    assert len(receiver.streams) <= receiver_module.MOST_FILES and len(lines) <= MOST_LINES


def samples_calibration() -> bytes:
    from spikey.model.calibration import n1

    return n1().id

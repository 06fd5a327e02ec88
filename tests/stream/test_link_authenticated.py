"""Receivers with a key: strangers cost nothing, replays neither; requests are answered to who has the key."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.links import (
    CHANNELS,
    FRAMES,
    HOST,
    RATE,
    assert_whole,
    check_recording,
    encoded,
    from_,
    lossy,
    proxy,
    receiving,
)
from kit.paths import SOURCE
from kit.tags import tag
from spikey.base.errors import DataError, UsageError
from spikey.base.wire import varint
from spikey.cli import stream as command
from spikey.container.reader import Reader
from spikey.levels.n1 import N1Levels
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from spikey.stream.authentic_requests import Asker, read_authentic_request
from spikey.stream.authentication import REQUESTS, STREAM, Authenticator
from spikey.stream.key_file import new_key, read_key
from spikey.stream.packet import KEY, LAST, PARITY, RAW, Description, read_packet, write_packet
from spikey.stream.receiver import MOST_LINES, Receiver
from spikey.stream.recording import facts
from spikey.stream.seen import Seen
from spikey.stream.sender import Link, Sent
from spikey.stream.transport import NAME, write_request

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, seed=4)


@pytest.fixture(scope="module")
def sent(samples) -> tuple[list[bytes], list[bytes]]:
    return encoded(samples, key=SECRET)


def forged(chance: random.Random, number: int, key: bytes | None) -> bytes:
    """A packet of stream 7 that somebody without the sender's key makes: every kind, next, near and far."""
    kind = chance.choice([0, KEY, RAW, LAST, KEY | LAST, PARITY])
    first = chance.choice([0, 20 * number, FRAMES, 1 << 40])
    body = varint(first) if kind & LAST else chance.randbytes(chance.randrange(200))
    described = b""
    if kind & (KEY | RAW):
        described = Description(CHANNELS, float(RATE), "int16", 0, CHANNELS, N1Levels(), b"", first).write(
            key is not None
        )
    ahead = chance.choice([0, 1, 2, 31, 32, 33, 1000, 1 << 20, -1])
    authenticator = None if key is None else Authenticator(key, STREAM, 7, 8)
    return write_packet(
        kind, 7, chance.choice([0, 0, 0, 200]), max(number + ahead, 0), 20, body, described, authenticator=authenticator
    )


def test_nobody_without_the_key_changes_anything(samples, sent, tmp_path):
    """Before each packet of the stream come some with right checksums, or tags of another key, from every address."""
    packets, last = sent
    chance = random.Random(1)
    arrived: list[tuple[bytes, object]] = []
    for number, packet in enumerate(packets + last):
        for _ in range(3):
            arrived.append((forged(chance, number, chance.choice([None, OTHER])), chance.choice(["a", "x", "y"])))
        damaged = bytearray(packet)
        damaged[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
        arrived += [(bytes(damaged), "x"), (packet, "a")]
    lines: list[str] = []
    with Receiver(tmp_path / "o.spky", log=lines.append, key=SECRET) as receiver:
        for at in range(0, len(arrived), 11):
            receiver.take(arrived[at : at + 11])
    found = check_recording(receiver, samples)
    assert found["ended"] and not found["missing_samples"] and found["packets"]["lost"] == 0
    assert found["packets"]["received"] == len(packets + last) and found["packets"]["taken"] == len(packets + last)
    assert found["received_bytes"] == sum(map(len, packets + last)) and found["sender"] == "a"
    assert [each.name for each in tmp_path.iterdir()] == ["o.spky"] and len(lines) <= MOST_LINES


def test_a_stream_is_taken_from_whatever_address(samples, sent, tmp_path):
    packets, last = sent
    with Receiver(tmp_path / "o.spky", key=SECRET) as receiver:
        receiver.take([(packet, at % 5) for at, packet in enumerate(packets)] + from_(last, "z"))
    assert_whole(receiver, samples)


def test_replays_do_not_move_requests_to_who_replays(sent, tmp_path):
    packets, _ = sent
    with Receiver(tmp_path / "o.spky", key=SECRET) as receiver:
        receiver.take(from_(packets[:50], "a"))
        receiver.take(from_(packets[:50], "x"))
        stream = receiver.streams[0]
        assert stream.sender == "a" and stream.packets == 50 and stream.decoder.counts.repeated == 50
        heard = stream.heard
        receiver.take(from_(packets[:50], "x"))
        assert stream.heard == heard
        receiver.take([*from_(packets[51:60], "a"), (packets[55], "x")])
        assert [who for _, who in receiver.wanted()] == ["a"]


def test_a_stream_that_is_over_does_not_begin_again(samples, sent, tmp_path):
    packets, last = sent
    with Receiver(tmp_path / "o.spky", key=SECRET) as receiver:
        receiver.take(from_(packets + last, "a"))
        assert receiver.done
        receiver.take(from_(packets + last, "x"))
    assert [each.name for each in tmp_path.iterdir()] == ["o.spky"] and receiver.late == len(packets + last)
    with Receiver(tmp_path / "p.spky", key=SECRET, idle=-1.0) as receiver:  # over, as nothing more came
        receiver.take(from_(packets[:50], "a"))
        assert receiver.done
        receiver.take(from_(packets, "x"))
    assert facts(receiver.streams[0])["frames"] == 50 * 20 and receiver.late == len(packets)


def test_a_recorded_stream_can_be_played_to_another_receiver_unless_it_is_listed(samples, sent, tmp_path):
    packets, last = sent
    for _ in range(2):  # as documented: without the list nothing shows that it is old
        with Receiver(tmp_path / "a.spky", key=SECRET, overwrite=True) as receiver:
            receiver.take(from_(packets + last, "x"))
        assert_whole(receiver, samples)
    path, lines = tmp_path / "seen.txt", []
    with Receiver(tmp_path / "b.spky", key=SECRET, seen=Seen(path, "stream")) as receiver:
        receiver.take(from_(packets[:1], "a"))
        assert path.read_text() == "stream 7\n"  # once the first key was verified, so that no crash forgets it
        receiver.take(from_(packets[1:] + last, "a"))
        receiver.take(from_(last, "a"))
    assert_whole(receiver, samples)
    with Receiver(tmp_path / "c.spky", key=SECRET, seen=Seen(path, "stream"), log=lines.append) as receiver:
        receiver.take(from_(packets + last, "x"))
        assert not receiver.streams and receiver.late == len(packets + last)
        receiver.take(from_(encoded(samples[:400], stream=8, key=SECRET)[0], "a"))
    assert not (tmp_path / "d.spky").exists() and [stream.number for stream in receiver.streams] == [8]
    assert path.read_text() == "stream 7\nstream 8\n"
    assert lines == ["ignored: stream 7 from x, which was received before"]


def test_a_list_that_cannot_be_written_leaves_no_recording(sent, tmp_path, monkeypatch):
    seen = Seen(tmp_path / "seen.txt", "stream")

    def full(number: int) -> None:
        raise UsageError("seen.txt: cannot be written (No space left on device)")

    monkeypatch.setattr(seen, "add", full)
    with pytest.raises(UsageError, match="No space"), Receiver(tmp_path / "o.spky", key=SECRET, seen=seen) as receiver:
        receiver.take(from_(sent[0], "a"))
    assert [each.name for each in tmp_path.iterdir()] == ["seen.txt"]


def test_a_receiver_without_the_key_reports_an_authenticated_stream(samples, sent, tmp_path):
    lines: list[str] = []
    with Receiver(tmp_path / "o.spky", log=lines.append) as receiver:
        receiver.take(from_(sent[0], "a"))
    assert not receiver.streams and receiver.unauthenticated == len(sent[0])
    assert lines == ["ignored: stream 7 from a, which is authenticated: give its key with --key-file"]


@pytest.mark.parametrize(
    "options, part",
    [
        ({"key": None}, "have no tags"),
        ({"key": OTHER}, "not of this key"),
        ({"key": SECRET, "tag_bytes": 4}, "too short"),
    ],
)
def test_a_receiver_with_a_key_reports_streams_that_it_does_not_verify(samples, tmp_path, options, part):
    packets, last = encoded(samples, **options)
    lines: list[str] = []
    with Receiver(tmp_path / "o.spky", log=lines.append, key=SECRET) as receiver:
        receiver.take(from_(packets + last, "a"))
    assert not receiver.streams and receiver.unauthenticated == len(packets + last)
    assert len(lines) == 1 and part in lines[0]


# Requests


class Sink:
    """What a sender sends to, and is asked by."""

    refused = 0

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.sent: list[bytes] = []

    def send(self, packets: list[bytes]) -> None:
        self.sent += packets

    def requests(self) -> list[bytes]:
        asked, self.asked = self.asked, []
        return asked


def test_requests_have_tags_by_the_documents_alone():
    authenticator = Authenticator(SECRET, STREAM, 7, 8, REQUESTS)
    asker = Asker(7, authenticator)
    now = time.time_ns() // 1000
    for count in range(3):
        request = asker.write([(0, 1), (2, 3)])
        number = int.from_bytes(request[9:17], "little")
        assert request[:9] == b"SPKQ" + (7).to_bytes(4, "little") + b"\2" and now + count <= number < now + 10_000_000
        assert request[17:27] == NAME.pack(0, 1) + NAME.pack(2, 3)
        assert request[27:] == tag(SECRET, b"spkstrm", 7, 1, number, 8, request[:27])
        assert read_authentic_request(request, 7, authenticator) == (number, [(0, 1), (2, 3)])


def test_a_sender_answers_who_has_the_key_and_each_request_once(samples):
    from spikey import Encoder

    encoder = Encoder(CHANNELS, RATE, stream=7, key=SECRET)
    packets = encoder.push(samples[:20])
    sink, report = Sink(), Sent()
    link = Link(sink, report, repair=True)  # type: ignore[arg-type]
    assert encoder.asking is not None
    asker = Asker(7, encoder.asking)
    first, second = asker.write([(0, 0)]), asker.write([(0, 0)])
    strange = [
        write_request(7, [(0, 0)]),
        Asker(7, Authenticator(OTHER, STREAM, 7, 8, REQUESTS)).write([(0, 0)]),
        Asker(7, Authenticator(SECRET, STREAM, 7, 8)).write([(0, 0)]),  # the sender's direction
        Asker(8, Authenticator(SECRET, STREAM, 8, 8, REQUESTS)).write([(0, 0)]),
        Asker(7, Authenticator(SECRET, STREAM, 7, 4, REQUESTS)).write([(0, 0)]),
        *(second[:at] + bytes([second[at] ^ 1]) + second[at + 1 :] for at in range(len(second))),
        *(second[:size] for size in range(len(second))),
        b"",
    ]
    sink.asked = list(strange)
    link.answer(encoder)
    assert not sink.sent and report.unauthenticated == len(strange)
    sink.asked = [second, second, first]
    link.answer(encoder)
    assert sink.sent == packets and report.asked == 1 and report.unauthenticated == len(strange) + 2
    for request in strange:
        with pytest.raises(DataError):
            read_authentic_request(request, 7, encoder.asking)


# Over a network, and by the commands


@pytest.fixture(scope="module")
def wav(samples, tmp_path_factory) -> Path:
    path, layout = tmp_path_factory.mktemp("stream") / "a.wav", Layout(CHANNELS, RATE, "int16")
    path.write_bytes(canonical_head(layout, len(samples)) + pack(samples, layout))
    return path


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("key") / "k"
    new_key(path)
    return path


@pytest.mark.network
def test_an_authenticated_stream_travels_with_losses_repairs_and_strangers(wav, key, samples, tmp_path):
    out, over = tmp_path / "o.spky", threading.Event()
    chance = random.Random(3)

    def flood(port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            while not over.wait(0.002):
                own.sendto(forged(chance, 50, chance.choice([None, OTHER])), (HOST, port))

    with receiving("udp://127.0.0.1:0", out, repair=True, idle=3.0, key=read_key(key)) as (address, receiver):
        thread = threading.Thread(target=flood, args=(address.port,))
        thread.start()
        words = ["send", str(wav), "--to", str(address), "--key-file", str(key), "--stream", "7", "--speed", "0.5"]
        done = runner.invoke(
            command.app, [*words, "--repair", "--parity", "1", "--loss", "0.03", "--seed", "2", "--json"]
        )
        over.set()
        thread.join()
    assert done.exit_code == 0, done.output
    report, found = json.loads(done.stdout), check_recording(receiver, samples)
    assert report["lost_on_purpose"] > 0 and found["packets"]["recovered"] + report["repairs"] > 0
    assert report["unauthenticated"] == 0 and found["packets"]["unauthenticated"] > 10
    assert found["ended"] and found["missing_samples"] == 0


def test_a_pipe_carries_an_authenticated_stream_once(wav, key, samples, tmp_path):
    """By the commands, with a list of streams: what went through the pipe is refused when it comes again."""
    spikey_, secured = [sys.executable, "-m", "spikey", "stream"], ["--key-file", str(key), "--tag-bytes", "16"]
    environment, seen = {**os.environ, "PYTHONPATH": str(SOURCE)}, tmp_path / "seen"
    sent = subprocess.run(
        [*spikey_, "send", str(wav), "--to", "-", *secured],
        capture_output=True,
        env=environment,
        timeout=120,
        check=True,
    )
    status = []
    for out in (tmp_path / "o.spky", tmp_path / "p.spky"):
        done = subprocess.run(
            [*spikey_, "receive", "-", str(out), "--json", *secured, "--seen", str(seen)],
            input=sent.stdout,
            capture_output=True,
            env=environment,
            timeout=120,
        )
        status.append(done.returncode)
    assert status == [0, 1] and b"which was received before" in done.stderr
    with Reader(tmp_path / "o.spky") as reader:
        assert np.array_equal(reader[:], samples)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["o.spky", "seen"]


@pytest.mark.network
@pytest.mark.parametrize("given, part", [("none", "give its key with --key-file"), ("other", "valid tag of this key")])
def test_the_command_says_what_is_the_matter_where_the_key_is_missing_or_wrong(wav, key, tmp_path, given, part):
    other = tmp_path / "other"
    new_key(other)
    words = ["receive", "udp://127.0.0.1:0", str(tmp_path / "o.spky")] + ["--key-file", str(other)] * (given == "other")
    from spikey.cli import stream_receive

    real = stream_receive.record

    def record(source, receiver, *arguments) -> None:
        runner.invoke(
            command.app, ["send", str(wav), "--to", str(source.address), "--speed", "0", "--key-file", str(key)]
        )
        until = time.monotonic() + 20
        while not receiver.unauthenticated and time.monotonic() < until:
            receiver.take(source.take(0.05))
        receiver.finish("enough")

    stream_receive.record = record
    try:
        done = CliRunner().invoke(command.app, words)
    finally:
        stream_receive.record = real
    assert isinstance(done.exception, DataError) and part in str(done.exception)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other"]


@pytest.mark.network
def test_a_proxy_on_the_way_that_changes_and_repeats_packets_changes_nothing(samples, sent, tmp_path):
    packets, last = sent
    chance, old = random.Random(5), []

    def tamper(datagram: bytes) -> list[bytes]:
        old.append(datagram)
        damaged = bytearray(datagram)
        damaged[chance.randrange(len(datagram))] ^= 1 << chance.randrange(8)
        opened = read_packet(datagram)
        renumbered = (
            datagram[:6] + (opened.number + chance.choice([1, 40, 1 << 20])).to_bytes(4, "little") + datagram[10:]
        )
        return [*lossy(0.02, len(old))(datagram), bytes(damaged), renumbered, chance.choice(old)]

    here = receiving("udp://127.0.0.1:0", tmp_path / "o.spky", key=SECRET)
    with (
        here as (address, receiver),
        proxy(address, tamper) as through,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
    ):
        for packet in packets + last * 3:
            own.sendto(packet, (HOST, int(through.rsplit(":", 1)[1])))
            time.sleep(0.001)
        time.sleep(0.5)
    found = check_recording(receiver, samples)
    assert found["ended"] and found["packets"]["unauthenticated"] > len(packets)

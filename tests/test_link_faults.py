"""Streams over a bad link and beside strangers: what is recorded is right, the rest is reported. Loopback only."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from links import (
    HOST,
    bursts,
    check_recording,
    corrupting,
    duplicating,
    in_turn,
    lossy,
    proxy,
    receiving,
    reordering,
)
from typer.testing import CliRunner

from spikey import Encoder
from spikey.analysis.simulate import simulate
from spikey.cli import app, listen, stream_receive
from spikey.cli import stream as command
from spikey.errors import DataError, UsageError
from spikey.files import verify_file
from spikey.recording.levels import N1, N1_CODES, Levels
from spikey.recording.source import Layout, pack
from spikey.recording.wav import canonical_head
from spikey.stream import arrivals, receive_buffer
from spikey.stream import receiver as receiver_module
from spikey.stream.packet import KEY, LAST, RAW, Description, read_packet, write_packet
from spikey.stream.progress import Progress
from spikey.stream.receiver import MOST_CANDIDATES, MOST_LINES, MOST_STREAMS, Receiver
from spikey.stream.recording import ENDED, facts
from spikey.stream.sender import LAST_COPIES, Link, Sent
from spikey.stream.transport import DatagramSink, parse
from spikey.wire import varint

RATE = 20_000
CHANNELS = 8
PUSH = 20
FRAMES = 8000
SECONDS = FRAMES / RATE
runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, seed=4)


@pytest.fixture(scope="module")
def wav(samples, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("links") / "a.wav"
    layout = Layout(CHANNELS, RATE, "int16")
    path.write_bytes(canonical_head(layout, len(samples)) + pack(samples, layout))
    return path


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


FAULTS = {
    "none": lambda: in_turn(),
    "loss": lambda: lossy(0.03),
    "bursts": lambda: bursts(0.1, 0.03),
    "reordering": lambda: reordering(2),
    "duplicates": lambda: duplicating(0.2),
    "corruption": lambda: corrupting(0.05),
    "all": lambda: in_turn(lossy(0.02), reordering(2), duplicating(0.1), corrupting(0.02)),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("repair", [[], ["--parity", "1"]])
def test_what_comes_over_a_bad_link_is_right_and_the_rest_is_listed(wav, samples, tmp_path, fault, repair):
    out = tmp_path / "o.spky"
    with receiving("udp://127.0.0.1:0", out) as (address, receiver), proxy(address, FAULTS[fault]()) as through:
        done = runner.invoke(command.app, ["send", str(wav), "--to", through, "--key-interval", "0.02", *repair])
        assert done.exit_code == 0, done.output
    found = check_recording(receiver, samples)
    assert found["ended"] and found["end"] == ENDED and found["frames"] == FRAMES
    harmless = fault in ("none", "reordering", "duplicates")
    assert found["missing_samples"] == 0 if harmless else found["samples"] > 0.3 * samples.size
    assert len(receiver.streams) == 1


def test_a_short_stream_to_the_same_port_leaves_a_recording_alone(samples, tmp_path):
    packets, last = encoded(samples)
    short, end = encoded(samples[:2000], stream=8)
    with receiving("udp://127.0.0.1:0", tmp_path / "o.spky") as (address, receiver):
        beside = threading.Timer(0.05, send, [short + end, address.port])
        beside.start()
        send(packets + last, address.port, SECONDS / len(packets))
        beside.join()
    assert [stream.number for stream in receiver.streams] == [7, 8]
    found = [check_recording(receiver, samples), check_recording(receiver, samples, 1)]
    assert [each["frames"] for each in found] == [FRAMES, 2000] and all(each["ended"] for each in found)
    assert not any(each["missing_samples"] for each in found)


def test_two_blind_datagrams_do_not_end_a_recording(samples, tmp_path):
    packets, last = encoded(samples)
    key, end = encoded(samples[:PUSH], stream=9)
    with (
        receiving("udp://127.0.0.1:0", tmp_path / "o.spky") as (address, receiver),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
    ):
        for index, packet in enumerate(packets + last):
            own.sendto(packet, (HOST, address.port))
            if index == 100:
                send(key + end, address.port)
                time.sleep(0.5)
    found = check_recording(receiver, samples)
    assert found["frames"] == FRAMES and found["ended"] and not found["missing_samples"]


def received(arguments: list[str], monkeypatch, then) -> tuple[int, dict, str]:
    """Exit status, JSON and standard error of `stream receive`, while `then` is called with its port in a thread."""
    real = stream_receive.record

    def record(source, *others):
        thread = threading.Thread(target=then, args=(source.address.port,))
        thread.start()
        real(source, *others)
        thread.join()

    monkeypatch.setattr(stream_receive, "record", record)
    done = runner.invoke(command.app, ["receive", "udp://127.0.0.1:0", *arguments, "--json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout), done.stderr


def test_a_sender_that_dies_is_reported_and_what_came_is_kept(samples, tmp_path, monkeypatch):
    packets, _ = encoded(samples)
    out = tmp_path / "o.spky"
    arguments = [str(out), "--idle", "0.4"]
    status, found, errors = received(arguments, monkeypatch, lambda port: send(packets[:200], port, 0.0005))
    assert status == 1 and "the stream did not end" in errors and not found["complete"]
    assert not found["streams"][0]["ended"] and found["streams"][0]["end"] == "nothing came for 0.4 s"
    frames = found["streams"][0]["frames"]
    assert frames == 200 * PUSH and verify_file(out).samples == frames * CHANNELS


def test_a_whole_stream_is_reported_as_such(samples, tmp_path, monkeypatch):
    packets, last = encoded(samples)
    status, found, errors = received(
        [str(tmp_path / "o.spky")], monkeypatch, lambda port: send(packets + last, port, 0.0002)
    )
    assert status == 0 and found["complete"] and "did not end" not in errors
    counts = found["packets"]
    assert counts["dropped"] == 0 and counts["dropped_by_system"] in (0, None)
    assert counts["socket_buffer_bytes_wanted"] == receive_buffer.bytes_for(0.5, 200)


def test_a_connection_that_breaks_off_is_reported_at_once(samples, tmp_path):
    packets, _ = encoded(samples)
    with receiving("tcp://127.0.0.1:0", tmp_path / "o.spky", idle=60.0) as (address, receiver):
        connection = socket.create_connection((HOST, address.port))
        for packet in packets[:100]:
            connection.sendall(len(packet).to_bytes(4, "little") + packet)
        connection.close()
    assert receiver.streams[0].end == "its connection was closed"
    assert check_recording(receiver, samples)["frames"] == 100 * PUSH


def test_a_connection_that_is_silent_keeps_nobody_out(wav, samples, tmp_path):
    with receiving("tcp://127.0.0.1:0", tmp_path / "o.spky") as (address, receiver):
        silent = [socket.create_connection((HOST, address.port)) for _ in range(arrivals.MOST_CONNECTIONS + 3)]
        done = runner.invoke(command.app, ["send", str(wav), "--to", str(address)])
        for each in silent:
            each.close()
    assert done.exit_code == 0, done.output
    assert check_recording(receiver, samples)["ended"]


def test_a_sender_that_begins_anew_gets_a_second_file(samples, tmp_path):
    first, _ = encoded(samples)
    second, last = encoded(samples, stream=8)
    with receiving("udp://127.0.0.1:0", tmp_path / "o.spky", idle=1.0) as (address, receiver):
        send(first[:100], address.port, 0.0005)
        send(second + last, address.port, 0.0005)
    found = [check_recording(receiver, samples, index) for index in (0, 1)]
    assert [each["ended"] for each in found] == [False, True]
    assert [Path(each["file"]).name for each in found] == ["o.spky", "o-2.spky"]


def test_a_second_file_replaces_nothing(samples, tmp_path):
    (tmp_path / "o-2.spky").write_bytes(b"yesterday's")
    with Receiver(tmp_path / "o.spky") as receiver:
        for stream in (1, 2):
            packets, last = encoded(samples[:200], stream=stream)
            receiver.take(from_(packets + last, None))
    assert (tmp_path / "o-2.spky").read_bytes() == b"yesterday's" and (tmp_path / "o-3.spky").exists()


def test_a_receiver_that_was_suspended_goes_on(samples, tmp_path, monkeypatch):
    """Time in which it stood still is no silence of the sender; a jump of the clock over a minute stands for it."""
    packets, last = encoded(samples)
    receiver = Receiver(tmp_path / "o.spky", idle=5.0)
    with receiver:
        receiver.take(from_(packets[:100], "a"))
        late = time.monotonic() + 60
        monkeypatch.setattr(receiver_module.time, "monotonic", lambda: late)
        receiver.take([])
        assert not receiver.done
        receiver.take(from_(packets[200:] + last, "a"))
    found = check_recording(receiver, samples)
    assert found["ended"] and found["missing_samples"] > 0


# Strangers


def key_of(stream: int, **changes) -> bytes:
    described = {"channels": CHANNELS, "rate": float(RATE), "dtype": "int16", "first_channel": 0, "count": CHANNELS}
    described |= {"levels": Levels(N1, N1_CODES), "calibration": b"", "first_frame": 0}
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
            chance.choice([CHANNELS, 1 << 16]), float(RATE), "int16", 0, CHANNELS, Levels(N1, N1_CODES), b"", first
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


# Buffers and ends


def test_drops_by_the_system_are_counted():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to,
    ):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        own.bind((HOST, 0))
        for _ in range(200):
            to.sendto(bytes(1000), own.getsockname())
        own.setblocking(False)
        came = 0
        with pytest.raises(BlockingIOError):
            while own.recv(2000):
                came += 1
        dropped = receive_buffer.dropped(own)
    if dropped is None:
        pytest.skip("this system does not report what it drops")
    assert came + dropped == 200 and dropped > 0


def test_a_system_that_grants_less_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(receive_buffer, "enlarge", lambda own, wanted: 200_000)
    with listen.listen("udp://127.0.0.1:0", None, 500, 200) as source:
        assert source.granted == 200_000 and source.wanted == 12_500_000
    errors = capsys.readouterr().err
    assert "200,000 bytes" in errors and "8 ms" in errors and "rmem_max" in errors
    monkeypatch.undo()
    with listen.listen("udp://127.0.0.1:0", None, 1, 1) as source:
        assert source.granted >= source.wanted == 125
    assert not capsys.readouterr().err


def test_end_packets_are_sent_again_over_datagrams():
    """Over a while, as losses come in bursts; who has had one may be gone, which is no refusal."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind((HOST, 0))
        sink = DatagramSink(parse(f"udp://{HOST}:{own.getsockname()[1]}"))
    link, waits = Link(sink, Sent()), []
    link.finish([b"end"], lambda seconds: (waits.append(seconds), time.sleep(0.01))[1])
    sink.close()
    assert sum(waits) == pytest.approx(LAST_COPIES[-1]) and LAST_COPIES[-1] >= 0.3
    assert link.report.ends == len(LAST_COPIES) == link.report.packets and link.report.refused == 0


def test_a_stream_that_grows_is_noted_once(tmp_path, samples):
    path, layout = tmp_path / "a.dat", ["--channels", "1", "--rate", str(RATE), "--dtype", "int16"]
    noise = np.random.default_rng(5).integers(-(1 << 15), 1 << 15, 3000).astype("<i2")
    for values, larger in ((noise, True), (samples[:3000, 0].astype("<i2"), False)):
        values.tofile(path)
        options = ["--to", "udp://127.0.0.1:9", "--speed", "0"]
        done = runner.invoke(command.app, ["send", str(path), *layout, *options])
        assert done.exit_code == 0, done.output
        assert done.stderr.count("packets take more bytes than the samples in them") == larger


def test_a_second_end_that_contradicts_what_came_is_ignored(samples, tmp_path):
    packets, last = encoded(samples)
    early = [write_packet(LAST, 7, 0, len(packets), 0, varint(100))]
    with Receiver(tmp_path / "o.spky") as receiver:
        receiver.take(from_(packets + early + last, "a"))
    assert facts(receiver.streams[0])["frames"] == FRAMES


def test_a_damaged_output_of_one_stream_is_no_output(tmp_path, samples, monkeypatch):
    """An error while a file is written leaves none of the unfinished ones."""
    packets, _ = encoded(samples)
    receiver = Receiver(tmp_path / "o.spky")
    with pytest.raises(DataError, match="gone"), receiver:
        receiver.take(from_(packets, "a"))
        monkeypatch.setattr(receiver.streams[0].recorder, "_finish", lambda: (_ for _ in ()).throw(DataError("gone")))
    assert not list(tmp_path.iterdir())


def test_help_names_the_new_options():
    text = runner.invoke(app, ["stream", "receive", "--help"], env={"COLUMNS": "200"}).output
    assert all(option in text for option in ("--from", "--stream", "--socket-ms"))

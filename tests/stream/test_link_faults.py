"""Streams over a bad link: what is recorded is right, and what is missing is reported. Loopback only."""

from __future__ import annotations

import json
import socket
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
    PUSH,
    RATE,
    SECONDS,
    bursts,
    check_recording,
    corrupting,
    duplicating,
    encoded,
    from_,
    in_turn,
    lossy,
    proxy,
    receiving,
    reordering,
    send,
)
from spikey.base.errors import DataError
from spikey.base.wire import varint
from spikey.cli import app, listen, stream_receive
from spikey.cli import stream as command
from spikey.files.decompress import verify_file
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from spikey.stream import arrivals, receive_buffer
from spikey.stream import receiver as receiver_module
from spikey.stream.packet import LAST, write_packet
from spikey.stream.receiver import Receiver
from spikey.stream.recording import ENDED, facts
from spikey.stream.sender import LAST_COPIES, Link, Sent
from spikey.stream.transport import DatagramSink, parse

pytestmark = pytest.mark.network

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
    arguments = [str(out), "--idle", "1"]
    status, found, errors = received(arguments, monkeypatch, lambda port: send(packets[:200], port, 0.0005))
    assert status == 1 and "the stream did not end" in errors and not found["complete"]
    assert not found["streams"][0]["ended"] and found["streams"][0]["end"] == "nothing came for 1 s"
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
        assert done.stderr.count("packets take more bytes than their samples") == larger


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

"""Streams between processes and threads: datagrams, connections, pipes, files of what arrived. Loopback only."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit.links import check_gaps, receiving
from kit.paths import SOURCE
from spikey import Decoder, Encoder, Gap, Segment
from spikey.base.errors import DataError, UsageError
from spikey.cli import stream as command
from spikey.cli import stream_receive
from spikey.container import growing
from spikey.container.reader import Reader
from spikey.files.decompress import verify_file
from spikey.files.repair import repair_file
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from spikey.stream import recorder as recorder_module
from spikey.stream import sender as sender_module
from spikey.stream.arrivals import Source
from spikey.stream.receiver import MOST_STREAMS, Receiver
from spikey.stream.recorder import Recorder
from spikey.stream.sender import Link, Sent
from spikey.stream.transport import Buffer, parse, read_request, write_request

RATE = 20_000
CHANNELS = 8
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}
runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(6000, CHANNELS, RATE, seed=1)


@pytest.fixture(scope="module")
def wav(samples, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "a.wav"
    path.write_bytes(canonical_head(Layout(CHANNELS, RATE, "int16"), len(samples)) + pack(samples, layout()))
    return path


def layout() -> Layout:
    return Layout(CHANNELS, RATE, "int16")


def sent(*options: str | Path) -> dict:
    done = runner.invoke(command.app, ["send", *map(str, options), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.network
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_recording_travels_whole(wav, samples, tmp_path, kind):
    out = tmp_path / "o.spky"
    with receiving(f"{kind}://127.0.0.1:0", out) as (address, _):
        report = sent(wav, "--to", address, "--speed", "2", "--parity", "1")
    assert report["complete"] and report["frames"] == len(samples) and report["ratio"] > 1
    assert verify_file(out).samples == samples.size
    assert (spikey.decompress(str(out)).samples == samples).all()
    assert [p.name for p in tmp_path.iterdir()] == ["o.spky"]


@pytest.mark.network
def test_requests_repair_losses(wav, samples, tmp_path):
    out = tmp_path / "o.spky"
    with receiving("udp://127.0.0.1:0", out, repair=True) as (address, receiver):
        report = sent(wav, "--to", address, "--speed", "0.5", "--loss", "0.05", "--seed", "3", "--repair")
    assert report["lost_on_purpose"] > 0 and report["repairs"] > 0 and receiver.requests > 0
    found = command_facts(receiver)
    assert found["samples"] + found["missing_samples"] == samples.size
    assert found["samples"] > 0.9 * samples.size


def command_facts(receiver: Receiver, index: int = 0) -> dict:
    from spikey.stream.recording import facts

    return facts(receiver.streams[index])


@pytest.mark.network
def test_losses_are_absent_from_the_file_and_listed(wav, samples, tmp_path):
    out = tmp_path / "o.spky"
    with receiving("udp://127.0.0.1:0", out) as (address, receiver):
        sent(wav, "--to", address, "--loss", "0.05", "--key-interval", "0.05", "--speed", "2")
    found = command_facts(receiver)
    assert found["gaps"] and found["frames"] == len(samples)
    check_gaps(out, samples, [tuple(gap) for gap in found["gaps"]])


def recorded(path: Path, packets: list[bytes], **options) -> Recorder:
    decoder, kept = Decoder(), None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in options.items():
            patch.setattr(recorder_module, name, value)
        for at, packet in enumerate(packets):
            items = decoder.push(packet)
            if decoder.description is not None:
                kept = Recorder(path, decoder.description)
                with kept:
                    kept.take(items)
                    for each in packets[at + 1 :]:
                        kept.take(decoder.push(each))
                        assert len(kept._slices) <= recorder_module.HELD
                    kept.take(decoder.finish())
                break
    assert kept is not None
    return kept


@pytest.fixture(scope="module")
def wide() -> tuple[np.ndarray, list[bytes]]:
    """32 channels in three groups, and their packets."""
    samples = simulate(4000, 32, RATE, seed=2)
    encoder = Encoder(32, RATE, packet_bytes=200, key_interval=0.02, stream=9)
    packets = [p for at in range(0, len(samples), 20) for p in encoder.push(samples[at : at + 20])]
    return samples, packets + encoder.close()


def test_the_recorder_cuts_blocks_and_groups_as_it_likes(wide, tmp_path):
    samples, packets = wide
    small = {"SLICE_FRAMES": 300, "SHORTEST": 1, "LARGEST": 300 * 4 * 5}
    kept = recorded(tmp_path / "a.spky", packets, **small)
    assert kept.samples == samples.size and not kept.gaps
    assert verify_file(tmp_path / "a.spky").samples == samples.size
    with Reader(tmp_path / "a.spky") as reader:
        assert len(reader.structure.blocks) > 80 and np.array_equal(reader[:], samples)


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_recorder_leaves_out_what_is_missing(wide, tmp_path, rate):
    samples, packets = wide
    chance = random.Random(4)
    lost = [p for p in packets[:-3] if chance.random() >= rate] + packets[-3:]
    kept = recorded(tmp_path / "a.spky", lost, SLICE_FRAMES=300, SHORTEST=1)
    gaps = [(g.first_frame, g.end_frame, g.first_channel, g.first_channel + g.channels) for g in kept.gaps]
    assert kept.samples + kept.missing == samples.size
    check_gaps(tmp_path / "a.spky", samples, gaps)


def test_a_missing_end_is_in_the_file(wide, tmp_path):
    samples, packets = wide
    kept = recorded(tmp_path / "a.spky", packets[:150] + packets[-3:])
    assert kept.frames == len(samples)
    gaps = [(g.first_frame, g.end_frame, g.first_channel, g.first_channel + g.channels) for g in kept.gaps]
    check_gaps(tmp_path / "a.spky", samples, gaps)


def test_a_failing_recorder_leaves_nothing(wide, tmp_path):
    decoder = Decoder()
    items = decoder.push(wide[1][0])
    assert decoder.description is not None
    with pytest.raises(ZeroDivisionError), Recorder(tmp_path / "a.spky", decoder.description) as kept:
        kept.take(items)
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError), Recorder(tmp_path / "none" / "a.spky", decoder.description):
        pass


def test_a_recorder_whose_program_is_killed_leaves_what_was_written(wide, tmp_path, monkeypatch):
    samples, packets = wide
    monkeypatch.setattr(recorder_module, "SLICE_FRAMES", 300)
    decoder, out = Decoder(), tmp_path / "a.spky"
    items = [item for packet in packets for item in decoder.push(packet)]
    assert decoder.description is not None
    kept = Recorder(out, decoder.description)
    kept.open()
    kept.take(items)
    kept._pipeline.drain()
    with Reader(out) as reader:  # as it was when the program ended
        assert not reader.complete and len(reader) == 3900 and np.array_equal(reader[:], samples[:3900])
    data = out.read_bytes()
    kept.abort()
    with Reader(out) as reader:  # after an error it is complete
        assert reader.complete and np.array_equal(reader[:], samples[:3900])
    with pytest.raises(UsageError, match="exists"), Recorder(out, decoder.description):
        pass
    out.write_bytes(data[:-10])
    assert repair_file(out).frames == 3600
    with Reader(out) as reader:
        assert reader.complete and np.array_equal(reader[:], samples[:3600])


def test_an_incomplete_recording_with_gaps_is_completed_as_it_is(wide, tmp_path):
    samples, packets = wide
    chance, out = random.Random(4), tmp_path / "a.spky"
    lost = [p for p in packets[:-3] if chance.random() >= 0.1] + packets[-3:]
    kept = recorded(out, lost, SLICE_FRAMES=300, SHORTEST=1)
    gaps = [(g.first_frame, g.end_frame, g.first_channel, g.first_channel + g.channels) for g in kept.gaps]
    data = out.read_bytes()
    out.write_bytes(data[:-1])
    assert repair_file(out).frames == len(samples) and out.read_bytes() == data
    check_gaps(out, samples, gaps)
    with Reader(out, salvage=True) as reader:
        blocks = reader.structure.blocks
    part = next(place for place in range(9, len(blocks)) if blocks[place].channels < 32)
    end = blocks[part].offset + blocks[part].size
    out.write_bytes(data[: end + 3])
    assert repair_file(out).cut == 3  # of frames that only some channels have, these stay
    with Reader(out, salvage=True) as reader:
        assert reader.structure.blocks == blocks[: part + 1]


def test_recorded_blocks_are_about_a_second_long(tmp_path):
    for channels, rate, frames in ((8, 20_000, 20_000), (8, 1000, 1 << 14), (8, 1e9, 1 << 16), (2000, 20_000, 8192)):
        encoder = Encoder(channels, rate)
        decoder = Decoder()
        for packet in encoder.push(np.zeros((20, channels), np.int16)):
            decoder.push(packet)
        assert decoder.description is not None
        recorder = Recorder(tmp_path / "a.spky", decoder.description)
        assert recorder._length == frames
        assert recorder._length * min(recorder._channels, channels) <= recorder_module.LARGEST


def test_a_recording_replaces_another_only_when_it_is_complete(wide, tmp_path):
    samples, packets = wide
    decoder, out = Decoder(), tmp_path / "a.spky"
    items = [item for packet in packets for item in decoder.push(packet)]
    assert decoder.description is not None
    out.write_bytes(b"precious")
    with pytest.raises(ZeroDivisionError), Recorder(out, decoder.description, overwrite=True) as kept:
        kept.take(items)
        assert out.read_bytes() == b"precious"
        raise ZeroDivisionError
    assert out.read_bytes() == b"precious" and len(list(tmp_path.iterdir())) == 1
    with Recorder(out, decoder.description, overwrite=True) as kept:
        kept.take(items)
    assert np.array_equal(spikey.decompress(str(out)).samples, samples) and kept.written == out.stat().st_size


def test_a_full_disk_ends_a_recording_and_keeps_what_was_written(wide, tmp_path, monkeypatch):
    samples, packets = wide
    monkeypatch.setattr(recorder_module, "SLICE_FRAMES", 300)
    decoder, out, left = Decoder(), tmp_path / "a.spky", [30_000]
    items = [item for packet in packets for item in decoder.push(packet)]
    real = os.write

    def write(handle: int, data: bytes) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(handle, data)

    assert decoder.description is not None
    with pytest.raises(DataError, match=r"a\.spky: cannot be written \(No space left on device\)"):
        with Recorder(out, decoder.description) as kept:
            monkeypatch.setattr(growing.os, "write", write)
            kept.take(items)
        pytest.fail("the disk is not full")
    with Reader(out) as reader:
        assert 300 <= len(reader) < 3900 and np.array_equal(reader[:], samples[: len(reader)])


def test_a_sender_that_begins_anew_gets_a_file_of_its_own(samples, tmp_path):
    with Receiver(tmp_path / "o.spky") as receiver:
        for number in range(MOST_STREAMS + 2):
            encoder = Encoder(CHANNELS, RATE, stream=number)
            packets = encoder.push(samples[: 100 + number]) + encoder.push(samples[:50])
            receiver.take([(packet, None) for packet in packets])
        assert len(receiver.streams) == MOST_STREAMS and receiver.foreign > 0
        receiver.take([(b"\xb0 no packet at all", None)])
        assert receiver.damaged == 1
        chance = random.Random(1)
        for _ in range(300):
            receiver.take([(chance.randbytes(chance.randrange(100)), None)])
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == sorted(["o.spky", *(f"o-{i}.spky" for i in range(2, MOST_STREAMS + 1))])
    assert spikey.decompress(str(tmp_path / "o-3.spky")).samples.shape == (152, CHANNELS)


@pytest.mark.network
def test_foreign_datagrams_are_ignored(wav, samples, tmp_path):
    out, chance = tmp_path / "o.spky", random.Random(2)
    with receiving("udp://127.0.0.1:0", out) as (address, receiver):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            for _ in range(500):
                flood.sendto(chance.randbytes(chance.randrange(200)), ("127.0.0.1", address.port))
        sent(wav, "--to", address, "--speed", "2")
    assert verify_file(out).samples == samples.size and len(receiver.streams) == 1


@pytest.mark.network
@pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_flood_of_datagrams(seconds, wav, samples, tmp_path):
    """Random ones and damaged ones, hundreds a second, before, while and after a stream is sent."""
    out, chance, sent_off = tmp_path / "o.spky", random.Random(3), 0
    packets = Encoder(CHANNELS, RATE, stream=5).push(samples[:200])
    over = threading.Event()

    def flood(port: int) -> None:
        nonlocal sent_off
        until = time.monotonic() + seconds
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            while time.monotonic() < until:
                damaged = bytearray(chance.choice(packets))
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
                own.sendto(chance.randbytes(chance.randrange(1400)), ("127.0.0.1", port))
                own.sendto(damaged, ("127.0.0.1", port))
                sent_off += 2
                time.sleep(0.002)
        over.set()

    with receiving("udp://127.0.0.1:0", out) as (address, receiver):
        threading.Thread(target=flood, args=(address.port,), daemon=True).start()
        assert not over.wait(seconds / 2)
        sent(wav, "--to", address, "--speed", "0.1")
    assert over.wait(seconds)
    assert sent_off > 100 * seconds
    assert verify_file(out).samples == samples.size and len(receiver.streams) == 1


@pytest.mark.network
def test_a_connection_that_sends_something_else_is_left(wav, samples, tmp_path):
    out = tmp_path / "o.spky"
    with receiving("tcp://127.0.0.1:0", out) as (address, _):
        for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, b"\x20\0\0\0short"):
            with socket.create_connection(("127.0.0.1", address.port)) as connection:
                connection.sendall(junk)
        sent(wav, "--to", address)
    assert (spikey.decompress(str(out)).samples == samples).all()


@pytest.mark.network
def test_what_there_is_no_time_for_is_skipped_and_reported(wav, samples, tmp_path, monkeypatch):
    """The coder is slowed down, so that the buffer of 5 ms overflows."""
    slow = Link.send
    monkeypatch.setattr(Link, "send", lambda self, packets: (time.sleep(0.004), slow(self, packets))[1])
    out = tmp_path / "o.spky"
    with receiving("tcp://127.0.0.1:0", out) as (address, receiver):
        report = sent(wav, "--to", address, "--realtime", "--buffer-ms", "5")
    found = command_facts(receiver)
    assert report["skipped"] > 0 and report["frames"] + report["skipped"] == len(samples) == found["frames"]
    assert found["missing_samples"] == report["skipped"] * CHANNELS
    check_gaps(out, samples, [tuple(gap) for gap in found["gaps"]])


def test_a_pipe_carries_a_stream(wav, samples, tmp_path):
    out = tmp_path / "o.spky"
    spikey_ = [sys.executable, "-m", "spikey", "stream"]
    sending = subprocess.Popen([*spikey_, "send", str(wav), "--to", "-"], stdout=subprocess.PIPE, env=ENVIRONMENT)
    done = subprocess.run(
        [*spikey_, "receive", "-", str(out), "--json"],
        stdin=sending.stdout,
        capture_output=True,
        env=ENVIRONMENT,
        timeout=120,
        check=True,
    )
    assert sending.wait(60) == 0
    assert json.loads(done.stdout)["streams"][0]["samples"] == samples.size
    assert (spikey.decompress(str(out)).samples == samples).all()


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_has_come(samples, tmp_path, which):
    out = tmp_path / "o.spky"
    program = [sys.executable, "-m", "spikey", "stream", "receive", "-", str(out)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdin is not None and process.stderr is not None
        encoder = Encoder(CHANNELS, RATE)
        for at in range(0, 2000, 20):
            for packet in encoder.push(samples[at : at + 20]):
                process.stdin.write(len(packet).to_bytes(4, "little") + packet)
        process.stdin.flush()
        until = time.monotonic() + 60
        while not out.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(which)
        assert process.wait(60) == 1
        assert b"the stream did not end (it was interrupted)" in process.stderr.read()
    back = spikey.decompress(str(out)).samples
    assert len(back) and np.array_equal(back, samples[: len(back)])


def test_a_buffer_is_bounded_and_says_when_it_is_full():
    buffer = Buffer(10)
    assert buffer.put("a", 30, wait=False)  # one item always fits
    assert not buffer.put("b", 1, wait=False)
    assert buffer.take(0) == ["a"] and buffer.take(0) == []
    assert all(buffer.put(i, 5, wait=False) for i in range(2)) and not buffer.put(3, 5, wait=False)
    assert buffer.take(0, 1) == [0] and buffer.most == 30
    buffer.close(DataError("gone"))
    assert not buffer.put(4, 1, wait=True) and buffer.take(0) == [1]
    with pytest.raises(DataError, match="gone"):
        buffer.take(0)


def test_requests_are_checked_and_answers_are_bounded(samples):
    encoder = Encoder(CHANNELS, RATE, stream=5)
    packets = encoder.push(samples[:20])
    assert read_request(write_request(5, [(0, 0)])) == (5, [(0, 0)])
    request = write_request(5, [(0, 0)] * 60)
    for at in range(len(request)):
        for broken in (request[:at], request[:at] + bytes([request[at] ^ 1]) + request[at + 1 :]):
            with pytest.raises(DataError):
                read_request(broken)

    class Asking:
        refused, out = 0, []

        def send(self, packets):
            self.out += packets

        def requests(self):
            return [b"noise", write_request(4, [(0, 0)]), *[request] * 20]

    link = Link(Asking(), Sent(), repair=True)
    link.answer(encoder)
    assert link.report.asked == 1200
    assert 0 < link.report.repairs <= sender_module.REPAIRS_AT_ONCE + 10
    assert set(Asking.out) == set(packets)


@pytest.mark.parametrize("text", ["", "host:9", "udp://host", "udp://:9", "ftp://a:1", "udp://a:99999", "udp://a:1/x"])
def test_impossible_addresses_are_refused(text):
    with pytest.raises(UsageError, match="address"):
        parse(text)


@pytest.mark.parametrize(
    "options, part",
    [
        (["--to", "udp://127.0.0.1:9", "--packet-bytes", "70000"], "65,507"),
        (["--to", "udp://127.0.0.1:9", "--when-full", "never"], "wait or drop"),
        (["--to", "-", "--json"], "standard output"),
        (["--to", "udp://127.0.0.1:9", "--channels", "3"], "all three"),
        (["--to", "udp://127.0.0.1:9", "--key-interval", "0"], "key interval"),
        (["--to", "tcp://127.0.0.1:1"], "reached"),
    ],
)
def test_impossible_calls_are_refused(wav, options, part):
    done = runner.invoke(command.app, ["send", str(wav), *options])
    assert isinstance(done.exception, UsageError) and part in str(done.exception)


@pytest.mark.network
def test_nothing_received_is_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(stream_receive, "record", lambda *arguments: None)
    done = runner.invoke(command.app, ["receive", "udp://127.0.0.1:0", str(tmp_path / "o.spky")])
    assert isinstance(done.exception, DataError) and "no stream" in str(done.exception)
    assert not list(tmp_path.iterdir())
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="listened"):
            Source(parse(f"tcp://127.0.0.1:{taken.getsockname()[1]}"))


@pytest.mark.parametrize("stage", ["encode", "decode", "both", "together"])
def test_the_bench_measures(wav, stage, tmp_path):
    options = ["--channels", "3", "--seconds", "0.2", "--no-pace", "--stage", stage, "--json"]
    picture = tmp_path / "p.png"
    done = runner.invoke(command.app, ["bench", str(wav), *options, "--picture", str(picture)])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["ratio"] > 0.5 and row["channels"] == 3 and row.get("exact", True) and picture.stat().st_size > 1000
    for name in ("encode", "decode"):
        assert (f"{name}_ms" in row) == (stage in (name, "both", "together"))


def test_the_bench_measures_over_datagrams():
    program = [
        sys.executable,
        "-m",
        "spikey",
        "stream",
        "bench",
        "--channels",
        "2",
        "--seconds",
        "0.3",
        "--udp",
        "--json",
    ]
    done = subprocess.run(program, capture_output=True, env=ENVIRONMENT, timeout=120, check=True)
    row = json.loads(done.stdout)
    assert row["exact"] and "sample_to_sample_ms" in row and 0 <= row["lost_share"] <= 1


def test_the_segments_and_gaps_of_a_stream_are_named_tuples():
    assert Segment._fields == ("first_frame", "first_channel", "samples")
    assert Gap._fields == ("first_frame", "end_frame", "first_channel", "channels")

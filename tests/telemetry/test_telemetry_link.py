"""Telemetry over links: what is lost, late, repeated or damaged on the way spoils nothing else. Loopback only."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from kit.paths import SOURCE
from spikey import TelemetryDecoder, TelemetryEncoder, TelemetrySettings
from spikey.base.errors import DataError, UsageError
from spikey.cli import telemetry as command
from spikey.cli import telemetry_link
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from spikey.stream.arrivals import CLOSED, Source
from spikey.stream.transport import Address, parse
from spikey.telemetry.contents import Missing, PacketContents
from spikey.telemetry.decoder import HOLD
from spikey.telemetry.file import read_telemetry
from spikey.telemetry.link import Receiver, facts
from spikey.telemetry.packet import KEY, MAGIC, MARK, MARKS, NUMBERS, SHORTEST, read_packet, write_packet
from spikey.telemetry.record import collect
from spikey.telemetry.schedule import PART, Schedule
from spikey.telemetry.settings import shape_of

RATE, CHANNELS, SECONDS = 20_000, 40, 3  # two parts of profiles
BUDGET = 120e3
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}
runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(SECONDS * RATE, CHANNELS, RATE, seed=3)


@pytest.fixture(scope="module")
def wav(samples, tmp_path_factory) -> Path:
    path, layout = tmp_path_factory.mktemp("telemetry") / "a.wav", Layout(CHANNELS, RATE, "int16")
    path.write_bytes(canonical_head(layout, len(samples)) + pack(samples, layout))
    return path


def encoded(samples: np.ndarray, stream: int = 5, **options) -> list[bytes]:
    chosen = TelemetrySettings(**{"budget": BUDGET, "key_s": 0.5, **options})
    encoder = TelemetryEncoder(samples.shape[1], RATE, settings=chosen, stream=stream)
    return encoder.push(samples) + encoder.close()


@pytest.fixture(scope="module")
def packets(samples) -> list[bytes]:
    return encoded(samples)


@pytest.fixture(scope="module")
def whole(packets) -> dict[int, PacketContents]:
    """What the decoder says of each packet when none is lost, by first frame."""
    items, decoder = decode(packets)
    assert decoder.ended == SECONDS * RATE and all(isinstance(item, PacketContents) for item in items)
    return {item.first_frame: item for item in items}


def decode(packets: list[bytes]) -> tuple[list[PacketContents | Missing], TelemetryDecoder]:
    decoder = TelemetryDecoder()
    items = [item for packet in packets for item in decoder.push(packet)]
    return items + decoder.finish(), decoder


def check(items: list[PacketContents | Missing], decoder: TelemetryDecoder, whole: dict[int, PacketContents]) -> None:
    """All frames are decoded or missing, in order, once; what is decoded is what is decoded without losses."""
    at, known = 0, 0  # known: from where waveforms are, after a loss
    for item in items:
        assert item.first_frame == at <= item.end_frame  # the last packet may cover none
        at = item.end_frame
        if isinstance(item, Missing):
            known = at + decoder.shape.wait + decoder.shape.resolution
            continue
        wanted = whole[item.first_frame]
        for name in vars(item):
            of_waves = name in (
                "wave_frames",
                "wave_channels",
                "trough_frames",
                "waves",
                "wave_scaled",
                "left_out_waves",
            )
            if of_waves and item.first_frame < known:
                assert len(item.waves) == item.weak and item.left_out_waves == 0
            else:
                assert np.array_equal(getattr(item, name), getattr(wanted, name)), name
    if decoder.ended is not None:
        assert at == decoder.ended


def shuffled(packets: list[bytes], chance: random.Random, far: int) -> list[bytes]:
    """Each packet up to `far` places later than it was."""
    order = sorted(range(len(packets)), key=lambda i: i + chance.random() * far)
    return [packets[i] for i in order]


@pytest.mark.parametrize("loss", [0.001, 0.02, 0.3, 0.95])
def test_what_survives_losses_is_what_was_encoded(packets, whole, loss):
    chance = random.Random(int(loss * 1000))
    for _ in range(3):
        items, decoder = decode([p for p in packets if chance.random() >= loss])
        if decoder.description is not None:
            check(items, decoder, whole)


def test_reordered_and_repeated_packets_lose_nothing(packets, whole):
    chance = random.Random(1)
    sent = shuffled(packets + packets[::3], chance, HOLD - 2)
    sent = shuffled([p for p in packets for _ in range(chance.choice((1, 1, 2)))], chance, 4)
    items, decoder = decode(sent)
    check(items, decoder, whole)
    assert len(items) == len(packets) and decoder.counts.lost == decoder.counts.early == 0
    assert decoder.counts.late == len(sent) - len(packets)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), trouble=st.floats(0, 0.5), far=st.integers(0, 3 * HOLD))
def test_whatever_happens_on_the_way_nothing_untrue_is_decoded(packets, whole, seed, trouble, far):
    """Lost, cut, flipped, repeated, late packets, and noise between them."""
    chance = random.Random(seed)
    sent: list[bytes] = []
    for packet in shuffled(packets, chance, far):
        if chance.random() >= trouble:
            sent.append(packet)
            continue
        fate = chance.randrange(5)
        if fate == 0:
            sent.append(packet[: chance.randrange(len(packet))])
        elif fate == 1:
            flipped = bytearray(packet)
            flipped[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
            sent.append(bytes(flipped))
        elif fate == 2:
            sent += [packet, packet]
        elif fate == 3:
            sent += [chance.randbytes(chance.randrange(200)), bytes([MARK]) + chance.randbytes(20)]
    items, decoder = decode(sent)
    check(items, decoder, whole)
    assert decoder.counts.packets == len(sent)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, NUMBERS - 1), st.binary(max_size=60)), max_size=30))
def test_made_up_packets_with_true_check_sums_raise_nothing(packets, made_up):
    """Everything but the key is another's: it is nonsense, but no error, and frames are decoded once."""
    items, decoder = decode([packets[0], *(write_packet(f & ~KEY, n, payload) for f, n, payload in made_up)])
    at = 0
    for item in items:
        assert item.first_frame == at <= item.end_frame
        at = item.end_frame
    assert decoder.ended in (None, at)
    collect([packets[0], *(write_packet(f & ~KEY, n, payload) for f, n, payload in made_up)])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 40), st.integers(0, 255))
def test_made_up_keys_raise_nothing(packets, noise, at, byte):
    """A key's description with a byte changed, and noise for one."""
    described = read_packet(packets[0]).description
    assert described is not None
    true = described.write()
    changed = true[: at % len(true)] + bytes([byte]) + true[at % len(true) + 1 :]
    for description in (noise, changed):
        decode([write_packet(KEY, 0, noise, description), packets[1]])


@pytest.mark.parametrize("copies", [1, 2])
def test_a_part_of_a_profile_may_be_lost_once_and_not_twice(packets, whole, copies):
    turns = Schedule(TelemetryEncoder(CHANNELS, RATE, settings=TelemetrySettings(budget=BUDGET, key_s=0.5)).shape)
    assert turns.parts == -(-CHANNELS // PART) == 5
    starts = [n for n in range(len(packets)) if turns.opens(n)]
    assert len(starts) > 6
    epoch = starts[3]
    holding = [n for n in range(epoch, starts[4]) if 1 in turns.profiles(n)]
    assert len(holding) == 2
    lost = holding[:copies]
    items, decoder = decode([p for n, p in enumerate(packets) if n not in lost])
    check(items, decoder, whole)
    missing = {n for item in items if isinstance(item, Missing) for n in frames_of(item, turns.shape.frames)}
    unread = set(range(starts[4], starts[5])) if copies == 2 else set()
    assert missing == set(lost) | unread and decoder.counts.unreadable == len(unread)


def frames_of(item: Missing, frames: int) -> range:
    return range(item.first_frame // frames, -(-item.end_frame // frames))


def test_a_lost_key_costs_its_own_frames(packets, whole):
    key = [n for n, p in enumerate(packets) if read_packet(p).flags & KEY][3]
    items, decoder = decode(packets[:key] + packets[key + 1 :])
    check(items, decoder, whole)
    assert sum(isinstance(item, Missing) for item in items) == 1 and decoder.counts.unreadable == 0


def test_joining_late_begins_with_the_epoch_after_the_next_key(packets, whole):
    keys = [n for n, p in enumerate(packets) if read_packet(p).flags & KEY]
    items, decoder = decode(packets[keys[2] + 1 :])
    check(items, decoder, whole)
    frames = decoder.shape.frames
    decoded = [item for item in items if isinstance(item, PacketContents)]
    assert decoded[0].first_frame == keys[4] * frames and decoder.counts.early == keys[3] - keys[2] - 1
    telemetry = collect(packets[keys[2] + 1 :])
    assert telemetry.missing == ((0, keys[4] * frames),) and telemetry.frames == SECONDS * RATE
    first = keys[4] * frames - decoder.shape.wait  # weak events come later than their troughs
    assert len(telemetry.event_frames) and telemetry.event_frames.min() >= first


def test_nothing_after_the_end_counts(packets, whole):
    items, decoder = decode([*packets[:-1], write_packet(0, len(packets) + 3, b"later"), packets[-1]])
    check(items, decoder, whole)
    telemetry = collect([*packets[:-1], write_packet(0, len(packets) + 3, b"later"), packets[-1]])
    assert telemetry.frames == SECONDS * RATE and not telemetry.missing


def test_a_key_says_where_the_stream_is_after_a_silence_of_any_length(packets):
    """More packets were lost than numbers can distinguish."""
    key = read_packet(packets[0]).description
    assert key is not None
    number = next(n for n in range(3 * NUMBERS, 4 * NUMBERS) if Schedule(key.shape).opens(n))
    late = write_packet(KEY, number, b"", replace(key, packet=number).write())
    items, _ = decode([*packets[:3], late, late])
    assert [type(item) for item in items] == [PacketContents, PacketContents, PacketContents, Missing, Missing]
    assert (items[3].first_frame, items[4].end_frame) == (3 * key.shape.frames, (number + 1) * key.shape.frames)


def test_a_length_of_which_nothing_came_takes_no_memory(packets):
    key = read_packet(packets[0]).description
    assert key is not None
    far = replace(key, packet=NUMBERS << 20)
    with pytest.raises(DataError, match="can encode"):
        collect([packets[0], write_packet(KEY, 0, b"", far.write())])
    with pytest.raises(DataError, match="lasted too long"):
        read_packet(write_packet(KEY, 0, b"", replace(key, packet=NUMBERS << 31).write()))
    with pytest.raises(DataError, match="two different numbers"):
        read_packet(write_packet(KEY, 9, b"", key.write()))
    with pytest.raises(UsageError, match="too long"):
        TelemetryEncoder(60_000, RATE, settings=TelemetrySettings(packet_ms=500))


# Receivers


def received(arrived: list[tuple[bytes, object]], path: Path) -> Receiver:
    file = io.BytesIO()
    receiver = Receiver(file)  # type: ignore[arg-type]
    for at in range(0, len(arrived), 7):
        receiver.take(arrived[at : at + 7])
    receiver.finish()
    path.write_bytes(file.getvalue())
    return receiver


def test_a_receiver_writes_packets_in_order_and_once(packets, tmp_path):
    chance, path = random.Random(2), tmp_path / "a.spkt"
    sent = packets[:1] + shuffled(packets[1:], chance, 30) + packets[::5]
    receiver = received([(p, 1) for p in sent], path)
    assert path.read_bytes() == MAGIC + b"".join(packets)
    found, telemetry = facts(receiver), read_telemetry(path)
    assert found["complete"] and not found["missing"] and found["frames"] == SECONDS * RATE
    assert found["events"] == len(telemetry.event_frames) and found["waveforms"] == len(telemetry.waveforms)
    assert found["weak_events"] == telemetry.event_weak.sum() and 0 < found["weak_events"] < found["events"]
    assert found["bits_per_second"] == pytest.approx(8 * sum(map(len, packets)) / SECONDS)


def test_a_receiver_keeps_to_one_sender_until_a_key_names_another(packets, samples, tmp_path):
    other = encoded(samples[:RATE], stream=6)
    mixed = [item for a, b in zip(packets[: len(other)], other, strict=True) for item in ((a, "a"), (b, "b"))]
    moved = [(p, "c") for p in packets[len(other) :]]  # the sender has another address from there on
    receiver = received([*mixed, *moved], tmp_path / "a.spkt")
    missing = facts(receiver)["missing"]
    assert len(missing) == 1 and receiver.foreign >= len(other)
    key = next(n for n, p in enumerate(packets) if n >= len(other) and read_packet(p).flags & KEY)
    frames = receiver.decoder.shape.frames
    assert missing[0][0] == len(other) * frames and missing[0][1] >= key * frames
    assert received([(b"noise", 0), *((p, 1) for p in other)], tmp_path / "b.spkt").damaged == 1
    anew = received([(p, None) for p in packets[:50] + other], tmp_path / "c.spkt")
    assert anew.foreign == len(other) and facts(anew)["frames"] == 50 * frames


@pytest.mark.parametrize("stray", ["key", "key twice", "many"])
def test_a_stray_key_keeps_no_stream_out(packets, samples, tmp_path, stray):
    other = encoded(samples[:RATE], stream=6)
    strays = {
        "key": [(other[0], "x")],
        "key twice": [(other[0], "x"), (other[0], "y")],
        "many": [(other[0], at) for at in range(200)],
    }[stray]
    receiver = received([*strays, *((p, "a") for p in packets)], tmp_path / "a.spkt")
    found = facts(receiver)
    assert found["complete"] and found["end"] == "end packet" and found["stream"] == 5
    assert not found["missing"] and receiver.foreign == len(strays)
    assert len(receiver._keys) == 0


def test_only_the_stream_that_is_asked_for_is_received(packets, samples):
    lines: list[str] = []
    receiver = Receiver(io.BytesIO(), stream=5, log=lines.append)
    receiver.take([(p, "x") for p in encoded(samples[:RATE], stream=6)] + [(p, "a") for p in packets])
    receiver.finish()
    assert facts(receiver)["stream"] == 5 and not facts(receiver)["missing"]
    assert lines and "not the one asked for" in lines[0]


def test_a_key_far_beyond_the_clock_is_refused(packets, tmp_path):
    key = read_packet(packets[0]).description
    assert key is not None
    number = next(n for n in range(1 << 40, 1 << 41) if Schedule(key.shape).opens(n))
    far = write_packet(KEY, number, b"", replace(key, packet=number).write())
    receiver = received([(p, "a") for p in [*packets[:50], far, *packets[50:]]], tmp_path / "a.spkt")
    assert receiver.refused == 1 and not facts(receiver)["missing"] and facts(receiver)["complete"]


@pytest.mark.network
def test_a_stream_without_an_end_is_reported(packets, tmp_path, monkeypatch):
    real = telemetry_link.record

    def record(source, *others):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            for packet in packets[:100]:
                own.sendto(packet, ("127.0.0.1", source.address.port))
            real(source, *others)

    monkeypatch.setattr(telemetry_link, "record", record)
    out = tmp_path / "o.spkt"
    options = ["receive", "udp://127.0.0.1:0", str(out), "--idle", "0.3", "--json"]
    done = runner.invoke(command.app, options)
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and "the stream did not end" in done.stderr
    assert not found["complete"] and found["end"] == "nothing came for 0.3 s" and found["frames"] > 0
    assert found["packets"]["dropped_by_system"] in (0, None)
    assert out.read_bytes() == MAGIC + b"".join(packets[:100])


def test_a_connection_that_breaks_off_ends_the_wait(packets, tmp_path):
    receiver = Receiver(io.BytesIO())
    receiver.take([*((p, "a") for p in packets[:50]), (CLOSED, "x")])
    assert not receiver.closed
    receiver.take([(CLOSED, "a")])
    assert receiver.closed


@pytest.mark.parametrize("rate", [20_000.0, 24_414.0625, 30_000.0])
@pytest.mark.parametrize(
    "options",
    [{"key_s": 0.1}, {"key_s": 3600}, {"packet_ms": 5000}, {"packet_ms": 0.01}, {"packet_ms": 7, "key_s": 0.1}],
)
def test_the_ends_of_ranges_are_accepted(rate, options):
    """Rounded to whole slots and packets they may lie beyond; both ends of a stream reckon with the same numbers."""
    wanted = TelemetrySettings(budget=1e5, **options)
    if options.get("packet_ms") == 5000 and rate == 30_000:  # more frames than a packet holds
        with pytest.raises(UsageError, match="packet_ms must be at most 4369"):
            TelemetryEncoder(2, rate, settings=wanted)
        return
    encoder = TelemetryEncoder(2, rate, settings=wanted)
    assert encoder.shape == shape_of(wanted, 2, rate)
    _, decoder = decode(encoder.push(np.zeros((300, 2), dtype="int16")) + encoder.close())
    assert decoder.ended == 300 and decoder.shape == encoder.shape


@pytest.mark.parametrize("options", [{"stream": -1}, {"stream": 1 << 32}, {"rate": 10**400}, {"rate": -1.0}])
def test_impossible_encoders_are_refused(options):
    with pytest.raises(UsageError):
        TelemetryEncoder(**{"channels": 2, "rate": RATE} | options)


@contextmanager
def receiving(address: str, out: Path) -> Iterator[Address]:
    """A receiver in a thread; leaving waits until the stream is over, and the file is there."""
    error: list[BaseException] = []
    with Source(parse(address), marks=MARKS, least=SHORTEST) as source:

        def run() -> None:
            try:
                with open(out, "wb") as file:
                    receiver = Receiver(file)
                    telemetry_link.record(source, receiver, 3.0, threading.Event(), lambda rows: None)
                out.with_suffix(".json").write_text(json.dumps(facts(receiver)))
            except BaseException as caught:
                error.append(caught)

        thread = threading.Thread(target=run)
        thread.start()
        yield source.address
        thread.join(60)
        assert not thread.is_alive() and not error


def sent(*options: object) -> dict:
    done = runner.invoke(command.app, ["send", *map(str, options), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.network
@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_telemetry_travels(wav, tmp_path, kind):
    out = tmp_path / "o.spkt"
    with receiving(f"{kind}://127.0.0.1:0", out) as address:
        report = sent(wav, "--to", address, "--speed", "4" if kind == "udp" else "0", "--budget", "120kbit/s")
    found, telemetry = json.loads(out.with_suffix(".json").read_text()), read_telemetry(out)
    assert report["complete"] and found["complete"] and report["frames"] == telemetry.frames == SECONDS * RATE
    assert report["events"] == found["events"] == len(telemetry.event_frames) and not telemetry.missing
    assert report["bits_per_second"] <= 1.02 * BUDGET and report["refused"] == 0


@pytest.mark.network
def test_losses_on_purpose_are_missing_spans(wav, tmp_path):
    out = tmp_path / "o.spkt"
    with receiving("tcp://127.0.0.1:0", out) as address:
        report = sent(wav, "--to", address, "--loss", "0.05", "--seed", "1", "--ratio", "66")
    found, telemetry = json.loads(out.with_suffix(".json").read_text()), read_telemetry(out)
    assert report["lost_on_purpose"] > 0 and found["missing"]
    assert [tuple(span) for span in found["missing"]] == list(telemetry.missing)
    assert found["packets"]["lost"] <= report["lost_on_purpose"] and found["packets"]["late"] == 0
    events, wait = telemetry.event_frames, telemetry.description.shape.wait
    for first, end in telemetry.missing:
        inside = (events >= first) & (events < end)
        # A weak event comes with the packet of the frame `wait` frames later.
        assert telemetry.event_weak[inside].all() and (events[inside] >= end - wait).all()


@pytest.mark.network
def test_foreign_datagrams_are_counted(wav, tmp_path):
    out, chance = tmp_path / "o.spkt", random.Random(2)
    with receiving("udp://127.0.0.1:0", out) as address:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            for _ in range(100):
                flood.sendto(b"\x20" + chance.randbytes(chance.randrange(200)), ("127.0.0.1", address.port))
        sent(wav, "--to", address, "--speed", "4")
    assert not read_telemetry(out).missing


def test_a_pipe_carries_telemetry(wav, tmp_path):
    out, spikey_ = tmp_path / "o.spkt", [sys.executable, "-m", "spikey", "telemetry"]
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
    found = json.loads(done.stdout)
    assert found["complete"] and found["frames"] == SECONDS * RATE and found["events"] > 0
    assert [p.name for p in tmp_path.iterdir()] == ["o.spkt"]


def test_an_interrupt_keeps_what_has_come(packets, tmp_path):
    out = tmp_path / "o.spkt"
    program = [sys.executable, "-m", "spikey", "telemetry", "receive", "-", str(out)]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdin is not None and process.stderr is not None and process.stdout is not None
        for packet in packets[:200]:
            process.stdin.write(len(packet).to_bytes(4, "little") + packet)
        process.stdin.flush()
        until = time.monotonic() + 60
        while not list(tmp_path.glob(".o.spkt*")) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 1
        assert b"the stream did not end (it was interrupted)" in process.stderr.read()
        printed = process.stdout.read()
        assert b"LOSSY" in printed and b" of them weak; " in printed
    assert out.read_bytes() == MAGIC + b"".join(packets[:200])
    assert [p.name for p in tmp_path.iterdir()] == ["o.spkt"]


@pytest.mark.parametrize(
    "options, part",
    [
        (["--to", "-", "--json"], "standard output"),
        (["--to", "tcp://127.0.0.1:1"], "reached"),
        (["--to", "udp://127.0.0.1:9", "--budget", "1M", "--ratio", "9"], "either"),
        (["--to", "nowhere"], "address"),
    ],
)
def test_impossible_calls_are_refused(wav, options, part):
    done = runner.invoke(command.app, ["send", str(wav), *options])
    assert isinstance(done.exception, UsageError) and part in str(done.exception)


@pytest.mark.network
def test_nothing_received_is_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(telemetry_link, "record", lambda *arguments: None)
    done = runner.invoke(command.app, ["receive", "udp://127.0.0.1:0", str(tmp_path / "o.spkt")])
    assert isinstance(done.exception, DataError) and "no telemetry key" in str(done.exception)
    assert not list(tmp_path.iterdir())

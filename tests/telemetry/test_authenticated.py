"""Authenticated telemetry: nothing counts but what has a tag of the key, each packet once, and the budget holds."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import spikey
from kit.tags import TELEMETRY_TAGS, is_of_telemetry
from spikey import Missing, PacketContents, TelemetryDecoder, TelemetryEncoder, TelemetrySettings
from spikey.base.errors import DataError, UsageError
from spikey.cli import app
from spikey.recording.layout import Layout, pack
from spikey.recording.simulate import simulate
from spikey.recording.wav import canonical_head
from spikey.stream.authentication import STREAM, TELEMETRY, Authenticator
from spikey.stream.key_file import new_key, read_key
from spikey.stream.seen import Seen
from spikey.telemetry.file import packets_in, read_telemetry
from spikey.telemetry.link import Receiver, facts
from spikey.telemetry.packet import (
    CHECK_BYTES,
    KEY,
    LAST,
    MAGIC,
    NUMBERS,
    head_bytes,
    packet_length,
    read_packet,
    tag_size,
    write_packet,
)
from spikey.telemetry.schedule import Schedule
from spikey.telemetry.settings import shape_of
from spikey.telemetry.verifier import Verifier, number_near

RATE, CHANNELS, SECONDS = 20_000, 40, 2
BUDGET = 120e3
SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
runner = CliRunner()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(SECONDS * RATE, CHANNELS, RATE, seed=3)


def encoded(samples: np.ndarray, stream: int = 5, key: bytes | None = SECRET, **options) -> list[bytes]:
    chosen = TelemetrySettings(**{"budget": BUDGET, "key_s": 0.5, **options})
    encoder = TelemetryEncoder(samples.shape[1], RATE, settings=chosen, stream=stream, key=key)
    return encoder.push(samples) + encoder.close()


@pytest.fixture(scope="module")
def packets(samples) -> list[bytes]:
    return encoded(samples)


def decode(packets: list[bytes], decoder: TelemetryDecoder) -> list[PacketContents | Missing]:
    return [item for packet in packets for item in decoder.push(packet)] + decoder.finish()


@pytest.fixture(scope="module")
def events(packets) -> int:
    decoder = TelemetryDecoder(SECRET)
    items = decode(packets, decoder)
    assert decoder.ended == SECONDS * RATE and all(isinstance(item, PacketContents) for item in items)
    assert decoder.counts.read == len(packets) and decoder.counts.unauthenticated == 0
    return sum(len(item.event_frames) for item in items)


def keys_of(packets: list[bytes]) -> list[int]:
    return [number for number, packet in enumerate(packets) if read_packet(packet).flags & KEY]


@pytest.mark.parametrize("size", [0, 4, 8, 16])
def test_the_tags_are_those_of_the_documents(samples, size):
    packets = encoded(samples[:10_000], tag_bytes=size)
    assert {TELEMETRY_TAGS[packet[0] & 0xF8] for packet in packets} == {size or 4}
    assert all(is_of_telemetry(packet, SECRET, 5, number) for number, packet in enumerate(packets))
    assert not any(is_of_telemetry(packet, OTHER, 5, number) for number, packet in enumerate(packets))
    assert [packet_length(packet) for packet in packets] == [len(packet) for packet in packets]
    decoder = TelemetryDecoder(SECRET)
    decode(packets, decoder)
    assert decoder.ended == 10_000 and decoder.description is not None
    assert decoder.description.settings.tag_bytes == size or size == 0


def test_both_ends_reckon_with_the_same_settings(samples):
    for size in (4, 8, 16):
        wanted = TelemetrySettings(budget=BUDGET, tag_bytes=size)
        encoder, decoder = TelemetryEncoder(CHANNELS, RATE, settings=wanted, key=SECRET), TelemetryDecoder(SECRET)
        decode(encoder.push(samples[:2000]), decoder)
        assert decoder.description is not None and decoder.description.settings == encoder.settings
        assert decoder.shape == encoder.shape


@pytest.mark.parametrize("key, size", [(None, None), (OTHER, None), (SECRET[:16], None), (SECRET, 8)])
def test_who_has_no_key_or_another_gets_nothing(packets, key, size):
    decoder = TelemetryDecoder(key, tag_bytes=size)
    assert decode(packets, decoder) == [] and decoder.description is None and decoder.ended is None
    counts = decoder.counts
    assert counts.unauthenticated == len(keys_of(packets)) and counts.early == len(packets) - counts.unauthenticated


def test_who_has_a_key_takes_nothing_without_a_tag(samples, packets):
    plain = encoded(samples, key=None)
    decoder = TelemetryDecoder(SECRET)
    assert decode(plain, decoder) == [] and decoder.description is None
    decoder = TelemetryDecoder(SECRET)
    mixed = [each for pair in zip(packets, plain, strict=False) for each in pair] + packets[len(plain) :]
    decode(mixed, decoder)
    assert decoder.ended == SECONDS * RATE and decoder.counts.read == len(packets)
    assert decoder.counts.unauthenticated == min(len(plain), len(packets))


def test_shorter_tags_than_the_first_are_refused(samples, packets):
    """A stream of longer tags cannot be entered by guessing shorter ones, though the receiver takes these of others."""
    long, decoder = encoded(samples, tag_bytes=8), TelemetryDecoder(SECRET)
    decoder.push(long[0])
    for packet in packets[1:20]:
        assert decoder.push(packet) == []
    assert decoder.counts.unauthenticated == 19


@pytest.mark.parametrize("which", ["key", "other", "last"])
def test_any_flipped_bit_and_any_cut_is_refused(samples, which):
    packets = encoded(samples[:12_000])
    at = {"key": keys_of(packets)[1], "other": 25, "last": len(packets) - 1}[which]
    decoder = TelemetryDecoder(SECRET)
    for packet in packets[:at]:
        decoder.push(packet)
    before = replace(decoder.counts)
    for bit in range(8 * len(packets[at])):
        changed = bytearray(packets[at])
        changed[bit // 8] ^= 1 << bit % 8
        assert decoder.push(bytes(changed)) == []
    for size in range(len(packets[at])):
        assert decoder.push(packets[at][:size]) == []
    counts = decoder.counts
    assert (counts.read, counts.lost, counts.late) == (before.read, before.lost, before.late)
    assert counts.damaged + counts.unauthenticated == 9 * len(packets[at])
    for packet in packets[at:]:
        decoder.push(packet)
    assert decoder.ended == 12_000 and decoder.counts.lost == 0


def test_any_flipped_bit_of_the_first_key_is_refused(packets):
    for bit in range(8 * len(packets[0])):
        changed = bytearray(packets[0])
        changed[bit // 8] ^= 1 << bit % 8
        decoder = TelemetryDecoder(SECRET)
        assert decoder.push(bytes(changed)) == [] and decoder.description is None


def test_a_packet_counts_once_in_whatever_order(packets, events):
    chance = random.Random(1)
    order = sorted(range(len(packets)), key=lambda i: i + chance.random() * 4)
    sent = [packets[i] for i in order for _ in range(chance.choice((1, 2)))]
    decoder = TelemetryDecoder(SECRET)
    items = decode(sent, decoder) + [item for packet in packets for item in decoder.push(packet)]
    assert sum(len(item.event_frames) for item in items) == events
    assert decoder.counts.late == len(sent) and decoder.counts.unauthenticated == 0


def test_a_packet_from_65536_packets_before_is_refused(packets):
    """Its number in the packet is the one that comes next; the whole one, of which its tag is, is not."""
    key = read_packet(packets[0]).description
    assert key is not None
    number = next(n for n in range(NUMBERS, 2 * NUMBERS) if Schedule(key.shape).opens(n))
    authenticator = Authenticator(SECRET, TELEMETRY, 5, 4)
    start = write_packet(KEY, number, b"", replace(key, packet=number).write(), authenticator)
    decoder = TelemetryDecoder(SECRET)
    decoder.push(start)
    assert decoder.description is not None
    old = write_packet(0, number + 1 - NUMBERS, b"", b"", authenticator)
    new = write_packet(0, number + 1, b"", b"", authenticator)
    assert old[:-4] == new[:-4] and read_packet(old).number == (number + 1) % NUMBERS
    before = decoder.counts.unauthenticated
    assert decoder.push(old) == [] and decoder.counts.unauthenticated == before + 1
    assert decoder.push(new) != [] and decoder.counts.unauthenticated == before + 1
    receiver = Receiver(io.BytesIO(), key=SECRET)
    receiver.take([(start, "a"), (old, "x"), (new, "a")])
    assert receiver.unauthenticated == 1 and receiver.written == 2


def test_numbers_near_another():
    packet = read_packet(write_packet(0, 65_530, b""))
    assert number_near(packet, 65_540) == 65_530 and number_near(packet, 10 * NUMBERS) == 10 * NUMBERS - 6
    assert number_near(packet, 0) == -6  # of before the stream: of which no tag is valid
    verifier = Verifier(SECRET)
    first = encoded(np.zeros((100, 2), np.int16))[0]
    assert verifier.takes(read_packet(first), first, 0)
    tagged = write_packet(0, 65_530, b"", b"", Authenticator(SECRET, TELEMETRY, 5, 4))
    assert not verifier.takes(read_packet(tagged), tagged, -6)


def test_packets_of_another_stream_or_protocol_with_the_same_key_are_refused(samples, packets, events):
    other, decoder = encoded(samples, stream=6), TelemetryDecoder(SECRET)
    crossed = [
        packet[:-4] + Authenticator(SECRET, STREAM, 5, 4).tag(number, packet[:-4])
        for number, packet in enumerate(packets)
    ]
    assert all(decoder.push(packet) == [] for packet in crossed) and decoder.description is None
    mixed = [each for trio in zip(packets, other, crossed, strict=True) for each in trio]
    items = decode(mixed, decoder)
    assert sum(len(item.event_frames) for item in items) == events and decoder.counts.read == len(packets)


def test_packets_before_the_first_key_are_verified_when_it_has_come(packets, events):
    """Those that the key has overtaken count; what a stranger sent before it does not."""
    strange = write_packet(0, 1, b"x" * 20, b"", Authenticator(OTHER, TELEMETRY, 5, 4))
    decoder = TelemetryDecoder(SECRET)
    items = decode([strange, packets[1], packets[2], packets[0], *packets[3:]], decoder)
    assert sum(len(item.event_frames) for item in items) == events
    assert decoder.counts.read == len(packets) and decoder.counts.early == 1


@pytest.mark.parametrize("loss", [0.02, 0.3])
def test_losses_are_missing_and_nothing_else(packets, loss):
    chance, decoder = random.Random(2), TelemetryDecoder(SECRET)
    kept = [packet for packet in packets[1:-1] if chance.random() >= loss]
    at = 0
    for item in decode([packets[0], *kept, packets[-1]], decoder):
        assert item.first_frame == at <= item.end_frame
        at = item.end_frame
    assert at == SECONDS * RATE and decoder.counts.unauthenticated == 0
    assert decoder.counts.lost == len(packets) - 2 - len(kept)


# The budget


@pytest.mark.parametrize("size", [0, 4, 8, 16])
@pytest.mark.parametrize("budget", [30e3, 120e3, 2e6])
def test_the_budget_holds_with_tags(samples, size, budget):
    key = SECRET if size else None
    settings = TelemetrySettings(budget=budget, tag_bytes=size)
    encoder = TelemetryEncoder(CHANNELS, RATE, settings=settings, key=key)
    packets = encoder.push(samples) + encoder.close()
    bits = [8 * len(packet) for packet in packets]
    assert 8 * len(MAGIC) + sum(bits) <= SECONDS * budget
    a_second = RATE // encoder.shape.frames
    assert max(sum(bits[at : at + a_second]) for at in range(0, max(len(bits) - a_second, 1))) <= budget
    assert {tag_size(packet) for packet in packets} == {size}
    headers = 8 * (head_bytes(1 << 7, size)) * len(packets)
    assert headers <= 0.115 * budget * SECONDS


@pytest.mark.parametrize("size, bits, share, packet", [(4, 8, 1.1, 0.75), (8, 40, 2.7, 1.5), (16, 104, 4.6, 2.25)])
def test_the_cost_that_the_document_has_of_1024_channels_at_1_mbit(size, bits, share, packet):
    """docs/telemetry-links.md: bits a packet more, their share of the budget, and how long a packet then lasts."""
    shape = shape_of(TelemetrySettings(tag_bytes=size), 1024, 20_000)
    more = 8 * (size - CHECK_BYTES)
    assert more == bits and 1000 * shape.frames / shape.rate == packet
    assert round(100 * more * shape.rate / shape.frames / 1e6, 1) == share
    page = (Path(__file__).parents[2] / "docs" / "telemetry-links.md").read_text()
    assert f"| {size} | 2^-{8 * size} | {bits} | {share} % | {packet} ms |" in page


# Receivers


def received(arrived: list[tuple[bytes, object]], **options) -> tuple[Receiver, bytes]:
    file = io.BytesIO()
    receiver = Receiver(file, **options)
    for at in range(0, len(arrived), 7):
        receiver.take(arrived[at : at + 7])
    receiver.finish()
    return receiver, file.getvalue()


def forged(chance: random.Random, number: int, packets: list[bytes], key: bytes | None) -> bytes:
    """A packet of stream 5 that somebody without the sender's key makes: every kind, next, near and far."""
    authenticator = None if key is None else Authenticator(key, TELEMETRY, 5, 4)
    flags = chance.choice([0, 0, LAST, KEY, 4])
    at = max(number + chance.choice([0, 1, 2, 8, 64, 1000, 30_000, -1]), 0)
    described = b""
    if flags & KEY:
        key_of_stream = read_packet(packets[0]).description
        assert key_of_stream is not None
        described = replace(key_of_stream, packet=at).write()
    return write_packet(flags, at, chance.randbytes(chance.randrange(60)), described, authenticator)


def test_nobody_without_the_key_changes_anything(packets):
    chance = random.Random(1)
    arrived: list[tuple[bytes, object]] = []
    for number, packet in enumerate(packets):
        for _ in range(3):
            arrived.append((forged(chance, number, packets, chance.choice([None, OTHER])), chance.choice(["a", "x"])))
        damaged = bytearray(packet)
        damaged[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
        arrived += [(bytes(damaged), "x"), (packet, chance.choice(["a", "b"]))]  # the sender has two addresses
    receiver, written = received(arrived, key=SECRET)
    found = facts(receiver)
    assert written == MAGIC + b"".join(packets)
    assert found["complete"] and not found["missing"] and found["end"] == "end packet"
    # What came before the first key waited for it, and was no packet of the stream's then.
    counts = found["packets"]
    assert counts["unauthenticated"] + counts["damaged"] + counts["early"] == 4 * len(packets)
    assert counts["late"] == counts["lost"] == 0


def test_replays_are_late_and_move_nothing(packets):
    receiver, written = received([*((p, "a") for p in packets[:60]), *((p, "x") for p in packets[:60])], key=SECRET)
    assert receiver.late == 60 and receiver._sender == "a" and written == MAGIC + b"".join(packets[:60])


def test_a_listed_stream_is_refused_and_another_one_received(samples, packets, tmp_path):
    path, lines = tmp_path / "seen.txt", []
    receiver, _ = received([(p, "a") for p in packets], key=SECRET, seen=Seen(path, "telemetry"))
    assert facts(receiver)["complete"] and path.read_text() == "telemetry 5\n"
    other = encoded(samples[:RATE], stream=6)
    mixed = [(p, "x") for p in packets] + [(p, "a") for p in other]
    receiver, written = received(mixed, key=SECRET, seen=Seen(path, "telemetry"), log=lines.append)
    assert facts(receiver)["stream"] == 6 and facts(receiver)["complete"] and written == MAGIC + b"".join(other)
    assert lines[0] == "ignored: stream 5 from x, which was received before"
    receiver, _ = received(
        [(p, "x") for p in packets], key=SECRET
    )  # as documented: without the list it is played again
    assert facts(receiver)["complete"]


def test_only_the_stream_that_is_asked_for_is_received(samples, packets):
    mixed = [(p, "a") for p in encoded(samples[:RATE], stream=6)] + [(p, "a") for p in packets]
    receiver, written = received(mixed, key=SECRET, stream=5)
    assert facts(receiver)["stream"] == 5 and written == MAGIC + b"".join(packets)


@pytest.mark.parametrize(
    "sender, own, part",
    [
        ({}, None, "give its key with --key-file"),
        ({"key": None}, SECRET, "no tags"),
        ({"key": OTHER}, SECRET, "not of this key"),
    ],
)
def test_a_receiver_reports_streams_that_it_does_not_verify(samples, sender, own, part):
    lines: list[str] = []
    sent = encoded(samples[:RATE], **sender)
    receiver, written = received([(p, "a") for p in sent], key=own, log=lines.append)
    assert receiver.description is None and written == MAGIC and len(lines) == 1 and part in lines[0]
    assert receiver.unauthenticated + receiver.early == len(sent)
    with pytest.raises(DataError, match="no telemetry key"):
        facts(receiver)


def test_a_stranger_s_copy_of_a_key_silences_no_stream_without_tags(samples):
    """Somebody repeats the stream's keys from an address of their own: the sender's packets count nevertheless."""
    packets = encoded(samples, key=None)
    arrived: list[tuple[bytes, object]] = []
    for packet in packets:
        arrived.append((packet, "a"))
        if read_packet(packet).flags & KEY:
            arrived.append((packet, "x"))
    receiver, written = received(arrived)
    found = facts(receiver)
    assert written == MAGIC + b"".join(packets) and not found["missing"] and found["complete"]
    counts = found["packets"]  # the first one came before it was known who the sender is
    assert counts["late"] == len(keys_of(packets)) - 1 and counts["foreign"] == 1


# Files and commands


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("key") / "k"
    new_key(path)
    return path


@pytest.fixture(scope="module")
def wav(samples, tmp_path_factory) -> Path:
    path, layout = tmp_path_factory.mktemp("telemetry") / "a.wav", Layout(CHANNELS, RATE, "int16")
    path.write_bytes(canonical_head(layout, len(samples)) + pack(samples, layout))
    return path


def test_files_are_read_with_their_key_only(wav, key, tmp_path):
    path = tmp_path / "a.spkt"
    words = ["telemetry", "encode", str(wav), str(path), "--key-file", str(key), "--tag-bytes", "8", "--json"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    events = json.loads(done.stdout)["events"]
    telemetry = spikey.read_telemetry(path, key=read_key(key))
    assert len(telemetry.event_frames) == events > 0 and not telemetry.missing
    assert telemetry.description.settings.tag_bytes == 8
    done = runner.invoke(app, ["telemetry", "decode", str(path), "--key-file", str(key), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["events"] == events
    for words in (["telemetry", "decode"], ["info"], ["verify"]):
        done = runner.invoke(app, [*words, str(path)])
        shown = str(done.exception) + done.output
        assert done.exit_code and "is authenticated, and read with its key only" in shown and "--key-file" in shown
    plain = tmp_path / "b.spkt"
    assert runner.invoke(app, ["telemetry", "encode", str(wav), str(plain)]).exit_code == 0
    with pytest.raises(UsageError, match=r"b.spkt: is not authenticated.*read it without"):
        read_telemetry(plain, key=read_key(key))
    with pytest.raises(DataError, match="contains no telemetry key"):
        read_telemetry(path, key=OTHER)
    done = runner.invoke(app, ["telemetry", "encode", str(wav), str(tmp_path / "c.spkt"), "--tag-bytes", "8"])
    assert isinstance(done.exception, UsageError) and "tags need a key" in str(done.exception)


def test_damaged_files_lose_what_is_damaged(packets):
    """Whatever is not verified is passed over, and reading goes on at the next packet that is."""
    chance = random.Random(4)
    damaged, at, kept = bytearray(MAGIC), 0, []
    for number, packet in enumerate(packets):
        if number and chance.random() < 0.1:
            spoiled = bytearray(packet)
            spoiled[chance.randrange(len(packet))] ^= 1 + chance.randrange(255)
            damaged += spoiled
            at += 1
        else:
            damaged += packet
            kept.append(packet)
    assert at > 10 and list(packets_in(bytes(damaged), "a test", key=SECRET)) == kept
    noise = MAGIC + packets[0] + chance.randbytes(5000) + packets[1]
    assert list(packets_in(noise, "a test", key=SECRET)) == packets[:2]


def test_a_pipe_carries_authenticated_telemetry(wav, key, tmp_path):
    import subprocess
    import sys

    from kit.paths import SOURCE

    environment = {"PYTHONPATH": str(SOURCE), "PATH": ""}
    spikey_, secured = [sys.executable, "-m", "spikey", "telemetry"], ["--key-file", str(key)]
    out, seen = tmp_path / "o.spkt", tmp_path / "seen"
    sending = subprocess.Popen(
        [*spikey_, "send", str(wav), "--to", "-", *secured], stdout=subprocess.PIPE, env=environment
    )
    done = subprocess.run(
        [*spikey_, "receive", "-", str(out), "--json", *secured, "--seen", str(seen)],
        stdin=sending.stdout,
        capture_output=True,
        env=environment,
        timeout=120,
    )
    assert sending.wait(60) == 0 and done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["complete"] and found["frames"] == SECONDS * RATE and found["packets"]["unauthenticated"] == 0
    assert seen.read_text() == f"telemetry {found['stream']}\n"
    assert len(read_telemetry(out, key=read_key(key)).event_frames) == found["events"]

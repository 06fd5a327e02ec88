"""Packets of strangers in streams without tags: a single one with a right checksum silences no group."""

from __future__ import annotations

import numpy as np
import pytest

from kit.links import CHANNELS, FRAMES, RATE, assert_whole, encoded, from_, whole
from spikey import Decoder, Segment
from spikey.base.wire import varint
from spikey.levels.n1 import N1Levels
from spikey.recording.simulate import simulate
from spikey.stream import receiver as receiver_module
from spikey.stream.decoder import WINDOW
from spikey.stream.packet import KEY, LAST, RAW, Description, read_packet, write_packet
from spikey.stream.receiver import Receiver
from spikey.stream.recording import facts


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, seed=4)


def stray(kind: str, number: int) -> bytes:
    """A stranger's packet of stream 7 with a right checksum and a number far ahead."""
    described = Description(CHANNELS, float(RATE), "int16", 0, CHANNELS, N1Levels(), b"", FRAMES // 2).write()
    if kind == "key":
        return write_packet(KEY, 7, 0, number, 20, described + bytes(CHANNELS + 40))
    if kind == "raw":
        return write_packet(RAW, 7, 0, number, 20, described + bytes(2 * CHANNELS * 20))
    if kind == "last":
        return write_packet(LAST, 7, 0, number, 0, varint(FRAMES))
    return write_packet(0, 7, 0, number, 20, bytes(40))


def missing(packets: list[bytes], decoder: Decoder) -> int:
    """Frames that are not delivered."""
    items = [item for packet in packets for item in decoder.push(packet)] + decoder.finish()
    return FRAMES - sum(len(item.samples) for item in items if isinstance(item, Segment))


@pytest.mark.parametrize("kind", ["key", "raw", "last", "other"])
@pytest.mark.parametrize("ahead", [WINDOW, 1000, 1 << 20])
@pytest.mark.parametrize("again", [1, 5])
def test_one_packet_far_ahead_silences_no_group(samples, kind, ahead, again):
    packets = whole(samples)
    mixed = packets[:100] + [stray(kind, 100 + ahead)] * again + packets[100:]
    assert missing(mixed, Decoder()) == 0
    trusting = Decoder()
    trusting._far = None  # as with a key, where every packet that counts is the sender's
    assert missing(mixed, trusting) > 0


def test_a_group_that_two_packets_silence_goes_on_with_its_next_key(samples):
    """The sender's key is behind what they claim, and begins where the group has come to: so that was not true."""
    packets = whole(samples)
    mixed = [*packets[:105], stray("other", 5000), stray("other", 5001), *packets[105:]]
    assert 0 < missing(mixed, Decoder()) < 0.02 * RATE  # up to a key interval


def test_two_packets_far_ahead_end_a_real_outage_at_once(samples):
    """What comes after a pause is decoded from the first key in it, though it is far ahead."""
    packets = whole(samples)
    key = next(i for i, p in enumerate(packets) if i >= 100 + 2 * WINDOW and read_packet(p).flags & KEY)
    decoder = Decoder()
    frames = missing(packets[:100] + packets[key:], decoder)
    assert frames == read_packet(packets[key]).description.first_frame - 100 * 20
    assert decoder.ended and decoder.counts.lost == key - 100


def test_an_end_packet_alone_after_an_outage_is_the_end(samples):
    packets, last = encoded(samples)
    decoder = Decoder()
    assert missing(packets[:100] + last, decoder) == FRAMES - 100 * 20
    assert decoder.ending and decoder.ended


def test_a_sender_whose_place_another_took_gets_it_back(samples, tmp_path, monkeypatch):
    """A stranger speaks while the sender is silent, and goes on doing so: it injects, but it silences nobody."""
    packets, last = encoded(samples)
    with Receiver(tmp_path / "o.spky") as receiver:
        receiver.take(from_(packets[:100], "a"))
        monkeypatch.setattr(receiver_module, "SILENT", 0.0)  # as if a second had passed
        receiver.take(from_([stray("other", 1 << 20)], "x"))
        assert receiver.streams[0].sender == "x"
        monkeypatch.undo()
        for at in range(100, len(packets)):
            receiver.take([(packets[at], "a"), (stray("other", 1 << 20), "x")])
        receiver.take(from_(last, "a"))
    assert_whole(receiver, samples)
    assert receiver.foreign >= len(packets) - 100


def test_packets_with_a_tag_are_ignored_where_there_is_no_key(samples, tmp_path, monkeypatch):
    """Also as signs of a sender: nothing shows that they are whole."""
    packets, last = encoded(samples)
    tagged = encoded(samples, stream=7, key=bytes(32))[0]
    monkeypatch.setattr(receiver_module, "SILENT", 0.0)
    lines: list[str] = []
    with Receiver(tmp_path / "o.spky", log=lines.append) as receiver:
        receiver.take(from_(tagged[:5], "x"))
        receiver.take(from_(packets[:100], "a"))
        receiver.take(from_(tagged, "x"))
        assert receiver.streams[0].sender == "a" and receiver.streams[0].packets == 100
        receiver.take(from_(packets[100:] + last, "a"))
    found = facts(receiver.streams[0])
    assert found["packets"]["unauthenticated"] == len(tagged) and receiver.unauthenticated == 5
    assert_whole(receiver, samples)
    assert len(lines) == 1 and "give its key with --key-file" in lines[0]

"""Authenticated streams: nothing counts but what has a tag of the key, each packet once; what that costs."""

from __future__ import annotations

import random
from hashlib import blake2s

import numpy as np
import pytest

from kit.tags import STREAM_TAGS, is_of_stream
from spikey import Decoder, Encoder, Gap, Segment, TelemetryEncoder
from spikey.base.errors import DataError
from spikey.recording.simulate import simulate
from spikey.stream import parity as parity_module
from spikey.stream.authentication import STREAM, Authenticator
from spikey.stream.group import Group
from spikey.stream.packet import KEY, LAST, MARKS, PARITY, Packet, read_packet, tag_size, write_packet
from spikey.stream.verifier import Verifier

RATE, CHANNELS, FRAMES, PUSH = 20_000, 32, 1200, 20
SMALL = 262  # bytes of a packet: CHANNELS are a few groups
KEY_BYTES, OTHER = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, seed=1)


def encoded(samples: np.ndarray, **options) -> tuple[Encoder, list[bytes]]:
    settings = {"packet_bytes": SMALL, "key_interval": 0.01, "stream": 7, "key": KEY_BYTES} | options
    encoder = Encoder(samples.shape[1], RATE, **settings)
    packets = [p for at in range(0, len(samples), PUSH) for p in encoder.push(samples[at : at + PUSH])]
    return encoder, packets + encoder.close()


@pytest.fixture(scope="module")
def packets(samples) -> list[bytes]:
    return encoded(samples)[1]


def delivered(packets: list[bytes], decoder: Decoder) -> list[Segment | Gap]:
    return [item for packet in packets for item in decoder.push(packet)] + decoder.finish()


def is_all(samples: np.ndarray, items: list[Segment | Gap]) -> bool:
    """Whether all samples were delivered, once."""
    seen = np.zeros(samples.shape, dtype=np.int64)
    for item in items:
        if isinstance(item, Gap):
            return False
        rows = slice(item.first_frame, item.first_frame + len(item.samples))
        columns = slice(item.first_channel, item.first_channel + item.samples.shape[1])
        assert np.array_equal(samples[rows, columns], item.samples)
        seen[rows, columns] += 1
    return bool((seen == 1).all())


@pytest.mark.parametrize("size", [None, 4, 8, 16])
@pytest.mark.parametrize("parity", [0, 2])
def test_the_tags_are_those_of_the_documents(samples, size, parity):
    _, packets = encoded(samples[:200], tag_bytes=size, parity=parity)
    assert {STREAM_TAGS[packet[0] >> 4] for packet in packets} == {size or 8}
    assert all(is_of_stream(packet, KEY_BYTES) for packet in packets)
    assert not any(is_of_stream(packet, OTHER) for packet in packets)
    assert max(map(len, packets)) <= SMALL
    decoder = Decoder(key=KEY_BYTES, tag_bytes=size)
    assert is_all(samples[:200], delivered(packets, decoder)) and decoder.ended
    assert decoder.counts.unauthenticated == decoder.counts.damaged == 0


def test_without_a_key_packets_are_what_they_were(samples):
    """Bytes of streams without tags did not change when tags came; a tag is instead of the checksum."""
    _, plain = encoded(samples[:400], key=None, packet_bytes=None)
    _, tagged = encoded(samples[:400], packet_bytes=None)
    assert [p[0] >> 4 for p in plain] == [0xB] * len(plain) and len(plain) == len(tagged)
    for one, other in zip(plain, tagged, strict=True):
        described = bool(one[0] & KEY)  # whose description has a byte more: how often numbers began anew
        assert len(other) - len(one) == 8 - 4 + described
        assert one[1:11] == other[1:11]
        if not described:
            assert one[11:-4] == other[11:-8]


@pytest.mark.parametrize(
    "options",
    [{}, {"key": OTHER}, {"key": KEY_BYTES[:16]}, {"key": KEY_BYTES, "tag_bytes": 16}, {"key": OTHER, "stream": 7}],
)
def test_who_has_no_key_or_another_gets_nothing(packets, options):
    decoder = Decoder(**options)
    assert delivered(packets, decoder) == [] and decoder.description is None
    counts = decoder.counts
    assert counts.taken == counts.damaged == 0 and counts.unauthenticated > 0
    assert counts.unauthenticated + counts.foreign == len(packets)


def test_who_has_a_key_takes_nothing_without_a_tag(samples):
    _, plain = encoded(samples, key=None)
    decoder = Decoder(7, key=KEY_BYTES)
    assert delivered(plain, decoder) == [] and decoder.counts.unauthenticated == len(plain)


def test_shorter_tags_than_the_first_or_than_is_asked_for_are_refused(samples, packets):
    _, short = encoded(samples, tag_bytes=4)
    decoder = Decoder(7, key=KEY_BYTES)
    assert delivered(short, decoder) == [] and decoder.counts.unauthenticated == len(short)
    decoder = Decoder(7, key=KEY_BYTES, tag_bytes=4)
    items = [item for pair in zip(packets, short, strict=False) for packet in pair for item in decoder.push(packet)]
    assert decoder.counts.unauthenticated == min(len(packets), len(short)) and items


@pytest.mark.parametrize("which", ["key", "other", "last", "parity"])
def test_any_flipped_bit_and_any_cut_is_refused(samples, which):
    _, packets = encoded(samples[:200], parity=1)
    flags = {"key": KEY, "other": 0, "last": LAST, "parity": PARITY}[which]
    at = next(i for i, p in enumerate(packets) if read_packet(p).flags == flags and (flags or i > 20))
    decoder = Decoder(7, key=KEY_BYTES)
    for packet in packets[:at]:
        decoder.push(packet)
    taken, expected = decoder.counts.taken, decoder.wanted()
    for bit in range(8 * len(packets[at])):
        changed = bytearray(packets[at])
        changed[bit // 8] ^= 1 << bit % 8
        assert decoder.push(bytes(changed)) == []
    for size in range(len(packets[at])):
        assert decoder.push(packets[at][:size]) == []
    assert decoder.push(packets[at] + b"\0") == []
    assert decoder.counts.taken == taken and decoder.wanted() == expected and decoder.counts.recovered == 0
    for packet in packets[at:]:
        decoder.push(packet)
    assert decoder.ended and decoder.counts.lost == 0


def test_a_packet_counts_once(samples, packets):
    """Each packet is repeated at once, and all of them at the end."""
    decoder = Decoder(key=KEY_BYTES)
    items = [item for packet in packets for _ in range(2) for item in decoder.push(packet)]
    items += [item for packet in packets for item in decoder.push(packet)]
    assert is_all(samples, items + decoder.finish())
    assert decoder.counts.repeated == 2 * len(packets) and decoder.counts.taken == len(packets)


def test_reordered_and_repeated_packets_lose_nothing(samples, packets):
    chance = random.Random(3)
    order = sorted(range(len(packets)), key=lambda i: i + (chance.random() * 40 if i > 30 else 0))
    decoder = Decoder(key=KEY_BYTES)
    assert is_all(samples, delivered([packets[i] for i in order for _ in range(chance.choice((1, 2)))], decoder))


def test_lost_packets_are_recovered_and_then_verified_as_all(samples):
    _, packets = encoded(samples, parity=2, key_interval=1.0)
    data = [i for i, p in enumerate(packets) if not read_packet(p).flags]
    lost = set(random.Random(4).sample(data[20:], 12))
    decoder = Decoder(7, key=KEY_BYTES)
    kept = [p for i, p in enumerate(packets) if i not in lost]
    assert is_all(samples, delivered(kept, decoder))
    assert decoder.counts.recovered >= len(lost) and decoder.counts.unauthenticated == 0


def test_a_recovered_packet_without_a_valid_tag_is_refused(samples, monkeypatch):
    """Also where a sender that has the key would make a parity packet of one that it never sent."""
    _, packets = encoded(samples[:200], key_interval=1.0)
    groups = len({read_packet(packet).group for packet in packets})
    forged = write_packet(0, 7, 0, 5, PUSH, bytes(40), authenticator=Authenticator(OTHER, STREAM, 7, 8))
    parity = parity_module.parity_packets([forged], 1, 7, 0, Authenticator(KEY_BYTES, STREAM, 7, 8))
    decoder = Decoder(key=KEY_BYTES)
    for packet in packets[: 5 * groups]:
        decoder.push(packet)
    taken = decoder.counts.taken
    assert decoder.push(parity[0]) == []
    assert decoder.counts.recovered == 1 and decoder.counts.unauthenticated == 1 and decoder.counts.taken == taken


def test_replayed_parity_evicts_nothing(samples):
    _, packets = encoded(simulate(3000, CHANNELS, RATE, seed=2), parity=1)
    parity = [p for p in packets if read_packet(p).flags & PARITY]
    decoder = Decoder(7, key=KEY_BYTES)
    for packet in packets:
        decoder.push(packet)
    before = decoder.counts.repeated
    for packet in parity:
        decoder.push(packet)
    assert decoder.counts.repeated - before == len(parity) > parity_module.SETS


@pytest.mark.parametrize("streams", [(7, 8), (8, 7)])
def test_packets_of_another_stream_with_the_same_key_are_refused(samples, streams):
    """Also where somebody writes this stream's number into them."""
    mine, other = (encoded(samples[:400], stream=stream)[1] for stream in streams)
    decoder = Decoder(key=KEY_BYTES)
    items = []
    for one, two in zip(mine, other, strict=True):
        items += decoder.push(one)
        items += decoder.push(two)
        items += decoder.push(two[:1] + one[1:5] + two[5:])
    assert is_all(samples[:400], items + decoder.finish())
    assert decoder.counts.foreign == decoder.counts.unauthenticated == len(mine)


def test_telemetry_with_the_same_key_is_no_stream(samples):
    """With a telemetry packet's bytes, number and tag in a packet of a stream."""
    encoder = TelemetryEncoder(CHANNELS, RATE, stream=7, key=KEY_BYTES)
    key = encoder.push(samples)[0]
    data = write_packet(KEY, 7, 0, 0, 20, key)
    own = blake2s((7).to_bytes(4, "little") + b"\0", key=KEY_BYTES, person=b"spktlm").digest()
    body = bytes([0xD0 | KEY]) + data[1:-4]
    tag = blake2s(bytes(8) + body, key=own, digest_size=8, person=b"spktlm").digest()
    decoder = Decoder(key=KEY_BYTES)
    assert decoder.push(body + tag) == [] and decoder.counts.damaged + decoder.counts.unauthenticated == 1
    packet = Packet(0, 7, 0, 0, 20, None, b"")
    assert not Verifier(KEY_BYTES).takes(packet, b"\xd0" + data + tag, 0)


# Numbers that begin anew after 2^32


def late(encoder: Encoder, number: int) -> None:
    """Have an encoder go on with a number."""
    for group in encoder._groups:
        group.number = number


def test_numbers_begin_anew_and_packets_of_the_turn_before_are_refused(samples):
    """A receiver takes part in the whole, or joins after it; an old packet of the same number counts for neither."""
    encoder = Encoder(CHANNELS, RATE, packet_bytes=None, key_interval=0.01, stream=7, key=KEY_BYTES)
    first = [p for at in range(0, 400, PUSH) for p in encoder.push(samples[at : at + PUSH])]
    late(encoder, (1 << 32) - 15)
    packets = [p for at in range(400, FRAMES, PUSH) for p in encoder.push(samples[at : at + PUSH])] + encoder.close()
    turns = [0 if read_packet(p).number > 1 << 31 else 1 for p in packets]
    assert turns[0] == 0 and turns[-1] == 1
    assert all(is_of_stream(p, KEY_BYTES, turn) for p, turn in zip(packets, turns, strict=True))
    assert not any(is_of_stream(p, KEY_BYTES) for p, turn in zip(packets, turns, strict=True) if turn)
    for join in (0, 20):
        decoder = Decoder(key=KEY_BYTES)
        items = [item for packet in packets[join:] for old in (packet, *first) for item in decoder.push(old)]
        items += decoder.finish()
        assert decoder.ended and decoder.counts.taken == len([i for i in items if isinstance(i, Segment)]) + 1
        begun = [item.first_frame for item in items if isinstance(item, Segment)]
        assert min(begun) >= 400 and len(begun) == len(set(begun)) >= len(packets) - join - 11


def test_a_group_counts_whole_numbers():
    key = read_packet(encoded(np.zeros((20, 4), np.int16))[1][0]).description
    assert key is not None
    group = Group(key, (5 << 32) + 3)
    assert [group.whole(n) for n in (3, 4, 2, 0xFFFFFFFF)] == [(5 << 32) + n for n in (3, 4, 2)] + [(5 << 32) - 1]
    assert Group(key, (5 << 32) - 1).whole(2) == (5 << 32) + 2


# Before a key packet is verified, and what comes early


def test_nothing_of_a_stranger_is_believed_before_the_first_key(samples, packets):
    strange = encoded(samples, stream=9, key=OTHER)[1] + encoded(samples, stream=9, key=None)[1]
    decoder = Decoder(key=KEY_BYTES)
    assert all(decoder.push(packet) == [] for packet in strange)
    assert decoder.stream is None and decoder.description is None and not decoder.ending
    assert is_all(samples, delivered(packets, decoder))


def test_packets_that_overtake_their_group_s_first_key_count_when_it_has_come(samples, packets):
    groups = len({read_packet(packet).group for packet in packets})
    assert groups > 1
    early = [packets[0], *packets[groups : 2 * groups], *packets[1:groups], *packets[2 * groups :]]
    decoder = Decoder(key=KEY_BYTES)
    assert is_all(samples, delivered(early, decoder))


# Whether a packet counts, for receivers


def test_admit_is_for_what_is_authentic_and_new(samples):
    _, packets = encoded(samples[:200], parity=1)
    decoder = Decoder(7, key=KEY_BYTES)
    for packet in packets:
        assert not decoder.admit(packet[:-1] + bytes([packet[-1] ^ 1]))
        assert decoder.admit(packet)
        decoder.push(packet)
        assert not decoder.admit(packet)
    assert not decoder.admit(b"") and not decoder.admit(bytes(40))
    assert not decoder.admit(encoded(samples[:20], stream=8)[1][0])
    counts = decoder.counts
    assert (counts.unauthenticated, counts.repeated) == (len(packets), len(packets))
    assert counts.damaged == 2 and counts.foreign == 1


# Cost


@pytest.mark.parametrize("size", [4, 8, 16])
def test_the_cost_in_bytes(samples, size):
    """A tag takes the place of the checksum's four bytes; key packets have a byte more."""
    _, plain = encoded(samples, key=None, packet_bytes=None)
    _, tagged = encoded(samples, tag_bytes=size, packet_bytes=None)
    keys = sum(bool(read_packet(packet).flags & KEY) for packet in plain)
    assert sum(map(len, tagged)) - sum(map(len, plain)) == (size - 4) * len(plain) + keys


def test_marks_are_of_one_protocol_each():
    from spikey.telemetry import packet as telemetry

    marks = [*(mark >> 4 for mark in MARKS), *(mark >> 4 for mark in telemetry.MARKS)]
    assert len(set(marks)) == len(marks) == 6
    assert tag_size(b"") == telemetry.tag_size(b"") == 0
    for packet in (bytes([mark]) + bytes(13) for mark in MARKS):
        with pytest.raises(DataError, match="too short"):
            read_packet(packet)

"""The streaming codec: whatever happens to packets, what is delivered is right and what is missing is reported."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from kit.paths import SOURCE
from spikey import Decoder, Encoder, Gap, Segment
from spikey.base.errors import DataError, UsageError
from spikey.levels.affine import Affine
from spikey.levels.n1 import N1Levels
from spikey.levels.table import Table
from spikey.recording.simulate import simulate
from spikey.stream import decoder as decoder_module
from spikey.stream.packet import KEY, LAST, OVERHEAD, PARITY, RAW, Description, read_packet, write_packet
from spikey.stream.parity import HEAD, parity_packets

RATE = 20_000
CHANNELS = 32
PUSH = 20  # frames: a millisecond
SMALL = 200  # bytes of a packet: CHANNELS are three groups
FRAMES = 4000
KEYS = 0.02  # seconds


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, seed=1)


def encoded(samples: np.ndarray, push: int = PUSH, **options) -> tuple[Encoder, list[bytes], list[bytes]]:
    """The encoder, its packets, and those that end the stream."""
    options = {"packet_bytes": SMALL, "key_interval": KEYS} | options
    encoder = Encoder(samples.shape[1], RATE, str(samples.dtype), stream=7, **options)
    packets = [p for at in range(0, len(samples), push) for p in encoder.push(samples[at : at + push])]
    return encoder, packets, encoder.close()


@pytest.fixture(scope="module")
def packets(samples) -> list[bytes]:
    """Those of `samples`, with the ones that end the stream."""
    _, packets, last = encoded(samples)
    assert max(map(len, packets)) <= SMALL
    return packets + last


def delivered(packets: list[bytes], decoder: Decoder | None = None) -> list[Segment | Gap]:
    decoder = decoder or Decoder()
    return [item for packet in packets for item in decoder.push(packet)] + decoder.finish()


def share(samples: np.ndarray, items: list[Segment | Gap], end: int | None = None) -> float:
    """How much was delivered, after a check that it is right, and that the rest, and nothing else, is a gap."""
    end = len(samples) if end is None else end
    seen = np.zeros((end, samples.shape[1]), dtype=np.int64)
    arrived = 0
    for item in items:
        if isinstance(item, Gap):
            assert 0 <= item.first_frame < item.end_frame <= end
            seen[item.first_frame : item.end_frame, item.first_channel : item.first_channel + item.channels] += 1
            continue
        rows = slice(item.first_frame, item.first_frame + len(item.samples))
        columns = slice(item.first_channel, item.first_channel + item.samples.shape[1])
        assert item.samples.dtype == samples.dtype
        assert np.array_equal(samples[rows, columns], item.samples)
        seen[rows, columns] += 1
        arrived += item.samples.size
    assert (seen == 1).all()
    return arrived / seen.size if seen.size else 1.0


def bursts(packets: list[bytes], rate: float, length: int, seed: int) -> list[bytes]:
    """What is left when stretches of `length` packets are lost, a share `rate` of all."""
    chance = random.Random(seed)
    kept, left = [], 0
    for packet in packets:
        if left == 0 and chance.random() < rate / length:
            left = length
        if left:
            left -= 1
        else:
            kept.append(packet)
    return kept


def test_everything_arrives_and_compresses(samples, packets):
    decoder = Decoder()
    assert share(samples, delivered(packets, decoder)) == 1
    assert decoder.ended and decoder.counts.taken == len(packets)
    assert decoder.counts.lost == decoder.counts.undecodable == decoder.counts.damaged == 0
    _, large, _ = encoded(samples, packet_bytes=None, key_interval=1.0)
    assert samples.nbytes / sum(map(len, large)) > 3


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("length", [1, 10, 60])
def test_losses_are_exactly_what_is_reported(samples, packets, rate, length):
    for seed in range(2):
        kept = bursts(packets[:-3], rate, length, seed)
        decoder = Decoder()
        found = share(samples, delivered(kept + packets[-3:], decoder))
        assert found == 1 or len(kept) < len(packets) - 3
        share(samples, items := delivered(kept), max((ends(item) for item in items), default=0))


def ends(item: Segment | Gap) -> int:
    return item.end_frame if isinstance(item, Gap) else item.first_frame + len(item.samples)


def test_a_loss_heals_at_the_next_key(samples, packets):
    lost = [p for p in packets if not (read_packet(p).group == 1 and read_packet(p).number == 33)]
    items = delivered(lost)
    share(samples, items)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert len(gaps) == 1 and gaps[0].end_frame - gaps[0].first_frame <= KEYS * RATE
    first_channel = gaps[0].first_channel
    assert all(i.first_channel == first_channel for i in gaps)  # other groups lose nothing


@pytest.mark.parametrize("repair, least", [(None, 0.6), ("parity", 0.99), ("again", 0.99)])
def test_one_percent_of_random_losses_with_keys_every_100_ms(repair, least):
    """Two parity packets a push, of only two or three others here, double the bytes; two of 12 add a sixth."""
    samples = simulate(2 * RATE, CHANNELS, RATE, seed=2)
    encoder = Encoder(
        CHANNELS, RATE, packet_bytes=SMALL + 62, key_interval=0.1, parity=2 if repair == "parity" else 0, stream=7
    )
    chance = random.Random(5)
    decoder, items = Decoder(), []

    def carry(packets: list[bytes]) -> None:
        for packet in packets:
            if chance.random() >= 0.01:
                items.extend(decoder.push(packet))

    size = plain = 0
    for at in range(0, len(samples), PUSH):
        packets = encoder.push(samples[at : at + PUSH])
        size += sum(map(len, packets))
        plain += sum(len(packet) for packet in packets if not read_packet(packet).flags & PARITY)
        carry(packets)
        if repair == "again":
            again = [encoder.again(*name) for name in decoder.wanted()]
            size += sum(map(len, again))
            carry(again)
    for packet in encoder.close():
        items.extend(decoder.push(packet))
    assert share(samples, items + decoder.finish()) >= least
    assert size / plain < {None: 1.001, "parity": 2.2, "again": 1.1}[repair]


@pytest.mark.parametrize("push", [1, 5, 7, 20, 50])
@pytest.mark.parametrize("parity", [0, 1])
def test_groups_take_turns_with_packets_of_a_fixed_number_of_frames(samples, push, parity):
    encoder = Encoder(CHANNELS, RATE, packet_bytes=SMALL + 62, packet_frames=PUSH, key_interval=KEYS, parity=parity)
    groups = len(encoder.first) - 1
    assert groups > 1
    packets, sizes = [], []
    for at in range(0, len(samples), push):
        new = encoder.push(samples[at : at + push])
        sizes.append(len({read_packet(packet).group for packet in new if not read_packet(packet).flags & PARITY}))
        packets += new
    assert 0 < max(sizes[2 * PUSH // push :]) < (groups if push < PUSH / 2 else groups + 1)
    packets += encoder.close()
    read = [read_packet(packet) for packet in packets]
    assert max(p.frames for p in read if not p.flags & PARITY) <= PUSH
    assert share(samples, delivered(packets)) == 1
    if parity:
        lost = next(i for i in range(200, len(packets)) if not read[i].flags & PARITY)
        assert share(samples, delivered(packets[:lost] + packets[lost + 1 :])) == 1


def test_what_is_pushed_between_packets_may_be_of_other_levels_or_missing(samples):
    encoder = Encoder(CHANNELS, RATE, packet_bytes=SMALL, packet_frames=PUSH, key_interval=KEYS, jobs=2)
    frames = samples[:400].copy()
    frames[333, 7] += 1  # none of the N1's values
    packets = encoder.push(frames[:205])
    encoder.skip(30)
    packets += encoder.push(frames[205:]) + encoder.close()
    expected = np.concatenate([frames[:205], np.zeros((30, CHANNELS), np.int16), frames[205:]])
    items = delivered(packets)
    gaps = {(item.first_frame, item.end_frame) for item in items if isinstance(item, Gap)}
    assert gaps == {(205, 235)} and share(expected, items) == 400 / 430


def test_reordering_and_repetition_lose_nothing(samples, packets):
    chance = random.Random(3)
    keyed = sorted(range(len(packets)), key=lambda i: i + (chance.random() * 40 if i > 30 else 0))
    mixed = [packets[i] for i in keyed for _ in range(1 + (chance.random() < 0.3))]
    decoder = Decoder()
    assert share(samples, delivered(mixed, decoder)) == 1
    assert decoder.counts.repeated == len(mixed) - len(packets)


def test_reordering_over_the_window_is_a_loss_and_nothing_worse(samples, packets):
    chance = random.Random(4)
    share(samples, delivered(sorted(packets, key=lambda _: chance.random())), None if packets else 0)


def test_any_damaged_byte_is_noticed(packets):
    decoder = Decoder()
    decoder.push(packets[0])
    count = 0
    for packet in (packets[0], packets[3]):
        for at in range(len(packet)):
            damaged = bytearray(packet)
            damaged[at] ^= 1 + at % 255
            assert decoder.push(bytes(damaged)) == []
            assert decoder.push(packet[:at]) == []
            count += 2
    assert decoder.counts.damaged == count


def test_other_streams_and_floods_change_nothing(samples, packets):
    other = Encoder(CHANNELS, RATE, packet_bytes=SMALL, stream=8)
    chance = random.Random(5)
    decoder, items, strange = Decoder(), [], 0
    for index, packet in enumerate(packets):
        items += decoder.push(packet)
        items += decoder.push(chance.randbytes(chance.randrange(300)))
        if index % 3 == 0:
            for foreign in other.push(samples[:PUSH]):
                items += decoder.push(foreign)
                strange += 1
    assert share(samples, items + decoder.finish()) == 1
    counts = decoder.counts  # noise that begins like a packet with a tag is of another stream
    assert counts.foreign >= strange > 0 and counts.damaged + counts.foreign == len(packets) + strange


def test_a_late_receiver_begins_at_the_next_keys(samples, packets):
    items = delivered(packets[300:])
    found = share(samples, items)
    assert 0.4 < found < 0.5
    first = min(item.first_frame for item in items if isinstance(item, Segment))
    assert 2000 <= first <= 2000 + KEYS * RATE


def description(**changes) -> bytes:
    stated = {"channels": CHANNELS, "rate": float(RATE), "dtype": "int16", "first_channel": 0, "count": 11}
    stated |= {"levels": N1Levels(), "calibration": b"", "first_frame": 0}
    return Description(**stated | changes).write()


def test_hostile_packets_of_the_stream_are_survived(samples, packets):
    """Valid checksums and random contents: nothing raises, nothing overlaps, and no more than a stream may hold."""
    chance = random.Random(6)
    for seed in range(6):
        decoder, items = Decoder(stream=7), []
        for packet in packets[: 60 * seed]:
            items += decoder.push(packet)
        for _ in range(150):
            flags = chance.choice([0, KEY, RAW, PARITY, LAST, chance.randrange(16)])
            number = chance.choice([chance.randrange(40), 20 * seed + chance.randrange(40), chance.randrange(1 << 32)])
            head = chance.choice(
                [b"", description(first_frame=chance.choice([0, FRAMES, 1 << 60]), count=chance.choice([1, 11]))]
            )
            body = head + chance.randbytes(chance.randrange(100))
            items += decoder.push(write_packet(flags, 7, chance.randrange(4), number, chance.randrange(256), body))
            assert len(decoder.wanted()) <= 4 * decoder_module.WINDOW
        disjoint(items + decoder.finish())


def disjoint(items: list[Segment | Gap]) -> None:
    reached: dict[int, int] = {}
    for item in items:
        channels = item.channels if isinstance(item, Gap) else item.samples.shape[1]
        for channel in range(item.first_channel, item.first_channel + channels):
            assert item.first_frame >= reached.get(channel, 0)
            reached[channel] = ends(item)


@pytest.mark.parametrize(
    "packet",
    [
        write_packet(LAST, 7, 0, 1, 0, b""),
        write_packet(LAST, 7, 0, 1, 0, b"\xff" * 30),
        write_packet(KEY, 7, 0, 1, 20, description(dtype="int32") + bytes(60)),
        write_packet(KEY, 7, 0, 1, 20, description(count=CHANNELS + 1) + bytes(60)),
        write_packet(KEY, 7, 1, 0, 20, description(first_channel=5, count=4) + bytes(60)),  # overlaps another group
        write_packet(KEY, 7, 0, 1, 20, description(calibration=b"none") + bytes(60)),
        write_packet(KEY, 7, 0, 1, 20, description(first_frame=3) + bytes(60)),  # goes back
        write_packet(KEY, 7, 0, 1, 20, description(levels=Affine(1 << 16, low_bits=3)) + bytes(60)),
        write_packet(KEY, 7, 0, 1, 20, description(first_frame=20)),  # without scales
        write_packet(RAW, 7, 0, 1, 255, description(first_frame=20) + bytes(9)),
        write_packet(PARITY, 7, 0, 1, 0, b""),
        write_packet(PARITY, 7, 0, 1, 255, bytes(1000)),
        write_packet(PARITY, 7, 200, 1, 2, bytes(100)),
    ],
)
def test_a_malformed_packet_is_counted_and_no_more(packets, packet):
    decoder = Decoder()
    decoder.push(packets[0])
    assert decoder.push(packet) == []
    counts = decoder.counts
    assert counts.damaged + counts.undecodable == 1 or counts.repeated == 1
    assert [gap.end_frame for gap in decoder.finish() if gap.first_channel == 0] in ([], [20])


def test_parity_of_parity_is_refused(packets):
    """A packet that is recovered is never a parity packet, or one could be made to recover for ever."""
    decoder = Decoder(stream=7)
    decoder.push(packets[0])
    inner = parity_packets([write_packet(PARITY, 7, 1, 5, 1, bytes(50))], 1, 7, 0)[0]
    assert decoder.push(inner) == [] and decoder.counts.damaged == 1 and decoder.counts.recovered == 0


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("channels", [CHANNELS, 160])  # fewer and more packets a push than parity protects at once
def test_parity_recovers_as_many_packets_as_there_are_parity_packets(count, channels):
    samples = simulate(200, channels, RATE, seed=3)
    encoder = Encoder(channels, RATE, packet_bytes=SMALL + 62, stream=7, parity=count)
    chance, packets = random.Random(count), []
    for at in range(0, len(samples), PUSH):
        pushed = encoder.push(samples[at : at + PUSH])
        data = [p for p in pushed if not read_packet(p).flags & PARITY]
        assert len(pushed) - len(data) == count * -(-len(data) // 12) and max(map(len, pushed)) <= SMALL + 62
        lost = [
            i
            for first in range(0, len(data), 12)
            for i in chance.sample(range(first, min(first + 12, len(data))), min(count, len(data) - first))
        ]
        packets += [p for p in pushed if p not in [data[i] for i in lost]]
    decoder = Decoder(stream=7)  # else parity means nothing before the first key packet
    assert share(samples, delivered(packets + encoder.close(), decoder)) == 1
    assert decoder.counts.lost == 0 and decoder.counts.recovered > 0


def test_packets_can_be_sent_again(samples):
    encoder, packets, last = encoded(samples[:1000])
    decoder, items = Decoder(), []
    for packet in packets[:40] + packets[41:] + last:
        items += decoder.push(packet)
        for name in decoder.wanted():
            again = encoder.again(*name)
            assert again == packets[40]
            items += decoder.push(again)
    assert share(samples[:1000], items + decoder.finish()) == 1
    assert encoder.again(0, 10**6) is None


@pytest.mark.parametrize("skips", [[(0, 50)], [(5, 1), (6, 300)], [(49, 40)]])
def test_skipped_frames_are_gaps(samples, skips):
    encoder = Encoder(CHANNELS, RATE, packet_bytes=SMALL, stream=7)
    packets, gone, at = [], 0, 0
    for index in range(50):
        for where, frames in skips:
            if where == index:
                encoder.skip(frames)
                at, gone = at + frames, gone + frames
        packets += encoder.push(samples[at : at + PUSH])
        at += PUSH
    items = delivered(packets + encoder.close())
    assert share(samples[:at], items) == pytest.approx(1 - gone / at)
    assert sum(1 for item in items if isinstance(item, Gap)) == len(skips) * 3


def test_frames_come_in_any_number(samples):
    part = samples[:100]
    assert share(part, delivered([p for group in encoded(part, push=1)[1:] for p in group])) == 1
    chance = random.Random(8)
    encoder, packets, at = Encoder(CHANNELS, RATE, packet_bytes=SMALL, stream=7), [], 0
    while at < len(samples):
        count = chance.randint(1, 300)
        packets += encoder.push(samples[at : at + count])
        at += count
    assert encoder.push(samples[:0]) == []
    assert max(map(len, packets)) <= SMALL
    assert share(samples, delivered(packets + encoder.close())) == 1


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int8", "uint8"])
def test_all_types_and_noise_that_does_not_compress(dtype):
    info = np.iinfo(dtype)
    samples = np.random.default_rng(9).integers(info.min, info.max + 1, (300, 24)).astype(dtype)
    samples[100:200] = 3
    _, packets, last = encoded(samples)
    assert max(map(len, packets)) <= SMALL
    assert share(samples, delivered(packets + last)) == 1


def test_values_off_the_levels_travel_as_they_are(samples):
    odd = samples[:1000].copy()
    odd[300:310, 4] += 1
    for levels in (None, N1Levels()):  # found too narrow, or stated
        _, packets, last = encoded(odd, levels=levels)
        kinds = [read_packet(p).flags for p in packets]
        assert (RAW in kinds) == (levels is not None) and kinds[-1] in (0, KEY)
        assert share(odd, delivered(packets + last)) == 1


def test_the_same_bytes_with_two_threads(samples):
    one, two = (encoded(samples[:600], jobs=jobs, parity=1)[1:] for jobs in (1, 2))
    assert one == two


TINY = """
import sys, zlib, numpy, spikey
samples = (numpy.arange(240).reshape(60, 4) ** 2 % 977).astype("int16")
encoder, decoder = spikey.Encoder(4, 20000, stream=7, key_interval=0.002), spikey.Decoder()
packets = [p for at in range(0, 60, 20) for p in encoder.push(samples[at : at + 20])]
back = numpy.concatenate([s.samples for p in packets for s in decoder.push(p)])
assert (back == samples).all()
print(zlib.crc32(b"".join(packets)))
"""


def test_the_same_bytes_uncompiled():
    root = str(SOURCE)
    found = {
        subprocess.run(
            [sys.executable, "-c", TINY],
            env={**os.environ, "PYTHONPATH": root, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for disabled in ("0", "1")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 0},
        {"rate": 0},
        {"rate": float("nan")},
        {"rate": 10**400},
        {"calibration": "none"},
        {"stream": -1},
        {"stream": 1 << 32},
        {"dtype": "int32"},
        {"key_interval": 0},
        {"key_interval": float("inf")},
        {"parity": 33},
        {"jobs": 0},
        {"packet_bytes": 60},
        {"levels": Table((1, 5))},
        {"levels": N1Levels(), "dtype": "uint16"},
    ],
)
def test_impossible_encoders_are_refused(options):
    with pytest.raises(UsageError):
        Encoder(**{"channels": 4, "rate": RATE} | options)


def test_the_ends_of_ranges_are_accepted():
    for options in ({"rate": sys.float_info.max}, {"stream": 0}, {"stream": (1 << 32) - 1}, {"calibration": None}):
        encoder = Encoder(**{"channels": 4, "rate": RATE} | options)
        packets = encoder.push(np.zeros((20, 4), dtype="int16")) + encoder.close()
        assert share(np.zeros((20, 4), dtype="int16"), delivered(packets)) == 1


def test_frames_beyond_the_latest_that_there_can_be_are_refused(samples, packets):
    """A receiver with a clock sets the limit; nothing that is refused has any effect."""
    decoder, items = Decoder(stream=7), []
    late = [
        write_packet(KEY, 7, 0, 5, 20, description(first_frame=FRAMES + 1) + bytes(60)),
        write_packet(LAST, 7, 0, 5, 0, b"\xff\xff\x7f"),
        write_packet(KEY | LAST, 7, 0, 5, 0, description() + b"\xff\xff\x7f"),
        write_packet(0, 7, 0, FRAMES + 100, 20, bytes(60)),
    ]
    decoder.latest = FRAMES
    for packet in [*packets[:9], *late, *packets[9:]]:
        items += decoder.push(packet)
    assert share(samples, items + decoder.finish()) == 1 and decoder.counts.refused == len(late)


def test_an_end_that_contradicts_what_came_is_ignored(samples, packets):
    groups = {read_packet(packet).group for packet in packets}
    number = max(read_packet(packet).number for packet in packets[: 30 * len(groups)] if not read_packet(packet).group)
    early = write_packet(LAST, 7, 0, number + 1, 0, b"\x05")
    decoder = Decoder()
    items = [item for packet in [*packets[: 30 * len(groups)], early] for item in decoder.push(packet)]
    assert decoder.ending and not decoder.ended and decoder.counts.undecodable == 1
    assert max(ends(item) for item in items) == max(ends(item) for item in items + decoder.finish())


def test_wrong_frames_are_refused():
    encoder = Encoder(4, RATE)
    for frames in (np.zeros((20, 3), dtype="int16"), np.zeros((20, 4), dtype="int32"), np.zeros(5, dtype="int16")):
        with pytest.raises(UsageError):
            encoder.push(frames)


def test_packets_too_short_to_be_any_are_refused():
    for size in range(OVERHEAD):
        with pytest.raises(DataError):
            read_packet(bytes(size))
    assert HEAD.size + 4 == OVERHEAD

"""Dense probes: what neighbouring channels share is coded once, with the setting `neighbours`."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest

from kit.dense import dense
from kit.paths import GOLDEN
from kit.reference_telemetry_header import packets_of
from spikey.base.errors import UsageError
from spikey.coding.range_coder import finish_lane, range_decoder, range_encoder
from spikey.telemetry.basis import tables
from spikey.telemetry.contents import PacketContents
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.footprint import ABSENT, OWN, SCALED, code_footprints, gain_of, link_waves
from spikey.telemetry.nearby import count_lone
from spikey.telemetry.packet import MAGIC, read_packet
from spikey.telemetry.record import Telemetry, collect
from spikey.telemetry.settings import Settings, neighbour_distances

RATE, CHANNELS = 20_000.0, 12
PLENTY = Settings(budget=1e7, packet_ms=6.0)
SHORT = Settings(budget=3e4, packet_ms=6.0)


def sent(samples: np.ndarray, settings: Settings) -> tuple[TelemetryEncoder, list[bytes]]:
    encoder = TelemetryEncoder(samples.shape[1], RATE, settings=settings, stream=1)
    return encoder, encoder.push(samples) + encoder.close()


def contents(packets: list[bytes]) -> list[PacketContents]:
    decoder = TelemetryDecoder()
    items = [item for packet in packets for item in decoder.push(packet)] + decoder.finish()
    return [item for item in items if isinstance(item, PacketContents)]


def crossings(telemetry: Telemetry) -> list[tuple[int, int]]:
    strong = ~telemetry.event_weak
    return list(zip(telemetry.event_frames[strong].tolist(), telemetry.event_channels[strong].tolist(), strict=True))


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return dense(1.5, CHANNELS, seed=1)


@pytest.mark.parametrize("settings", [replace(PLENTY, neighbours=4), replace(PLENTY, neighbours=2, column=6)])
def test_with_bits_for_everything_nothing_is_lost(samples, settings):
    plain = collect(sent(samples, replace(PLENTY, match=0.0))[1])
    encoder, packets = sent(samples, replace(settings, match=0.0))
    near = collect(packets)
    assert crossings(near) == crossings(plain) and encoder.events == len(near.event_frames) > 500
    np.testing.assert_array_equal(near.waveform_of, plain.waveform_of)
    np.testing.assert_array_equal(near.trough_frames, plain.trough_frames)
    assert near.event_scaled.mean() < 0.01  # in the first packets, whose steps are coarse
    own = near.waveform_of[~near.event_scaled]
    np.testing.assert_array_equal(near.waveforms[own], plain.waveforms[own])


def test_events_take_fewer_bits(samples):
    plain, near = (sent(samples, replace(PLENTY, neighbours=n))[0] for n in (0, 4))
    assert near.spent["events"] < 0.8 * plain.spent["events"]


def test_where_bits_are_short_more_events_have_a_waveform(samples):
    plain, near = (collect(sent(samples, replace(SHORT, neighbours=n))[1]) for n in (0, 4))
    assert not plain.event_scaled.any() and near.event_scaled.sum() > 50
    assert len(near.waveforms) > 1.3 * len(plain.waveforms)
    assert (near.waveform_of[near.event_scaled] >= 0).all()


def test_columns_that_follow_each_other(samples):
    columns = np.ascontiguousarray(np.concatenate([samples[:, 0::2], samples[:, 1::2]], axis=1))
    without, along = (sent(columns, replace(SHORT, neighbours=2, column=c))[0] for c in (0, 6))
    assert along.dropped[1] < without.dropped[1] and along.spent["events"] < without.spent["events"]


def test_a_scaled_waveform_is_a_neighbours_times_a_gain(samples):
    telemetry = collect(sent(samples, replace(SHORT, neighbours=4))[1])
    gains = [int(gain_of(i)) for i in range(33)]
    assert gains[0] == 4 << 16 and gains[4] == 1 << 16 and gains[32] == 4
    events, found = telemetry.event_frames, 0
    for e in np.flatnonzero(telemetry.event_scaled):
        near = np.abs(telemetry.event_channels - telemetry.event_channels[e])
        near = (near > 0) & (near <= 4) & (np.abs(events - events[e]) <= 8) & ~telemetry.event_scaled
        own = telemetry.waveforms[telemetry.waveform_of[near & (telemetry.waveform_of >= 0)]] * 1024
        wave = telemetry.waveforms[telemetry.waveform_of[e]] * 1024
        rendered = [np.floor((each.astype(np.int64) * g + 32768) / 65536) for each in own for g in gains]
        assert any(np.array_equal(wave, each) for each in rendered)
        found += 1
    assert found > 50


def test_packets_need_no_other(samples):
    _, packets = sent(samples, replace(SHORT, neighbours=4))
    whole = {item.first_frame: item for item in contents(packets)}
    kept = [packet for i, packet in enumerate(packets) if i % 5 != 3]
    some = contents(kept)
    assert len(some) == len(kept)
    scaled = 0
    for item in some:
        other = whole[item.first_frame]
        np.testing.assert_array_equal(item.event_frames, other.event_frames)
        np.testing.assert_array_equal(item.power, other.power)
        if len(item.wave_frames) == len(other.wave_frames):  # else right after a packet that was lost
            np.testing.assert_array_equal(item.waves, other.waves)
            scaled += int(item.wave_scaled.sum())
    assert scaled > 20


def test_pushes_of_any_size_give_the_same_packets(samples):
    settings = replace(SHORT, neighbours=4)
    whole = sent(samples[:6000], settings)[1]
    encoder = TelemetryEncoder(CHANNELS, RATE, settings=settings, stream=1)
    pieces = [samples[at : min(at + 77, 6000)] for at in range(0, 6000, 77)]
    assert [packet for piece in pieces for packet in encoder.push(piece)] + encoder.close() == whole


def test_weak_events_beside_crossings_are_of_their_footprint(samples):
    plain, near = (collect(sent(samples, replace(PLENTY, neighbours=n))[1]) for n in (0, 4))
    assert near.event_weak.sum() < 0.8 * plain.event_weak.sum()
    weak = _weak(near)
    assert len(weak) > 0 and len(weak - _weak(plain)) < 0.1 * len(weak)  # the first packets' steps may differ


def _weak(telemetry: Telemetry) -> set[tuple[int, int]]:
    own = telemetry.event_weak
    return set(zip(telemetry.event_frames[own].tolist(), telemetry.event_channels[own].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_links_are_the_neighbours_events_near_in_time(seed):
    rng = np.random.default_rng(seed)
    slot, distances = 15, np.array([1, 2, 6])
    events = sorted({(int(f) // slot, int(c)): int(f) for f, c in rng.integers(0, (300, 9), (150, 2))}.items())
    channels, frames = np.array([c for (_, c), _ in events]), np.array([f for _, f in events])
    links = np.zeros((len(events), 6), dtype=np.int32)
    link_waves(distances, slot, channels, frames, np.zeros((3, 9), dtype=np.int32), links)
    for i in range(len(events)):
        for k in range(6):
            c = channels[i] + (1, -1)[k % 2 == 0] * distances[k // 2]
            near = [j for j in np.flatnonzero(channels == c) if 2 * abs(frames[j] - frames[i]) <= slot]
            near.sort(key=lambda j: (0, 2, 1)[frames[j] // slot - frames[i] // slot])
            assert links[i, k] == (near[0] if near else -1)
    assert (links >= 0).sum() > 20


def test_lone_events_are_those_without_a_neighbours_before_them():
    found = np.zeros((3, 5), dtype=np.int16)
    for slot, channel, place in ((0, 0, 3), (0, 1, 4), (0, 4, 9), (1, 2, 12), (2, 3, 0), (2, 4, 14)):
        found[slot, channel] = 1 + place
    counts = np.zeros(5, dtype=np.int64)
    count_lone(15, np.array([1]), np.zeros(5, dtype=np.int64), found, counts)
    assert counts.tolist() == [1, 0, 1, 0, 1]  # channel 3 follows channel 2 from slot to slot; 4 is too late for 3
    found[2, 4] = 1 + 2
    counts[:] = 0
    count_lone(15, np.array([1]), np.zeros(5, dtype=np.int64), found, counts)
    assert counts.tolist() == [1, 0, 1, 0, 1]


def test_a_scaled_waveform_without_a_source_is_none():
    links, frames = np.full((2, 2), -1, dtype=np.int32), np.array([5, 6])
    kinds, offsets, gains = np.zeros((3, 2), dtype=np.uint8)
    kinds[:], waves = SCALED, np.zeros((2, 13), dtype=np.int32)
    size, plan = np.array([20]), np.array([1])
    coder = range_encoder(1, 100)
    code_footprints(coder, tables(), size, plan, links, frames, kinds, offsets, waves, gains)
    kinds[:], plan[:] = OWN, 0
    decoder = range_decoder([finish_lane(coder, 0)])
    code_footprints(decoder, tables(), size, plan, links, frames, kinds, offsets, waves, gains)
    assert plan[0] == 1 and kinds.tolist() == [ABSENT, ABSENT]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"neighbours": 9}, "neighbours"),
        ({"neighbours": -1}, "neighbours"),
        ({"neighbours": 4, "column": 5}, "column"),
        ({"column": 20}, "column"),
        ({"neighbours": 2, "column": 70_000}, "column"),
    ],
)
def test_impossible_settings_are_refused(wrong, word):
    with pytest.raises(UsageError, match=word):
        Settings(**wrong)


def test_neighbours_by_distance():
    assert neighbour_distances(Settings()) == ()
    assert neighbour_distances(Settings(neighbours=2)) == (1, 2)
    assert neighbour_distances(Settings(neighbours=2, column=10)) == (10, 1, 11, 9, 2)
    assert neighbour_distances(Settings(neighbours=1, column=3)) == (3, 1, 4, 2)


def test_keys_hold_the_settings(samples):
    _, packets = sent(samples[:300], replace(SHORT, neighbours=3, column=6))
    description = read_packet(packets[0]).description
    assert description is not None and (description.settings.neighbours, description.settings.column) == (3, 6)
    assert description.shape.distances == (6, 1, 7, 5, 2, 3)


@pytest.mark.parametrize("value", [2.5, 9.0, -1.0, float("nan"), float("inf")])
def test_false_keys_are_refused(samples, value):
    packet = bytearray(sent(samples[:300], replace(SHORT, neighbours=3))[1][0])
    at = packet.find(np.float32(3).tobytes())
    packet[at : at + 4] = np.float32(value).tobytes()
    packet[-3:] = zlib.crc32(packet[:-3]).to_bytes(4, "little")[:3]
    decoder = TelemetryDecoder()
    assert decoder.push(bytes(packet)) == [] and decoder.counts.damaged == 1


def test_damaged_payloads_decode_to_something(samples):
    rng = np.random.default_rng(4)
    _, packets = sent(samples[:9000], replace(SHORT, neighbours=4))
    for _ in range(20):
        decoder = TelemetryDecoder()
        for packet in packets:
            bad = bytearray(packet)
            if not packet[0] & 1 and rng.random() < 0.3:
                bad[int(rng.integers(4, len(bad) - 3))] ^= 1 << int(rng.integers(8))
                bad[-3:] = zlib.crc32(bad[:-3]).to_bytes(4, "little")[:3]
            decoder.push(bytes(bad))
        assert decoder.counts.read > 10


KEPT = GOLDEN / "telemetry-neighbours.spkt"


def golden_packets() -> bytes:
    codes = np.arange(900)[:, None] * np.array([1, 3, 7, 5, 2, 9]) * 37 % 23
    for at in range(300, 850, 70):
        for c, (late, depth) in enumerate(((2, 20), (1, 45), (0, 90), (0, 80), (1, 40), (2, 15))):
            codes[at + late : at + late + 6, c] -= np.array([1, 3, 4, 3, 2, 1]) * depth // 4
    encoder = TelemetryEncoder(
        6, RATE, settings=Settings(budget=4e4, packet_ms=7.5, neighbours=4, power_ms=0.0, low_high=0.0), stream=1
    )
    return MAGIC + b"".join(encoder.push((codes + 500).astype(np.int16)) + encoder.close())


def test_golden_file():
    assert golden_packets() == KEPT.read_bytes()
    telemetry = collect(list(packets_of(KEPT.read_bytes())))
    assert telemetry.frames == 900 and telemetry.event_scaled.sum() >= 5 and (~telemetry.event_scaled).sum() >= 5

"""docs/telemetry.md suffices to decode telemetry: a decoder written from it alone agrees with that of the package."""

from __future__ import annotations

import numpy as np
import pytest

import spikey
from kit import reference_telemetry as reference
from kit.dense import dense
from kit.paths import GOLDEN
from kit.reference_telemetry_header import packets_of
from spikey.levels.n1 import N1_VALUES
from spikey.recording.simulate import simulate
from spikey.telemetry.contents import Missing, PacketContents
from spikey.telemetry.settings import Settings

NAMES = (
    "first_frame", "end_frame", "dropped", "event_frames", "event_channels", "power_bins", "power_channels", "power",
    "low_ends", "low_channels", "low", "wave_frames", "wave_channels", "trough_frames", "waves", "wave_scaled", "weak",
    "left_out_waves", "left_out_power", "left_out_low",
)  # fmt: skip


def agree(packets: list[bytes]) -> dict[str, int]:
    """Hold both decoders' contents against each other; returns how many of each kind there are."""
    decoder, slow = spikey.TelemetryDecoder(), reference.Decoder()
    items = [item for packet in packets for item in decoder.push(packet)] + decoder.finish()
    contents = [item for item in items if isinstance(item, PacketContents)]
    read = [each for each in map(slow.packet, packets) if each is not None]
    assert len(read) == len(contents) == decoder.counts.read
    count = dict.fromkeys(NAMES, 0)
    for own, other in zip(read, contents, strict=True):
        for name in NAMES:
            value, expected = getattr(own, name), getattr(other, name)
            assert np.size(value) == np.size(expected), (own.first_frame, name)
            if np.size(value):
                np.testing.assert_array_equal(value, expected, err_msg=f"{name} at {own.first_frame}")
            count[name] += value if isinstance(value, int) else sum(value) if name == "wave_scaled" else len(value)
    return count | {"missing": sum(isinstance(item, Missing) for item in items)}


def encoded(samples: np.ndarray, rate: float = 20_000.0, **settings: float | str) -> list[bytes]:
    encoder = spikey.TelemetryEncoder(
        samples.shape[1], rate, str(samples.dtype), settings=Settings(**settings), stream=9
    )  # type: ignore[arg-type]
    return encoder.push(samples) + encoder.close()


def test_the_golden_file():
    packets = list(packets_of((GOLDEN / "telemetry.spkt").read_bytes()))
    count = agree(packets)
    assert count["event_frames"] >= 8 and count["waves"] and count["power"] and count["low"]


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    return simulate(24_000, 9, 20_000.0, seed=5, spikes_per_second=40)


@pytest.mark.parametrize(
    ("expected", "settings"),
    [
        (("weak", "waves", "power", "low"), {"budget": 1e5, "packet_ms": 6.0}),
        (("left_out_low", "left_out_waves", "left_out_power"), {"budget": 2200.0, "packet_ms": 60.0}),
        (("waves", "power"), {"budget": 4e4, "packet_ms": 150.0, "key_s": 0.3}),  # the first packet holds its profile
        (("waves",), {"budget": 4e4, "packet_ms": 6.0, "match": 0.0, "low_high": 0.0, "resolution_ms": 0.2}),
        (("weak", "low"), {"budget": 4e4, "packet_ms": 6.0, "power_ms": 0.0, "resolution_ms": 0.3, "polarity": "both"}),
        (
            ("weak", "waves"),
            {"budget": 8e4, "packet_ms": 15.0, "key_s": 0.3},
        ),  # epochs as short as their profiles allow
        (("event_frames", "low"), {"budget": 4e4, "packet_ms": 3.0, "waveforms": False, "low_high": 100.0}),
    ],
    ids=["plenty", "short", "long", "crossings", "rough", "short epochs", "events"],
)
def test_streams_of_other_settings(recording, expected, settings):
    count = agree(encoded(recording, **settings))
    assert all(count[name] > 0 for name in expected), count


@pytest.mark.parametrize("rate", [30_000.0, 12_207.03, 19_531.25])
def test_other_rates_and_types_stretch_the_basis(recording, rate):
    codes = (recording >> 6).astype(np.int16)
    packets = encoded((codes + 512).astype(np.uint16), rate, budget=6e4, packet_ms=6.0)
    assert agree(packets)["waves"] > 20


def test_many_channels_take_turns():
    samples = simulate(4500, 65, 20_000.0, seed=6)
    assert agree(encoded(samples, budget=65e3))["low"] > 65


def test_losses_and_profiles_that_do_not_come(recording):
    packets = encoded(recording, budget=6e4, packet_ms=3.0, key_s=0.3)
    kept = np.random.default_rng(1).random(len(packets)) > 0.03
    kept[0] = True
    lossy = [packet for packet, there in zip(packets, kept, strict=True) if there]
    count = agree(lossy)
    assert count["missing"] > 5 and count["waves"] > 20
    late = next(i for i, packet in enumerate(packets) if i and packet[0] & 1)
    assert agree(packets[late:])["missing"] > 0
    # Of the last epoch's profile nothing comes, so that it cannot be read.
    keys = [i for i, packet in enumerate(packets) if packet[0] & 1]
    assert (
        agree(packets[: keys[-2]] + packets[keys[-1] :])["missing"] > len(packets) - keys[-1]
    )  # that of another epoch
    half = (keys[-2] + keys[-1]) // 2
    assert agree(packets[: half - 2] + packets[keys[-1] :])["missing"] > len(packets) - keys[-1]


@pytest.mark.parametrize("resolution", [0.6, 0.3])
def test_waveforms_after_a_loss_are_skipped_for_as_long_as_their_events_may_be_lost(recording, resolution):
    packets = encoded(recording[:9000], budget=4e5, packet_ms=0.75, resolution_ms=resolution)
    kept = [packet for i, packet in enumerate(packets) if i < 20 or i % 7]
    assert agree(kept)["waves"] > 20


def test_dropped_events_have_no_waveform():
    rng = np.random.default_rng(2)
    codes = 512 + 6 * rng.normal(size=(16_000, 12))
    codes[3000::25] -= 150
    samples = N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)]
    count = agree(encoded(samples, budget=24e3, packet_ms=15.0, power_ms=0.0))
    assert count["dropped"] > 0 and count["waves"] > 0


def test_authenticated_packets(recording):
    settings = Settings(budget=6e4, packet_ms=6.0)
    encoder = spikey.TelemetryEncoder(9, 20_000.0, settings=settings, stream=9, key=bytes(16))
    packets = encoder.push(recording[:6000]) + encoder.close()
    decoder, slow = spikey.TelemetryDecoder(bytes(16)), reference.Decoder()
    for packet in packets:
        (item,) = decoder.push(packet)
        assert isinstance(item, PacketContents)
        own = slow.packet(packet)
        assert own.event_frames == item.event_frames.tolist() and own.waves == item.waves.tolist()


@pytest.mark.parametrize("size", range(0, 40, 3))
def test_every_size_of_steps(monkeypatch, size):
    for name, value in (("START", size), ("PULL", 0.0), ("DRIFT", 0.0), ("UNUSED", 1 / 4)):
        monkeypatch.setattr(f"spikey.telemetry.encoder.{name}", value)
    rng = np.random.default_rng(size)
    codes = 512 + 6 * rng.normal(size=(6000, 2))
    codes[2000:] += np.repeat(60 * rng.normal(size=(1000, 2)), 4, axis=0)  # far more than the profile's scale
    codes[:, 1] += 350 * np.sin(2 * np.pi * 180 / 20_000 * np.arange(6000))  # where steps are coarser
    for at in range(400, 6000, 150):
        codes[at : at + 12] -= np.outer(np.hanning(12), rng.uniform(10, 150, 2))
    samples = N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)]
    count = agree(encoded(samples, budget=1e7, packet_ms=15.0, power_ms=10.0))
    assert count["low"] and count["waves"] and count["power"]


@pytest.fixture(scope="module")
def probe() -> np.ndarray:
    return dense(0.8, 12, seed=3)


@pytest.mark.parametrize(
    ("expected", "settings"),
    [
        (("wave_scaled", "waves", "weak", "power", "low"), {"budget": 6e4, "packet_ms": 6.0}),
        (("wave_scaled", "left_out_waves", "left_out_low"), {"budget": 2e4, "packet_ms": 15.0}),
        (("wave_scaled", "weak"), {"budget": 4e4, "packet_ms": 150.0, "key_s": 0.3}),
        (("wave_scaled",), {"budget": 1.5e5, "packet_ms": 0.75, "neighbours": 2}),
        (("wave_scaled",), {"budget": 8e4, "packet_ms": 3.0, "resolution_ms": 0.2, "match": 0.0}),
        (("wave_scaled",), {"budget": 8e4, "packet_ms": 6.0, "resolution_ms": 0.75, "polarity": "both"}),
        (("wave_scaled",), {"budget": 8e4, "packet_ms": 6.0, "neighbours": 2, "column": 6}),
        (("event_frames",), {"budget": 8e4, "packet_ms": 6.0, "waveforms": False}),
    ],
    ids=["plenty", "short", "long", "one slot", "rough", "one place", "columns", "events"],
)
def test_streams_of_dense_probes(probe, expected, settings):
    count = agree(encoded(probe, **{"neighbours": 4, **settings}))
    assert all(count[name] > 0 for name in expected), count


@pytest.mark.parametrize("rate", [30_000.0, 12_207.03])
def test_dense_probes_at_other_rates(probe, rate):
    assert agree(encoded(probe[:9000], rate, budget=5e4, packet_ms=3.0, neighbours=8))["wave_scaled"] > 10


def test_losses_of_dense_probes(probe):
    packets = encoded(probe, budget=7e4, packet_ms=3.0, key_s=0.3, neighbours=4)
    kept = [packet for i, packet in enumerate(packets) if i % 9 != 5]
    count = agree(kept)
    assert count["missing"] > 10 and count["wave_scaled"] > 20

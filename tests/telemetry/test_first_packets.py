"""The first quarter of a second of a stream is complete: its first profile is by the noise of the array."""

from __future__ import annotations

import pytest

from spikey.recording.simulate import simulate
from spikey.telemetry.contents import PacketContents
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.settings import Settings


@pytest.mark.parametrize(("profile", "rate"), [("n1", 20_000.0), ("neuropixels", 30_000.0), ("intan", 30_000.0)])
def test_nothing_is_left_out_of_the_first_quarter_of_a_second(profile, rate):
    channels = 256
    samples = simulate(round(0.3 * rate), channels, rate, seed=2, profile=profile)
    settings = Settings(budget=channels * 1e6 / 1024, packet_ms=3.0)
    encoder, decoder = TelemetryEncoder(channels, rate, settings=settings, stream=1), TelemetryDecoder()
    items = [item for packet in encoder.push(samples) + encoder.close() for item in decoder.push(packet)]
    early = [item for item in items if isinstance(item, PacketContents) and item.first_frame < 0.25 * rate]
    assert early[-1].end_frame >= 0.25 * rate
    assert sum(item.dropped + item.left_out_waves + item.left_out_power for item in early) == 0
    blocks = sum(len(item.low_channels) for item in early)
    assert sum(item.left_out_low for item in early) <= 0.02 * blocks
    events = [int(frame) for item in early for frame in item.event_frames]
    assert min(events) < 400 and len(events) > 100


def test_the_first_profile_has_the_arrays_noise():
    noise = {}
    for profile in ("n1", "intan"):
        samples = simulate(600, 64, 30_000.0, seed=2, profile=profile)
        encoder, decoder = TelemetryEncoder(64, 30_000.0, settings=Settings(budget=1e6), stream=1), TelemetryDecoder()
        for packet in encoder.push(samples):
            decoder.push(packet)
        assert decoder.description is not None
        noise[profile] = decoder.description.noise
    # 25 codes instead of 5.5 are two octaves and a quarter, of which a profile has quarters.
    assert 7 <= noise["intan"] - noise["n1"] <= 11

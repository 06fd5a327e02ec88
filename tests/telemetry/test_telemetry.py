"""Telemetry: what is detected is what is decoded, within the budget, and always the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import spikey
from kit.paths import GOLDEN
from spikey.base.errors import DataError, UsageError
from spikey.levels.n1 import N1_VALUES
from spikey.recording.simulate import simulate
from spikey.telemetry.basis import BASIS_BITS, shipped, stretched
from spikey.telemetry.contents import Missing
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.packet import MAGIC, read_packet
from spikey.telemetry.rate_control import DETAIL, EVENTS, RateControl
from spikey.telemetry.record import collect
from spikey.telemetry.settings import HEADER_BYTES, Settings, shape_of
from spikey.telemetry.syntax import COMPONENTS

RATE = 20_000.0
CHANNELS = 8


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    return simulate(60_000, CHANNELS, RATE, seed=3, spikes_per_second=30)


def encode(samples, budget=977.0 * CHANNELS, pieces=777, rate=RATE, **options):
    encoder = TelemetryEncoder(
        samples.shape[1], rate, str(samples.dtype), settings=Settings(budget=budget, **options), stream=7
    )
    packets = []
    for at in range(0, len(samples), pieces):
        packets += encoder.push(samples[at : at + pieces])
    return encoder, packets + encoder.close()


def butterworth(kind, corner, rate, signal):
    """A section of second order in floating point, for the tests."""
    k = np.tan(np.pi * corner / rate)
    norm = 1 + np.sqrt(2) * k + k * k
    b = np.array([1, -2, 1]) / norm if kind == "high" else np.array([1, 2, 1]) * k * k / norm
    a = np.array([2 * (k * k - 1) / norm, (1 - np.sqrt(2) * k + k * k) / norm])
    out = np.zeros(len(signal))
    x1 = x2 = y1 = y2 = 0.0
    for i, x in enumerate(signal):
        y = b[0] * x + b[1] * x1 + b[2] * x2 - a[0] * y1 - a[1] * y2
        out[i], x1, x2, y1, y2 = y, x, x1, y, y1
    return out


def spike_band(codes):
    return butterworth("low", 5000, RATE, butterworth("high", 300, RATE, codes - float(codes[0])))


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_events_are_those_of_a_detector_in_floating_point(recording):
    telemetry = collect(encode(recording, budget=1e6)[1])
    known = near = 0
    for channel in range(CHANNELS):
        band = spike_band((recording[:, channel] >> 6).astype(int) + 512)
        limit = 4.5 * np.median(np.abs(band)) / 0.6745
        below = band < -limit
        crossings = np.flatnonzero(below[1:] & ~below[:-1]) + 1
        decoded = telemetry.event_frames[telemetry.event_channels == channel]
        crossings = crossings[(crossings > 20_000) & (np.diff(crossings, prepend=-100) > 40)]
        known += len(crossings)
        near += (np.abs(decoded[:, None] - crossings).min(axis=0) <= 2).sum()
    # The encoder's threshold moves with the noise, so that it sees a few of the faintest otherwise.
    assert known > 150 and near > 0.93 * known


def test_every_event_and_waveform_is_decoded(recording):
    encoder, packets = encode(recording, match=0.0)
    telemetry = collect(packets)
    assert telemetry.frames == len(recording) == encoder.frames
    assert len(telemetry.event_frames) == encoder.events > 300
    assert encoder.dropped[0] == 0 and telemetry.dropped == tuple(encoder.dropped)
    assert not telemetry.missing
    unlimited = collect(encode(recording, budget=1e8, match=0.0)[1])
    np.testing.assert_array_equal(telemetry.event_frames, unlimited.event_frames)
    np.testing.assert_array_equal(telemetry.event_channels, unlimited.event_channels)


def test_waveforms_power_and_low_band_are_near_the_original(recording):
    telemetry = collect(encode(recording, budget=2000.0 * CHANNELS, match=0.0)[1])
    codes = (recording >> 6).astype(int) + 512
    bands = [spike_band(codes[:, channel]) for channel in range(CHANNELS)]
    with_wave = telemetry.waveform_of >= 0
    channels = telemetry.event_channels[with_wave]
    rows = telemetry.waveform_of[with_wave]
    troughs, waves = telemetry.trough_frames[rows], telemetry.waveforms[rows]
    original = np.array([bands[c][t - 10 : t + 18] for c, t in zip(channels, troughs, strict=True)])
    assert ((waves - original) ** 2).sum() < 0.06 * (original**2).sum()
    assert (np.abs(original[:, 10]) >= np.abs(original[:, 9]) - 0.05).all()  # a trough within reach of the crossing

    power = np.array([butterworth("low", 1000, RATE, band) ** 2 for band in bands]).T
    power = power[: len(power) // 1000 * 1000].reshape(-1, 1000, CHANNELS).mean(axis=1)
    decoded = telemetry.power[: len(power)]
    for channel in range(CHANNELS):
        known = np.isfinite(decoded[:, channel])
        assert known.mean() > 0.9
        assert np.corrcoef(power[known, channel], decoded[known, channel])[0, 1] > 0.97

    signal = telemetry.signal()
    span = slice(20_000, 56_000)
    for channel in range(CHANNELS):
        spectrum = np.fft.rfft([codes[span, channel], signal[span, channel]])
        spectrum[:, np.fft.rfftfreq(36_000, 1 / RATE) >= 100] = 0
        spectrum[:, 0] = 0
        error = (np.abs(spectrum[0] - spectrum[1]) ** 2).sum() / (np.abs(spectrum[0]) ** 2).sum()
        assert error < 0.1


def test_a_large_spike_looks_like_itself():
    time = np.arange(40_000)
    rng = np.random.default_rng(1)
    codes = 512 + 5 * rng.normal(size=40_000)
    spikes = np.arange(10_000, 39_000, 1500)
    for at in spikes:
        codes -= 120 * np.exp(-(((time - at) / 3.0) ** 2))
        codes += 60 * np.exp(-(((time - at - 12) / 6.0) ** 2))
    samples = N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)][:, None]
    telemetry = collect(encode(samples, budget=4000.0, refractory_ms=2.0)[1])
    assert len(telemetry.event_frames) == pytest.approx(len(spikes), abs=2)
    assert (np.abs(telemetry.trough_frames[:, None] - spikes).min(axis=0) <= 2).all()
    assert np.median(telemetry.waveforms.min(axis=1)) < -70


@pytest.mark.parametrize("polarity", ["negative", "positive", "both"])
def test_polarities(polarity, recording):
    flipped = (-1 - recording.astype(int)).astype(np.int16)
    decoded = collect(encode(recording, budget=1e6, polarity=polarity)[1])
    other = {"negative": "positive", "positive": "negative", "both": "both"}[polarity]
    mirrored = collect(encode(flipped, budget=1e6, polarity=other)[1])
    # Mirrored samples lie half a code beside the N1's, which moves hardly anything.
    assert len(decoded.event_frames) == pytest.approx(len(mirrored.event_frames), rel=0.05)


def test_refractory_time_and_resolution(recording):
    telemetry = collect(encode(recording, budget=1e6, refractory_ms=5.0, match=0.0)[1])
    for channel in range(CHANNELS):
        assert np.diff(telemetry.event_frames[telemetry.event_channels == channel]).min() >= 100
    exact = collect(encode(recording, budget=1e6)[1])
    coarse = collect(encode(recording, budget=1e6, resolution_ms=0.25)[1])
    assert len(coarse.event_frames) == len(exact.event_frames)
    order = np.lexsort((coarse.event_frames, coarse.event_channels))
    same = np.lexsort((exact.event_frames, exact.event_channels))
    assert np.abs(coarse.event_frames[order] - exact.event_frames[same]).max() <= 2


@pytest.mark.parametrize("without", [{"waveforms": False}, {"power_ms": 0.0}, {"low_high": 0.0}])
def test_parts_can_be_left_out(without, recording):
    encoder, packets = encode(recording, **without)
    telemetry = collect(packets)
    assert len(telemetry.event_frames) == encoder.events > 300
    assert (len(telemetry.waveforms) == 0) == ("waveforms" in without)
    assert (telemetry.power.size == 0) == ("power_ms" in without)
    assert (telemetry.low.size == 0) == ("low_high" in without)
    assert telemetry.signal().shape == recording.shape


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int8", "uint8"])
def test_types_of_samples(dtype):
    info = np.iinfo(dtype)
    noise = np.random.default_rng(0).normal(size=(30_000, 2)) * 8 + (int(info.max) + int(info.min) + 1) / 2
    samples = np.clip(noise, info.min, info.max).astype(dtype)
    telemetry = collect(encode(samples, budget=8000.0)[1])
    assert telemetry.samples(0, 100).dtype == np.dtype(dtype)
    assert np.isfinite(telemetry.power[2:]).mean() > 0.8


def test_other_rates_have_a_stretched_basis():
    samples = simulate(60_000, 4, 30_000.0, seed=2, profile="neuropixels", spikes_per_second=30)
    telemetry = collect(encode(samples, budget=20_000.0, rate=30_000.0)[1])
    assert telemetry.description.shape.snippet == 42
    assert len(telemetry.waveforms) > 50
    basis = stretched(shipped()["basis"], telemetry.description.shape) / (1 << BASIS_BITS)
    np.testing.assert_allclose(basis @ basis.T, np.eye(COMPONENTS), atol=1e-3)


@pytest.mark.parametrize(
    ("rate", "band"), [(2000.0, (100.0, 900.0)), (2345.5, (300.0, 0.45 * 2345.5)), (11_111.0, (300.0, 4999.0))]
)
def test_low_rates_need_a_band_that_fits_them(rate, band):
    samples = np.random.default_rng(2).normal(0, 20, (8000, 3)).astype(np.int16)
    _, packets = encode(samples, budget=20_000.0, rate=rate, band=band, power_high=500.0)
    telemetry = collect(packets)
    assert telemetry.rate == rate and telemetry.frames == 8000 and not telemetry.missing
    assert telemetry.description.settings.band == pytest.approx(band)
    with pytest.raises(UsageError, match="band must end below"):
        encode(samples, rate=rate)


def test_constant_and_railed_channels():
    samples = np.full((30_000, 3), N1_VALUES[511], dtype=np.int16)
    samples[:, 1] = N1_VALUES[np.where(np.arange(30_000) // 2000 % 2, 1023, 0)]
    samples[:, 2] = N1_VALUES[0]
    packets = encode(samples, budget=3000.0)[1]
    telemetry = collect(packets)
    assert not ((telemetry.event_channels == 0) | (telemetry.event_channels == 2)).any()
    assert np.abs(telemetry.signal()[15_000:25_000, 0] - 511).max() < 1


def test_nothing_and_little():
    empty = TelemetryEncoder(3, RATE).close()
    assert collect(empty).frames == 0
    one = np.full((1, 3), N1_VALUES[500], dtype=np.int16)
    telemetry = collect(encode(one)[1])
    assert telemetry.frames == 1 and telemetry.signal().shape == (1, 3)
    assert TelemetryDecoder().finish() == []
    with pytest.raises(DataError, match="no telemetry key"):
        collect([])


# --- the budget -----------------------------------------------------------------------------------------------------


def leaky(packets, budget, seconds):
    """How many bits ahead of the budget packets are at most."""
    held = most = 0.0
    for packet in packets:
        held = max(held + 8 * len(packet) - budget * seconds, 0.0)
        most = max(most, held)
    return most


@pytest.mark.parametrize("budget", [500.0 * 64, 977.0 * 64, 5000.0 * 64])
def test_budget_holds_over_every_second_and_the_buffer(budget):
    samples = simulate(50_000, 64, RATE, seed=5, spikes_per_second=40, artifacts=True)
    encoder, packets = encode(samples, budget=budget)
    shape = encoder.shape
    seconds = shape.frames / RATE
    sizes = np.cumsum([0] + [8 * len(packet) for packet in packets])
    window = max(int(1 / seconds), 4)
    if len(sizes) > window:
        assert (sizes[window:] - sizes[:-window]).max() <= max(budget, window * budget * seconds)
    assert sizes[-1] + 8 * len(MAGIC) <= budget * len(samples) / RATE + 200
    assert leaky(packets, budget, seconds) <= max(budget * 0.01, 4 * budget * seconds)
    assert sum(encoder.spent.values()) == pytest.approx(sizes[-1], rel=1e-6)
    assert len(collect(packets).event_frames) == encoder.events


def test_detail_goes_before_events_do():
    samples = simulate(40_000, 64, RATE, seed=5, spikes_per_second=100)
    generous = encode(samples, budget=1e7)[0]
    encoder, packets = encode(samples, budget=800.0 * 64)
    assert encoder.dropped[1] > 0 and encoder.dropped[3] > 0  # waveforms and the LFP band
    assert encoder.dropped[0] < 0.01 * generous.events
    assert collect(packets).dropped == tuple(encoder.dropped)


def test_a_burst_in_all_channels_is_coded_as_far_as_there_is_room():
    rng = np.random.default_rng(4)
    codes = 512 + 5 * rng.normal(size=(40_000, 256))
    for at in range(10_000, 40_000, 25):  # artifacts every 1.25 ms, much more than the budget can tell
        codes[at : at + 2] -= 80
    samples = N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)]
    encoder, packets = encode(samples, budget=200.0 * 256, pieces=4000)
    telemetry = collect(packets)
    assert encoder.dropped[0] > 1000
    assert telemetry.dropped == tuple(encoder.dropped)
    assert len(telemetry.event_frames) == encoder.events
    assert 8 * sum(map(len, packets)) <= 200.0 * 256 * 2 + 200
    # One artifact, however, is coded in full: that events come together makes them cheap.
    codes[10_010:] = 512 + 5 * rng.normal(size=(29_990, 256))
    encoder, packets = encode(N1_VALUES[np.clip(np.rint(codes), 0, 1023).astype(int)], budget=977.0 * 256)
    decoded = collect(packets)
    assert encoder.dropped[0] == 0
    assert (np.abs(decoded.event_frames - 10_002) < 15).sum() > 250


def test_headers_are_small(recording):
    for packet in encode(recording, budget=1e5)[1][1:]:
        parts = read_packet(packet)
        if parts.description is None:
            assert len(packet) - len(parts.payload) <= HEADER_BYTES


def test_rate_control_reserves_room_for_what_matters_more():
    shape = shape_of(Settings(), 1024, RATE)
    allowance = RateControl(Settings(), shape)
    for number in range(1, 3000):
        room = allowance.room(DETAIL, number * shape.frames)
        assert allowance.room(EVENTS, number * shape.frames) > room
        allowance.spend(max(room, 80))
        assert 0 <= allowance.fullness <= 0.6


# --- the same bytes -------------------------------------------------------------------------------------------------


def test_pushes_of_any_size_give_the_same_packets(recording):
    samples = recording[:20_000]
    whole = encode(samples, pieces=20_000)[1]
    assert encode(samples, pieces=7)[1] == whole
    assert encode(samples, pieces=1501)[1] == whole


def test_the_noise_of_a_long_first_packet_does_not_depend_on_pushes(recording):
    """The buffer is moved while a first packet of more frames than it has room for is filled."""
    noises: list[set[int]] = []
    for ms in (20.0, 37.5, 60.0):
        noises.append(set())
        for pieces in ([2000], [37, 512, 2000], [121, 116, 512, 2000]):
            encoder = TelemetryEncoder(CHANNELS, RATE, settings=Settings(packet_ms=ms), stream=1)
            parts = np.split(recording[: sum(pieces)], np.cumsum(pieces)[:-1])
            first = read_packet(next(packet for part in parts for packet in encoder.push(part)))
            noises[-1].add(first.description.noise)
    assert [len(each) for each in noises] == [1, 1, 1]
    found = set.union(*noises)
    assert max(found) - min(found) <= 1  # in quarters of an octave


def golden_samples() -> np.ndarray:
    """A signal that a hash function gives: noise, spikes, a slow wave."""
    frames, channels = 6000, 2
    raw = np.frombuffer(hashlib.shake_256(b"telemetry").digest(frames * channels * 4), dtype=np.uint8)
    codes = 480 + (raw.reshape(frames, channels, 4).astype(int).sum(axis=2) - 510) // 40
    codes += (np.abs(np.arange(frames) % 2000 - 1000) // 50)[:, None]
    for at in range(1500, frames - 50, 431):
        for i, depth in enumerate((10, 35, 60, 45, 20, 0, -12, -16, -14, -9, -4)):
            codes[at + i, at % channels] -= depth
    return N1_VALUES[codes]


def golden_packets() -> bytes:
    encoder = TelemetryEncoder(2, RATE, settings=Settings(budget=60_000.0, packet_ms=15.0), stream=1)
    return MAGIC + b"".join(encoder.push(golden_samples()) + encoder.close())


KEPT = GOLDEN / "telemetry.spkt"


def test_golden_file():
    assert golden_packets() == KEPT.read_bytes()
    telemetry = spikey.read_telemetry(KEPT)
    assert telemetry.frames == 6000 and len(telemetry.event_frames) >= 8


def test_uncompiled_kernels_write_the_same_bytes():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_telemetry as t\n"
        "assert t.golden_packets() == t.KEPT.read_bytes()\n"
        "import spikey; print(len(spikey.read_telemetry(t.KEPT).event_frames))\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program, str(Path(__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(spikey.read_telemetry(KEPT).event_frames)


def test_a_lost_packet_takes_its_own_frames_only(recording):
    _, packets = encode(recording, budget=60_000.0, packet_ms=15.0)
    whole = collect(packets)
    lost = [50, 51, 120]
    decoded = collect([packet for number, packet in enumerate(packets) if number not in lost])
    frames = whole.description.shape.frames
    assert decoded.missing == ((50 * frames, 52 * frames), (120 * frames, 121 * frames))
    number = whole.event_frames // frames
    kept = np.isin(whole.event_frames, decoded.event_frames) | np.isin(number, lost)
    assert kept.mean() > 0.99  # all but weak events just before, which would have come with the lost packets
    assert np.isin(decoded.event_frames, whole.event_frames).all()
    assert (decoded.waveform_of < 0).sum() - (whole.waveform_of < 0).sum() < 10


def test_without_a_key_there_is_nothing(recording):
    packets = encode(recording[:20_000], budget=60_000.0, packet_ms=15.0)[1]
    decoder = TelemetryDecoder()
    assert [item for packet in packets[1:10] for item in decoder.push(packet)] == []
    assert decoder.counts.early == 9


def test_damaged_bytes_are_passed_over(tmp_path, recording):
    packets = encode(recording[:20_000], budget=60_000.0, packet_ms=15.0)[1]
    data = bytearray(MAGIC + b"".join(packets))
    at = len(MAGIC) + sum(map(len, packets[:20])) + 5
    data[at] ^= 16
    (tmp_path / "a.spkt").write_bytes(data)
    telemetry = spikey.read_telemetry(tmp_path / "a.spkt")
    frames = telemetry.description.shape.frames
    assert telemetry.missing == ((20 * frames, 21 * frames),)
    assert isinstance(Missing(0, 1), Missing)


# --- the command ----------------------------------------------------------------------------------------------------


def test_encode_command(tmp_path):
    from spikey.cli.telemetry_encode import bit_rate

    spikey_command = [sys.executable, "-m", "spikey"]
    wav = tmp_path / "a.wav"
    subprocess.run([*spikey_command, "simulate", str(wav), "--seconds", "3", "--channels", "4"], check=True)

    def run_command(*arguments):
        command = [*spikey_command, "telemetry", "encode", str(wav), str(tmp_path / "a.spkt"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run_command("--ratio", "200")
    assert done.returncode == 0 and "LOSSY" in done.stdout, done.stderr
    size = (tmp_path / "a.spkt").stat().st_size
    assert 3 * 19_531 * 4 * 10 / (8 * size) >= 199
    assert (tmp_path / "a.spkt").read_bytes()[:4] == MAGIC
    for wrong, word in ((["--budget", "much"], "bit rate"), (["--budget", "1k", "--ratio", "3"], "either")):
        done = run_command(*wrong)
        assert done.returncode == 2 and word in done.stderr and "Traceback" not in done.stderr
    assert bit_rate("2.5 Mbps") == 2.5e6

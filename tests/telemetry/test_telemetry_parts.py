"""Telemetry files decoded in parts: joined they are the whole, in bounded memory, whatever is missing or damaged."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikey
from spikey.base.errors import DataError, UsageError
from spikey.recording.simulate import simulate
from spikey.telemetry import file as file_module
from spikey.telemetry.check import check, inspect
from spikey.telemetry.contents import Missing, PacketContents
from spikey.telemetry.decoded import Telemetry, filled
from spikey.telemetry.decoder import TelemetryDecoder
from spikey.telemetry.filters import BOXCARS, FRACTION, LOW_FRACTION
from spikey.telemetry.packet import KEY, read_packet, write_packet
from spikey.telemetry.pieces import Assembler, parts
from spikey.telemetry.record import collect
from spikey.telemetry.schedule import Schedule
from spikey.telemetry.settings import BLOCK

RATE, CHANNELS, FRAMES = 20_000.0, 6, 50_000
PACKET = 405  # frames of a packet of `packets`


def encoded(samples: np.ndarray, budget: float = 2500.0, **kept: object) -> list[bytes]:
    """Packets of samples (frames, channels); budget: bit/s of a channel."""
    chosen = spikey.TelemetrySettings(budget=samples.shape[1] * budget, **kept)  # type: ignore[arg-type]
    encoder = spikey.TelemetryEncoder(samples.shape[1], RATE, settings=chosen, stream=1)
    return encoder.push(samples) + encoder.close()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return simulate(FRAMES, CHANNELS, RATE, 3, spikes_per_second=150)


@pytest.fixture(scope="module")
def packets(samples) -> list[bytes]:
    return encoded(samples, packet_ms=20, buffer_ms=0)  # which is too little for all waveforms


def weak_of(item: PacketContents, kind: str) -> list[bool]:
    """Which of a packet's events, or waveforms, are weak: its last ones."""
    count = len(getattr(item, f"{kind}_frames"))
    return [False] * (count - item.weak) + [True] * item.weak


def expected(packets: list[bytes]) -> dict[str, np.ndarray | list | int]:
    """All contents, put together the plain way: the contents of all packets at once, in order of their crossings."""
    decoder = TelemetryDecoder()
    items = [item for packet in packets for item in decoder.push(packet)] + decoder.finish()
    contents = [item for item in items if isinstance(item, PacketContents)]
    assert decoder.description is not None
    shape, frames = decoder.shape, items[-1].end_frame
    events = sorted(
        each
        for item in contents
        for each in zip(item.event_frames.tolist(), item.event_channels.tolist(), weak_of(item, "event"), strict=True)
    )
    waves = {
        (frame, channel, weak): (trough, wave / (1 << FRACTION))
        for item in contents
        for frame, channel, weak, trough, wave in zip(
            item.wave_frames.tolist(),
            item.wave_channels.tolist(),
            weak_of(item, "wave"),
            item.trough_frames,
            item.waves,
            strict=True,
        )
    }
    having = [each for each in events if each in waves]
    power = np.full((frames // shape.bin if shape.bin else 0, shape.channels), np.nan, dtype=np.float32)
    low = np.full((frames // shape.decimation if shape.coefficients else 0, shape.channels), np.nan, dtype=np.float32)
    for item in contents:
        power[item.power_bins, item.power_channels] = item.power
        for end, channel, block in zip(item.low_ends, item.low_channels, item.low, strict=True):
            first = max(end - BLOCK, 0)
            low[first:end, channel] = block[BLOCK - (end - first) :][: len(low) - first] / (1 << LOW_FRACTION)
    gone = sorted({(item.first_frame, item.end_frame) for item in items if isinstance(item, Missing)})
    delay = (BOXCARS * (shape.decimation - 1) + 2 * shape.decimation) / 2
    return {
        "frames": frames,
        "event_frames": np.array([frame for frame, _, _ in events], dtype=np.int64),
        "event_channels": np.array([channel for _, channel, _ in events], dtype=np.int64),
        "event_weak": np.array([weak for _, _, weak in events], dtype=np.bool_),
        "waveform_of": np.array([having.index(each) if each in waves else -1 for each in events], dtype=np.int64),
        "trough_frames": np.array([waves[each][0] for each in having], dtype=np.int64),
        "waveforms": np.array([waves[each][1] for each in having], dtype=np.float32).reshape(-1, shape.snippet),
        "power": power,
        "low": low,
        "low_frames": (np.arange(len(low)) + 1) * shape.decimation - 1 - delay,
        "missing_frames": sum(end - first for first, end in gone),
        "dropped": [
            sum(getattr(item, name) for item in contents)
            for name in ("dropped", "left_out_waves", "left_out_power", "left_out_low")
        ],
    }


def same(whole: Telemetry, wanted: dict) -> None:
    """Compare a whole stream with what is expected of it."""
    for name in wanted.keys() - {"missing_frames", "dropped"}:
        got = np.asarray(getattr(whole, name))
        assert np.array_equal(got, wanted[name], equal_nan=got.dtype.kind == "f"), name
    assert sum(end - first for first, end in whole.missing) == wanted["missing_frames"]
    assert list(whole.dropped) == wanted["dropped"]


def same_part(part: Telemetry, whole: Telemetry) -> None:
    """Compare a part with what the whole has of it."""
    first, end = part.first_frame, part.end_frame
    own = (whole.event_frames >= first) & (whole.event_frames < end)
    if end == whole.end_frame:  # crossings may be rounded to a frame beyond the end
        own |= whole.event_frames >= end
    assert np.array_equal(part.event_frames, whole.event_frames[own])
    assert np.array_equal(part.event_channels, whole.event_channels[own])
    assert np.array_equal(part.event_weak, whole.event_weak[own])
    rows = whole.waveform_of[own]
    assert np.array_equal(part.waveform_of >= 0, rows >= 0)
    got, wanted = part.waveform_of[part.waveform_of >= 0], rows[rows >= 0]
    assert np.array_equal(part.waveforms[got], whole.waveforms[wanted]) and len(part.waveforms) == len(got)
    assert np.array_equal(part.trough_frames[got], whole.trough_frames[wanted])
    for name, start in (("power", part.first_bin), ("low", part.first_low)):
        if not part.blank:
            got = getattr(part, name)
            assert np.array_equal(got, getattr(whole, name)[start : start + len(got)], equal_nan=True)
    assert np.array_equal(part.low_frames, whole.low_frames[part.first_low :][: len(part.low)])
    gone = [(max(a, first), min(b, end)) for a, b in whole.missing if a < end and b > first]
    assert list(part.missing) == gone


def file_of(folder: Path, packets: list[bytes]) -> Path:
    path = folder / "a.spkt"
    path.write_bytes(b"SPKT" + b"".join(packets))
    return path


@pytest.mark.parametrize("seconds", [0.0101, 0.3, 1.0, 99.0])
def test_parts_are_the_whole(packets, tmp_path, seconds):
    path = file_of(tmp_path, packets)
    whole = spikey.read_telemetry(path)
    assert len(whole.waveforms) > 20 and len(whole.event_frames) > len(whole.waveforms)
    assert (
        20 < whole.event_weak.sum() < len(whole.event_frames) - 20 and (whole.waveform_of[whole.event_weak] >= 0).all()
    )
    same(whole, expected(packets))
    found = list(spikey.iter_telemetry(path, seconds))
    assert len(found) == -(-FRAMES // round(seconds * RATE))
    ends = [0, *(part.end_frame for part in found)]
    assert [part.first_frame for part in found] == ends[:-1] and ends[-1] == FRAMES
    for part in found:
        same_part(part, whole)
    assert np.sum([part.dropped for part in found], axis=0).tolist() == list(whole.dropped)
    assert found[-1].counts == whole.counts


def test_events_that_come_with_a_later_packet(packets):
    """Crossings near the end of a packet may be contained in the next one, with their waveforms."""
    decoder = TelemetryDecoder()
    items = [item for packet in packets for item in decoder.push(packet)] + decoder.finish()
    whole = collect(packets)
    delayed, moved = [], 0
    frames = channels = np.zeros(0, dtype=np.int64)
    for item, after in itertools.zip_longest(items, items[1:]):
        assert isinstance(item, PacketContents)
        late = item.event_frames >= item.end_frame - decoder.shape.wait - 20
        late &= after is not None  # the last packet has all that is left
        late &= ~np.array(weak_of(item, "event"), dtype=np.bool_)
        delayed.append(
            dataclasses.replace(
                item,
                event_frames=np.append(frames, item.event_frames[~late]),
                event_channels=np.append(channels, item.event_channels[~late]),
            )
        )
        frames, channels = item.event_frames[late], item.event_channels[late]
        moved += len(frames)
    assert moved > 10
    for span in (PACKET, 2 * PACKET - 1, 9999):
        assembler = Assembler(decoder, span)
        found = [part for item in delayed for part in assembler.add(item)] + list(assembler.close())
        assert len(found) == -(-FRAMES // span)
        for part in found:
            same_part(part, whole)


@pytest.mark.parametrize(
    "kept",
    [
        {"waveforms": False, "power_ms": 0.0, "low_high": 0.0},
        {"resolution_ms": 0.5, "packet_ms": 1.5},
        {"packet_ms": 300.0, "power_ms": 1000.0},
    ],
)
def test_whatever_is_in_the_packets(samples, tmp_path, kept):
    packets = encoded(samples, 20_000, **kept)
    whole = spikey.read_telemetry(file_of(tmp_path, packets))
    assert len(whole.event_frames) > 20
    same(whole, expected(packets))
    for part in spikey.iter_telemetry(tmp_path / "a.spkt", 0.25):
        same_part(part, whole)


def test_the_signal_of_a_part_is_that_of_the_whole(samples, tmp_path):
    packets = encoded(samples, 20_000)
    path = file_of(tmp_path, packets)
    whole = spikey.read_telemetry(path)
    assert np.isfinite(whole.low[:-200]).all()  # so that no level stands for it
    full = whole.signal()
    for part in spikey.iter_telemetry(path, 0.1):
        until = min(part.end_frame, FRAMES - 200 * 32)
        assert np.array_equal(part.signal(end=until), full[part.first_frame : until])
        assert np.array_equal(part.signal(low=False), whole.signal(part.first_frame, part.end_frame, low=False))
    assert np.array_equal(part.samples(FRAMES - 9), whole.samples(FRAMES - 9, FRAMES))  # of the last one


def test_the_level_that_stands_for_what_is_missing(packets, tmp_path):
    left = packets[:40] + packets[60:]
    whole = collect(left)
    gap = slice(46 * PACKET, 52 * PACKET)  # beyond the reach of blocks and of the interpolation
    assert np.allclose(whole.signal()[gap], np.nanmean(whole.low, axis=0), atol=0.01)
    before = [part for part in spikey.iter_telemetry(file_of(tmp_path, left), 0.1) if part.end_frame <= gap.stop]
    finite = whole.low[: before[-1].end_frame // 32]
    assert np.allclose(before[-1].signal()[-100:], np.nanmean(finite, axis=0), atol=0.01)


@settings(max_examples=30, deadline=None)
@given(
    gone=st.sets(st.integers(1, 124), max_size=100),
    seconds=st.sampled_from([0.02, 0.11, 0.5]),
    start=st.integers(0, 50_001),
    length=st.integers(1, 60_000),
)
def test_with_packets_missing(packets, gone, seconds, start, length):
    left = [packet for at, packet in enumerate(packets) if at not in gone]
    whole = collect(left)
    same(whole, expected(left))
    found = list(parts(left, seconds))
    assert [part.first_frame for part in found[1:]] == [part.end_frame for part in found[:-1]]
    for part in found:
        same_part(part, whole)
        assert not part.blank or not len(part.low) + len(part.event_frames)
    stretches = [piece for part in found for piece in filled(part)]
    assert np.array_equal(np.concatenate([piece.low for piece in stretches]), whole.low, equal_nan=True)
    assert np.array_equal(np.concatenate([piece.power for piece in stretches]), whole.power, equal_nan=True)
    some = list(parts(left, seconds, start=start / RATE, end=(start + length) / RATE))
    assert some[0].first_frame == min(start, whole.frames)
    assert some[-1].end_frame == min(start + length, whole.frames)
    for part in some:
        same_part(part, whole)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_with_damage(packets, tmp_path_factory, data):
    content = bytearray(b"SPKT" + b"".join(packets))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(300, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 999))] = data.draw(st.binary(max_size=9))
    path = tmp_path_factory.mktemp("damaged") / "a.spkt"
    path.write_bytes(content)
    found = list(file_module.packets_in(bytes(content), "a test"))
    whole = spikey.read_telemetry(path)
    same(whole, expected(found))
    for part in spikey.iter_telemetry(path, 0.2):
        same_part(part, whole)
    known, counted = inspect(path)
    assert counted == check(path)
    assert (known.frames, known.events, known.waveforms) == (
        whole.frames, len(whole.event_frames), len(whole.waveforms)
    )  # fmt: skip
    assert known.missing.tolist() == [list(span) for span in whole.missing] and known.dropped == whole.dropped


def test_a_part_begins_at_a_key_near_it(tmp_path, monkeypatch):
    samples = simulate(160_000, 3, RATE, 5, spikes_per_second=100)
    packets = encoded(samples, 10_000, packet_ms=5, key_s=0.5)
    turns = Schedule(collect(packets[:50]).description.shape)
    keys = [at for at, packet in enumerate(packets) if packet[0] & KEY]
    assert len(keys) > 15 and turns.parts == 1
    path = file_of(tmp_path, packets)
    whole = spikey.read_telemetry(path)
    monkeypatch.setattr(file_module, "NEAR", 2000)
    monkeypatch.setattr(file_module, "PIECE", 1 << 13)
    pushed = []
    push = TelemetryDecoder.push
    monkeypatch.setattr(TelemetryDecoder, "push", lambda self, data: pushed.append(data) or push(self, data))
    for start, end in ((0.0, 0.1), (0.3, 0.9), (3.0, 3.5), (7.77, 7.9), (7.9, 99.0)):
        pushed.clear()
        part = spikey.read_telemetry(path, start, end)
        assert (part.first_frame, part.end_frame) == (round(start * RATE), min(round(end * RATE), whole.frames))
        same_part(part, whole)
        assert len(pushed) < 700  # of 1,600
        inner = slice(part.first_frame + 1000, part.end_frame - 1000)
        assert np.array_equal(part.signal(inner.start, inner.stop), whole.signal(inner.start, inner.stop))
    # Without its key a part begins at the one before, and nothing else changes.
    want = turns.epoch(turns.epoch(int(5 * RATE) // turns.shape.frames)[1] - 1)[1]
    left = [packet for at, packet in enumerate(packets) if at != want]
    assert len(left) == len(packets) - 1 and want in keys
    same_part(spikey.read_telemetry(file_of(tmp_path, left), 5.0, 5.4), collect(left))
    beyond = spikey.read_telemetry(path, 8.5)
    assert (beyond.first_frame, beyond.frames, len(beyond.event_frames)) == (160_000, 0, 0)


def test_parts_of_an_address(packets):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/parts/a.spkt", b"SPKT" + b"".join(packets))
    whole = collect(packets)
    for part in spikey.iter_telemetry("memory://parts/a.spkt", 0.5, start=0.7):
        same_part(part, whole)
    same_part(spikey.read_telemetry("memory://parts/a.spkt", 1, 2), whole)


def test_pieces_of_a_file_are_as_all_of_it(packets, tmp_path, monkeypatch):
    content = b"SPKT" + b"".join(packets[:30]) + b"\x90" * 999 + b"".join(packets[30:60]) + packets[60][:-1]
    path = tmp_path / "a.spkt"
    path.write_bytes(content)
    read = []
    longest = max(map(len, packets))  # which pieces must not be shorter than
    for piece in (longest, longest + 1, 1000, 1 << 20):
        monkeypatch.setattr(file_module, "PIECE", piece)
        done: list[int] = []
        with file_module.open_file(path)[0] as file:
            assert list(file_module.packets_in(file, "a test", progress=done.append)) == packets[:60]
        read.append(sum(done))
    assert read == [len(content) - 4] * 4


def false_stream(packets: list[bytes], number: int) -> list[bytes]:
    """A stream whose key claims a number; what follows is numbered after it."""
    first = read_packet(packets[0])
    assert first.description is not None
    false = dataclasses.replace(first.description, packet=number).write()
    return [write_packet(KEY, number, first.payload, false)]


@pytest.mark.parametrize("number", [1 << 24, 1 << 41])
def test_a_false_number_is_one_blank_part(packets, tmp_path, number):
    path = file_of(tmp_path, false_stream(packets, number))
    found = list(itertools.islice(spikey.iter_telemetry(path, 0.5), 20))
    assert len(found) < 10 and found[0].blank and found[-1].end_frame == (number + 1) * PACKET
    blank = found[0]
    assert blank.missing == ((0, blank.end_frame),) and blank.end_frame > number * PACKET - 100_000
    assert blank.signal(7, 9).shape == (2, CHANNELS) and not len(blank.power)
    for call in (spikey.read_telemetry, inspect):
        with pytest.raises(DataError, match=r"a\.spkt: its packets claim .* frames, more than its"):
            call(path)
    part = spikey.read_telemetry(path, 1e6, 1e6 + 2) if number > 1 << 30 else None
    assert part is None or (part.frames == 40_000 and np.isnan(part.low).all() and len(part.low) == 1250)


def test_a_long_loss_is_one_part_between_others(packets, tmp_path):
    """A stream that goes on after 16 s of loss: its key's number says where."""
    jump, later = 800, []
    for packet in packets[:60]:
        flags, number, description, payload = read_packet(packet)
        words = b""
        if description is not None:
            words = dataclasses.replace(description, packet=description.packet + jump).write()
        later.append(write_packet(flags, number + jump, payload, words))
    left = packets[:100] + later
    whole = collect(left)
    same(whole, expected(left))
    found = list(parts(left, 0.2))
    assert [part.blank for part in found].count(True) == 1
    for part in found:
        same_part(part, whole)


def test_calls_that_make_no_sense(packets, tmp_path):
    path = file_of(tmp_path, packets)
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="must last more than 0 s"):
            spikey.iter_telemetry(path, seconds)
    for start, end in ((-1.0, 2.0), (2.0, 2.0), (3.0, 1.0), (float("inf"), None), (float("nan"), None)):
        for call in (spikey.iter_telemetry, spikey.read_telemetry):
            with pytest.raises(UsageError, match="must be a span of seconds"):
                call(path, start=start, end=end)
    path.write_bytes(b"SPKT" + b"".join(packets[1:5]))
    with pytest.raises(DataError, match="contains no telemetry key"):
        list(spikey.iter_telemetry(path))
    path.write_bytes(b"RIFF")
    with pytest.raises(DataError, match="is not a telemetry file"):
        list(spikey.iter_telemetry(path))

"""What a decoded telemetry file becomes: NPZ, CSV, WAV, NWB, SpikeInterface; and what each reader says of one."""

from __future__ import annotations

import csv
import dataclasses
import json
import pickle
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

import spikey
from kit.pages import ROOT, blocks, walk
from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.cli import telemetry_decode
from spikey.recording.simulate import simulate
from spikey.recording.wav import open_wav
from spikey.stream.key_file import new_key, read_key
from spikey.telemetry import decoded as decoded_module
from spikey.telemetry import export
from spikey.telemetry import file as file_module
from spikey.telemetry.check import Tally, check, facts, inspect
from spikey.telemetry.packet import KEY, read_packet, write_packet
from spikey.telemetry.record import collect
from spikey.telemetry.survey import survey

CHANNELS, RATE, FRAMES = 6, 20_000.0, 50_000


def encoded(samples: np.ndarray, each: float = 5000.0, **kept: object) -> list[bytes]:
    """Packets of samples (frames, channels); each: bit/s for each channel."""
    chosen = spikey.TelemetrySettings(budget=samples.shape[1] * each, **kept)  # type: ignore[arg-type]
    encoder = spikey.TelemetryEncoder(samples.shape[1], RATE, dtype=str(samples.dtype), settings=chosen)
    return encoder.push(samples) + encoder.close()


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    samples = simulate(FRAMES, CHANNELS, RATE, 3, spikes_per_second=150)
    return encoded(samples, 2500, packet_ms=20, buffer_ms=0)  # which is too little for all waveforms


@pytest.fixture(scope="module")
def decoded(packets) -> spikey.Telemetry:
    telemetry = collect(packets)
    # All that the forms must cope with: several events a channel, and one whose waveform was left out.
    assert len(telemetry.event_frames) > 30 and np.bincount(telemetry.event_channels).min() > 1
    left_out = np.flatnonzero(telemetry.waveform_of < 0)
    assert 0 < len(left_out) < len(telemetry.event_frames) / 2 and len(packets) > 100
    weak = telemetry.event_weak
    assert min(np.bincount(telemetry.event_channels[own], minlength=CHANNELS).min() for own in (weak, ~weak)) > 1
    return telemetry


@pytest.fixture
def path(packets, tmp_path) -> Path:
    path = tmp_path / "a.spkt"
    path.write_bytes(b"SPKT" + b"".join(packets))
    return path


@pytest.fixture
def decode(capsys):
    """Run `spikey telemetry decode` in this process; return its standard output and error."""
    app = typer.Typer()
    app.command()(telemetry_decode.command)

    def call(*arguments: str | Path) -> tuple[str, str]:
        app([str(argument) for argument in arguments], standalone_mode=False)
        said = capsys.readouterr()
        return said.out, said.err

    return call


def rest(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()} - {"a.spkt"}


def test_npz_holds_all(path, decoded, decode, tmp_path):
    decode(path, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        for name in (
            "event_frames",
            "event_channels",
            "event_weak",
            "event_scaled",
            "waveform_of",
            "waveforms",
            "trough_frames",
            "power",
            "low",
        ):
            wanted = getattr(decoded, name)
            assert held[name].dtype == wanted.dtype and np.array_equal(held[name], wanted, equal_nan=True)
        assert held["rate"] == RATE and held["frames"] == FRAMES and held["channels"] == CHANNELS
        assert np.allclose(held["event_times"] * RATE, decoded.event_frames)
        there = held["waveform_of"] >= 0
        assert (held["waveform_channels"][held["waveform_of"][there]] == held["event_channels"][there]).all()
        assert held["missing"].shape == (0, 2) and held["left_out"].tolist() == list(decoded.dropped)
        assert json.loads(str(held["settings"]))["threshold"] == 4.5
        assert set(json.loads(str(held["units"]))) <= set(held) and "lossy" in str(held["note"])


def test_csv_has_a_line_for_each_event(path, decoded, decode, tmp_path):
    decode(path, "--csv", tmp_path / "events.txt")
    with open(tmp_path / "events.txt", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(decoded.event_frames)
    columns = ["time_s", "channel", "crossing_frame", "trough_frame", "amplitude", "weak", "scaled", "w0"]
    assert list(lines[0])[:8] == columns
    assert [line["weak"] for line in lines] == ["1" if weak else "0" for weak in decoded.event_weak]
    for line, frame, channel, row in zip(
        lines, decoded.event_frames, decoded.event_channels, decoded.waveform_of, strict=True
    ):
        assert int(line["crossing_frame"]) == frame and int(line["channel"]) == channel
        assert float(line["time_s"]) == pytest.approx(frame / RATE, abs=1e-7)
        wave_of = [line[f"w{i}"] for i in range(decoded.waveforms.shape[1])]
        if row < 0:
            assert not any([line["trough_frame"], line["amplitude"], *wave_of])
            continue
        assert int(line["trough_frame"]) == decoded.trough_frames[row]
        assert line["amplitude"] == wave_of[decoded.pre]
        assert np.allclose(np.array(wave_of, dtype=float), decoded.waveforms[row], rtol=0, atol=6e-5)


def test_csv_without_waveforms(tmp_path):
    telemetry = collect(encoded(simulate(20_000, 2, RATE, 1), waveforms=False))
    export.write_csv(telemetry, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "time_s,channel,crossing_frame,trough_frame,amplitude,weak,scaled" and len(lines) > 5
    assert all(line.endswith(",,,0,0") for line in lines[1:])


@pytest.mark.parametrize("piece", [1, 7000, 1 << 30])
def test_wav_is_the_signal_and_says_what_it_is(decoded, tmp_path, monkeypatch, piece):
    some = dataclasses.replace(decoded, frames=min(piece * 500, FRAMES))
    monkeypatch.setattr(export, "PIECE", piece)
    export.write_wav(some, tmp_path / "a.wav")
    with open_wav(tmp_path / "a.wav") as source:
        assert source.layout.rate == RATE
        assert np.array_equal(source.read(0, source.frames), decoded.samples(0, some.frames))
    with wave.open(str(tmp_path / "a.wav")) as other:
        assert other.getnframes() == some.frames and other.getnchannels() == CHANNELS
    head = (tmp_path / "a.wav").read_bytes()[:200]
    assert b"ICMT" in head and b"Lossy reconstruction from Spikey telemetry, not the recording\0" in head
    assert int.from_bytes(head[4:8], "little") == (tmp_path / "a.wav").stat().st_size - 8


def test_wav_beyond_what_riff_can_state(decoded, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MOST_RIFF", 4000)
    export.write_wav(decoded, tmp_path / "a.wav")
    data = (tmp_path / "a.wav").read_bytes()
    assert data[:4] == b"RF64" and int.from_bytes(data[20:28], "little") == len(data) - 8
    with open_wav(tmp_path / "a.wav") as source:
        assert source.tail_size == 0 and np.array_equal(source.read(0, source.frames), decoded.samples())


def test_wav_of_odd_size_and_wav_that_cannot_be(tmp_path):
    samples = np.random.default_rng(0).integers(100, 156, (3001, 1)).astype(np.uint8)
    export.write_wav(collect(encoded(samples)), tmp_path / "a.wav")
    data = (tmp_path / "a.wav").read_bytes()
    assert len(data) % 2 == 0 and int.from_bytes(data[4:8], "little") == len(data) - 8
    with open_wav(tmp_path / "a.wav") as source:
        assert source.frames == 3001
    with pytest.raises(UsageError, match="WAV header cannot contain .*write .npz instead"):
        export.write_wav(collect(encoded(samples.astype(np.uint16))), tmp_path / "b.wav")
    assert rest(tmp_path) == {"a.wav"}


def test_a_piece_of_the_signal_is_that_piece(decoded):
    whole = decoded.signal()
    for first, end in ((0, 1), (17, 18), (1000, 9000), (FRAMES - 5, FRAMES), (40, 40)):
        assert np.array_equal(decoded.signal(first, end), whole[first:end])
    bare = decoded.signal(low=False)
    row = int(np.argmax(np.diff(decoded.trough_frames, append=FRAMES) > 60))  # no other is near
    frame, channel = decoded.trough_frames[row], decoded.waveform_channels[row]
    span = slice(frame - decoded.pre, frame - decoded.pre + decoded.waveforms.shape[1])
    near = (decoded.waveform_channels == channel) & (np.abs(decoded.trough_frames - frame) < 60)
    assert near.sum() == 1 and np.array_equal(bare[span, channel], decoded.waveforms[row])


@pytest.mark.parametrize("volts", [None, 3e-6])
@pytest.mark.filterwarnings("error::UserWarning")
def test_nwb(path, decoded, decode, tmp_path, volts):
    pynwb = pytest.importorskip("pynwb")
    gain = [] if volts is None else ["--volts-per-code", volts, "--start", "2026-01-02T03:04:05"]
    decode(path, tmp_path / "a.nwb", *gain)
    assert pynwb.validate(path=str(tmp_path / "a.nwb")) == []
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as opened:
        file = opened.read()
        assert "lossy telemetry" in file.session_description and '"threshold": 4.5' in file.session_description
        assert file.session_start_time.year == (1970 if volts is None else 2026)
        units = file.units
        assert len(file.electrodes) == CHANNELS and units.waveform_unit == ("code" if volts is None else "volts")
        for row, channel in enumerate(units.id[:]):
            own = decoded.event_channels == channel
            assert np.allclose(units["spike_times"][row], decoded.event_frames[own] / RATE)
            assert units["weak"][row].tolist() == decoded.event_weak[own].tolist()
            assert units["electrodes"][row].index.tolist() == [channel]
            rows = decoded.waveform_of[own]
            assert [len(each) for each in units["waveforms"][row]] == (rows >= 0).tolist()
            waves = decoded.waveforms[rows[rows >= 0]] * (volts or 1)
            assert np.allclose(np.concatenate(units["waveforms"][row]), waves, rtol=1e-5)
            assert np.allclose(units["waveform_mean"][row], waves.mean(axis=0), rtol=1e-3, atol=1e-9)
            assert np.allclose(units["waveform_sd"][row], waves.std(axis=0), rtol=1e-3, atol=1e-9)
        assert units.waveform_time_before_peak_in_ms == pytest.approx(decoded.pre / RATE * 1000)
        module = file.processing["ecephys"]
        power = module["spike_band_power"]
        assert np.array_equal(power.data[:], decoded.power, equal_nan=True) and power.rate == 20
        low = module["low_band"] if volts is None else module["LFP"]["low_band"]
        assert np.array_equal(low.data[:], decoded.low, equal_nan=True) and low.rate == 625
        assert low.starting_time == pytest.approx(decoded.low_frames[0] / RATE)
        if volts is not None:
            assert low.conversion == volts and low.unit == "volts" and power.unit == "volts^2"


def test_nwb_of_little(packets, decoded, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    from spikey.integrations.nwb import write_nwb

    none = np.zeros(0, dtype=np.int64)
    silent = dataclasses.replace(
        collect(packets[:5] + packets[9:]),
        event_frames=none,
        event_channels=none,
        event_weak=none.astype(np.bool_),
        event_scaled=none.astype(np.bool_),
        waveform_of=none,
        waveforms=decoded.waveforms[:0],
        trough_frames=none,
        power=decoded.power[:0],
        low=decoded.low[:0],
    )
    assert len(silent.missing) == 1
    write_nwb(silent, tmp_path / "a.nwb")
    assert pynwb.validate(path=str(tmp_path / "a.nwb")) == []
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as opened:
        file = opened.read()
        assert file.units is None
        spans = np.array(silent.missing) / RATE
        assert np.allclose(
            np.stack([file.invalid_times["start_time"][:], file.invalid_times["stop_time"][:]], 1), spans
        )


def test_sorting_and_recording(path, decoded):
    pytest.importorskip("spikeinterface.core")
    from spikey.integrations.telemetry import read_telemetry_recording, read_telemetry_sorting

    crossings, troughs = read_telemetry_sorting(path), read_telemetry_sorting(path, times="trough")
    assert crossings.unit_ids.tolist() == list(range(CHANNELS)) and crossings.sampling_frequency == RATE
    for channel in range(CHANNELS):
        own = decoded.event_channels == channel
        assert np.array_equal(crossings.get_unit_spike_train(channel), decoded.event_frames[own])
        rows = decoded.waveform_of[own]
        wanted = np.where(rows >= 0, decoded.trough_frames[rows], decoded.event_frames[own])
        assert np.array_equal(troughs.get_unit_spike_train(channel), wanted)
    strong = ~decoded.event_weak
    without = read_telemetry_sorting(path, weak=False)
    assert without.unit_ids.tolist() == list(range(CHANNELS))
    for channel in range(CHANNELS):
        own = strong & (decoded.event_channels == channel)
        assert np.array_equal(without.get_unit_spike_train(channel), decoded.event_frames[own])
    assert len(read_telemetry_sorting(path, "trough", weak=False).to_spike_vector()) == strong.sum()
    recording = read_telemetry_recording(path)
    assert recording.get_dtype() == np.int16 and recording.get_num_samples() == FRAMES
    assert np.array_equal(recording.get_traces(start_frame=9, end_frame=900), decoded.samples(9, 900))
    assert np.array_equal(recording.get_traces(channel_ids=[4, 1]), decoded.samples()[:, [4, 1]])
    again = pickle.loads(pickle.dumps(read_telemetry_recording(path, "codes")))
    assert np.array_equal(again.get_traces(end_frame=500), decoded.signal(0, 500))
    for call in (read_telemetry_recording, read_telemetry_sorting):
        with pytest.raises(UsageError, match="'other'"):
            call(path, "other")


@pytest.mark.filterwarnings("ignore")
def test_spikeinterface_reads_authenticated_files_with_the_file_of_the_key(tmp_path):
    pytest.importorskip("spikeinterface.core")
    from spikey.integrations.telemetry import read_telemetry_recording, read_telemetry_sorting, telemetry_analyzer

    key, path = tmp_path / "a.key", tmp_path / "a.spkt"
    new_key(key)
    chosen = spikey.TelemetrySettings(budget=CHANNELS * 5000.0)
    encoder = spikey.TelemetryEncoder(CHANNELS, RATE, settings=chosen, key=read_key(key))
    samples = simulate(FRAMES, CHANNELS, RATE, seed=3)
    path.write_bytes(b"SPKT" + b"".join(encoder.push(samples) + encoder.close()))
    for call in (read_telemetry_sorting, read_telemetry_recording, telemetry_analyzer):
        with pytest.raises(UsageError, match="key_file="):
            call(path)
    telemetry = spikey.read_telemetry(path, key=read_key(key))
    assert len(read_telemetry_sorting(path, key_file=key).to_spike_vector()) == len(telemetry.event_frames) > 100
    recording = read_telemetry_recording(path, key_file=key)
    assert read_key(key).hex() not in repr(recording.to_dict())
    again = pickle.loads(pickle.dumps(recording))
    assert np.array_equal(again.get_traces(), telemetry.samples())
    assert telemetry_analyzer(path, key_file=key).get_num_channels() == CHANNELS


@pytest.mark.filterwarnings("ignore")
def test_analyzer_has_the_decoded_waveforms(path, decoded, tmp_path):
    pytest.importorskip("spikeinterface.core")
    from spikey.integrations.telemetry import telemetry_analyzer

    analyzer = telemetry_analyzer(path)
    templates = analyzer.get_extension("templates")
    assert templates.nbefore == decoded.pre
    for channel in range(CHANNELS):
        wanted = decoded.waveforms[decoded.waveform_channels == channel]
        waves = analyzer.get_extension("waveforms").get_waveforms_one_unit(channel, force_dense=False)
        assert np.array_equal(waves[:, :, 0], wanted)
        average = templates.get_data("average")[channel]
        assert np.allclose(average[:, channel], wanted.mean(axis=0), atol=1e-3)
        assert not average[:, np.arange(CHANNELS) != channel].any()
    silent = tmp_path / "silent.spkt"
    silent.write_bytes(b"SPKT" + b"".join(encoded(np.zeros((2000, 2), dtype=np.int16))))
    with pytest.raises(DataError, match="holds no waveforms"):
        telemetry_analyzer(silent)


def test_without_the_packages(path, monkeypatch, tmp_path, decode):
    from spikey.integrations import telemetry

    for name in ("pynwb", "spikeinterface.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r'pip install -e "\.\[spikeinterface\]"'):
        decode(path, tmp_path / "a.npz", "--nwb", tmp_path / "a.nwb")
    for call in (telemetry.read_telemetry_sorting, telemetry.read_telemetry_recording, telemetry.telemetry_analyzer):
        with pytest.raises(UsageError, match="needs SpikeInterface"):
            call(path)
    assert rest(tmp_path) == set()


def test_summary(path, decoded, decode, run):
    out, err = decode(path, "--json")
    known = json.loads(out)
    assert known["lossless"] is False and "lossy telemetry" in known["holds"] and err == ""
    assert (known["channels"], known["rate"], known["frames"], known["seconds"]) == (CHANNELS, RATE, FRAMES, 2.5)
    assert known["bits_per_second"] == round(8 * path.stat().st_size / 2.5, 1)
    assert known["settings"]["budget"] == CHANNELS * 2500 and known["settings"]["band"] == [300, 5000]
    assert known["weak_events"] == decoded.event_weak.sum()
    assert known["events"] == len(decoded.event_frames) and known["waveforms"] == len(decoded.waveforms)
    assert list(known["left_out"].values()) == list(decoded.dropped) and known["missing_spans"] == []
    status, out, _ = run("info", path, "--json")
    assert status == 0 and json.loads(out) == [known]
    text, _ = decode(path)
    status, out, _ = run("info", path)
    assert (
        status == 0
        and out.rstrip() == text.rstrip()
        and "lossy telemetry" in out
        and "threshold 4.5" in out
        and "match 5" in out
    )


def test_several_outputs_at_once(path, decode, tmp_path):
    out, err = decode(path, tmp_path / "a.wav", "--npz", tmp_path / "b", "--csv", tmp_path / "c", "--summary")
    assert rest(tmp_path) == {"a.wav", "b", "c"} and "lossless  no" in out and err.count("lossy") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.xyz"], "must end in"),
        (["a.npz", "--npz", "b.npz"], "give one"),
        (["--npz", "b", "--csv", "b"], "of two kinds"),
        (["--npz", "a.spkt"], "read and written at once"),
        (["--npz", "none/b"], "cannot be written"),
        (["a.csv", "--volts-per-code", "1e-6"], "for NWB"),
        (["a.nwb", "--volts-per-code", "-1"], "more than 0"),
    ],
)
def test_calls_that_make_no_sense(path, decode, tmp_path, monkeypatch, arguments, said):
    if "a.nwb" in arguments:
        pytest.importorskip("pynwb")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        decode("a.spkt", *arguments)
    assert rest(tmp_path) == set()


def test_addresses(path, decoded, decode):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/t/a.spkt", path.read_bytes())
    decode("memory://t/a.spkt", "memory://t/a.npz", "--csv", "memory://t/a.csv", "--wav", "memory://t/a.wav")
    with fsspec.open("memory://t/a.npz") as file, np.load(file) as held:
        assert np.array_equal(held["event_frames"], decoded.event_frames)
    with open_wav("memory://t/a.wav") as source:
        assert source.frames == FRAMES
    with fsspec.open("memory://t/a.csv", "rt") as file:
        assert len(file.readlines()) == len(decoded.event_frames) + 1
    with pytest.raises(DataError):
        decode("memory://t/none.spkt")


def test_nothing_is_left_of_what_fails(path, decoded, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise DataError("for a test")

    monkeypatch.setattr(decoded_module.Telemetry, "samples", fail)
    with pytest.raises(DataError):
        export.write_wav(decoded, tmp_path / "a.wav")
    assert rest(tmp_path) == set()


def test_readers_of_recordings_refuse_it(path, run, tmp_path):
    for call in (spikey.open, spikey.decompress):
        with pytest.raises(DataError, match="is lossy telemetry, not a recording: use spikey telemetry decode"):
            call(path)
        with pytest.raises(DataError, match="is lossy telemetry"):
            call(path.read_bytes())
    status, _, err = run("decompress", path, tmp_path / "a.wav")
    assert status == 1 and "use spikey telemetry decode" in err and rest(tmp_path) == set()


def test_what_is_no_telemetry(decode, tmp_path):
    for name, data in (("a", b""), ("b", b"SPK"), ("c", b"RIFF1234WAVEfmt "), ("d", b"SPKT"), ("e", b"SPKT" * 99)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match="is not a telemetry file" if name < "d" else "contains no telemetry key"):
            decode(tmp_path / name, tmp_path / "out.npz")
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match="is a folder|does not exist"):
            decode(place, "--json")
    assert rest(tmp_path) == set("abcde")


def test_verify(path, packets, run, tmp_path):
    status, out, err = run("verify", path)
    assert status == 0 and f"lossy telemetry; {len(packets)} packets are whole" in out and not err
    data = bytearray(path.read_bytes())
    (tmp_path / "cut.spkt").write_bytes(data[:-30])
    start = 4 + sum(map(len, packets[:7]))
    data[start + 5] ^= 8
    (tmp_path / "bad.spkt").write_bytes(data)
    (tmp_path / "late.spkt").write_bytes(b"SPKT" + b"".join(packets[3:]))
    status, _, err = run("verify", tmp_path / "bad.spkt")
    assert (
        status == 1
        and f"{len(packets) - 1} packets are whole; 1 is missing; {len(packets[7])} bytes are damaged" in err
    )
    status, _, err = run("verify", tmp_path)
    assert status == 1 and err.count("packets are whole") == 3 and "its end is missing" in err
    assert "3 of 4 files are damaged" in err


def test_damage_is_said_and_the_rest_decoded(path, packets, decoded, decode, tmp_path):
    data = b"SPKT" + b"".join(packets[:20]) + b"?" * 50 + b"".join(packets[22:60])
    path.write_bytes(data)
    out, err = decode(path, tmp_path / "a.npz", "--json")
    known = json.loads(out)
    assert "2 are missing" in err and "50 bytes are damaged" in err and "its end is missing" in err
    assert known["packets"] == {"whole": 58, "missing": 2, "damaged_bytes": 50, "ended": False}
    frames = decoded.description.shape.frames
    assert known["missing_spans"] == [[20 * frames, 22 * frames]] and known["missing_frames"] == 2 * frames
    with np.load(tmp_path / "a.npz") as held:
        assert held["missing"].tolist() == known["missing_spans"]
        early = held["event_frames"] < 20 * frames
        assert np.array_equal(held["event_frames"][early], decoded.event_frames[decoded.event_frames < 20 * frames])


@settings(max_examples=60, deadline=None)
@given(gone=st.sets(st.integers(1, 90), max_size=80), cut=st.integers(0, 8))
def test_every_missing_packet_is_counted(packets, gone, cut):
    left = [packet for at, packet in enumerate(packets) if at not in gone]
    data = b"SPKT" + b"".join(left)[: -cut or None]
    tally = Tally()
    found = list(tally.passing(file_module.packets_in(data, "a test")))
    counted = tally.census(len(data))
    assert (counted.missing, counted.packets) == (len(gone), len(left) - bool(cut))
    assert counted.ended == (not cut) and counted.whole == (not gone and not cut)
    assert found == left[: len(left) - bool(cut)]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_damage_does_more_than_it_says(packets, data):
    file = bytearray(b"SPKT" + b"".join(packets))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(file) - 1))
        file[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    try:
        tally = Tally()
        whole = list(tally.passing(file_module.packets_in(bytes(file), "a test")))
        counted = tally.census(len(file))
        telemetry = collect(whole, "a test")
    except SpikeyError:
        return
    assert json.loads(json.dumps(facts("a", survey([telemetry]), counted)))["frames"] == telemetry.frames
    known = export.arrays(telemetry)
    assert len(known["event_frames"]) == len(known["waveform_of"])
    assert counted.damaged + sum(map(len, whole)) == len(file) - 4


def test_false_numbers_take_no_memory(packets, tmp_path):
    packet = read_packet(packets[0])
    assert packet.description is not None
    for number in (1 << 24, 1 << 47):
        false = dataclasses.replace(packet.description, packet=number).write()
        path = tmp_path / "a.spkt"
        path.write_bytes(b"SPKT" + write_packet(KEY, number, packet.payload, false) + packets[-1])
        with pytest.raises(DataError, match="more than its|contains no telemetry key"):
            inspect(path)
        assert not check(path).whole


def test_looking_for_packets_ends(packets, monkeypatch):
    summed = 0
    real = file_module.read_packet

    def counted(view: memoryview) -> object:
        nonlocal summed
        summed += len(view)
        return real(view)

    monkeypatch.setattr(file_module, "read_packet", counted)
    monkeypatch.setattr(file_module, "MOST_SUMMED", 1 << 22)
    # Every sixth byte begins a packet that would go on to the end.
    hostile = b"SPKT" + b"\x90\0\0\xff\xff\x03" * 50_000
    assert list(file_module.packets_in(hostile, "a test")) == []
    assert summed < 1 << 23


@pytest.mark.filterwarnings("ignore")
def test_the_page_prints_what_it_says(tmp_path, monkeypatch):
    for module in ("pynwb", "spikeinterface.core", "zarr"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    page = blocks((ROOT / "docs" / "telemetry-files.md").read_text(encoding="utf-8"))
    assert sum(block.language == "python" for block in page) == 5
    assert walk(page) == []

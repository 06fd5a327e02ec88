"""Every peer restores every kind of recording, or says that it does not apply."""

from __future__ import annotations

import sys
import tempfile

import numpy as np
import pytest

from spikey.base.errors import DataError, UsageError
from spikey.levels.n1 import N1_VALUES
from spikey.recording.layout import Layout
from spikey.report.bench.peers import choose, known
from spikey.report.bench.peers.chunked import _on_corrected
from spikey.report.bench.peers.contract import CORRECTED, ORDERED, DoesNotApply, Shape, wanted
from spikey.report.bench.peers.corrected import chain, read_correction, to_corrected
from spikey.report.bench.peers.forms import from_codes, from_delta8, read_maps, to_codes, to_delta8
from spikey.report.bench.recordings import Loaded

MIXED = ("uint8", "int8", "int16", "uint16", "int24", "int32", "uint32")


def loaded(samples: np.ndarray, dtype: str, rate: float = 19_531) -> Loaded:
    """Samples (frames, channels) in memory, as if out of a file with a head of 44 bytes."""
    return Loaded("a.wav", Layout(samples.shape[1], rate, dtype), samples, bytes(range(44)), b"tail", False)


def noise(frames: int, channels: int, deviation: float = 6, seed: int = 1) -> np.ndarray:
    """Coloured noise (frames, channels), int64."""
    white = np.random.default_rng(seed).normal(0, deviation, (frames + 3, channels))
    return np.rint(white[3:] + white[2:-1] + 0.5 * white[1:-2]).astype(np.int64)


def recordings() -> dict[str, Loaded]:
    """One of every kind."""
    found = {
        "n1": loaded(N1_VALUES[np.clip(noise(3000, 1) + 500, 0, 1023)], "int16"),
        "one frame": loaded(np.array([[-7]], np.int16), "int16"),
        "two frames": loaded(np.array([[-32768, 5], [32767, 5]], np.int16), "int16"),
        "constant": loaded(np.full((500, 2), 1234, np.int16), "int16"),
        "rails": loaded(np.where(noise(999, 1) > 0, 32767, -32768).astype(np.int16), "int16"),
        "steps of 12, 5 channels": loaded((12 * noise(700, 5)).astype(np.int16), "int16", 30_000),
        "11 channels, rate unknown": loaded(noise(333, 11).astype(np.int16), "int16", 0),
        "wild": loaded(np.random.default_rng(2).integers(-32768, 32768, (4000, 3)).astype(np.int16), "int16", 25_000.5),
    }
    for dtype in MIXED:
        kind = Layout(1, 1, dtype).memory_dtype
        low = 0 if kind.kind == "u" else -(1 << 23) if dtype == "int24" else int(np.iinfo(kind).min)
        high = (1 << 23) - 1 if dtype == "int24" else int(np.iinfo(kind).max)
        middle = (low + high + 1) // 2
        quiet = np.clip(noise(600, 2, 20) + middle, low, high)
        found[dtype] = loaded(quiet.astype(kind), dtype)
        full = np.random.default_rng(3).integers(low, high + 1, (300, 2))
        full[:2] = [[low, high], [high, low]]
        found[f"{dtype}, all values"] = loaded(full.astype(kind), dtype)
    return found


KINDS = recordings()


@pytest.mark.parametrize("title", known())
def test_peers_restore_every_kind_of_recording_or_do_not_apply(title, tmp_path, monkeypatch):
    peer = known()[title]
    if peer.missing():
        pytest.skip(f"{', '.join(peer.missing())} is not installed")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    applied = 0
    for name, recording in KINDS.items():
        try:
            data = peer.encode(recording)
        except DoesNotApply as error:
            assert str(error).startswith("only for "), name
            assert name not in ("n1", "steps of 12, 5 channels", "rails"), name
            continue
        applied += 1
        restored = peer.decode(data, Shape(recording.layout, recording.frames))
        assert restored == wanted(peer, recording), name
    assert applied >= 6
    assert len(peer.encode(KINDS["n1"])) < len(KINDS["n1"].payload)
    assert not list(tmp_path.iterdir())  # of files written in passing


@pytest.mark.parametrize("name", KINDS)
def test_forms_restore_and_say_what_they_are_not_for(name):
    recording = KINDS[name]
    shape = Shape(recording.layout, recording.frames)
    try:
        head, channels = to_codes(recording)
    except DoesNotApply:
        assert recording.layout.dtype in ("int24", "int32", "uint32") and "all values" in name
        return
    maps, rest = read_maps(head + b"rest", shape)
    assert rest == b"rest" and from_codes(maps, channels, shape) == recording.payload
    assert from_delta8(to_delta8(recording), shape) == recording.payload


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_corrected_samples_restore(name, ordered):
    recording = KINDS[name]
    shape = Shape(recording.layout, recording.frames)
    head, array = to_corrected(recording, ordered)
    correction, rest = read_correction(head + b"rest", shape, ordered)
    assert rest == b"rest" and correction.kind == array.dtype and array.shape == recording.samples.shape
    assert correction.restored(array, shape) == recording.payload
    assert array.dtype == np.int16 or "32" in name or name == "int24, all values"


def test_corrected_samples_are_in_steps_of_one_around_their_medians():
    signal = noise(20_000, 3)
    recording = loaded((12 * signal + [100, -5000, 7]).astype(np.int16), "int16")
    head, array = to_corrected(recording, False)
    assert np.abs(np.median(array, axis=0)).max() <= 1
    assert all(np.array_equal(np.diff(array[:, c]), np.diff(signal[:, c])) for c in range(3))
    assert len(head) <= 2 + 1 + 3 * 2  # one step for all, a median for each


def test_channels_that_the_common_step_does_not_divide_have_their_own():
    signal = noise(9000, 5)
    samples = 12 * signal
    samples[:, 1], samples[:, 3] = 64 * (signal[:, 1] > 0), 24 * signal[:, 3]
    samples[5, 2] += 3  # of the frames that are not looked at
    recording = loaded(samples.astype(np.int16), "int16")
    head, array = to_corrected(recording, False)
    shape = Shape(recording.layout, recording.frames)
    correction, _ = read_correction(head, shape, False)
    assert list(correction.steps) == [12, 64, 3, 12, 12]
    assert correction.restored(array, shape) == recording.payload


def test_order_puts_channels_beside_those_that_correlate_and_is_counted():
    line = np.cumsum(np.hstack([noise(6000, 1), noise(6000, 11, 5)]), axis=1)  # each the one before and a little more
    mixed = np.random.default_rng(9).permutation(12)
    recording = loaded(line[:, mixed].astype(np.int16), "int16")
    head, array = to_corrected(recording, True)
    correction, _ = read_correction(head, Shape(recording.layout, recording.frames), True)
    found = mixed[correction.order]
    assert np.abs(np.diff(found)).mean() < 1.6 < np.abs(np.diff(mixed)).mean()
    assert np.array_equal(np.diff(array, axis=0), np.diff(line[:, found], axis=0))
    assert len(head) == len(to_corrected(recording, False)[0]) + 12


def test_a_chain_holds_every_channel_once_whatever_the_correlations():
    for alike in (np.zeros((5, 5)), np.ones((1, 1)), -np.eye(7), np.eye(3)[::-1]):
        assert sorted(chain(alike)) == list(range(len(alike)))
    pairs = np.eye(4)
    pairs[0, 2] = pairs[2, 0] = pairs[1, 3] = pairs[3, 1] = 0.9
    assert list(chain(pairs)) == [0, 2, 1, 3]


def test_corrected_samples_are_coded_a_second_of_all_channels_at_a_time():
    shapes = []

    class Counting:
        def encode(self, chunk):
            shapes.append(chunk.shape)
            return chunk.tobytes()

        def decode(self, data):
            return np.frombuffer(data, np.int16)

    recording = loaded(noise(2500, 5).astype(np.int16), "int16", 1000)
    for given in (CORRECTED, ORDERED):
        shapes.clear()
        peer = _on_corrected("x", given, Counting, "numpy")
        assert peer.decode(peer.encode(recording), Shape(recording.layout, 2500)) == recording.payload
        assert shapes == [(1000, 5), (1000, 5), (500, 5)]


def test_one_byte_differences_are_one_byte_each():
    recording = KINDS["n1"]
    assert len(to_delta8(recording)) <= recording.frames + 2 + 4 * 2  # the kind of levels, and the first value escapes


def test_peers_have_titles_of_their_own_and_say_what_is_missing(monkeypatch):
    def titles(selection):
        here, missing = choose(selection)
        return [peer.title for peer in [*here, *missing]]

    assert len(titles("all")) == len(set(titles("all"))) == len(known())
    assert set(titles("fast")) < set(titles("all")) and titles("none") == []
    assert not any(known()[title].programs for title in titles("fast"))
    assert titles("flac -8 codes, gzip") == ["gzip -9, file", "FLAC -8, codes"]
    with pytest.raises(UsageError, match="pcodec"):
        choose("gzpi")
    monkeypatch.setenv("PATH", "")
    here, missing = choose("flac -8")
    assert not here and {name for peer in missing for name in peer.missing()} == {"flac"}


def test_programs_that_fail_say_why(tmp_path, monkeypatch):
    program(tmp_path, "mac", "import sys; print('no room', file=sys.stderr); sys.exit(3)")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="mac failed with status 3: no room"):
        known()["Monkey's Audio -c4000, codes"].encode(KINDS["n1"])


def test_monkeys_audio_is_called_as_its_manual_says(tmp_path, monkeypatch):
    """With a stand-in that copies, as the program itself is not in every distribution."""
    program(
        tmp_path,
        "mac",
        "import shutil, sys\nassert sys.argv[3] in ('-c4000', '-d') and len(sys.argv) == 4\n"
        "assert sys.argv[1].endswith('.wav' if sys.argv[3] == '-c4000' else '.ape')\n"
        "shutil.copyfile(sys.argv[1], sys.argv[2])",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    peer = known()["Monkey's Audio -c4000, samples"]
    for name in ("n1", "11 channels, rate unknown", "uint8", "uint16"):
        recording = KINDS[name]
        restored = peer.decode(peer.encode(recording), Shape(recording.layout, recording.frames))
        assert restored == recording.payload, name
    with pytest.raises(DoesNotApply):
        peer.encode(KINDS["int32"])


def program(folder, name, text):
    """A Python script as a program."""
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)

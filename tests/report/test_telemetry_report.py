"""The telemetry report: known spikes are those that were added, and what it measures is what it says it measures."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from spikey.base.errors import SpikeyError, UsageError
from spikey.cli.telemetry_report import command
from spikey.levels.n1 import N1_VALUES
from spikey.recording.layout import Layout
from spikey.recording.simulate import _add_spikes, simulate
from spikey.recording.wav import canonical_head
from spikey.report.telemetry import fidelity as telemetry_fidelity
from spikey.report.telemetry import sorting as telemetry_sorting
from spikey.report.telemetry.fidelity import Encoded, Original, Tally, budget_of, encode, measure
from spikey.report.telemetry.page import sentence
from spikey.report.telemetry.reference import (
    SETTLED,
    Events,
    Reference,
    biquad,
    butterworth,
    codes_of,
    crossings,
    cut,
    low_errors,
    matched,
    refer,
)
from spikey.report.telemetry.report import report
from spikey.report.telemetry.sorting import cluster, compare_clusters, rand_index
from spikey.report.telemetry.table import facts_of, table
from spikey.telemetry.settings import Settings

RATE = 20_000.0
app = typer.Typer()
app.command()(command)
needs_sklearn = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn")


@pytest.fixture(scope="module")
def simulated():
    spikes: list = []
    samples = simulate(40_000, 4, RATE, seed=4, spikes_into=spikes)
    return Original("four", samples, RATE, spikes)


@pytest.fixture(scope="module")
def measured(simulated):
    # Crossings of the threshold alone, as those of the detector that they are compared with.
    return measure([simulated], [20.0, 400.0], Settings(match=0.0))


def test_known_spikes_change_no_sample(simulated):
    np.testing.assert_array_equal(simulated.samples, simulate(40_000, 4, RATE, seed=4))
    assert len(simulated.spikes) == 4


def test_known_spikes_are_those_that_were_added():
    trace = np.zeros(100_000)
    known = _add_spikes(trace, np.random.default_rng(1), RATE, 8.0, 1.0)
    assert 20 < len(known.frames) < 70 and (np.diff(known.frames) >= 0).all()
    assert set(known.units.tolist()) <= set(range(4))
    at = np.rint(known.frames).astype(int)
    assert (trace[at] < -2.5).all()
    near = np.zeros(len(trace), dtype=bool)
    for frame in at:
        near[max(frame - 10, 0) : frame + 26] = True
    assert (trace[~near] == 0).all()
    # Apart from overlaps, nothing is deeper than a known trough.
    assert set(np.flatnonzero(trace < 0.9 * trace.min())) <= {frame + by for frame in at.tolist() for by in (-1, 0, 1)}


def test_codes_are_those_of_telemetry():
    assert codes_of(N1_VALUES[[[0, 5], [1023, 512]]]).tolist() == [[0, 1023], [5, 512]]
    assert codes_of(np.array([[-3], [4]], dtype=np.int16)).tolist() == [[32765, 32772]]


@pytest.mark.parametrize("kind, corner", [("high", 300.0), ("low", 5000.0), ("low", 1000.0)])
def test_sections_are_butterworth(kind, corner):
    for frequency in (corner / 2, corner, min(corner * 1.5, 8000.0)):
        signal = np.sin(2 * np.pi * frequency / RATE * np.arange(20_000))
        biquad(butterworth(kind, corner, RATE), signal)
        # The bilinear transform warps frequencies; the response is that of the analog filter at the warped ones.
        ratio = np.tan(np.pi * frequency / RATE) / np.tan(np.pi * corner / RATE)
        wanted = 1 / np.sqrt(1 + (ratio**4 if kind == "low" else ratio**-4))
        assert np.sqrt(2 * (signal[10_000:] ** 2).mean()) == pytest.approx(wanted, rel=0.01)


def test_crossings_respect_threshold_and_refractory_time():
    band = np.zeros(10_000)
    for frame in (100, 3000, 3010, 3025, 5000):
        band[frame : frame + 2] = -10
    band[7000] = 10
    band[8000] = -4
    settings = Settings()
    assert crossings(band, 1.0, RATE, settings).tolist() == [3000, 3025, 5000]  # frame 100 is before SETTLED
    assert crossings(band, 1.0, RATE, replace(settings, polarity="both")).tolist() == [3000, 3025, 5000, 7000]
    assert crossings(band, 3.0, RATE, settings).tolist() == []
    assert SETTLED * RATE > 100


def test_matching_and_cutting():
    events = Events(np.array([10, 20, 30]), np.array([0, 1, 1]))
    others = Events(np.array([12, 31, 29]), np.array([0, 1, 0]))
    assert matched(events, others, 2).tolist() == [True, False, True]
    assert matched(events, others, 1).tolist() == [False, False, True]
    assert matched(events, Events(np.zeros(0, int), np.zeros(0, int)), 9).tolist() == [False] * 3
    band = np.arange(20, dtype=np.float32).reshape(2, 10)
    assert cut(band, np.array([3, 0]), np.array([1, 0]), 1, 3).tolist() == [[12, 13, 14], [0, 0, 1]]


def test_low_band_is_judged_in_the_band_alone():
    time = np.arange(40_000)
    slow = 20 * np.sin(2 * np.pi * 20 / RATE * time) + 5 * np.sin(2 * np.pi * 180 / RATE * time + 1)
    code = slow + 50 * np.sin(2 * np.pi * 700 / RATE * time)
    frames = 320.5 + 32 * np.arange(1200)
    exact = np.interp(frames, time, slow)
    assert (low_errors(code, exact, 320.5, 32, RATE, (100.0, 250.0)) > 35).all()
    wrong = exact + 2 * np.sin(2 * np.pi * 60 / RATE * frames)
    assert low_errors(code, wrong, 320.5, 32, RATE, (100.0,))[0] == pytest.approx(20, abs=0.5)
    high = exact + 5 * np.sin(2 * np.pi * 180 / RATE * frames + 1)  # twice as much as there is
    below, above = low_errors(code, high, 320.5, 32, RATE, (100.0, 250.0))
    assert below > 35 and above == pytest.approx(10 * np.log10((400 + 25) / 25), abs=0.5)
    assert low_errors(code, np.roll(exact, 1), 320.5, 32, RATE, (100.0,))[0] < 20


def test_report_of_four_channels(measured, simulated):
    tallies, shown = measured
    rich, poor = map(facts_of, tallies)
    assert rich["kept"] == 1.0 and rich["kept_quiet"] == 1.0
    assert rich["offline_recall"] > 0.9 and rich["offline_precision"] > 0.9
    assert rich["precision"] > 0.9 and abs(rich["recall_lost"]) < 0.03
    assert rich["wave_error"] < 0.05 and rich["with_waveform"] > poor["with_waveform"]
    assert rich["power_mean"] > 0.97
    assert rich["low_100_mean"] > 10 > poor["low_100_mean"]
    for facts in (rich, poor):
        assert facts["of_budget"] <= 1.001
    lines = table([rich, poor])
    assert {len(line) for line in lines} == {5}
    assert lines[0][-1] == "at 400x" and {line[-1] for line in lines[1:]} >= {"", "missed"}
    json.dumps([rich, poor])
    assert set(shown.telemetry) == {20.0, 400.0}


def test_what_is_lost_shows(simulated):
    reference = refer(simulated.samples, RATE, Settings())
    settings = Settings(budget=budget_of(4, RATE, 20))
    encoded = encode(simulated, settings)
    decoded = encoded.telemetry
    own = Events(decoded.event_frames, decoded.event_channels)

    def kept(events: Events, spans: np.ndarray) -> Tally:
        tally = Tally(20.0)
        telemetry_fidelity._events(tally, Encoded(decoded, spans, 0, 0, *[None] * 4), events, own, reference, RATE)
        return tally

    assert kept(own, encoded.spans).share("kept", "own") == 1.0
    half = Events(own.frames[::2], own.channels[::2])
    spans = encoded.spans.copy()
    spans[:, 2] = 1  # every packet says that it dropped events
    tally = kept(half, spans)
    assert tally.share("kept", "own") == pytest.approx(0.5, abs=0.05)
    assert tally.share("kept_quiet", "own_quiet") is None
    late = Events(own.frames + 3, own.channels)
    assert kept(late, encoded.spans).share("kept", "own") < 0.05

    tally = Tally(20.0)
    telemetry_fidelity._waves(tally, decoded, reference)
    halved = Tally(20.0)
    telemetry_fidelity._waves(halved, replace(decoded, waveforms=decoded.waveforms / 2), reference)
    error, energy = tally.all("wave_error").sum(), tally.all("wave_energy").sum()
    assert error < 0.05 * energy
    assert halved.all("wave_error").sum() == pytest.approx(energy / 4, rel=0.2)

    flat = Tally(20.0)
    telemetry_fidelity._power(flat, replace(decoded, power=np.roll(decoded.power, 5, axis=0)), reference, RATE)
    assert np.mean(flat.all("power")) < 0.5


def test_latency_is_that_of_the_clock(simulated, monkeypatch):
    monkeypatch.setattr(telemetry_fidelity.time, "perf_counter", lambda: 0.0)  # work takes no time
    settings = Settings(budget=1e6, packet_ms=1.5)
    packet, post, reach = 30 / RATE, 18 / RATE, 2 / RATE
    with_weak = encode(simulated, settings)
    assert with_weak.telemetry.event_weak.sum() > 20
    assert with_weak.event_latency.max() <= packet
    assert post + reach - 1.1 / RATE <= with_weak.weak_latency.min()  # weak events come with their waveforms
    assert packet < with_weak.weak_latency.max() <= packet + reach + post
    encoded = encode(simulated, replace(settings, match=0.0))
    assert len(encoded.event_latency) == len(encoded.wave_latency) > 20
    assert encoded.event_latency.min() >= -3.1 / RATE and encoded.event_latency.max() <= packet
    assert encoded.wave_latency.min() >= post - 1.1 / RATE
    assert encoded.wave_latency.max() <= packet + post + 3.1 / RATE


def test_rand_index_of_known_labels():
    ones = np.array([0, 0, 0, 1, 1, 1])
    assert rand_index(ones, ones + 5) == 1.0
    # By hand: 2 pairs together in both, 6 in one, 4 in the other, of 15.
    assert rand_index(ones, np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(
        (2 - 6 * 3 / 15) / ((6 + 3) / 2 - 6 * 3 / 15)
    )
    assert rand_index(np.zeros(5, int), np.ones(5, int)) == 1.0
    rng = np.random.default_rng(0)
    assert abs(rand_index(rng.integers(0, 3, 5000), rng.integers(0, 3, 5000))) < 0.01


@needs_sklearn
def test_clusters_find_two_shapes():
    rng = np.random.default_rng(2)
    shapes = np.stack([-np.hanning(28), -np.hanning(28) * np.linspace(0, 2, 28)])
    truth = rng.integers(0, 2, 80)
    waves = (20 * shapes[truth] + rng.normal(0, 1, (80, 28))).astype(np.float32)
    assert rand_index(truth, cluster(waves)) > 0.95
    tally = Tally(200.0)
    compare_clusters(tally, telemetry_fidelity.Waves(waves, waves, np.arange(80), np.zeros(80, int)), 2)
    assert tally.all("rand").tolist() == [1.0] and tally.all("rand_events").tolist() == [80.0]


def test_sorting_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(telemetry_sorting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="scikit-learn|sklearn.*\\[sort\\]"):
        telemetry_sorting.check_sorting()


def _write(path, samples):
    layout = Layout(samples.shape[1], RATE, "int16")
    path.write_bytes(canonical_head(layout, len(samples)) + samples.tobytes())


def test_command_writes_table_json_and_page(tmp_path, simulated):
    _write(tmp_path / "a.wav", simulated.samples[:20_000, :2])
    _write(tmp_path / "b.wav", simulated.samples[20_000:, 2:])
    run = CliRunner().invoke
    options = ["--ratio", "20", "--ratio", "200", "--no-sort", "--seconds", "1"]
    text = run(app, [str(tmp_path), *options, "--channels", "6", "--html", str(tmp_path / "page.html")])
    assert text.exit_code == 0, text.output
    assert "2 recordings tiled to 6 channels" in text.stdout and "waveform error" in text.stdout
    page = (tmp_path / "page.html").read_text()
    assert "Telemetry is lossy" in page and page.count("data:image/png;base64,") == 4
    found = run(app, [str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), *options, "--json"])
    facts = json.loads(found.stdout)["recordings"]
    assert facts["channels"] == 4 and facts["seconds"] == 2.0 and [f["ratio"] for f in facts["ratios"]] == [20, 200]
    assert facts["ratios"][0]["counts"]["own"] > 0
    assert "targets are met at 200x" in sentence(facts)


def test_command_refuses_what_it_cannot_measure(tmp_path):
    run = CliRunner().invoke
    (tmp_path / "empty").mkdir()
    assert isinstance(run(app, [str(tmp_path / "empty"), "--no-sort"]).exception, UsageError)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    assert isinstance(run(app, [str(tmp_path / "bad.wav"), "--no-sort"]).exception, SpikeyError)
    _write(tmp_path / "short.wav", np.zeros((100, 1), dtype=np.int16))
    found = run(app, [str(tmp_path / "short.wav"), "--no-sort", "--ratio", "20"])
    assert found.exception is None or isinstance(found.exception, SpikeyError)


def test_silence_has_nothing_to_measure():
    silent = Original("silent", np.zeros((20_000, 2), dtype=np.int16), RATE)
    result = report({"recordings": lambda: [silent]}, [200.0])["recordings"]["ratios"][0]
    assert result["kept"] is None and result["wave_error"] is None and result["power_mean"] is None
    assert isinstance(refer(silent.samples, RATE, Settings()), Reference)
    table([result])


def test_weak_events_are_apart_from_crossings(simulated):
    tallies, _ = measure([simulated], [20.0], Settings())
    (facts,) = map(facts_of, tallies)
    assert facts["counts"]["events_weak"] > 5
    assert facts["recall"] < facts["recall_all"] <= 1 and 0 < facts["precision_weak"] <= 1
    assert abs(facts["recall_lost"]) < 0.05 and facts["kept"] == 1.0
    assert 0 < facts["weak_ms_p50"] <= facts["weak_ms_p99"]


def test_sorters_must_be_ones_that_are_known():
    done = CliRunner().invoke(app, ["--sorter", "kilosort"])
    assert isinstance(done.exception, UsageError) and "tridesclous2" in str(done.exception)


def test_a_sorters_loss_is_the_difference_of_its_accuracies(monkeypatch):
    pytest.importorskip("spikeinterface")

    def accuracy(codes, probe, truth, sorter, seed):
        return np.full(40, 0.6 if codes is original else 0.5 if sorter == "tridesclous2" else 0.4)

    original = np.random.default_rng(0).integers(400, 600, (20_000, 32))
    monkeypatch.setattr(telemetry_sorting, "known_units", lambda seed: (original, None, None))
    monkeypatch.setattr(telemetry_sorting, "_depths", lambda codes, truth: np.arange(40.0))
    monkeypatch.setattr(telemetry_sorting, "_accuracy", accuracy)
    tally = Tally(204.8)
    telemetry_sorting.sort_known([tally], ("tridesclous2", "spykingcircus2"))
    facts = facts_of(tally)
    assert facts["accuracy_lost"] == pytest.approx(0.15)
    assert facts["lost_tridesclous2"] == pytest.approx(0.1) and facts["lost_spykingcircus2"] == pytest.approx(0.2)
    assert facts["clear_original"] == pytest.approx(0.6)

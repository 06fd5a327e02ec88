"""The power budget: numbers that count, counts that match the code, and what follows from them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from spikey.base.errors import SpikeyError, UsageError
from spikey.cli.budget import command
from spikey.model import network
from spikey.report import budget
from spikey.report.bench import measure as bench
from spikey.report.bench.measure import Result
from spikey.report.counted import NETWORKS
from spikey.telemetry.settings import BLOCK, Settings, shape_of
from spikey.telemetry.syntax import COMPONENTS
from tools.count_operations import PREDICTORS, count_all
from tools.count_telemetry import count_apart
from tools.opcount import Counted, CountedArray, CountingNumpy, quick_dot, square_root, start, wrapped

app = typer.Typer()
app.command()(command)


def _totals(counts: dict) -> dict[str, float]:
    return {kind: sum(widths.values()) for kind, widths in counts["operations"].items()}


def test_counted_numbers_behave_and_count():
    tally = start()
    total = Counted(0)
    for factor in (3, 300, -70_000):
        total = total + Counted(factor) * 5
    assert total == -348_485 and type(total) is Counted
    assert min(max(Counted(9), 2), 7) == 7
    assert (Counted(-7) >> 1, -Counted(3), abs(Counted(-4)), 12 // Counted(5)) == (-4, -3, 4, 2)
    operations = tally.operations(tally)
    assert operations["multiply"][24] == 3  # one place, as wide as its widest value
    assert sum(operations["shift"].values()) == sum(operations["divide"].values()) == 1


def test_square_roots_count_as_divisions_of_half_the_bits():
    tally = start()
    assert square_root(Counted(2**40 - 1)) == 2**20 - 1 and type(square_root(9)) is Counted
    divisions = tally.operations(tally)["divide"]
    assert (divisions[8], divisions[24], sum(divisions.values())) == (1, 1, 2)


def test_arrays_tell_tables_state_and_scratch():
    tally = start()
    table, kept, passing = (wrapped(np.arange(8, dtype=np.int32), name) for name in ("table", "kept", "passing"))
    assert isinstance(table, CountedArray)
    for step in range(5):
        tally.step = step
        passing[0] = table[step] + table[step]
        kept[step % 2] = kept[(step + 1) % 2] + passing[0]
    memory = {each.name: each for each in tally.memories}
    assert (memory["table"].reads, memory["table"].fetched, memory["table"].writes) == (10, 5, 0)
    assert memory["passing"].kept() == 0
    assert memory["kept"].kept() == 1


def test_sums_of_rows_are_counted_at_once_as_one_by_one(monkeypatch):
    rng = np.random.default_rng(5)
    row, column = rng.integers(-20_000, 20_000, (2, 40)).astype(np.int16)
    found = []
    monkeypatch.setattr(network, "np", CountingNumpy())
    for dot in (getattr(network.dot, "py_func", network.dot), quick_dot):
        tally = start()
        value = dot(wrapped(row), wrapped(column))
        reads = [(each.reads, each.fetched) for each in tally.memories]
        operations = tally.operations(tally)
        found.append((int(value), reads, operations["multiply"][16], sum(operations["add"].values())))
    assert found[0] == found[1]


def test_stored_counts_are_those_of_the_code():
    for name, counts in count_all(1, ["lpc"]).items():
        stored = budget.operation_counts()[name]
        for kind, times in _totals(stored).items():
            assert _totals(counts)[kind] == pytest.approx(times, rel=0.03, abs=0.1), (name, kind)
        assert counts["bytes"] == pytest.approx(stored["bytes"], rel=0.05, abs=0.5), name
        assert counts["memory"] == pytest.approx(stored["memory"], rel=0.02, abs=16), name
        for node in budget.constants()["nodes"].values():
            energy = budget.arithmetic(node, stored)
            assert budget.arithmetic(node, counts) == pytest.approx(energy, rel=0.1), name


@pytest.mark.slow
def test_stored_counts_of_telemetry_are_those_of_the_code():
    """Of a short piece: what is done of every sample costs the same there, what is done of every packet more."""
    stored, counts = budget.telemetry_counts(), count_apart(4, 0.1)
    for kind, times in _totals(stored).items():
        assert times < _totals(counts)[kind] < 2 * times + 3, kind
    assert counts["operations"]["multiply"]["24"] == pytest.approx(stored["operations"]["multiply"]["24"], rel=0.1)
    assert counts["memory"]["table"] == stored["memory"]["table"]
    # Too short for a whole block of the LFP band and for templates to learn.
    assert 0 <= stored["memory"]["state"] - counts["memory"]["state"] <= 4 * (BLOCK + COMPONENTS)
    for way in ("state reads", "state writes"):
        assert counts["bytes"][way] == pytest.approx(stored["bytes"][way], rel=0.1)


def test_telemetry_costs_what_its_filters_say():
    counts = budget.telemetry_counts()
    shape = shape_of(Settings(), 1024, 20_000)
    # Three sections of three products (doubling counts as one), a square, and the LFP band's transform.
    least = 3 * 3 + 1 + shape.coefficients / shape.decimation
    assert least < _totals(counts)["multiply"] < 2.2 * least
    # Eight delayed values and seven sums of filters; the spike band from before a waveform to when its end is there.
    held = 4 * 8 + 8 * 10 + 4 * (shape.wait + shape.snippet)
    assert held < counts["memory"]["state"] < 6 * held


def test_telemetry_meets_the_power_with_radios_that_are_cheap_enough():
    row, limit = budget.telemetry(), budget.constants()["device"]["power"]
    assert row.ratio == pytest.approx(204.8)
    wholes = budget.wholes()
    assert {whole.link for whole in wholes} == set(budget.constants()["links"])
    for whole in wholes:
        assert whole.fits == "no" or whole.milliwatts[whole.fits] <= limit
        assert whole.milliwatts["registers"] == row.power[whole.node].milliwatts["registers"] + whole.radio
        if whole.link.startswith("Bluetooth"):
            assert whole.radio > limit and whole.fits == "no"
    assert {whole.link for whole in wholes if whole.fits != "no"} == {"inductive", "ultra-wideband"}


def test_every_predictor_is_counted():
    assert set(budget.operation_counts()) == set(PREDICTORS) == set(budget.stored_bits())


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_cost_what_their_shapes_say(name):
    shapes = NETWORKS[name].shapes()
    products = sum(math.prod(shape) for tensor, shape in shapes.items() if tensor.endswith("weight"))
    size = sum(math.prod(shape) * (4 if tensor.endswith("bias") else 2) for tensor, shape in shapes.items())
    counts = budget.operation_counts()[name]
    assert counts["memory"]["weight"] == size
    assert counts["bytes"]["weight reads"] == pytest.approx(size, rel=0.01)
    assert products * 0.99 < counts["operations"]["multiply"]["16"] < products + 1000


def test_linear_prediction_costs_what_its_order_says():
    counts = _totals(budget.operation_counts()["lpc"])
    # Prediction, correlations, the scale, the probabilities below a code and above it, the range coder; in 256 samples
    # the forgetting and the solution.
    assert counts["multiply"] == pytest.approx(20 + 21 + 1 + 2 * 2 + 2 + (21 + 20 * 19 + 2 * 20) / 256, abs=0.5)


def test_constants_name_their_sources():
    constants = budget.constants()
    for entry in (
        constants["device"],
        constants["measured"],
        *constants["nodes"].values(),
        *constants["links"].values(),
    ):
        assert len(entry["source"]) > 20
    node = constants["nodes"]["45 nm"]
    assert budget.access(node, 100) == 10 / 8 and budget.access(node, 32 * 1024) == pytest.approx(20 / 8)
    assert budget.between(node["multiply"], 8) == pytest.approx(0.2)


def test_power_follows_from_counts():
    table = budget.rows()
    assert budget.constants()["device"]["power"] / budget.samples_a_second() * 1e9 == pytest.approx(488, abs=0.5)
    for row in table:
        for power in row.power.values():
            one = power.arithmetic * budget.samples_a_second() * 1e-9
            assert power.milliwatts["memory"] > power.milliwatts["banks"] > power.milliwatts["registers"] > one > 0
            assert power.shared <= power.milliwatts["registers"]
    lstm = next(row for row in table if row.predictor == "lstm 128x2")
    assert all(budget.verdict(lstm, node) == "no" for node in lstm.power)
    assert lstm.power["7 nm"].arithmetic > 488


def test_no_lossless_stream_fits_the_radio():
    streams = {(link.name, link.stream): link for link in budget.links(4.5)}
    assert not streams["Bluetooth LE, CC2340R2", "compressed"].carries
    assert not streams["Bluetooth LE, CC2340R2", "1 Mbit/s"].affordable
    assert streams["ultra-wideband", "uncompressed"].carries and streams["ultra-wideband", "uncompressed"].affordable
    assert budget.as_json(budget.rows())["lossless_stream_fits_the_radio"] is False


def test_command_answers(tmp_path):
    out = CliRunner().invoke(app, ["--picture", str(tmp_path / "power.png")])
    assert out.exit_code == 0, out.output
    assert "A lossless stream cannot meet 1 Mbit/s: that needs a ratio of 205" in out.output
    assert "lstm 128x2" in out.output
    assert "The preset max is not for implants" in out.output
    assert "Telemetry, which is lossy, is where 10 mW and 1 Mbit/s can be met: with inductive " in out.output
    assert "not with Bluetooth LE, CC2340R2 (15.3 mW alone) or Bluetooth LE, nRF52840 (19.2 mW alone)." in out.output
    assert (tmp_path / "power.png").read_bytes()[1:4] == b"PNG"
    answer = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    assert len(answer["rows"]) == len(PREDICTORS)
    assert len(answer["telemetry"]["with_radios"]) == 8 and answer["telemetry"]["state_bytes_per_channel"] > 0
    assert answer["ratio_needed"] == pytest.approx(204.8)


def test_command_measures_recordings(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(b"")

    def measure(paths, chosen, repeats, progress):
        assert paths == [tmp_path / "a.wav"]
        return [Result(name, 1, 2000, 250 + len(name), 1000, 1.0, 1.0) for name in chosen]

    monkeypatch.setattr(bench, "measure", measure)
    answer = json.loads(CliRunner().invoke(app, [str(tmp_path), "--json"], catch_exceptions=False).stdout)
    for row in answer["rows"]:
        name = f"spikey {row['predictor']}"
        wanted = None if row["predictor"] in NETWORKS else 8 * (250 + len(name)) / 1000
        assert row["bits_per_sample"] == wanted


def test_command_refuses_what_means_nothing(tmp_path):
    for arguments in (["--model", "x"], [str(tmp_path)]):
        with pytest.raises(UsageError):
            CliRunner().invoke(app, arguments, catch_exceptions=False)
    with pytest.raises(SpikeyError):
        CliRunner().invoke(app, ["--picture", str(tmp_path / "no" / "power.png")], catch_exceptions=False)

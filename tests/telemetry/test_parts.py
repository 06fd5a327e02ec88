"""The parts of telemetry: logarithms, symbols, schedule, descriptions, refusals of what cannot be."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikey.base.errors import DataError, UsageError
from spikey.coding.range_coder import finish_lane, range_decoder, range_encoder
from spikey.levels.affine import Affine
from spikey.telemetry import symbols
from spikey.telemetry.basis import BASIS_BITS, shipped, tables, transforms
from spikey.telemetry.encoder import TelemetryEncoder
from spikey.telemetry.logarithm import exp2, log2
from spikey.telemetry.packet import NUMBERED, Description, described, read_packet, write_packet
from spikey.telemetry.schedule import Schedule
from spikey.telemetry.settings import BLOCK, Settings, shape_of
from spikey.telemetry.syntax import COMPONENTS, ROWS

RATE = 20_000.0
CHANNELS = 8


@settings(deadline=None)
@given(st.integers(1, 2**61), st.integers(1, 12))
def test_logarithm(value, bits):
    found = int(log2(value, bits))
    # found / 2^bits <= log2(value) < (found + 1) / 2^bits, but for the last place of a mantissa of 30 bits
    assert abs(found - np.log2(float(value)) * 2**bits) <= 1 + 2 ** (bits - 24)


@settings(deadline=None)
@given(st.integers(0, 8 * 45))
def test_power_of_two(eighths):
    assert int(exp2(eighths)) == pytest.approx(2 ** (eighths / 8), rel=2e-5, abs=1)


LISTS = st.lists(st.tuples(st.sampled_from("fesu"), st.integers(0, ROWS - 1), st.integers(-40, 70)), max_size=60)


def run(coder, calls):
    known, said = tables(), []
    for kind, row, value in calls:
        if kind == "f":
            said.append(symbols.flag(coder, known, row % 16, value & 1))
        elif kind == "e":
            said.append(symbols.even(coder, 71, abs(value)))
        elif kind == "s":
            said.append(symbols.signed.py_func(coder, known, row, value))
        else:
            said.append(symbols.unsigned.py_func(coder, known, row, abs(value)))
    return [int(each) for each in said]


PYTHON_ONLY = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") != "1", reason="needs uncompiled kernels")


def test_symbols_come_back_and_the_meter_knows_their_bits():
    """In a process without the compiler, in which single symbols can be coded."""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "in_python", __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


@PYTHON_ONLY
@settings(max_examples=60, deadline=None)
@given(LISTS)
def test_symbols_in_python(calls):
    symbols.signed.py_func = symbols.signed
    symbols.unsigned.py_func = symbols.unsigned
    encoder, meter = range_encoder(1, 4096), symbols.meter()
    wanted = run(encoder, calls)
    run(meter, calls)
    data = finish_lane(encoder, 0)
    assert run(range_decoder([data]), calls) == wanted
    assert 8 * len(data) <= int(symbols.spent(meter)) + 24


@given(st.integers(1, 3000), st.sampled_from([200.0, 2e4, 1e6]))
@settings(max_examples=40, deadline=None)
def test_everything_has_its_turn_once(channels, budget):
    shape = shape_of(Settings(budget=budget * max(channels // 100, 1)), channels, RATE)
    schedule = Schedule(shape)
    seen: dict[tuple[int, int], int] = {}
    last = 3 * max(shape.block, shape.bin) // shape.frames + 2
    for number in range(last):
        end = (number + 1) * shape.frames
        for turn, first, after in schedule.blocks(number, end):
            assert 0 <= first < after <= channels
            ends = schedule.block_ends(np.array([turn, turn]), np.array([first, after - 1]))
            # A block is complete when its turn comes.
            assert (ends * shape.decimation <= end).all()
            for channel in {first, after - 1}:
                seen[turn, channel] = seen.get((turn, channel), 0) + 1
    assert all(count == 1 for count in seen.values())
    parts = [part for number in range(shape.epoch) for part in schedule.profiles(number)]
    assert set(parts) <= set(range(schedule.parts))


def test_profiles_go_out_twice_in_each_epoch():
    schedule = Schedule(shape_of(Settings(), 1024, RATE))
    counts: dict[int, list[int]] = {}
    for number in range(12_000):
        counts.setdefault(schedule.epoch(number)[0], []).extend(schedule.profiles(number))
    for epoch in list(counts)[:-1]:
        assert np.bincount(counts[epoch]).tolist() == [2] * schedule.parts


def description(**options):
    wanted = Settings(**options)
    levels = Affine(65_536, -32_768)
    return Description(5, 7, 20_000.0, "int16", levels, wanted, 9, (1, 2, 3, 4))


def test_descriptions_say_only_what_is_unusual():
    usual = description()
    decoded = described(usual)
    assert decoded.shape == usual.shape and decoded.dropped == (1, 2, 3, 4) and decoded.packet == 9
    other = description(
        threshold=3.5, polarity="both", band=(250.0, 6000.0), waveforms=False, power_ms=20.0, low_high=100.0
    )
    again = described(other)
    assert again.settings.polarity == "both" and not again.settings.waveforms and again.settings.band == (250.0, 6000.0)
    assert len(other.write()) > len(usual.write()) + 20
    assert len(NUMBERED) == 13


@given(st.binary(max_size=80), st.integers(0, 7))
@settings(max_examples=150)
def test_false_keys_are_refused_or_make_sense(content, flags):
    packet = write_packet(flags | 1, 3, b"", content)
    try:
        parts = read_packet(packet)
    except DataError:
        return
    assert parts.description is not None and parts.description.shape.frames > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget": 1.0},
        {"threshold": 0.1},
        {"match": -1.0},
        {"polarity": "up"},
        {"refractory_ms": 0.1},
        {"band": (300.0, 310.0)},
        {"power_ms": 5.0},
        {"low_high": 400.0},
        {"packet_ms": 0.0},
        {"resolution_ms": 3.0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UsageError):
        Settings(**wrong)


def test_impossible_streams_are_refused():
    for channels, rate in ((0, RATE), (1 << 17, RATE), (4, 1000.0), (4, 9000.0)):
        with pytest.raises(UsageError):
            shape_of(Settings(), channels, rate)
    with pytest.raises(UsageError, match="int32"):
        TelemetryEncoder(1, RATE, "int32")
    encoder = TelemetryEncoder(2, RATE)
    with pytest.raises(UsageError, match="frames must be"):
        encoder.push(np.zeros((4, 3), dtype=np.int16))
    encoder.close()
    assert encoder.close() == []
    with pytest.raises(UsageError, match="closed"):
        encoder.push(np.zeros((4, 2), dtype=np.int16))


def test_the_shipped_tables_fit():
    learned = shipped()
    assert learned["counts"].shape == (ROWS, symbols.SYMBOLS)
    assert (learned["counts"] > 0).all() and (learned["counts"].sum(axis=1) == 1 << 24).all()
    known = transforms(shape_of(Settings(), 4, RATE))
    basis = known.waves / (1 << BASIS_BITS)
    np.testing.assert_allclose(basis @ basis.T, np.eye(COMPONENTS), atol=2e-3)
    cosines = learned["cosines"] / (1 << 14)
    np.testing.assert_allclose(cosines @ cosines.T, np.eye(BLOCK), atol=1e-3)

"""Classes of devices: levels are found, the own form of samples costs nothing, and a converter can be learned."""

from __future__ import annotations

import json
import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import spikey
from kit.paths import DATA as REAL
from kit.writing import cut_into
from spikey.base.errors import DataError, UsageError
from spikey.base.wire import Cursor
from spikey.cli import app
from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block
from spikey.codec.method import Method
from spikey.codec.payload import Payload
from spikey.coding.deflated import MANY
from spikey.coding.packed_bytes import pack_bytes, unpack_bytes
from spikey.files.compress import compress_file
from spikey.files.decompress import decompress_file
from spikey.files.settings import Settings
from spikey.levels.affine import Affine
from spikey.levels.registry import read_levels
from spikey.levels.scaled import Patch, Scale, Scaled, find_scale
from spikey.model.calibration import load, shipped
from spikey.recording.simulate import adc_edges, simulate
from spikey.report.calibration_report import Measured, Report
from tools.device_table import Case, cases, measure

SMALL = {case.device: case for case in cases(8000, 4, 300)}
SAME = 1.001  # of the plain codes' bits
STATED = 20  # bytes at most of a gain and an offset, which are stated for each channel of every block
LISTED = 1.08  # of the plain codes' bits, with a table for each channel of a short block
runner = CliRunner()


def ran(*arguments: object) -> str:
    done = runner.invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def refused(*arguments: object) -> str:
    done = runner.invoke(app, [str(argument) for argument in arguments])
    assert isinstance(done.exception, UsageError | DataError), done.output
    return str(done.exception)


# ---------------------------------------------------------------- classes of devices


@pytest.mark.parametrize("device", SMALL)
def test_a_device_costs_what_its_codes_cost(device):
    case = SMALL[device]
    row = measure(case, 1)  # which compares
    if row.plain_bits is not None:
        stated = 8 * STATED / len(case.samples) if case.samples.dtype.kind == "f" else 0
        assert row.bits <= row.plain_bits * (LISTED if "off them" in device else SAME) + stated
        assert row.ratio > 1.5


@pytest.mark.parametrize(
    ("device", "levels"),
    [
        ("steps of 3", "steps of 3"),
        ("steps of 12", "steps of 12"),
        ("12 bits in the upper of 16", "steps of 16"),
        ("14 bits in the upper of 16", "steps of 4"),
        ("uint16 around 32,768 (Intan)", "steps of 1"),
        ("DNL (N1)", "N1 codes"),
        ("steps of 12, one sample of each channel off them", "listed values"),
        ("steps of 12, 3 % blanked with -32,768", "listed values"),
        ("a digital sync line alone", "2 codes in steps of 64"),
        ("float32 microvolts, 0.195 a code", "times 0.19499"),
        ("float32 microvolts of an unsigned converter", "- 6389.75977"),
        ("float32 parts of full scale", "times 3.05175"),
        ("float64 microvolts, 0.195 a code", "times 0.195"),
    ],
)
def test_levels_are_found(device, levels):
    data = spikey.compress(SMALL[device].samples, 30_000, "fast")
    with spikey.open(data) as reader:
        assert levels in reader.levels(reader.structure.blocks[0])[0]


def test_what_is_not_neural_costs_next_to_nothing():
    neural = SMALL["10 bits (Neuropixels)"].samples
    alone = measure(Case("", neural[:, 1:]), 1)
    with_line = measure(SMALL["neural and a sync line in one file"], 1)
    assert with_line.bits * 4 < alone.bits * 3 + 0.1
    half_dead = measure(SMALL["every second channel dead"], 1)
    assert half_dead.bits * 4 < measure(Case("", neural[:, 1::2]), 1).bits * 2 + 0.05
    assert measure(SMALL["a digital sync line alone"], 1).bits < 0.05
    assert measure(SMALL["saturated half of the time"], 1).bits < alone.bits


def test_an_odd_sample_costs_its_own_channel_and_block_a_little():
    codes = simulate(140_000, 2, seed=4, profile="neuropixels", step=2)
    odd = codes.copy()
    odd[70_000, 0] += 1
    plain, data = (spikey.compress(samples, 30_000, "fast", None) for samples in (codes, odd))
    np.testing.assert_array_equal(spikey.decompress(data).samples, odd)
    assert len(data) < 1.01 * len(plain)
    with spikey.open(data) as reader:
        found = [reader.levels(block) for block in reader.structure.blocks]
    assert sum("listed" in text for block in found for text in block) == 1
    assert sum("steps of 2" in text for block in found for text in block) == 2 * len(found) - 1


def test_steps_beyond_a_table_are_lost_for_the_block_but_no_sample():
    codes = simulate(5000, 1, seed=4, profile="intan").astype(np.int32) * 4
    codes[100] += 1
    assert len(np.unique(codes)) < 4096
    wide = np.concatenate([codes, np.arange(0, 4 * 9000, 4, dtype=np.int32)[:, None]])
    np.testing.assert_array_equal(spikey.decompress(spikey.compress(wide, 30_000, "fast")).samples, wide)


@pytest.mark.parametrize(("profile", "step"), [("openephys", 12), ("neuropixels", 3), ("intan", 1)])
def test_simulated_devices(profile, step, tmp_path):
    samples = simulate(20_000, 2, seed=1, profile=profile)
    assert np.gcd.reduce(samples.astype(int), axis=None) == step
    assert 2.5 * step < np.diff(samples[:, 0].astype(int)).std() < 60 * step
    ran("simulate", tmp_path / "a.wav", "--profile", profile, "--seconds", "0.1", "--channels", "2")
    assert (tmp_path / "a.wav").stat().st_size == 44 + 3000 * 4


# ---------------------------------------------------------------- floats


def bits_of(samples: np.ndarray) -> bytes:
    return np.ascontiguousarray(samples).tobytes()


def round_trip(samples: np.ndarray, preset: str = "fast") -> bytes:
    data = spikey.compress(samples, 20_000, preset)
    restored = spikey.decompress(data).samples
    assert restored.dtype == samples.dtype and bits_of(restored) == bits_of(samples)
    return data


CODES = simulate(12_000, 1, seed=9, profile="neuropixels", step=1)[:, 0].astype(np.int64)
SINGLE, DOUBLE = np.float32, np.float64


@pytest.mark.parametrize(
    ("values", "gain"),
    [
        (CODES.astype(SINGLE) * SINGLE(0.195), 0.195),
        ((CODES * 0.195).astype(SINGLE), 0.195),
        (CODES * 0.195, 0.195),
        (CODES / 32_767, 1 / 32_767),
        ((CODES / 32_767).astype(SINGLE), 1 / 32_767),
        (CODES.astype(SINGLE), 1),
        (12.0 * CODES, 12),
        (CODES.astype(SINGLE) * SINGLE(-2.34375), -2.34375),
        (CODES * 0.03725298731234, 0.03725298731234),
        (CODES.astype(SINGLE) * SINGLE(4.882e-7), 4.882e-7),
        ((CODES + 32_768).astype(SINGLE) * SINGLE(0.195) + SINGLE(-6389.76), 0.195),
        ((CODES + 32_768) * 0.195 - 6389.76, 0.195),
        ((CODES + 2048).astype(SINGLE) * SINGLE(1.221) - SINGLE(2500.608), 1.221),
        ((CODES * 512 + np.arange(len(CODES)) % 512) / 8_388_608, 2**-23),
    ],
)
def test_the_gain_is_found(values, gain):
    found = find_scale(values)
    assert found is not None
    scale, integers, patches = found
    assert not patches
    assert scale.gain == pytest.approx(gain, rel=1e-6)
    assert bits_of(scale.values(integers, values.dtype)) == bits_of(values)
    assert len(round_trip(values)) < 1.02 * len(round_trip(integers)) + 40


def test_uneven_codes_as_floats():
    samples = simulate(20_000, 1, seed=1)
    as_float = round_trip(samples.astype(SINGLE) / SINGLE(32_768))
    assert len(as_float) < len(round_trip(samples)) + 40


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, -0.0, 1e-30, 0.1, 1e30])
def test_what_no_integer_gives_costs_itself_only(dtype, odd):
    values = (CODES * 0.195).astype(dtype)
    plain = len(round_trip(values))
    values[1234] = odd
    assert len(round_trip(values)) < plain + 30
    values[:500] = odd
    assert len(round_trip(values)) < plain + 40
    values[::50] = odd
    round_trip(values)
    values[::2] = odd
    round_trip(values)
    values[:] = odd
    assert len(round_trip(values)) < 60


def test_payloads_of_nan_are_kept():
    values = np.arange(50, dtype=np.uint32) * 7_919 + 0x7FC00001
    round_trip(values.view(SINGLE))
    round_trip((values.astype(np.uint64) << 32 | 0xFFF0_0000_0000_0001).view(DOUBLE))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(-(2**15), 2**15), min_size=1, max_size=300),
    st.floats(1e-12, 1e12),
    st.sampled_from([0.0, 0.25, -6389.76, 1e6]),
    st.sampled_from([SINGLE, DOUBLE]),
)
@example([0, 1], 5e-324, 0.0, DOUBLE)
def test_any_scaled_integers_come_back(integers, gain, offset, dtype):
    with np.errstate(all="ignore"):
        values = (np.array(integers) * gain + offset).astype(dtype)
    round_trip(values)


@settings(deadline=None, max_examples=60)
@given(st.binary(min_size=8, max_size=1200), st.sampled_from([SINGLE, DOUBLE]))
@example(np.array([1e308, -1.7e308]).tobytes(), DOUBLE)
@example(np.array([1e-45, 3e-45, 0, 3.4e38], SINGLE).tobytes(), SINGLE)
def test_any_floats_come_back(data, dtype):
    round_trip(np.frombuffer(data[: len(data) // 8 * 8], dtype))


def test_float_channels_of_different_gains_and_true_floats_in_blocks():
    gains = np.linspace(0.1, 0.3, 5).astype(SINGLE)
    samples = (simulate(70_000, 5, seed=2, profile="neuropixels", step=1) * gains).astype(SINGLE)
    data = round_trip(samples)
    samples[69_000:, 2] += np.random.default_rng(0).normal(0, 1e-3, 1000).astype(SINGLE)
    mixed = round_trip(samples)
    with spikey.open(mixed) as reader:
        assert reader.dtype == SINGLE and len(reader.structure.blocks) > 1
        assert "but for" not in reader.levels(reader.structure.blocks[0])[2]
        assert "but for 1000 samples" in reader.levels(reader.structure.blocks[-1])[2]
        np.testing.assert_array_equal(reader[65_000:66_000, 1:3], samples[65_000:66_000, 1:3])
    assert len(data) < len(mixed) < samples.nbytes


def wav(samples: np.ndarray) -> bytes:
    """A float WAV file with a chunk after its samples."""
    size, channels = samples.dtype.itemsize, samples.shape[1]
    fmt = struct.pack(
        "<4sIHHIIHH", b"fmt ", 16, 3, channels, 20_000, 20_000 * size * channels, size * channels, 8 * size
    )
    body = b"WAVE" + fmt + b"data" + struct.pack("<I", samples.nbytes) + samples.tobytes() + b"LIST\4\0\0\0abcd"
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_float_files(tmp_path, dtype):
    samples = (CODES.reshape(-1, 2) * 0.195).astype(dtype)
    (tmp_path / "a.wav").write_bytes(wav(samples))
    (tmp_path / "a.dat").write_bytes(samples.tobytes() + b"odd")
    raw = ["--channels", 2, "--rate", 20_000, "--dtype", np.dtype(dtype).name, "--keep-partial"]
    for name, options in (("a.wav", []), ("a.dat", raw)):
        packed, back = tmp_path / "a.spky", tmp_path / "back"
        ran("compress", tmp_path / name, packed, "--force", *options)
        ran("decompress", packed, back, "--force")
        assert back.read_bytes() == (tmp_path / name).read_bytes()
        assert packed.stat().st_size < samples.nbytes / (5 if dtype == SINGLE else 10)
        (facts,) = json.loads(ran("info", packed, "--json"))
        assert facts["dtype"] == np.dtype(dtype).name and "times 0.195" in facts["levels"].replace(
            "0.194999993", "0.195"
        )


def test_info_of_a_damaged_file_says_what_is_known(tmp_path, monkeypatch):
    cut_into(monkeypatch, 5000, 1)
    data = bytearray(spikey.compress(CODES.astype(np.int16), 20_000, "fast"))
    with spikey.open(bytes(data)) as reader:
        assert len(reader.structure.blocks) > 1  # of a file of one block info sees that it is damaged
        data[reader.structure.blocks[0].offset + 2] = 0xFF  # the first channel's description
    (tmp_path / "a.spky").write_bytes(data)
    (facts,) = json.loads(ran("info", tmp_path / "a.spky", "--json"))
    assert facts["predictor"] == "wide" and "levels" not in facts


def test_true_floats_say_so(tmp_path):
    samples = np.random.default_rng(0).normal(size=(9000, 1)).astype(SINGLE)
    (tmp_path / "a.wav").write_bytes(wav(samples))
    outcome = compress_file(tmp_path / "a.wav", tmp_path / "a.spky", Settings())
    assert "not scaled integers" in outcome.note and outcome.samples == 9000
    decompress_file(tmp_path / "a.spky", tmp_path / "b.wav")
    assert (tmp_path / "b.wav").read_bytes() == wav(samples)
    (facts,) = json.loads(ran("info", tmp_path / "a.spky", "--json"))
    assert "general method" in facts["predictor"] and facts["ratio"] > 1.1


def test_a_change_of_sign_of_zero_is_no_match(tmp_path, monkeypatch):
    """Comparing what was written must tell -0.0 from 0.0, and NaN must equal itself."""
    samples = np.array([[0.0], [np.nan], [1.0]], SINGLE)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(samples))
    compress_file(path, tmp_path / "a.spky", Settings())
    monkeypatch.setattr("spikey.container.blocks.unpack", lambda data, layout: -samples)
    with pytest.raises(spikey.SpikeyError, match="does not decode"):
        compress_file(path, tmp_path / "b.spky", Settings())


def test_damaged_float_files_are_refused():
    for samples in ((CODES * 0.195).astype(SINGLE), np.random.default_rng(0).normal(size=3000)):
        data = spikey.compress(samples, 20_000, "fast")
        for at in range(30, len(data), max(len(data) // 60, 1)):
            bad = bytearray(data)
            bad[at] ^= 0x41
            with pytest.raises(DataError):
                spikey.decompress(bytes(bad))


def test_levels_of_another_type_are_refused():
    payload = encode_block(CODES[:500, None].astype(np.int16), Method(), None)
    scaled = encode_block((CODES[:500, None] * 0.195).astype(SINGLE), Method(), None)
    for data, dtype in ((payload, SINGLE), (scaled, np.int16)):
        with pytest.raises(DataError, match="another type"):
            decode_block(Payload(data, 500, 1, np.dtype(dtype)))


def test_scales_are_written_and_read():
    for scale in (Scale(0.195), Scale(0.195, -6389.76, True), Scale(-2.0, 1.0)):
        levels = Scaled(scale, Affine(1000, -500), (Patch(7, 1, 1 << 63), Patch(8, 500, 5)) if scale.offset else ())
        cursor = Cursor(levels.write())
        assert read_levels(3, cursor) == levels and not cursor.rest()
    for bad in (
        b"\10" + struct.pack("<d", 1.0) + b"\0",
        b"\4" + struct.pack("<d", 1.0) + b"\xff\xff\x03\0\0",
        b"\0" + struct.pack("<d", np.nan) + b"\0",
        b"\2" + struct.pack("<dd", 1.0, np.inf) + b"\0",
        b"\0" + struct.pack("<d", 1.0) + b"\3",
        b"\0" + struct.pack("<d", 1.0)[:5],
    ):
        with pytest.raises(DataError):
            read_levels(3, Cursor(bad))


def test_patches_elsewhere_are_refused():
    codes = np.zeros(10, np.int32)
    for patch in (Patch(10, 1, 0), Patch(9, 2, 0), Patch(0, 1, 1 << 32)):
        with pytest.raises(DataError):
            Scaled(Scale(1.0), Affine(1), (patch,)).to_values(codes, None, np.dtype(SINGLE))


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("rest", [0, 3])
def test_many_elements_are_packed_by_groups(itemsize, rest):
    """In one stream, as any DEFLATE decoder reads it."""
    random = np.random.default_rng(0)
    elements = random.normal(size=MANY).astype({2: np.float16, 4: SINGLE, 8: DOUBLE}[itemsize])
    data = elements.tobytes() + bytes(rest)
    packed = pack_bytes(data, itemsize)
    assert packed[0] == itemsize and len(packed) < 0.95 * len(data)
    assert unpack_bytes(packed, len(data)) == data
    plain = zlib.decompress(packed[1:], -15)
    assert sorted(plain) == sorted(data)
    noise = random.bytes(MANY * 3)
    assert pack_bytes(noise, itemsize)[0] == 0 and unpack_bytes(pack_bytes(noise, itemsize), len(noise)) == noise


# ---------------------------------------------------------------- calibrations


@pytest.fixture(scope="module")
def n1_like(tmp_path_factory) -> Path:
    """Five simulated recordings of a device with uneven codes."""
    folder = tmp_path_factory.mktemp("n1")
    for seed in range(1, 6):
        ran("simulate", folder / f"{seed}.wav", "--seconds", 5, "--seed", seed)
    return folder


@pytest.fixture(scope="module")
def report(n1_like, tmp_path_factory) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("out")
    text = ran("calibrate", n1_like, out / "a.safetensors", "--rounds", 3, "--json", "--picture", out / "a.png")
    return json.loads(text), out


def test_true_widths_are_recovered(report):
    facts, out = report
    widths, true = np.diff(load(out / "a.safetensors").edges) / 64, np.diff(adc_edges())
    near = slice(490, 560)
    assert np.corrcoef(widths[near], true[near])[0, 1] > 0.95
    assert facts["missing_codes"] == [511] and facts["files"] == 5 and facts["codes"] == 1024
    assert facts["width_percentiles_lsb"]["1"] < 0.7 and facts["width_percentiles_lsb"]["99"] > 1.4
    assert facts["rounds_bits_per_sample"][0] > facts["rounds_bits_per_sample"][-1]


def test_the_saving_is_what_other_recordings_save(report, n1_like, tmp_path):
    facts, _ = report
    (held,) = facts["held_out"]
    assert facts["pays"] and held["name"] == "4.wav" and "save" in facts["verdict"]
    # The same by hand, with the command line: learned without the fourth, measured on it.
    others = [n1_like / f"{seed}.wav" for seed in (1, 2, 3, 5)]
    ran("calibrate", *others, tmp_path / "b.safetensors", "--rounds", 3)
    sizes = []
    for option in (tmp_path / "b.safetensors", "none"):
        ran("compress", n1_like / "4.wav", tmp_path / "a.spky", "-f", "--preset", "fast", "--calibration", option)
        sizes.append((tmp_path / "a.spky").stat().st_size)
    saved = 8 * (sizes[1] - sizes[0] + facts["cost_bytes"]) / held["samples"]
    assert saved == pytest.approx(facts["saving_bits_per_sample"], abs=0.005)
    assert facts["saving_of_widths_bits_per_sample"] > 0.05


def test_the_period_of_the_widths():
    rng = np.random.default_rng(0)
    pattern = np.exp(rng.normal(0, 0.2, 32))
    counts = np.full(512, 1000)
    noisy = np.tile(pattern, 16) * np.exp(rng.normal(0, 0.05, 512))
    assert Report(1, 1, 0, {}, noisy, counts).period == (32, pytest.approx(0.94, abs=0.06))
    assert Report(1, 1, 0, {}, np.exp(rng.normal(0, 0.2, 512)), counts).period is None
    assert Report(1, 1, 0, {}, np.ones(512), counts).period is None
    counts[:500] = 3
    assert Report(1, 1, 0, {}, noisy, counts).period is None


def test_a_uniform_converter_is_called_that(tmp_path):
    ran("simulate", tmp_path / "a.wav", "--profile", "neuropixels", "--seconds", 4, "--channels", 2)
    text = ran("calibrate", tmp_path / "a.wav", tmp_path / "a.safetensors", "--rounds", 2)
    assert "uniform as far as 240,000 samples show" in text and "step 3" in text


def test_too_few_samples_are_called_that(tmp_path):
    ran("simulate", tmp_path / "a.wav", "--seconds", 0.05)
    text = ran("calibrate", tmp_path / "a.wav", tmp_path / "a.safetensors", "--rounds", 1)
    assert "too few" in text and "use more recordings" in text


def test_recordings_that_disagree_do_not_pay():
    gains = [Measured(str(i), 1000, 5.0, 4.9, 4.9 + loss) for i, loss in enumerate((-0.1, 0.01, 0.01, 0.01))]
    report = Report(4, 4, 0, {}, np.ones(64), np.full(64, 999), measured=gains)
    assert report.of_widths > 0.01 and not report.pays


def test_raw_and_compressed_recordings_and_channels_that_are_none(n1_like, tmp_path):
    samples = simulate(60_000, 2, seed=3, profile="neuropixels")
    line = (64 * (np.arange(60_000) // 5000 % 2)).astype(np.int16)
    mixed = np.concatenate([samples, line[:, None], np.zeros((60_000, 1), np.int16)], axis=1)
    mixed.tofile(tmp_path / "a.dat")
    raw = ["--channels", 4, "--rate", 30_000, "--dtype", "int16"]
    text = ran("calibrate", tmp_path / "a.dat", tmp_path / "raw.safetensors", *raw, "--rounds", 1)
    assert "2 channels (2 left out" in text and "step 3" in text
    ran("compress", tmp_path / "a.dat", tmp_path / "a.spky", *raw, "--preset", "fast")
    ran("calibrate", tmp_path / "a.spky", tmp_path / "spky.safetensors", "--rounds", 1)
    assert (tmp_path / "spky.safetensors").read_bytes() == (tmp_path / "raw.safetensors").read_bytes()


def digitised(tables: list[np.ndarray], frames: int, scale: float, seed: int) -> np.ndarray:
    """Noise as converters of these edges (codes + 1,), in LSB, deliver it, the middle code as 0; int16."""
    noise = np.random.default_rng(seed).normal(0, scale, (frames, len(tables)))
    return np.stack([np.searchsorted(t, noise[:, c]) - len(t) // 2 for c, t in enumerate(tables)], axis=1).astype("<i2")


def test_several_converters_are_told_apart(tmp_path):
    widths = np.exp(0.6 * np.random.default_rng(0).standard_normal((2, 400)))
    edges = np.cumsum(widths, axis=1)
    chips = [edges[chip] - edges[chip, 200] for chip in (0, 1) for _ in range(32)]
    for seed in range(2):
        digitised(chips, 4000, 15, seed).tofile(tmp_path / f"{seed}.dat")
    raw = ["--channels", 64, "--rate", 30_000, "--dtype", "int16"]
    paths = [tmp_path / "0.dat", tmp_path / "1.dat"]
    facts = json.loads(ran("calibrate", *paths, tmp_path / "a.safetensors", *raw, "--json"))
    assert facts["converters"] == 2 == load(tmp_path / "a.safetensors").converters and facts["family"] is None
    assert facts["pays"] and [one["name"] for one in facts["held_out"]] == ["1.dat"]
    packed = tmp_path / "a.spky"
    sizes = []
    for option in (tmp_path / "a.safetensors", "none"):
        ran("compress", paths[1], packed, *raw, "-f", "--calibration", option)
        sizes.append(packed.stat().st_size)
    assert sizes[0] < 0.97 * sizes[1]


def test_the_family_of_a_device_is_recognised(tmp_path):
    (intan,) = shipped()
    edges = intan.edges[1:] / 64 + intan.metadata["offset"]
    noise = np.random.default_rng(1).normal(0, 60, (40_000, 4))
    noise += 3000 * np.sin(np.arange(40_000) / 3000)[:, None] ** 9  # more codes than the adaptive model takes
    samples = (np.searchsorted(edges, noise, side="right") + intan.metadata["offset"]).astype("<i2")
    samples.tofile(tmp_path / "a.dat")
    raw = ["--channels", 4, "--rate", 30_000, "--dtype", "int16"]
    text = ran("calibrate", tmp_path / "a.dat", tmp_path / "a.safetensors", *raw)
    assert "4 channels, 160,000 samples" in text and int(re.findall(r"([\d,]+) codes", text)[0].replace(",", "")) > 4096
    assert re.search(r"converters  1; Intan RHD2000, correlation (0\.9|1\.0)", text)
    ran("compress", tmp_path / "a.dat", tmp_path / "a.spky", *raw)
    assert "Intan RHD2000, 1 converter" in ran("info", tmp_path / "a.spky")
    ran("compress", tmp_path / "a.dat", tmp_path / "a.spky", *raw, "-f", "--calibration", "none")
    assert re.search("code widths  none", ran("info", tmp_path / "a.spky"))


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")])
def test_pictures(tmp_path, name, begins):
    pytest.importorskip("matplotlib")
    from spikey.report.calibration_picture import draw_calibration

    rng = np.random.default_rng(0)
    gains = [Measured(str(i), 1000, 5.0, 4.95, 4.9) for i in range(3)]
    for report in (
        Report(3, 3, 0, {}, np.exp(rng.normal(0, 0.2, 300)), np.full(300, 999), [5.0, 4.9], gains),
        Report(60, 60, 0, {}, np.tile([0.5, 1.5, 0.9, 1.1], 75), np.full(300, 999), [5.0, 4.9], gains * 20),
        Report(1, 1, 0, {}, np.ones(30), np.ones(30, int), [5.0]),
    ):
        draw_calibration(tmp_path / name, report)
        assert (tmp_path / name).read_bytes().startswith(begins)


def test_impossible_pictures_are_refused_before_any_work(n1_like, tmp_path, monkeypatch):
    out = tmp_path / "a.safetensors"
    assert ".png" in refused("calibrate", n1_like, out, "--picture", tmp_path / "a.jpg")
    assert "folder" in refused("calibrate", n1_like, out, "--picture", tmp_path / "no" / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert 'pip install -e ".[plot]"' in refused("calibrate", n1_like, out, "--picture", tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_wrong_calls_of_calibrate(n1_like, tmp_path):
    out = tmp_path / "a.safetensors"
    (tmp_path / "empty").mkdir()
    assert "--dtype" in refused("calibrate", n1_like, out, "--channels", 2)
    assert "WAV or .spky" in refused("calibrate", tmp_path / "empty", out)
    assert "does not exist" in refused("calibrate", tmp_path / "none.wav", out)
    np.zeros(5000, np.int16).tofile(tmp_path / "a.dat")
    raw = ["--channels", 1, "--rate", 1000, "--dtype"]
    assert "none of the 1 channels" in refused("calibrate", tmp_path / "a.dat", out, *raw, "int16")
    assert "float32" in refused("calibrate", tmp_path / "a.dat", out, *raw, "float32")
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.data("locust/locust_trial_01.raw")
def test_a_real_converter_of_twelve_bits(tmp_path):
    """A locust's: narrow codes in a period of 64, under noise of some 60 codes."""
    path = REAL / "locust" / "locust_trial_01.raw"
    np.fromfile(path, "<i2", 4 * 200_000).tofile(tmp_path / "a.raw")
    raw = ["--channels", 4, "--rate", 15_000, "--dtype", "int16"]
    facts = json.loads(ran("calibrate", tmp_path / "a.raw", tmp_path / "a.safetensors", *raw, "--rounds", 2, "--json"))
    assert facts["levels"]["step"] == 1 and facts["channels"] == 4
    assert facts["width_percentiles_lsb"]["1"] < 0.85
    assert 0 < facts["saving_bits_per_sample"] < 0.1

"""Code widths in the wide engine: tables cut to a channel's codes, chosen for each channel, refused where hostile."""

from __future__ import annotations

import io

import numpy as np
import pytest

from kit import reference
from kit.wide import METHOD
from kit.writing import write_file
from spikey.base.errors import DataError
from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block
from spikey.codec.method import LPC
from spikey.codec.payload import Lookup, Payload, facts_of
from spikey.codec.wide.payload import SEVERAL, parse
from spikey.codec.wide.suiting import converters_of
from spikey.codec.wide.tables import first_code, make_table, sliced, tables_for
from spikey.levels.affine import Affine
from spikey.levels.n1 import N1Levels
from spikey.levels.table import Table
from spikey.model.calibration import Calibration, n1
from spikey.recording.readable import ArraySource

PRIOR = np.array([65536], np.int32)


def widths_drawn(codes: int, seed: int) -> np.ndarray:
    """Very uneven widths, in 1/64 LSB, that average one LSB over 16 codes."""
    widths = np.random.default_rng(seed).choice([14, 30, 64, 120, 92], codes)
    return np.maximum(np.rint(widths * 64 / np.repeat(widths.reshape(-1, 16).mean(axis=1), 16)), 1).astype(np.int64)


def calibration_of(converters: int, codes: int = 256, offset: int = -128, step: int = 1) -> Calibration:
    widths = np.stack([widths_drawn(codes, seed) for seed in range(converters)])
    edges = (np.concatenate([np.zeros((converters, 1), np.int64), widths.cumsum(axis=1)], axis=1) - 32).astype(np.int32)
    metadata = {"levels": "affine", "offset": offset, "step": step}
    return Calibration(edges if converters > 1 else edges[0], PRIOR, metadata)


def recorded(calibration: Calibration, frames: int, channels: int, scale: float = 12.0, middle: int = 0) -> np.ndarray:
    """Samples of converters, of channel c number c modulo their number, around a value; int16."""
    step, offset = calibration.metadata["step"], calibration.metadata["offset"]
    analog = np.random.default_rng(frames + channels).normal((middle - offset) / step, scale, (frames, channels)) * 64
    columns = []
    for channel in range(channels):
        edges = calibration.edges_of(channel % calibration.converters).astype(np.int64)
        last = len(edges) - 1
        beyond = edges[-1] + 64 * np.arange(1, 4000)
        before = edges[0] - 64 * np.arange(4000, 0, -1)
        found = np.searchsorted(np.concatenate([before, edges, beyond]), analog[:, channel], side="right") - 1 - 4000
        columns.append(offset + step * found)
        assert last == calibration.alphabet
    return np.stack(columns, axis=1).astype(np.int16)


def coded(samples: np.ndarray, calibration: Calibration | None) -> bytes:
    payload = encode_block(samples, METHOD, calibration)
    assert payload is not None
    found = decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(lambda: calibration))
    np.testing.assert_array_equal(found, samples)
    assert found.dtype == samples.dtype
    return payload


# ---------------------------------------------------------------- cutting tables


def test_a_table_is_cut_to_a_channels_codes_and_goes_on_evenly():
    edges = np.array([-30, 50, 60, 200, 256], np.int32)
    assert sliced(edges, 0, 4).tolist() == edges.tolist()
    assert sliced(edges, 1, 2).tolist() == [50 - 64, 60 - 64, 200 - 64]
    assert sliced(edges, -2, 3).tolist() == [-30, 34, 98, 50 + 128]
    assert sliced(edges, 3, 4).tolist() == [200 - 192, 256 - 192, 320 - 192, 384 - 192, 448 - 192]
    assert sliced(edges, 100, 1).tolist() == [256 + 64 * 96 - 6400, 256 + 64 * 97 - 6400]


@pytest.mark.parametrize(
    ("levels", "first"),
    [
        (Affine(256, -128, 1), 0),
        (Affine(9, -120, 1), 8),
        (Affine(5000, -3000, 1), -2872),
        (Affine(9, 0, 2), None),
        (Affine(9, 0, 1, 3), None),
        (Affine(1, 0, 1), None),
        (Affine((1 << 16) + 1, 0, 1), None),
        (N1Levels(), None),
        (Table((0, 3, 9)), None),
        (None, None),
    ],
)
def test_which_channels_a_calibration_is_for(levels, first):
    assert first_code(calibration_of(1), levels) == first


def test_the_remainder_of_a_coarse_grid_matters():
    calibration = calibration_of(1, offset=-100, step=6)
    assert first_code(calibration, Affine(20, -100 + 6 * 5, 6)) == 5
    assert first_code(calibration, Affine(20, -99, 6)) is None


def test_a_calibration_of_a_device_is_for_as_many_codes():
    assert first_code(n1(), N1Levels()) == 0 and first_code(n1(), Affine(100, 0, 1)) is None


def test_the_tables_of_kernels_locate_every_code():
    edges = sliced(calibration_of(1).edges, -40, 400) / 64
    table = make_table(edges)
    for code in range(1, 399):
        inside = (edges[code] + edges[code + 1]) / 2
        found = table.located[int((inside - (edges[1] - 1)) * 4)]
        assert found <= code and table.middles[code] == np.float32(inside)


# ---------------------------------------------------------------- coding with them


@pytest.mark.parametrize(("frames", "channels"), [(60, 2), (700, 1), (700, 3), (1200, 70), (16_500, 2)])
@pytest.mark.parametrize("converters", [1, 3])
def test_samples_come_back(frames, channels, converters):
    calibration = calibration_of(converters)
    samples = recorded(calibration, frames, channels)
    coded(samples, calibration)
    samples[:, 0] = 5
    samples[::5, -1] = 30_000  # far outside of the table
    coded(samples, calibration)
    coded((samples.astype(np.float32) * np.float32(0.195)), calibration)


@pytest.mark.parametrize("middle", [0, 90, 400, -2000])
def test_channels_of_fewer_or_more_codes_than_the_table(middle):
    calibration = calibration_of(1)
    samples = recorded(calibration, 4000, 3, middle=middle)
    with_table, without = len(coded(samples, calibration)), len(coded(samples, None))
    if abs(middle) < 100:
        assert with_table < 0.97 * without
    else:
        assert with_table == without, "codes that the table does not have are even"


def test_wide_alphabets_have_tables():
    calibration = calibration_of(1)
    samples = recorded(calibration, 6000, 2)
    samples[100] = 30_000
    samples[200] = -30_000
    assert len(coded(samples, calibration)) < 0.97 * len(coded(samples, None))
    samples[100] = 32_767
    samples[200] = -32_768
    coded(samples, calibration)


def test_each_channel_has_the_converter_that_it_comes_from():
    calibration = calibration_of(3)
    samples = recorded(calibration, 3000, 9)
    payload = Payload(coded(samples, calibration), *samples.shape, samples.dtype)
    directory = parse(payload)
    assert payload.data[0] & SEVERAL
    assert sorted(converter for _, converter in directory.descriptions) == [1, 2, 3]
    assert facts_of(payload, Lookup(lambda: calibration)).method["converters"] == [1, 2, 3]
    zeros, ones = np.zeros(9, np.int64), np.ones(9, np.int64)
    levels = [Affine(1000, -500, 1)]
    found = converters_of(calibration, levels, zeros, samples.astype(np.int32), zeros - 500, ones)
    assert found.tolist() == [1, 2, 3] * 3
    assert len(payload.data) < len(coded(samples, calibration_of(1)))


def test_an_even_converter_gets_none():
    noise = np.random.default_rng(1).normal(0, 12, (5000, 3))
    samples = np.rint(noise).astype(np.int16)
    assert coded(samples, calibration_of(3)) == coded(samples, None)


def test_one_converter_takes_no_number():
    calibration = calibration_of(1)
    samples = recorded(calibration, 3000, 2)
    assert not coded(samples, calibration)[0] & SEVERAL


@pytest.mark.parametrize("converters", [1, 3])
@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "float32"])
def test_the_independent_decoder_agrees(converters, dtype):
    calibration = calibration_of(converters)
    samples = recorded(calibration, 403, 5)
    samples[7, 3] = 800
    samples = samples.astype(dtype) * 0.5 if dtype == "float32" else (samples + 200).astype(dtype)
    if dtype != "float32":
        calibration = Calibration(calibration.edges, PRIOR, {**calibration.metadata, "offset": 72})
    samples = samples.astype(dtype)
    out = io.BytesIO()
    write_file(ArraySource(samples, 20_000), out, METHOD, calibration, embed=calibration.to_bytes())
    assert len(out.getvalue()) < samples.nbytes
    assert reference.decode(out.getvalue()) == samples.tobytes()


# ---------------------------------------------------------------- what no encoder writes


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "needs a calibration, but the file has no calibration id"),
        (calibration_of(2), "needs converter 3 of a calibration of 2"),
        (calibration_of(3, offset=-128, step=3), "not for its values"),
        (n1(), "has a calibration of 1024 codes that is not for its values"),
    ],
)
def test_another_calibration_is_refused(calibration, message):
    right = calibration_of(3)
    samples = recorded(right, 900, 6)
    payload = Payload(coded(samples, right), *samples.shape, samples.dtype, "the block")
    with pytest.raises(DataError, match=message):
        decode_block(payload, Lookup(lambda: calibration))


def test_adaptive_predictors_refuse_several_converters():
    samples = recorded(calibration_of(1), 600, 2)
    payload = encode_block(samples, LPC, calibration_of(1))
    assert payload is not None and payload != encode_block(samples, LPC, None)
    assert encode_block(samples, LPC, calibration_of(2)) == encode_block(samples, LPC, None)
    with pytest.raises(DataError, match="2 converters is for the predictor wide alone"):
        decode_block(Payload(payload, *samples.shape, samples.dtype), Lookup(lambda: calibration_of(2)))


def test_tables_that_would_take_too_much_memory_are_refused():
    descriptions = [(Affine(60_000 + number, 0, 1), 1) for number in range(100)]
    with pytest.raises(DataError, match="altogether"):
        tables_for(descriptions, calibration_of(1), "the block")


def test_damaged_descriptions_never_crash():
    calibration = calibration_of(3)
    samples = recorded(calibration, 300, 6)
    payload = coded(samples, calibration)
    rng = np.random.default_rng(0)
    for _ in range(1500):
        data = bytearray(payload)
        data[rng.integers(0, 60)] = rng.integers(256)
        try:
            decode_block(Payload(bytes(data), *samples.shape, samples.dtype), Lookup(lambda: calibration))
        except DataError as error:
            assert "\n" not in str(error)

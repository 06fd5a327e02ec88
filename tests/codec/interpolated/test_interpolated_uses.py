"""Interpolated blocks with calibrations, in chunks of stores, in files of several blocks and among threads."""

from __future__ import annotations

import numpy as np
import pytest

from kit.blocks import packed
from kit.interpolated import half_band, interpolated, sampled
from spikey.base.errors import DataError
from spikey.base.workers import Workers
from spikey.codec.decode import decode_block, groups_in
from spikey.codec.encode import encode_block
from spikey.codec.interpolated import engine
from spikey.codec.method import Method
from spikey.codec.payload import Lookup, Payload, predictor_in
from spikey.codec.registry import PRESETS
from spikey.codec.survey import Block
from spikey.container.reader import Reader
from spikey.integrations.chunk import Options, decode_chunk, encode_chunk
from spikey.levels.n1 import N1_VALUES
from spikey.model.calibration import n1
from spikey.report.self_test import known_signal

FAST = PRESETS["fast"].method


def test_sampled_frames_may_be_calibrated():
    known = known_signal(2000).astype(np.int64)
    assert np.isin(known, N1_VALUES).all()
    samples = interpolated(known, half_band()).astype(np.int16)
    (block,) = engine.encode([Block(samples, n1())], Method(), [None])
    (plain,) = engine.encode([Block(samples, None)], Method(), [None])
    assert block is not None and plain is not None and block.calibrated and not plain.calibrated
    assert len(block.payload) < len(plain.payload)
    payload = Payload(block.payload, *samples.shape, samples.dtype)
    np.testing.assert_array_equal(decode_block(payload, Lookup(n1)), samples)
    found, damaged = engine.decode_some(payload, Lookup(n1), [1])
    assert not damaged
    np.testing.assert_array_equal(found[:, 0], samples[:, 1])
    with pytest.raises(DataError):
        decode_block(payload)


@pytest.mark.parametrize("shape", [(1000, 16), (10_000, 4)])
def test_chunks_of_stores(shape):
    samples = interpolated(sampled(shape[0] // 2, shape[1], step=4), half_band()).astype(np.int16)
    plain = encode_block(samples, FAST)
    assert plain is not None
    for array in (samples, np.asfortranarray(samples), samples.astype(">i2")):
        data = encode_chunk(array, Options())
        assert len(data) < 0.7 * len(plain)
        found = decode_chunk(data)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_files_of_several_blocks_and_slices():
    samples = interpolated(sampled(3000, 40), half_band()).astype(np.int16)
    data = packed(samples, FAST, block_frames=1000)
    with Reader(data) as reader:
        assert {predictor_in(reader.method_byte(block)) for block in reader.structure.blocks} == {"interpolated"}
        np.testing.assert_array_equal(reader[:, :], samples)
        np.testing.assert_array_equal(reader[1990:2010, 7], samples[1990:2010, 7])


def test_a_recording_of_which_some_blocks_are_interpolated():
    samples = interpolated(sampled(1000, 4), half_band())
    samples[1000:] = np.random.default_rng(1).normal(0, 40, (1000, 4))
    data = packed(samples.astype(np.int16), FAST, block_frames=1000)
    with Reader(data) as reader:
        assert [predictor_in(reader.method_byte(block)) for block in reader.structure.blocks] == [
            "interpolated",
            "wide",
        ]
        np.testing.assert_array_equal(reader[:, :], samples)


def test_threads_write_and_read_the_same():
    samples = interpolated(sampled(1500, 70), half_band()).astype(np.int16)
    (alone,) = engine.encode([Block(samples, None)], Method(), [None])
    assert alone is not None
    payload = Payload(alone.payload, *samples.shape, samples.dtype)
    assert len(groups_in(payload).channels) == 3
    with Workers(3) as pool:
        (block,) = pool.submit(engine.encode, [Block(samples, None)], Method(), [None]).result()
        (found,) = pool.submit(engine.decode, [payload], Lookup()).result()
    assert block is not None and block.payload == alone.payload
    np.testing.assert_array_equal(found, samples)

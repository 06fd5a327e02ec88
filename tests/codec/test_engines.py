"""Engines are exchangeable: only the low four bits of a payload's first byte are common to all of them."""

from __future__ import annotations

import json

import dummy_engine
import numpy as np
import pytest

import spikey
from spikey.base.errors import DataError
from spikey.codec import registry
from spikey.codec.decode import decode_block, decode_blocks
from spikey.codec.encode import encode_block, encode_blocks
from spikey.codec.method import COPIED, PACKED, STORED, Method
from spikey.codec.payload import Payload, facts_of, predictor_in, record_of
from spikey.codec.registry import PREDICTORS, PRESETS, Preset
from spikey.report import topology

OWN = Method("bytewise", lanes=1)
SAMPLES = np.cumsum(np.random.default_rng(0).integers(-3, 4, (700, 3)), axis=0).astype(np.int16)


@pytest.fixture(autouse=True)
def engine():
    registry.register(dummy_engine.RECORD)
    record = Preset(name="bytes", rank=-1, method=OWN, about="differences of codes", use="tests", hours=(1, 1))
    registry.register(record)
    yield
    PREDICTORS.remove(dummy_engine.RECORD.name)
    PRESETS.remove("bytes")


def payload_of(data: bytes | None) -> Payload:
    """A payload of SAMPLES."""
    assert data is not None
    return Payload(data, *SAMPLES.shape, SAMPLES.dtype)


def test_an_engine_writes_payloads_of_its_own():
    data = encode_block(SAMPLES, OWN)
    assert data is not None and data[0] == dummy_engine.MARK | dummy_engine.NUMBER
    np.testing.assert_array_equal(decode_block(payload_of(data)), SAMPLES)


def test_blocks_that_an_engine_declines_are_none():
    wide = (SAMPLES[:, :1] * 500).astype(np.int32) + np.arange(700)[:, None]
    first, second, third = encode_blocks([SAMPLES, wide, SAMPLES[:, :2]], OWN)
    assert first is not None and second is None and third is not None


def test_payloads_of_several_engines_are_decoded_in_their_order():
    both = [encode_block(SAMPLES, method) for method in (OWN, Method(), OWN, Method("balanced", lanes=1))]
    for samples in decode_blocks([payload_of(each) for each in both]):
        np.testing.assert_array_equal(samples, SAMPLES)


def test_facts_come_from_the_engine(run, tmp_path):
    file = tmp_path / "a.spky"
    file.write_bytes(spikey.compress(SAMPLES, 20_000, "bytes"))
    (facts,) = json.loads(run("info", "--json", file)[1])
    assert (facts["predictor"], facts["groups"], "lanes" in facts) == ("bytewise", 1, False)
    assert "codes in steps of 1" in facts["levels"]
    with spikey.open(file) as reader:
        assert reader.facts(reader.structure.blocks[0]).references == [[], [0], [1]]
    found = topology.of_channels(file, topology.opener())
    assert [(link.node, link.other) for link in found.links] == [(1, 0), (2, 1)]


def test_the_predictor_lms_is_no_longer_read():
    data = payload_of(encode_block(SAMPLES, Method())).data
    with pytest.raises(DataError, match=r"^the block: is coded by a method that this version does not support$"):
        decode_blocks([Payload(bytes([data[0] & ~15 | 2]) + bytes(data[1:]), *SAMPLES.shape, SAMPLES.dtype)])


def test_facts_of_adaptive_predictors():
    alike = SAMPLES[:, :1] + np.random.default_rng(1).integers(-1, 2, SAMPLES.shape)
    facts = facts_of(
        payload_of(encode_block(alike.astype(np.int16), Method("balanced", delta=False, lanes=1, references=4)))
    )
    assert facts.method == {"predictor": "balanced", "coder": "arithmetic", "delta_encoding": False, "lanes": 1}
    assert facts.references[0] == [] and set(facts.references[2]) <= {0, 1} and facts.references[2]
    assert all("codes in steps of 1" in words for words in facts.levels)


@pytest.mark.parametrize(("first", "words"), [(STORED, "stored"), (PACKED, "general"), (COPIED, "copy")])
def test_facts_of_what_is_not_coded(first, words):
    facts = facts_of(payload_of(bytes([first])))
    assert words in str(facts.method["predictor"]) and (facts.levels, facts.references) == ([], [])


def test_the_facts_of_a_damaged_payload_are_an_error():
    data = encode_block(SAMPLES, Method())
    for damaged in (b"", bytes([14]), data[:1], data[:2] + b"\xff" + data[3:]):
        with pytest.raises(DataError, match="the block"):
            facts_of(payload_of(damaged))


def test_unknown_predictors_are_refused_before_any_engine_runs():
    unknown = "the block: is coded by a method that this version does not support"
    for data, words in ((b"", "too early"), (bytes([14, 1]), unknown), (bytes([STORED]), unknown)):
        with pytest.raises(DataError, match=words):
            decode_blocks([payload_of(encode_block(SAMPLES, OWN)), payload_of(data)])
        with pytest.raises(DataError):
            record_of(payload_of(data))
    assert [predictor_in(data) for data in (b"", bytes([14]), bytes([0xA1]))] == ["unknown", "unknown", "lpc"]


def test_a_damaged_block_leaves_the_other_facts(run, tmp_path):
    file = tmp_path / "a.spky"
    samples = np.tile(SAMPLES, (3000, 1))  # several blocks, so that nothing but one of them is damaged
    data = bytearray(spikey.compress(samples, 20_000, "bytes"))
    file.write_bytes(data)
    with spikey.open(file) as reader:
        data[reader.structure.blocks[0].offset + 1] = 0xFF
        data[reader.structure.blocks[0].offset + 2 : reader.structure.blocks[0].offset + 12] = b"\xff" * 10
    file.write_bytes(data)
    (facts,) = json.loads(run("info", "--json", file)[1])
    assert facts["predictor"] == "bytewise" and facts["channels"] == 3 and "levels" not in facts

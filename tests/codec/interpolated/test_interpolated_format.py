"""Section 32 of docs/format.md: a decoder written from it gives the samples of interpolated blocks."""

from __future__ import annotations

import numpy as np
import pytest

from kit import reference
from kit.interpolated import half_band, interpolated, sampled, windowed_sinc
from spikey.codec.decode import decode_block
from spikey.codec.interpolated import engine
from spikey.codec.interpolated.kernels import AWAY, EVEN, FLOOR
from spikey.codec.interpolated.payload import Parts, parse
from spikey.codec.method import Method
from spikey.codec.payload import Lookup, Payload, facts_of
from spikey.codec.survey import Block
from spikey.model.calibration import n1

TYPES = {"int8": 0, "uint8": 1, "int16": 2, "uint16": 3, "int32": 5, "uint32": 6, "float32": 7, "float64": 8}
LINEAR = np.array([[0.5, 0.5]])


def mixed() -> np.ndarray:
    """Interpolated channels, noise, a line of a digital input, lost frames, clipped samples and shocks."""
    samples = interpolated(sampled(500, 6).clip(-300, 300), half_band(), rails=(-300, 300))
    samples[:, 2] = np.random.default_rng(1).normal(0, 9, len(samples))
    samples[:, 4] = np.arange(len(samples)) // 40 % 2
    samples[77, 0], samples[980, 1] = 32767, -32768
    return np.delete(samples, np.arange(140, 191), axis=0)


SIGNALS = {
    "linear, to even": interpolated(sampled(300, 2), LINEAR).astype(np.int16),
    "linear, away": interpolated(sampled(300, 2) - 90, LINEAR, rounding="away").astype(np.int16),
    "linear, toward zero": interpolated(sampled(300, 2) - 90, LINEAR, rounding="zero").astype(np.int16),
    "linear, down": interpolated(sampled(300, 2), LINEAR, rounding="down").astype(np.int16),
    "by 3": interpolated(sampled(200, 3), windowed_sinc(3, 5), phase=2).astype(np.int16),
    "by 4": interpolated(sampled(150, 3), windowed_sinc(4, 4)).astype(np.int16),
    "unsymmetric": interpolated(sampled(400, 2), np.array([[-0.25, 0.75, 0.625, -0.125]])).astype(np.int16),
    "one": interpolated(sampled(300, 1), half_band()).astype(np.int16),
    "mixed": mixed().astype(np.int16),
    "unsigned": (mixed() + 32768).clip(0, 65535).astype(np.uint16),
    "coarse": (mixed().clip(-300, 300) * 25 - 7).astype(np.int32),
    "float": mixed().astype(np.float32) * np.float32(0.195),
    "double": interpolated(sampled(300, 2), LINEAR) * 0.25 + 7.125,
}
SIGNALS["far"] = SIGNALS["linear, to even"].astype(np.int32)
SIGNALS["far"][3] = 1 << 30
SIGNALS["often"] = SIGNALS["linear, down"] + np.random.default_rng(2).integers(0, 2, (600, 2), np.int16) * np.int16(
    [[0], [1]] * 300
) * (np.arange(600)[:, None] % 4 == 1)
SIGNALS["float"][::2][30:40, 1] = np.nan


def coded(name: str) -> Payload:
    """The payload of a signal."""
    samples = SIGNALS[name]
    (block,) = engine.encode([Block(samples, None)], Method(), [None])
    assert block is not None and block.payload[0] == 8
    return Payload(block.payload, *samples.shape, samples.dtype)


@pytest.mark.parametrize("name", SIGNALS)
def test_both_decoders_restore_every_sample(name):
    payload, wanted = coded(name), SIGNALS[name].tobytes()
    assert decode_block(payload).tobytes() == wanted
    tables, kind = reference.read_calibration(n1().to_bytes()), TYPES[payload.dtype.name]
    values = reference.decode_payload(payload.data, payload.frames, payload.count, tables, None, kind)
    rows = [[np.frombuffer(v, payload.dtype)[0] if isinstance(v, bytes) else v for v in channel] for channel in values]
    assert np.array(rows).T.astype(payload.dtype).tobytes() == wanted


def test_the_signals_contain_what_there_is():
    found: dict[str, Parts] = {name: parse(coded(name)) for name in SIGNALS}
    assert {parts.filter.rule for parts in found.values()} == {FLOOR, AWAY, EVEN}
    assert {parts.filter.symmetric for parts in found.values()} == {True, False}
    assert {parts.pattern.factor for parts in found.values()} == {2, 3, 4}
    assert {len(parts.pattern.runs) for parts in found.values()} == {1, 2}
    assert {len(parts.others) for parts in found.values()} >= {0, 2}
    ways = {(parts.contexts is None, parts.between is None) for parts in found.values()}
    assert ways == {(False, True), (False, False), (True, False)}
    assert found["coarse"].step == 25 and found["double"].scale.offset != 0
    assert not found["unsymmetric"].filter.symmetric


def test_some_channels_are_what_they_are_among_all():
    for name, samples in SIGNALS.items():
        wanted = list(range(samples.shape[1] - 1, -1, -2))
        found, damaged = engine.decode_some(coded(name), Lookup(), wanted)
        assert not damaged and found.tobytes() == np.ascontiguousarray(samples[:, wanted]).tobytes()


def test_facts():
    found = facts_of(coded("mixed"))
    assert found.method["predictor"] == "interpolated" and found.method["interpolated_by"] == 2
    others = parse(coded("mixed")).others.tolist()
    assert sorted(found.method["interpolated"] + others) == list(range(6)) and {2, 4} <= set(others)
    assert np.abs(np.array(found.method["taps"]) - half_band()).max() < 0.05
    assert len(found.levels) == 6 and all(found.levels)
    assert sorted(channel for group in found.method["groups"] for channel in group) == list(range(6))
    assert all(not set(refs) & set(others) for c, refs in enumerate(found.references) if c not in others)
    assert len(found.method["orders"]) == 6 and None not in found.method["orders"]

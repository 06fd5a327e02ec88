"""Section 31 of docs/format.md describes what the wide engine does: a decoder written from it gives its samples."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from kit import reference_wide
from kit.paths import ROOT
from kit.payloads import by_the_reference, noise
from spikey.base.shipped import FOLDER
from spikey.codec.decode import decode_block
from spikey.codec.encode import encode_block
from spikey.codec.payload import Lookup, Payload
from spikey.codec.registry import PREDICTORS, PRESETS
from spikey.codec.wide import choose, engine, header, numbers
from spikey.codec.wide import descriptions as descriptions_module
from spikey.codec.wide.payload import parse
from spikey.levels.scaled import Scaled
from spikey.levels.table import Table
from spikey.model.calibration import n1
from spikey.report.self_test import known_signal

FAST = PRESETS["fast"].method


def shocks() -> np.ndarray:
    samples = noise(3001, 2, 2)
    samples[::300] += 25_000 * (1 - 2 * (np.arange(len(samples[::300]))[:, None] % 2))
    return samples.astype(np.int16)


def synchronous() -> np.ndarray:
    frames = np.arange(900)
    pulses, dead = 5 * (frames // 100 % 2), np.full(900, -7)
    return np.stack([pulses, dead, *noise(900, 2, 9).T, np.full(900, 300)], axis=1).astype(np.int16)


def n1_extremes() -> np.ndarray:
    """N1 samples whose scale is hundreds of codes."""
    edges = n1().edges
    analog = np.random.default_rng(5).integers(edges[1], edges[-2], (1500, 2))
    codes = np.searchsorted(edges[1:-1], analog, side="right")
    return np.asarray(np.trunc((65535 * codes - 32768 * 1023) / 1023).astype(np.int16))


N1 = known_signal(1203)
SIGNALS = {
    "one": noise(1003, 1, 5)[:, :1].astype(np.int16),
    "three": noise(1003, 3, 5).astype(np.int16),
    "forty": noise(301, 40, 6).astype(np.int16),
    "thousands": noise(40, 70, 6).astype(np.int16),
    "lanes": np.pad(noise(16_389, 2, 5), ((0, 0), (0, 7))).astype(np.int16),
    "few_frames": (noise(7, 60, 0.3) + noise(7, 1, 8, seed=3)).astype(np.int32),
    "n1": N1[:, :1],
    "n1_three": np.concatenate([N1, np.full_like(N1[:, :1], N1[0, 0])], axis=1),
    "n1_beside": np.stack([N1[:, 0], np.round(known_signal(1203)[:, 1] / 50)], axis=1).astype(np.int16),
    "n1_extremes": n1_extremes(),
    "wideband": noise(4003, 3, 2000).astype(np.int16),
    "shocks": shocks(),
    "synchronous": synchronous(),
    "constant": np.full((700, 3), 9, np.int16),
    "int8": noise(700, 2, 9).astype(np.int8),
    "uint8": (noise(700, 2, 6) + 120).astype(np.uint8),
    "uint16": (noise(700, 2, 90) + 30_000).astype(np.uint16),
    "steps": (noise(700, 2, 6) * 12 + 5).astype(np.int16),
    "low_bits": N1.astype(np.int32) * 65_521 + np.arange(1203, dtype=np.int32)[:, None],
    "uint32": (noise(700, 2, 2.0**24) + 2.0**31).astype(np.uint32),
    "table": (known_signal(2000).astype(np.int64) ** 3 // 1_000_003).astype(np.int32),
    "advancing": np.stack([np.arange(1500) * 100 // 3 + 10**6, noise(1500, 1, 9)[:, 0]], axis=1).astype(np.int32),
    "floats": noise(700, 2, 9).astype(np.float32) * np.float32(0.195),
    "doubles": noise(700, 2, 9) * 0.195,
}
SIGNALS["patched"] = SIGNALS["floats"].copy()
SIGNALS["patched"][77:99, 1] = np.nan
SIGNALS["patched"][300, 0] = 0.1
SIGNALS["gains"] = SIGNALS["floats"] * np.array([1, 2], np.float32)
UNEVEN = np.exp(np.random.default_rng(8).normal(size=(700, 1))).astype(np.float32)
SIGNALS["packed"] = np.concatenate([SIGNALS["floats"], UNEVEN], axis=1)


def coded(name: str) -> Payload:
    samples = SIGNALS[name]
    payload = encode_block(samples, FAST, n1() if name.startswith("n1") else None)
    assert payload is not None and payload[0] & 15 == PREDICTORS["wide"].number
    return Payload(payload, *samples.shape, samples.dtype)


@pytest.mark.parametrize("name", SIGNALS)
def test_both_decoders_restore_every_sample(name):
    payload, wanted = coded(name), SIGNALS[name].tobytes()
    assert decode_block(payload, Lookup(n1)).tobytes() == wanted
    assert by_the_reference(payload).tobytes() == wanted


class Seen:
    """What the reference came by."""

    def __init__(self, monkeypatch, name: str):
        self.escapes = self.shift = 0
        escape, below = reference_wide.Coder.escape, reference_wide.Lanes.below

        def counted(coder, lane):
            self.escapes += 1
            return escape(coder, lane)

        def watched(lanes, coarse, shift, mean, per):
            self.shift = max(self.shift, int(shift.max()))
            return below(lanes, coarse, shift, mean, per)

        monkeypatch.setattr(reference_wide.Coder, "escape", counted)
        monkeypatch.setattr(reference_wide.Lanes, "below", watched)
        self.payload = coded(name)
        by_the_reference(self.payload)
        self.directory = parse(self.payload)


def test_descriptions_repeat_bytes_of_those_before(monkeypatch):
    seen, repeated = [], descriptions_module._repeated
    monkeypatch.setattr(descriptions_module, "_repeated", lambda *fields: seen.append(repeated(*fields)) or seen[-1])
    assert np.array_equal(by_the_reference(coded("gains")), SIGNALS["gains"])
    assert len(seen) == 2 and seen[0] == 0 and seen[1] > 0


def test_the_signals_have_what_they_are_for(monkeypatch):
    seen = {name: Seen(monkeypatch, name) for name in SIGNALS}
    assert seen["shocks"].escapes > 0
    assert seen["wideband"].shift > 4 and seen["n1_extremes"].shift > 0
    assert seen["lanes"].directory.lanes == 64 and seen["one"].directory.lanes == 8
    assert [len(group) for group in seen["forty"].directory.groups] == [20, 20]
    for name in ("n1", "n1_three", "n1_beside", "n1_extremes"):
        assert any(calibrated for _, calibrated in seen[name].directory.descriptions)
    assert any(isinstance(levels, Table) for levels, _ in seen["table"].directory.descriptions)
    assert any(levels is not None and levels.low_bits for levels, _ in seen["low_bits"].directory.descriptions)
    assert all(isinstance(levels, Scaled) for levels, _ in seen["floats"].directory.descriptions)
    assert any(levels is None for levels, _ in seen["packed"].directory.descriptions)
    for name in ("three", "forty", "few_frames"):
        facts = engine.facts(seen[name].payload, Lookup(n1))
        assert any(facts.references)


def test_constants_of_the_reference_are_those_of_the_engine():
    np.testing.assert_array_equal(reference_wide.SCALES, choose.SCALE_TABLE)
    np.testing.assert_array_equal(reference_wide.BOOSTS, choose.BOOST_TABLE)
    np.testing.assert_array_equal(reference_wide.RATES, choose.RATES[choose.PAIRS])
    np.testing.assert_array_equal(reference_wide.PROFILE, header.PROFILE)


def test_numbers_of_every_size_come_back():
    values = [0, 1, -1, 2, 255, -256, 4095, 70_000, -(2**20), 2**23, -(2**24) + 1]
    coder, chances = np.zeros(4, np.int64), np.zeros((48, numbers.CELLS), np.uint16)
    out = np.zeros(400, np.uint8)
    numbers.start_writing(coder, chances)
    for value in values * 3:
        numbers.put_signed(value, chances, 7, coder, out)
        numbers.put_bit(value & 1, chances, 0, 0, coder, out)
    size = numbers.finish_writing(coder, out)
    reader = reference_wide.Numbers(bytes(out[:size]))
    assert [(reader.signed(7), reader.bit(0)) for _ in values * 3] == [(value, value & 1) for value in values * 3]


def test_the_specification_names_the_counts():
    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    with np.load(FOLDER / "tables" / "wide.npz") as stored:
        assert hashlib.sha256(stored["counts"].astype("<u2").tobytes()).hexdigest() in text

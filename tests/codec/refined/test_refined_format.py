"""Section 33 of docs/format.md describes what the refined engine does: a decoder written from it gives its samples."""

from __future__ import annotations

import pytest

from kit import reference_refined
from kit.payloads import by_the_reference
from kit.refined import QUICK, REFINED, SIGNALS, coded
from spikey.codec.decode import decode_block
from spikey.codec.payload import Lookup, facts_of
from spikey.codec.refined.payload import parse
from spikey.model.calibration import n1


@pytest.mark.parametrize("name", SIGNALS)
def test_both_decoders_restore_every_sample(name):
    payload, wanted = coded(name), SIGNALS[name].tobytes()
    assert decode_block(payload, Lookup(n1)).tobytes() == wanted
    assert by_the_reference(payload).tobytes() == wanted


@pytest.mark.parametrize("name", ["spikes", "n1_three"])
def test_both_decoders_agree_on_fewer_inputs(name):
    payload = coded(name, QUICK)
    assert by_the_reference(payload).tobytes() == SIGNALS[name].tobytes()


def seen(monkeypatch, name):
    """Shifts, escapes and busy samples that the reference comes by."""
    found = {"shift": 0, "escapes": 0, "busy": 0}
    bits, learn = reference_refined.Block.bits, reference_refined.Regression.learn

    def counted(block, count):
        found["escapes"] += count == 20
        found["shift"] = max(found["shift"], count if count < 20 else 0)
        return bits(block, count)

    def learned(regression, samples, kept):
        found["busy"] += len(samples) if regression.most < 100 else 0
        learn(regression, samples, kept)

    monkeypatch.setattr(reference_refined.Block, "bits", counted)
    monkeypatch.setattr(reference_refined.Regression, "learn", learned)
    by_the_reference(coded(name))
    return found


def test_the_signals_have_what_they_are_for(monkeypatch):
    assert seen(monkeypatch, "spikes")["busy"] > 20
    assert seen(monkeypatch, "wideband")["shift"] > 1
    assert seen(monkeypatch, "shocks")["escapes"] > 2
    parsed = parse(coded("n1_three"))
    assert any(converter for _, converter in parsed.descriptions)
    assert parse(coded("packed")).descriptions[-1][0] is None
    assert len(parse(coded("floats")).rows) == 2


def test_facts_name_the_predictor_and_what_channels_refer_to():
    facts = facts_of(coded("spikes"))
    assert facts.method["predictor"] == "refined" and facts.method["coder"] == "arithmetic"
    assert sum(map(len, facts.references)) > 6 and all(index not in own for index, own in enumerate(facts.references))
    assert facts_of(coded("constant")).method["constant"] == [0, 1, 2]
    assert REFINED.references > QUICK.references

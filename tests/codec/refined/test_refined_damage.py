"""Payloads of the refined engine that no encoder writes: refused in one sentence, or decoded to something."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kit.refined import SIGNALS, coded
from spikey.base.errors import DataError
from spikey.base.wire import varint
from spikey.codec.decode import decode_block
from spikey.codec.payload import Lookup, Payload, facts_of
from spikey.codec.refined.numbers import write_numbers
from spikey.codec.refined.payload import parse
from spikey.codec.refined.state import CENTRE, COLUMNS, LEVEL, MOVING, NEAR
from spikey.codec.wide.descriptions import write_descriptions
from spikey.model.calibration import n1

GOOD = (4, 3, 8, 15, 2)


def built(settings=GOOD, order=(0, 1), columns=(), count=2, first=9, stream=b"\7" * 60, frames=60) -> Payload:
    """A payload of channels of 94 codes with such numbers; columns: place, column and number of what is not usual."""
    descriptions = parse(coded("fourteen")).descriptions[:1]
    rows = np.zeros((len(order), COLUMNS), np.int64)
    rows[:, 0] = MOVING
    for place, column, number in columns:
        rows[place, column] = number
    out = np.zeros(1000, np.uint8)
    numbers = out[: write_numbers(np.array(settings, np.int64), np.array(order, np.int64), rows, out)].tobytes()
    parts = [bytes([first]), *write_descriptions(descriptions, False), varint(len(numbers)), numbers, stream]
    return Payload(b"".join(parts), frames, count, np.dtype(np.int16))


def test_what_is_built_like_a_payload_decodes():
    payload = built()
    assert decode_block(payload).shape == (60, 2)
    assert parse(payload).settings == GOOD


@pytest.mark.parametrize(("place", "number"), [(0, 5), (1, 4), (2, 17), (3, 7), (3, 25), (4, 9)])
def test_settings_beyond_their_bounds_are_refused(place, number):
    settings = [*GOOD[:place], number, *GOOD[place + 1 :]]
    for look in (decode_block, facts_of):
        with pytest.raises(DataError, match=r"^the block: .*does not support$"):
            look(built(settings))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"order": (0, 0)}, "does not support"),
        ({"order": (0, 2)}, "does not support"),
        ({"order": (1, -1)}, "does not support"),
        ({"columns": [(0, LEVEL, 1)]}, "does not support"),
        ({"columns": [(1, CENTRE, 1 << 19)]}, "an invalid centre code"),
        ({"columns": [(1, CENTRE, -1)]}, "does not support"),
        ({"columns": [(0, NEAR, 0), (1, NEAR, 0)], "first": 9 | 16}, "does not support"),
        ({"stream": b"\7" * 300}, "more than its samples"),
    ],
)
def test_numbers_that_no_encoder_writes_are_refused(change, problem):
    with pytest.raises(DataError, match=f"^the block: .*{problem}"):
        decode_block(built(**change))


@pytest.mark.parametrize("name", ["spikes", "n1_three", "wideband", "packed", "low_bits"])
def test_damage_is_refused_or_decodes_within_bounds(name):
    """Every cut, and bytes changed at random: an error of one sentence, or samples of the right shape."""
    payload, random = coded(name), np.random.default_rng(3)
    size = len(payload.data)
    cuts = [payload.data[:at] for at in (0, 1, 2, 3, 5, 9, 20, 60, size // 2, size - 1)]
    for _ in range(60):
        data = bytearray(payload.data)
        for at in random.integers(0, min(size, random.choice([12, 120, size])), random.integers(1, 4)):
            data[at] = random.integers(256)
        cuts.append(bytes(data))
    decoded = 0
    for data in cuts:
        try:
            samples = decode_block(replace(payload, data=data), Lookup(n1))
        except DataError as error:
            assert "\n" not in str(error)
            continue
        assert samples.shape == SIGNALS[name].shape and samples.dtype == payload.dtype
        decoded += 1
    assert decoded > 10

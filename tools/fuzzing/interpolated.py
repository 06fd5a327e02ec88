"""Payloads of the interpolated engine: honest ones, and mutations whose checksums are right, down to those within.

An input is that of `wide`: frames, channels and type of a block, a checksum of these, and a payload.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from functools import cache
from unittest import mock

import numpy as np
from fuzzing import wide
from fuzzing.mutate import mutated

from spikey.base.errors import SpikeyError
from spikey.base.wire import varint
from spikey.codec.interpolated import engine
from spikey.codec.interpolated.payload import parse
from spikey.codec.method import Method
from spikey.codec.survey import Block

HEAD = wide.PREFIX.size + 4
CHECKSUMS = 4


def run(data: bytes, checked: bool) -> None:
    """Decode a payload, whole and in part."""
    payload, _ = wide.block_of(data)
    try:
        (samples,) = engine.decode([payload], wide.LOOKUP)
    except SpikeyError:
        engine.decode_some(payload, wide.LOOKUP, range(0, payload.count, 3))
        raise
    engine.facts(payload, wide.LOOKUP)
    some = range(payload.count - 1, -1, -2)
    part, damaged = engine.decode_some(payload, wide.LOOKUP, some)
    if not damaged and part.tobytes() != np.ascontiguousarray(samples[:, list(some)]).tobytes():
        raise AssertionError("some channels are not what they are among all")


@cache
def _inputs() -> tuple[bytes, ...]:
    rng, found = np.random.default_rng(3), []
    for factor, count, gain in ((2, 2, None), (3, 3, None), (4, 1, None), (2, 3, 0.195), (2, 40, None)):
        frames = -(-300 // factor)
        known = np.rint(rng.normal(0, 40, (frames + 1, count)))
        steps = np.arange(factor)[:, None, None] / factor
        samples = np.rint(known[:-1] + (known[1:] - known[:-1]) * steps).transpose(1, 0, 2).reshape(-1, count)
        if count > 1:
            samples[:, 1] = rng.normal(0, 9, len(samples)).round()
        kind = samples.astype(np.int16)
        kind = kind if gain is None else kind.astype(np.float32) * np.float32(gain)
        for seldom in (engine.SELDOM, -1):
            with mock.patch.object(engine, "SELDOM", seldom):
                (block,) = engine.encode([Block(kind, None)], Method(), [None])
            assert block is not None, "a seed that is not interpolated"
            found.append(wide.input_of(block.payload, kind))
    return tuple(found)


def inputs() -> list[bytes]:
    """Payloads of all factors, of floats, with other channels, of several groups, with lists and without."""
    return list(_inputs())


def changed(data: bytes, others: Sequence[bytes], words: Sequence[bytes], rng: random.Random) -> bytes:
    """An input with some changes, mostly of the fields or of a payload within, and then with right checksums."""
    payload, _ = wide.block_of(data)
    try:
        parts = parse(payload)
    except SpikeyError:
        return mutated(data, others, words, rng)
    if rng.random() < 0.2:
        return mutated(data, others, words, rng)
    inner = [bytes(one.data) for one in (parts.sampled, parts.between, parts.rest) if one is not None]
    sizes = b"".join(varint(len(one)) for one in inner[:-1])
    whole = bytes(payload.data)
    end = len(whole) - sum(map(len, inner)) - CHECKSUMS * (len(inner) + 1) - len(sizes)
    fields = whole[:end]
    if rng.random() < 0.7:
        fields = mutated(fields, [fields], words, rng)
    else:
        place = rng.randrange(len(inner))
        inner[place] = mutated(inner[place], inner, words, rng)
    out = fields + b"".join(varint(len(one)) for one in inner[:-1])
    out += b"".join(zlib.crc32(one).to_bytes(CHECKSUMS, "little") for one in inner)
    return data[:HEAD] + out + zlib.crc32(out).to_bytes(CHECKSUMS, "little") + b"".join(inner)

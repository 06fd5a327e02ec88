"""An engine in one file, with a payload syntax of its own: differences modulo 256, one byte each."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.codec.method import Method
from spikey.codec.payload import EncodedBlock, Facts, Lookup, Payload
from spikey.codec.registry import Predictor
from spikey.codec.survey import Block, Survey
from spikey.levels.affine import Affine
from spikey.levels.contract import Levels
from spikey.levels.registry import read_levels

NUMBER, MARK = 10, 0xA0  # of the predictor; the high bits of the first byte, which are the engine's own


def encode(blocks: Sequence[Block], method: Method, beside: Sequence[Block | None]) -> list[EncodedBlock | None]:
    """Blocks of one byte a code; None where codes have more than eight bits."""
    return [None if block.survey is None else _encode(block.survey) for block in blocks]


def _encode(found: Survey) -> EncodedBlock | None:
    levels = [channel.levels for channel in found.channels]
    if found.lows or not all(isinstance(each, Affine) and each.alphabet <= 256 for each in levels):
        return None
    steps = np.diff(found.codes, axis=1, prepend=0) % 256
    described = b"".join(each.write() for each in levels)
    return EncodedBlock(bytes([MARK | NUMBER]) + described + steps.astype(np.uint8).tobytes())


def decode(payloads: Sequence[Payload], lookup: Lookup) -> list[np.ndarray]:
    """The samples."""
    return [_decode(payload) for payload in payloads]


def _decode(payload: Payload) -> np.ndarray:
    levels, rest = _parse(payload)
    if len(rest) != payload.frames * payload.count:
        raise DataError(f"{payload.what}: has a wrong size")
    codes = np.cumsum(np.frombuffer(rest, np.uint8).reshape(payload.count, payload.frames), axis=1) % 256
    samples = np.empty((payload.frames, payload.count), payload.dtype)
    for channel, each in enumerate(levels):
        samples[:, channel] = each.to_values(codes[channel].astype(np.int32), None, payload.dtype)
    return samples


def _parse(payload: Payload) -> tuple[list[Levels], bytes]:
    cursor = Cursor(payload.data, payload.what)
    cursor.take(1)
    return [read_levels(Affine.number, cursor) for _ in range(payload.count)], cursor.rest()


def facts(payload: Payload, lookup: Lookup) -> Facts:
    """What `spikey info` shows."""
    levels, _ = _parse(payload)
    chain = [[] if channel == 0 else [channel - 1] for channel in range(payload.count)]
    return Facts({"predictor": "bytewise", "groups": 1}, [each.words() for each in levels], chain)


RECORD = Predictor(
    name="bytewise",
    number=NUMBER,
    about="differences of codes",
    method=Method("bytewise", lanes=1),
    configured={},
    engine=lambda: sys.modules[__name__],
    start=None,
    lanes=1,
    companions=False,
    trained=False,
    work=None,
    few=False,
    compared=lambda method: (),
)

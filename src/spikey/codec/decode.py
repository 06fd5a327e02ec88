"""From a payload back to samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spikey.base.errors import DataError
from spikey.codec.registry import PREDICTORS
from spikey.codec.syntax import Lookup, Parsed, Payload, parse


def decode_block(payload: Payload, lookup: Lookup | None = None) -> np.ndarray:
    """The samples (frames, channels) of a payload.

    Raises DataError for what no encoder writes; whether the samples are the right ones is for a checksum to tell.
    """
    (samples,) = decode_blocks([payload], lookup)
    return samples


def decode_blocks(payloads: Sequence[Payload], lookup: Lookup | None = None) -> list[np.ndarray]:
    """`decode_block` of several payloads of one method, model and calibration, which is faster with a large network."""
    blocks = [parse(payload, lookup or Lookup()) for payload in payloads]
    for block, payload in zip(blocks, payloads, strict=True):
        if block.companions:
            _take_companions(block, payload)
    if blocks:
        PREDICTORS[blocks[0].method.predictor].engine().decode(blocks)
    return [_samples(block, payload) for block, payload in zip(blocks, payloads, strict=True)]


def _take_companions(block: Parsed, payload: Payload) -> None:
    """Fill in the codes of the other recordings."""
    if payload.companions is None:
        raise DataError(f"{payload.what}: was coded together with other recordings, which are not at hand")
    samples = payload.companions()
    wrong = DataError(f"{payload.what}: was coded together with other recordings than those at hand")
    if samples.shape != (payload.frames, block.companions) or samples.dtype.kind not in "iu":
        raise wrong
    for index, channel in enumerate(block.channels[: block.companions]):
        values, levels = np.ascontiguousarray(samples[:, index]), channel.levels
        if not levels.holds(values):
            raise wrong
        block.codes[index] = levels.to_codes(values)[0] % levels.alphabet
        if (levels.to_values(block.codes[index], None, np.dtype(np.int64)) != values).any():
            raise wrong


def _samples(block: Parsed, payload: Payload) -> np.ndarray:
    """The decoded block (frames, channels)."""
    frames, count = payload.frames, payload.count
    samples = np.zeros((frames, count), dtype=payload.dtype)
    lows = block.lows[-count:]
    for index, channel in enumerate(block.channels[block.companions :]):
        bits = channel.levels.low_bits
        low = _low(lows[index], frames, bits) if bits else None
        samples[:, index] = channel.levels.to_values(block.codes[block.companions + index], low, payload.dtype)
    return samples


def _low(packed: bytes, frames: int, bits: int) -> np.ndarray:
    from spikey.codec.low_bits import unpack_bits

    return unpack_bits(packed, frames, bits)
